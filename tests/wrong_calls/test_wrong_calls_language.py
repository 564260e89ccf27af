"""Wrong calls of `language`: each gets one sentence that names the argument, what it was, and the likely fix."""
from functools import lru_cache

import numpy as np
import pytest
import torch
from harness import refused, rows

from transfer_course import backbones, data, features, finetuning, language, names_domains
from transfer_course.language import TextTask

X, Y, K = ["Good.", "Bad."], torch.tensor([1, 0]), ["negative", "positive"]
Z = np.random.default_rng(0).normal(size=(6, 4))


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFER_COURSE_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@lru_cache
def net(): return backbones.load("minilm")
@lru_cache
def bert(): return language.bert_classifier()


def task(x=X, y=Y, classes=K, **more): return TextTask("t", x, y, X, Y, classes, **more)


def foreign():
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"[UNK]": 0, "good": 1}, unk_token="[UNK]")), unk_token="[UNK]")


CALLS = {
    "an empty text": (lambda: task(["Good.", " "]), ValueError, r"x_train must be a list of sentences, got ' ' at place 1: take it out"),
    "a number among texts": (lambda: task(["Good.", 3]), ValueError, r"x_train must be a list of sentences, got 3 at place 1"),
    "numbers": (lambda: task([1, 2]), ValueError, r"x_train must be a list of sentences, got 1 at place 0"),
    "one string": (lambda: task("Good."), ValueError, r"x_train must be a list of sentences, got one string: write \[x\]"),
    "a tensor": (lambda: task(torch.zeros(2, 3)), TypeError, r"x_train must be a list of sentences, got Tensor"),
    "no text": (lambda: task([]), ValueError, r"x_train must be a list of sentences, got an empty list: give at least one"),
    "no labels": (lambda: task(y=None), TypeError, r"y_train must be int64 N, got None"),
    "labels as fractions": (lambda: task(y=[1, 0.5]), TypeError, r"y_train must be int64 N, got list \[1, 0.5\]: give one class number"),
    "too few labels": (lambda: task(y=Y[:1]), ValueError, r"y_train has 1 labels for 2 texts in x_train: give one label for each text"),
    "labels from 1": (lambda: task(y=Y + 1), ValueError, r"y_train must be from 0 to 1 \(there are 2 classes\), got 1 to 2"),
    "one class": (lambda: task(y=0 * Y), ValueError, r"y_train must hold at least 2 classes, got only 'negative': there is nothing to tell apart"),
    "one name twice": (lambda: task(classes=["good", "good"]), ValueError, r"classes must be a list of at least 2 different names.*'good'"),
    "half of a part": (lambda: task(x_valid=X), ValueError, r"x_valid and y_valid must come together, got only x_valid"),
    "more than there are": (lambda: task().few_shot(2), ValueError, r"k must be.*'negative', has 1 training texts"),
    "a wrong domain": (lambda: language.reviews("film"), ValueError, r"domain must be one of 'films', 'restaurants', 'gadgets', got 'film': did you mean 'films'"),
    "a wrong table": (lambda: language.table("review"), ValueError, r"name must be one of 'reviews', 'questions', got 'review': did you mean 'reviews'"),
    "a wrong card": (lambda: language.text_card("names"), ValueError, r"name must be one of 'reviews', 'questions', 'entities', got 'names'"),
    "a wrong topic": (lambda: language.questions([24]), ValueError, r"topics must be numbers from 0 to 23.*24"),
    "one string to extract": (lambda: language.extract(net(), "Good."), ValueError, r"texts must be a list of sentences, got one string"),
    "nothing to extract": (lambda: language.extract(net(), []), ValueError, r"texts must be a list of sentences, got an empty list"),
    "a wrong stage": (lambda: language.extract(net(), X, ["layer7"]), ValueError, r"layer7.*did you mean"),
    "a network of pictures": (lambda: language.extract(backbones.course_net(), X), TypeError, r"net must be a TextBackbone, got Backbone: load one with"),
    "bytes": (lambda: language.predict(net(), [b"Good."]), ValueError, r"texts must be a list of sentences, got b'Good.' at place 0"),
    "no batch": (lambda: language.predict(net(), X, 0), ValueError, r"batch_size must be a whole number of 1 or more, got 0"),
    "pieces of nothing": (lambda: language.pieces(net(), ""), ValueError, r"sentences.*''"),
    "pictures to a reader": (lambda: finetuning.fine_tune(net(), data.load("digits"), 1, 0, cache=False), TypeError, r"must be a list of sentences, got Tensor"),
    "LoRA for pictures": (lambda: language.add_lora(backbones.course_net()), TypeError, r"net must be a TextBackbone, got Backbone: load one with"),
    "LoRA twice": (lambda: language.add_lora(language.add_lora(backbones.load("minilm"))), ValueError, r"net has LoRA additions already"),
    "no rank": (lambda: language.add_lora(backbones.load("minilm"), rank=0), ValueError, r"rank must be a whole number of 1 or more, got 0"),
    "other width": (lambda: names_domains.coral(Z, Z[:, :3]), ValueError, r"zs and zt must have the same number of features, got 4 and 3"),
    "too many shares": (lambda: names_domains.self_train(Z, [0, 1] * 3, Z, C=0), ValueError, r"C must be a number above 0.*got 0"),
    "rounds below none": (lambda: names_domains.self_train(Z, [0, 1] * 3, Z, rounds=-1), ValueError, r"rounds must be a whole number of 0 or more, got -1"),
    "NaN": (lambda: names_domains.coral(Z, np.where(Z > 1, np.nan, Z)), ValueError, r"zt .*NaN or infinity in row"),
    "one class to probe": (lambda: features.linear_probe(Z, [0] * 6), ValueError, r"y must hold at least 2 classes"),
    "too large a share": (lambda: names_domains.self_train(Z, [0, 1] * 3, Z, share=2), ValueError, r"share must be a number above 0 and below 1, got 2"),
    "a tag too few": (lambda: language.check_tags([(["Ana", "sleeps"], ["B-PER"])]), ValueError, r"sentence 0 must have a tag for every word, got 2 words and 1 tags"),
    "an unknown tag": (lambda: language.check_tags([(["Ana"], ["PER"])]), ValueError, r"tags of sentence 0 must be of O, B-PER, .*got 'PER'"),
    "another entity inside": (lambda: language.check_tags([(["Ana", "V"], ["B-PER", "I-LOC"])]), ValueError, r"sentence 0 has 'I-LOC' after 'B-PER': an entity begins with B-LOC"),
    "inside without a beginning": (lambda: language.tag_task([(["Ana"], ["I-PER"])]), ValueError, r"sentence 0 has 'I-PER' after 'O'"),
    "a guess too many": (lambda: names_domains.entity_f1([["O"]], [["O", "O"]]), ValueError, r"right and guessed must have as many tags, sentence 0 has 1 and 2"),
    "a sentence too few": (lambda: names_domains.entity_f1([["O"]], []), ValueError, r"right and guessed must have the same length, but right has 1, guessed has 0"),
    "another tokenizer": (lambda: language.Scores(bert(), foreign()), ValueError, r"tokenize must be the network's own tokenizer, which knows 30522 pieces, got one that knows 2"),
    "another tokenizer to train": (lambda: language.train_with_trainer(bert(), foreign(), task(), 1, 1e-4), ValueError, r"tokenize must be the network's own tokenizer"),
    "no task": (lambda: language.train_with_trainer(bert(), net().preprocess, X, 1, 1e-4), TypeError, r"task must be a TextTask, got list"),
    "an empty text to read": (lambda: language.answer("Who?", ""), ValueError, r"question and text must be a list of sentences, got '' at place 1"),
    "no such checkpoint": (lambda: language.answer("Who?", "Ana.", "nobody/nothing"), OSError, r"the weights of 'nobody/nothing' could not be fetched: they need a network once"),
}


@rows(CALLS)
def test_wrong_call(call, kinds, words): refused(call, kinds, words)

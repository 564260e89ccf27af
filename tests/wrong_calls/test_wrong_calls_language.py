"""Wrong calls of `language`: each gets one sentence that names the argument, what it was, and the likely fix."""
from functools import lru_cache

import numpy as np
import pytest
import torch

from transfer_course import backbones, data, features, finetuning, language
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


CALLS = [  # call, error, the sentence begins or holds
    (lambda: task(["Good.", " "]), ValueError, r"x_train must hold sentences, but x_train\[1\] is ' ': take it out"),
    (lambda: task(["Good.", 3]), ValueError, r"x_train must hold sentences, but x_train\[1\] is 3"),
    (lambda: task([1, 2]), ValueError, r"x_train must hold sentences, but x_train\[0\] is 1"),
    (lambda: task("Good."), ValueError, r"x_train must be a list of sentences, got one string: write \[x\]"),
    (lambda: task(torch.zeros(2, 3)), TypeError, r"x_train must be a list of sentences, got Tensor"),
    (lambda: task([]), ValueError, r"x_train must hold at least one sentence, got an empty list"),
    (lambda: task(y=None), TypeError, r"y_train must be 2 labels, got None: supervised learning needs a label for every text"),
    (lambda: task(y=[1, 0]), TypeError, r"y_train must be int64 N, got list \[1, 0\]: use torch.as_tensor"),
    (lambda: task(y=Y[:1]), ValueError, r"y_train has 1 labels for 2 texts in x_train: give one label for each text"),
    (lambda: task(y=Y + 1), ValueError, r"y_train must be from 0 to 1 \(there are 2 classes\), got 1 to 2"),
    (lambda: task(y=0 * Y), ValueError, r"y_train must hold at least 2 classes, got only 'negative': there is nothing to tell apart"),
    (lambda: task(classes=["good", "good"]), ValueError, r"classes must be a list of at least 2 different names, got .*: rename one of those called 'good'"),
    (lambda: task(x_valid=X), TypeError, r"y_valid must be 2 labels, got None"),
    (lambda: task().few_shot(2), ValueError, r"k must be"),
    (lambda: language.reviews("film"), ValueError, r"domain must be one of 'films', 'gadgets', 'restaurants', got 'film': did you mean 'films'"),
    (lambda: language.table("review"), ValueError, r"name must be one of 'reviews', 'questions', got 'review': did you mean 'reviews'"),
    (lambda: language.questions([24]), ValueError, r"topics must be numbers from 0 to 23, got 24"),
    (lambda: language.extract(net(), "Good."), ValueError, r"x must be a list of sentences, got one string"),
    (lambda: language.extract(net(), []), ValueError, r"x must hold at least one sentence"),
    (lambda: language.extract(net(), X, ["layer7"]), ValueError, r"stage 'layer7' does not exist in minilm.*did you mean"),
    (lambda: language.predict(net(), [b"Good."]), ValueError, r"x must hold sentences, but x\[0\] is b'Good.'"),
    (lambda: language.pieces(net(), ""), ValueError, r"x must hold sentences, but x\[0\] is ''"),
    (lambda: finetuning.fine_tune(net(), data.load("digits"), 1, 0, cache=False), TypeError, r"x must be a list of sentences, got Tensor"),
    (lambda: language.add_lora(backbones.course_net()), TypeError, r"net must be a TextBackbone, got Backbone: load one with"),
    (lambda: language.add_lora(language.add_lora(backbones.load("minilm"))), ValueError, r"net has LoRA additions already"),
    (lambda: language.add_lora(backbones.load("minilm"), rank=0), ValueError, r"rank must be a whole number of 1 or more, got 0"),
    (lambda: language.coral(Z, Z[:, :3]), ValueError, r"zs and zt must have as many features, got 4 and 3"),
    (lambda: language.coral(Z, np.where(Z > 1, np.nan, Z)), ValueError, r"zt must be features, float N×D, got NaN or infinity in row"),
    (lambda: features.linear_probe(Z, [0] * 6), ValueError, r"y must hold at least 2 classes"),
    (lambda: language.check_tags([(["Ana", "sleeps"], ["B-PER"])]), ValueError, r"sentence 0 must have a tag for every word, got 2 words and 1 tags"),
    (lambda: language.check_tags([(["Ana"], ["PER"])]), ValueError, r"tags of sentence 0 must be of O, B-PER, .*got 'PER'"),
    (lambda: language.check_tags([(["Ana", "V"], ["B-PER", "I-LOC"])]), ValueError, r"sentence 0 has 'I-LOC' after 'B-PER': an entity begins with B-LOC"),
    (lambda: language.tag_task([(["Ana"], ["I-PER"])]), ValueError, r"sentence 0 has 'I-PER' after 'O'"),
    (lambda: language.entity_f1([["O"]], [["O", "O"]]), ValueError, r"right and guessed must have as many tags, sentence 0 has 1 and 2"),
    (lambda: language.entity_f1([["O"]], []), ValueError, r"right and guessed must have as many sentences, got 1 and 0"),
    (lambda: language.Scores(bert(), foreign()), ValueError, r"tokenize must be the network's own tokenizer, which knows 30522 pieces, got one that knows 2"),
    (lambda: language.train_with_trainer(bert(), foreign(), task(), 1, 1e-4), ValueError, r"tokenize must be the network's own tokenizer"),
    (lambda: language.train_with_trainer(bert(), net().preprocess, X, 1, 1e-4), TypeError, r"task must be a TextTask, got list"),
    (lambda: language.answer("Who?", ""), ValueError, r"x must hold sentences, but x\[1\] is ''"),
    (lambda: language.answer("Who?", "Ana.", "nobody/nothing"), OSError, r"the weights of 'nobody/nothing' could not be fetched: they need a network once"),
]


@pytest.mark.parametrize("i", range(len(CALLS)))
def test_wrong_call(i):
    call, error, sentence = CALLS[i]
    with pytest.raises(error, match=sentence) as found: call()
    assert "\n" not in str(found.value)

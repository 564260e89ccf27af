"""Lesson 13: wrong arguments of places, towers, names and emoji get one sentence."""
import numpy as np
import torch
from harness import refused, rows

from transfer_course import backbones, crossmodal, data, emoji, named

S, P = np.random.default_rng(0).normal(size=(6, 4)), torch.randn(6, 4).softmax(1)
U, V = torch.randn(8, 5), torch.randn(8, 3)

TABLE = {
    "scores that aren't square": (lambda: crossmodal.places(S), ValueError, ["as high as wide", "(6, 4)", "right="]),
    "too few right columns": (lambda: crossmodal.places(S, [0, 1]), ValueError, ["scores and right must have the same length"]),
    "a column that isn't there": (lambda: crossmodal.places(S, [0, 1, 2, 3, 4, 0]), ValueError, ["from 0 to 3", "count columns from 0"]),
    "names in place of columns": (lambda: crossmodal.places(S, ["a"] * 6), (TypeError, ValueError), ["right must be"]),
    "NaN among the scores": (lambda: crossmodal.places(np.where(S > 1, np.nan, S)), ValueError, ["scores must be a table N×D of finite numbers"]),
    "one vector": (lambda: crossmodal.found_often(S[0]), ValueError, ["scores must be a table"]),
    "no list": (lambda: crossmodal.found_often(S, 0), ValueError, ["k must be"]),
    "scores in place of probabilities": (lambda: crossmodal.conse(S, S.T), ValueError, ["shares must be probabilities"]),
    "names of other classes": (lambda: crossmodal.conse(P, np.ones((5, 2))), ValueError, ["4 columns", "5 rows", "one name for each class"]),
    "pairs without a partner": (lambda: crossmodal.info_nce(U, U[:5]), ValueError, ["u and v must have the same length"]),
    "no temperature": (lambda: crossmodal.info_nce(U, U, 0), ValueError, ["temperature must be", "above 0"]),
    "arrays in place of tensors": (lambda: crossmodal.info_nce(S, S), (TypeError, ValueError), ["u must be features N×D"]),
    "texts of other pictures": (lambda: crossmodal.fit_towers(U, V[:6]), ValueError, ["z and t must have the same length"]),
    "a batch of one": (lambda: crossmodal.fit_towers(U, V, batch=1), ValueError, ["batch must be a whole number of 2 or more"]),
    "everything dropped": (lambda: crossmodal.fit_towers(U, V, dropout=1), ValueError, ["dropout must be"]),
    "no names": (lambda: named.name_vectors([]), ValueError, ["texts must be a list of sentences"]),
    "one name": (lambda: named.name_vectors("a cat"), ValueError, ["write [x]"]),
    "rows of a network that reads": (lambda: named.class_rows(backbones.load("minilm")), ValueError, ["a head with a linear layer"]),
    "rows of no network": (lambda: named.class_rows("minilm"), TypeError, ["net must be a Backbone"]),
    "an artist nobody knows": (lambda: data.load("emoji", artist="apple"), ValueError, ["artist must be one of 'twemoji'"]),
    "an artist of digits": (lambda: data.load("digits", artist="noto"), ValueError, ["artist must be left out", "emoji alone"]),
    "pictures of no artist": (lambda: emoji.pictures(None), (TypeError, ValueError), ["artist must be"]),
}


@rows(TABLE)
def test_wrong_call(call, kinds, words): refused(call, kinds, words)

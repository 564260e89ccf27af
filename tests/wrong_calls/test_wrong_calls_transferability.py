"""Lesson 14: wrong arguments of the scores, of `choose` and of the pool get one sentence."""
import numpy as np
import torch
from harness import refused, rows

from transfer_course import candidates, data, transferability

Z, Y = np.random.default_rng(0).normal(size=(12, 5)), np.arange(12) % 3
P = np.full((12, 4), 0.25)
X = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)

TABLE = {
    "pictures in place of features": (lambda: transferability.neighbour_score(X, [0, 1]), ValueError, ["z must be features", "extract(net, x)"]),
    "features and labels differ": (lambda: transferability.logme(Z, Y[:5]), ValueError, ["z and y must have the same length"]),
    "NaN in a row": (lambda: transferability.h_score(np.where(Z > 1, np.nan, Z), Y), ValueError, ["NaN or infinity in row"]),
    "labels as shares": (lambda: transferability.gbc(Z, P), ValueError, ["y must be whole class numbers"]),
    "scores in place of probabilities": (lambda: transferability.leep(10 * Z, Y), ValueError, ["p must be probabilities", "softmax"]),
    "arguments swapped": (lambda: transferability.leep(Y, P), ValueError, ["p must be probabilities"]),
    "probabilities of other pictures": (lambda: transferability.nce(P[:4], Y), ValueError, ["same length"]),
    "one class for a probe": (lambda: transferability.probe_score(Z, 0 * Y), ValueError, ["at least 2 classes"]),
    "more folds than labels": (lambda: transferability.probe_score(Z, Y, 5), ValueError, ["5 labels or more of each class"]),
    "half a fold": (lambda: transferability.probe_score(Z, Y, 2.5), ValueError, ["folds must be a whole number"]),
    "one picture of a class": (lambda: transferability.gbc(Z, np.r_[Y[:-1], 7]), ValueError, ["2 labels or more", "class 7"]),
    "one class for a mixture": (lambda: transferability.n_leep(Z, 0 * Y), ValueError, ["at least 2 classes"]),
    "one class for evidence": (lambda: transferability.logme(Z, 0 * Y), ValueError, ["at least 2 classes"]),
    "one class for the H-score": (lambda: transferability.h_score(Z, 0 * Y), ValueError, ["at least 2 classes"]),
    "one picture of each class": (lambda: transferability.neighbour_score(Z[:1], Y[:1]), ValueError, ["at least 2 classes"]),
    "published by its name": (lambda: transferability.logme(Z, Y, published="yes"), ValueError, ["published must be True or False"]),
    "a score that is NaN": (lambda: transferability.regret([np.nan, 1], [1, 2]), ValueError, ["score must be one finite number for each candidate"]),
    "names in place of scores": (lambda: transferability.ranking(["a", "b"], [1, 2]), ValueError, ["score must be one finite number"]),
    "another number of truths": (lambda: transferability.regret([1, 2, 3], [1, 2]), ValueError, ["score and truth must have the same length"]),
    "no task": (lambda: transferability.choose("digits"), TypeError, ["task must be a Task", "data.load(name)"]),
    "names of candidates": (lambda: transferability.choose(data.load("digits"), ["Lite0 at 64"]), ValueError, ["candidates must be a list of candidates", "candidates.POOL"]),
    "no candidate": (lambda: transferability.choose(data.load("digits"), []), ValueError, ["candidates must be a list of candidates"]),
    "one label per class": (lambda: transferability.choose(data.load("digits"), first=1), ValueError, ["first must be a whole number of 2 or more"]),
    "the name of a score": (lambda: transferability.choose(data.load("digits"), halve="logme"), TypeError, ["halve must be a function", "without quotes"]),
    "a network that isn't in the pool": (lambda: candidates.network("Lite3 at 64"), ValueError, ["name must be one of", "did you mean"]),
    "floats in place of pictures": (lambda: candidates.features(X / 255), ValueError, ["x must be uint8 N×C×H×W"]),
    "no labelled picture": (lambda: candidates.labelled(Y, 0), ValueError, ["n must be a whole number"]),
}


@rows(TABLE)
def test_wrong_call(call, kinds, words): refused(call, kinds, words)

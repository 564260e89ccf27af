"""What lesson 18's functions say to what they can't take."""
import numpy as np
from harness import refused, rows

from transfer_course import classical, tabular

X, Y = np.zeros((4, 3)), np.array([0, 1, 0, 1])
W = np.ones(4)

TABLE = {
    "one row as a vector": (lambda: classical.coral_align(X[0], X), ValueError, ["xs", "x[:, None]"]),
    "NaN in a table": (lambda: classical.density_ratio(np.full((3, 2), np.nan), X[:, :2]), ValueError, ["xs", "NaN"]),
    "an empty table": (lambda: classical.transfer_components(X, np.zeros((0, 3))), ValueError, ["xt", "empty"]),
    "words in a table": (lambda: classical.subspace_alignment([["a", "b"]], X), ValueError, ["xs", "numbers"]),
    "pictures": (lambda: classical.coral_align(np.zeros((2, 1, 8, 8)), X), ValueError, ["xs", "flatten each example"]),
    "other columns": (lambda: classical.subspace_alignment(X, X[:, :2]), ValueError, ["same columns", "3 and 2"]),
    "other columns in boosting": (lambda: classical.tradaboost(X, Y, X[:, :2], Y), ValueError, ["same columns"]),
    "labels of another length": (lambda: classical.tradaboost(X, Y[:3], X, Y), ValueError, ["xs and ys", "4", "3"]),
    "target labels of another length": (lambda: classical.tradaboost(X, Y, X, Y[:3]), ValueError, ["xt and yt"]),
    "labels that are shares": (lambda: classical.tradaboost(X, Y / 2, X, Y), (ValueError, TypeError), ["ys", "int64"]),
    "one round": (lambda: classical.tradaboost(X, Y, X, Y, rounds=1), ValueError, ["rounds", "2"]),
    "a strength of 0": (lambda: classical.tradaboost(X, Y, X, Y, C=0), ValueError, ["C", "above 0"]),
    "no directions": (lambda: classical.subspace_alignment(X, X, d=0), ValueError, ["d must be", "1 or more"]),
    "half a component": (lambda: classical.transfer_components(X, X, d=2.5), ValueError, ["d must be", "whole number"]),
    "a negative ridge": (lambda: classical.coral_align(X, X, ridge=-1), ValueError, ["ridge", "above 0"]),
    "negative weights": (lambda: classical.effective_sample_size([-1, 2]), ValueError, ["weights", "0 or more"]),
    "weights of 0": (lambda: classical.effective_sample_size([0, 0]), ValueError, ["weights", "not all of them 0"]),
    "weights in a table": (lambda: classical.effective_sample_size(X), ValueError, ["weights", "N weights"]),
    "values of another length": (lambda: classical.ridge_towards(None, X, W[:2]), ValueError, ["x and y", "same length"]),
    "values with NaN": (lambda: classical.ridge_towards(None, X, [1, 2, 3, np.nan]), ValueError, ["y must be", "finite"]),
    "a camera that is not there": (lambda: tabular.office_surf("cannon"), ValueError, ["domain", "amazon"]),
    "digits that are not there": (lambda: tabular.digits8("mnist"), ValueError, ["name", "mnist_5k"]),
}


@rows(TABLE)
def test_wrong_call(call, kinds, words): refused(call, kinds, words)

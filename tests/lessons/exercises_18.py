"""Exercises of lesson 18: reference solutions, and wrong ones with a part of the message that each shall get; test_checks.py tries them all."""
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import scale

from transfer_course import classical
from transfer_course.checks import classical as key


def match(xs, xt):
    z, _ = classical.coral_align(xs - xs.mean(0), xt - xt.mean(0), ridge=1e-9)
    return z + xt.mean(0)


def tempered(weights, least):
    for p in np.linspace(1, 0, 2001):
        w = weights ** p
        if classical.effective_sample_size(w) >= least: return w


def by_hand(weights, least): return np.minimum(weights, np.quantile(weights, 0.5))


def carry(source, target):
    """Alone, pooled, or half and half: whichever is right more often on target rows that it has not seen."""
    x, y = target
    ways, right = {"alone": classical.alone, "pooled": classical.pooled}, {"alone": 0, "pooled": 0}
    for learn, held in StratifiedKFold(4, shuffle=True, random_state=0).split(x, y):
        for name, way in ways.items(): right[name] += (way(source, (x[learn], y[learn]))(x[held]) == y[held]).sum()
    return ways[max(right, key=right.get)](source, target)


def new_shares(p, old):
    new = old
    for _ in range(200):
        q = p * new / old
        new = (q / q.sum(1, keepdims=True)).mean(0)
    return new


def source_only(source, target): return LogisticRegression(max_iter=500).fit(*source).predict


RIGHT = {"18-1": match, "18-2": tempered, "18-3": carry, "18-4": new_shares}

WRONG = [("18-1", lambda xs, xt: classical.coral_align(xs, xt, ridge=1e-9)[0], "the mean is not"),
         ("18-1", lambda xs, xt: xs - xs.mean(0) + xt.mean(0), "the covariance is not"),
         ("18-1", lambda xs, xt: scale(xs) * xt.std(0) + xt.mean(0), "the covariance is not"),
         ("18-1", lambda xs, xt: xs, "neither"),
         ("18-1", lambda xs, xt: xt, "shape"),
         ("18-2", lambda w, least: w, "too few"),
         ("18-2", lambda w, least: np.ones_like(w), "stay as they are"),
         ("18-2", by_hand, "stay as they are"),
         ("18-2", lambda w, least: w if classical.effective_sample_size(w) >= least else np.ones_like(w), "largest power"),
         ("18-2", lambda w, least: None, "return"),
         ("18-3", classical.alone, "on a source that fits"),
         ("18-3", classical.pooled, "on a source that misleads"),
         ("18-3", source_only, "on a source that misleads"),
         ("18-3", lambda s, t: None, "must return a function"),
         ("18-4", lambda p, old: p.mean(0), "leans towards the old shares"),
         ("18-4", lambda p, old: np.bincount(p.argmax(1), minlength=len(old)) / len(p), "biased too"),
         ("18-4", lambda p, old: key.shares_by_em(p, old, 2), "one round"),
         ("18-4", lambda p, old: p.sum(0), "sum to")]

"""Exercises of lesson 16: reference solutions, and wrong ones with a part of the message that each shall get; test_checks.py tries them all."""
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score


def leak(z, group): return cross_val_score(LogisticRegression(max_iter=500), z, group, cv=5).mean()
def by_heart(z, group): return LogisticRegression(max_iter=500).fit(z, group).score(z, group)
def of_one_column(z, group): return max(0.5 + abs(np.corrcoef(column, group)[0, 1]) / 2 for column in z.T)


def directions(pairs, least=1e-3, centred=False):
    sizes, v = np.linalg.svd(pairs - pairs.mean(0) * centred, full_matrices=False)[1:]
    return v[sizes > least * sizes[0]]


def blind(z, pairs, **how):
    v = directions(pairs, **how)
    return z - z @ v.T @ v


def without_mean(z, pairs):
    v = pairs.mean(0) / np.linalg.norm(pairs.mean(0))
    return z - np.outer(z @ v, v)


def three(z, pairs):
    v = np.linalg.svd(pairs, full_matrices=False)[2][:3]
    return z - z @ v.T @ v


def cuts(p, right, group, share, among=None):
    among, low, high = right if among is None else among, 0.0, 1.0
    for _ in range(50):
        q = (low + high) / 2
        found = {g: np.quantile(p[among & (group == g)], q) for g in np.unique(group)}
        yes = p >= np.array([found[g] for g in group])
        low, high = (q, high) if yes.mean() > share else (low, q)
    return {str(g): float(v) for g, v in found.items()}


def one_cut(p, right, group, share): return {str(g): float(np.quantile(p, 1 - share)) for g in np.unique(group)}
def equal_shares(p, right, group, share): return cuts(p, right, group, share, np.ones(len(p), bool))
def share_of_right(p, right, group, share): return {str(g): float(np.quantile(p[right & (group == g)], 1 - share)) for g in np.unique(group)}


def robust(z, y):
    wrong = LogisticRegression(C=0.001, max_iter=500).fit(z, y).predict(z) != y
    group = 2 * y + wrong
    weight = len(y) / 4 / np.bincount(group, minlength=4).clip(1)[group]
    return LogisticRegression(max_iter=500).fit(z, y, sample_weight=weight).predict


def plain(z, y): return LogisticRegression(max_iter=500).fit(z, y).predict
def mistakes_only(z, y):
    wrong = LogisticRegression(max_iter=500).fit(z, y).predict(z) != y
    return LogisticRegression(max_iter=500).fit(z[wrong], y[wrong]).predict


RIGHT = {"16-1": leak, "16-2": blind, "16-3": cuts, "16-4": robust}

WRONG = [("16-1", by_heart, "rows it had seen"),
         ("16-1", lambda z, g: 0.5, "nearly certain"),
         ("16-1", lambda z, g: 1 - leak(z, g), "nearly certain"),
         ("16-1", of_one_column, "rows it had seen|nearly certain|8 of 10"),
         ("16-1", lambda z, g: 100 * leak(z, g), "from 0 to 1"),
         ("16-2", lambda z, p: z, "nothing was taken out"),
         ("16-2", without_mean, "something is left"),
         ("16-2", three, "do not differ"),
         ("16-2", lambda z, p: blind(z, p, least=1e-9), "do not differ"),
         ("16-2", lambda z, p: 0 * z, "do not differ"),
         ("16-2", lambda z, p: None, "return"),
         ("16-3", one_cut, "differs by"),
         ("16-3", equal_shares, "differs by"),
         ("16-3", share_of_right, "yes is said to"),
         ("16-3", lambda *a: list(cuts(*a).values()), "must give a dict"),
         ("16-4", plain, "75 were asked for"),
         ("16-4", mistakes_only, "75 were asked for"),
         ("16-4", lambda z, y: LogisticRegression(class_weight="balanced").fit(z, y).predict, "75 were asked for"),
         ("16-4", lambda z, y: plain(z, y)(z), "must return a function")]

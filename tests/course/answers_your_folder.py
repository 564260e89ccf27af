"""Wrong answers to homework 6 with a part of the message that each shall get, and right ones with the rounding of single precision."""
import math

import numpy as np
from scipy import stats


def leaks(hashes, parts, twice=False, only=None, order=sorted):
    found = [h for h in dict.fromkeys(hashes) if len({p for g, p in zip(hashes, parts) if g == h and (not only or p in only)}) > 1 or twice and hashes.count(h) > 1]
    return order(found)


def dealt(sources, test, key=None, reverse=False, late=False):
    held, n = set(), 0
    for s in sorted(dict.fromkeys(sources), key=key or sources.count, reverse=reverse):
        if n >= test * len(sources): break
        if late and n + sources.count(s) > test * len(sources): break
        held.add(s)
        n += sources.count(s)
    return ["test" if s in held else "train" for s in sources]


def by_picture(sources, test): return ["test" if i < test * len(sources) else "train" for i in range(len(sources))]


def rated(right, sources, ddof=1, factor=None, pictures=False):
    right, sources = np.asarray(right, float), np.asarray(sources)
    v = right if pictures else np.array([right[sources == s].mean() for s in np.unique(sources)])
    reach = (factor or stats.t.ppf(0.975, len(v) - 1)) * v.std(ddof=ddof) / len(v)**0.5
    return v.mean(), v.mean() - reach, v.mean() + reach


def doubtful(p, y, fixed=None, own=True, simple=False, backwards=False):
    p, y = np.asarray(p), np.asarray(y)
    least = np.array([fixed or p[y == c, c].mean() for c in range(p.shape[1])])
    other = np.arange(p.shape[1]) != y[:, None]
    bad = (p >= least - 1e-9) & other & ((p > p[np.arange(len(y)), y][:, None]) | (not own))
    found = np.flatnonzero(p.argmax(1) != y if simple else bad.any(1)).tolist()
    return found[::-1] if backwards else found


def error(p, y, bins, weigh=True):
    sure, right = p.max(1), p.argmax(1) == y
    which = np.ceil(sure * bins)
    return float(sum(abs(sure[i].mean() - right[i].mean()) * (i.mean() if weigh else 1) for i in (which == b for b in np.unique(which))))


def least(p, y, most, of_all=False, last=False, never=math.inf):
    sure, wrong = p.max(1), p.argmax(1) != y
    good = [t for t in np.unique(sure) if (wrong[sure >= t].sum() / (len(y) if of_all else (sure >= t).sum())) <= most + 1e-12]
    return (max if last else min)(good) if good else never


WRONG = [
    ("copies", lambda h, p: leaks(h, p, twice=True), "no leak|twice in one part"), ("copies", lambda h, p: leaks(h, p, only=("train", "test")), "valid and another"),
    ("copies", lambda h, p: leaks(h, p, order=lambda f: sorted(f, reverse=True)), "sorted"), ("copies", lambda h, p: [], "entries"),
    ("parts_of", by_picture, "two parts|a half"), ("parts_of", lambda s, t: dealt(s, t, reverse=True), "from the smallest|a half"),
    ("parts_of", lambda s, t: dealt(s, t, late=True), "too few|too little"), ("parts_of", lambda s, t: s, "are called"),
    ("rate_with_interval", lambda r, s: rated(r, s, pictures=True), "5/9|units must be sources"), ("rate_with_interval", lambda r, s: rated(r, s, factor=1.96), "not 1.96"),
    ("rate_with_interval", lambda r, s: rated(r, s, ddof=0), "n − 1 below"), ("rate_with_interval", lambda r, s: 0.5, "must give a list"),
    ("suspected", lambda p, y: doubtful(p, y, simple=True), "has no say"), ("suspected", lambda p, y: doubtful(p, y, fixed=0.5), "0.5 for all"),
    ("suspected", lambda p, y: doubtful(p, y, own=False), "larger probability"), ("suspected", lambda p, y: doubtful(p, y, backwards=True), "rising order"), ("suspected", lambda p, y: [], "row 2"),
    ("gap", lambda p, y, b: error(p, y, b, weigh=False), "0.05|without their weights"), ("gap", lambda p, y, b: error(p, y, 1), "0.05|one bin"), ("gap", lambda p, y, b: p, "one number"),
    ("answered", lambda p, y, m: least(p, y, m, of_all=True), "of all pictures"), ("answered", lambda p, y, m: least(p, y, m, last=True), "from 0.8|lower threshold"),
    ("answered", lambda p, y, m: least(p, y, m, never=1.0), "math.inf"), ("answered", lambda p, y, m: 0.0, "from 0.8"),
]


def narrow(value): return np.float32(value).astype(float).tolist()


RIGHT = {"rate_with_interval": lambda f: lambda r, s: tuple(narrow(f(r, s))),
         "gap": lambda f: lambda p, y, b: float(np.float32(f(p, y, b))),
         "answered": lambda f: lambda p, y, m: float(np.float32(f(p, y, m)))}

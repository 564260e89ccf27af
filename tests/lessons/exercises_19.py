"""Exercises of lesson 19: reference solutions, and wrong ones with a part of the message that each shall get; test_checks.py tries them all."""
import math

import numpy as np
from scipy.sparse.csgraph import connected_components


def cosines(z):
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    return z @ z.T


def sources_from(z, least): return connected_components(cosines(z) >= least)[1]
def without_chains(z, least): return (cosines(z) >= least).argmax(1)


def without_length(z, least):
    """Inner products instead of cosines."""
    return connected_components(z @ z.T >= least)[1]


def labels_needed(n, error, goal):
    slope, height = np.polyfit(np.log(n), np.log(error), 1)
    return None if slope >= 0 else math.ceil(math.exp((math.log(goal) - height) / slope))


def straight(n, error, goal):
    slope, height = np.polyfit(n, error, 1)
    return None if slope >= 0 else math.ceil((goal - height) / slope)


def half_logs(n, error, goal):
    slope, height = np.polyfit(np.log(n), error, 1)
    return None if slope >= 0 else math.ceil(math.exp((goal - height) / slope))


def never_none(n, error, goal):
    slope, height = np.polyfit(np.log(n), np.log(error), 1)
    return math.ceil(math.exp((math.log(goal) - height) / slope))


def price(p, y, t, miss, alarm): return miss * ((p < t) & (y == 1)).sum() + alarm * ((p >= t) & (y == 0)).sum()
def cheapest(p, y, miss, alarm): return min([*p, 1.5], key=lambda t: price(p, y, t, miss, alarm))


def by_theory(p, y, miss, alarm):
    """The right threshold of calibrated probabilities, which these are not."""
    return alarm / (miss + alarm)


def least_sure(p, y, most):
    sure, wrong = p.max(1), p.argmax(1) != y
    good = [t for t in sorted(sure) if wrong[sure >= t].mean() <= most]
    return good[0] if good else None


def of_all(p, y, most):
    """The share of all pictures instead of those answered."""
    sure, wrong = p.max(1), p.argmax(1) != y
    return next((t for t in sorted(sure) if (wrong & (sure >= t)).mean() <= most), None)


def surest(p, y, most):
    """A threshold that keeps to it, and not the lowest."""
    sure, wrong = p.max(1), p.argmax(1) != y
    good = [t for t in sorted(sure) if wrong[sure >= t].mean() <= most]
    return good[-1] if good else None


def faults(table):
    found, parts = set(), ("train", "test")
    if (table.groupby("hash").part.nunique() > 1).any(): found.add("double")
    if (table.groupby("source").part.nunique() > 1).any(): found.add("source")
    here = [set(table.name[table.part == p]) for p in parts]
    if here[0] != here[1]: found.add("missing")
    if (table.groupby("name").width.nunique() == 1).all() and table.width.nunique() > 1: found.add("size")
    return found


def any_copy(table): return faults(table) | ({"double"} if table.hash.duplicated().any() else set())
def any_source(table): return faults(table) | ({"source"} if table.source.duplicated().any() else set())


RIGHT = {"19-1": sources_from, "19-2": labels_needed, "19-3": cheapest, "19-4": least_sure, "19-5": faults}

WRONG = [("19-1", without_chains, "parted"),
         ("19-1", without_length, "joined"),
         ("19-1", lambda z, least: np.zeros(len(z)), "one source"),
         ("19-1", lambda z, least: np.arange(len(z)), "parted"),
         ("19-1", lambda z, least: None, "return"),
         ("19-2", straight, "without logarithms"),
         ("19-2", half_logs, "too"),
         ("19-2", never_none, "no number will do"),
         ("19-2", lambda n, e, g: max(n), "elsewhere"),
         ("19-2", lambda n, e, g: None, "the errors fall"),
         ("19-3", lambda p, y, miss, alarm: 0.5, "less"),
         ("19-3", by_theory, "less"),
         ("19-3", lambda p, y, miss, alarm: cheapest(p, y, alarm, miss), "changed places"),
         ("19-3", lambda p, y, miss, alarm: None, "a number was expected"),
         ("19-4", of_all, "wrong"),
         ("19-4", surest, "could be"),
         ("19-4", lambda p, y, most: 1 - most, ""),
         ("19-4", lambda p, y, most: 2.0, "nothing is answered"),
         ("19-4", lambda p, y, most: None, "keeps to it"),
         ("19-5", any_copy, "was found as well"),
         ("19-5", any_source, "was found as well"),
         ("19-5", lambda t: faults(t) - {"size"}, "not found"),
         ("19-5", lambda t: sorted(faults(t)), "a set of words"),
         ("19-5", lambda t: set(), "not found")]

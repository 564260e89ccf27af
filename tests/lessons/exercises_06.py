"""Exercises of lesson 06: reference solutions, and wrong ones with a part of the message that each shall get; test_checks.py tries them all."""
import math

import torch
import torch.nn.functional as F

from transfer_course.checks.inductive import test_by_seed as by_seed
from transfer_course.compare import compare


def measured_gain():
    d = compare(by_seed("together"), by_seed("alone"))
    return d.mean, d.low, d.high


def spread(factor=1.):
    d = by_seed("together") - by_seed("alone")
    return d.mean(), d.mean() - factor * d.std(ddof=1), d.mean() + factor * d.std(ddof=1)


def masked_loss(scores, y):
    keep = y >= 0
    return F.cross_entropy(scores[keep], y[keep]) if keep.any() else 0 * scores.sum()


def join(a, y, b, z):
    first, second = torch.cat([y, torch.full_like(z, -1)]), torch.cat([torch.full_like(y, -1), z])
    return torch.cat([a, b]), torch.stack([first, second], 1)


def with_zeros(a, y, b, z):
    x, labels = join(a, y, b, z)
    return x, labels.clamp(min=0)


def by_all(scores, y): return F.cross_entropy(scores, y, ignore_index=-1, reduction="sum") / len(y)


def unit(d): return d / d.norm()


def best_for_both(a, b):
    s = ((b - a) @ b / ((a - b) @ (a - b))).clamp(0, 1)
    return unit(s * a + (1 - s) * b)


def unclamped(a, b): return a * ((b - a) @ b / ((a - b) @ (a - b))) + b * (1 - (b - a) @ b / ((a - b) @ (a - b)))
def s_only(a, b): return best_for_both(a, b) * best_for_both(a, b).dot(a)


def mended(a, b):
    dot = a @ b
    return a + b if dot >= 0 else a - dot / (b @ b) * b + b - dot / (a @ a) * a


RIGHT = {"06-1": measured_gain, "06-2": masked_loss, "06-3": join, "06-4": lambda loss: 1 / (2 * loss), "06-5": best_for_both}

WRONG = [
    ("06-1", ..., "three dots"), ("06-1", (-60, -70, -50), "mean, low end, high end"), ("06-1", [v / 100 for v in measured_gain()], "these are shares"), ("06-1", [-v for v in (measured_gain()[i] for i in (0, 2, 1))], "alone − together"),
    ("06-1", spread(), "standard deviation"), ("06-1", spread(1.96 / 5**0.5), "not 1.96"), ("06-1", -7., "shape"), ("06-1", [measured_gain()[0], 0., 0.], "low end, high end"),
    ("06-2", lambda s, y: F.cross_entropy(s, y, ignore_index=-1), "gave nan"), ("06-2", lambda s, y: F.cross_entropy(s[y > 0], y[y > 0]), "0 is a class"), ("06-2", by_all, "divided by all pictures"),
    ("06-2", lambda s, y: F.cross_entropy(s, y.clamp(min=0)), "must not count|nothing to learn"), ("06-2", lambda s, y: F.cross_entropy(s, y), "raised IndexError"),
    ("06-2", lambda s, y: F.cross_entropy(s, y, ignore_index=-1, reduction="sum"), "the sum|was expected"), ("06-2", lambda s, y: None, "number was expected"),
    ("06-2", lambda s, y: masked_loss(s, y) if (y >= 0).any() else 1., "nothing to learn"), ("06-2", lambda s, y: masked_loss(s, y) if (y >= 0).any() else 0, "without a gradient"), ("06-2", 3, "function was expected"),
    ("06-3", with_zeros, "came out as 0"), ("06-3", lambda a, y, b, z: (join(a, y, b, z)[0], join(a, y, b, z)[1].flip(1)), "does not belong to"),
    ("06-3", lambda a, y, b, z: (join(a, y, b, z)[0].flip(0), join(a, y, b, z)[1]), "first the pictures"), ("06-3", lambda a, y, b, z: join(a, y, b, z)[0], "two things"),
    ("06-3", lambda a, y, b, z: (join(a, y, b, z)[0], torch.cat([y, z])), "shape"), ("06-3", lambda a, y, b, z: (join(a, y, b, z)[0], join(a, y, b, z)[1].float()), "int64"),
    ("06-4", lambda loss: 1 / loss, "s/2"), ("06-4", lambda loss: math.exp(-loss), "lower"), ("06-4", lambda loss: 1., "lower"), ("06-4", lambda loss: math.log(2 * loss), "above 0|lower"),
    ("06-4", lambda loss: None, "number was expected"),
    ("06-5", lambda a, b: unit(a + b), "another d gives|goes against"), ("06-5", lambda a, b: unit(mended(a, b)), "another d gives"), ("06-5", lambda a, b: unit(unit(a) + unit(b)), "another d gives"),
    ("06-5", lambda a, b: a, "length|goes against|another d"), ("06-5", lambda a, b: unit(a), "goes against|another d"), ("06-5", lambda a, b: s_only(a, b), "the length"), ("06-5", lambda a, b: None, "gave None"),
    ("06-5", lambda a, b: unit(unclamped(a, b)), "another d gives|goes against"),
]

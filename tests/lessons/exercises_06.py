"""Exercises of lesson 06: reference solutions, and wrong ones with a part of the message that each shall get; test_checks.py tries them all."""
import math

import torch
import torch.nn.functional as F

from transfer_course.checks.inductive import mean_test


def measured_gain():
    where = dict(source="digits on photographs", task="digit", other="photograph", labels=30)
    return 100 * (mean_test(way="together", how="equal", **where) - mean_test(way="alone", **where))


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


RIGHT = {"06-1": measured_gain, "06-2": masked_loss, "06-3": join, "06-4": lambda loss: 1 / (2 * loss)}

WRONG = [
    ("06-1", ..., "three dots"), ("06-1", 60, "too high"), ("06-1", -80, "too low"), ("06-1", 400, "between -100 and 100"), ("06-1", "few", "number was expected"),
    ("06-2", lambda s, y: F.cross_entropy(s, y, ignore_index=-1), "gave nan"), ("06-2", by_all, "divided by all pictures"),
    ("06-2", lambda s, y: F.cross_entropy(s, y.clamp(min=0)), "must not count|nothing to learn"), ("06-2", lambda s, y: F.cross_entropy(s, y), "raised IndexError"),
    ("06-2", lambda s, y: F.cross_entropy(s, y, ignore_index=-1, reduction="sum"), "the sum|was expected"), ("06-2", lambda s, y: None, "number was expected"),
    ("06-2", lambda s, y: masked_loss(s, y) if (y >= 0).any() else 1., "nothing to learn"), ("06-2", lambda s, y: masked_loss(s, y) if (y >= 0).any() else 0, "without a gradient"), ("06-2", 3, "function was expected"),
    ("06-3", with_zeros, "came out as 0"), ("06-3", lambda a, y, b, z: (join(a, y, b, z)[0], join(a, y, b, z)[1].flip(1)), "does not belong to"),
    ("06-3", lambda a, y, b, z: (join(a, y, b, z)[0].flip(0), join(a, y, b, z)[1]), "first the pictures"), ("06-3", lambda a, y, b, z: join(a, y, b, z)[0], "two things"),
    ("06-3", lambda a, y, b, z: (join(a, y, b, z)[0], torch.cat([y, z])), "shape"), ("06-3", lambda a, y, b, z: (join(a, y, b, z)[0], join(a, y, b, z)[1].float()), "int64"),
    ("06-4", lambda loss: 1 / loss, "s/2"), ("06-4", lambda loss: math.exp(-loss), "lower"), ("06-4", lambda loss: 1., "lower"), ("06-4", lambda loss: math.log(2 * loss), "above 0|lower"),
    ("06-4", lambda loss: None, "number was expected"),
]

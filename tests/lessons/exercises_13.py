"""Exercises of lesson 13: reference solutions, and wrong ones with a part of the message that each shall get; test_checks.py tries them all."""
import numpy as np
import torch
import torch.nn.functional as F

from transfer_course import crossmodal


def mean_reciprocal_place(scores, right): return (1 / crossmodal.places(scores, right)).mean()


def kind_to_ties(scores, right):
    own = scores[np.arange(len(scores)), right]
    return (1 / (1 + (scores > own[:, None]).sum(1))).mean()


def csls(s, k):
    near_rows = -np.partition(-s, k - 1, axis=1)[:, :k].mean(1)
    near_columns = -np.partition(-s, k - 1, axis=0)[:k].mean(0)
    return 2 * s - near_rows[:, None] - near_columns[None]


def by_mean(s, k): return 2 * s - s.mean(1, keepdims=True) - s.mean(0)


def hold_back(scores, right, seen):
    """The middle of the penalties with the best harmonic mean of both accuracies."""
    new = ~seen[right]

    def both(p):
        good = (scores - p * seen).argmax(1) == right
        a, b = good[new].mean(), good[~new].mean()
        return 2 * a * b / (a + b) if a + b else 0
    grid = np.linspace(-2, 10, 121)
    found = np.array([both(p) for p in grid])
    return grid[found >= found.max() - 0.01].mean()


def by_unseen(scores, right, seen): return 50.0


def info_nce_things(u, v, things, temperature):
    s = u @ v.T / temperature
    same = (things[:, None] == things[None]) & ~torch.eye(len(u), dtype=torch.bool)
    s = s.masked_fill(same, -torch.inf)
    i = torch.arange(len(u))
    return (F.cross_entropy(s, i) + F.cross_entropy(s.T, i)) / 2


def counted_right(u, v, things, temperature):
    s = u @ v.T / temperature
    same = (things[:, None] == things[None]).float()
    same = same / same.sum(1, keepdim=True)
    return (F.cross_entropy(s, same) + F.cross_entropy(s.T, same)) / 2


def one_way(u, v, things, temperature):
    same = (things[:, None] == things[None]) & ~torch.eye(len(u), dtype=torch.bool)
    return F.cross_entropy((u @ v.T / temperature).masked_fill(same, -torch.inf), torch.arange(len(u)))


RIGHT = {"13-1": mean_reciprocal_place, "13-2": csls, "13-3": hold_back, "13-4": info_nce_things}

WRONG = [("13-1", kind_to_ties, "equal scores"),
         ("13-1", lambda s, r: (1 / (1 + crossmodal.places(s, r))).mean(), "not with 0"),
         ("13-1", lambda s, r: crossmodal.places(s, r).mean(), "the mean place"),
         ("13-1", lambda s, r: 1 / crossmodal.places(s, r).mean(), "invert first"),
         ("13-2", by_mean, "means over all"),
         ("13-2", lambda s, k: csls(s, k) - s, "counts twice"),
         ("13-2", lambda s, k: 2 * s - np.sort(s, axis=0)[-k:].mean(0), "of the rows are missing"),
         ("13-2", lambda s, k: -csls(-s, k), "the k lowest"),
         ("13-3", lambda s, r, seen: 0.0, "harmonic mean"),
         ("13-3", by_unseen, "harmonic mean"),
         ("13-3", lambda s, r, seen: None, "return"),
         ("13-4", lambda u, v, things, t: crossmodal.info_nce(u, v, t), "counted as wrong"),
         ("13-4", counted_right, "counted as right"),
         ("13-4", one_way, "only one direction"),
         ("13-4", lambda u, v, things, t: info_nce_things(u, v, things, 1.0), "temperature is missing")]

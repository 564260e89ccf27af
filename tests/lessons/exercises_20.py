"""Exercises of lesson 20: reference solutions, and wrong ones with a part of the message that each shall get; test_checks.py tries them all."""
import numpy as np
import torch
import torch.nn.functional as F


def min_p(scores, share):
    p = F.softmax(scores, dim=0)
    p = p * (p >= share * p.max())
    return p / p.sum()


def surprise(scores, ids): return F.cross_entropy(scores[:-1], ids[1:]).exp()


def step(q, k, v, keys, values):
    keys, values = torch.cat([keys, k[:, None]], 1), torch.cat([values, v[:, None]], 1)
    out = F.scaled_dot_product_attention(q[:, None], keys, values)
    return out[:, 0], keys, values


def unscaled(q, k, v, keys, values): return step(q * q.shape[-1] ** 0.5, k, v, keys, values)


def without_itself(q, k, v, keys, values):
    _, longer_keys, longer_values = step(q, k, v, keys, values)
    return F.scaled_dot_product_attention(q[:, None], keys, values)[:, 0], longer_keys, longer_values


def kept_as_before(q, k, v, keys, values): return step(q, k, v, keys, values)[0], keys, values


def swapped(q, k, v, keys, values):
    out, keys, values = step(q, k, v, keys, values)
    return out, values, keys


def decide(odds, share):
    """Ranks in place of log-odds: no bias, no scale."""
    rank = odds.argsort(1).argsort(1).mean(0)
    return rank > np.quantile(rank, 1 - share)


RIGHT = {"20-1": min_p, "20-2": surprise, "20-3": step, "20-4": decide}

WRONG = [("20-1", lambda s, share: s.softmax(0), "nothing was left out"),
         ("20-1", lambda s, share: s.softmax(0) * (s.softmax(0) >= share * s.softmax(0).max()), "do not sum to 1"),
         ("20-1", lambda s, share: F.normalize(s.softmax(0) * (s.softmax(0) >= share), p=1, dim=0), "a share of the largest chance|not the chances of what is left"),
         ("20-1", lambda s, share: None, "return"),
         ("20-2", lambda s, i: F.cross_entropy(s, i).exp(), "the token after it"),
         ("20-2", lambda s, i: F.cross_entropy(s[1:], i[:-1]).exp(), "one token back|the token after it"),
         ("20-2", lambda s, i: F.cross_entropy(s[:-1], i[1:]), "the mean loss"),
         ("20-2", lambda s, i: F.cross_entropy(s[:-1], i[1:], reduction="sum").exp(), "the sum of the losses"),
         ("20-2", lambda s, i: F.cross_entropy(s[:-1], i[1:], reduction="none").exp().mean(), "exp of the mean"),
         ("20-3", unscaled, "not divided by the root"),
         ("20-3", without_itself, "does not look at itself"),
         ("20-3", kept_as_before, "keys"),
         ("20-3", swapped, "must be the old ones"),
         ("20-3", lambda q, k, v, keys, values: v, "three things"),
         ("20-4", lambda odds, share: odds.mean(0) > 0, "is possible"),
         ("20-4", lambda odds, share: (odds > 0).mean(0) > 0.5, "is possible"),
         ("20-4", lambda odds, share: odds[0] > np.quantile(odds[0], 1 - share), "is possible"),
         ("20-4", lambda odds, share: decide(odds, 0.5), "is possible"),
         ("20-4", lambda odds, share: odds.mean(0), "True or False")]

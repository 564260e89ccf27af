"""Exercises of lesson 03: reference solutions, and wrong ones with a part of the message that each shall get; test_checks.py tries them all."""
import torch
from sklearn.model_selection import cross_val_score

from transfer_course import backbones
from transfer_course.features import extract_stages, one_probe


def eval_features(net, x, stage=None, batch_size=32):
    with backbones.evaluating(net), torch.no_grad(): return torch.cat([net.features(b, stage) for b in x.split(batch_size)])


def in_train_mode(net, x, stage=None, batch_size=32):
    with torch.no_grad(): return torch.cat([net.features(b, stage) for b in x.split(batch_size)])


def left_in_eval(net, x, stage=None, batch_size=32):
    net.eval()
    return in_train_mode(net, x, stage, batch_size)


def train_afterwards(net, x, stage=None, batch_size=32):
    z = left_in_eval(net, x, stage, batch_size)
    net.train()
    return z


def with_gradient(net, x, stage=None, batch_size=32):
    with backbones.evaluating(net): return torch.cat([net.features(b, stage) for b in x.split(batch_size)])


def last_stage_only(net, x, stage=None, batch_size=32): return eval_features(net, x, None, batch_size)
def all_at_once(net, x, stage=None, batch_size=32): return eval_features(net, x, stage, len(x))
def first_batch_only(net, x, stage=None, batch_size=32): return eval_features(net, x[:batch_size], stage)


def with_new_weights(net, x, stage=None, batch_size=32):
    with torch.no_grad(): net.trunk.stem[0].weight.mul_(2)
    return eval_features(net, x, stage, batch_size)


def both(z, s1, s2): return torch.cat([z[s1], z[s2]], 1)


def both_and_kept(z, s1, s2):
    z["both"] = both(z, s1, s2)
    return z["both"]


def the_map(net, x, stage):
    m = net.preprocess(x)
    for name, module in net.trunk.named_children():
        m = module(m)
        if name == stage: return m


def halves(net, x, stage, how=lambda m: m.mean((2, 3))):
    m = the_map(net, x, stage)
    w = m.shape[3] // 2
    return torch.cat([how(m[..., :w]), how(m[..., w:])], 1)


def upper_and_lower(net, x, stage):
    m = the_map(net, x, stage)
    h = m.shape[2] // 2
    return torch.cat([m[:, :, :h].mean((2, 3)), m[:, :, h:].mean((2, 3))], 1)


def of_the_picture(net, x, stage):
    w = x.shape[3] // 2
    return torch.cat([net.features(x[..., :w], stage), net.features(x[..., w:], stage)], 1)


def recipe(net, x, y):
    """Every stage and pooling, by five held-out parts."""
    found = {}
    for pool in ("mean", "max", 2, 4):
        for stage, z in extract_stages(net, x, pool=pool, cache=False, progress=False).items():
            found[stage, pool] = cross_val_score(one_probe(z.numpy(), y.numpy(), 1.), z.numpy(), y.numpy(), cv=4).mean()
    return max(found, key=found.get)


RIGHT = {"03-1": eval_features, "03-2": both, "03-3": halves, "03-4": recipe}

WRONG = [
    ("03-1", in_train_mode, "memory has changed"), ("03-1", left_in_eval, "put back what you found"), ("03-1", train_afterwards, "put back what you found"),
    ("03-1", with_gradient, "carry a gradient"), ("03-1", last_stage_only, "shape"), ("03-1", all_at_once, "at once"), ("03-1", first_batch_only, "shape"),
    ("03-1", with_new_weights, "weights have changed"), ("03-1", lambda net, x, stage=None, batch_size=32: None, "gave None"),
    ("03-1", lambda *a: 0 * eval_features(*a), "not those of the network"), ("03-1", lambda *a: eval_features(*a).tolist(), "gave list"), ("03-1", 3, "function was expected"),
    ("03-2", lambda z, s1, s2: torch.cat([z[s2], z[s1]], 1), "stands first"), ("03-2", lambda z, s1, s2: torch.cat([z[s1], z[s2]]), "shape"),
    ("03-2", lambda z, s1, s2: z[s1], "shape"), ("03-2", lambda z, s1, s2: torch.cat(list(z.values())[:2], 1), "shape"), ("03-2", both_and_kept, "changed z itself"),
    ("03-2", lambda z, s1, s2: torch.nn.functional.normalize(both(z, s1, s2)), "unchanged and side by side"), ("03-2", lambda z, s1, s2: None, "gave None"),
    ("03-3", lambda net, x, stage: net.features(x, stage), "shape"), ("03-3", lambda net, x, stage: net.features(x, stage).repeat(1, 2), "whole map"),
    ("03-3", lambda net, x, stage: halves(net, x.flip(3), stage).roll(1, 1), "largest difference"), ("03-3", upper_and_lower, "upper and the lower"),
    ("03-3", lambda *a: halves(*a).unflatten(1, (2, -1)).flip(1).flatten(1), "right half stands first"), ("03-3", lambda *a: halves(*a, how=lambda m: m.sum((2, 3))), "sums"),
    ("03-3", lambda *a: halves(*a, how=lambda m: m.amax((2, 3))), "maxima"), ("03-3", of_the_picture, "halves of the picture"), ("03-3", lambda net, x, stage: None, "gave None"),
    ("03-3", lambda net, x, stage: halves(net, x, "stage2"), "shape"),
    ("03-4", lambda net, x, y: ("stem", "mean"), "on hidden pictures"),
    ("03-4", lambda net, x, y: ("stem", 4), "on hidden pictures"), ("03-4", lambda net, x, y: "stem", "were expected"), ("03-4", lambda net, x, y: None, "None"),
]

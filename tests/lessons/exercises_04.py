"""Exercises of lesson 04: reference solutions, and wrong ones with a part of the message that each shall get; test_checks.py tries them all."""
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.transforms import v2

from transfer_course.finetuning import augmented_copies, fine_tune, per_sample


def norms(net): return [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]


def sleep(layer, x): layer.eval()


def hold_norm(net):
    for m in norms(net):
        m.requires_grad_(False)
        m.register_forward_pre_hook(sleep)


def only_gradients(net):
    for m in norms(net): m.requires_grad_(False)


def only_memory(net):
    for m in norms(net): m.register_forward_pre_hook(sleep)


def woken_up(net):
    for m in norms(net): m.requires_grad_(False).eval()


def everything(net):
    hold_norm(net)
    net.requires_grad_(False)


def pull(weights, start, strength): return strength / 2 * sum((w - s).square().sum() for w, s in zip(weights, start))


def stopped(accuracies, patience):
    best = 0
    for i in range(len(accuracies)):
        if accuracies[i] > accuracies[best]: best = i
        if i - best == patience: return i + 1, best + 1
    return len(accuracies), best + 1


def late_ties(accuracies, patience):
    best = 0
    for i in range(len(accuracies)):
        if accuracies[i] >= accuracies[best]: best = i
        if i - best == patience: return i + 1, best + 1
    return len(accuracies), best + 1


def shaken(x, most=3):
    h, w = x.shape[2:]
    def move(p):
        i, j = torch.randint(0, 2 * most + 1, (2,)).tolist()
        return F.pad(p, (most,) * 4)[:, i:i + h, j:j + w]
    return torch.stack([move(p) for p in x])


def alike(x):
    i, j = torch.randint(0, 7, (2,)).tolist()
    return F.pad(x, (3,) * 4)[:, :, i:i + x.shape[2], j:j + x.shape[3]]


def around(x): return torch.stack([p.roll(torch.randint(-3, 4, (2,)).tolist(), (1, 2)) for p in x])


def fixed(x):
    torch.manual_seed(0)
    return shaken(x)


def shares(x): return torch.stack([v2.RandomAffine(0, translate=(3 / 32, 3 / 32))(p) for p in x])
def tenths(x): return torch.stack([v2.RandomAffine(0, translate=(0.1, 0.1))(p) for p in x])
def sideways(x): return torch.stack([v2.RandomAffine(0, translate=(0.1, 0))(p) for p in x])


HOW = dict(batch_size=26, lr_ratio=1., progress=False)
TURN = per_sample(v2.RandomAffine(10, translate=(0.1, 0.1), scale=(0.9, 1.1), interpolation=v2.InterpolationMode.BILINEAR))


def tune(net, few): fine_tune(net, augmented_copies(few, TURN, 12), 2, 0, lr=2e-3, freeze_upto="stage2", **HOW)
def head_alone(net, few): fine_tune(net, few, 12, 12, lr=3e-2, **HOW)
def last_stage(net, few): fine_tune(net, few, 12, 0, lr=3e-3, freeze_upto="stage2", **HOW)
def no_brake(net, few): fine_tune(net, augmented_copies(few, TURN, 6), 3, 0, lr=1e-2, freeze_upto="stem", **HOW)


RIGHT = {"04-1": hold_norm, "04-2": pull, "04-3": stopped, "04-4": shaken, "04-5": tune}
WRONG = [
    ("04-1", only_gradients, "statistics were written"), ("04-1", only_memory, "weights and biases"), ("04-1", woken_up, "statistics were written"),
    ("04-1", lambda net: None, "weights and biases"), ("04-1", everything, "only BatchNorm shall be held"), ("04-1", lambda net: net.freeze("stem"), "weights and biases"), ("04-1", 3, "function was expected"),
    ("04-2", lambda w, s, k: 2 * pull(w, s, k), "twice as much"), ("04-2", lambda w, s, k: k / 2 * sum(t.square().sum() for t in w), "weight decay"),
    ("04-2", lambda w, s, k: pull(w, s, k).detach(), "no gradient"), ("04-2", lambda w, s, k: pull(w, s, k).item(), "scalar tensor"),
    ("04-2", lambda w, s, k: k / 2 * sum((a - b).square().mean() for a, b in zip(w, s)), "mean"), ("04-2", lambda w, s, k: k / 2 * sum((a - b).norm() for a, b in zip(w, s)), "not a squared one"),
    ("04-3", late_ties, "too long|first of the best"), ("04-3", lambda a, p: stopped(a, p)[0], "two numbers"), ("04-3", lambda a, p: stopped(a, p + 1), "too long"),
    ("04-3", lambda a, p: (stopped(a, p)[0] - 1, stopped(a, p)[1] - 1), "count epochs from 1"), ("04-3", lambda a, p: (stopped(a, p)[0],) * 2, "took the weights"),
    ("04-3", lambda a, p: (len(a), a.index(max(a)) + 1), "too long"),
    ("04-4", alike, "moved alike"), ("04-4", around, "shall be black"), ("04-4", lambda x: x, "moved alike"), ("04-4", lambda x: shaken(x).float(), "uint8"),
    ("04-4", lambda x: shaken(x, 5), "3 are the most"), ("04-4", fixed, "draw anew"), ("04-4", lambda x: x.zero_(), "has changed"), ("04-4", sideways, "all four ways"),
    ("04-5", lambda net, few: None, "26 letters"), ("04-5", head_alone, "of the letters are asked"), ("04-5", last_stage, "of the letters are asked"), ("04-5", no_brake, "of the digits are asked"),
]

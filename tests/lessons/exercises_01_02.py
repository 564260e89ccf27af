"""Exercises of lessons 01 and 02: reference solutions, and wrong ones with a part of the message that each shall get; test_checks.py tries them all."""
import numpy as np
import torch

from transfer_course import data, gabor, training
from transfer_course.compare import compare
from transfer_course.learning_curves import STARTS, learn


def likeness(x):
    rows = x[:, 0].float().transpose(0, 1).flatten(1).numpy()
    return np.corrcoef(rows) - 2 * np.eye(len(rows))


def unmix(x):
    like = likeness(x)
    order = [int(like.sum(1).argmin())]  # a row at an end has the fewest neighbours
    while len(order) < len(like): order.append(max(set(range(len(like))) - set(order), key=lambda j: like[order[-1], j]))
    return order


def by_spectrum(x):
    like = (likeness(x) + 2 * np.eye(x.shape[2])).clip(0)
    values, vectors = np.linalg.eigh(np.diag(like.sum(1)) - like)
    return vectors[:, 1].argsort()


def by_brightness(x): return x.float().mean((0, 1, 3)).argsort()
def like_the_first(x): return likeness(x)[0].argsort()[::-1].copy()


def own_folder(folder, labels=5, steps=120, size=32, starts=STARTS, seeds=range(5)):
    task = data.from_folder(folder, size=size, progress=False, cache=False).split(0.2, seed=100)
    right = {s: [] for s in STARTS}
    for name, start in starts.items():
        for seed in seeds:
            net, _ = learn(start, task, labels, seed=seed, steps=steps)
            right[name].append(training.accuracy(net, task.x_test, task.y_test))
    return compare(right["pretrained"] or right["from scratch"], right["from scratch"])


def seconds_needed(accuracies, seconds, goal):
    i = np.flatnonzero(np.array(accuracies) >= goal)
    return float(np.sum(seconds[:i[0] + 1])) if len(i) else float("nan")


def strictly_above(accuracies, seconds, goal):
    i = np.flatnonzero(np.array(accuracies) > goal)
    return float(np.sum(seconds[:i[0] + 1])) if len(i) else float("nan")


def choose(labels, scratch, pretrained, price, network, goal):
    costs = {"from scratch": 0, "pretrained": network}
    for name, curve in {"from scratch": scratch, "pretrained": pretrained}.items():
        costs[name] += min((n * price for n, a in zip(labels, curve) if a >= goal), default=float("inf"))
    return "neither" if min(costs.values()) == float("inf") else min(costs, key=costs.get)


def my_gabor(size, wavelength, theta, sigma, phase): return gabor.gabor(size, wavelength, theta, sigma, phase=phase)


def direction(x): return 30 * int(gabor.energies(x[None], gabor.bank((7,), 6)).mean((0, 2, 3)).argmax())


def shuffled(weight, seed=0):
    rows = weight.flatten(1)
    order = torch.randperm(rows.shape[1], generator=torch.Generator().manual_seed(seed))
    return rows[:, order].view_as(weight)


def between_filters(weight, seed=0):
    order = torch.randperm(weight.numel(), generator=torch.Generator().manual_seed(seed))
    return weight.flatten()[order].view_as(weight)


def in_place(weight, seed=0):
    weight.copy_(shuffled(weight, seed))
    return weight


def placed(x, pairs):
    h, w = x.shape[2] // 2, x.shape[3] // 2
    quarters = [x[..., :h, :w], x[..., :h, w:], x[..., h:, :w], x[..., h:, w:]]
    return torch.cat([gabor.energies(q, pairs).mean((2, 3)) for q in quarters], 1)


def carried(x):
    e = gabor.energies(x, gabor.bank()).mean((2, 3)).view(len(x), 4, 6).sum(1)
    return e / e.sum(1, keepdim=True)


def many_banks(x):
    """Each direction's share at each wavelength, then the mean of the shares."""
    e = gabor.energies(x, gabor.bank((3, 4, 5, 6, 7, 8, 9))).mean((2, 3)).view(len(x), 7, 6).max(1).values
    return e / e.norm(dim=1, keepdim=True)


def off_centre(k, w, t, s, p, middle):
    y, x = np.mgrid[:k, :k] - middle
    return torch.from_numpy(np.exp(-(x**2 + y**2) / (2 * s**2)) * np.cos(2 * np.pi * (x * np.cos(t) + y * np.sin(t)) / w + p))


def own_energies(x): return gabor.energies(x, gabor.bank()).mean((2, 3))


RIGHT = {"01-1": unmix, "01-2": lambda labels: max(1, round(100 / -(-labels * 10 // 32))), "01-3": seconds_needed, "01-4": choose, "01-5": own_folder,
         "02-1": my_gabor, "02-2": direction, "02-3": shuffled, "02-4": placed, "02-5": carried}
ALSO_RIGHT = {"01-1": [by_spectrum], "02-5": [many_banks]}

WRONG = [
    ("01-1", lambda x: range(x.shape[2]), "were neighbours"), ("01-1", by_brightness, "were neighbours"), ("01-1", like_the_first, "were neighbours"),
    ("01-1", lambda x: x, "shape"), ("01-1", lambda x: [0] * x.shape[2], "each of the row numbers"), ("01-1", lambda x: None, "gave None"),
    ("01-5", lambda folder, labels, steps: 0.1, "Difference"), ("01-5", lambda folder, labels, steps: own_folder(folder, labels, steps, size=64), "sides of"),
    ("01-5", lambda folder, labels, steps: own_folder(folder, labels, steps, starts={"from scratch": STARTS["from scratch"]}), "a network of each start"),
    ("01-5", lambda folder: 0, "raised TypeError"),
    ("02-1", lambda k, w, t, s, p: off_centre(k, w, t, s, p, k // 2), "size // 2"), ("02-1", lambda k, w, t, s, p: off_centre(k, w, t, s, p, k / 2), "size / 2"),
    ("02-5", lambda x: gabor.texture(x, gabor.bank()), "differs between"), ("02-5", own_energies, "differs between"), ("02-5", lambda x: x.flatten(1).float(), "of the target"),
    ("02-5", lambda x: own_energies(x) / own_energies(x).sum(1, keepdim=True), "differs between"), ("02-5", lambda x: torch.zeros(len(x), 2), "tell the directions"),
    ("02-5", lambda x: own_energies(x).view(-1, 4, 6).sum(1), "differs between"), ("02-5", lambda x: own_energies(x)[:3], "shape"),
    ("01-2", lambda labels: max(1, round(100 * 32 / labels)), "steps"), ("01-2", lambda labels: round(100 / -(-labels * 10 // 32)), "less than one epoch"),
    ("01-2", lambda labels: 100 * 32 / (labels * 10), "whole numbers"), ("01-2", lambda labels: 20, "steps"),
    ("01-3", lambda a, s, goal: next((t for x, t in zip(a, s) if x >= goal), float("nan")), "one epoch alone|had passed"),
    ("01-3", strictly_above, "at the goal or above"), ("01-3", lambda a, s, goal: sum(s), "had passed|nan was expected"),
    ("01-3", lambda a, s, goal: None, "number was expected"), ("01-3", lambda a, s: 0, "raised TypeError"), ("01-3", 5, "function was expected"),
    ("01-4", lambda *case: "pretrained", "cheapest way"), ("01-4", lambda *case: 3, "a word was expected"),
    ("01-4", lambda n, s, p, price, network, goal: choose(n, s, p, price, 0, goal), "cheapest way"),
    ("02-1", lambda *n: None, "gave None"), ("02-1", lambda k, w, t, s, p: gabor.gabor(k, w, -t, s, phase=p), "y points down"),
    ("02-1", lambda k, w, t, s, p: gabor.gabor(k, w, t, s, phase=p).T, "exchanged"), ("02-1", lambda k, w, t, s, p: gabor.gabor(k, w, np.radians(t), s, phase=p), "radians"),
    ("02-1", lambda k, w, t, s, p: gabor.gabor(k, w, t, s, phase=-p), "other sign"), ("02-1", lambda k, w, t, s, p: torch.zeros(k, k + 1), "shape"),
    ("02-2", lambda x: (direction(x) + 90) % 180, "along and across"), ("02-2", lambda x: 0, "away from the truth"), ("02-2", lambda x: direction(x) / 30, "was expected|away"),
    ("02-3", between_filters, "its own numbers"), ("02-3", in_place, "make a copy"), ("02-3", lambda w, seed=0: w, "still in their places"),
    ("02-3", lambda w, seed=0: w.flatten(1)[:, torch.randperm(147)].view_as(w), "two different"), ("02-3", lambda w, seed=0: shuffled(w, 0), "the same result"),
    ("02-4", lambda x, pairs: gabor.energies(x, pairs).mean((2, 3)), "shape"), ("02-4", lambda x, pairs: gabor.energies(x, pairs).mean((2, 3)).repeat(1, 4), "stands out"),
    ("02-4", lambda x, pairs: placed(x, pairs).view(len(x), 4, -1).sort(1).values.flatten(1), "same block"),
]

"""Wrong answers to homework 4 with a part of the message that each shall get, and right ones with the rounding of single precision."""
import math

import numpy as np
import torch
import torch.nn.functional as F


def shares(q, k, below=None, ahead=True):
    scores = q @ k.T / (below or q.shape[1]**0.5)
    if ahead: scores = scores.masked_fill(torch.ones(len(q), len(q)).triu(1).bool(), -math.inf)
    return scores.softmax(1)


def pairs(z, y, m, turn=False, itself=False, total=False):
    i, j = torch.triu_indices(len(z), len(z), 1)
    d = ((z[i] - z[j])**2).sum(1).clamp(min=1e-12).sqrt()
    cost = torch.where((y[i] == y[j]) != turn, d**2, (m - d).clamp(min=0)**2)
    return cost.sum() if total else 2 * cost.sum() / len(z)**2 if itself else cost.mean()


def means(z, y, new, unit=True, distance=False):
    z, new = F.normalize(z, dim=1) if unit else z, F.normalize(new, dim=1) if not distance else new
    m = torch.stack([z[y == c].mean(0) for c in range(int(y.max()) + 1)])
    return torch.cdist(new, m).argmin(1) if distance else (new @ F.normalize(m, dim=1).T).argmax(1)


def folds(families, k, reverse=True, around=False):
    held, fold = [0] * k, {}
    for i, f in enumerate(sorted(dict.fromkeys(families), key=families.count, reverse=reverse)):
        fold[f] = i % k if around else held.index(min(held))
        held[fold[f]] += families.count(f)
    return [fold[f] for f in families]


def choice(scores, ddof=1, root=True, allow=True):
    best = max(scores, key=lambda s: np.mean(scores[s]))
    error = np.std(scores[best], ddof=ddof) / (len(scores[best])**0.5 if root else 1) * allow
    return next(s for s, v in scores.items() if np.mean(v) >= np.mean(scores[best]) - error - 1e-12)


WRONG = [
    ("looking_back", lambda q, k: shares(q, k, ahead=False), "comes later"), ("looking_back", lambda q, k: shares(q, k, below=1), "not divided"),
    ("looking_back", lambda q, k: shares(q, k, below=q.shape[1]), "not by its root"), ("looking_back", lambda q, k: shares(k, q), "up to each token"), ("looking_back", lambda q, k: q, "shape"),
    ("lora_weights", lambda s, r: sum(r * (a + b) for a, b in s), "learns whole"), ("lora_weights", lambda s, r: sum(a * b for a, b in s), "thin matrices"),
    ("lora_weights", lambda s, r: sum(min(a * b, r * a * b) for a, b in s), "thin matrices"), ("lora_weights", lambda s, r: s, "one number"),
    ("margin_loss", lambda z, y, m: pairs(z, y, m, turn=True), "must cost"), ("margin_loss", lambda z, y, m: pairs(z, y, m, total=True), "not the mean"),
    ("margin_loss", lambda z, y, m: pairs(z, y, m, itself=True), "25|itself"), ("margin_loss", lambda z, y, m: pairs(z.detach(), y, m), "grad"), ("margin_loss", lambda z, y, m: z, "one number"),
    ("nearest_mean", lambda z, y, n: means(z, y, n, unit=False), "length 1"), ("nearest_mean", lambda z, y, n: means(z, y, n, distance=True), "near to class|cosine"),
    ("nearest_mean", lambda z, y, n: torch.zeros(len(n)).long(), "near to class"), ("nearest_mean", lambda z, y, n: n, "shape"),
    ("family_folds", lambda f, k: [i % k for i in range(len(f))], "two folds"), ("family_folds", lambda f, k: folds(f, k, reverse=False), "largest"),
    ("family_folds", lambda f, k: folds(f, k, around=True), "the folds hold|go"), ("family_folds", lambda f, k: f, "numbers"),
    ("careful_choice", lambda s: choice(s, allow=False), "standard error"), ("careful_choice", lambda s: choice(s, root=False), "root of n"), ("careful_choice", lambda s: choice(s, ddof=0), "n below"),
    ("careful_choice", lambda s: next(iter(s)), "clearly ahead"), ("careful_choice", lambda s: 0, "name of a layer"),
]


def single(f): return lambda *args: f(*(a.float() if isinstance(a, torch.Tensor) and a.is_floating_point() else a for a in args))


RIGHT = {"looking_back": single, "margin_loss": single, "nearest_mean": single}

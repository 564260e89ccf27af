"""Exercises of lesson 08: reference solutions, and wrong ones with a part of the message that each shall get; test_checks.py tries them all."""
import numpy as np
import torch
import torch.nn.functional as F
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score

from transfer_course import unsupervised


def my_loss(a, b, temperature):
    z = F.normalize(torch.cat([a, b]), dim=1)
    alike = (z @ z.T / temperature).fill_diagonal_(-torch.inf)
    return F.cross_entropy(alike, torch.arange(len(z)).roll(len(a)))


def raw_loss(a, b, temperature):
    z = torch.cat([a, b])
    return F.cross_entropy((z @ z.T / temperature).fill_diagonal_(-torch.inf), torch.arange(len(z)).roll(len(a)))


def with_itself(a, b, temperature):
    z = F.normalize(torch.cat([a, b]), dim=1)
    return F.cross_entropy(z @ z.T / temperature, torch.arange(len(z)).roll(len(a)))


def one_way(a, b, temperature):
    return F.cross_entropy(F.normalize(a, dim=1) @ F.normalize(b, dim=1).T / temperature, torch.arange(len(a)))


def purity(found, y): return unsupervised.counts(found, y).max(1).sum() / len(y)


def silhouettes(z, candidates):
    return [silhouette_score(z, unsupervised.clusters(z, k)) for k in candidates]


def choose_k(z, candidates): return candidates[int(np.argmax(silhouettes(z, candidates)))]


def by_spread(z, candidates): return min(candidates, key=lambda k: KMeans(k, n_init=3, random_state=0).fit(z).inertia_)


def finds_partner(z):
    z = F.normalize(z, dim=1)
    return ((z @ z.T).fill_diagonal_(-2).argmax(1) == torch.arange(len(z)).roll(len(z) // 2)).float().mean().item()


def first_half(z):
    unit, n = F.normalize(z, dim=1), len(z) // 2
    return ((unit @ unit.T).fill_diagonal_(-2).argmax(1)[:n] == torch.arange(n, 2 * n)).float().mean().item()


def itself_too(z):
    z = F.normalize(z, dim=1)
    return ((z @ z.T).fill_diagonal_(2).argmax(1) == torch.arange(len(z)).roll(len(z) // 2)).float().mean().item()


def long_rows(z): return ((z @ z.T).fill_diagonal_(-torch.inf).argmax(1) == torch.arange(len(z)).roll(len(z) // 2)).float().mean().item()


RIGHT = {"08-1": my_loss, "08-2": purity, "08-3": choose_k, "08-4": finds_partner}

WRONG = [
    ("08-1", raw_loss, "divided by their lengths"), ("08-1", with_itself, "compared with itself"), ("08-1", one_way, "only the first views"),
    ("08-1", lambda a, b, t: my_loss(a, b, 1 / t), "multiplied by the temperature"), ("08-1", lambda a, b, t: 2 * len(a) * my_loss(a, b, t), "take their mean"),
    ("08-1", lambda a, b, t: my_loss(a, a, t), "term by term"), ("08-1", lambda a, b, t: None, "gave None"), ("08-1", 3, "function was expected"),
    ("08-2", unsupervised.clustering_accuracy, "two clusters may take the same class"), ("08-2", lambda found, y: unsupervised.counts(y, found).max(1).sum() / len(y), "largest class of each cluster"),
    ("08-2", lambda found, y: np.mean([c.max() / c.sum() for c in unsupervised.counts(found, y) if c.sum()]), "count pictures"),
    ("08-2", lambda found, y: float((np.asarray(found) == y).mean()), "most frequent class"), ("08-2", lambda found, y: None, "number was expected"),
    ("08-3", by_spread, "the largest"), ("08-3", lambda z, candidates: int(np.argmax(silhouettes(z, candidates))), "no candidate|place in the list"),
    ("08-3", lambda z, candidates: candidates[int(np.argmin(silhouettes(z, candidates)))], "the smallest|the largest|silhouette of each"),
    ("08-3", lambda z, candidates: 3, "silhouette|no candidate|the smallest"), ("08-3", lambda z, candidates: min(candidates), "the smallest"),
    ("08-4", first_half, "first half"), ("08-4", itself_too, "nearest to itself"), ("08-4", long_rows, "directions"),
    ("08-4", lambda z: len(z) * finds_partner(z), "number of views"), ("08-4", lambda z: 0.4321, "was expected"),
]

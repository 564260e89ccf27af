"""Exercises of lesson 08: reference solutions, and wrong ones with a part of the message that each shall get; test_checks.py tries them all."""
import numpy as np
import torch
import torch.nn.functional as F

from transfer_course import unsupervised
from transfer_course.augment import random_views


def my_loss(a, b, temperature):
    table = F.normalize(a, dim=1) @ F.normalize(b, dim=1).T / temperature
    own = torch.arange(len(a))
    return (F.cross_entropy(table, own) + F.cross_entropy(table.T, own)) / 2


def raw_loss(a, b, temperature):
    table, own = a @ b.T / temperature, torch.arange(len(a))
    return (F.cross_entropy(table, own) + F.cross_entropy(table.T, own)) / 2


def one_way(a, b, temperature):
    return F.cross_entropy(F.normalize(a, dim=1) @ F.normalize(b, dim=1).T / temperature, torch.arange(len(a)))


def ntxent(a, b, temperature): return unsupervised.nt_xent(torch.cat([a, b]), temperature)
def purity(found, y): return unsupervised.counts(found, y).max(1).sum() / len(y)


def dimensions(z):
    p = torch.linalg.svdvals(z)
    p = p / p.sum()
    return torch.exp(-torch.xlogy(p, p).sum()).item()


def squares(z):
    p = torch.linalg.eigvalsh(z.T @ z).clamp(min=0)
    p = p / p.sum()
    return torch.exp(-torch.xlogy(p, p).sum()).item()


def log_of_0(z):
    p = torch.linalg.svdvals(z.double())
    p = (p / p.sum()).round(decimals=12)
    return torch.exp(-(p * p.log()).sum()).item()


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


def level(x): return (x.float() - x.float().mean(0) + 100).clamp(0, 255).round().to(torch.uint8)
def black(x):
    from transfer_course.checks.unsupervised import camera
    return (x.int() - camera(torch.zeros_like(x[:1])).int() + 10).clamp(0, 255).to(torch.uint8)


def one_mean(x): return (x.float() - x.float().mean((1, 2, 3), keepdim=True) + 100).clamp(0, 255).to(torch.uint8)
def any_way(x): return torch.stack([torch.rot90(p, k, (1, 2)) for p, k in zip(x, torch.randint(4, (len(x),)).tolist())])


RIGHT = {"08-1": my_loss, "08-2": purity, "08-3": dimensions, "08-4": finds_partner, "08-5": level}
ALSO_RIGHT = {"08-5": [black, lambda x: random_views(level(x), light=0.)]}

WRONG = [
    ("08-1", raw_loss, "divided by their lengths"), ("08-1", ntxent, "that is NT-Xent"), ("08-1", one_way, "only the pictures"),
    ("08-1", lambda a, b, t: my_loss(a, b, 1 / t), "multiplied by the temperature"), ("08-1", lambda a, b, t: 2 * len(a) * my_loss(a, b, t), "take their mean"),
    ("08-1", lambda a, b, t: 2 * my_loss(a, b, t), "two directions were added"),
    ("08-1", lambda a, b, t: my_loss(a, a, t), "term by term"), ("08-1", lambda a, b, t: None, "gave None"), ("08-1", 3, "function was expected"),
    ("08-2", unsupervised.clustering_accuracy, "two clusters may take the same class"), ("08-2", lambda found, y: unsupervised.counts(y, found).max(1).sum() / len(y), "largest class of each cluster"),
    ("08-2", lambda found, y: np.mean([c.max() / c.sum() for c in unsupervised.counts(found, y) if c.sum()]), "count pictures"),
    ("08-2", lambda found, y: float((np.asarray(found) == y).mean()), "most frequent class"), ("08-2", lambda found, y: None, "number was expected"),
    ("08-3", squares, "squared"), ("08-3", lambda z: float(np.log(dimensions(z))), "take exp of it"), ("08-3", lambda z: float(torch.linalg.matrix_rank(z)), "how many singular values"),
    ("08-3", lambda z: dimensions(z - z.mean(0)), "take z as it is"), ("08-3", log_of_0, "a share of 0 adds nothing|A share of 0 adds nothing"), ("08-3", lambda z: 0.123456, "exp of the entropy"),
    ("08-4", first_half, "first half"), ("08-4", itself_too, "nearer to a view than itself"), ("08-4", long_rows, "directions"),
    ("08-4", lambda z: len(z) * finds_partner(z), "number of views"), ("08-4", lambda z: 0.4321, "was expected"),
    ("08-5", lambda x: x, "gives them away"), ("08-5", random_views, "gives them away"), ("08-5", one_mean, "gives them away"), ("08-5", any_way, "right way up"),
    ("08-5", torch.zeros_like, "forms are gone"), ("08-5", lambda x: level(x).rot90(2, (2, 3)), "right way up|forms are gone"), ("08-5", lambda x: x.float(), "like x, uint8"), ("08-5", lambda x: None, "like x, uint8"),
]

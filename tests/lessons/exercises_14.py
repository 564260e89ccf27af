"""Exercises of lesson 14: reference solutions, and wrong ones with a part of the message that each shall get; test_checks.py tries them all."""
import numpy as np

from transfer_course.checks import transferability as key


def regret_of(score, truth, k):
    tried = sorted(range(len(score)), key=lambda i: score[i])[-k:]
    return max(truth) - max(truth[i] for i in tried)


def grouped_neighbour(z, y, group):
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    alike = np.where(group[:, None] == group, -np.inf, z @ z.T)
    return float((y[alike.argmax(1)] == y).mean())


def left_out(z, y, strength):
    """One fit: the hat matrix, less what each picture says of itself."""
    targets = np.eye(y.max() + 1)[y]
    hat = z @ np.linalg.solve(z.T @ z + strength * np.eye(z.shape[1]), z.T)
    own = np.diag(hat)[:, None]
    return float((((hat @ targets - own * targets) / (1 - own)).argmax(1) == y).mean())


def fitted(z, y, strength): return float(((z @ key.ridge(z, np.eye(y.max() + 1)[y], strength)).argmax(1) == y).mean())


def second_half(z, y, strength):
    half, targets = len(y) // 2, np.eye(y.max() + 1)[y]
    return float(((z[half:] @ key.ridge(z[:half], targets[:half], strength)).argmax(1) == y[half:]).mean())


def moves(score, z, y):
    rng = np.random.default_rng(5)
    n, d = z.shape
    order = rng.permutation(n)
    tried = {"scale": (z * 0.1, y), "shift": (z + 1.5, y), "rotation": (z @ np.linalg.qr(rng.normal(size=(d, d)))[0], y), "order": (z[order], y[order]),
             "zero columns": (np.pad(z, ((0, 0), (0, n))), y), "class names": (z, 100 - y)}
    before = score(z, y)
    return [name for name, (a, b) in tried.items() if not np.isclose(score(a, b), before, rtol=1e-3, atol=1e-3)]


def by_equality(score, z, y): return {name for name, (a, b) in key.changed(z, y, 1).items() if score(a, b) != score(z, y)}


def without_zeros(score, z, y): return set(moves(score, z, y)) - {"zero columns"}


def squeezed(score, z, y):
    """A rotation that is none."""
    mixed = z @ np.random.default_rng(0).normal(size=(z.shape[1],) * 2)
    return set(moves(score, z, y)) - {"rotation"} | ({"rotation"} if not np.isclose(score(mixed, y), score(z, y), rtol=1e-3) else set())


RIGHT = {"14-1": regret_of, "14-2": grouped_neighbour, "14-3": left_out, "14-4": moves}

WRONG = [("14-1", lambda s, t, k: t.max() - t[np.argsort(-s)[:k]].mean(), "mean of the k"),
         ("14-1", lambda s, t, k: t.max() - t[s.argmax()], "first alone"),
         ("14-1", lambda s, t, k: t.max() - t[np.argsort(s)[:k]].max(), "lowest score"),
         ("14-1", lambda s, t, k: t[np.argsort(-s)[:k]].max(), "comes to"),
         ("14-1", lambda s, t, k: t.max() - np.sort(t)[-k], "whatever the score"),
         ("14-1", lambda s, t, k: None, "return"),
         ("14-2", lambda z, y, g: key.nearest(z, y, np.eye(len(y), dtype=bool)), "each other's nearest"),
         ("14-2", lambda z, y, g: key.nearest(z, y, np.zeros((len(y), len(y)), bool)), "its own nearest"),
         ("14-2", lambda z, y, g: key.nearest(z, y, g[:, None] == g, cosine=False), "Euclidean"),
         ("14-2", lambda z, y, g: key.right_grouped(z, y, g) * len(y), "a share was asked"),
         ("14-3", fitted, "nothing was left out"),
         ("14-3", second_half, "second half"),
         ("14-3", lambda z, y, s: 1 - key.right_left_out(z, y, s), "share of mistakes"),
         ("14-3", lambda z, y, s: key.right_left_out(z, y, s) * len(y), "number of pictures"),
         ("14-4", by_equality, "up to a thousandth"),
         ("14-4", without_zeros, "something else moves it"),
         ("14-4", squeezed, "but they don't"),
         ("14-4", lambda s, z, y: {"noise"}, "no change called"),
         ("14-4", lambda s, z, y: True, "as a set")]

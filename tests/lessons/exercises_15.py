"""Exercises of lesson 15: reference solutions, and wrong ones with a part of the message that each shall get; test_checks.py tries them all."""
import numpy as np
from scipy.optimize import linear_sum_assignment

from transfer_course.gallery import CLOSED


def stands_alone(predict, x):
    together, back = predict(x), np.arange(len(x))[::-1]
    try: alone = np.concatenate([predict(x[i:i + 1]) for i in range(len(x))])
    except ValueError: return False
    return bool(np.allclose(alone, together) and np.allclose(predict(x[back])[back], together))


def exactly(predict, x): return all((predict(x[i:i + 1]) == predict(x)[i]).all() for i in range(len(x)))
def in_halves(predict, x): return bool(np.allclose(np.r_[predict(x[:12]), predict(x[12:])], predict(x)))
def in_reverse(predict, x): return bool(np.allclose(predict(x[::-1])[::-1], predict(x)))
def first_ones(predict, x): return bool(np.allclose(predict(x[:-1]), predict(x)[:-1]))


def leaks(measure, x, y, chance=None, margin=0.08, times=12):
    rng = np.random.default_rng(0)
    got = np.mean([measure(x, rng.permutation(y)) for _ in range(times)])
    chance = np.unique(y, return_counts=True)[1].max() / len(y) if chance is None else chance
    return bool(got > chance + margin)


def unit(x):
    x = x.reshape(len(x), -1).astype(float)
    x = x - x.mean(1, keepdims=True)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def copies(train, test, mirror=True, least=0.98):
    seen = np.concatenate([train, train[..., ::-1]]) if mirror else train
    return (unit(test) @ unit(seen).T).max(1) > least


def by_hash(train, test): return np.array([p.tobytes() in {q.tobytes() for q in train} for p in test])
def near_pixels(train, test): return np.array([(abs(train.astype(int) - p).mean((1, 2, 3)) < 12).any() for p in test])


def name_it(learn, x, y, skip=()):
    a, b = slice(0, 600), slice(600, None)
    predict, test, right = learn(x[a], y[a]), x[b], y[b]
    said = predict(test)
    if (predict(test) != said).mean() > 0.02 and "changes when asked" not in skip: return "changes when asked"
    alone = np.concatenate([predict(test[i:i + 1]) for i in range(40)])
    if (alone != said[:40]).mean() > 0.2 and "scaled with the batch" not in skip: return "scaled with the batch"
    if len(np.unique(said)) < 10 and (said == right).mean() > 0.6 and "a class is lost" not in skip: return "a class is lost"
    if (said == right).mean() > 0.7: return "right"
    table = np.array([[((right == i) & (said == j)).sum() for j in range(10)] for i in range(10)])
    i, j = linear_sum_assignment(-table)
    if table[i, j].sum() > 0.7 * len(right) and "names permuted" not in skip: return "names permuted"
    turned = test.reshape(-1, 8, 8).swapaxes(1, 2).reshape(-1, 64)
    if (predict(turned) == right).mean() > 0.7: return "height and width swapped"
    return "black and white swapped" if (predict(16 - test) == right).mean() > 0.6 else "labels of other rows"


def by_accuracy(learn, x, y): return "right" if (learn(x[:600], y[:600])(x[600:]) == y[600:]).mean() > 0.8 else "names permuted"


RIGHT = {"15-1": stands_alone, "15-2": leaks, "15-3": copies, "15-4": name_it}

WRONG = [
    ("15-1", exactly, "last digits|came up|raised"), ("15-1", in_halves, "mean away|first row|place|single row|last row"), ("15-1", in_reverse, "mean away|single row"),
    ("15-1", first_ones, "mean away|first row"), ("15-1", lambda predict, x: True, "mean away"), ("15-1", lambda predict, x: False, "each row"), ("15-1", lambda predict, x: None, "True or False"), ("15-1", 3, "function was expected"),
    ("15-2", lambda m, x, y: leaks(m, x, y, chance=0.5), "the largest class 80%"), ("15-2", lambda m, x, y: m(x, y) > 0.9, "columns chosen|fair split"), ("15-2", lambda m, x, y: False, "training rows"),
    ("15-2", lambda m, x, y: True, "fair split"), ("15-2", lambda m, x, y: leaks(m, x, y, margin=0.35), "training rows|columns chosen"), ("15-2", lambda m, x, y: m(x, y), "True or False"),
    ("15-3", by_hash, "0 of 4"), ("15-3", lambda a, b: copies(a, b, mirror=False), "mirrored"), ("15-3", near_pixels, "of 4 were called"), ("15-3", lambda a, b: copies(a, b, least=0.1), "another picture"),
    ("15-3", lambda a, b: copies(b, a), "shape"), ("15-3", lambda a, b: None, "gave None"),
    ("15-4", by_accuracy, "is another one"), ("15-4", lambda *a: "right", "is another one"), ("15-4", lambda *a: name_it(*a, skip=("changes when asked",)), "is another one"),
    ("15-4", lambda *a: name_it(*a, skip=("a class is lost",)), "is another one"), ("15-4", lambda *a: name_it(*a, skip=("names permuted",)), "is another one"), ("15-4", lambda *a: CLOSED.index("right"), "was expected"),
]

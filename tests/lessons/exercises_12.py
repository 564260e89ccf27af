"""Exercises of lesson 12: reference solutions, and wrong ones with a part of the message that each shall get; test_checks.py tries them all."""
import numpy as np

from transfer_course import recommendation
from transfer_course.checks import recommendation as key


def shrunk(few, source, m): return (few.sum(0) + m * source.mean(0)) / (len(few) + m)


def held_out(market, share, seed):
    """Markets in a random order, until enough; the first order that leaves some is taken."""
    rng, found = np.random.default_rng(seed), np.ones(len(market), bool)
    while found.all():
        found[:] = False
        for name in rng.permutation(np.unique(market)):
            if found.mean() >= share: break
            found |= market == name
    return found


def by_file(market, share, seed): return np.random.default_rng(seed).random(len(market)) < share + 0.1


def same_markets(market, share, seed): return held_out(market, share, 7)


def one_market(market, share, seed): return market == np.random.default_rng(seed).choice(np.unique(market))


def both(texts, categories, vectors):
    """Weights of both and a strength, by five folds."""
    folds = np.arange(len(texts)) % 5
    grid = [(a, b, s) for a, b in ((1, 0), (0, 1), (1, 1), (1, 3), (0.3, 1)) for s in (1, 10, 30)]
    def wide(t, c, a, b): return np.hstack([a * t, b * c])
    def wrong(a, b, s):
        x = wide(texts, categories, a, b)
        return sum(((vectors[folds == f] - recommendation.text_map(x[folds != f], vectors[folds != f], s)(x[folds == f])) ** 2).sum() for f in range(5))
    a, b, s = min(grid, key=lambda g: wrong(*g))
    guess = recommendation.text_map(wide(texts, categories, a, b), vectors, s)
    return lambda t, c: guess(wide(t, c, a, b))


def side_by_side(texts, categories, vectors):
    guess = recommendation.text_map(np.hstack([texts, categories]), vectors, 3)
    return lambda t, c: guess(np.hstack([t, c]))


def text_only(texts, categories, vectors):
    guess = recommendation.text_map(texts, vectors, 10)
    return lambda t, c: guess(t)


def category_only(texts, categories, vectors):
    guess = recommendation.text_map(categories, vectors, 1)
    return lambda t, c: guess(c)


def the_mean(texts, categories, vectors): return lambda t, c: np.repeat(vectors.mean(0)[None], len(t), 0)


def coverage(scores, given, k):
    best = np.argsort(np.where(given == 1, np.inf, -scores), axis=1)[:, :k]
    return len(set(best.ravel().tolist())) / scores.shape[1]


RIGHT = {"12-1": shrunk, "12-2": held_out, "12-3": both, "12-4": coverage}

WRONG = [("12-1", lambda few, source, m: few.mean(0), "the market's own popularity"),
         ("12-1", lambda few, source, m: source.mean(0), "the source's popularity"),
         ("12-1", lambda few, source, m: np.concatenate([few, source]).mean(0), "one heap"),
         ("12-1", lambda few, source, m: (few.mean(0) + source.mean(0)) / 2, "the mean of both"),
         ("12-1", lambda few, source, m: few.sum(0) + m * source.mean(0), "numbers of files"),
         ("12-1", lambda few, source, m: None, "return"),
         ("12-2", by_file, "both sides"),
         ("12-2", same_markets, "the same markets"),
         ("12-2", lambda market, share, seed: np.ones(len(market), bool), "none is left"),
         ("12-2", one_market, "test files"),
         ("12-2", lambda market, share, seed: np.flatnonzero(held_out(market, share, seed)), "True or False"),
         ("12-3", text_only, "the category says it all"),
         ("12-3", category_only, "the text says it all"),
         ("12-3", the_mean, "the text says it all"),
         ("12-3", side_by_side, "says it all"),
         ("12-3", lambda t, c, v: None, "must return a function"),
         ("12-4", lambda s, g, k: key.right_coverage(s, 0 * g, k), "recommended again"),
         ("12-4", lambda s, g, k: key.right_coverage(-s, g, k), "lowest score|recommended again"),
         ("12-4", lambda s, g, k: key.right_coverage(s, g, k) * s.shape[1], "number of items"),
         ("12-4", lambda s, g, k: k / s.shape[1], "own share")]

"""Lesson 12: wrong arguments of the recommenders, the scores and the tables get one sentence."""
import numpy as np
from harness import refused, rows

from transfer_course import ranking, recommendation, uses

X = (np.random.default_rng(0).random((12, 8)) < 0.4).astype(float)
V, T = np.ones((8, 3)), np.random.default_rng(1).normal(size=(8, 5))

TABLE = {
    "ratings in place of uses": (lambda: recommendation.ease(X * 5), ValueError, ["x must be a table users×items of zeros and ones", "ratings"]),
    "one row": (lambda: recommendation.ease(X[0]), ValueError, ["one row for each user"]),
    "an empty table": (lambda: recommendation.ease(X[:0]), ValueError, ["it is empty"]),
    "NaN for not seen": (lambda: recommendation.als(np.where(X, X, np.nan)), ValueError, ["zeros and ones"]),
    "no strength": (lambda: recommendation.ease(X, 0), ValueError, ["strength must be", "above 0"]),
    "no numbers in a vector": (lambda: recommendation.als(X, 0), ValueError, ["d must be a whole number of 1 or more"]),
    "half a number": (lambda: recommendation.als(X, 2.5), ValueError, ["d must be"]),
    "columns and vectors differ": (lambda: recommendation.half_step(X, V[:5]), ValueError, ["8 columns", "5 vectors"]),
    "a prior of another width": (lambda: recommendation.half_step(X, V, prior=np.ones(4)), ValueError, ["prior must be", "12×3"]),
    "texts and vectors differ": (lambda: recommendation.text_map(T, V[:4]), ValueError, ["texts and vectors must have the same length"]),
    "words in place of their vectors": (lambda: recommendation.text_map(["a", "b"], V), ValueError, ["texts must be a table N×D"]),
    "new texts of another width": (lambda: recommendation.nearest_by_text(T, T[:2, :3], V), ValueError, ["must have the same columns"]),
    "no neighbour": (lambda: recommendation.nearest_by_text(T, T, V, k=0), ValueError, ["k must be"]),
    "scores of other items": (lambda: ranking.auc(X[:, :4], X), ValueError, ["scores and used and given must have the same shape"]),
    "used and scores swapped": (lambda: ranking.auc(X, X + 0.5), ValueError, ["used must be"]),
    "no list": (lambda: ranking.recall(X, X, k=0), ValueError, ["k must be"]),
    "everything hidden": (lambda: ranking.hide(X, 1, 0), ValueError, ["share must be"]),
    "no item is used so often": (lambda: ranking.new_items(X, 0, least=100), ValueError, ["100 uses or more", "fewer"]),
    "no texts": (lambda: uses.text_vectors([]), ValueError, ["texts must be a list of sentences"]),
    "one text": (lambda: uses.text_vectors("Sort an array."), ValueError, ["write [x]"]),
}


@rows(TABLE)
def test_wrong_call(call, kinds, words): refused(call, kinds, words)

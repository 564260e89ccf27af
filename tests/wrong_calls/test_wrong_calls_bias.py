"""What lesson 16's functions, and its rooms, say to what they can't take."""
import numpy as np
from harness import refused, rows

from transfer_course import bias, composed, shortcuts, word_lists

Z, YES, W = np.zeros((4, 3)), np.array([0, 1, 0, 1]), np.ones(4)
G = ["a", "a", "b", "b"]

TABLE = {
    "answers that are words": (lambda: bias.head(Z, ["yes", "no", "yes", "no"]), ValueError, ["yes", "True or False", "write 1 for yes"]),
    "three kinds of answer": (lambda: bias.head(Z, [0, 1, 2, 1]), ValueError, ["yes", "N answers"]),
    "answers of another length": (lambda: bias.head(Z, YES[:3]), ValueError, ["z", "yes", "4", "3"]),
    "a start of another width": (lambda: bias.head(Z, YES, np.ones(9)), ValueError, ["start", "as wide as z"]),
    "a pull of 0": (lambda: bias.head(Z, YES, pull=0), ValueError, ["pull", "above 0"]),
    "negative weights": (lambda: bias.head(Z, YES, weight=-W), ValueError, ["weight", "0 or more"]),
    "weights of another length": (lambda: bias.head(Z, YES, weight=W[:2]), ValueError, ["weight", "same length"]),
    "features with NaN": (lambda: bias.says_yes(W, np.full((2, 3), np.nan)), ValueError, ["z", "NaN"]),
    "a head of another network": (lambda: bias.says_yes(np.ones(9), Z), ValueError, ["w", "as wide as z"]),
    "texts that are no pairs": (lambda: bias.swap_gap(W, Z, Z[:2]), ValueError, ["z_men", "z_women", "same length"]),
    "sentences in place of features": (lambda: bias.swap_gap(W, ["a", "b"], ["c", "d"]), ValueError, ["z_men", "numbers"]),
    "pairs of another width": (lambda: bias.without(W, np.ones((5, 2))), ValueError, ["w", "as wide as pairs"]),
    "no directions": (lambda: bias.without(W, Z, k=0), ValueError, ["k must be", "1 or more"]),
    "groups of another length": (lambda: bias.reweigh(YES, G[:2]), ValueError, ["yes", "group", "same length"]),
    "one group for all": (lambda: bias.reweigh(YES, "a"), ValueError, ["group", "one for each row"]),
    "vectors of two networks": (lambda: bias.association(Z, Z, Z, np.ones((4, 2))), ValueError, ["vectors of one network"]),
    "words in place of vectors": (lambda: bias.association(["rose"], ["wasp"], ["joy"], ["war"]), ValueError, ["x must be", "numbers"]),
    "one draw": (lambda: bias.association(Z, Z, Z, Z, draws=1), ValueError, ["draws", "20"]),
    "guesses of another length": (lambda: bias.group_accuracy(YES, YES[:3], G), ValueError, ["said", "same length"]),
    "no rows of a group": (lambda: bias.last_layer(Z, YES, G, per_group=0), ValueError, ["per_group", "1 or more"]),
    "labels that are shares": (lambda: bias.last_layer(Z, YES / 2, G, 1), (ValueError, TypeError), ["y must be", "int64"]),
    "measures of shares": (lambda: bias.measures(YES, YES / 2, G), ValueError, ["said", "True or False"]),
    "an industry that is not there": (lambda: composed.compose(3, "soft"), ValueError, ["industry", "did you mean 'software'"]),
    "no CVs": (lambda: composed.compose(0, "care"), ValueError, ["n must be", "1 or more"]),
    "a pair of one digit": (lambda: shortcuts.digits_on(8, pair=(3, 3)), ValueError, ["pair", "two different digits"]),
    "a shortcut above 1": (lambda: shortcuts.digits_on(8, agree=95), ValueError, ["agree", "at most 1"]),
    "a part that is not there": (lambda: shortcuts.digits_on(8, part="valid"), ValueError, ["part", "train"]),
    "a test that is not there": (lambda: word_lists.word_test("flowers"), ValueError, ["name", "flowers / insects"]),
}


@rows(TABLE)
def test_wrong_call(call, kinds, words): refused(call, kinds, words)

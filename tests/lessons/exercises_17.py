"""Exercises of lesson 17: reference solutions, and wrong ones with a part of the message that each shall get; test_checks.py tries them all."""
import numpy as np

from transfer_course import privacy


def accuse(sure, never): return (sure - never.mean(0)) / np.sqrt(((never - never.mean(0)) ** 2).mean())


def recover(dw, db):
    """Quotients that occur twice: two units that the same single example has switched on."""
    some = np.abs(db) > 1e-12
    rows = dw[some] / db[some, None]
    apart = np.linalg.norm(rows[:, None] - rows, axis=2) < 1e-6
    found = []
    for i in np.flatnonzero(apart.sum(1) > 1):
        if all(np.linalg.norm(rows[i] - r) > 1e-4 for r in found): found.append(rows[i])
    return np.array(found)


def noise_for(epsilon, rate, steps, delta):
    low, high = 0.05, 1.0
    while privacy.epsilon_spent(high, rate, steps, delta) > epsilon: high *= 2
    for _ in range(25):
        middle = (low + high) / 2
        if privacy.epsilon_spent(middle, rate, steps, delta) > epsilon: low = middle
        else: high = middle
    return high


def without(total, lost, secrets, sign=1, modulo=True):
    for other, seed in secrets.items():
        mask = np.random.default_rng(seed).integers(2 ** 32, size=total.shape)
        total = total - sign * (mask if other < lost else -mask)
    return total % 2 ** 32 if modulo else total


def all_quotients(dw, db):
    some = np.abs(db) > 1e-12
    return dw[some] / db[some, None]


def every_mask_added(total, lost, secrets):
    for seed in secrets.values(): total = total - np.random.default_rng(seed).integers(2 ** 32, size=total.shape)
    return total % 2 ** 32


RIGHT = {"17-1": accuse, "17-2": recover, "17-3": noise_for, "17-4": without}

WRONG = [("17-1", lambda sure, never: sure, "twice as many"),
         ("17-1", lambda sure, never: never.mean(0) - sure, "change the sign"),
         ("17-1", lambda sure, never: sure - never.mean(), "twice as many"),
         ("17-1", lambda sure, never: sure - never, "shape"),
         ("17-1", lambda sure, never: None, "return"),
         ("17-2", all_quotients, "mixed|more than once"),
         ("17-2", lambda dw, db: dw / db[:, None], "NaN"),
         ("17-2", lambda dw, db: dw[np.abs(db) > 1e-12], "mixed"),
         ("17-2", lambda dw, db: (dw / db[:, None])[np.abs(db).argmax()], "shape"),
         ("17-2", lambda dw, db: np.repeat(recover(dw, db), 2, 0), "more than once"),
         ("17-3", lambda epsilon, rate, steps, delta: 1.0, "spends"),
         ("17-3", lambda epsilon, rate, steps, delta: 1.2 * noise_for(epsilon, rate, steps, delta), "allowed as well"),
         ("17-3", lambda epsilon, rate, steps, delta: noise_for(epsilon, rate, 1, delta), "spends"),
         ("17-3", lambda epsilon, rate, steps, delta: 0, "above 0"),
         ("17-4", lambda total, lost, secrets: total, "as it came"),
         ("17-4", lambda total, lost, secrets: without(total, lost, secrets, -1), "still in"),
         ("17-4", every_mask_added, "still in"),
         ("17-4", lambda total, lost, secrets: without(total, lost, secrets, modulo=False), "modulo 2|still in"),
         ("17-4", lambda total, lost, secrets: total.sum(), "shape")]

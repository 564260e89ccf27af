"""Exercises of lesson 05: reference solutions, and wrong ones with a part of the message that each shall get; test_checks.py tries them all."""
import numpy as np

from transfer_course.checks.scenarios import grid_means


def lead():
    means = grid_means("different", 20)
    return 100 * (means["all"] - means["scratch"])


def layer_distance(m, s, a, b): return (((m - a)**2 + (s - b)**2) / b**2).mean().sqrt()


def paired(ours, rival, ddof=1, times=2):
    d = np.subtract(ours, rival)
    error = d.std(ddof=ddof) / len(d)**0.5
    return "noise" if abs(d.mean()) <= times * error else "above" if d.mean() > 0 else "below"


def unpaired(ours, rival):
    error = np.hypot(np.std(ours, ddof=1), np.std(rival, ddof=1)) / len(ours)**0.5
    d = np.mean(ours) - np.mean(rival)
    return "noise" if abs(d) <= 2 * error else "above" if d > 0 else "below"


def best_strategy(shift, labels):
    means = grid_means("similar" if shift < 0.6 else "different", labels if labels < 100 else "all")
    return max(means, key=means.get)


RIGHT = {"05-1": lead, "05-2": layer_distance, "05-3": paired, "05-4": best_strategy}
WRONG = [
    ("05-1", ..., "in place of the three dots"), ("05-1", 99, "too high"), ("05-1", -50, "too low"), ("05-1", "ten", "a number was expected"),
    ("05-2", lambda m, s, a, b: (((m - a)**2 + (s - b)**2) / b**2).sum().sqrt(), "a sum where the mean"),
    ("05-2", lambda m, s, a, b: (((m - a)**2 + (s - b)**2) / s**2).mean().sqrt(), "the source is the yardstick"),
    ("05-2", lambda m, s, a, b: (((m - a)**2) / b**2).mean().sqrt(), "only the mean does"),
    ("05-2", lambda m, s, a, b: ((m - a)**2 + (s - b)**2).mean().sqrt(), "no yardstick"),
    ("05-2", lambda m, s, a, b: None, "a number was expected"),
    ("05-3", unpaired, "compare run by run"), ("05-3", lambda a, b: "above" if np.mean(a) > np.mean(b) else "below", "noise|fraction|both ways"),
    ("05-3", lambda a, b: np.mean(a) > np.mean(b), "\"above\", \"below\" or \"noise\" was expected"), ("05-3", lambda a, b: paired(b, a), "in every run"),
    ("05-4", lambda shift, labels: "scratch", "mean regret"), ("05-4", lambda shift, labels: "probe, top", "most is lost in the cell"),
    ("05-4", lambda shift, labels: "fine-tune", "was expected"), ("05-4", "all", "a function was expected"),
]

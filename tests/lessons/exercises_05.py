"""Exercises of lesson 05: reference solutions, and wrong ones with a part of the message that each shall get; test_checks.py tries them all."""
import numpy as np
import torch

from transfer_course import data


def nearer(x): return (x.float() * 120 / x.float().mean((0, 2, 3), keepdim=True)).clamp(0, 255).byte()


def gamma(x): return (255 * (x.float() / 255) ** 0.45).byte()


def other_pictures(x): return data.load("photographs", size=32).x_train[torch.randperm(1000, generator=torch.Generator().manual_seed(0))[:len(x)]]


def layer_distance(m, s, a, b): return (((m - a)**2 + (s - b)**2) / b**2).mean().sqrt()


def paired(ours, rival, ddof=1, times=2):
    d = np.subtract(ours, rival)
    error = d.std(ddof=ddof) / len(d)**0.5
    return "noise" if abs(d.mean()) <= times * error else "above" if d.mean() > 0 else "below"


def unpaired(ours, rival):
    error = np.hypot(np.std(ours, ddof=1), np.std(rival, ddof=1)) / len(ours)**0.5
    d = np.mean(ours) - np.mean(rival)
    return "noise" if abs(d) <= 2 * error else "above" if d > 0 else "below"


def without_root(ours, rival):
    d = np.subtract(ours, rival)
    return "noise" if abs(d.mean()) <= 2 * d.std(ddof=1) else "above" if d.mean() > 0 else "below"


def choose(grid, shift, labels, use=("shift", "labels"), n=6):
    """The best mean over the n targets that are nearest."""
    away = 0 * grid["shift"]
    if "shift" in use: away = away + ((grid["shift"] - shift) / 0.7) ** 2
    if "labels" in use: away = away + (np.log(grid["labels"] / labels) / np.log(50)) ** 2
    near = grid[away.isin(sorted(set(away))[:n])]
    return near.groupby("strategy").accuracy.mean().idxmax()


def nearest_one(grid, shift, labels): return choose(grid, shift, labels, n=1)


RIGHT = {"05-1": nearer, "05-2": layer_distance, "05-3": paired, "05-4": choose}
WRONG = [
    ("05-1", ..., "a function was expected"), ("05-1", lambda x: x, "became 0.6"), ("05-1", gamma, "became 0.5"), ("05-1", lambda x: x.float(), "must give uint8"),
    ("05-1", lambda x: torch.full_like(x, 120), "below 0.45"), ("05-1", other_pictures, "is lost"),
    ("05-2", lambda m, s, a, b: (((m - a)**2 + (s - b)**2) / b**2).sum().sqrt(), "a sum where the mean"),
    ("05-2", lambda m, s, a, b: (((m - a)**2 + (s - b)**2) / s**2).mean().sqrt(), "the source is the yardstick"),
    ("05-2", lambda m, s, a, b: (((m - a)**2) / b**2).mean().sqrt(), "only the mean does"),
    ("05-2", lambda m, s, a, b: ((m - a)**2 + (s - b)**2).mean().sqrt(), "no yardstick"),
    ("05-2", lambda m, s, a, b: ((m - a)**2 + (s - b)**2) / b**2, "take the mean over the channels"),
    ("05-2", lambda m, s, a, b: None, "a number was expected"),
    ("05-3", unpaired, "compare run by run"), ("05-3", lambda a, b: "above" if np.mean(a) > np.mean(b) else "below", "noise|fraction|both ways"),
    ("05-3", lambda a, b: paired(a, b, ddof=0), "n − 1 was asked for"),
    ("05-3", without_root, "root of the number of runs"), ("05-3", lambda a, b: np.mean(a) > np.mean(b), "\"above\", \"below\" or \"noise\" was expected"), ("05-3", lambda a, b: paired(b, a), "in every run"),
    ("05-4", lambda grid, shift, labels: "red", "a third"), ("05-4", lambda grid, shift, labels: grid.groupby("strategy").accuracy.mean().idxmax(), "a third"),
    ("05-4", lambda grid, shift, labels: choose(grid, shift, labels, use=("shift",), n=10), "a third"),
    ("05-4", lambda grid, shift, labels: choose(grid, shift, labels, use=("labels",), n=1), "a third"),
    ("05-4", lambda grid, shift, labels: "fine-tune", "the names stand in grid.strategy"), ("05-4", lambda grid, shift, labels: None, "in place of the dots"), ("05-4", "all", "a function was expected"),
]

"""Wrong calls of `scenarios`: each gets one sentence that names the argument, what it was, and the likely fix."""
from functools import lru_cache

import pandas as pd
import torch
from harness import refused, rows
from torch import nn

from transfer_course import backbones, data, scenarios
from transfer_course.scenarios import cell, domain_shift, lead_over_rivals, recommend, regret, runs_of

X = torch.zeros(20, 3, 32, 32, dtype=torch.uint8)
T = pd.DataFrame({"all": [.5], "scratch": [.4]})


@lru_cache
def net(): return backbones.load("coursenet")
@lru_cache
def task(): return data.load("digits", size=32)
@lru_cache
def stored(): return data.result("scenarios")
@lru_cache
def runs(): return runs_of(stored(), "coursenet")


KINDS = "kind must be one of 'similar', 'different', got "
NETS = ["net must be one of coursenet, efficientnet_lite0, the networks of the grid, got "]
CALLS = {
    "a name for a network": (lambda: domain_shift("coursenet", X), TypeError, r"net must be a network.*, got str: load one with backbones.load\(name\)"),
    "no BatchNorm": (lambda: domain_shift(nn.Linear(3, 2), X), ValueError, "net must have BatchNorm layers, got none: take coursenet"),
    "floats": (lambda: domain_shift(net(), X.float()), ValueError, r"x must be uint8 N×C×H×W, got float32.*pass raw pixels"),
    "one picture": (lambda: domain_shift(net(), X[0]), ValueError, r"x must be uint8 N×C×H×W.*add the missing dimension"),
    "numpy": (lambda: domain_shift(net(), X.numpy()), TypeError, "x must be uint8 N×C×H×W, got a numpy array"),
    "15 pictures": (lambda: domain_shift(net(), X[:15]), ValueError, "x must hold 16 pictures or more, got 15"),
    "n of 4": (lambda: domain_shift(net(), X, n=4), ValueError, "n must be a whole number of 16 or more, got 4"),
    "n of 20.0": (lambda: domain_shift(net(), X, n=20.), ValueError, r"n must be a whole number of 16 or more, got 20\.0"),
    "network without a grid": (lambda: runs_of(stored(), "resnet18"), ValueError, [*NETS, "'resnet18'"]),
    "no network": (lambda: runs_of(stored(), None), ValueError, NETS),
    "cell of no kind": (lambda: cell(runs(), "near", 5), ValueError, [KINDS, "'near'"]),
    "cell of 3": (lambda: cell(runs(), "similar", 3), ValueError, "labels must be one of 2, 5, 20, 'all', got 3"),
    "cell of a text": (lambda: cell(runs(), "similar", "5"), ValueError, "labels must be one of 2, 5, 20, 'all', got '5'"),
    "cell that was not measured": (lambda: cell(runs()[:0], "similar", 5), ValueError, "runs hold no cell 'similar' with labels=5: take"),
    "lead of no strategy": (lambda: lead_over_rivals(T, "fine-tune"), ValueError, "ours must be one of all, scratch, got 'fine-tune': take one of these"),
    "no strategy": (lambda: regret(T, "fine-tune"), ValueError, "strategy must be one of all, scratch, got 'fine-tune'"),
    "a name for a task": (lambda: recommend("digits", net()), TypeError, r"task must be a Task, got .*: load one with data.load\(name\)"),
    "a name for a backbone": (lambda: recommend(task(), "coursenet"), TypeError, r"net must be a Backbone, got str: load one with backbones.load\(name\)"),
    "10 pictures": (lambda: recommend(task().few_shot(1, seed=0), net()), ValueError, "task must hold 16 training pictures or more, got 10"),
    "backbone without a grid": (lambda: recommend(task(), backbones.load("efficientnet_lite1", size=64)), ValueError, [*NETS, "'efficientnet_lite1'"]),
    "backbone for texts": (lambda: recommend(task(), backbones.load("minilm")), ValueError, "net must be one of"),
    "no pictures": (lambda: scenarios.epochs_for(0), ValueError, "n must be a whole number of 1 or more, got 0"),
    "more than there are": (lambda: scenarios.reduced(task(), 5000, 0), ValueError, "k must be a whole number from 1 to 131, got 5000"),
    "no target": (lambda: scenarios.load("cats"), ValueError, "'cats'"),
}


@rows(CALLS)
def test_wrong_call(call, kinds, words): refused(call, kinds, words)

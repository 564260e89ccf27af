"""Wrong calls of `scenarios`: each gets one sentence that names the argument, what it was, and the likely fix."""
from functools import lru_cache

import pandas as pd
import pytest
import torch
from torch import nn

from transfer_course import backbones, data, scenarios
from transfer_course.scenarios import cell, recommend, regret, runs_of, shift, verdict

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


CALLS = [  # call, error, the sentence begins or holds
    (lambda: shift("coursenet", X), TypeError, r"net must be a network, got str: load one with backbones.load\(name\)"),
    (lambda: shift(nn.Linear(3, 2), X), ValueError, "net has no BatchNorm layer, so it keeps no memory of its source: take coursenet"),
    (lambda: shift(net(), X.float()), ValueError, r"x must be uint8 N×C×H×W, got float32.*pass raw pixels"),
    (lambda: shift(net(), X[0]), ValueError, r"x must be uint8 N×C×H×W.*add the missing dimension"),
    (lambda: shift(net(), X.numpy()), TypeError, "x must be uint8 N×C×H×W, got a numpy array"),
    (lambda: shift(net(), X[:15]), ValueError, "x must hold 16 pictures or more, got 15"),
    (lambda: shift(net(), X, n=4), ValueError, "n must be a whole number of 16 or more, got 4"),
    (lambda: shift(net(), X, n=20.), ValueError, r"n must be a whole number of 16 or more, got 20\.0"),
    (lambda: runs_of(stored(), "resnet18"), ValueError, "net must be one of coursenet, efficientnet_lite0, the networks of the grid, got 'resnet18'"),
    (lambda: runs_of(stored(), None), ValueError, "net must be one of coursenet"),
    (lambda: cell(runs(), "near", 5), ValueError, "the grid has no cell 'near' with labels=5: kinds are 'similar' and 'different'"),
    (lambda: cell(runs(), "similar", 3), ValueError, "the grid has no cell 'similar' with labels=3"),
    (lambda: cell(runs(), "similar", "5"), ValueError, "the grid has no cell 'similar' with labels='5'"),
    (lambda: verdict([.5] * 4, [.4] * 4), ValueError, "ours and rival must hold 5 or more accuracies each"),
    (lambda: verdict([.5] * 6, [.4] * 5), ValueError, "ours and rival must hold the same number of accuracies, got 6 and 5"),
    (lambda: verdict(.5, .4), ValueError, "ours and rival must hold 5 or more accuracies each"),
    (lambda: regret(T, "fine-tune"), ValueError, "strategy must be one of all, scratch, got 'fine-tune'"),
    (lambda: recommend("digits", net()), TypeError, r"task must be a Task, got str: load one with data.load\(name\)"),
    (lambda: recommend(task(), "coursenet"), TypeError, r"net must be a Backbone, got str: load one with backbones.load\(name\)"),
    (lambda: recommend(task().few_shot(1, seed=0), net()), ValueError, "task must hold 16 training pictures or more, got 10"),
    (lambda: recommend(task(), backbones.load("efficientnet_lite1", size=64)), ValueError, "net must be one of coursenet, efficientnet_lite0, the networks of the grid, got 'efficientnet_lite1'"),
    (lambda: recommend(task(), backbones.load("minilm")), ValueError, "net has no BatchNorm layer|net must be one of"),
    (lambda: scenarios.epochs_for(0), ValueError, "n must be a whole number of 1 or more, got 0"),
    (lambda: scenarios.reduced(task(), 5000, 0), ValueError, "k must be a whole number from 1 to 131, got 5000"),
    (lambda: scenarios.load("cats"), ValueError, "name 'cats' is no|name must be|'cats'"),
]


@pytest.mark.parametrize("call, error, sentence", CALLS, ids=[str(i) for i in range(len(CALLS))])
def test_one_sentence(call, error, sentence):
    with pytest.raises(error, match=sentence) as e: call()
    assert "\n" not in str(e.value)

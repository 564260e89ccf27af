"""Wrong calls of `inductive`: each gets one sentence that names the argument, what it was, and the likely fix."""
from dataclasses import replace
from functools import lru_cache

import torch
from harness import refused, rows
from torch import nn

from transfer_course import backbones, data, inductive
from transfer_course.inductive import (
    MultiTaskNet,
    equal,
    gradient_cosine,
    multitask,
    score,
    sequential,
    single_task,
    weighted,
)
from transfer_course.multitask import MultiTask, load
from transfer_course.small import shared_net

X = torch.arange(12 * 64, dtype=torch.int64).remainder(256).to(torch.uint8).view(12, 1, 8, 8).repeat(1, 1, 2, 2)
Y = torch.stack([torch.arange(12) % 2, torch.arange(12) % 3], 1)
CLASSES = {"side": ["left", "right"], "shade": ["dark", "middle", "bright"]}
HOLES = torch.where(torch.arange(12)[:, None] > 9, Y, torch.tensor([0, -1]))


@lru_cache
def T(): return MultiTask("t", X, Y, X, Y, CLASSES)
@lru_cache
def net(): return MultiTaskNet(shared_net(width=2), CLASSES)
def make(**new): return MultiTask(**(dict(name="t", x_train=X, y_train=Y, x_test=X, y_test=Y, classes=CLASSES) | new))
def sentences(): return backbones.TextBackbone(nn.Identity(), nn.Sequential(), nn.Identity(), card=dict(name="minilm"))
def one_task(): return data.Task("one", X, Y[:, 0], X, Y[:, 0], ["left", "right"])


CALLS = [  # call, error, the sentence begins or holds
    (lambda: make(classes=["left", "right"]), TypeError, r"classes must be a dict task -> list of class names, got list: such as"),
    (lambda: make(classes={}), TypeError, r"classes must be a dict task -> list of class names, got dict"),
    (lambda: make(classes={"side": "lr", "shade": ["a", "b", "c"]}), TypeError, r"classes\['side'\] must be a list of at least 2 different names, got 'lr'"),
    (lambda: make(classes={"side": ["left"], "shade": ["a", "b", "c"]}), ValueError, r"classes\['side'\] must be a list of at least 2 different names, got list \['left'\]"),
    (lambda: make(classes={"left.right": ["a", "b"], "shade": ["a", "b", "c"]}), ValueError, r"names of tasks without a dot as keys, got 'left.right'"),
    (lambda: make(x_train=X.float()), ValueError, r"x_train must be uint8 N×C×H×W, got float32 .*: pass raw pixels"),
    (lambda: make(y_train=Y[:, 0]), ValueError, r"y_train must be int64 12×2, a row for each picture and a column for each task, got int64 \(12,\): use torch.stack"),
    (lambda: make(y_train=Y[:-1]), ValueError, r"y_train must be int64 12×2.*got int64 \(11, 2\)"),
    (lambda: make(y_test=Y.float()), ValueError, r"y_test must be int64 12×2.*got float32"),
    (lambda: make(y_train=Y.numpy()), ValueError, r"y_train must be int64 12×2.*got a numpy array int64 \(12, 2\): use torch.stack"),
    (lambda: make(y_train=Y + 1), ValueError, r"y_train must be from 0 to 1 for the task 'side', or -1 for no label, got 1 to 2"),
    (lambda: make(y_train=Y - 2), ValueError, r"y_train must be from 0 to 1 for the task 'side', or -1 for no label, got -2 to -1"),
    (lambda: make(x_valid=X), ValueError, r"x_valid and y_valid must come together, got one of them"),
    (lambda: load("digit"), ValueError, r"name must be one of 'digits', 'letters', 'digits on photographs', got 'digit': did you mean 'digits'\?"),
    (lambda: T().only(), ValueError, r"names must hold at least one task, got none: choose among side, shade"),
    (lambda: T().only("side", "shape"), ValueError, r"names must be one of 'side', 'shade', got 'shape': did you mean 'shade'\?"),
    (lambda: T().task("sde"), ValueError, r"task must be one of 'side', 'shade', got 'sde': did you mean 'side'\?"),
    (lambda: T().few("side", 0), ValueError, r"k must be a whole number of 1 or more, got 0"),
    (lambda: T().few("shade", 5), ValueError, r"k must be a whole number from 1 to 4, got 5: the smallest class, 'dark', has 4 labels"),
    (lambda: T().few("side", 2, seed=-1), ValueError, r"seed must be a whole number from 0 to 2147483647, got -1"),
    (lambda: T().few("left", 2), ValueError, r"name must be one of 'side', 'shade', got 'left'"),
    (lambda: replace(T(), y_train=torch.where(torch.tensor([True, False]), Y, -1)).mixed(), ValueError, r"the task 'shade' has no training label: take it out with tasks.only"),
    (lambda: shared_net(1), ValueError, r"num_classes must be a whole number of 2 or more, got 1"),
    (lambda: shared_net(width=0), ValueError, r"width must be a whole number of 1 or more, got 0"),
    (lambda: MultiTaskNet("coursenet", CLASSES), TypeError, r"net must be a Backbone for pictures, got str: take small.shared_net\(\)"),
    (lambda: MultiTaskNet(nn.Linear(2, 2), CLASSES), TypeError, r"net must be a Backbone for pictures, got Linear"),
    (lambda: MultiTaskNet(shared_net(), ["left", "right"]), TypeError, r"classes must be a dict task -> list of class names, got list: such as .*, or tasks.classes"),
    (lambda: MultiTaskNet(backbones.load("minilm"), CLASSES), TypeError, r"net must be a Backbone for pictures, got TextBackbone"),
    (lambda: weighted(side=-1, shade=1), ValueError, r"the weight of 'side' must be a number of at least 0, got -1"),
    (lambda: weighted(side="1"), ValueError, r"the weight of 'side' must be a number of at least 0, got '1'"),
    (lambda: weighted(), ValueError, r"weights must hold one above 0, got none: such as weighted\(digit=1, odd=0.3\)"),
    (lambda: weighted(side=0, shade=0), ValueError, r"weights must hold one above 0, got {'side': 0, 'shade': 0}: such as"),
    (lambda: weighted(side=1)(net(), X, Y), ValueError, r"weights must name the tasks side, shade, got side"),
    (lambda: multitask(T(), weighted(side=1, colour=1), steps=1), ValueError, r"weights must name the tasks side, shade, got side, colour"),
    (lambda: multitask(one_task()), TypeError, r"tasks must be a MultiTask, got Task: load one with multitask.load\(name\)"),
    (lambda: multitask(T(), "equal"), TypeError, r"objective must be a function, got 'equal'"),
    (lambda: multitask(T(), steps=0), ValueError, r"steps must be a whole number of 1 or more, got 0"),
    (lambda: multitask(T(), lr=-1), ValueError, r"lr must be a number above 0 and at most 10, got -1"),
    (lambda: single_task(one_task(), "side"), TypeError, r"tasks must be a MultiTask, got Task"),
    (lambda: single_task(T(), "side", net="coursenet"), TypeError, r"net must be a Backbone for pictures, got str"),
    (lambda: single_task(T(), "side", steps=2.5), ValueError, r"steps must be a whole number of 1 or more, got 2.5"),
    (lambda: sequential(T(), "side", "shade", ratio=0), ValueError, r"ratio must be a number above 0, got 0"),
    (lambda: sequential(T(), "side", "shad"), ValueError, r"then must be one of 'side', 'shade', got 'shad': did you mean 'shade'\?"),
    (lambda: score(shared_net(), T()), TypeError, r"net must be a MultiTaskNet, got Backbone: make one with multitask"),
    (lambda: score(net(), T().only("side")), ValueError, r"tasks must be those of the network, side, shade, got side: write tasks.only"),
    (lambda: score(net(), T(), "valid"), ValueError, r"part must be one of 'train', 'test', got 'valid'"),
    (lambda: gradient_cosine(MultiTaskNet(shared_net(width=2), {"side": ["left", "right"]}), X, Y[:, :1]), ValueError, r"net must have two tasks, got 1: side"),
    (lambda: gradient_cosine(MultiTaskNet(shared_net(width=2).freeze(), CLASSES), X, Y), ValueError, r"net has no shared weight that may learn: its whole trunk is frozen"),
    (lambda: gradient_cosine(net(), X, torch.where(torch.tensor([True, False]), Y, -1)), ValueError, r"y must hold a label for every task, got none for \['shade'\]"),
    (lambda: inductive.shuffled_labels(one_task(), "side"), TypeError, r"tasks must be a MultiTask, got Task"),
    (lambda: inductive.shuffled_labels(T(), "sde"), ValueError, r"name must be one of 'side', 'shade', got 'sde': did you mean 'side'\?"),
    (lambda: inductive.shuffled_labels(T(), "side", seed=-1), ValueError, r"seed must be a whole number from 0 to 2147483647, got -1"),
    (lambda: inductive.pcgrad(net(), X, Y[:, 0]), ValueError, r"y must be N×2, a column for each of side, shade, got \(12,\)"),
    (lambda: inductive.pcgrad(MultiTaskNet(shared_net(width=2), {"side": ["left", "right"]}), X, Y[:, :1]), ValueError, r"model must have two tasks, got 1"),
    (lambda: inductive.pcgrad(MultiTaskNet(shared_net(width=2).freeze(), CLASSES), X, Y), ValueError, r"model has no shared weight that may learn: its trunk is frozen"),
    (lambda: inductive.losses(net(), X, Y[:, 0]), ValueError, r"y must be N×2, a column for each of side, shade, got \(12,\)"),
    (lambda: equal(net(), X, Y[:, :1]), ValueError, r"y must be N×2, a column for each of side, shade, got \(12, 1\)"),
]


@rows(CALLS)
def test_wrong_call(call, kinds, words): refused(call, kinds, words)

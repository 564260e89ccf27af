"""Wrong calls of `features`: each gets one sentence that names the argument, what it was, and the likely fix."""
from functools import lru_cache

import numpy as np
import pytest
import torch
from harness import refused, rows
from torch import nn

from transfer_course import backbones, data
from transfer_course.features import extract, extract_stages, knn, linear_probe

X = torch.zeros(6, 3, 32, 32, dtype=torch.uint8)
Z, Y = torch.randn(12, 5, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 3
NAN = torch.where(torch.arange(12)[:, None] == 4, torch.nan, Z)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch): monkeypatch.setenv("TRANSFER_COURSE_HOME", str(tmp_path))


@lru_cache
def net(): return backbones.course_net()
@lru_cache
def text(): return backbones.load("minilm")


class Sizes:
    """Pictures of different kinds: floats."""
    def __len__(self): return 3
    def __getitem__(self, i): return torch.zeros(3, 32, 32)


class Names(Sizes):
    def __getitem__(self, i): return "cat.jpg", 0


class Empty(Sizes):
    def __len__(self): return 0


CALLS = [  # call, kind of exception, what the sentence holds
    (lambda: extract("coursenet", X), TypeError, r"net must be a Backbone, got str: load one with backbones.load\(name\)"),
    (lambda: extract(nn.Conv2d(3, 8, 3), X), TypeError, r"net must be a Backbone, got Conv2d: load one"),
    (lambda: extract_stages(None, X), TypeError, r"net must be a Backbone, got NoneType: load one"),
    (lambda: extract(net(), X, "stage9"), ValueError, r"stage 'stage9' does not exist in coursenet \(did you mean 'stage\d'\?\): choose one of stem, stage1, stage2, stage3"),
    (lambda: extract(net(), X, "layer4"), ValueError, r"stage 'layer4' does not exist.*choose one of stem"),
    (lambda: extract(net(), X, 3), ValueError, r"stage 3 does not exist.*choose one of stem"),
    (lambda: extract_stages(net(), X, "stem"), TypeError, r"stages must be a list of names, got 'stem': such as \['stage5', 'top'\]"),
    (lambda: extract_stages(net(), X, []), TypeError, r"stages must be a list of names, got \[\]"),
    (lambda: extract_stages(net(), X, ["stem", "sage1"]), ValueError, r"stage 'sage1' does not exist.*did you mean 'stage1'"),
    (lambda: extract(net(), X.float()), ValueError, r"x must be uint8 N×C×H×W, got float32 \(6, 3, 32, 32\): pass raw pixels"),
    (lambda: extract(net(), X[0]), ValueError, r"x must be uint8 N×C×H×W, got uint8 \(3, 32, 32\): add the missing dimension"),
    (lambda: extract(net(), X.permute(0, 2, 3, 1)), ValueError, r"x must be uint8 N×C×H×W.*: move the channels"),
    (lambda: extract(net(), X.numpy()), TypeError, r"x must be uint8 N×C×H×W, got a numpy array.*: make it a tensor with torch.as_tensor"),
    (lambda: extract(net(), X[:0]), ValueError, r"x must be uint8 N×C×H×W.*there must be at least one picture"),
    (lambda: extract(net(), list(X)), TypeError, r"x must be uint8 N×C×H×W, got a list: use torch.stack"),
    (lambda: extract(net(), "pictures/"), TypeError, r"x must be uint8 N×C×H×W, got str: this network reads pictures"),
    (lambda: extract(net(), 3), TypeError, r"x must be uint8 N×C×H×W, got 3"),
    (lambda: extract(net(), data.load("digits")), TypeError, r"x must be pictures, got a Task: give one of its parts, such as task.x_train"),
    (lambda: extract(net(), Empty()), ValueError, r"x must hold at least one picture, got an empty dataset"),
    (lambda: extract(net(), Sizes()), ValueError, r"the picture of item 0 of the dataset x.* must be uint8 N×C×H×W, got float32"),
    (lambda: extract(net(), Names()), TypeError, r"the picture of item 0 of the dataset x.* must be uint8 N×C×H×W, got 'cat.jpg'"),
    (lambda: extract(net(), X, size=0), ValueError, r"size must be a whole number of 8 or more, got 0"),
    (lambda: extract(net(), X, size=96.0), ValueError, r"size must be a whole number of 8 or more, got 96.0"),
    (lambda: extract(net(), X, size=4), ValueError, r"size must be a whole number of 8 or more, got 4"),
    (lambda: extract(net(), X[..., :6, :6]), ValueError, r"x has pictures of 6×6 pixels, this network needs 8 or more a side"),
    (lambda: extract(net(), X, batch_size=0), ValueError, r"batch_size must be a whole number of 1 or more, got 0"),
    (lambda: extract(net(), X, batch_size=2.5), ValueError, r"batch_size must be a whole number of 1 or more, got 2.5"),
    (lambda: extract(text(), "one sentence"), ValueError, r"x must be a list of sentences, got one string: write \[x\]"),
    (lambda: extract(text(), ["a", ""]), ValueError, r"x must be a list of sentences, got '' at place 1"),
    (lambda: extract(text(), ["a"], size=32), ValueError, r"size must be None for a network that reads sentences, got 32"),
    (lambda: extract(net(), X, pool="median"), ValueError, r"pool must be 'mean', 'max', 'token' or a whole number, the side of a grid, got 'median': such as 4"),
    (lambda: extract(net(), X, pool=0), ValueError, r"pool must be 'mean', 'max', 'token' or a whole number, the side of a grid, got 0"),
    (lambda: extract(net(), X, pool=2.0), ValueError, r"pool must be 'mean', 'max', 'token' or a whole number, the side of a grid, got 2.0"),
    (lambda: extract(net(), X, "stage3", pool=9), ValueError, r"pool must be at most 4 at a map of 4×4 places, got 9: take an earlier stage or larger pictures"),
    (lambda: extract(text(), ["a"], pool=2), ValueError, r"pool must be 'mean' for a network that reads sentences, got 2: leave it out"),
    (lambda: linear_probe(X, Y), ValueError, r"z must be features, float N×D, got uint8 \(6, 3, 32, 32\): turn pictures into features with extract"),
    (lambda: linear_probe(Z[0], Y), ValueError, r"z must be features, float N×D, got float32 \(5,\): take what extract\(net, x\) gives"),
    (lambda: linear_probe(Z, Y[:-1]), ValueError, r"z and y must have the same length, but z has 12, y has 11"),
    (lambda: linear_probe(NAN, Y), ValueError, r"z must be features, float N×D, got NaN or infinity in row 4"),
    (lambda: linear_probe(Z, Z[:, 0]), ValueError, r"y must be whole class numbers, one a row, got float32 \(12,\)"),
    (lambda: linear_probe(Z, torch.eye(12).long()), ValueError, r"y must be whole class numbers, one a row, got int64 \(12, 12\)"),
    (lambda: linear_probe(Z, 0 * Y), ValueError, r"y must hold at least 2 classes, got only class 0"),
    (lambda: linear_probe(Z, Y, Z), ValueError, r"z_valid and y_valid must come together, got one of them"),
    (lambda: linear_probe(Z, Y, Z[:, :3], Y), ValueError, r"z_valid must have 5 features like z, got 3: extract both at the same stage"),
    (lambda: linear_probe(Z, Y, Z, Y[:4]), ValueError, r"z_valid and y_valid must have the same length, but z_valid has 12, y_valid has 4"),
    (lambda: linear_probe(Z, Y, C=0), ValueError, r"C must be a number above 0 or a list of them, got 0"),
    (lambda: linear_probe(Z, Y, C=[1, -1]), ValueError, r"C must be a number above 0 or a list of them, got -1"),
    (lambda: linear_probe(Z, Y, C="1"), ValueError, r"C must be a number above 0 or a list of them, got '1'"),
    (lambda: linear_probe(Z, Y, C=[]), ValueError, r"C must be a number above 0 or a list of them, got an empty list"),
    (lambda: linear_probe(Z, Y, scale="std"), ValueError, r"scale must be one of 'common', 'each', 'choose', got 'std'"),
    (lambda: linear_probe(Z, Y).score(Z[:, :3], Y), ValueError, r"z must have 5 features like those the probe was fitted on, got 3"),
    (lambda: linear_probe(Z, Y).predict(NAN), ValueError, r"z must be features, float N×D, got NaN or infinity in row 4"),
    (lambda: knn(Z, Y, k=13), ValueError, r"k must be at most 12, the number of training rows, got 13"),
    (lambda: knn(Z, Y, k=0), ValueError, r"k must be a whole number of 1 or more, got 0"),
    (lambda: knn(0 * Z, Y), ValueError, r"z must have no row of zeros, row 0 is one: it has no direction"),
    (lambda: linear_probe("z", Y), ValueError, r"z must be features, float N×D, got 'z': take what extract"),
    (lambda: linear_probe(Z, Y, seed=-1), ValueError, r"seed must be a whole number from 0 to \d+, got -1"),
    (lambda: extract(net(), X, cache="yes"), ValueError, r"cache must be True or False, got 'yes'"),
    (lambda: extract(net(), Z), ValueError, r"x must be uint8 N×C×H×W, got float32 \(12, 5\)"),
    (lambda: knn(Z.int(), Y), ValueError, r"z must be features, float N×D"),
]


@rows(CALLS)
def test_wrong_call(call, kinds, words): refused(call, kinds, words)


def test_a_wrong_call_leaves_no_file(tmp_path):
    with pytest.raises(ValueError): extract(net(), X, "stage9")
    with pytest.raises(ValueError): extract(net(), X, size=4)
    assert not list(tmp_path.rglob("*.npy")) and not list(tmp_path.rglob("*.part"))
    assert net().preprocess.size is None and np.all(X.numpy() == 0)

"""What students are likely to hand to `fit`, `extract` and the checks: it works with the right value, or one sentence says what to write."""
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from harness import refused, rows
from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR

from transfer_course import backbones, checks, data, features, training
from transfer_course.backbones import batched


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch): monkeypatch.setenv("TRANSFER_COURSE_HOME", str(tmp_path))


@lru_cache
def task(): return data.load("digits").few_shot(2)
def net(): return backbones.course_net()
def fit(**how): return training.fit(net(), task(), 1, progress=False, **how)
def forgot(*a): pass


class Broken:
    """A dataset of digits with one odd item."""
    def __init__(self, odd): self.odd = odd
    def __len__(self): return 9
    def __getitem__(self, i): return self.odd(task().x_train[i]) if i == 5 else task().x_train[i]


def damaged(x): raise OSError("image file is truncated. Sorry")
def heavy_loss(model, x, y): return F.cross_entropy(model(x), y, weight=torch.ones(10, dtype=torch.float64))


def mixed():
    n = net()
    n.trunk.half()
    return training.accuracy(n, task().x_train, task().y_train)


WRONG = {
    "a loss module": (lambda: fit(objective=nn.CrossEntropyLoss()), TypeError, ["objective must be a function of (model, x, y)", "got CrossEntropyLoss", "lambda model, x, y: CrossEntropyLoss()(model(x), y)"]),
    "its class": (lambda: fit(objective=nn.CrossEntropyLoss), TypeError, ["the class CrossEntropyLoss", "lambda model, x, y"]),
    "torch's function": (lambda: fit(objective=F.cross_entropy), TypeError, ["objective must be", "cross_entropy(model(x), y)"]),
    "a function of two": (lambda: fit(objective=lambda model, batch: 0), TypeError, ["objective must be", "(model, batch)"]),
    "a name": (lambda: fit(objective="cross_entropy"), TypeError, ["objective must be", "without quotes"]),
    "a loss for each picture": (lambda: fit(objective=lambda m, x, y: F.cross_entropy(m(x), y, reduction="none")), ValueError, ["objective must return one number", ".mean()"]),
    "nothing": (lambda: fit(objective=lambda m, x, y: None), ValueError, ["objective must return one number", "got None"]),
    "a loss cut off": (lambda: fit(objective=lambda m, x, y: F.cross_entropy(m(x), y).detach()), ValueError, ["objective must depend on net", "model(x)", ".detach()"]),
    "class weights of float64": (lambda: fit(objective=heavy_loss), ValueError, ["different precision", "class weights", "weight.float()"]),
    "an optimizer that is there": (lambda: fit(optimizer=SGD(net().parameters(), 0.1)), TypeError, ["optimizer must be a function of (params, lr)", "got SGD", "torch.optim.SGD(params, lr)"]),
    "an optimizer's name": (lambda: fit(optimizer="adam"), TypeError, ["optimizer must be", "without quotes"]),
    "an optimizer forgotten": (lambda: fit(optimizer=forgot), ValueError, ["optimizer must return a torch optimizer", "got None", "return"]),
    "a plateau": (lambda: fit(schedule=lambda opt, steps: ReduceLROnPlateau(opt)), ValueError, ["schedule", "ReduceLROnPlateau", "one_cycle", "patience"]),
    "the class of a plateau": (lambda: fit(schedule=ReduceLROnPlateau), TypeError, ["schedule must be a function of (optimizer, steps)", "ReduceLROnPlateau"]),
    "a schedule that is there": (lambda: fit(schedule=StepLR(SGD(net().parameters(), 0.1), 3)), TypeError, ["schedule must be", "got StepLR", "lambda opt, steps: StepLR(opt"]),
    "a schedule forgotten": (lambda: fit(schedule=forgot), ValueError, ["schedule must return a scheduler", "got None"]),
    "half precision": (lambda: training.fit(net().half(), task(), 1), ValueError, ["float32", "float16", "net.float()"]),
    "two precisions": (mixed, ValueError, ["different precision", "net.float()"]),
    "a damaged item": (lambda: features.extract(net(), Broken(damaged)), ValueError, ["item 5 of the dataset x", "OSError: image file is truncated", "take it out"]),
    "an item of another size": (lambda: features.extract(net(), Broken(lambda x: x[:, :7])), ValueError, ["one size", "item 0 is 1×8×8", "item 5 is 1×7×8"]),
    "a coloured item": (lambda: features.extract(net(), Broken(lambda x: x.expand(3, -1, -1)), cache=False), ValueError, ["item 5 is 3×8×8", "grey"]),
    "an empty item": (lambda: features.extract(net(), Broken(lambda x: ())), TypeError, ["item 5", "uint8"]),
    "a file as a name": (lambda: backbones.load("dir/ok.safetensors"), ValueError, ["'dir/ok.safetensors'", "backbones.load_checkpoint(path)"]),
    "strengths with a 0": (lambda: features.linear_probe(np.eye(4), [0, 1, 0, 1], C=np.array([0., 1])), ValueError, ["C must be a number above 0"]),
    "labels of two kinds": (lambda: features.linear_probe(np.eye(4), [0, "a", 0, "a"]), ValueError, ["y must be whole class numbers"]),
}


@rows(WRONG)
def test_likely_mistakes(call, kinds, words): refused(call, kinds, words)


def test_a_class_of_optimizer_and_a_schedule_are_functions():
    log = fit(optimizer=SGD, schedule=lambda opt, steps: StepLR(opt, 3), objective=lambda m, x, y: F.cross_entropy(m(x), y))
    assert np.isfinite(log.rows[0]["loss"])


@pytest.mark.parametrize("kind, within", [(torch.float16, 0.01), (torch.bfloat16, 0.05), (torch.float64, 1e-5)], ids=str)
def test_other_precisions_give_nearly_the_same(kind, within):
    x, n = task().x_train, backbones.load("coursenet")
    z, scores = features.extract(n, x, cache=False), batched(n, x)
    n.to(kind)
    found = features.extract(n, x)
    assert found.dtype == torch.float32
    for a, b in ((found, z), (batched(n, x), scores)): assert (a - b).abs().max() < within * b.abs().max()
    assert batched(n.replace_head(3), x).shape == (len(x), 3)


def test_a_default_of_float64_changes_nothing_but_precision():
    x = task().x_train
    z = features.extract(backbones.load("coursenet"), x, cache=False)
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.allclose(features.extract(backbones.load("coursenet"), x, cache=False), z, atol=1e-4)
        assert np.isfinite(fit().rows[0]["loss"])
    finally: torch.set_default_dtype(torch.float32)


def test_exit_in_an_answer_is_reported():
    for leave in (lambda *a, **k: exit(), lambda *a, **k: (_ for _ in ()).throw(SystemExit(3))):
        report = checks.check("02-1", leave)
        assert not report and "exit" in report.text


# --- NumPy's numbers are numbers ----------------------------------------------------------------------------------------

Z, Y = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32), np.arange(30) % 3
NUMBERS = {
    "knn": lambda n: features.knn(Z, Y, n(3)).n_neighbors,
    "C": lambda n: features.linear_probe(Z, Y, C=np.float32(n(2)))[-1].C,
    "extract": lambda n: features.extract(net(), task().x_train, size=n(16), batch_size=n(4), cache=False).sum().item(),
    "replace_head": lambda n: net().replace_head(n(3), seed=n(1)).head[-1].weight.sum().item(),
    "fit": lambda n: training.fit(net(), task(), n(1), np.float32(1e-3) if n is not int else float(np.float32(1e-3)), n(8), n(1), progress=False).rows[0]["loss"],
    "few_shot": lambda n: data.load("digits").few_shot(n(2), seed=n(1)).y_train.tolist(),
    "sample_per_class": lambda n: data.sample_per_class(pd.Series(Y, range(5, 35)), n(2), n(1)).tolist(),
    "top_k": lambda n: backbones.load("coursenet").top_k(task().x_train[:1], n(2)),
    "load": lambda n: data.load("digits", n(16), seed=n(1)).x_train.sum().item(),
}


@pytest.mark.parametrize("call", NUMBERS.values(), ids=NUMBERS)
def test_numpys_numbers_are_numbers(call):
    assert call(np.int64) == pytest.approx(call(int)) if isinstance(call(int), float) else call(np.int64) == call(int)


def test_strengths_may_be_an_array():
    assert features.linear_probe(Z, Y, C=np.logspace(-2, 0, 3))[-1].C == features.linear_probe(Z, Y, C=[0.01, 0.1, 1.])[-1].C


def test_accuracy_takes_a_series_and_names():
    n, t = backbones.load("coursenet"), task()
    x, y = t.x_train, batched(n, t.x_train).argmax(1)
    assert training.accuracy(n, x, pd.Series(y.numpy(), range(7, 7 + len(y)))) == 1
    assert training.accuracy(n, x, [n.classes[k] for k in y]) == 1
    assert training.accuracy(n, x, np.where(np.arange(len(y)) < 5, y, (y + 1) % 10)) == pytest.approx(5 / len(y))
    assert replace(t, y_train=list(t.y_train)).y_train.tolist() == t.y_train.tolist()

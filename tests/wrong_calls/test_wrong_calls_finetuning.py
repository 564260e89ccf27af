"""Wrong calls of `finetuning`: each gets one sentence that names the argument, what it was, and the likely fix."""
from functools import lru_cache
from pathlib import Path

import pytest
import torch
from harness import refused, rows
from torch import nn

from transfer_course import backbones, data
from transfer_course.finetuning import (
    augmented_copies,
    bn_stats,
    fine_tune,
    forgetting,
    lr_range_test,
    old_head,
    param_groups,
    per_sample,
    unfreeze_gradually,
)
from transfer_course.frozen import split_at


@lru_cache
def net(): return backbones.course_net(10)
@lru_cache
def task(): return data.load("digits", size=16).few_shot(2)
@lru_cache
def other(): return backbones.load("efficientnet_lite0")


def tune(**how): return fine_tune(net(), task(), **{"epochs": 1, "freeze_epochs": 0, "progress": False} | how)
def old(**how): return forgetting(**{"net": net(), "head": net().head, "task": task(), "before": 0.5} | how)
def enter(*args):
    with old_head(*args): pass


CALLS = [  # call, kind of exception, what the sentence holds
    (lambda: fine_tune("coursenet", task()), TypeError, r"net must be a Backbone, got str: load one with backbones.load\(name\)"),
    (lambda: fine_tune(nn.Linear(2, 2), task()), TypeError, r"net must be a Backbone, got Linear: load one"),
    (lambda: fine_tune(net(), "letters"), TypeError, r"task must be a Task, got str: load one with data.load\(name\)"),
    (lambda: fine_tune(net(), task().x_train), TypeError, r"task must be a Task, got Tensor: load one"),
    (lambda: fine_tune(net(), data.load("digits", size=4)), ValueError, r"x has pictures of 4×4 pixels, this network needs 8 or more a side"),
    (lambda: tune(epochs=0), ValueError, r"epochs must be a whole number of 1 or more, got 0"),
    (lambda: tune(epochs=2.5), ValueError, r"epochs must be a whole number of 1 or more, got 2.5"),
    (lambda: tune(freeze_epochs=-1), ValueError, r"freeze_epochs must be a whole number of 0 or more, got -1"),
    (lambda: tune(epochs=2, freeze_epochs=3), ValueError, r"freeze_epochs must be at most epochs=2, got 3: it counts the first epochs"),
    (lambda: tune(freeze_upto="stage9"), ValueError, r"freeze_upto 'stage9' does not exist in coursenet \(did you mean 'stage\d'\?\): choose one of stem, stage1, stage2, stage3"),
    (lambda: tune(freeze_upto=2), ValueError, r"freeze_upto 2 does not exist in coursenet.*choose one of stem, stage1"),
    (lambda: tune(lr=-1e-3), ValueError, r"lr must be a number above 0 and at most 10, got -0.001"),
    (lambda: tune(lr=0), ValueError, r"lr must be a number above 0 and at most 10, got 0"),
    (lambda: tune(lr=float("nan")), ValueError, r"lr must be a number above 0 and at most 10, got nan"),
    (lambda: tune(lr="1e-3"), ValueError, r"lr must be a number above 0 and at most 10, got '1e-3'"),
    (lambda: tune(lr_ratio=0.1), ValueError, r"lr_ratio must be a number of at least 1, got 0.1"),
    (lambda: tune(weight_decay=-0.1), ValueError, r"weight_decay must be a number of at least 0, got -0.1"),
    (lambda: tune(l2_sp=-1), ValueError, r"l2_sp must be a number of at least 0, got -1"),
    (lambda: tune(l2_sp=True), ValueError, r"l2_sp must be a number of at least 0, got True"),
    (lambda: tune(label_smoothing=1.0), ValueError, r"label_smoothing must be a number of at least 0 and below 1, got 1.0"),
    (lambda: tune(dropout=1.5), ValueError, r"dropout must be a number of at least 0 and below 1, got 1.5"),
    (lambda: tune(dropout=None), ValueError, r"dropout must be a number of at least 0 and below 1, got None"),
    (lambda: tune(augment="flip"), TypeError, r"augment must be a function, got 'flip': pass the function itself"),
    (lambda: tune(batch_size=1), ValueError, r"batch_size must be a whole number of 2 or more, got 1"),
    (lambda: tune(seed=-1), ValueError, r"seed must be a whole number from 0 to 2147483647, got -1"),
    (lambda: tune(patience=2), ValueError, r"patience needs a validation part: make one with task.split\(0.2\)"),
    (lambda: fine_tune(net(), task().split(0.5), patience=0), ValueError, r"patience must be a whole number of 1 or more, got 0"),
    (lambda: tune(checkpoint=7), TypeError, r"checkpoint must be a file name in a folder that exists, got 7: give a file name"),
    (lambda: tune(checkpoint="no-such-folder/run.pt"), ValueError, r"checkpoint must be a file name in a folder that exists, got 'run.pt': make the folder 'no-such-folder' first"),
    (lambda: unfreeze_gradually(net(), task(), 0), ValueError, r"epochs must be a whole number of 1 or more, got 0"),
    (lambda: unfreeze_gradually(net(), task(), freeze_upto="stem"), ValueError, r"freeze_upto must be left out: here the plan says what is frozen"),
    (lambda: unfreeze_gradually(net(), task(), lr=-1), ValueError, r"lr must be a number above 0"),
    (lambda: split_at(net(), "stage7"), ValueError, r"stage 'stage7' does not exist in coursenet.*choose one of stem"),
    (lambda: param_groups(net(), lr=11), ValueError, r"lr must be a number above 0 and at most 10, got 11"),
    (lambda: param_groups(net(), lr_ratio=0), ValueError, r"lr_ratio must be a number of at least 1, got 0"),
    (lambda: augmented_copies(task(), "flip"), TypeError, r"augment must be a function, got 'flip': pass the function itself"),
    (lambda: augmented_copies(task(), per_sample(abs), 0), ValueError, r"n must be a whole number of 1 or more, got 0"),
    (lambda: lr_range_test("coursenet", task()), TypeError, r"net must be a Backbone, got str: load one with backbones.load\(name\)"),
    (lambda: lr_range_test(net(), task().x_train), TypeError, r"task must be a Task, got Tensor: load one"),
    (lambda: lr_range_test(net(), task(), least=0), ValueError, r"least must be a number above 0 and at most 10, got 0"),
    (lambda: lr_range_test(net(), task(), most=100), ValueError, r"most must be a number above 0 and at most 10, got 100"),
    (lambda: lr_range_test(net(), task(), least=0.1, most=1e-3), ValueError, r"least must be below most=0.001, got 0.1: the rate grows from least to most"),
    (lambda: lr_range_test(net(), task(), steps=1), ValueError, r"steps must be a whole number of 2 or more, got 1"),
    (lambda: lr_range_test(net(), task(), batch_size=1), ValueError, r"batch_size must be a whole number of 2 or more, got 1"),
    (lambda: per_sample("rotate"), TypeError, r"change must be a function of one picture, got 'rotate': such as torchvision.transforms.v2"),
    (lambda: old(before=96), ValueError, r"before must be a number of at least 0 and at most 1, got 96: divide per cent by 100"),
    (lambda: old(head=backbones.linear_head(256, 26)), ValueError, r"head has 26 outputs, but the old task has 10 classes: give the head that the network had before"),
    (lambda: old(net=nn.Linear(2, 2)), TypeError, r"net must be a Backbone, got Linear: load one"),
    (lambda: enter(net(), net().head.state_dict()), TypeError, r"head must be a module, got OrderedDict: keep it before fine-tuning, head = net.head"),
    (lambda: enter(net(), net().head, bn_stats(other())), ValueError, r"stats must be of this network, its names differ: make them before fine-tuning"),
]


@rows(CALLS)
def test_wrong_call(call, kinds, words): refused(call, kinds, words)


def test_a_wrong_call_leaves_the_network_as_it_was():
    other = backbones.course_net(10)
    head, before = other.head, {k: v.clone() for k, v in other.state_dict().items()}
    letters = data.letters(n_train=1, n_test=1, side=16)
    for how in (dict(lr=-1), dict(patience=2), dict(checkpoint="no-such-folder/x.pt"), dict(augment=3), dict(epochs=1, freeze_epochs=2)):
        with pytest.raises((ValueError, TypeError)): fine_tune(other, letters, **how)
    assert other.head is head and not other.frozen and not Path("no-such-folder").exists()
    assert all(torch.equal(before[k], v) for k, v in other.state_dict().items())


def test_weights_that_are_no_numbers_are_named():
    sick = backbones.course_net(10)
    with torch.no_grad(): sick.trunk.stage3[0][0].weight.fill_(float("nan"))
    with pytest.raises(ValueError, match="net must have finite weights to learn"): fine_tune(sick, task(), 1, 0, progress=False)

"""Strategies, learning rates and regularisation against accuracy and forgetting, five seeds -> nbs/results/finetuning.json

    python experiments/finetuning.py                      # about half an hour on one core; killed and started again, it goes on
    python experiments/finetuning.py --archive cifar.tar  # and the old task of CourseNet: test/<class>/*.jpg, CIFAR-10 as pictures
    python experiments/finetuning.py --bf16               # trains in bfloat16, faster on a processor that has it

All runs take about 60 steps of 25 or 26 pictures, but "four times longer". Each row says how accurate the network is on the training, validation and test
pictures of the new task, and on the old task when its old head is put back: as it is (`old`), and with BatchNorm's old running statistics too (`old_memory`).
"""
import argparse
import copy
import json
import os
import tarfile
from collections import defaultdict
from contextlib import nullcontext
from dataclasses import replace
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import v2

from transfer_course import backbones, data, features, records, training
from transfer_course.finetuning import bn_stats, fine_tune, forgetting, frozen_bn, per_sample, unfreeze_gradually

SEEDS, STEPS = range(5), 60
BATCH = {"letters": 26, "photographs": 25}
OLD = {"digits": 1000, "cifar10": 1000}  # pictures of the old test part
PHOTOS = ("chelsea", "coffee", "motorcycle")
PAIRS = [("digits", "letters"), ("cifar10", "letters"), ("cifar10", "photographs")]
RATES = (1e-4, 1e-3, 3e-3, 3e-2)
MILD = ("augmentation", "dropout", "weight decay", "label smoothing", "early stopping")
archive = None


def archived(path, n):
    """The first n test pictures of an archive, as many of each class."""
    found, each = defaultdict(list), n // len(backbones.CIFAR10)
    with tarfile.open(path) as tar:
        for member in tar:
            part, *name = member.name.removeprefix("./").split("/")
            if part == "test" and member.name.endswith(".jpg") and len(found[name[0]]) < each:
                found[name[0]].append(np.array(Image.open(BytesIO(tar.extractfile(member).read())).convert("RGB")))
    x = torch.from_numpy(np.concatenate([found[c] for c in backbones.CIFAR10])).permute(0, 3, 1, 2).contiguous()
    return x, torch.arange(len(found)).repeat_interleave(each)


@cache
def load(target): return data.load(target, size=32).split(0.2, seed=100)


@cache
def old_task(start):
    """Test pictures and labels of the old task, as a Task; None where there are none."""
    if start == "digits":
        task = data.load("mnist_5k", size=32)
        return replace(task, x_test=task.x_test[:OLD["digits"]], y_test=task.y_test[:OLD["digits"]])
    if archive is None: return None
    x, y = archived(archive, OLD[start])
    return data.Task(start, x, y, x, y, backbones.CIFAR10)


@cache
def started(start):
    """CourseNet, or CourseNet fine-tuned on 50 digits of each class; and its accuracy on its own task."""
    net = backbones.load("coursenet")
    if start == "digits": fine_tune(net, data.load("mnist_5k", size=32).few_shot(50, 0), 4, 0, lr=3e-3, lr_ratio=1., batch_size=25, progress=False)
    old = old_task(start)
    return net, None if old is None else training.accuracy(net, old.x_test, old.y_test)


AFFINE = v2.RandomAffine(10, translate=(0.1, 0.1), scale=(0.9, 1.1), interpolation=v2.InterpolationMode.BILINEAR)


def settings(method, lr, epochs):
    """What `fine_tune` is told."""
    base = dict(epochs=epochs, freeze_epochs=0, lr=lr, lr_ratio=1.)
    return base | {
        "head only": dict(freeze_epochs=epochs), "last stage": dict(freeze_upto="stage2"), "all": {}, "head first": {},
        "ratio 100": dict(lr_ratio=100.), "memory held": dict(lr_ratio=100.),
        "L2-SP 0.01": dict(l2_sp=0.01), "L2-SP 0.1": dict(l2_sp=0.1),
        "weight decay": dict(weight_decay=1.), "dropout": dict(dropout=0.5), "label smoothing": dict(label_smoothing=0.1),
        "early stopping": dict(patience=3), "augmentation": {}, "four times longer": dict(epochs=4 * epochs)}[method]


def train(net, few, method, lr, epochs, **how):
    """Fine-tune by a method. Gradual unfreezing shares the epochs out; "head first" gets as many again for its head alone, at ten times the rate."""
    if method == "gradual": return unfreeze_gradually(net, few, max(1, round(epochs / 5)), lr=lr, lr_ratio=1., **how)
    if method == "head first": fine_tune(net, few, epochs, epochs, lr=10 * lr, **how)
    if method == "early stopping": few = few.split(0.2, seed=how["seed"])  # the validation labels come out of the same few
    if method == "augmentation": how["augment"] = per_sample(AFFINE)
    return fine_tune(net, few, **settings(method, lr, epochs), **how)


def left(net, was, before, task):
    """Accuracy on the old task, its head back on; and its BatchNorm statistics, too."""
    if task is None: return {}
    if all(torch.equal(a, b) for a, b in zip(net.trunk.state_dict().values(), was.trunk.state_dict().values())): return dict.fromkeys(("old", "old_memory"), round(before, 4))
    return dict(old=round(before - forgetting(net, was.head, task, before), 4),
                old_memory=round(before - forgetting(net, was.head, task, before, bn_stats(was)), 4))


def few_of(target, labels, seed):
    """The training pictures and how many epochs make the steps."""
    few = replace(load(target).few_shot(labels, seed), x_valid=None, y_valid=None)
    return few, max(1, round(STEPS / -(-len(few.x_train) // BATCH[target])))


def run(start, target, labels, method, lr, seed):
    """One cell."""
    task, (few, epochs), (was, before) = load(target), few_of(target, labels, seed), started(start)
    net = copy.deepcopy(was)
    if method == "probe": return probed(net, task, few, seed)
    with frozen_bn(net) if method == "memory held" else nullcontext(): log = train(net, few, method, lr, epochs, batch_size=BATCH[target], seed=seed, progress=False)
    with torch.autocast("cpu", torch.bfloat16, enabled=low()): return dict(epochs=len(log.rows), **scores(net, few, task), **left(net, was, before, old_task(start)))


def low(): return os.environ.get("ACCELERATE_MIXED_PRECISION") == "bf16"


def scores(net, few, task):
    """Accuracy on the training, validation and test pictures of the new task."""
    parts = [("train", few.x_train, few.y_train), ("valid", task.x_valid[::2], task.y_valid[::2]), ("test", task.x_test, task.y_test)]
    return {p: round(training.accuracy(net, x, y), 4) for p, x, y in parts}


def probed(net, task, few, seed):
    """A linear probe on the frozen network: nothing is forgotten."""
    z, z_test = (backbones.batched(net.features, x) for x in (few.x_train, task.x_test))
    probe = features.linear_probe(z, few.y_train, seed=seed)
    return dict(train=round(probe.score(z, few.y_train), 4), test=round(probe.score(z_test, task.y_test), 4))


LITE = {"before": None, "head only": dict(freeze_epochs=8, lr=1e-2), "last stage": dict(freeze_epochs=0, lr=3e-3, freeze_upto="stage6"),
        "all, large rates": dict(freeze_epochs=0, lr=3e-3, lr_ratio=10.), "all, small rates": dict(freeze_epochs=0, lr=1e-3, lr_ratio=100.),
        "all, memory held": dict(freeze_epochs=0, lr=3e-3, lr_ratio=10.)}


def lite(method):
    """EfficientNet-Lite0 at 64 pixels on five letters per class, one run; and what it then calls three photographs, at 224 pixels, with its old head."""
    net, task = backbones.load("efficientnet_lite0", size=64), data.load("letters", size=64)
    head, classes, found = net.head, net.classes, {}
    if LITE[method]:
        few = replace(task.few_shot(5, 0), x_valid=None, y_valid=None)
        with frozen_bn(net) if "held" in method else nullcontext(): fine_tune(net, few, 8, batch_size=26, progress=False, **LITE[method])
        found = {p: round(training.accuracy(net, x, y), 4) for p, x, y in [("train", few.x_train, few.y_train), ("test", task.x_test, task.y_test)]}
    net.head, net.classes, net.preprocess.size = head, classes, 224
    for name in PHOTOS:
        [[[first, p]]] = net.top_k(backbones.center_crop(data.photographs()[name][None], 224), 1)
        found[name] = f"{first.split(',')[0]}, {p:.0%}"
    return found


def core(start, target):
    """What every pair is measured on: (method, rate, labels per class)."""
    return [(m, lr, 5) for m, lr in [("head only", 3e-2), ("last stage", 3e-3), *(("all", lr) for lr in RATES), ("ratio 100", 3e-3), ("L2-SP 0.01", 3e-3), ("L2-SP 0.1", 3e-3)]]


def more(start, target):
    """What is measured on some pairs: other plans, regularisation, more and fewer labels."""
    plans = ["head first", "gradual"] if target == "letters" else []
    few = [("probe", None, k) for k in (2, 5, 20)] + [("all", 3e-3, k) for k in (2, 20)]
    if start == "digits": return [(m, 3e-3, 5) for m in plans]
    longer = ["memory held", "four times longer"] if target == "letters" else []
    return [(m, 3e-3, 5) for m in [*plans, *MILD, *longer]] + few


def cells():
    """Every cell, the most important ones first."""
    return [dict(start=start, target=target, labels=labels, method=method, lr=lr, seed=seed)
            for part in (core, more) for start, target in PAIRS for seed in SEEDS for method, lr, labels in part(start, target)]


def main():
    global archive
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--archive", help="a tar of test/<class>/*.jpg: CIFAR-10 as pictures")
    p.add_argument("--bf16", action="store_true", help="train in bfloat16 (needs a processor or GPU that has it)")
    args = p.parse_args()
    archive = args.archive
    if args.bf16: os.environ["ACCELERATE_MIXED_PRECISION"] = "bf16"
    facts = dict(steps=STEPS, seeds=list(SEEDS), old_test_pictures=OLD, before={s: b and round(b, 4) for s in OLD for b in [started(s)[1]]},
                 precision=os.environ.get("ACCELERATE_MIXED_PRECISION", "float32"))
    part = Path("nbs/results/finetuning_lite.json")
    if not part.exists(): records.sweep("finetuning_lite", [dict(method=m) for m in LITE], lite)
    facts["efficientnet_lite0"] = json.loads(part.read_text(encoding="utf-8"))["rows"]
    records.sweep("finetuning", cells(), run, **facts)
    part.unlink()


if __name__ == "__main__": main()

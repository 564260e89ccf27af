"""Ways of fine-tuning against accuracy and forgetting, each at a learning rate of its own, five seeds -> nbs/results/finetuning.json

    python experiments/finetuning.py                      # about half an hour on one core; killed and started again, it goes on
    python experiments/finetuning.py --archive cifar.tar  # and the old task of CourseNet: test/<class>/*.jpg, CIFAR-10 as pictures
    python experiments/finetuning.py --bf16               # trains in bfloat16, faster on a processor that has it

Every way gets three rates, a factor of about three apart, tried with one seed that is not used afterwards; the accuracy on the validation part
(20 pictures per class) chooses. If the best is the smallest or the largest, the next one is tried too, until it is not. A linear probe chooses its stage
and C on the same pictures. Then five other seeds, at what was chosen. All runs take about 60 steps of 25 or 26 pictures, but "four times longer";
"head first" trains the head alone before, in as many steps. A row says how accurate the network is on the training and test pictures of the new task,
and on the old task when its old head is put back: as it is (`old`), and with BatchNorm's old running statistics too (`old_stats`).
"""
import argparse
import copy
import itertools
import json
import math
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
from transfer_course.tasks import sample_per_class

SEEDS, TUNING, STEPS = range(5), (100,), 60
BATCH = {"letters": 26, "photographs": 25}
OLD = {"digits": 1000, "cifar10": 1000}  # pictures of the old test part
PAIRS = [("digits", "letters"), ("cifar10", "letters"), ("cifar10", "photographs")]
LADDER = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)
FIRST = {"head only": 1e-2, "ratio 100": 3e-3}  # the smallest of the three rates that are tried first; else 1e-3
HELD = "statistics held"
CORE = ("head only", "last stage", "all", "ratio 100", "L2-SP", "head first")
REGULAR = ("augmentation", "dropout", "weight decay", "label smoothing", "early stopping")
RATES = (1e-4, 1e-3, 3e-3, 3e-2)  # of the curve of "all"
STAGES, CS = ("stem", "stage1", "stage2", "stage3"), (0.01, 0.1, 1., 10.)
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
        "head only": dict(freeze_epochs=epochs), "last stage": dict(freeze_upto="stage2"), "ratio 100": dict(lr_ratio=100.), "L2-SP": dict(l2_sp=0.1),
        "weight decay": dict(weight_decay=1.), "dropout": dict(dropout=0.5), "label smoothing": dict(label_smoothing=0.1),
        "early stopping": dict(patience=3), "four times longer": dict(epochs=4 * epochs)}.get(method, {})


def train(net, few, method, lr, epochs, head_lr=None, **how):
    """Fine-tune by a method. Gradual unfreezing shares the epochs out; "head first" gets as many again for its head alone."""
    if method == "gradual": return unfreeze_gradually(net, few, max(1, round(epochs / 5)), lr=lr, lr_ratio=1., **how)
    if method == "head first": fine_tune(net, few, epochs, epochs, lr=head_lr, **how)
    if method == "early stopping": few = few.split(0.2, seed=how["seed"])  # the validation labels come out of the same few
    if method == "augmentation": how["augment"] = per_sample(AFFINE)
    with frozen_bn(net) if method == HELD else nullcontext(): return fine_tune(net, few, **settings(method, lr, epochs), **how)


def left(net, was, before, task):
    """Accuracy on the old task, its head back on; and its BatchNorm statistics, too."""
    if task is None: return {}
    if all(torch.equal(a, b) for a, b in zip(net.trunk.state_dict().values(), was.trunk.state_dict().values())): return dict.fromkeys(("old", "old_stats"), round(before, 4))
    return dict(old=round(before - forgetting(net, was.head, task, before), 4), old_stats=round(before - forgetting(net, was.head, task, before, bn_stats(was)), 4))


def few_of(target, labels, seed):
    """The training pictures and how many epochs make the steps."""
    few = replace(load(target).few_shot(labels, seed), x_valid=None, y_valid=None)
    return few, max(1, round(STEPS / math.ceil(len(few.x_train) / BATCH[target])))


def low(): return os.environ.get("ACCELERATE_MIXED_PRECISION") == "bf16"


def run(start, target, labels, method, lr, seed, part, head_lr=None):
    """One run: its accuracy on the validation part if it is a trial, and otherwise on the training and test pictures, and what is left of the old task."""
    task, (few, epochs), (was, before) = load(target), few_of(target, labels, seed), started(start)
    net = copy.deepcopy(was)
    log = train(net, few, method, lr, epochs, head_lr, batch_size=BATCH[target], seed=seed, progress=False)
    with torch.autocast("cpu", torch.bfloat16, enabled=low()):
        if part == "trial": return dict(valid=round(training.accuracy(net, task.x_valid, task.y_valid), 4))
        parts = {"train": (few.x_train, few.y_train), "test": (task.x_test, task.y_test)}
        found = {name: round(training.accuracy(net, *xy), 4) for name, xy in parts.items()}
        found["valid"] = round(training.accuracy(net, task.x_valid[::2], task.y_valid[::2]), 4)
        return dict(epochs=len(log.rows), **found, **left(net, was, before, old_task(start)))


@cache
def seen(target, stage, pool, part):
    """What the frozen CourseNet gives for a part of a target."""
    return features.extract(backbones.load("coursenet"), getattr(load(target), f"x_{part}"), stage, pool=pool, cache=False, progress=False)


def probe(target, labels, stage, pool, C, seed, part):
    """A linear probe on the frozen network: nothing is forgotten."""
    task = load(target)
    few = sample_per_class(task.y_train, labels, seed).sort().values  # the pictures that `few_shot` takes
    z, y = seen(target, stage, pool, "train")[few], task.y_train[few]
    fitted = features.linear_probe(z, y, C=C)
    which = "valid" if part == "trial" else "test"
    return {which: round(fitted.score(seen(target, stage, pool, which), getattr(task, f"y_{which}")), 4)}


class Missing(Exception): pass


class Rows:
    """What was measured so far: a row of JSON a line in a file, so that a killed experiment goes on. Missing, if nothing shall be measured."""
    def __init__(self, path, measure=True):
        self.path, self.measure, lines = path, measure, path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
        self.rows = {records.config_key(row["config"]): row for row in map(json.loads, lines)}

    def __call__(self, f, **config):
        key = records.config_key(config)
        if key not in self.rows and not self.measure: raise Missing(key)
        if key not in self.rows:
            self.rows[key] = records.timed(f, config)
            with self.path.open("a", encoding="utf-8") as file: file.write(json.dumps(self.rows[key]) + "\n")
        return records.flat_row(self.rows[key])


def chosen_rate(rows, method, **what):
    """The rate with the best validation accuracy, the smaller one in a tie; and all trials."""
    low = LADDER.index(FIRST.get(method, 1e-3))
    rates, trials = list(LADDER[low:low + 3]), []
    while True:
        trials = [rows(run, method=method, lr=lr, seed=s, part="trial", **what) for lr in rates for s in TUNING]
        mean = {lr: np.mean([t["valid"] for t in trials if t["lr"] == lr]) for lr in rates}
        best = max(rates, key=mean.get)
        at = LADDER.index(best)
        further = {rates[0]: at - 1, rates[-1]: at + 1}.get(best)
        if further is None or not 0 <= further < len(LADDER): return best, trials
        rates = sorted([*rates, LADDER[further]])


def chosen_probe(rows, target, labels, stages):
    """Stage and C with the best validation accuracy; and all trials. Where the largest C is best, the next one is tried, too."""
    tried, Cs = {}, list(CS)
    while True:
        for stage, C in itertools.product(stages, Cs):
            tried[stage, C] = [rows(probe, target=target, labels=labels, stage=stage, pool="mean", C=C, seed=s, part="trial") for s in TUNING]
        best = max(tried, key=lambda k: (np.mean([t["valid"] for t in tried[k]]), -k[1]))
        if best[1] < Cs[-1] or Cs[-1] >= 1e4: return dict(zip(("stage", "C"), best), pool="mean"), [t for trials in tried.values() for t in trials]
        Cs.append(10 * Cs[-1])


def plan():
    """Pair, method and labels per class, the most important ones first."""
    near, far = PAIRS[2], PAIRS[1]
    core = [(*pair, m, 5) for pair in (far, PAIRS[0], near) for m in CORE if (pair, m) != (near, "head first")]
    labels = [(*pair, "all", k) for k in (2, 20) for pair in (far, near)]
    more = [(*pair, "augmentation", 5) for pair in (far, near)] + [(*far, m, 5) for m in (*REGULAR[1:], HELD, "gradual")]
    return core + labels + more + [(*near, m, 5) for m in REGULAR[1:]]


def one_way(rows, start, target, method, labels, head_lr):
    """A way of training at the rate that its trials chose: trials, five runs."""
    what = dict(start=start, target=target, labels=labels) | ({} if head_lr is None else {"head_lr": head_lr})
    lr, trials = chosen_rate(rows, method, **what)
    found = [rows(run, method=method, lr=lr, seed=s, part="test", **what) | {"tuned": True} for s in SEEDS]
    print(start, target, labels, method, lr, sorted({t["lr"] for t in trials}), np.mean([r["test"] for r in found]).round(3), flush=True)
    return trials, found


def at_one_rate(rows, start, target, method, labels, head_lr):
    """Five runs at a rate that was not chosen by trials; for "all" that of its curve with the best validation accuracy. Nothing if they are not there."""
    what = dict(start=start, target=target, labels=labels, method=method, part="test") | ({} if head_lr is None else {"head_lr": head_lr})
    found = {}
    for lr in (3e-2,) if method == "head only" else RATES if method == "all" and labels == 5 else (3e-3,):
        try: found[lr] = [rows(run, lr=lr, seed=s, **what) | {"tuned": method == "all" and labels == 5} for s in SEEDS]
        except Missing: continue
    if not found: return [], []
    best = max(found, key=lambda lr: np.mean([r["valid"] for r in found[lr]]))
    return [r for lr in found for r in found[lr]] if len(found) > 1 else [], found[best]


def tuned(rows, configs):
    """For each configuration the rate that its trials chose, and five seeds of it: all trials, all runs."""
    trials, found, head_lr = [], [], {}
    for start, target, method, labels in configs:
        config = start, target, method, labels, head_lr.get((start, target), 3e-2) if method == "head first" else None
        try: tried, five = one_way(rows, *config)
        except Missing: tried, five = at_one_rate(rows, *config)
        if method == "head only" and five: head_lr[start, target] = five[0]["lr"]
        trials += tried
        found += five
    return trials, found


PROBES = {"probe": STAGES, "probe, stage2": ("stage2",)}


def probed(rows):
    """The same for a linear probe: stage and C chosen; and at the stage that letters choose, C chosen."""
    trials, found = [], []
    for (_, target), labels, (method, stages) in itertools.product(PAIRS[1:], (2, 5, 20), PROBES.items()):
        try:
            best, tried = chosen_probe(rows, target, labels, stages)
            found += [rows(probe, target=target, labels=labels, seed=s, part="test", **best) | dict(start="cifar10", method=method) for s in SEEDS]
        except Missing: continue
        trials += [t | dict(start="cifar10", method=method) for t in tried]
        print(target, labels, method, best, np.mean([r["test"] for r in found[-5:]]).round(3), flush=True)
    return trials, found


def measured(rows):
    """All rows: the runs, one rate after another for a curve, the probes, and the trials of all."""
    trials, found = tuned(rows, plan())
    trials_of_probes, probes = probed(rows)
    what = dict(labels=5, method="all", part="test")
    curve = [rows(run, start=start, target=target, lr=lr, seed=s, **what) for start, target in PAIRS for lr in RATES for s in SEEDS]
    return dict(rows=found, rates=curve, probes=probes, trials=trials + trials_of_probes)


def bare(rows): return [{k: v for k, v in row.items() if k not in ("part", "epochs")} for row in rows]


def main():
    global archive
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--archive", help="a tar of test/<class>/*.jpg: CIFAR-10 as pictures")
    p.add_argument("--so-far", action="store_true", help="measure nothing: write what is there, ways without trials at one rate, marked so")
    p.add_argument("--bf16", action="store_true", help="train in bfloat16 (needs a processor or GPU that has it)")
    args = p.parse_args()
    archive = args.archive
    if args.bf16: os.environ["ACCELERATE_MIXED_PRECISION"] = "bf16"
    part = Path("nbs/results/finetuning.rows.part")
    found = {name: bare(rows) for name, rows in measured(Rows(part, not args.so_far)).items()}
    seconds = sum(row["seconds"] for rows in found.values() for row in rows)
    facts = dict(steps=STEPS, seeds=list(SEEDS), tuning_seeds=list(TUNING), old_test_pictures=OLD, before={r["start"]: r.get("old") for r in found["rows"] if r["method"] == "head only"},
                 validation_pictures={t: len(load(t).x_valid) for t in BATCH}, minutes=round(seconds / 60, 1), precision=os.environ.get("ACCELERATE_MIXED_PRECISION", "float32"))
    records.write_result("finetuning", facts | found)
    if not args.so_far: part.unlink()


if __name__ == "__main__": main()

"""Other alphabets as new targets, for lessons 06 and 08 -> nbs/results/alphabets.json

    python experiments/alphabets.py --bf16    # about ten minutes of one core; killed and started again, it goes on

Needs the package manimgx-fonts, whose Noto Sans fonts draw the letters.
labels (06): three labels per class of Georgian, Thai and Tamil letters, with the budget of lesson 06, 250 steps of 32 pictures in all: alone; in turn,
half of the steps after Latin letters, after digits or after grey patches of materials, which have all their labels; the same after Latin letters whose
labels were shuffled; and alone with half of the steps. Each way has a rate of its own, one for the three alphabets, the best of at least five on
validation pictures with two seeds that are not used again; where the best one lies at an edge of what was tried, one more is tried there. The first task
has its own, chosen likewise on itself; the shuffled one has that of the right labels.
pictures (08): 64 unlabelled letters and SimCLR, from scratch and after SimCLR on MNIST, with the settings of lesson 08; and from scratch for as many
steps as both trainings together.
"""
import copy
import os
from dataclasses import replace
from functools import cache, partial

import torch
import unsupervised as simclr_runs
from inductive_fair import LADDER, STEPS, train

from transfer_course import data, records, training
from transfer_course.backbone import batched, guesses
from transfer_course.files import cache_dir
from transfer_course.small import shared_net

SCRIPTS, SEEDS, TUNING, LABELS = ("georgian", "thai", "tamil"), range(5), (100, 101), 3
FIRST = {"Latin letters": "letters", "Latin letters, shuffled labels": "letters", "digits": "mnist_5k", "grey materials": "materials"}
WAYS = ["alone", "alone, half the steps", *(f"after {name}" for name in FIRST)]
FOLDER = cache_dir() / "results"


# --- labels: one alphabet after another -----------------------------------------------------------------------------------

@cache
def target(script): return data.letters(n_train=40, n_test=25, side=32, script=script).split(0.5, seed=100)


@cache
def source(name, seed):
    task = data.load(FIRST[name], size=32).split(0.2, seed=100)
    if "shuffled" not in name: return task
    order = torch.randperm(len(task.y_train), generator=torch.Generator().manual_seed(seed))
    return replace(task, y_train=task.y_train[order])


def right(net, x, y): return round(float((guesses(batched(net, x, 512)) == y).float().mean()), 4)


def learned(net, task, lr, steps, seed): return train(net, task, lr, steps, seed, training.cross_entropy)


@cache
def first_phase(name, seed, lr):
    task = source(name, seed)
    return learned(shared_net(len(task.classes), seed), task, lr, STEPS // 2, seed)


def first(name, seed, lr):
    task = source(name, seed)
    return dict(valid=right(first_phase(name, seed, lr), task.x_valid, task.y_valid))


def second(script, way, seed, lr, first_lr=None):
    task = target(script)
    if first_lr is None: net = shared_net(len(task.classes), seed)
    else: net = copy.deepcopy(first_phase(way.removeprefix("after "), seed, first_lr)).replace_head(len(task.classes), seed)
    net = learned(net, task.few_shot(LABELS, seed), lr, STEPS if way == "alone" else STEPS // 2, seed)
    return dict(valid=right(net, task.x_valid, task.y_valid), test=right(net, task.x_test, task.y_test))


def measure(name, configs, run): return records.swept(f"alphabets_{name}".replace(" ", "_"), configs, run, FOLDER)


def chosen(name, configs_of, run):
    "The rate with the best mean validation accuracy, and all rows: five rates of the ladder, further where the best is at an edge."
    tried, rows = list(LADDER[2:7]), []
    new = list(tried)
    while new:
        for lr in new: rows += measure(f"{name}_{lr:.0e}", configs_of(lr), run)
        mean = {lr: sum(r["valid"] for r in rows if r["lr"] == lr) for lr in tried}
        i = LADDER.index(max(mean, key=mean.get))
        new = [LADDER[j] for j in (i - 1, i + 1) if 0 <= j < len(LADDER) and LADDER[j] not in tried]
        tried += new
    return LADDER[i], rows


def labels():
    firsts, tried, final = {}, [], []
    for name in FIRST:
        if "shuffled" in name: firsts[name] = firsts["Latin letters"]
        else: firsts[name], rows = chosen(f"first {name}", lambda lr, name=name: [dict(name=name, seed=s, lr=lr) for s in TUNING], first)
    rates = {}
    for way in WAYS:
        more = {"first_lr": firsts[way.removeprefix("after ")]} if way.startswith("after") else {}
        of = lambda lr, seeds=TUNING, way=way, more=more: [dict(script=c, way=way, seed=s, lr=lr, **more) for c in SCRIPTS for s in seeds]
        rates[way], rows = chosen(f"second {way}", of, second)
        tried += rows
        final += measure(f"final {way}", of(rates[way], SEEDS), second)
    return dict(steps=STEPS, labels=LABELS, tuning_seeds=list(TUNING), first_rates=firsts, rates=rates, tried=untimed(tried, "test"), rows=untimed(final, "valid"))


def untimed(rows, *drop): return [{k: v for k, v in r.items() if k not in ("seconds", *drop)} for r in rows]


# --- pictures: 64 letters without labels ------------------------------------------------------------------------------------

def pictures(script, start, seed, lr):
    load = cache(lambda name: data.letters(n_train=40, n_test=25, side=28, script=name) if name in SCRIPTS else data.load(name, size=28))
    simclr_runs.load = load
    return simclr_runs.run(script, start, 0 if start == "pixels" else 64, seed, lr)


def main():
    torch.set_num_threads(1)
    os.environ["ACCELERATE_MIXED_PRECISION"] = simclr_runs.PRECISION
    found = dict(seeds=list(SEEDS), scripts=list(SCRIPTS), classes={s: len(target(s).classes) for s in SCRIPTS}, labels=labels())
    records.write_result("alphabets", found)
    starts = [simclr_runs.MAIN, simclr_runs.SCRATCH, simclr_runs.LONGER, "pixels"]
    lr = data.result("unsupervised")["lr"]
    rows = measure("pictures", [dict(script=c, start=s, seed=i) for i in SEEDS for c in SCRIPTS for s in starts], partial(pictures, lr=lr))
    found["pictures"] = dict(lr=lr, pictures=64, source_steps=simclr_runs.SOURCE_STEPS, target_steps=simclr_runs.TARGET_STEPS, rows=untimed(rows))
    records.write_result("alphabets", found)


if __name__ == "__main__":
    main()

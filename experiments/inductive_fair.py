"""The pairs of lesson 06 again, every way with the same rates and steps -> nbs/results/inductive_fair.json

    python experiments/inductive_fair.py     # a few minutes on one idle core; killed and started again, it goes on

The wanted task has 3 or 30 labels per class, the other one 2,000 labels. Every way gets 125 steps of 32 pictures in all
(in turn: 63 + 63) and the same six rates. Seed 0 tries all of them; the rate with the best accuracy on the 600
validation pictures is then used with seeds 1 to 4. The first phase of `in turn` has a rate of its own, chosen on its
own task. The control of every pair: the other task's own labels, shuffled among the pictures.
`all`: both tasks have 2,000 labels; the rates are chosen with a seed that is not used afterwards.
"""
import copy
import json
import math
from collections import defaultdict
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import nn

from transfer_course import inductive, multitask, records, training
from transfer_course.backbone import batched, guesses
from transfer_course.inductive import equal, pcgrad, shuffled_labels, uncertainty, weighted
from transfer_course.small import shared_net

DIGITS, LETTERS, PHOTOS = "digits", "letters", "digits on photographs"
FEW = [(PHOTOS, "photograph", "digit", 3), (DIGITS, "digit", "odd", 3), (LETTERS, "letter", "font", 30)]
SURGERY = FEW[:1]  # also by gradient surgery
BOTH = [(PHOTOS, "digit", "photograph")]
PARTS = Path("_proc/experiments")  # rows of what was measured, so that the experiment can go on
RATES, SEEDS, TUNING, STEPS = [3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1], range(5), 100, 125
HALF = 63  # steps of each phase in turn
HOW = {"equal": equal, "uncertainty": uncertainty, "pcgrad": pcgrad}


def train(net, tasks, lr, steps, seed, objective, groups=None):
    """What `training.fit` does, with the pictures made ready once: less than half the time for so small a network."""
    holder = net.net if isinstance(net, inductive.MultiTaskNet) else net
    ready, holder.preprocess = holder.preprocess, nn.Identity()
    x, y = ready(tasks.x_train), tasks.y_train
    opt = torch.optim.AdamW(groups or net.parameters(), lr, weight_decay=0.01, fused=True)
    order, epochs = training.SeededSampler(len(x), seed), training.epochs_for_steps(len(x), steps, 32)
    cycle = training.one_cycle(opt, epochs * math.ceil(len(x) / 32))
    net.train()
    for order.epoch in range(epochs):
        for rows in torch.tensor(list(order)).split(32):
            loss = objective(net, x[rows], y[rows])
            opt.zero_grad()
            loss.backward()
            opt.step()
            cycle.step()
    holder.preprocess = ready
    return net.eval()


def single(tasks, task, lr, steps, seed, width=16, net=None):
    """`inductive.single_task` by `train`."""
    t = tasks.task(task)
    net = shared_net(len(t.classes), seed, width) if net is None else copy.deepcopy(net).replace_head(len(t.classes), seed)
    return train(net, t, lr, steps, seed, training.cross_entropy)


def several(tasks, objective, lr, seed, width):
    """`inductive.multitask` by `train`."""
    net = inductive.MultiTaskNet(shared_net(2, seed, width), tasks.classes, seed)
    batches = tasks if (tasks.y_train >= 0).all() else tasks.mixed()
    return train(net, batches, lr, STEPS, seed, objective, inductive.param_groups(net, lr))


@cache
def tasks_of(source, task, other, labels, seed, shuffled):
    """Two tasks; the first has `labels` per class (None: all), the labels of `shuffled` mean nothing."""
    both = multitask.load(source).only(task, other)
    if shuffled: both = shuffled_labels(both, shuffled, seed)
    return both if labels is None else both.few(task, labels, seed)


def right(net, tasks, task):
    """Accuracy on the task, validation and test; and which validation pictures were right, as bits in hex."""
    def hits(part):
        x, y = multitask.parts_of(tasks)[part]
        scores = batched(net, x, 512)
        if isinstance(net, inductive.MultiTaskNet): scores = inductive.by_task(net, scores)[task]
        return (guesses(scores) == y[:, list(tasks.classes).index(task)]).numpy()
    valid = hits("valid")
    return dict(valid=round(float(valid.mean()), 4), test=round(float(hits("test").mean()), 4), hits=np.packbits(valid).tobytes().hex())


def one_alone(source, task, other, labels, seed, lr, width=16, steps=STEPS):
    tasks = tasks_of(source, task, other, labels, seed, None)
    net = single(tasks, task, lr, steps, seed, width)
    return right(net, tasks, task)


@cache
def first_phase(source, task, other, seed, shuffled, lr):
    tasks = tasks_of(source, task, other, None, seed, shuffled)
    return single(tasks, other, lr, HALF, seed)


def one_in_turn(source, task, other, labels, seed, lr, first_lr, shuffled=None):
    tasks = tasks_of(source, task, other, labels, seed, None)
    start = first_phase(source, task, other, seed, shuffled, first_lr)
    net = single(tasks, task, lr, HALF, seed, net=start)
    return right(net, tasks, task)


def one_together(source, task, other, labels, seed, lr, how="equal", shuffled=None, width=16):
    tasks, seen = tasks_of(source, task, other, labels, seed, shuffled), []
    objective = HOW[how] if how in HOW else weighted(**{task: float(how), other: 2 - float(how)})
    watched = (lambda model, x, y: pcgrad(model, x, y, seen)) if how == "pcgrad" else objective
    net = several(tasks, watched, lr, seed, width)
    found = right(net, tasks, task)
    if labels is None: found |= {f"{k}_other": v for k, v in right(net, tasks, other).items() if k != "hits"}
    if how == "uncertainty": found["weights"] = [round(w, 3) for w in inductive.task_weights(net).values()]
    if how == "pcgrad": found["conflicts"] = round(sum(c < 0 for c in seen) / len(seen), 3)
    if not shuffled: found["cosine"] = round(inductive.gradient_cosine(net, tasks.x_valid, tasks.y_valid), 3)
    return found


WAYS = {"alone": one_alone, "together": one_together, "in turn": one_in_turn}
def run(way, **config):
    """One row; the bits are kept where they are looked at."""
    found = WAYS[way](**config)
    if config["labels"] != 3 or config.get("shuffled") or config["seed"] > 0: del found["hits"]
    return found


def arms_with_all():
    """What is trained with all labels on both sides, without rate and seed."""
    for s, t, o in BOTH:
        sides = [dict(source=s, task=a, other=b, labels=None) for a, b in ((t, o), (o, t))]
        for side in sides:
            yield dict(way="alone", **side)
            yield dict(way="together", **side, shuffled=side["other"])
        for how in ("equal", "uncertainty", "pcgrad"): yield dict(way="together", **sides[0], how=how)


def first_phases():
    """The first phase of every pair with few labels, as an arm."""
    pairs = dict.fromkeys((s, o, t) for s, t, o, _ in FEW)
    return [dict(way="alone", source=s, task=o, other=t, labels=None, steps=HALF) for s, o, t in pairs]


def measured(name, configs):
    """The rows of a part of the experiment; what is there is not measured again."""
    path = PARTS / f"inductive_fair_{name}.json"
    PARTS.mkdir(parents=True, exist_ok=True)
    if not path.exists(): records.sweep(path.stem, configs, run, PARTS)
    return json.loads(path.read_text(encoding="utf-8"))["rows"]


def arm_of(config): return records.config_key({k: v for k, v in config.items() if k not in ("lr", "seed")})


def best_rates(rows, configs):
    """A function arm -> the rate with the best mean validation accuracy (of both tasks, where both count)."""
    found = defaultdict(lambda: defaultdict(list))
    for row, config in zip(rows, configs):
        both = row["way"] == "together" and row["labels"] is None and "shuffled" not in row
        found[arm_of(config)][row["lr"]].append((row["valid"] + row["valid_other"]) / 2 if both else row["valid"])
    def best(arm):
        means = {lr: sum(v) / len(v) for lr, v in found[arm_of(arm)].items()}
        return max(means, key=means.get)
    return best


def with_rates(arms, seeds): return [dict(arm, seed=seed, lr=lr) for seed in seeds for arm in arms for lr in RATES]


def arms_with_few(first):
    """What is trained where the first task has few labels, without rate and seed."""
    for s, t, o, k in FEW:
        where = dict(source=s, task=t, other=o, labels=k)
        yield dict(way="alone", **where)
        for shuffled in ({}, dict(shuffled=o)):
            yield dict(way="together", **where, **shuffled)
            if not shuffled: yield dict(way="in turn", **where, first_lr=first[s, o])
        if (s, t, o, k) in SURGERY: yield dict(way="together", **where, how="pcgrad")


def write(tried, rows):
    records.write_result("inductive_fair", dict(seeds=list(SEEDS), rates=RATES, steps=STEPS, tried=tried, rows=rows))


def main():
    tries = with_rates(first_phases(), [TUNING])
    tried, rows = measured("first", tries), []
    best = best_rates(tried, tries)
    first = {(arm["source"], arm["task"]): best(arm) for arm in first_phases()}
    for pair in FEW:
        arms = [arm for arm in arms_with_few(first) if (arm["source"], arm["task"], arm["other"], arm["labels"]) == pair]
        tries = with_rates(arms, SEEDS[:1])
        found = measured(f"rates_{pair[1]}", tries)
        best = best_rates(found, tries)
        rows += found + measured(pair[1], [dict(arm, seed=seed, lr=best(arm)) for seed in SEEDS[1:] for arm in arms])
        write(tried, rows)
    arms = list(arms_with_all())
    tries = with_rates(arms, [TUNING])
    also = measured("rates_all", tries)
    best = best_rates(also, tries)
    rows += measured("all", [dict(arm, seed=seed, lr=best(arm)) for seed in SEEDS for arm in arms])
    write(tried + also, rows)


if __name__ == "__main__":
    main()

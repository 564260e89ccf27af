"""The pairs of lesson 06 again, every way with the same steps and rates -> nbs/results/inductive_fair.json

    python experiments/inductive_fair.py     # 20 minutes on one idle core; killed and started again, it goes on

The wanted task has 3 or 30 labels per class, the other one 2,000 labels. Every way gets 250 steps of 32 pictures in all:
alone 250 of its own; together 250 in which half of the pictures are its own; in turn 125 of the other task, then 125 of its
own. Every way tries the same five rates with two seeds that are not used afterwards; where the best one lies at an edge of
what was tried, one more is tried there, until it does not. The best by the 600 validation pictures is used with seeds 0 to 4.
The first phase of `in turn` has a rate of its own, chosen likewise on its own task. Two controls
of every pair: the other task's own labels, shuffled among the pictures; and the wanted task alone with half of the steps.
`all`: both tasks have 2,000 labels, and every way gets 500 steps.
"""
import copy
import math
from collections import defaultdict
from functools import cache
from pathlib import Path

import torch
from torch import nn

from transfer_course import inductive, multitask, records, training
from transfer_course.backbone import batched, guesses
from transfer_course.inductive import equal, pcgrad, shuffled_labels, uncertainty, weighted
from transfer_course.small import shared_net

DIGITS, LETTERS, PHOTOS = "digits", "letters", "digits on photographs"
FEW = [(PHOTOS, "photograph", "digit", 3), (DIGITS, "digit", "odd", 3), (LETTERS, "letter", "font", 30),
       (LETTERS, "font", "letter", 30), (PHOTOS, "digit", "photograph", 30)]
SURGERY = FEW[:1]  # also by gradient surgery
BOTH = [(PHOTOS, "digit", "photograph")]
PARTS = Path("_proc/experiments")  # rows of what was measured, so that the experiment can go on
LADDER = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0]
RATES, SEEDS, TUNING, STEPS, ALL_STEPS = LADDER[2:7], range(5), (100, 101), 250, 500
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


def single(tasks, task, lr, steps, seed, net=None, width=16):
    """`inductive.single_task` by `train`."""
    t = tasks.task(task)
    net = shared_net(len(t.classes), seed, width) if net is None else copy.deepcopy(net).replace_head(len(t.classes), seed)
    return train(net, t, lr, steps, seed, training.cross_entropy)


def several(tasks, objective, lr, steps, seed, width=16):
    """`inductive.multitask` by `train`, with batches of 32 pictures in all."""
    net = inductive.MultiTaskNet(shared_net(2, seed, width), tasks.classes, seed)
    batches = tasks if (tasks.y_train >= 0).all() else tasks.mixed()
    return train(net, batches, lr, steps, seed, objective, inductive.param_groups(net, lr))


@cache
def tasks_of(source, task, other, labels, seed, shuffled):
    """Two tasks; the first has `labels` per class (None: all), the labels of `shuffled` mean nothing."""
    both = multitask.load(source).only(task, other)
    if shuffled: both = shuffled_labels(both, shuffled, seed)
    return both if labels is None else both.few(task, labels, seed)


def right(net, tasks, task):
    """Accuracy on the task, validation and test."""
    def hits(part):
        x, y = multitask.parts_of(tasks)[part]
        scores = batched(net, x, 512)
        if isinstance(net, inductive.MultiTaskNet): scores = inductive.by_task(net, scores)[task]
        return float((guesses(scores) == y[:, list(tasks.classes).index(task)]).float().mean())
    return dict(valid=round(hits("valid"), 4), test=round(hits("test"), 4))


def one_alone(source, task, other, labels, seed, lr, steps=STEPS, width=16):
    tasks = tasks_of(source, task, other, labels, seed, None)
    return right(single(tasks, task, lr, steps, seed, width=width), tasks, task)


@cache
def first_phase(source, task, other, seed, shuffled, lr):
    tasks = tasks_of(source, task, other, None, seed, shuffled)
    return single(tasks, other, lr, STEPS // 2, seed)


def one_in_turn(source, task, other, labels, seed, lr, first_lr, shuffled=None):
    tasks = tasks_of(source, task, other, labels, seed, None)
    start = first_phase(source, task, other, seed, shuffled, first_lr)
    net = single(tasks, task, lr, STEPS // 2, seed, net=start)
    return right(net, tasks, task)


def one_together(source, task, other, labels, seed, lr, how="equal", shuffled=None, steps=STEPS, width=16):
    tasks, seen = tasks_of(source, task, other, labels, seed, shuffled), []
    objective = HOW[how] if how in HOW else weighted(**{task: float(how), other: 2 - float(how)})
    watched = (lambda model, x, y: pcgrad(model, x, y, seen)) if how == "pcgrad" else objective
    net = several(tasks, watched, lr, steps, seed, width)
    found = right(net, tasks, task)
    if labels is None: found |= {f"{k}_other": v for k, v in right(net, tasks, other).items()}
    if how == "uncertainty": found["weights"] = [round(w, 3) for w in inductive.task_weights(net).values()]
    if how == "pcgrad": found["conflicts"] = round(sum(c < 0 for c in seen) / len(seen), 3)
    if not shuffled: found["cosine"] = round(inductive.gradient_cosine(net, tasks.x_valid, tasks.y_valid), 3)
    return found


WAYS = {"alone": one_alone, "together": one_together, "in turn": one_in_turn}
def run(way, **config): return WAYS[way](**config)


def arms_with_all():
    """What is trained with all labels on both sides, without rate and seed."""
    for s, t, o in BOTH:
        sides = [dict(source=s, task=a, other=b, labels=None, steps=ALL_STEPS) for a, b in ((t, o), (o, t))]
        for side in sides:
            yield dict(way="alone", **side)
            yield dict(way="together", **side, shuffled=side["other"])
        for how in ("equal", "uncertainty", "pcgrad", "1.8"): yield dict(way="together", **sides[0], how=how)


def more_arms():
    """Learned weights beside labels that mean nothing; and a trunk of a quarter of the width."""
    for s, t, o in BOTH:
        sides = [dict(source=s, task=a, other=b, labels=None, steps=ALL_STEPS) for a, b in ((t, o), (o, t))]
        yield dict(way="together", **sides[0], how="uncertainty", shuffled=o)
        for side in sides: yield dict(way="alone", **side, width=4)
        yield dict(way="together", **sides[0], how="equal", width=4)


def first_phases():
    """The first phase of every pair with few labels, as an arm."""
    pairs = dict.fromkeys((s, o, t) for s, t, o, _ in FEW)
    return [dict(way="alone", source=s, task=o, other=t, labels=None, steps=STEPS // 2) for s, o, t in pairs]


def arms_with_few(pair, first):
    """What is trained where the first task has few labels, without rate and seed."""
    s, t, o, k = pair
    where = dict(source=s, task=t, other=o, labels=k)
    yield dict(way="alone", **where)
    yield dict(way="together", **where)
    yield dict(way="together", **where, shuffled=o)
    yield dict(way="in turn", **where, first_lr=first[s, o])
    if pair in SURGERY: yield dict(way="together", **where, how="pcgrad")


def arms_with_half():
    """The wanted task alone with half of the steps: what a second task costs, before it says anything."""
    return [dict(way="alone", source=s, task=t, other=o, labels=k, steps=STEPS // 2) for s, t, o, k in FEW]


def measured(name, configs): return records.swept(f"inductive_fair_{name}", configs, run, PARTS)


def arm_of(row, arms):
    """The number of the arm that a row belongs to."""
    return next(i for i, arm in enumerate(arms) if all(row.get(k) == arm.get(k) for k in ("way", "source", "task", "other", "labels", "how", "shuffled", "steps", "width")))


def worth(row):
    """What chooses a rate: the validation accuracy, of both tasks where both count."""
    return (row["valid"] + row["valid_other"]) / 2 if row["labels"] is None and "how" in row and not row.get("shuffled") else row["valid"]


def choose(name, arms, seeds=TUNING):
    """The best rate of every arm, and all that was tried: the grid goes on where the best is at its edge."""
    new, rows, best = [RATES] * len(arms), [], []
    for again in range(4):
        wanted = [dict(arm, seed=seed, lr=lr) for arm, lrs in zip(arms, new) for lr in lrs for seed in seeds]
        if not wanted: break
        rows += measured(f"{name}_{again}", wanted)
        new, best = [], []
        for i in range(len(arms)):
            found = defaultdict(list)
            for row in rows:
                if arm_of(row, arms) == i: found[row["lr"]].append(worth(row))
            top = max(found, key=lambda lr: sum(found[lr]) / len(found[lr]))
            near = LADDER.index(top)
            new.append([lr for lr in LADDER[max(near - 1, 0):near + 2] if lr not in found])
            best.append(top)
    return best, rows


def without(rows, *names): return [{k: v for k, v in row.items() if k not in names} for row in rows]


def write(tried, rows):
    records.write_result("inductive_fair", dict(
        seeds=list(SEEDS), tuning_seeds=list(TUNING), steps=STEPS, all_steps=ALL_STEPS, rates=RATES, seconds=round(sum(r["seconds"] for r in tried + rows)),
        tried=without(tried, "seconds", "test", "test_other", "weights", "cosine", "conflicts"), rows=without(rows, "seconds")))


def main():
    arms = first_phases()
    best, tried = choose("first", arms)
    first = {(arm["source"], arm["task"]): lr for arm, lr in zip(arms, best)}
    rows = []
    for pair in FEW:
        arms, name = list(arms_with_few(pair, first)), f"{pair[1]}_{pair[2]}"
        best, also = choose(name, arms)
        tried += also
        rows += measured(f"{name}_seeds", [dict(arm, seed=seed, lr=lr) for seed in SEEDS for arm, lr in zip(arms, best)])
        write(tried, rows)
    arms = arms_with_half()
    best, also = choose("half", arms)
    tried += also
    rows += measured("half_seeds", [dict(arm, seed=seed, lr=lr) for seed in SEEDS for arm, lr in zip(arms, best)])
    for name, arms in (("all", list(arms_with_all())), ("more", list(more_arms()))):
        best, also = choose(name, arms, TUNING[:1])
        tried += also
        rows += measured(f"{name}_seeds", [dict(arm, seed=seed, lr=lr) for seed in SEEDS for arm, lr in zip(arms, best)])
        write(tried, rows)


if __name__ == "__main__":
    main()

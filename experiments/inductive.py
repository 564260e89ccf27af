"""One task alone, after another, and together with another -> nbs/results/inductive.json

    python experiments/inductive.py     # about 20 minutes on one idle core; killed and started again, it goes on

`few`: the wanted task has 3 or 30 labels per class, the other one 2,000 labels. `all`: both have 2,000.
The rates are chosen on the validation part with a seed that is not used afterwards, for the wanted task alone and together with the other one.
Other rates in the second phase of `in turn` are all measured, on the validation part and on the test part.
"""
import json
from collections import defaultdict
from functools import cache
from pathlib import Path

from transfer_course import inductive, multitask, records, training
from transfer_course.inductive import equal, score, uncertainty, weighted

PAIRS = [("digits", "digit", "odd"), ("digits", "digit", "random"), ("letters", "letter", "font"), ("letters", "font", "letter"),
         ("digits on photographs", "digit", "photograph"), ("digits on photographs", "photograph", "digit")]
BOTH = [("digits", "digit", "odd"), ("digits", "digit", "random"), ("letters", "letter", "font"), ("digits on photographs", "digit", "photograph")]
TURNS = [PAIRS[i] for i in (0, 2, 5)]
LABELS, RATES, RATIOS, SEEDS = [3, 30], [3e-3, 1e-2, 3e-2], [0.1, 0.3, 1.0, 3.0], range(5)
STEPS = {"few": 300, "all": 600}
OBJECTIVES = {"equal": equal, "uncertainty": uncertainty}


def tasks_of(source, task, other, labels, seed):
    """Two tasks; the first has few labels, or all (labels is None)."""
    both = multitask.load(source).only(task, other)
    return both if labels is None else both.few(task, labels, seed)


def right(net, tasks, task):
    """Accuracy of an ordinary network on a task: validation and test."""
    t = tasks.task(task)
    return dict(valid=round(training.accuracy(net, t.x_valid, t.y_valid), 4), test=round(training.accuracy(net, t.x_test, t.y_test), 4))


def rights(net, tasks):
    """Accuracy of a MultiTask network on the first and on the second task."""
    (v, v2), (t, t2) = (score(net, tasks, p).values() for p in ("valid", "test"))
    return dict(valid=round(v, 4), test=round(t, 4), valid_other=round(v2, 4), test_other=round(t2, 4))


def objective_of(how, task, other):
    return OBJECTIVES[how] if how in OBJECTIVES else weighted(**{task: float(how), other: 2 - float(how)})


def one_alone(source, task, other, labels, seed, lr, width=16):
    tasks = tasks_of(source, task, other, labels, seed)
    net, _ = inductive.single_task(tasks, task, lr=lr, steps=STEPS["few" if labels else "all"], seed=seed, width=width)
    return right(net, tasks, task)


def one_together(source, task, other, labels, seed, lr, how="equal", width=16):
    tasks = tasks_of(source, task, other, labels, seed)
    net, _ = inductive.multitask(tasks, objective_of(how, task, other), lr=lr, steps=STEPS["few" if labels else "all"], seed=seed, width=width)
    cosine = inductive.gradient_cosine(net, tasks.x_valid, tasks.y_valid)
    return rights(net, tasks) | dict(weights=[round(w, 3) for w in inductive.task_weights(net).values()], cosine=round(cosine, 3))


@cache
def first_phase(source, other, seed, lr):
    return inductive.single_task(multitask.load(source), other, lr=lr, steps=STEPS["few"], seed=seed)[0]


def one_in_turn(source, task, other, labels, seed, lr, ratio):
    tasks = tasks_of(source, task, other, labels, seed)
    net, _ = inductive.single_task(tasks, task, first_phase(source, other, seed, lr), lr * ratio, STEPS["few"], seed)
    return right(net, tasks, task)


WAYS = {"alone": one_alone, "together": one_together, "in turn": one_in_turn}
def run(way, **cell): return WAYS[way](**cell)


def tries():
    """Cells for the choice of the rates: few labels (10 per class) and all."""
    for lr in RATES:
        for labels, seed in [(10, 100), (None, 100)]:
            for s, t, o in PAIRS:
                where = dict(source=s, task=t, other=o, labels=labels, seed=seed, lr=lr)
                if (s, t, o) != PAIRS[1]: yield dict(way="alone", **where)
                if (s, t, o) == PAIRS[0] and labels is None: yield dict(way="alone", **where | dict(task=o, other=t))
                if labels or (s, t, o) in BOTH: yield dict(way="together", **where)


def best_rates():
    """(way, source, task, other, few?) -> the rate with the best mean validation accuracy; and all that was tried."""
    path = Path("nbs/results/inductive_rates.json")
    if not path.exists(): records.sweep("inductive_rates", list(tries()), run)
    rows, found = json.loads(path.read_text(encoding="utf-8"))["rows"], defaultdict(lambda: defaultdict(list))
    for r in rows:
        other = r["other"] if r["way"] == "together" else None
        both = r["valid"] if r["labels"] or r["way"] == "alone" else (r["valid"] + r["valid_other"]) / 2
        found[r["way"], r["source"], r["task"], other, bool(r["labels"])][r["lr"]].append(both)
    return {k: max(v, key=lambda lr: sum(v[lr]) / len(v[lr])) for k, v in found.items()}, rows


def cells(best):
    """All cells of the experiment, the most wanted first."""
    for seed in SEEDS:
        for s, t, o in PAIRS: yield from cells_with_few(best, s, t, o, seed)
        for s, t, o in BOTH: yield from cells_with_all(best, s, t, o, seed)
    for seed in SEEDS:
        for how in ("0.2", "1.8"): yield dict(way="together", **sides(*BOTH[3], seed)[0], lr=best["together", *BOTH[3], False], how=how)
        for s, t, o in BOTH[2:]: yield from narrow_cells(best, s, t, o, seed)


def cells_with_few(best, s, t, o, seed):
    """Cells of a pair in which the first task has few labels."""
    where, lr = dict(source=s, task=t, other=o, seed=seed), best["together", s, t, o, True]
    for k in LABELS:
        if o != "random": yield dict(way="alone", **where, labels=k, lr=best["alone", s, t, None, True])
        yield dict(way="together", **where, labels=k, lr=lr)
    yield dict(way="together", **where, labels=30, lr=lr, how="uncertainty")
    if (s, t, o) in TURNS: yield from (dict(way="in turn", **where, labels=k, lr=1e-2, ratio=r) for k in LABELS for r in RATIOS)


def sides(s, t, o, seed):
    """The two tasks of a pair, each by itself with all labels."""
    return [dict(source=s, task=a, other=b, seed=seed, labels=None) for a, b in ((t, o), (o, t))]


def cells_with_all(best, s, t, o, seed):
    """Cells of a pair in which both tasks have all labels."""
    where, lr = sides(s, t, o, seed)[0], best["together", s, t, o, False]
    yield from (dict(way="together", **where, lr=lr, how=how) for how in ("equal", "uncertainty"))
    if o != "random": yield from (dict(way="alone", **w, lr=best["alone", s, w["task"], None, False]) for w in sides(s, t, o, seed))


def narrow_cells(best, s, t, o, seed):
    """The same in a trunk of a quarter of the width."""
    yield dict(way="together", **sides(s, t, o, seed)[0], lr=best["together", s, t, o, False], width=4)
    yield from (dict(way="alone", **w, lr=best["alone", s, w["task"], None, False], width=4) for w in sides(s, t, o, seed))


def main():
    best, tried = best_rates()
    records.sweep("inductive", list(cells(best)), run, seeds=list(SEEDS), steps=STEPS, tried=tried)
    Path("nbs/results/inductive_rates.json").unlink()


if __name__ == "__main__":
    main()

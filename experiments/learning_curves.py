"""What does a pretrained start buy? Accuracy against labels and against epochs, from scratch and pretrained -> nbs/results/learning_curves.json

The learning rate of each start is chosen on the validation part of each target, at 15 labels per class, with a seed that is not used afterwards: four rates, and
further ones while the best is the last of them -> learning_rates.json. Two more questions, each at few numbers of labels:

- shuffled weights (the pretrained numbers of each layer in random places) -> learning_shuffled.json, rates in learning_shuffled_rates.json
- letters with 5 labels per class for 480 steps instead of 120, and from scratch for 2,000, at the same rates -> learning_longer.json

    python experiments/learning_curves.py rates curves shuffled longer     # or some of these; without a word, all of them: about half an hour on one core

A row that is stored already is not measured again. --bf16 trains in bfloat16, twice as fast on a processor that has it; all stored rows are of that kind.
"""
import json
import os
import sys
from functools import cache
from pathlib import Path

from transfer_course import learning_curves, records, training
from transfer_course.learning_curves import STARTS, TARGETS, learn, shuffled_weights

LABELS = [2, 5, 15, 50]
WATCHED = 15  # labels per class at which every epoch is measured on the validation part
RATES = [3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2]
FIRST = RATES[2:6]  # are tried at first
SEEDS, TUNING_SEED = range(5), 100
ARMS = STARTS | {"shuffled weights": shuffled_weights}
SHUFFLED = {"letters": 5, "shuffled digits": 15}  # labels per class
LONGER = [480, 2000]  # steps, on letters with 5 labels per class
FOLDER = Path("nbs/results")
load = cache(learning_curves.load)


def sweep(name, configs, run_one, **facts):
    """The rows of a sweep; those that are stored are kept."""
    stored, part = FOLDER / f"{name}.json", FOLDER / f"{name}.rows.part"
    if stored.exists() and not part.exists():
        rows = json.loads(stored.read_text(encoding="utf-8"))["rows"]
        same = [(c, r) for c in configs for r in rows if c.items() <= r.items()]
        kept = [dict(config=c, **{k: v for k, v in r.items() if k not in c}) for c, r in same]
        part.write_text("".join(json.dumps(r) + "\n" for r in kept), encoding="utf-8")
    return json.loads(records.sweep(name, configs, run_one, **facts).read_text(encoding="utf-8"))["rows"]


def rate(target, start, lr, labels=WATCHED, steps=120):
    """The validation accuracy of a learning rate."""
    task = load(target)
    net, _ = learn(ARMS[start], task, labels, seed=TUNING_SEED, lr=lr, steps=steps)
    return dict(accuracy=round(training.accuracy(net, task.x_valid, task.y_valid), 4))


def best_rates(name, targets, starts, **how):
    """For each target and start, the rate with the best validation accuracy, the higher one in a tie; all that were tried go to the file of that name.

    Where the best is at an edge of what was tried, the next rate is tried as well."""
    stored = FOLDER / f"{name}.json"
    before = json.loads(stored.read_text(encoding="utf-8"))["rows"] if stored.exists() else []
    tried = {(t, s): sorted({*FIRST, *(r["lr"] for r in before if (r["target"], r["start"]) == (t, s))}) for t in targets for s in starts}
    while True:
        configs = [dict(target=t, start=s, lr=lr) | how for (t, s), rates in tried.items() for lr in rates]
        found = sweep(name, configs, rate, seed=TUNING_SEED, labels=how.get("labels", WATCHED), precision=PRECISION)
        best = {(r["target"], r["start"]): r["lr"] for r in sorted(found, key=lambda r: (r["accuracy"], r["lr"]))}
        wider = {k: [r for r in RATES if r < min(v)][-1:] * (best[k] == min(v)) + [r for r in RATES if r > max(v)][:1] * (best[k] == max(v)) for k, v in tried.items()}
        if not any(wider.values()): return best
        tried = {k: sorted(v + wider[k]) for k, v in tried.items()}


def run(target, start, labels, seed, lr, steps=120, watch=True):
    """One run: the test accuracy at its end, and the validation accuracy after every epoch if it is watched."""
    task, watch = load(target), watch and labels == WATCHED
    net, log = learn(ARMS[start], task, labels, seed=seed, lr=lr, steps=steps, watch=watch)
    by_epoch = [round(r["accuracy"], 4) for r in log.rows] if watch else None
    return dict(accuracy=round(training.accuracy(net, task.x_test, task.y_test), 4), by_epoch=by_epoch, training_seconds=round(sum(r["seconds"] for r in log.rows), 2))


def curves():
    best = best_rates("learning_rates", TARGETS, STARTS)
    configs = [dict(target=t, start=s, labels=k, seed=i, lr=best[t, s]) for t in TARGETS for k in LABELS for s in STARTS for i in SEEDS]
    sweep("learning_curves", configs, run, seeds=list(SEEDS), precision=PRECISION)


def shuffled():
    best = best_rates("learning_shuffled_rates", SHUFFLED, ["shuffled weights"])
    configs = [dict(target=t, start=s, labels=SHUFFLED[t], seed=i, lr=lr, watch=False) for (t, s), lr in best.items() for i in SEEDS]
    sweep("learning_shuffled", configs, run, seeds=list(SEEDS), precision=PRECISION)


def longer():
    """At the rates that were chosen for 120 steps, for both starts."""
    best = best_rates("learning_rates", TARGETS, STARTS)
    configs = [dict(target="letters", start=s, labels=5, seed=i, lr=best["letters", s], steps=n) for n in LONGER for s in STARTS for i in SEEDS
               if n == LONGER[0] or s == "from scratch"]  # 2,000 steps for random weights alone: do they catch up with 120 from the pretrained ones?
    sweep("learning_longer", configs, run, seeds=list(SEEDS), precision=PRECISION)


PARTS = {"rates": lambda: best_rates("learning_rates", TARGETS, STARTS), "curves": curves, "shuffled": shuffled, "longer": longer}

if __name__ == "__main__":
    if "--bf16" in sys.argv: os.environ["ACCELERATE_MIXED_PRECISION"] = "bf16"
    PRECISION = os.environ.get("ACCELERATE_MIXED_PRECISION", "float32")
    for name in [a for a in sys.argv[1:] if a in PARTS] or PARTS: PARTS[name]()

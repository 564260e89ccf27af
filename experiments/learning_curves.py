"""What does a pretrained start buy? Accuracy against labels and against epochs, from scratch and pretrained -> nbs/results/learning_curves.json

    python experiments/learning_curves.py     # about a quarter of an hour on two idle cores; killed and started again, it goes on

The learning rate of each start is chosen on the validation part of each target, at 15 labels per class, with a seed that is not used afterwards.
--bf16 trains in bfloat16, twice as fast on a processor that has it.
"""
import json
import os
import sys
from functools import cache

from transfer_course import learning_curves, records, training
from transfer_course.learning_curves import STARTS, TARGETS, learn

LABELS = [2, 5, 15, 50]
WATCHED = 15  # labels per class at which every epoch is measured on the validation part
RATES = [1e-3, 3e-3]
SEEDS = range(5)
load = cache(learning_curves.load)


def rate(target, start, lr):
    """The validation accuracy of a learning rate."""
    task = load(target)
    net, _ = learn(STARTS[start], task, WATCHED, seed=100, lr=lr)
    return dict(accuracy=training.accuracy(net, task.x_valid, task.y_valid))


def best_rates():
    """For each target and start, the rate with the best validation accuracy; all that were tried go to learning_rates.json."""
    tries = [dict(target=t, start=s, lr=lr) for t in TARGETS for s in STARTS for lr in RATES]
    rows = json.loads(records.sweep("learning_rates", tries, rate, seed=100, labels=WATCHED).read_text(encoding="utf-8"))["rows"]
    return {(r["target"], r["start"]): r["lr"] for r in sorted(rows, key=lambda r: r["accuracy"])}


def run(target, start, labels, seed, lr):
    """One run: the test accuracy at its end, and the validation accuracy after every epoch if it is watched."""
    task = load(target)
    net, log = learn(STARTS[start], task, labels, seed=seed, lr=lr, watch=labels == WATCHED)
    by_epoch = [round(r["accuracy"], 4) for r in log.rows] if labels == WATCHED else None
    return dict(accuracy=round(training.accuracy(net, task.x_test, task.y_test), 4), by_epoch=by_epoch, training_seconds=round(sum(r["seconds"] for r in log.rows), 2))


def main():
    if "--bf16" in sys.argv: os.environ["ACCELERATE_MIXED_PRECISION"] = "bf16"
    best = best_rates()
    cells = [dict(target=t, start=s, labels=k, seed=i, lr=best[t, s]) for t in TARGETS for k in LABELS for s in STARTS for i in SEEDS]
    records.sweep("learning_curves", cells, run, seeds=list(SEEDS), precision=os.environ.get("ACCELERATE_MIXED_PRECISION", "float32"))


if __name__ == "__main__":
    main()

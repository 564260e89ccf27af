"""What does a pretrained start buy? Accuracy against labels and against epochs, from scratch and pretrained -> nbs/results/learning_curves.json

Two controls, each at one number of labels: shuffled weights (the pretrained numbers of each layer in random places) -> learning_shuffled.json,
and from scratch for four times as many steps -> learning_longer.json (not run yet: no result is stored, and the lesson says so).

    python experiments/learning_curves.py controls     # the two controls alone, some minutes
    python experiments/learning_curves.py     # about a quarter of an hour on two idle cores; killed and started again, it goes on

The learning rate of each start is chosen on the validation part of each target, at 15 labels per class, with a seed that is not used afterwards.
--bf16 trains in bfloat16, twice as fast on a processor that has it.
"""
import json
import os
import sys
from functools import cache

from transfer_course import learning_curves, records, training
from transfer_course.learning_curves import STARTS, TARGETS, learn, shuffled_weights

LABELS = [2, 5, 15, 50]
WATCHED = 15  # labels per class at which every epoch is measured on the validation part
RATES = [1e-3, 3e-3]
SEEDS = range(5)
ARMS = STARTS | {"shuffled weights": shuffled_weights}
SHUFFLED = {"letters": 5}  # labels a class
LONGER = 480  # steps
load = cache(learning_curves.load)


def rate(target, start, lr):
    """The validation accuracy of a learning rate."""
    task = load(target)
    net, _ = learn(ARMS[start], task, WATCHED, seed=100, lr=lr)
    return dict(accuracy=training.accuracy(net, task.x_valid, task.y_valid))


def best_rates(name="learning_rates", targets=TARGETS, starts=STARTS):
    """For each target and start, the rate with the best validation accuracy; all that were tried go to the file of that name."""
    tries = [dict(target=t, start=s, lr=lr) for t in targets for s in starts for lr in RATES]
    rows = json.loads(records.sweep(name, tries, rate, seed=100, labels=WATCHED).read_text(encoding="utf-8"))["rows"]
    return {(r["target"], r["start"]): r["lr"] for r in sorted(rows, key=lambda r: r["accuracy"])}


def run(target, start, labels, seed, lr, steps=120, watch=True):
    """One run: the test accuracy at its end, and the validation accuracy after every epoch if it is watched."""
    task, watch = load(target), watch and labels == WATCHED
    net, log = learn(ARMS[start], task, labels, seed=seed, lr=lr, steps=steps, watch=watch)
    by_epoch = [round(r["accuracy"], 4) for r in log.rows] if watch else None
    return dict(accuracy=round(training.accuracy(net, task.x_test, task.y_test), 4), by_epoch=by_epoch, training_seconds=round(sum(r["seconds"] for r in log.rows), 2))


def controls(precision):
    """Shuffled weights, its rate chosen as for the other starts; then from scratch, longer, at the rate of the shorter runs."""
    best = best_rates("learning_shuffled_rates", ["letters", "shuffled digits"], ["shuffled weights"])
    configs = [dict(target=t, start="shuffled weights", labels=k, seed=i, lr=best[t, "shuffled weights"], watch=False) for t, k in SHUFFLED.items() for i in SEEDS]
    records.sweep("learning_shuffled", configs, run, seeds=list(SEEDS), precision=precision)
    rows = json.loads(open("nbs/results/learning_curves.json", encoding="utf-8").read())["rows"]
    lr = next(r["lr"] for r in rows if (r["target"], r["start"]) == ("letters", "from scratch"))
    configs = [dict(target="letters", start="from scratch", labels=5, seed=i, lr=lr, steps=LONGER) for i in SEEDS]
    records.sweep("learning_longer", configs, run, seeds=list(SEEDS), precision=precision)


def main():
    if "--bf16" in sys.argv: os.environ["ACCELERATE_MIXED_PRECISION"] = "bf16"
    precision = os.environ.get("ACCELERATE_MIXED_PRECISION", "float32")
    if "controls" in sys.argv: return controls(precision)
    best = best_rates()
    cells = [dict(target=t, start=s, labels=k, seed=i, lr=best[t, s]) for t in TARGETS for k in LABELS for s in STARTS for i in SEEDS]
    records.sweep("learning_curves", cells, run, seeds=list(SEEDS), precision=precision)
    controls(precision)


if __name__ == "__main__":
    main()

"""What does a pretrained start buy? Accuracy against labels and against epochs, from scratch and pretrained -> nbs/results/learning_curves.json

    python experiments/learning_curves.py     # about a quarter of an hour on two idle cores; killed and started again, it goes on

The learning rate of each start is chosen on the validation part of each target, at 10 labels a class, with a seed that is not used afterwards.
"""
import json
from functools import cache

from transfer_course import data, training
from transfer_course.learning_curves import STARTS, TARGETS, learn

LABELS = [2, 5, 10, 25, 75]
RATES = [1e-3, 3e-3, 1e-2]
SEEDS = range(5)


@cache
def load(target): return data.load(target, size=32).split(0.2, seed=100)


def rate(target, start, lr):
    """The validation accuracy of a learning rate, at 10 labels a class."""
    task = load(target)
    net, _ = learn(STARTS[start], task, 10, seed=100, lr=lr)
    return dict(accuracy=training.accuracy(net, task.x_valid, task.y_valid))


def by_labels(target, start, labels, seed, lr):
    """One run with so many labels a class: the test accuracy at its end."""
    task = load(target)
    net, _ = learn(STARTS[start], task, labels, seed=seed, lr=lr)
    return dict(accuracy=training.accuracy(net, task.x_test, task.y_test))


def by_epochs(target, start, labels, seed, lr):
    """One longer run: the validation accuracy after every epoch."""
    _, log = learn(STARTS[start], load(target), labels, seed=seed, lr=lr, steps=120, watch=True)
    return dict(epoch=[r["epoch"] for r in log.rows], accuracy=[r["accuracy"] for r in log.rows])


def one(kind, **cell):
    return dict(labels=by_labels, epochs=by_epochs)[kind](**cell)


def best_rates():
    """For each target and start, the rate with the best validation accuracy; all that were tried go to learning_rates.json."""
    tries = [dict(target=t, start=s, lr=lr) for t in TARGETS for s in STARTS for lr in RATES]
    rows = json.loads(training.measure("learning_rates", tries, rate, seed=100, labels=10).read_text(encoding="utf-8"))["rows"]
    return {(r["target"], r["start"]): r["lr"] for r in sorted(rows, key=lambda r: r["accuracy"])}


def main():
    best = best_rates()
    cells = [dict(kind=kind, target=t, start=s, labels=k, seed=i, lr=best[t, s]) for kind, sizes in (("labels", LABELS), ("epochs", [40]))
             for t in TARGETS for k in sizes for s in STARTS for i in SEEDS]
    training.measure("learning_curves", cells, one, seeds=list(SEEDS))


if __name__ == "__main__":
    main()

"""How much does a pretrained start buy? Accuracy against labels and against epochs, from scratch and pretrained -> nbs/results/learning_curves.json

    python experiments/learning_curves.py     # about half an hour on two cores; killed and started again, it goes on

The learning rate of each start is chosen on the validation part of each target, at 10 labels a class, with a seed that is not used afterwards.
"""
from transfer_course import data, learning_curves, training
from transfer_course.learning_curves import STARTS, TARGETS

LABELS = [2, 5, 10, 25, 100]
RATES = [1e-3, 3e-3, 1e-2]
SEEDS = range(5)


def choose_rate(target, start):
    """The learning rate with the best validation accuracy (seed 100)."""
    task = data.load(target, size=32).split(0.2, seed=100)
    def right(lr):
        net, log = learning_curves.learn(STARTS[start], task, 10, seed=100, lr=lr)
        return training.accuracy(net, task.x_valid, task.y_valid)
    return max(RATES, key=right)


def by_labels(target, start, labels, seed, lr):
    """One run with so many labels a class: test accuracy."""
    task = data.load(target, size=32).split(0.2, seed=100)
    net, log = learning_curves.learn(STARTS[start], task, labels, seed=seed, lr=lr)
    return dict(accuracy=round(training.accuracy(net, task.x_test, task.y_test), 4))


def main():
    rates = {(t, s): choose_rate(t, s) for t in TARGETS for s in STARTS}
    cells = [dict(target=t, start=s, labels=k, seed=i, lr=rates[t, s]) for t in TARGETS for k in LABELS for s in STARTS for i in SEEDS]
    training.measure("learning_curves", cells, by_labels, seeds=list(SEEDS), rates_tried=RATES)


if __name__ == "__main__":
    main()

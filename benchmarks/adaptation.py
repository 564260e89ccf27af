"""The time of a step of every adaptation method against a source-only step; digit_net, 28×28 pixels, batches of 64.

    python benchmarks/adaptation.py [--steps 20] [--rounds 7]

A step of adaptation sees two batches, one of each domain, so about twice the time is what it must cost. SHOT-IM sees target pictures alone.
AdaBN adds no step at all, only one pass over the target at the end. All methods take turns in one run.
"""
import statistics

from common import arguments, report, row, seconds

from transfer_course import training
from transfer_course.augment import negatives
from transfer_course.domains import load, unlabeled
from transfer_course.small import digit_net
from transfer_course.transductive import METHODS, Objective, SourceFree, information_maximisation, learning

LOSSES = {m: make for m, (make, _) in METHODS.items() if m not in ("AdaBN", "RandConv", "TENT", "SHOT-IM", "oracle")} | {"SHOT-IM": lambda net: information_maximisation}


def make_run(method, source, target):
    """A run that is ready to take steps."""
    free, net = method == "SHOT-IM", digit_net()
    loss = LOSSES[method](net)
    objective = SourceFree(net, loss, 1.) if free else Objective(net, target.x_train, loss, 1., negatives)
    numbers = dict(epochs=50, lr=1e-3, batch_size=64, seed=0)
    functions = dict(objective=objective, optimizer=training.adamw, schedule=training.one_cycle)
    task, params = unlabeled(target.x_train) if free else source, learning(net.trunk if free else net, loss)
    run = training.begin_run(net, task, None, numbers, functions, negatives, params, [objective])
    run.model.train()
    return run


def steps(run, batches):
    """A step of training for each batch."""
    for x, y in batches: run.step(x, y)


if __name__ == "__main__":
    args = arguments(__doc__, steps=20, rounds=7)
    source, target = load("MNIST → MNIST-M")
    batches = [(source.x_train[i:i + 64], source.y_train[i:i + 64]) for i in range(0, 64 * args.steps, 64)]
    runs = {m: make_run(m, source, target) for m in LOSSES}
    for run in runs.values(): steps(run, batches[:3])
    found = [{m: seconds(lambda run=run: steps(run, batches)) / args.steps for m, run in runs.items()} for _ in range(args.rounds)]
    ms = {m: f"{1000 * statistics.median(f[m] for f in found):.1f} ms" for m in runs}
    rows = [row(f"a step of {m}: time", "a source-only step", [f[m] / f["source only"] for f in found], 2.3, "at most", f"{ms[m]} against {ms['source only']}")
            for m in runs if m != "source only"]
    report(rows, args.rows)

"""A step of two-head multi-task learning against two single-task steps on the same batch; shared_net, 32 pictures of 32×32.

    python benchmarks/inductive.py [--steps 100] [--rounds 7]

One step of the shared network serves both tasks, so about half of two steps is what can be reached. Both sides take turns in one run.
"""
import statistics

from common import arguments, report, row, seconds

from transfer_course.inductive import MultiTaskNet, equal
from transfer_course.multitask import load
from transfer_course.small import shared_net
from transfer_course.training import adamw, cross_entropy


def stepper(net, objective, x, y):
    """A function that makes n steps of the optimizer."""
    net.train()
    opt = adamw(net.parameters(), 1e-3)
    def steps(n):
        for _ in range(n):
            opt.zero_grad(); objective(net, x, y).backward(); opt.step()
    return steps


if __name__ == "__main__":
    args = arguments(__doc__, steps=100, rounds=7)
    tasks = load("digits").only("digit", "odd")
    x, y = tasks.x_train[:32], tasks.y_train[:32]
    both = stepper(MultiTaskNet(shared_net(), tasks.classes), equal, x, y)
    single = [stepper(shared_net(k), cross_entropy, x, y[:, i]) for i, k in enumerate((10, 2))]
    for steps in (both, *single): steps(5)
    rounds = [(seconds(lambda: both(args.steps)), sum(seconds(lambda s=s: s(args.steps)) for s in single)) for _ in range(args.rounds)]
    ms = [1000 * statistics.median(r[i] for r in rounds) / args.steps for i in (0, 1)]
    note = f"32 pictures of 32 px a step: {ms[0]:.1f} ms against {ms[1]:.1f} ms"
    report([row("a step of a network with two heads: time", "two single-task steps", [a / b for a, b in rounds], None, "at most", note)], args.rows)

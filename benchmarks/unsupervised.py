"""A SimCLR step against a supervised step of the same network on the same pictures.

    python benchmarks/unsupervised.py [--steps 20] [--rounds 5]

Each step: 128 pictures of 28×28 pixels forward, backward, one step of AdamW. SimCLR makes two views of each picture and sends both through the network,
so up to twice the time is to be expected. Both sides take turns in one run.
"""
import statistics

from common import arguments, report, row, seconds

from transfer_course import data, training
from transfer_course.small import contrastive_net
from transfer_course.unsupervised import simclr


def steps(objective, net, x, y, n):
    """n steps of training."""
    opt = training.adamw(net.train().parameters(), 1e-3)
    for _ in range(n):
        opt.zero_grad(); objective(net, x, y).backward(); opt.step()


if __name__ == "__main__":
    args = arguments(__doc__, steps=20, rounds=5)
    task = data.load("mnist_5k")
    x, y = task.x_train[::25][:128], task.y_train[::25][:128]
    sides = [(simclr(), contrastive_net()), (training.cross_entropy, contrastive_net(outputs=10))]
    for side in sides: steps(*side, x, y, 3)
    rounds = [[seconds(lambda side=side: steps(*side, x, y, args.steps)) for side in sides] for _ in range(args.rounds)]
    ms = [1000 * statistics.median(r[i] for r in rounds) / args.steps for i in (0, 1)]
    note = f"128 pictures of 28 px a step: {ms[0]:.0f} ms against {ms[1]:.0f} ms"
    report([row("a SimCLR step: time", "a supervised step", [a / b for a, b in rounds], 2.3, "at most", note)], args.rows)

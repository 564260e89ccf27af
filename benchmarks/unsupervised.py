"""A SimCLR step against a supervised step of the same network on the same pictures; 2 threads.

    python benchmarks/unsupervised.py [--steps 20] [--rounds 5]

Each step: 128 pictures of 28×28 pixels forward, backward, one step of AdamW. SimCLR sends two views of each picture through the network and
makes them first, so about twice the time is to be expected. Both sides take turns in one run; the median of the ratios counts.
"""
import argparse
import statistics
import time

import torch

from transfer_course import data, training
from transfer_course.unsupervised import simclr, small_net


def seconds(objective, net, x, y, steps):
    """Seconds of some steps of training."""
    opt = training.adamw(net.train().parameters(), 1e-3)
    start = time.perf_counter()
    for _ in range(steps):
        opt.zero_grad(); objective(net, x, y).backward(); opt.step()
    return (time.perf_counter() - start) / steps


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(2)
    task = data.load("mnist_5k")
    x, y = task.x_train[::25][:128], task.y_train[::25][:128]
    sides = {"supervised": (training.cross_entropy, small_net(outputs=10)), "SimCLR": (simclr(), small_net())}
    for objective, net in sides.values(): seconds(objective, net, x, y, 3)
    rounds = [{name: seconds(*side, x, y, args.steps) for name, side in sides.items()} for _ in range(args.rounds)]
    for name in sides: print(f"{name:<12} {1000 * statistics.median(r[name] for r in rounds):6.1f} ms a step")
    print(f"SimCLR takes {statistics.median(r['SimCLR'] / r['supervised'] for r in rounds):.2f} times as long as supervised")

"""A step of two-head multi-task learning against two single-task steps on the same batch; small_net, 32 pictures of 32×32, 1 thread.

    python benchmarks/inductive.py [--steps 100] [--rounds 7]

One step of the shared network serves both tasks, so about half of two steps is what can be reached. Both sides take turns in one run; medians are compared.
"""
import argparse
import statistics
import time

import torch

from transfer_course.inductive import MultiTask, equal, load, small_net
from transfer_course.training import adamw, cross_entropy


def seconds(step, steps):
    """The time of so many steps."""
    start = time.perf_counter()
    for _ in range(steps): step()
    return time.perf_counter() - start


def stepper(net, objective, x, y):
    """A function that makes one step of the optimizer."""
    net.train()
    opt = adamw(net.parameters(), 1e-3)
    def step():
        opt.zero_grad()
        objective(net, x, y).backward()
        opt.step()
    return step


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    torch.set_num_threads(1)
    tasks = load("digits").only("digit", "odd")
    x, y = tasks.x_train[:32], tasks.y_train[:32]
    both = stepper(MultiTask(small_net(), tasks.classes), equal, x, y)
    single = [stepper(small_net(k), cross_entropy, x, y[:, i]) for i, k in enumerate((10, 2))]
    for step in (both, *single): seconds(step, 5)
    shared, apart = (statistics.median(t) for t in zip(*((seconds(both, args.steps), sum(seconds(s, args.steps) for s in single)) for _ in range(args.rounds))))
    print(f"two single-task steps   {1000 * apart / args.steps:6.2f} ms")
    print(f"one multi-task step     {1000 * shared / args.steps:6.2f} ms   {shared / apart:.2f} of the two")

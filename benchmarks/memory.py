"""Memory of extract on many pictures against a tenth of them; CourseNet at 32 px.

    python benchmarks/memory.py [--many 100000] [--rounds 2]

Each in a process of its own: the largest resident memory while extract runs, less that before it began. The pictures come from a dataset that makes them
when they are asked for, so that they take no memory themselves. The result of 100,000 pictures is a file of 102 MB.
"""
import statistics
import subprocess
import sys
import threading

import psutil
import torch
from common import arguments, empty_home, report, row


class Noise:
    """n pictures that are made when they are asked for."""
    def __init__(self, n): self.n, self.base = n, torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    def __len__(self): return self.n
    def __getitem__(self, i): return self.base + i % 256


def watched(f):
    """Megabytes of resident memory: before the call, and the largest while it ran, looked at every 5 ms."""
    process, stop = psutil.Process(), threading.Event()
    before = largest = process.memory_info().rss
    def watch():
        nonlocal largest
        while not stop.wait(0.005): largest = max(largest, process.memory_info().rss)
    thread = threading.Thread(target=watch)
    thread.start()
    try: f()
    finally: stop.set()
    thread.join()
    return before / 1e6, largest / 1e6


def child(n):
    """Print what `watched` saw for n pictures."""
    from transfer_course import backbones, features
    net = backbones.load("coursenet")
    with empty_home(): print(*watched(lambda: features.extract(net, Noise(n), progress=False)))


def over_baseline(n):
    """Megabytes that extract took on n pictures, in a new process."""
    done = subprocess.run([sys.executable, __file__, "--child", str(n)], capture_output=True, text=True)
    if done.returncode: raise SystemExit(done.stderr)
    before, largest = map(float, done.stdout.split())
    return largest - before


if __name__ == "__main__":
    args = arguments(__doc__, many=100_000, rounds=2, child=0)
    if args.child: child(args.child)
    else:
        rounds = [[over_baseline(n) for n in (args.many, args.many // 10)] for _ in range(args.rounds)]
        many, few = (statistics.median(r) for r in zip(*rounds))
        note = f"CourseNet at 32 px: {many:.0f} MB against {few:.0f} MB over what the process had before"
        report([row(f"memory of `extract` on {args.many:,} pictures", f"on {args.many // 10:,}", [a / b for a, b in rounds], 1.1, "at most", note)], args.rows)

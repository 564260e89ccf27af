"""Memory of extract on many pictures against a tenth of them; CourseNet at 32 px.

    python benchmarks/memory.py [--many 100000] [--rounds 2] [--side 32]

Each in a process of its own: the largest resident memory while extract runs, less that before it began. The pictures come from a dataset that makes them
when they are asked for, so that they take no memory themselves. The result of 100,000 pictures is a file of 102 MB. Then the same for picture files in a
folder, which `data.from_folder(folder, lazy=True)` leaves where they are: small JPEG files of two classes, written before the process begins. The list of the files grows with
their number and is there before the watch begins, so the ratio of this line is that of the whole processes at their largest, PyTorch and all.
"""
import statistics
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

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


def child(n, folder, side):
    """Print what `watched` saw for n pictures, made when they are asked for or read from a folder."""
    from transfer_course import backbones, data, features
    net = backbones.load("coursenet")
    with empty_home():
        x = data.from_folder(folder, size=side, test=0.2, progress=False, lazy=True).x_train if folder else Noise(n)
        print(*watched(lambda: features.extract(net, x, progress=False)))


def write_files(folder, n, side):
    """n JPEG files of two classes, no two the same; seconds per thousand are few, since each is a grey ramp with its number in it."""
    import numpy as np
    from PIL import Image
    ramp = np.linspace(0, 160, side * side, dtype=np.float32).reshape(side, side)
    for c in "ab": (Path(folder) / c).mkdir(parents=True)
    for i in range(n):
        bits = np.array([(i >> k) & 1 for k in range(20)], dtype=np.uint8) * 90
        picture = ramp.astype(np.uint8).copy()
        picture[:4, :20] += bits
        Image.fromarray(picture).convert("RGB").save(Path(folder) / "ab"[i % 2] / f"{i:06}.jpg", quality=95)


def over_baseline(n, folder="", side=32):
    """Megabytes that the process had, and what extract took on n pictures, in a new process."""
    more = ["--folder", str(folder), "--side", str(side)] if folder else []
    done = subprocess.run([sys.executable, __file__, "--child", str(n), *more], capture_output=True, text=True)
    if done.returncode: raise SystemExit(done.stderr)
    before, largest = map(float, done.stdout.split())
    return before, largest - before


def in_a_folder(n, side):
    """The same for n files."""
    with tempfile.TemporaryDirectory() as folder:
        write_files(folder, n, side)
        return over_baseline(n, folder, side)


if __name__ == "__main__":
    args, rows = arguments(__doc__, many=100_000, rounds=2, child=0, folder="", side=32), []
    if args.child: child(args.child, args.folder, args.side)
    else:
        ways = {f"memory of `extract` on {args.many:,} pictures": over_baseline,
                f"memory of `extract` on {args.many:,} files, `from_folder(lazy=True)`": lambda n: in_a_folder(n, args.side)}
        for what, memory in ways.items():
            rounds = [[memory(n) for n in (args.many, args.many // 10)] for _ in range(args.rounds)]
            (had, many), (had_few, few) = ([statistics.median(v) for v in zip(*r)] for r in zip(*rounds))
            size = sum if memory is not over_baseline else (lambda seen: seen[1])
            note = f"CourseNet at 32 px: {many:.0f} MB against {few:.0f} MB over what the process had before ({had:.0f} and {had_few:.0f} MB)"
            rows.append(row(what, f"on {args.many // 10:,}", [size(a) / size(b) for a, b in rounds], 1.1, "at most", note))
        report(rows, args.rows)

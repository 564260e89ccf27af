"""Three epochs of `fit` on 130 pictures of 96 px, on an idle machine and beside four busy processes: how threads wait for each other.

    python benchmarks/busy.py [--pictures 130] [--epochs 3] [--rounds 3] [--busy 4] [--limit 300]

Threads that wait by spinning hold a core that another program wants; threads that sleep at once give it back, and wake up late. The package, when
it is imported before torch, asks for something between (`OMP_WAIT_POLICY=PASSIVE`, `GOMP_SPINCOUNT=5000`); OpenMP's default spins 300,000 times. The busy processes are this script's own: they are
started for the second half and ended by it, and end by themselves after twice the limit.
"""
import os
import statistics
import subprocess
import sys

from common import arguments, report, row

NONE = {"OMP_WAIT_POLICY": "PASSIVE"}
WAYS = {"default": {}, "ours": {**NONE, "GOMP_SPINCOUNT": "5000"}, "no spinning": NONE, "one thread": {"OMP_NUM_THREADS": "1"}}
SPIN = "import time\nend = time.time() + {limit}\nwhile time.time() < end: pass"


def child(pictures, epochs):
    """Print the seconds of one call of `fit`, in a process of its own."""
    import torch
    from common import seconds

    from transfer_course import backbones, training
    from transfer_course.data import Task
    x = torch.randint(0, 256, (pictures, 3, 96, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    y = torch.arange(pictures) % 2
    net = backbones.load("efficientnet_lite0").replace_head(2)
    task = Task("noise", x, y, x[:16], y[:16], ["a", "b"])
    print(seconds(lambda: training.fit(net, task, epochs=epochs, batch_size=32, progress=False)))


def run(way, args):
    """The seconds of one way; those of the limit if it was not done by then."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "MKL_", "GOMP_"))}
    command = [sys.executable, __file__, "--child", "1", "--pictures", str(args.pictures), "--epochs", str(args.epochs)]
    try: done = subprocess.run(command, env={**env, "OMP_NUM_THREADS": "2", **WAYS[way]}, capture_output=True, text=True, timeout=args.limit)
    except subprocess.TimeoutExpired: return float(args.limit)
    if done.returncode: raise SystemExit(done.stderr)
    return float(done.stdout)


def rounds(args, busy):
    """{way: seconds of each round}, the ways in turn, beside so many busy processes."""
    spin = [sys.executable, "-c", SPIN.format(limit=2 * args.limit * args.rounds)]
    others = [subprocess.Popen(spin) for _ in range(busy)]
    try: found = [{way: run(way, args) for way in WAYS} for _ in range(args.rounds)]
    finally:
        for p in others: p.kill()
        for p in others: p.wait()
    return {way: [f[way] for f in found] for way in WAYS}


def said(found): return ", ".join(f"{way} {statistics.median(s):.1f} s" for way, s in found.items())


if __name__ == "__main__":
    args = arguments(__doc__, pictures=130, epochs=3, rounds=3, busy=4, limit=300, child=0)
    if args.child: child(args.pictures, args.epochs)
    else:
        idle, loaded = rounds(args, 0), rounds(args, args.busy)
        cost = [a / b for a, b in zip(idle["ours"], idle["default"])]
        one = [a / b for a, b in zip(loaded["ours"], loaded["one thread"])]
        spared = [a / b for a, b in zip(loaded["default"], loaded["ours"])]
        report([row("how the course's threads wait, idle machine: time", "the default", cost, 1.1, "at most", said(idle)),
                row(f"how the course's threads wait, {args.busy} busy processes: time", "one thread", one, 1.5, "at most", said(loaded)),
                row(f"the default, {args.busy} busy processes: time", "how the course's threads wait", spared, None, note=said(loaded))], args.rows)

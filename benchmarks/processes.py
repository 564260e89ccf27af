"""Features by two processes of one thread against one process of one thread: EfficientNet-Lite0 at 96 px, `accelerate launch` on the CPU.

    python benchmarks/processes.py [--pictures 768] [--rounds 3]

All processes look at a few pictures first and wait for each other; then the clock runs until the last one has all the features. So the start of Python and
the loading of the weights are not counted. Both stores must hold the same numbers, bit for bit.
"""
import math
import os
import statistics
import subprocess
import sys

import torch
from common import arguments, empty_home, report, row, seconds

HOW = ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]


def child(pictures):
    """Print the seconds of this process, and the sum of the features' bytes."""
    from transfer_course import backbones, data, features
    from transfer_course.processes import several, state_of
    torch.set_num_threads(1)
    net = backbones.load("efficientnet_lite0")
    few = data.resized(data.load("photographs").x_train[:256], 96)
    x = few.repeat(math.ceil(pictures / len(few)), 1, 1, 1)[:pictures] + torch.arange(pictures).to(torch.uint8)[:, None, None, None]
    features.extract(net, few[:16], cache=False, progress=False)
    if several(): state_of(net).wait_for_everyone()
    found = []
    took = seconds(lambda: found.append(features.extract(net, x, progress=False)))
    print("took", took, found[0].contiguous().view(torch.uint8).long().sum().item(), flush=True)


def slowest(processes, pictures):
    """Seconds of the slowest of so many processes, and what is to be equal."""
    start = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", str(processes), *HOW]
    start = start if processes > 1 else [sys.executable]
    with empty_home():
        done = subprocess.run([*start, __file__, "--child", str(pictures)], env=os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}, capture_output=True, text=True)
    if done.returncode: raise SystemExit(done.stderr)
    said = [line[line.index("took"):].split()[1:] for line in done.stdout.splitlines() if "took" in line]
    return max(float(s) for s, _ in said), {n for _, n in said}


if __name__ == "__main__":
    args = arguments(__doc__, pictures=768, rounds=3, child=0)
    if args.child: child(args.child)
    else:
        rounds = []
        for _ in range(args.rounds):
            (one, a), (two, b) = (slowest(n, args.pictures) for n in (1, 2))
            assert len(a | b) == 1, "the features differ"
            rounds.append((one, two))
        a, b = (args.pictures / statistics.median(r) for r in zip(*rounds))
        note = f"EfficientNet-Lite0 at 96 px, {args.pictures} pictures: {a:.0f} pictures/s by one process, {b:.0f} by two; the same numbers, bit for bit"
        report([row("`extract` by two processes of one thread: speed", "one process of one thread", [r[0] / r[1] for r in rounds], 1.6, note=note)], args.rows)

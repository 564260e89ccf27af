"""Only the last stage learns: the frozen part computed once and kept, against the same without keeping.

    python benchmarks/kept.py [--pictures 400] [--epochs 5] [--rounds 3]

The same call of `fine_tune` with cache=True and cache=False, by turns, for EfficientNet-Lite0 at 96 px and for CourseNet at 32 px. The losses must agree.
The ratio grows with the epochs, up to a limit: the share of the work that the frozen part has. CourseNet's last stage is more than half of its work, so it stands here without a goal.
"""
import statistics

import torch
from common import arguments, report, row, seconds

from transfer_course import backbones, data
from transfer_course.finetuning import fine_tune

NETS = {"EfficientNet-Lite0 at 96 px": ("efficientnet_lite0", dict(size=96), "stage7"), "CourseNet at 32 px": ("coursenet", {}, "stage2")}


def some(n, side):
    """A task of n pictures of noise in eight classes."""
    g = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (n, 3, side, side), dtype=torch.uint8, generator=g)
    y = torch.arange(n) % 8
    return data.Task("noise", x, y, x[:8], y[:8], [str(c) for c in range(8)])


def train(name, how, upto, task, epochs, cache):
    """Seconds, and the loss of every epoch."""
    net, logs = backbones.load(name, **how), []
    spent = seconds(lambda: logs.append(fine_tune(net, task, epochs, 0, lr_ratio=1., freeze_upto=upto, cache=cache, batch_size=32, progress=False)))
    return spent, [r["loss"] for r in logs[0].rows]


def compare(label, pictures, epochs, rounds, goal):
    """One row for a network."""
    name, how, upto = NETS[label]
    task = some(pictures, how.get("size", 32))
    train(name, how, upto, some(64, how.get("size", 32)), 1, True)
    pairs = [[train(name, how, upto, task, epochs, cache) for cache in (True, False)] for _ in range(rounds)]
    for (_, a), (_, b) in pairs: assert max(abs(p - q) for p, q in zip(a, b)) < 1e-2, f"the losses differ: {a}, {b}"
    kept, again = (statistics.median(p[i][0] for p in pairs) for i in (0, 1))
    note = f"{pictures} pictures, {epochs} epochs, the same losses: {kept:.1f} s against {again:.1f} s"
    return row(f"last stage only, {label}, frozen part kept: speed", "the same without keeping", [p[1][0] / p[0][0] for p in pairs], goal, note=note)


if __name__ == "__main__":
    args = arguments(__doc__, pictures=400, epochs=5, rounds=3)
    first, second = NETS
    report([compare(first, args.pictures, args.epochs, args.rounds, 2.5), compare(second, 4 * args.pictures, args.epochs, args.rounds, None)], args.rows)

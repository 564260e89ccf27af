"""A step of training with differential privacy against a plain one, on a linear head; and 16 shadow heads at once against one after the other.

    python benchmarks/privacy.py [--examples 620] [--width 384] [--steps 60] [--rounds 5]
"""
import statistics

import numpy as np
import torch
from common import arguments, report, row, seconds
from torch import nn

from transfer_course.private import noise_for, private_fit
from transfer_course.shadows import halves, shadow_heads


def trained(x, y, epsilon, epochs):
    private_fit(nn.Linear(x.shape[1], 2), x, y, epsilon, epochs=epochs)


if __name__ == "__main__":
    args = arguments(__doc__, examples=620, width=384, steps=60, rounds=5)
    x = torch.randn(args.examples, args.width, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] > 0).long()
    batches = -(-args.examples // 256)
    epochs = max(1, args.steps // batches)
    noise_for(3.0, 1 / (1.1 * args.examples), 1 / batches, epochs)  # the search for the noise is no step
    pairs = [(seconds(lambda: trained(x, y, None, epochs)), seconds(lambda: trained(x, y, 3.0, epochs))) for _ in range(args.rounds)]
    plain, private = (statistics.median(p[i] for p in pairs) / (epochs * batches) for i in (0, 1))
    note = f"{plain * 1000:.1f} ms a step against {private * 1000:.1f} ms, {epochs * batches} steps of 256 of {args.examples} rows"
    rows = [row("a DP-SGD step by opacus: how many times slower", "a plain step", [b / a for a, b in pairs], None, "at most", note)]
    member, z = halves(200, 16), x[:200].numpy()
    if len(z) == 200:
        def alone(): return [shadow_heads(z, y[:200], np.stack([m, ~m]), 64, steps=50) for m in member[:8]]
        pairs = [(seconds(lambda: shadow_heads(z, y[:200], member, 64, steps=50)), seconds(alone)) for _ in range(args.rounds)]
        a, b = (statistics.median(p[i] for p in pairs) for i in (0, 1))
        rows.append(row("16 shadow heads at once: speed", "two at a time", [p[1] / p[0] for p in pairs], 1, note=f"{a:.2f} s against {b:.2f} s"))
    report(rows, args.rows)

"""extract against the bare forward pass, the second call against the first (EfficientNet-Lite0 at 96 px), and small batches against large ones (at 160 px).

    python benchmarks/extract.py [--pictures 2000] [--rounds 3]

The bare pass gets float tensors that are ready in memory, in batches of the same size; extract gets uint8, and its time holds hashing, preprocessing, checksums and writing.
Both sides take turns in one run. Nothing is left in the cache folder.
"""
import statistics
from functools import partial

import torch
from common import arguments, empty_home, report, row, seconds

from transfer_course import backbones, cache, features


@torch.inference_mode()
def bare(net, batches):
    """The least that must be done: the trunk, and the mean over the map."""
    return torch.cat([backbones.pool(net.trunk(b)) for b in batches])


def one_round(net, x, batches):
    """Seconds of the bare pass, of a first and of a second extract."""
    with empty_home():
        run = lambda: features.extract(net, x, progress=False)
        return seconds(lambda: bare(net, batches)), seconds(run), seconds(run)


def one_size(net, x):
    """Seconds of extract with batches that fit, and with batches of 64, at 160 px."""
    run = partial(features.extract, net, x, size=160, cache=False, progress=False)
    return [seconds(partial(run, batch_size=n)) for n in (None, 64)]


def noise(n, side): return torch.randint(0, 256, (n, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


if __name__ == "__main__":
    args = arguments(__doc__, pictures=2000, rounds=3)
    net = backbones.load("efficientnet_lite0", size=96)
    x, large = noise(args.pictures, 96), noise(args.pictures // 8, 160)
    batches = [net.preprocess(b) for b in x.split(cache.fitting(net, x))]
    bare(net, batches[:2])
    rounds = [one_round(net, x, batches) for _ in range(args.rounds)]
    sizes = [one_size(net, large) for _ in range(args.rounds)]
    small, big = (len(large) / statistics.median(t) for t in zip(*sizes))
    plain, first, second = map(statistics.median, zip(*rounds))
    speed = f"{args.pictures / plain:.0f} pictures/s bare, {args.pictures / first:.0f} pictures/s by `extract`, {args.pictures} pictures"
    report([row("`extract`, EfficientNet-Lite0 at 96 px: speed", "the bare forward pass on ready tensors", [p / f for p, f, _ in rounds], 0.9, note=speed),
            row("the second `extract`: speed", "the first", [f / s for _, f, s in rounds], 50, note=f"{first:.1f} s, then {second * 1000:.0f} ms"),
            row("`extract` at 160 px, batches that fit the cache: speed", "batches of 64", [b / a for a, b in sizes], None, note=f"{small:.0f} against {big:.0f} pictures/s")], args.rows)

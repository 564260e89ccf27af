"""extract against the bare forward pass, and the second call against the first; EfficientNet-Lite0 at 96 px, 2 threads.

    python benchmarks/extract.py [--pictures 2000] [--rounds 3]

The bare pass gets float tensors that are ready in memory; extract gets uint8, and its time holds hashing, preprocessing, checksums and writing.
Both sides take turns in one run; medians are compared. Nothing is left in the cache folder.
"""
import argparse
import os
import statistics
import tempfile
import time

import torch

from transfer_course import backbones, features


def seconds(f):
    start = time.perf_counter()
    f()
    return time.perf_counter() - start


@torch.inference_mode()
def bare(net, batches):
    """The least that must be done: the trunk, and the mean over the map."""
    return torch.cat([backbones.pool(net.trunk(b)) for b in batches])


def one_round(net, x, batches):
    """Seconds of the bare pass, of a first and of a second extract."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TRANSFER_COURSE_HOME"] = folder
        run = lambda: features.extract(net, x, progress=False)
        return seconds(lambda: bare(net, batches)), seconds(run), seconds(run)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(2)
    net = backbones.load("efficientnet_lite0")
    x = torch.randint(0, 256, (args.pictures, 3, 96, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    batches = [net.preprocess(b) for b in x.split(64)]
    bare(net, batches[:2])
    plain, first, second = (statistics.median(t) for t in zip(*(one_round(net, x, batches) for _ in range(args.rounds))))
    print(f"bare forward pass  {args.pictures / plain:7.0f} pictures/s")
    print(f"extract            {args.pictures / first:7.0f} pictures/s   {plain / first:.2f} of the bare pass")
    print(f"second extract     {second * 1000:7.0f} ms           {first / second:.0f} times faster than the first")

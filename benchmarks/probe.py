"""A probe on features that are computed once, against a loop that runs the frozen network in every epoch.

    python benchmarks/probe.py [--archive hymenoptera_data.zip] [--epochs 25] [--rounds 3]

The loop is written from the description of PyTorch's tutorial on transfer learning: all weights frozen but those of a new head, batches of 4, SGD with rate 0.001
and momentum 0.9, the rate divided by 10 every 7 epochs, 25 epochs, each of them measured on the test part, and the best one kept.
Its augmentation and its reading of files in every epoch are left out; both would make it slower. Both sides have the same EfficientNet-Lite0 and the same
pictures in memory: ants and bees, 244 + 153 at 160 px, where they are there (or in --archive); if not, as many of MNIST's threes and eights, enlarged.
"""
import statistics
import tempfile
from pathlib import Path

import torch
import torch.nn.functional as F
from common import arguments, empty_home, report, row, seconds

from transfer_course import backbones, data, features


def ants_and_bees(archive):
    """The task, from an archive or from the course's folder; None if there is neither."""
    if archive:
        with tempfile.TemporaryDirectory() as folder: return data.from_folder(data.extract(Path(archive), Path(folder) / "out") / "hymenoptera_data", 160)
    there = next(a["present"] for a in data.assets() if a["name"] == "hymenoptera")
    return data.load("hymenoptera", size=160) if there else None


def threes_and_eights():
    """Pictures of the same number and size that need no network."""
    t = data.load("mnist_5k")
    def part(x, y, n):
        i = torch.cat([(y == c).nonzero()[:, 0][:-(-n // 2)] for c in (3, 8)])[:n]
        return backbones.resize(x[i], 160).expand(-1, 3, -1, -1).contiguous(), (y[i] == 8).long()
    return data.Task("threes and eights", *part(t.x_train, t.y_train, 244), *part(t.x_test, t.y_test, 153), ["three", "eight"])


def an_epoch(net, x, y, opt=None):
    """One pass in batches of 4, with steps if there is an optimizer: the accuracy."""
    net.train(opt is not None)
    order, right = torch.randperm(len(x)) if opt else torch.arange(len(x)), 0
    for i in order.split(4):
        with torch.set_grad_enabled(opt is not None): scores = net(x[i])
        if opt:
            opt.zero_grad()
            F.cross_entropy(scores, y[i]).backward()
            opt.step()
        right += (scores.argmax(1) == y[i]).sum().item()
    return right / len(x)


def loop(task, epochs):
    """The tutorial's way: the test accuracy after every epoch."""
    torch.manual_seed(0)
    net = backbones.load("efficientnet_lite0", size=160).requires_grad_(False)
    net.replace_head(len(task.classes))
    opt = torch.optim.SGD(net.head.parameters(), lr=0.001, momentum=0.9)
    schedule, scores = torch.optim.lr_scheduler.StepLR(opt, 7, 0.1), []
    for _ in range(epochs):
        an_epoch(net, task.x_train, task.y_train, opt)
        schedule.step()
        scores.append(an_epoch(net, task.x_test, task.y_test))
    return scores


def probe(task):
    """The course's way, from the pictures to the test accuracy, with an empty cache."""
    net = backbones.load("efficientnet_lite0", size=160)
    with empty_home():
        z, z_test = (features.extract(net, x, progress=False) for x in (task.x_train, task.x_test))
        return features.linear_probe(z, task.y_train).score(z_test, task.y_test)


def timed(f):
    """Seconds and result."""
    found = []
    return seconds(lambda: found.append(f())), found[0]


if __name__ == "__main__":
    args = arguments(__doc__, archive="", epochs=25, rounds=3)
    task = ants_and_bees(args.archive) or threes_and_eights()
    backbones.batched(backbones.load("efficientnet_lite0", size=160), task.x_test[:8])
    mine = [timed(lambda: probe(task)) for _ in range(args.rounds)]
    whole, scores = timed(lambda: loop(task, args.epochs))
    best, score = max(scores), mine[0][1]
    first = next((f"for the first time in epoch {i + 1}" for i, s in enumerate(scores) if s >= score), "in no epoch")
    note = (f"{task.name}: {statistics.median(s for s, _ in mine):.1f} s against {whole:.0f} s; test accuracy of the probe {score:.3f}, of the loop {best:.3f} in its best epoch of {args.epochs}; "
            f"it reached that of the probe {first}")
    report([row("a probe on 244 + 153 pictures of 160 px: seconds saved", f"the frozen network run in each of {args.epochs} epochs", [whole / s for s, _ in mine], 20, note=note)], args.rows)

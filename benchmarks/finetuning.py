"""Full fine-tuning, pictures per second: fine_tune against fastai's fine_tune and transformers' Trainer.

    python benchmarks/finetuning.py [--pictures 1024] [--side 64] [--rounds 9]

The same EfficientNet-Lite0 with all weights free, the same uint8 pictures in memory, batches of 32, one epoch, AdamW. By turns, in one process.
No side measures accuracy, shows a progress bar, writes a file or clips gradients (Trainer would by default, which costs it time).
fastai is no requirement of the course. Where it is not installed, its row says so.
"""
import statistics
import tempfile
import warnings
from importlib.metadata import PackageNotFoundError, version

import torch
import torch.nn.functional as F
from common import arguments, report, row, seconds
from torch import nn

from transfer_course import backbones, data
from transfer_course.finetuning import fine_tune

BATCH, LR, CLASSES = 32, 1e-3, 8


def pictures(n, side):
    """Noise and labels."""
    return torch.randint(0, 256, (n, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)), torch.arange(n) % CLASSES


def network(side):
    """The same start for every side."""
    return backbones.load("efficientnet_lite0", size=side).replace_head(CLASSES, classes=[str(c) for c in range(CLASSES)])


def course(net, x, y):
    """Seconds of this course's fine_tune."""
    task = data.Task("noise", x, y, x[:8], y[:8], [str(c) for c in range(CLASSES)])
    return seconds(lambda: fine_tune(net, task, 1, 0, lr=LR, batch_size=BATCH, progress=False))


class WithLoss(nn.Module):
    """What Trainer wants: a network that returns its loss."""
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x, labels):
        scores = self.net(x)
        return dict(loss=F.cross_entropy(scores, labels), logits=scores)


def trainer(net, x, y):
    """Seconds of Trainer.train."""
    from transformers import PrinterCallback, Trainer, TrainingArguments
    rows = [dict(x=a, labels=b) for a, b in zip(x, y)]
    with tempfile.TemporaryDirectory() as folder:
        how = TrainingArguments(folder, per_device_train_batch_size=BATCH, num_train_epochs=1, learning_rate=LR, optim="adamw_torch", max_grad_norm=0., use_cpu=True,
                                save_strategy="no", logging_strategy="no", report_to=[], disable_tqdm=True, remove_unused_columns=False, dataloader_pin_memory=False)
        it = Trainer(WithLoss(net), how, train_dataset=rows)
        it.remove_callback(PrinterCallback)
        return seconds(it.train)


def fastai(net, x, y):
    """Seconds of fastai's fine_tune, without an epoch for the head alone."""
    from fastai.callback import schedule  # noqa: F401 (gives Learner its fine_tune)
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner
    rows = list(zip(x, y))
    loaders = DataLoaders.from_dsets(rows, rows[:2], bs=BATCH, num_workers=0, device=torch.device("cpu"))
    learn = Learner(loaders, net, loss_func=F.cross_entropy)
    with learn.no_bar(), learn.no_logging(): return seconds(lambda: learn.fine_tune(1, base_lr=LR, freeze_epochs=0))


def there(name):
    """Is the library installed? Its version, or None."""
    try: return version(name)
    except PackageNotFoundError: return None


def trained(side, x, y):
    """Seconds of one side; every weight must have moved."""
    net = network(x.shape[-1])
    before = [p.detach().clone() for p in net.parameters()]
    spent = side(net, x, y)
    assert not any(torch.equal(p, q) for p, q in zip(before, net.parameters())), f"{side.__name__} left a weight as it was"
    return spent


def compare(x, y, rounds, *sides):
    """Seconds of every side in every round, after a short round that counts for nothing."""
    for side in sides: trained(side, x[:2 * BATCH], y[:2 * BATCH])
    return [[trained(side, x, y) for side in sides] for _ in range(rounds)]


if __name__ == "__main__":
    args = arguments(__doc__, pictures=1024, side=64, rounds=9)
    warnings.simplefilter("ignore")
    others = {"transformers": ("`Trainer` of transformers", trainer), "fastai": ("`fine_tune` of fastai", fastai)}
    found = {name: there(name) for name in others}
    sides = [name for name in others if found[name]]
    times = compare(*pictures(args.pictures, args.side), args.rounds, course, *(others[name][1] for name in sides))
    speed = [args.pictures / statistics.median(t) for t in zip(*times)]
    rows = []
    for name, (against, _) in others.items():
        k = sides.index(name) + 1 if found[name] else 0
        note = f"{speed[0]:.0f} against {speed[k]:.0f} pictures/s, {name} {found[name]}" if k else f"{name} is not installed here"
        rows.append(row(f"full fine-tuning, EfficientNet-Lite0 at {args.side} px: speed", against, [t[k] / t[0] for t in times] if k else [], 1, note=note))
    report(rows, args.rows)

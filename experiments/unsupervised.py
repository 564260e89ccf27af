"""Does a start that has seen other pictures, without labels, help to sort pictures without labels? -> nbs/results/unsupervised.json

    python experiments/unsupervised.py     # took 41 minutes with --bf16 on one thread of a busy machine; killed and started again, it goes on

The learning rate is chosen by SimCLR's own loss on held-out source pictures, with a seed that is not used afterwards -> unsupervised_rates.json.
Labels are looked at in one place only, `scores`, when all training is done. Pretrained networks are kept in the cache folder.
--bf16 trains in bfloat16.
"""
import json
import os
import sys
from functools import cache, partial

import torch

from transfer_course import data, records
from transfer_course.small import contrastive_net, projection
from transfer_course.unsupervised import (
    embed,
    learn,
    pixels,
    pretext_loss,
    rotation,
    scores,
    simclr,
)

SEEDS, NUMBERS = range(5), [64, 256, 1024]  # SOME of them for the controls
RATES = [1e-3, 3e-3, 1e-2]
SOURCE_STEPS, TARGET_STEPS, SOME = 252, 80, 256
OBJECTIVES = {"SimCLR": simclr(), "rotation": rotation()}
TARGETS = ["letters", "digits"]
load = cache(partial(data.load, size=28))


def steps_of(method, steps):
    """Rotation shows four pictures a step where SimCLR shows two: half the steps."""
    return steps // 2 if method.startswith("rotation") else steps


def train(method, x, seed, lr, steps=SOURCE_STEPS, net=None):
    """A network after pretraining on the pictures x."""
    net = net or contrastive_net(seed, 4 if method.startswith("rotation") else 64)
    learn(net, x, OBJECTIVES[method], steps_of(method, steps), lr, seed=seed)
    return net


def rate(method, lr):
    """The loss of a learning rate on held-out source pictures."""
    x = load("mnist_5k").split(0.2, seed=100)
    return dict(loss=round(pretext_loss(train(method, x.x_train, 100, lr), x.x_valid, OBJECTIVES[method]), 4))


def best_rate():
    """The rate with the lowest held-out loss, for SimCLR; rotation takes it as well."""
    tries = [dict(method="SimCLR", lr=lr) for lr in RATES]
    rows = json.loads(records.sweep("unsupervised_rates", tries, rate, seed=100, steps=SOURCE_STEPS).read_text(encoding="utf-8"))["rows"]
    return min(rows, key=lambda r: r["loss"])["lr"]


def pretrained(method, source, seed, lr):
    """A network pretrained on all training pictures of the source, made once and kept."""
    def make(): return {k: v.numpy() for k, v in train(method, load(source).x_train, seed, lr).state_dict().items()}
    kept = data.cached(f"unsupervised-{method}-{source}-{seed}-{lr}-{os.environ.get('ACCELERATE_MIXED_PRECISION', 'no')}-2".replace(" ", "_").replace(",", ""), make)
    net = contrastive_net(seed, 4 if method.startswith("rotation") else 64)
    net.load_state_dict({k: torch.from_numpy(v) for k, v in kept.items()})
    return net


STARTS = {  # name: method and source of the pretraining
    "from scratch": None, "from scratch, longer": None,
    "SimCLR on MNIST": ("SimCLR", "mnist_5k"), "SimCLR on materials": ("SimCLR", "materials"), "rotation on MNIST": ("rotation", "mnist_5k")}


def begin(start, seed, lr):
    """The network of a start."""
    if STARTS[start] is None: return contrastive_net(seed)
    return pretrained(*STARTS[start], seed, lr)


def measured(z, y, seed):
    """All scores of features."""
    return {k: round(v, 4) for k, v in scores(z, y, seed).items()}


def run(target, start, pictures, seed, lr):
    """One run: a start, continued by SimCLR on some unlabelled pictures of the target (or not: 0), scored on its test pictures."""
    task = load(target)
    if start == "pixels": return measured(pixels(task.x_test), task.y_test, seed)
    net = begin(start, seed, lr)
    if pictures:
        few = task.x_train[torch.randperm(len(task.x_train), generator=torch.Generator().manual_seed(seed))[:pictures]]
        if "rotation" in start: net.head = projection(128, 64, seed)
        learn(net, few, simclr(), TARGET_STEPS + SOURCE_STEPS * ("longer" in start), lr, seed=seed)
    return measured(embed(net, task.x_test), task.y_test, seed)


def cells():
    """The main comparison first: letters; then digits, and the other starts."""
    def grid(target, starts, numbers): return [dict(target=target, start=s, pictures=n, seed=i) for i in SEEDS for s in starts for n in numbers]
    main, others = ["SimCLR on MNIST", "from scratch"], ["SimCLR on materials", "rotation on MNIST"]
    yield from grid("letters", main, [0, *NUMBERS]) + grid("letters", ["from scratch, longer"], [NUMBERS[0], SOME])
    yield from grid("digits", main, [0, NUMBERS[0]])
    for t in ["mnist_5k", *TARGETS]: yield from grid(t, ["pixels"], [0])
    yield from grid("mnist_5k", main, [0])
    for s in others: yield from grid("letters", [s], [0, NUMBERS[0]])


def main():
    if "--bf16" in sys.argv: os.environ["ACCELERATE_MIXED_PRECISION"] = "bf16"
    lr = best_rate()
    records.sweep("unsupervised", list(cells()), partial(run, lr=lr), lr=lr, seeds=list(SEEDS), source_steps=SOURCE_STEPS, target_steps=TARGET_STEPS,
                     precision=os.environ.get("ACCELERATE_MIXED_PRECISION", "float32"))


if __name__ == "__main__":
    main()

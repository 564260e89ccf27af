"""Does a start that has seen other pictures, without labels, help to sort pictures without labels? -> nbs/results/unsupervised*.json

    python experiments/unsupervised.py --bf16     # killed and started again, it goes on

Four measurements, each in its own file; delete a file to measure it again:
unsupervised_rates         the rate of each method on MNIST, by a loss without labels on held-out pictures, two seeds
unsupervised_methods       what each method has learned from MNIST, five seeds
unsupervised_target_rates  what the rate does in the second training, on 64 letters, by SimCLR's loss on 64 others, two seeds
unsupervised               the second training of all starts at SimCLR's rate, five seeds (41 minutes on one thread of a busy machine)
Labels are looked at in one place only, `judged`, when all training is done. Pretrained networks are kept in the cache folder. --bf16 trains in bfloat16.
"""
import json
import os
import sys
from functools import cache, partial
from pathlib import Path

import torch
import torch.nn.functional as F

from transfer_course import data, records
from transfer_course.augment import random_views
from transfer_course.features import linear_probe
from transfer_course.small import byol_net, contrastive_net, masked_net, projection
from transfer_course.unsupervised import (
    byol,
    embed,
    learn,
    masked_pixels,
    nt_xent,
    pixels,
    pretext_loss,
    rotation,
    scores,
    simclr,
)

SEEDS, TUNING, NUMBERS = range(5), [100, 101], [64, 256, 1024]
RATES = [3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1]  # the three in the middle first, then further while the best is the last
SOURCE_STEPS, TARGET_STEPS, SOME, LABELS = 252, 80, 64, 5
TUNING_STEPS = 126  # the rate of a pretraining is chosen in runs half as long
METHODS = {  # name: network of a seed, objective of a network
    "SimCLR": (contrastive_net, lambda net: simclr()), "BYOL": (byol_net, byol),
    "masked autoencoder": (masked_net, lambda net: masked_pixels()), "rotation": (partial(contrastive_net, outputs=4), lambda net: rotation())}
ON_MNIST = [("SimCLR", "mnist_5k"), ("masked autoencoder", "mnist_5k"), ("BYOL", "mnist_5k")]
STARTS = {  # name: method and source of the pretraining
    "from scratch": None, "from scratch, longer": None,
    "SimCLR on MNIST": ("SimCLR", "mnist_5k"), "SimCLR on materials": ("SimCLR", "materials"), "rotation on MNIST": ("rotation", "mnist_5k")}
MAIN, SCRATCH, LONGER = "SimCLR on MNIST", "from scratch", "from scratch, longer"
PRECISION = "bf16" if "--bf16" in sys.argv else "no"
load = cache(partial(data.load, size=28))


def steps_of(method, steps):
    """Rotation shows four copies of a picture in a step where SimCLR shows two: half the steps."""
    return steps // 2 if method == "rotation" else steps


def measured(name, configs, run_one, **facts):
    """The rows of a result: what is in its file, and the rest measured."""
    path = Path("nbs/results") / f"{name}.json"
    part = path.with_name(f"{name}.rows.part")
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    have = [(c, r) for c in configs for r in rows if c.items() <= r.items()]
    if len(have) == len(configs): return rows
    if have and not part.exists():
        part.write_text("".join(json.dumps(dict(config=c) | {k: v for k, v in r.items() if k not in c}) + "\n" for c, r in have), encoding="utf-8")
    records.sweep(name, configs, run_one, precision="bf16" if PRECISION == "bf16" else "float32", **facts)
    return json.loads(path.read_text(encoding="utf-8"))["rows"]


def chosen(rows, score):
    """The rate with the lowest mean of a score over the tuning seeds."""
    def mean(lr): return sum(r[score] for r in rows if r["lr"] == lr)
    return min({r["lr"] for r in rows}, key=mean)


def best_rates(name, arms, score_of, run_one, **facts):
    """For each arm (a dict) its rate: three rates first, then further ones where the best is the last."""
    tried = {json.dumps(arm): RATES[1:4] for arm in arms}
    while True:
        configs = [dict(arm, lr=lr, seed=i) for arm in arms for lr in tried[json.dumps(arm)] for i in TUNING]
        rows = measured(name, configs, run_one, tuning_seeds=TUNING, **facts)
        best = {json.dumps(arm): chosen([r for r in rows if arm.items() <= r.items()], score_of(arm)) for arm in arms}
        more = False
        for arm, lr in best.items():
            i, have = RATES.index(lr), tried[arm]
            new = [RATES[j] for j in (i - 1, i + 1) if 0 <= j < len(RATES) and RATES[j] not in have]
            tried[arm], more = sorted(have + new), more or new
        if not more: return best


# --- the first training ---------------------------------------------------------------

def pretrained(method, source, seed, lr, held_out=False):
    """A network pretrained on the training pictures of the source, made once and kept."""
    make, objective = METHODS[method]
    net = make(seed)
    def weights():
        x = load(source).split(0.2, seed=seed).x_train if held_out else load(source).x_train
        learn(net, x, objective(net), steps_of(method, TUNING_STEPS if held_out else SOURCE_STEPS), lr, seed=seed)
        return {k: v.numpy() for k, v in net.state_dict().items()}
    key = f"unsupervised3-{method}-{source}-{seed}-{lr}-{held_out}-{PRECISION}".replace(" ", "_")
    net.load_state_dict({k: torch.from_numpy(v) for k, v in data.cached(key, weights).items()})
    return net.eval()


def pair_loss(net, x):
    """SimCLR's loss of the features, without a head, on 256 pictures."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nt_xent(torch.cat([embed(net, random_views(x[:256])) for _ in range(2)])).item()


def source_rate(method, source, lr, seed):
    """The method's own loss on held-out pictures, and SimCLR's loss of the features."""
    net, x = pretrained(method, source, seed, lr, held_out=True), load(source).split(0.2, seed=seed).x_valid
    own = pretext_loss(net, x, METHODS[method][1](net))
    return dict(loss=round(own, 4), pairs=round(pair_loss(net, x), 4))


def source_rates():
    """The rate of each method: by its own loss; BYOL's own loss is lowest for a network that says nothing, so by that of pairs."""
    arms = [dict(method=m, source=s) for m, s in ON_MNIST]
    best = best_rates("unsupervised_rates", arms, lambda arm: "pairs" if arm["method"] == "BYOL" else "loss", source_rate, steps=TUNING_STEPS)
    return {(m, s): best[json.dumps(dict(method=m, source=s))] for m, s in ON_MNIST}


# --- the second training --------------------------------------------------------------

def begin(start, seed, lr, held_out=False):
    """The network of a start."""
    if STARTS[start] is None: return contrastive_net(seed)
    return pretrained(*STARTS[start], seed, lr, held_out)


def some_of(x, n, seed): return x[torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[:n]]


def go_on(start, x, seed, lr, source_lr, held_out=False):
    """A start, continued by SimCLR on pictures of the target."""
    net = begin(start, seed, source_lr, held_out)
    if "rotation" in start: net.head = projection(128, 64, seed)
    learn(net, x, simclr(), TARGET_STEPS + SOURCE_STEPS * (start == LONGER), lr, seed=seed)
    return net


def target_rate(start, lr, seed, source_lr):
    """SimCLR's loss on 64 letters after training on 64 others: the mean over 8 draws of the views."""
    x = some_of(load("letters").x_train, 2 * SOME, seed)
    net = go_on(start, x[:SOME], seed, lr, source_lr, held_out=True)
    return dict(loss=round(sum(pretext_loss(net, x[SOME:], simclr(), seed=i) for i in range(8)) / 8, 4))


# --- the judgement: the only place with labels ----------------------------------------

def as_features(start, task, net=None):
    """The function from pictures to features: of a network, or the pixels, all minus the mean of the test pictures."""
    middle = task.x_test.flatten(1).float().mean(0)
    return partial(embed, net) if net else lambda x: F.normalize(x.flatten(1).float() - middle, dim=1)


def rounded(found): return {k: round(float(v), 4) for k, v in found.items()}


def judged(features, task, seed):
    """Clusters, neighbours, and a linear probe with five labels per class, on test pictures."""
    few, z = task.few_shot(LABELS, seed), features(task.x_test)
    probe = linear_probe(features(few.x_train), few.y_train, seed=seed).score(z, task.y_test)
    return rounded(dict(scores(z, task.y_test, seed), probe=probe))


def method(start, target, seed, lrs):
    """What a method has learned from MNIST, on the test pictures of a target that it has not seen."""
    task, net = load(target), None
    if start == "random weights": net = contrastive_net(seed)
    if start in METHODS: net = pretrained(start, "mnist_5k", seed, lrs[start, "mnist_5k"])
    return judged(as_features(start, task, net), task, seed)


def continued(target, start, pictures, seed, lr):
    """The network and task of one run: a start, continued by SimCLR on some unlabelled pictures of the target (or not: 0)."""
    task = load(target)
    few = some_of(task.x_train, pictures, seed)
    return (go_on(start, few, seed, lr, lr) if pictures else begin(start, seed, lr)), task


def run(target, start, pictures, seed, lr):
    """Clusters and neighbours after one run."""
    task = load(target)
    if start == "pixels": return rounded(scores(pixels(task.x_test), task.y_test, seed))
    net, task = continued(target, start, pictures, seed, lr)
    return rounded(scores(embed(net, task.x_test), task.y_test, seed))


def grid(target, starts, numbers): return [dict(target=target, start=s, pictures=n, seed=i) for i in SEEDS for s in starts for n in numbers]


def configs():
    """The main comparison first: letters; then digits, and the other starts."""
    main, others = [MAIN, SCRATCH], ["SimCLR on materials", "rotation on MNIST"]
    yield from grid("letters", main, [0, *NUMBERS]) + grid("letters", [LONGER], NUMBERS[:2])
    yield from grid("digits", main, [0, SOME])
    for t in ["mnist_5k", "letters", "digits"]: yield from grid(t, ["pixels"], [0])
    yield from grid("mnist_5k", main, [0])
    for s in others: yield from grid("letters", [s], [0, SOME])


def main():
    if PRECISION == "bf16": os.environ["ACCELERATE_MIXED_PRECISION"] = "bf16"
    lrs = source_rates()
    lr = lrs["SimCLR", "mnist_5k"]
    known = dict(seeds=list(SEEDS), source_steps=SOURCE_STEPS)
    starts = ["SimCLR", "masked autoencoder", "BYOL", "random weights", "pixels"]
    tries = [dict(start=s, target=t, seed=i) for i in SEEDS for s in starts for t in ["letters", "mnist_5k", "digits"]]
    measured("unsupervised_methods", tries, partial(method, lrs=lrs), **known, labels=LABELS, rates={m: v for (m, _), v in lrs.items()})
    known = dict(known, lr=lr, target_steps=TARGET_STEPS)
    measured("unsupervised", list(configs()), partial(run, lr=lr), **known)
    tries = [dict(start=s, lr=r, seed=i) for s in [MAIN, SCRATCH] for r in RATES[1:4] for i in TUNING]  # the longer run takes the rate of the shorter one
    measured("unsupervised_target_rates", tries, partial(target_rate, source_lr=lr), tuning_seeds=TUNING, pictures=SOME, steps=TARGET_STEPS)


if __name__ == "__main__":
    main()

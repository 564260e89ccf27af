"""Office-Caltech-10: ten things seen by four cameras, adapted on frozen features of EfficientNet -> nbs/results/office_cameras.json

    python experiments/office_cameras.py FOLDER    # FOLDER/amazon/backpack/*.jpg and so on, or a tar of it; about ten minutes of one core

The pictures may not be handed on with the course, so this file brings them from where you keep them (Saenko et al. 2010, Gong et al. 2012; both are
easily found). Settings are those that were chosen on MNIST → MNIST-M; nothing is chosen here. Half of the target's pictures are the unlabelled ones,
the other half is the test.
"""
import io
import re
import sys
import tarfile
from copy import deepcopy
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from transfer_course import backbones, records
from transfer_course.domains import proxy_distance
from transfer_course.kinds import keeping_statistics, norms_of
from transfer_course.transductive import (
    METHODS,
    VALIDATORS,
    adabn,
    entropy,
    ramp,
    source_only,
)

SIDE, STEPS, BATCH, LR, SEEDS = 128, 200, 64, 1e-3, range(5)
CAMERAS = {"amazon": "shop", "caltech10": "Caltech", "dslr": "SLR camera", "webcam": "webcam"}
PAIRS = [("amazon", "webcam"), ("webcam", "amazon"), ("amazon", "dslr"), ("caltech10", "amazon"), ("webcam", "caltech10"), ("caltech10", "webcam")]
SKIPPED = ("RandConv",)  # there are no pictures here, only features
NAMES = [m for m in METHODS if m not in SKIPPED]
SETTINGS = {m: w for m, (_, w) in METHODS.items()} | {"IM": 1.}  # its only weight, when this was measured


def files_in(place):
    "(path, bytes) of every picture."
    if Path(place).is_dir(): return sorted((str(p), p.read_bytes()) for p in Path(place).rglob("*.jpg"))
    with tarfile.open(place) as tar: return sorted((m.name, tar.extractfile(m).read()) for m in tar if m.name.endswith(".jpg"))


def square(raw):
    picture = Image.open(io.BytesIO(raw)).convert("RGB")
    return torch.from_numpy(np.array(picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=2.))).permute(2, 0, 1)


@lru_cache(1)
def domains(place):
    "{camera: (features by ImageNet's statistics, features by its own, labels)}"
    net, found = backbones.load("efficientnet_lite0"), {}
    files, kept = files_in(place), Path("nbs/results/office_features.pt.part")
    if kept.exists(): return torch.load(kept)
    for camera in CAMERAS:
        mine = [(re.search(rf"{camera}/([^/]+)/", p)[1], raw) for p, raw in files if f"/{camera}/" in p]
        classes = sorted({c for c, _ in mine})
        x, y = torch.stack([square(raw) for _, raw in mine]), torch.tensor([classes.index(c) for c, _ in mine])
        own = adabn(deepcopy(net), x, batch_size=64)
        found[camera] = backbones.batched(net.features, x), backbones.batched(own.features, x), y
        print(camera, len(x), len(classes), flush=True)
    torch.save(found, kept)
    return found


class Small(nn.Module):
    "1280 frozen features -> 128, BatchNorm, ReLU -> scores."
    def __init__(self, seed, inputs=1280, width=128):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.trunk = nn.Sequential(nn.Linear(inputs, width, bias=False), nn.BatchNorm1d(width), nn.ReLU())
            self.head = nn.Sequential(nn.Linear(width, 10))
        self.width = width

    def forward(self, x): return self.head(self.trunk(x))


def train(net, source, target, loss, weight, seed, lr=LR, steps=STEPS, free=False):
    "The loop of the lesson; `free` leaves the source and the head alone."
    (x, y), xt = source, target
    torch.manual_seed(seed)
    weights = list((net.trunk if free else net).parameters()) + (list(loss.parameters()) if isinstance(loss, nn.Module) else [])
    opt = torch.optim.AdamW(weights, lr, weight_decay=0.01)
    rate = torch.optim.lr_scheduler.OneCycleLR(opt, lr, total_steps=steps)
    net.train()
    for step in range(steps):
        i, j = torch.randint(len(x), (BATCH,)), torch.randint(len(x if xt is None else xt), (BATCH,))
        total = 0
        with keeping_statistics(net) if loss is not source_only else torch.enable_grad():
            zs = net.trunk(x[i])
            scores = net.head(zs)
        if not free: total = F.cross_entropy(scores, y[i])
        if loss is not source_only:
            zt = net.trunk(xt[j])
            total = total + weight * (1 if free else ramp((step + 1) / steps)) * loss(zs, zt, net.head(zt))
        opt.zero_grad()
        total.backward()
        opt.step()
        rate.step()
    return net.eval()


def statistics(net, x):
    "AdaBN of the small network."
    norms = norms_of(net)
    for m in norms: m.reset_running_stats(); m.momentum = None
    net.train()
    with torch.no_grad(): net(x)
    for m, momentum in norms.items(): m.momentum = momentum
    return net.eval()


def tent(net, x, lr):
    opt = torch.optim.Adam([p for m in norms_of(net) for p in m.parameters()], lr)
    net.train()
    for batch in x.split(BATCH):
        if len(batch) < 2: continue
        with keeping_statistics(net): loss = entropy(net(batch).softmax(1)).mean()
        net.zero_grad()
        loss.backward()
        opt.step()
    return statistics(net, x)


def right(net, x, y):
    with torch.no_grad(): return round((net(x).argmax(1) == y).float().mean().item(), 4)


def learn(method, source, target_x, target_y, seed):
    net, setting = Small(seed), SETTINGS[method]
    make = METHODS[method][0]
    loss = make(net)
    if method == "IM + CORAL": loss, setting = partial(loss, factor=setting), 1.
    if method == "oracle": source = torch.cat([source[0], target_x]), torch.cat([source[1], target_y])
    train(net, source, target_x, loss, setting, seed)
    if method == "AdaBN": statistics(net, target_x)
    if method == "TENT": tent(net, target_x, setting)
    if method == "SHOT-IM": train(net, source, target_x, METHODS["IM"][0](net), 1., seed, lr=setting * LR, free=True)
    return net


def run(pair, method, seed, place):
    a, b = pair.split(" → ")
    which = 1 if method == "AdaBN of all layers" else 0
    data = domains(place)
    def part(camera, seed):
        z, y = data[camera][which], data[camera][2]
        i = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
        return z[i], y[i]
    (x, y), (xt, yt) = part(a, seed), part(b, seed + 100)
    cut, n = len(x) // 5, len(xt) // 2  # a fifth of the source is its test
    net = learn("AdaBN" if which else method, (x[cut:], y[cut:]), xt[:n], yt[:n], seed)
    with torch.no_grad(): scores = net(xt[:n])
    other = statistics(deepcopy(net), x[cut:])
    fresh = statistics(train(Small(seed + 50), (xt[:n], scores.argmax(1)), None, source_only, 0., seed), x[cut:])
    with torch.no_grad(): distance = proxy_distance(other.trunk(x[:cut]), net.trunk(xt[n:]))
    return dict(accuracy=right(net, xt[n:], yt[n:]), source_accuracy=right(net, x[:cut], y[:cut]), source_own=right(other, x[:cut], y[:cut]),
                **{k: round(f(scores), 4) for k, f in VALIDATORS.items()}, reverse=right(fresh, x[:cut], y[:cut]), distance=round(distance, 3))


def main():
    torch.set_num_threads(1)
    place = sys.argv[1]
    named = {f"{a} → {b}": (a, b) for a, b in PAIRS}
    configs = [dict(pair=p, method=m, seed=s) for p in named for s in SEEDS for m in [*NAMES, "AdaBN of all layers"]]
    records.sweep("office_cameras", configs, lambda **c: run(**c, place=place), seeds=list(SEEDS), steps=STEPS, lr=LR, batch_size=BATCH,
                  side=SIDE, network="efficientnet_lite0, frozen", settings="chosen on MNIST → MNIST-M")


if __name__ == "__main__":
    main()

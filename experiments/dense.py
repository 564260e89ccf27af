"""Classes of pixels and boxes of objects, on maps of a frozen network, of a random one, and from scratch -> nbs/results/dense.json and dense_rates.json.

    python experiments/dense.py            # about twenty minutes on one core; goes on where it was stopped

Four tasks, each at a small and a large number of labelled pictures. Every arm chose its learning rate on its own, by one run for each rate at the large number, with
pictures of the training half (mosaics and digits: seeds 100 and 101, which are not used again; nuclei and brain: a part of them against another part); a grid is extended
while its best rate is the first or the last. FCOS has one rate, which was not chosen.
"""
import json
import math
import time
from functools import lru_cache
from pathlib import Path

import torch
from torch import nn
from torchvision.models.detection import FCOS
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN

from transfer_course import backbones, boxes, dense, medical, records, scenes, small, transductive, zoo
from transfer_course.backbone import batched, drawn

SEEDS, TUNING = range(5), 100
RATES, WIDER = (3e-3, 1e-2, 3e-2), (3e-4, 1e-3, 1e-1, 3e-1)
ARMS = ("ImageNet", "random", "scratch")
SIZES = {"mosaics": (4, 40), "digits": (15, 60), "nuclei": (2, 21), "brain": (1, 10)}
STEPS, BATCH = {"mosaics": 100, "digits": 100, "nuclei": 100, "brain": 60}, {"mosaics": 8, "digits": 8, "nuclei": 8, "brain": 4}
SCRATCH = ("stage1", "stage2", "stage3")


@lru_cache
def lite(): return backbones.load("efficientnet_lite0")


@lru_cache(maxsize=4)
def lite_maps(task, tuning, inverted):
    """The maps of ImageNet's trunk for the pictures that all runs of a task are tested on."""
    x = medical.brain("test", inverted=True).x if inverted else pictures(task, 1, TUNING if tuning else 0)[1].x
    return batched(lambda b: dense.dense_maps(lite(), b), x, 8).clone()


def random_lite(seed, x):
    """The same architecture with random weights; mean and variance of every layer measured on the training pictures."""
    net = drawn(lambda: zoo.from_timm_hub("tf_efficientnet_lite0", pretrained=False), seed)
    return transductive.adabn(net, x.repeat(2, 1, 1, 1) if len(x) < 2 else x)


def pictures(task, size, seed):
    """What is learned on, and what is tested on."""
    generator = torch.Generator().manual_seed(seed)
    some = torch.randperm({"nuclei": 21, "brain": 10}.get(task, 1), generator=generator)[:size].tolist()
    tuning = seed == TUNING
    if task == "mosaics": return scenes.mosaics(size, seed=seed), scenes.mosaics(20, seed=101) if tuning else scenes.mosaics(30, "test")
    if task == "digits": return scenes.digit_scenes(size, seed=seed), scenes.digit_scenes(30, seed=101) if tuning else scenes.digit_scenes(50, "test")
    if task == "nuclei":
        tiles = medical.nuclei()
        low = [y >= 320 for y, _ in medical.CORNERS["train"]]
        if tuning: return tiles.take([i for i, v in enumerate(low) if not v and medical.CORNERS["train"][i][0] <= 192]), tiles.take([i for i, v in enumerate(low) if v])
        return tiles.take(some), medical.nuclei("test")
    slices = medical.brain()
    return (slices.take(range(0, 10, 2)), slices.take(range(1, 10, 2))) if tuning else (slices.take(some), medical.brain("test"))


def loss_of(task, train):
    if task in ("mosaics", "brain"): return dense.mask_loss(train.masks)
    cells = tuple(n // 4 for n in train.x.shape[2:])
    made = [dense.cell_targets(b, k, len(train.classes), cells) for b, k in zip(train.boxes, train.labels)]
    return dense.box_loss(*map(torch.stack, zip(*made)))


def scored(task, out, test):
    """The scores of what the head gives for the test pictures."""
    k = len(test.classes)
    if task == "mosaics":
        said = dense.to_pixels(out, test.masks.shape[1:]).argmax(1)
        return dict(score=boxes.mean_iou(said, test.masks, k))
    if task == "brain":
        said = dense.to_pixels(out, test.masks.shape[1:]).argmax(1)
        return dict(score=sum(boxes.dice(said, test.masks, c) for c in (1, 2)) / 2)
    found = dense.detect(out, k)
    both = boxes.average_precision(found, test.boxes, test.labels)
    return dict(score=both["AP50"], AP=both["AP"], where=boxes.average_precision(found, test.boxes, test.labels, blind=True)["AP50"])


def trained(task, arm, train, lr, seed):
    """A function of the test pictures -> what the head gives; `inverted`: those of the head, dark for bright."""
    k = len(train.classes)
    make = dense.dense_head if train.boxes is None else dense.box_head
    head, loss = make(176, k, seed), loss_of(task, train)
    how = dict(steps=STEPS[task], lr=lr, batch=min(BATCH[task], len(train)), seed=seed)
    if arm == "scratch":
        net = dense.learn(dense.Whole(small.dense_net(seed), head, SCRATCH), train.x, loss, **how)
        return lambda x, inverted=False: batched(net, x, 8)
    net = lite() if arm == "ImageNet" else random_lite(seed, train.x)
    maps = lambda x: batched(lambda b: dense.dense_maps(net, b), x, 8).clone()
    dense.learn(head, maps(train.x), loss, **how)
    if arm == "random": return lambda x, inverted=False: batched(head, maps(x), 8)
    return lambda x, inverted=False: batched(head, lite_maps(task, seed == TUNING, inverted), 8)


def run_one(task, arm, size, seed, lr):
    train, test = pictures(task, size, seed)
    give = trained(task, arm, train, lr, seed)
    found = scored(task, give(test.x), test)
    if task == "brain" and seed != TUNING: found["inverted"] = scored(task, give(medical.brain("test", inverted=True).x, True), test)["score"]
    return {k: round(v, 4) for k, v in found.items()}


def fcos(seed, size=60, steps=40, lr=1e-3):
    """torchvision's detector, with EfficientNet-Lite0 below it, trained from end to end. Its class 0 is the background."""
    net, train, test = backbones.load("efficientnet_lite0"), *pictures("digits", size, seed)
    def make():
        body = BackboneWithFPN(net.trunk, {s: str(i) for i, s in enumerate(dense.STAGES)}, [24, 40, 112], 64)
        return FCOS(body, len(train.classes) + 1, min_size=128, max_size=128, image_mean=[0.5] * 3, image_std=[0.5] * 3,
                    anchor_generator=AnchorGenerator(((8,), (16,), (32,), (64,)), ((1.0,),) * 4))
    model = drawn(make, seed).train()
    for m in model.modules():  # running statistics stay
        if isinstance(m, nn.BatchNorm2d): m.eval()
    opt = torch.optim.AdamW(model.parameters(), lr, weight_decay=0.01)
    cycle = torch.optim.lr_scheduler.OneCycleLR(opt, lr, total_steps=steps)
    generator = torch.Generator().manual_seed(seed)
    left = torch.cat([torch.randperm(size, generator=generator) for _ in range(math.ceil(8 * steps / size))])
    for i in left[:8 * steps].view(steps, 8).tolist():
        losses = model([train.x[j] / 255 for j in i], [dict(boxes=train.boxes[j], labels=train.labels[j] + 1) for j in i])
        opt.zero_grad()
        sum(losses.values()).backward()
        opt.step()
        cycle.step()
    with torch.no_grad(): found = [model.eval()([x / 255])[0] for x in test.x]
    found = [dict(f, labels=f["labels"] - 1) for f in found]
    both = boxes.average_precision(found, test.boxes, test.labels)
    where = boxes.average_precision(found, test.boxes, test.labels, blind=True)["AP50"]
    return dict(score=round(both["AP50"], 4), AP=round(both["AP"], 4), where=round(where, 4), steps=steps, lr=lr)


def best_rates(rows):
    """{(task, arm): rate}; the higher one in a tie."""
    best = {}
    for row in rows:
        key = row["task"], row["arm"]
        if (row["score"], row["lr"]) > best.get(key, (-1, 0)): best[key] = row["score"], row["lr"]
    return {key: lr for key, (_, lr) in best.items()}


def tuned():
    """Rates of every task and arm, on the pictures for choosing."""
    known = records_of("dense_rates")  # a run that goes on begins with the wider grids
    grid = {(t, a): sorted({*RATES, *(r["lr"] for r in known if (r["task"], r["arm"]) == (t, a))}) for t in SIZES for a in ARMS}
    while True:
        configs = [dict(task=t, arm=a, size=SIZES[t][1], seed=TUNING, lr=lr) for (t, a), rates in grid.items() for lr in rates]
        records.sweep("dense_rates", configs, known_or_run, steps=STEPS)
        rows = records_of("dense_rates")
        best = best_rates(rows)
        edges = {key: [lr for lr in WIDER if lr not in grid[key] and (lr > max(grid[key]) if best[key] == max(grid[key]) else lr < min(grid[key]))]
                 for key in grid if best[key] in (min(grid[key]), max(grid[key]))}
        edges = {key: sorted(more, key=lambda lr: abs(math.log(lr / best[key])))[:1] for key, more in edges.items() if more}
        if not edges: return best
        for key, more in edges.items(): grid[key] += more


def records_of(name):
    path = Path("nbs/results") / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []


def known_or_run(**config):
    """What an earlier sweep has measured need not be measured again."""
    for row in records_of("dense_rates"):
        if all(row[k] == v for k, v in config.items()): return {k: v for k, v in row.items() if k not in {*config, "seconds"}}
    return run_one(**config)


def measured(task, arm, **how):
    """What was found, and the processor's seconds for it."""
    start = time.process_time()
    found = fcos(**how) if arm == "FCOS" else run_one(task, arm, **how)
    return found | dict(cpu=round(time.process_time() - start, 1))


if __name__ == "__main__":
    rates = tuned()
    configs = [dict(task=t, arm=a, size=n, seed=s, lr=rates[t, a]) for t in SIZES for n in SIZES[t] for a in ARMS for s in SEEDS]
    configs += [dict(task="digits", arm="FCOS", size=60, seed=s) for s in SEEDS]
    records.sweep("dense", configs, measured, steps=STEPS, batch=BATCH, seeds=len(SEEDS))

"""Targets whose classes are objects, for the rules 1 and 2 of lesson 05 -> nbs/results/scenario_objects.json

    python experiments/scenario_objects.py --office office-caltech-10.tar --cifar cifar10-jpeg.tar   # half an hour of one core

Both archives you fetch yourself; none of their pictures is part of the package. Killed and started again, it goes on.
amazon, caltech10, webcam: ten things of the office seen by three cameras (Office-Caltech-10: Saenko et al. 2010, Gong et al. 2012), as
DOMAIN/CLASS/*.jpg. EfficientNet-Lite0 has seen such things among ImageNet's classes. Each class is cut into training and test where its list of files
is cut: the pictures of one object stand together there, and so lie on one side.
cifar_four: four classes of CIFAR-10 (Krizhevsky 2009), as train|test/CLASS/*.jpg, for a CourseNet that was trained here on the six others.
Every rate is chosen by validation pictures with a seed that is not used afterwards: CourseNet has one for each strategy, EfficientNet one for each
strategy on photographs, on letters and on objects.
"""
import argparse
import io
import json
import os
import re
import tarfile
import time
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from coursenet import sgd
from PIL import Image

from transfer_course import backbones, data, files, records, scenarios, training
from transfer_course.features import extract_stages, linear_probe
from transfer_course.scenarios import STRATEGIES
from transfer_course.tasks import sample_per_class

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FOUR = ("automobile", "deer", "dog", "ship")
OFFICE, PATCHES, CIFAR = ("amazon", "caltech10", "webcam"), ("photographs", "materials", "letters", "mnist_5k"), "cifar_four"
SEEDS, TUNING, FEW, MANY = range(5), 100, 5, {"amazon": 20, "caltech10": 20, CIFAR: "all"}
SIDES, STEPS = {"coursenet": 32, "efficientnet_lite0": 64}, {"coursenet": 120, "efficientnet_lite0": 40}
PRECISION = {"coursenet": "bf16", "efficientnet_lite0": "no"}  # what is faster on a processor that has bfloat16
LADDER = [3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1]
KEPT = Path(files.cache_dir()) / "scenario_objects"
ARCHIVES = {}


@cache
def members(archive):
    "{name: member} of a tar, and the open tar."
    tar = tarfile.open(archive)
    return {m.name: m for m in tar.getmembers() if m.isfile() and m.name.endswith(".jpg")}, tar


def picture(raw, side):
    "uint8 3×side×side: the square in the middle, resized."
    page = Image.open(io.BytesIO(raw)).convert("RGB")
    s = min(page.size)
    left, top = (page.width - s) // 2, (page.height - s) // 2
    page = page.crop((left, top, left + s, top + s)).resize((side, side), Image.Resampling.BOX if s > side else Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(page)).permute(2, 0, 1)


def of_class(archive, pattern, side, start=0., stop=1., most=None):
    "The pictures whose names match, from one share of their list to another."
    found, tar = members(ARCHIVES[archive])
    names = sorted(n for n in found if re.search(pattern, n) and not n.rsplit("/", 1)[-1].startswith("."))
    names = names[round(start * len(names)):round(stop * len(names))][:most]
    return torch.stack([picture(tar.extractfile(found[n]).read(), side) for n in names])


def task_of(name, train, test):
    "A Task from {class: pictures} for both parts; a fifth of the training pictures is for choosing."
    def labels(part): return torch.arange(len(part)).repeat_interleave(torch.tensor([len(x) for x in part.values()]))
    task = data.Task(name, torch.cat([*train.values()]), labels(train), torch.cat([*test.values()]), labels(test), list(train), {})
    return task.split(0.2, seed=100)


def office(domain, side):
    kinds = sorted({n.split("/")[-2] for n in members(ARCHIVES["office"])[0] if f"/{domain}/" in n})
    def part(a, b): return {k: of_class("office", rf"/{domain}/{k}/", side, a, b, 60) for k in kinds}
    return task_of(domain, part(0., 0.67), part(0.67, 1.))


def cifar(classes, name, train, test):
    def part(which, most): return {k: of_class("cifar", rf"{which}/{k}/", 32, most=most) for k in classes}
    return task_of(name, part("train", train), part("test", test))


@cache
def load(target, side):
    path = KEPT / f"{target}-{side}.pt"
    if target in PATCHES: return data.load(target, size=32).split(0.2, seed=100)
    if not path.exists(): torch.save(vars(cifar(FOUR, CIFAR, 250, 100) if target == CIFAR else office(target, side)), path)
    return data.Task(**torch.load(path, weights_only=False))


def six():
    "CourseNet's architecture trained on the six other classes: the facts, kept."
    facts, weights = KEPT / "six.json", KEPT / "six.safetensors"
    if not facts.exists():
        task = cifar([c for c in CIFAR10 if c not in FOUR], "six", 1500, 200)
        net = backbones.course_net(6, seed=0)
        training.fit(net, task, epochs=10, lr=0.2, batch_size=256, seed=0, optimizer=sgd, augment=partial(training.crop_flip, pad=4, cut=8),
                     checkpoint=f"{weights}.run")
        net.classes = task.classes
        net.save(weights, only_weights=True)
        files.write_whole(facts, json.dumps(dict(classes=task.classes, training_pictures=len(task.x_train), epochs=10, test_pictures=len(task.x_test),
                                                 test_accuracy=round(training.accuracy(net, task.x_test, task.y_test), 3))))
    return json.loads(facts.read_text(encoding="utf-8"))


@cache
def network(name, target=None, side=None):
    "A network; for the held-out classes the CourseNet that has not seen them."
    if name == "coursenet" and target == CIFAR: return backbones.load_checkpoint(KEPT / "six.safetensors", into=backbones.course_net(6, seed=0))
    return backbones.load(name, size=side or (None if name == "coursenet" else SIDES[name]))


def prepare(net): os.environ["ACCELERATE_MIXED_PRECISION"], scenarios.STEPS = PRECISION[net], STEPS[net]


def tried(net, strategy, target, labels, lr):
    "The validation accuracy of a rate."
    prepare(net)
    task = load(target, SIDES[net])
    few = replace(task.few_shot(labels, TUNING), x_test=task.x_valid, y_test=task.y_valid, x_valid=None, y_valid=None)
    return dict(accuracy=round(STRATEGIES[strategy](network(net, target), few, TUNING, lr), 4))


def run(net, target, labels, strategy, seed, lr):
    "The test accuracy of one run."
    prepare(net)
    task = load(target, SIDES[net])
    return dict(accuracy=round(STRATEGIES[strategy](network(net, target), scenarios.reduced(task, labels, seed), seed, lr), 4))


def measured(name, configs, run_one): return records.swept(name, configs, run_one, KEPT)


def lite_rates():
    """{(target, strategy): rate} of EfficientNet, and all that was tried: where a best rate is at the edge of the grid, it goes on.

    With so few steps the best rate depends on the target; the other cameras take that of amazon."""
    rows, new, net = [], {"last stage": LADDER[1:4], "all": LADDER[1:4]}, "efficientnet_lite0"
    for again in range(3):
        configs = [dict(net=net, strategy=s, target=t, labels=FEW, lr=lr) for s, lrs in new.items() for lr in lrs for t in ("photographs", "letters", "amazon")]
        if configs: rows += measured(f"rates-lite-{again}", configs, tried)
        by_target = pd.DataFrame(rows).pivot(index=["target", "strategy"], columns="lr", values="accuracy")
        best = by_target[by_target.columns[::-1]].idxmax(axis=1)  # of two equal ones the larger
        means = by_target.groupby("strategy").mean()
        around = {s: LADDER[max(LADDER.index(lr) - 1, 0):LADDER.index(lr) + 2] for s, lr in means.idxmax(axis=1).items()}
        new = {s: [lr for lr in lrs if lr not in means or np.isnan(means.loc[s, lr])] for s, lrs in around.items()}
    print(by_target.round(3).to_string(), best, flush=True)
    return best.to_dict(), rows


def courses_rates():
    "CourseNet's rates are those of scenarios.py; `all` had its best at the edge there, so one more is tried."
    also = measured("rates-coursenet", [dict(net="coursenet", strategy="all", target=t, labels=20, lr=3e-2) for t in PATCHES], tried)
    rows = [dict(r, net="coursenet", labels=20) for r in data.result("scenario_rates")["rows"]] + also
    means = pd.DataFrame(rows).groupby(["strategy", "lr"]).accuracy.mean().unstack()
    print(means.round(3).to_string(), flush=True)
    return means.idxmax(axis=1).to_dict(), rows


def features(target, pixels, side):
    "Features of every stage for all training and test pictures of a target."
    task, net = load(target, pixels), network("efficientnet_lite0", None, side)
    return task, *(extract_stages(net, x, net.stages, progress=False) for x in (task.x_train, task.x_test))


def size_rows():
    "A probe on each size of the same pictures with 5 labels per class: 64 → 160 is a control, nothing is in them but what 64 pixels hold."
    path = KEPT / "sizes.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    for target in OFFICE:
        for pixels, side in ((32, 32), (64, 64), (160, 160), (64, 160)):
            if any((r["target"], r["pixels"], r["side"]) == (target, pixels, side) for r in found): continue
            task, train, test = features(target, pixels, side)
            for seed in SEEDS:
                rows = sample_per_class(task.y_train, FEW, seed)
                y, top = task.y_train[rows], list(train)[-1]
                earlier = max(list(train)[:-1], key=lambda s: scenarios.promise(train[s][rows], y, seed))
                for strategy, stage in (("probe, top", top), ("probe, earlier", earlier)):
                    right = linear_probe(train[stage][rows], y, seed=seed).score(test[stage], task.y_test)
                    found.append(dict(target=target, pixels=pixels, side=side, strategy=strategy, seed=seed, accuracy=round(right, 4)))
            files.write_whole(path, json.dumps(found))
    return found


def rate(rates, target, strategy): return rates.get(strategy, rates.get((target if target in PATCHES else "amazon", strategy)))


def configs(courses, lite):
    "What is wanted most comes first."
    def some(net, targets, labels, strategies, lrs): return [
        dict(net=net, target=t, labels=MANY[t] if labels == "many" else labels, strategy=s, seed=i, lr=rate(lrs, t, s))
        for i in SEEDS for t in targets for s in strategies]
    probes, tuned, c, e = ("probe, top", "probe, earlier"), ("last stage", "all"), "coursenet", "efficientnet_lite0"
    return {"four": some(c, [CIFAR], FEW, STRATEGIES, courses) + some(c, [CIFAR], "many", STRATEGIES, courses),
            "lite": some(e, OFFICE, FEW, probes + tuned, lite) + some(e, [CIFAR], FEW, probes, lite),
            "scratch": some(c, OFFICE, FEW, ("scratch", *probes), courses),
            "many": some(e, ("amazon", "caltech10"), "many", probes + tuned, lite),
            "patches": some(e, ("photographs", "letters"), FEW, tuned, lite)}


def shifts():
    "How far the targets are, for each network; and CourseNet's six classes, seen by the network that was trained on them."
    found = {net: {t: scenarios.domain_shift(network(net, t), load(t, SIDES[net]).x_train) for t in (*OFFICE, CIFAR)} for net in SIDES}
    return {net: {t: round(v, 3) for t, v in row.items()} for net, row in found.items()}


def many():
    "Labels per class where a target has many."
    return {t: len(load(t, 32).x_train) // len(load(t, 32).classes) if n == "all" else n for t, n in MANY.items()}


def untimed(rows): return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("office", "cifar"): parser.add_argument(f"--{name}", required=True, help="a tar of the pictures")
    ARCHIVES.update(vars(parser.parse_args()))
    KEPT.mkdir(exist_ok=True)
    prepare("coursenet")
    start = time.time()
    source = six()
    print("six", source, round(time.time() - start), flush=True)
    (courses, tried_c), (lite, tried_e) = courses_rates(), lite_rates()
    rows = []
    for name, wanted in configs(courses, lite).items():
        rows += measured(name, wanted, run)
        records.write_result("scenario_objects", dict(seeds=list(SEEDS), six=source, many=many(), shifts=shifts(), side_in_pixels=SIDES, steps=STEPS, precision=PRECISION,
                                                      tried=untimed(tried_c + tried_e), sizes=size_rows(), rows=untimed(rows)))
        print(name, round(time.time() - start), flush=True)


if __name__ == "__main__":
    main()

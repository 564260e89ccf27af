"""Own pictures: three folders, five or more splits each -> nbs/results/own_pictures.json

    python experiments/own_pictures.py --ants hymenoptera_data.zip --office office-caltech-10.tar    # about an hour of one core

The folder that lesson 19 makes, and two of real photographs, which may not be handed on with the course and are brought from where you keep them: ants
and bees (the pictures of PyTorch's tutorial) and Office-Caltech-10 (Saenko et al. 2010, Gong et al. 2012): the shop's pictures, and all four cameras.
The rate and the augmentation of fine-tuning are chosen on the validation parts of two other splits: the rate without augmentation, then that
rate and its neighbours with it; while the best rate is at an edge, the grid grows. Each fine-tuning run keeps its epoch of best validation accuracy, as the probe keeps its best stage and penalty.
"""
import argparse
import tarfile
import warnings
import zipfile
from copy import deepcopy
from functools import lru_cache

import numpy as np
import torch

from transfer_course import augment, backbones, finetuning, own_folder, records
from transfer_course.backbone import batched
from transfer_course.cache import extract_stages
from transfer_course.features import linear_probe, one_probe
from transfer_course.files import cache_dir
from transfer_course.own_pictures import (
    calibration_error,
    power_law,
    split_by_source,
    suspects,
    temperature,
    with_probe,
)

SIZE = {"details": 96, "ants and bees": 128, "shop": 96}
TUNING, SEEDS, DRAWS = (100, 101), range(5), range(10)
AUGMENT, EPOCHS = {"none": None, "crop and flip": augment.crop_flip}, 4
RATES = (1e-6, 3e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
FIRST = RATES[3:7]
FOLDER = cache_dir() / "results"
TUNED = {"details": range(10), "ants and bees": range(5)}  # the splits on which both are fine-tuned
SKIP = 4  # the first stages, never trained
CAMERAS = ("amazon", "caltech10", "dslr", "webcam")
PLACES = {}


def unpacked(archive, name):
    "The folder of an archive, unpacked once."
    there = cache_dir() / "unpacked" / name
    if not there.exists():
        part = there.with_suffix(".part")
        if archive.endswith(".zip"): zipfile.ZipFile(archive).extractall(part)
        else: tarfile.open(archive).extractall(part, filter="data")
        part.rename(there)
    inner = [d for d in there.iterdir() if d.is_dir()]
    return inner[0] if len(inner) == 1 else there


@lru_cache(None)
def table_of(name):
    place = {"details": own_folder.example_folder, "ants and bees": lambda: unpacked(PLACES["ants"], "ants"),
             "shop": lambda: unpacked(PLACES["office"], "office") / "amazon"}[name]()
    table = own_folder.clean(own_folder.with_sources(own_folder.survey(place)[0])[0])[0]
    return table[~table.source.str.contains("visit9")].reset_index(drop=True)


@lru_cache(None)
def network(): return backbones.load("efficientnet_lite0")


@lru_cache(None)
def features(name):
    net = network()
    found = extract_stages(net, own_folder.pixels(table_of(name), SIZE[name]), net.stages[-4:], progress=False)
    return {s: z.numpy() for s, z in found.items()}


@lru_cache(None)
def split(name, seed):
    table = table_of(name)
    part = split_by_source(table.y.to_numpy(), table.source.to_numpy(), seed=seed)
    return tuple(np.flatnonzero(part == p) for p in ("train", "valid", "test"))


def baseline(name, seed):
    "(stage, probe) chosen on the validation part, learned from the training part."
    y, (a, b, _) = table_of(name).y.to_numpy(), split(name, seed)
    tried = [(linear_probe(z[a], y[a], z[b], y[b]), s) for s, z in features(name).items()]
    best = max(tried, key=lambda t: t[0].score(features(name)[t[1]][b], y[b]))
    return best[1], best[0]


def measured(net, task):
    "Accuracy on validation and test, calibration of the test's probabilities before and after the temperature."
    v, t = (batched(net, x) for x in (task.x_valid, task.x_test))
    temp = temperature(v, task.y_valid)
    right = lambda s, y: round((s.argmax(1) == y).float().mean().item(), 4)
    return dict(valid=right(v, task.y_valid), test=right(t, task.y_test), T=round(temp, 3),
                ece=round(calibration_error(t.softmax(1), task.y_test), 4), ece_after=round(calibration_error((t / temp).softmax(1), task.y_test), 4))


def finetune(name, seed, way, lr=None, augmented="none"):
    table, (a, b, _) = table_of(name), split(name, seed)
    part = np.full(len(table), "test", dtype=object)
    part[a], part[b] = "train", "valid"
    task = own_folder.folder_as_task(table.assign(part=part), SIZE[name])
    stage, probe = baseline(name, seed)
    net = with_probe(network(), stage, probe, task.classes)
    if way == "fine-tuned":
        net = deepcopy(net)
        upto = net.stages[min(SKIP, len(net.stages) - 1) - 1]
        with finetuning.frozen_bn(net):
            finetuning.fine_tune(net, task, EPOCHS, freeze_epochs=0, lr=lr, freeze_upto=upto, augment=AUGMENT[augmented], batch_size=32,
                                 patience=EPOCHS, progress=False, seed=seed)
    return dict(stage=stage, **measured(net, task))


def labels(name, seed):
    "Errors with 2 labels per class and up, from any source and from few; what the power law says of the last."
    y, of, (a, b, c) = table_of(name).y.to_numpy(), table_of(name).source.to_numpy(), split(name, seed)
    z, rng, pool = features(name)[baseline(name, seed)[0]], np.random.default_rng(seed), np.concatenate([a, b])
    ks = np.unique(np.geomspace(2, np.bincount(y[pool]).min(), 6).round().astype(int))
    def packed(rows): return np.concatenate([rng.permutation(rows[of[rows] == s]) for s in rng.permutation(np.unique(of[rows]))])
    def errors(order):
        rows = [order(pool[y[pool] == k]) for k in np.unique(y)]
        return [1 - one_probe(z[i], y[i], 1.).score(z[c], y[c]) for i in (np.concatenate([r[:k] for r in rows]) for k in ks)]
    loose, few = np.mean([errors(rng.permutation) for _ in range(5)], 0), np.mean([errors(packed) for _ in range(5)], 0)
    d, e = power_law(ks[:-2], np.maximum(loose[:-2], 1e-3))
    return dict(ks=ks.tolist(), error=loose.round(4).tolist(), few_sources=few.round(4).tolist(), foretold=round(float(d * ks[-1] ** -e), 4))


def wrong_labels(name, seed, share=0.1):
    from sklearn.model_selection import StratifiedGroupKFold
    table, (a, b, c) = table_of(name), split(name, seed)
    y, own, rng = table.y.to_numpy(), np.concatenate([a, b]), np.random.default_rng(seed)
    z, k, noisy = features(name)[baseline(name, seed)[0]], y.max() + 1, y[own].copy()
    i = rng.permutation(len(own))[:int(share * len(own))]
    noisy[i] = (noisy[i] + rng.integers(1, k, len(i))) % k
    p = np.zeros((len(own), k))
    for learn, held in StratifiedGroupKFold(4, shuffle=True, random_state=seed).split(own, noisy, table.source.to_numpy()[own]):
        p[held] = one_probe(z[own][learn], noisy[learn], 1.).predict_proba(z[own][held])
    found, bad = suspects(p, noisy), noisy != y[own]
    luck = np.isin(np.arange(len(own)), rng.permutation(len(own))[:found.sum()])
    def score(keep, labels=noisy): return round(one_probe(z[own][keep], labels[keep], 1.).score(z[c], y[c]), 4)
    every = np.ones(len(own), bool)
    return dict(precision=round(bad[found].mean(), 3), recall=round(found[bad].mean(), 3), noisy=score(every), cleaned=score(~found), luck=score(~luck),
                true=score(every, y[own]))


@lru_cache(None)
def cameras():
    "(features, labels, camera) of Office-Caltech-10."
    net, z, y, of = network(), [], [], []
    for camera in (unpacked(PLACES["office"], "office") / c for c in CAMERAS):
        table = own_folder.survey(camera)[0]
        z.append(extract_stages(net, own_folder.pixels(table, 96), ["top"], progress=False)["top"].numpy())
        y, of = [*y, *table.y], [*of, *[camera.name] * len(table)]
    return np.concatenate(z), np.array(y), np.array(of)


def source(name, seed):
    "Accuracy by two kinds of split, equally large."
    if name == "four cameras":
        z, y, of = cameras()
        new = of == CAMERAS[seed]
        rng = np.random.default_rng(seed)
        mixed = np.isin(np.arange(len(y)), rng.permutation(len(y))[:new.sum()])
        by = {"by source": new, "by picture": mixed}
    else:
        y, of, z = table_of(name).y.to_numpy(), table_of(name).source.to_numpy(), features(name)["stage6"]
        by = {"by source": split_by_source(y, of, seed=seed) == "test", "by picture": split_by_source(y, np.arange(len(y)), seed=seed) == "test"}
    return {k.replace(" ", "_"): round(one_probe(z[~t], y[~t], 1.).score(z[t], y[t]), 4) for k, t in by.items()} | ({"camera": CAMERAS[seed]} if name == "four cameras" else {})


WHAT = dict(finetune=finetune, labels=labels, wrong=wrong_labels, source=source)


def run(what, **config):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        return WHAT[what](**config)


def measure(name, configs): return records.swept(f"own_pictures_{name}".replace(" ", "_"), configs, run, FOLDER)


def best(rows):
    "The rate and the augmentation with the best mean validation accuracy on the tuning splits; of equal ones the larger rate, without augmentation."
    found = {}
    for r in sorted(rows, key=lambda r: (-r["lr"], r["augmented"] != "none")): found.setdefault((r["lr"], r["augmented"]), []).append(r["valid"])
    return max(found, key=lambda k: np.mean(found[k]))


def wider(tried, lr):
    "The next rate beyond an edge; None if the best rate is at none, or nothing is left to try."
    i = RATES.index(lr)
    around = [r for r in (RATES[max(i - 1, 0)], RATES[min(i + 1, len(RATES) - 1)]) if r not in tried]
    return around[0] if around else None


def tune(name):
    "All tuning rows of a folder; the grid of rates grows while the best one is at its edge."
    rows, lr = [], None
    for a in AUGMENT:
        def of(lr, a=a): return [dict(what="finetune", name=name, seed=s, way="fine-tuned", lr=lr, augmented=a) for s in TUNING]
        new = list(FIRST) if lr is None else [r for r in RATES if abs(RATES.index(r) - RATES.index(lr)) < 2]
        mine, tried = [], []
        while new:
            for r in new: mine += measure(f"tuning_{name}_{a}_{r:.0e}", of(r))
            tried += new
            lr = best(mine)[0]
            new = [r for r in (wider(tried, lr),) if r]
        rows += mine
    return rows


def tuned_runs(name):
    "(chosen rate and augmentation, rows of the tuning, rows of the splits), fine-tuned and by the probe."
    def probes(seeds): return [dict(what="finetune", name=name, seed=s, way="probe") for s in seeds]
    tuning = tune(name)
    lr, augmented = best(tuning)
    last = [dict(what="finetune", name=name, seed=s, way="fine-tuned", lr=lr, augmented=augmented) for s in TUNED[name]]
    return (dict(lr=lr, augmented=augmented), measure(f"probes_tuning_{name}", probes(TUNING)) + tuning,
            measure(f"probes_{name}", probes(TUNED[name])) + measure(f"last_{name}", last))


def main():
    ask = argparse.ArgumentParser()
    ask.add_argument("--ants", required=True)
    ask.add_argument("--office", required=True)
    ask.add_argument("--only", choices=TUNED, help="fine-tune on this folder alone, and write no result yet")
    PLACES.update(vars(ask.parse_args()))
    torch.set_num_threads(1)
    if PLACES["only"]: return tuned_runs(PLACES["only"])
    rest = [dict(what="source", name=n, seed=s) for n in ("details", "four cameras") for s in range(10 if n == "details" else 4)]
    rest += [dict(what=w, name=n, seed=s) for w in ("labels", "wrong") for n in SIZE for s in (SEEDS if w == "labels" else DRAWS)]
    rows = measure("first", rest) + measure("probes_shop", [dict(what="finetune", name="shop", seed=s, way="probe") for s in SEEDS])
    chosen, tuning = {}, []
    for name in TUNED:
        chosen[name], tried, more = tuned_runs(name)
        tuning, rows = tuning + tried, rows + more
    def part(rows): return [{("set" if k == "name" else k): v for k, v in r.items() if k != "what"} for r in rows]
    records.write_result("own_pictures", dict(
        network="efficientnet_lite0", sizes=SIZE, pictures={n: len(table_of(n)) for n in SIZE}, epochs=EPOCHS, tuning_seeds=list(TUNING), chosen=chosen,
        tuning=[{k: r[k] for k in ("set", "way", "seed", "lr", "augmented", "valid", "seconds") if k in r} for r in part(tuning)],
        **{w: part([r for r in rows if r["what"] == w]) for w in WHAT}))


if __name__ == "__main__":
    main()

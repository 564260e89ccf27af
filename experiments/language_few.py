"""Few labels on two sets, our reviews and SST-2 -> nbs/results/language_frozen.json, language_few.json, language_few_rates.json

    python experiments/language_few.py --sst2 FOLDER --frozen        # counted words and probes; train.tsv and test.tsv: sentence, tab, 0 or 1
    python experiments/language_few.py --sst2 FOLDER [--minutes 9]   # what trains the network; stopped and called again, it goes on

TF-IDF's C, and the layer and C of the probe, are chosen by cross-validation within the few labels themselves. The rate of the contrastive
step is chosen as that of fine-tuning was: three values, on 124 held-out training reviews, at 16 labels per class, with a draw that is not
used afterwards. That is more labels than there are to learn from; all that trains a network has this advantage, the probe has not.
Training in bfloat16, on the reviews alone, at 4 and 16 labels per class.
"""
import argparse
import csv
import json
import os
import time
from functools import cache
from pathlib import Path

os.environ["ACCELERATE_MIXED_PRECISION"] = "bf16"

import numpy as np
import torch

from transfer_course import backbones, language, records
from transfer_course.language import extract

RESULTS = Path("nbs/results")
SEEDS = range(5)
LABELS = (4, 16, 64)
RATES = (1e-4, 3e-4, 1e-3)
STEPS = 32
POOL, TEST = 1000, 400  # sentences of SST-2 that are drawn from, and tested on


@cache
def net(): return backbones.load("minilm")


def sst2(folder):
    """A part of SST-2 as a TextTask."""
    parts = {}
    for name, n in (("train", POOL), ("test", TEST)):
        with open(Path(folder) / f"{name}.tsv", encoding="utf-8") as f: rows = list(csv.reader(f, delimiter="\t", quoting=csv.QUOTE_NONE))
        rows = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))[:n]]
        parts |= {f"x_{name}": [r[0] for r in rows], f"y_{name}": torch.tensor([int(r[1]) for r in rows])}
    return language.TextTask("sst2", **parts, classes=["negative", "positive"])


@cache
def task_of(name, folder): return language.reviews() if name == "reviews" else sst2(folder)


@cache
def features_of(name, folder):
    """The features of all training and test texts, at every stage; and the place of each training text."""
    task = task_of(name, folder)
    z, z_test = extract(net(), task.x_train), extract(net(), task.x_test)
    return z, z_test, {x: i for i, x in enumerate(task.x_train)}


def frozen(name, folder, few):
    """The probe whose layer and C are chosen on the few labels; beside it every layer, its C chosen."""
    z, z_test, place = features_of(name, folder)
    rows = [place[x] for x in few.x_train]
    z = {s: v[rows].numpy() for s, v in z.items()}
    by_stage = {s: language.by_folds(language.plain_probe(), v, few.y_train) for s, v in z.items()}
    stage = max(by_stage, key=lambda s: by_stage[s].best_score_)  # as `language.chosen_probe` does
    probes = {s: found.best_estimator_ for s, found in by_stage.items()}
    score = {s: round(float(p.score(z_test[s].numpy(), few.y_test)), 4) for s, p in probes.items()}
    return dict(accuracy=score[stage], stage=stage, C=float(probes[stage][-1].C), by_stage=score)


def run_one(data, folder, method, labels, seed, lr=None):
    """Test accuracy with so many labels per class."""
    task = task_of(data, folder)
    few = task if labels == "all" else task.few_shot(labels, seed)
    if method == "TF-IDF":
        model = language.chosen_bag(few.x_train, few.y_train)
        return dict(accuracy=round(model.score(few.x_test, few.y_test), 4), C=float(model[-1].C))
    if method == "frozen + probe": return frozen(data, folder, few)
    start = time.process_time()
    model, probe = language.contrastive(few, lr, seed, STEPS)
    spent = time.process_time() - start
    z = extract(model, few.x_test, ["layer6"], cache=False)["layer6"]
    found = probe.score(z.numpy(), few.y_test)
    return dict(accuracy=round(float(found), 4), training_cpu_seconds=round(spent, 1))


def tried(lr):
    """The validation score of a rate of the contrastive step: the same reviews as for fine-tuning in language.py."""
    task = language.reviews().split(0.2, seed=100)
    few = language.TextTask("valid", task.x_train, task.y_train, task.x_valid, task.y_valid, task.classes).few_shot(16, 100)
    model, probe = language.contrastive(few, lr, 100, STEPS)
    z = extract(model, few.x_test, ["layer6"], cache=False)["layer6"]
    return dict(score=round(float(probe.score(z.numpy(), few.y_test)), 4))


def cheap():
    return [dict(data=d, method=m, labels=k, seed=i) for d in ("reviews", "sst2") for m in ("TF-IDF", "frozen + probe")
            for k in (*LABELS, "all") for i in (SEEDS if k != "all" else [0]) if not (d == "sst2" and k == "all")]


def plan(lr):
    """Seed after seed, so that what is there is complete up to a seed."""
    return [dict(data="reviews", method="contrastive", labels=k, seed=i, lr=lr["contrastive"]) for i in SEEDS for k in LABELS[:2]]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sst2", metavar="FOLDER", required=True)
    parser.add_argument("--frozen", action="store_true", help="counted words and probes alone")
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after so many minutes; call again to go on")
    args = parser.parse_args()
    end = time.time() + 60 * args.minutes

    def run(**config): return run_one(folder=args.sst2, **config)

    facts = dict(seeds=list(SEEDS), sst2=dict(drawn_from=POOL, tested_on=TEST))
    if args.frozen: return records.sweep("language_frozen", cheap(), run, **facts)
    path = RESULTS / "language_few_rates.json"
    if not path.exists(): records.sweep("language_few_rates", [dict(lr=lr) for lr in RATES], tried, seed=100, labels=16, steps=STEPS, method="contrastive", until=end)
    scores = {r["lr"]: r["score"] for r in json.loads(path.read_text(encoding="utf-8"))["rows"]}
    lr = {"contrastive": max(scores, key=scores.get)}
    records.sweep("language_few", plan(lr), run, steps=STEPS, rates=lr, precision="bf16", **facts, until=end)


if __name__ == "__main__":
    main()

"""Domain adaptation: every method on every pair, and three cases in which adapting may hurt -> nbs/results/adaptation.json

    python experiments/adaptation.py     # about three quarters of an hour on two idle cores; killed and started again, it goes on

No target label chooses anything. Each weight of a loss is chosen first, on MNIST → MNIST-M with a seed that is not used afterwards, by
`mutual_information`, a score of unlabelled pictures -> nbs/results/adaptation_weights.json. --bf16 trains in bfloat16.
"""
import json
import os
import sys
from functools import lru_cache
from pathlib import Path

import torch

from transfer_course import backbones, domains, records, training
from transfer_course.augment import channel_negatives, random_shift
from transfer_course.domains import CASES
from transfer_course.transductive import HOW, METHODS, VALIDATORS, learn, start

SEEDS = range(5)
FIRST, TRIED = "MNIST → MNIST-M", {"MMD": [1., 10.], "CORAL": [10., 100.], "DANN": [0.3, 1.], "MCC": [1., 3.]}
HARD = "sans → Computer Modern"  # the pair of the cases
PLAIN = ["source only", "DANN", "IM + CORAL"]  # on the first pair also without negatives
LONG = ["source only", "IM + CORAL"]  # and for longer, with negatives of each colour channel
WATCHED = ["self-training", "MMD", "CORAL", "DANN", "MCC", "IM + CORAL"]  # looked at after every epoch
HURT = ["source only", "AdaBN", "CORAL", "DANN", "MCC", "IM + CORAL"]
VARIED = {"no negatives": dict(augment=random_shift), "long": dict(augment=channel_negatives, epochs=30)}
load, load_case = lru_cache(2)(domains.load), lru_cache(2)(domains.load_case)


def seen(net, target, n=None):
    """Test accuracy and the label-free scores of unlabelled pictures (of the first n of each; they stand in random order)."""
    scores = backbones.batched(net, target.x_train[:n])
    return dict(accuracy=round(training.accuracy(net, target.x_test[:n], target.y_test[:n]), 4), **{k: round(f(scores), 4) for k, f in VALIDATORS.items()})


def one(source, target, net, method, seed, weight, how):
    """One run: what is seen at its end and, for some methods, after every epoch."""
    watch = (lambda net: {"seen": seen(net, target, 400)}) if method in WATCHED else None
    log = learn(method, net, source, target, seed, weight, watch=watch, **how)
    return dict(seen(net, target), source_accuracy=round(training.accuracy(net, source.x_test, source.y_test), 4),
                by_epoch=[row["seen"] for row in log.rows] if watch else None, training_seconds=round(sum(row["seconds"] for row in log.rows), 1))


def run(pair, method, seed, weight, case="usual"):
    """A run of the tables."""
    source, target = load_case(case, seed) if case in CASES else load(pair, seed)
    how = HOW[pair] | VARIED.get(case, {})
    return dict(settings_of(how), **one(source, target, start(pair, seed), method, seed, weight, how))


def settings_of(how): return {k: getattr(v, "__name__", v) for k, v in how.items()}


def weights():
    """For each method, the weight with the highest information on unlabelled target pictures; delete the file to try them again."""
    tries = [dict(pair=FIRST, method=m, seed=100, weight=w) for m, ws in TRIED.items() for w in ws]
    path = Path("nbs/results/adaptation_weights.json")
    if not path.exists(): records.sweep("adaptation_weights", tries, run)
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return {m: w for m, (_, w) in METHODS.items()} | {r["method"]: r["weight"] for r in sorted(rows, key=lambda r: r["information"])}


def cells(best):
    usual = [dict(pair=p, method=m, seed=s, weight=best[m]) for s in SEEDS for p in HOW for m in METHODS]
    plain = [dict(pair=FIRST, method=m, seed=s, weight=best[m], case="no negatives") for s in SEEDS for m in PLAIN]
    hurt = [dict(pair=HARD, method=m, seed=s, weight=best[m], case=c) for s in SEEDS for c in CASES for m in HURT]
    long = [dict(pair=FIRST, method=m, seed=s, weight=best[m], case="long") for s in SEEDS for m in LONG]
    return usual + hurt + plain + long


def main():
    if "--bf16" in sys.argv: os.environ["ACCELERATE_MIXED_PRECISION"] = "bf16"
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 2)))
    records.sweep("adaptation", cells(weights()), run, seeds=list(SEEDS), precision=os.environ.get("ACCELERATE_MIXED_PRECISION", "float32"))


if __name__ == "__main__":
    main()

"""Hundreds of labels: fine-tuning against the probe on our reviews -> nbs/results/language_all.json, language_all_rates.json

    python experiments/language_all.py [--minutes 9]   # about fifteen minutes on one core; stopped and called again, it goes on

Five draws of 240 training reviews per class. Fine-tuning's rate and number of epochs are chosen among six on a fifth of the training
reviews, held out, with a draw that is not used afterwards; the probe's layer and C by cross-validation among the 480 reviews themselves
(seven layers, eight values). Training in bfloat16.
"""
import argparse
import json
import os
import time
from functools import cache
from pathlib import Path

os.environ["ACCELERATE_MIXED_PRECISION"] = "bf16"

from transfer_course import backbones, finetuning, language, records, training

RESULTS = Path("nbs/results")
SEEDS = range(5)
LABELS = 240
RATES = (1e-4, 3e-4, 1e-3)
EPOCHS = (2, 5)


@cache
def net(): return backbones.load("minilm")


def fine_tuned(few, lr, epochs, seed):
    """All weights, rates that fall towards the input, as in the lesson, for so many epochs."""
    model = backbones.load("minilm").replace_head(2, seed)
    training.fit(model, few, epochs, lr, 16, seed, optimizer=language.fused_adamw, params=finetuning.param_groups(model, lr, 10.))
    return model


def tried(lr, epochs):
    """The validation score of a rate and a number of epochs."""
    task = language.reviews().split(0.2, seed=100)
    few = language.TextTask("valid", task.x_train, task.y_train, task.x_valid, task.y_valid, task.classes).few_shot(LABELS, 100)
    return dict(score=round(language.accuracy(fine_tuned(few, lr, epochs, 100), few), 4))


def run_one(method, seed, lr=None, epochs=None):
    """Test accuracy from one draw."""
    few, start = language.reviews().few_shot(LABELS, seed), time.process_time()
    if method == "fine-tuned":
        found = dict(accuracy=language.accuracy(fine_tuned(few, lr, epochs, seed), few))
    elif method == "TF-IDF":
        found = dict(accuracy=language.chosen_bag(few.x_train, few.y_train).score(few.x_test, few.y_test))
    else:
        z, z_test = (language.extract(net(), x) for x in (few.x_train, few.x_test))
        stage, probe = language.chosen_probe({s: v.numpy() for s, v in z.items()}, few.y_train)
        found = dict(accuracy=probe.score(z_test[stage].numpy(), few.y_test), stage=stage)
    return dict(found, accuracy=round(float(found["accuracy"]), 4), cpu_seconds=round(time.process_time() - start, 1))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after so many minutes; call again to go on")
    end = time.time() + 60 * parser.parse_args().minutes

    grid = [dict(lr=lr, epochs=e) for lr in RATES for e in EPOCHS]
    records.sweep("language_all_rates", grid, tried, seed=100, labels=LABELS, precision="bf16", until=end)
    rows = json.loads((RESULTS / "language_all_rates.json").read_text(encoding="utf-8"))["rows"]
    best = max(rows, key=lambda r: r["score"])
    chosen = dict(lr=best["lr"], epochs=best["epochs"])
    plan = [dict(method=m, seed=s, **(chosen if m == "fine-tuned" else {})) for s in SEEDS for m in ("TF-IDF", "frozen + probe", "fine-tuned")]
    records.sweep("language_all", plan, run_one, seeds=list(SEEDS), labels=LABELS, chosen=chosen, precision="bf16", until=end)


if __name__ == "__main__":
    main()

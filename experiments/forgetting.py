"""What fine-tuning forgets, and the rate of names, every arm with a rate of its own -> nbs/results/forgetting.json, forgetting_rates.json

    python experiments/forgetting.py [--minutes 9]   # stopped and called again, it goes on

Three ways to fine-tune 16 labels per class of the reviews in the same number of steps. Rates that fall towards the input were measured by
language.py, with three rates tried; here are the two others, three rates each, chosen on the same validation reviews. Gradual unfreezing was
measured by language.py at 3e-4, and is measured here only if another rate is chosen. Also one rate more for names. Training in bfloat16.
"""
import argparse
import copy
import json
import os
import time
from pathlib import Path

os.environ["ACCELERATE_MIXED_PRECISION"] = "bf16"

import language as measured  # language.py beside this file
import pandas as pd

from transfer_course import backbones, finetuning, language, records
from transfer_course.language import accuracy

RESULTS = Path("nbs/results")
SEEDS = range(5)
STEPS = 32
RATES = {"one rate": (2e-5, 5e-5, 1e-4), "names": (3e-3,), "gradual unfreezing": (1e-4, 3e-4, 1e-3)}  # names: 3e-4 and 1e-3 are in language_rates.json


def tune(recipe, few, lr, seed):
    model, how = backbones.load("minilm"), dict(lr=lr, cache=False, batch_size=16, seed=seed)
    epochs = language.epochs_for(len(few.x_train), STEPS)
    if recipe == "gradual unfreezing": finetuning.unfreeze_gradually(model, few, epochs=max(1, round(epochs / 8)), lr_ratio=10., **how)
    else: finetuning.fine_tune(model, few, epochs, 0, lr_ratio=1., **how)
    return model


def forgetting(recipe, seed, lr):
    """16 labels per class: test accuracy, and the share of the old task that is lost."""
    old, task, before = measured.expert()
    few = language.reviews().few_shot(16, seed)
    model = tune(recipe, few, lr, seed)
    lost = finetuning.forgetting(model, copy.deepcopy(old.head), task, before)
    return dict(accuracy=round(accuracy(model, few), 4), before=round(before, 4), forgotten=round(lost, 4))


def tried(recipe, lr):
    """The validation score of a rate, on the same reviews or sentences as in language.py."""
    if recipe == "names": return measured.tried("entities", lr)
    return measured.score_on_reviews(lambda few: tune(recipe, few, lr, 100))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after so many minutes; call again to go on")
    end = time.time() + 60 * parser.parse_args().minutes

    path = RESULTS / "forgetting_rates.json"
    if not path.exists(): records.sweep("forgetting_rates", [dict(recipe=r, lr=lr) for r in RATES for lr in RATES[r]], tried, seed=100, labels=16, steps=STEPS, until=end)
    found = pd.DataFrame(json.loads(path.read_text(encoding="utf-8"))["rows"])
    lr = found.groupby(["recipe", "lr"]).score.mean().unstack().idxmax(axis=1).to_dict()
    plan = [dict(recipe="one rate", seed=i, lr=lr["one rate"]) for i in SEEDS]
    if lr["gradual unfreezing"] != 3e-4: plan += [dict(recipe="gradual unfreezing", seed=i, lr=lr["gradual unfreezing"]) for i in SEEDS]
    records.sweep("forgetting", plan, forgetting, seeds=list(SEEDS), steps=STEPS, rates=lr, precision="bf16", until=end)


if __name__ == "__main__":
    main()

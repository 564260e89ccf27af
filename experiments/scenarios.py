"""Size of target × similarity to the source × strategy, five seeds a cell -> nbs/results/scenarios.json

    python experiments/scenarios.py          # hours on one core; killed and started again, it goes on
    python experiments/scenarios.py --bf16   # trains in bfloat16, faster on a processor that has it
    python experiments/scenarios.py --archive cifar.tar  # an archive of train|test/<class>/*.jpg: CourseNet's source gets its shift as well

One learning rate a strategy and network, chosen by the mean accuracy on the validation parts of the four grid targets at 20 labels per class,
with a seed that is not used afterwards. The targets in UNSEEN are measured for testing the recommender; they choose nothing.
"""
import argparse
import json
import os
import time
from dataclasses import replace
from functools import cache
from pathlib import Path

import pandas as pd

from transfer_course import backbones, data, files, records, scenarios
from transfer_course.scenarios import GRID, SIZES, STRATEGIES, TRAINED, UNSEEN

RESULTS = Path("nbs/results")
SEEDS = range(5)
RATES = [1e-3, 3e-3, 1e-2]
SIDES = {"coursenet": None, "efficientnet_lite0": 64}
UNSEEN_SIZES = (10, 50)


@cache
def network(name):
    return backbones.load(name, size=SIDES[name])


def tried(strategy, target, lr):
    """The validation accuracy of a learning rate."""
    task = scenarios.load(target)
    few = replace(task.few_shot(20, 100), x_test=task.x_valid, y_test=task.y_valid, x_valid=None, y_valid=None)
    return dict(accuracy=round(STRATEGIES[strategy](network("coursenet"), few, 100, lr), 4))


def best_rates():
    """For each trained strategy the rate with the best mean validation accuracy; all that were tried go to scenario_rates.json."""
    cells = [dict(strategy=s, target=t, lr=lr) for s in TRAINED for t in GRID for lr in RATES]
    path, going_on = RESULTS / "scenario_rates.json", (RESULTS / "scenarios.rows.part").exists()
    if not (going_on and path.exists()): records.sweep("scenario_rates", cells, tried, seed=100, labels=20)
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    means = pd.DataFrame(rows).groupby(["strategy", "lr"])["accuracy"].mean().unstack()
    return means.idxmax(axis=1).to_dict()


def run(net, target, labels, strategy, seed, lr):
    """One cell: the test accuracy, and seconds of processor time."""
    start, task = time.process_time(), scenarios.load(target)
    accuracy = STRATEGIES[strategy](network(net), scenarios.reduced(task, labels, seed), seed, lr)
    return dict(accuracy=round(accuracy, 4), cpu_seconds=round(time.process_time() - start, 1))


def cells(lrs):
    """Cheap and important ones first: every prefix is a grid of its own."""
    def cell(net, target, labels, strategy, seed): return dict(net=net, target=target, labels=labels, strategy=strategy, seed=seed, lr=lrs.get(strategy))
    small = [cell("coursenet", t, k, s, i) for i in SEEDS for k in SIZES[:-1] for t in GRID for s in STRATEGIES]
    large = [cell("coursenet", t, "all", s, i) for i in SEEDS for t in GRID for s in STRATEGIES]
    unseen = [cell("coursenet", t, k, s, i) for i in SEEDS for k in UNSEEN_SIZES for t in UNSEEN for s in STRATEGIES]
    probes = [cell("efficientnet_lite0", t, k, s, i) for t in GRID for k in SIZES for s in ("probe, top", "probe, earlier") for i in SEEDS]
    part = [cell("efficientnet_lite0", t, 5, s, i) for s in ("last stage", "all") for t in ("photographs", "letters") for i in SEEDS]
    return small + large + unseen + probes + part


def shifts(archive):
    """For each network the shift of every target; with an archive, that of CourseNet's source as well."""
    found = {n: {t: scenarios.domain_shift(network(n), scenarios.load(t).x_train) for t in GRID + UNSEEN} for n in SIDES}
    if archive: found["coursenet"]["cifar10"] = scenarios.domain_shift(network("coursenet"), source(archive))
    return {n: {t: round(v, 3) for t, v in row.items()} for n, row in found.items()}


def source(archive):
    """CIFAR-10's test pictures."""
    folder = files.extract(archive, files.cache_dir() / "cifar10-archive")
    return data.from_folder(next(folder.rglob("test")), size=32).x_train


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", help="a tar or zip of CIFAR-10 as pictures")
    parser.add_argument("--bf16", action="store_true", help="train in bfloat16")
    args = parser.parse_args()
    if args.bf16: os.environ["ACCELERATE_MIXED_PRECISION"] = "bf16"
    records.sweep("scenarios", cells(best_rates()), run, seeds=list(SEEDS), shifts=shifts(args.archive), side_in_pixels=SIDES,
                     precision=os.environ.get("ACCELERATE_MIXED_PRECISION", "float32"))


if __name__ == "__main__":
    main()

"""Ants and bees by frozen features: all 397 pictures, split ten times -> nbs/results/features.json.

    python experiments/features.py                     # the pictures are fetched once; then about a minute
    python experiments/features.py --archive ants.zip  # an archive of the tutorial's folder hymenoptera_data
"""
import argparse
import time

import numpy as np
import torch
from sklearn.model_selection import train_test_split

from transfer_course import backbones, data, features, files, records

SEEDS, N_TEST = range(10), 153  # the tutorial tests on 153 pictures
SIZES, STAGES = (96, 160), ("stage6", "stage7", "top")


def pictures(size, archive):
    """All pictures of the training and the test part together, and their labels."""
    if archive is None: task = data.load("hymenoptera", size=size)
    else: task = data.from_folder(data.extract(archive, files.cache_dir() / "ants-archive") / "hymenoptera_data", size)
    return torch.cat([task.x_train, task.x_test]), torch.cat([task.y_train, task.y_test]), task.classes


def by_name(net, x, y, classes):
    """Does the old head give the right class the higher score? It names 1,000 classes; two of them are ours."""
    names = [c.split(",")[0] + "s" for c in net.classes]
    scores = backbones.batched(net, x)[:, [names.index(c) for c in classes]]
    return (scores.argmax(1) == y).numpy()


def rows(size, archive):
    """Test accuracy for every split and method."""
    net = backbones.load("efficientnet_lite0", size=size)
    x, y, classes = pictures(size, archive)
    z, right = features.extract_stages(net, x, list(STAGES)), by_name(net, x, y, classes)
    for seed in SEEDS:
        train, test = train_test_split(np.arange(len(y)), test_size=N_TEST, stratify=y, random_state=seed)
        for stage in STAGES:
            probe = features.linear_probe(z[stage][train], y[train], seed=seed)
            yield dict(size=size, method=f"probe, {stage}", seed=seed, accuracy=probe.score(z[stage][test], y[test]))
        yield dict(size=size, method="neighbours, top", seed=seed, accuracy=features.knn(z["top"][train], y[train]).score(z["top"][test], y[test]))
        yield dict(size=size, method="by name", seed=seed, accuracy=right[test].mean())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", help="a zip or tar of hymenoptera_data/train|val/<class>/*.jpg")
    archive, start = parser.parse_args().archive, time.perf_counter()
    found = [row for size in SIZES for row in rows(size, archive)]
    found = [dict(row, accuracy=round(float(row["accuracy"]), 4)) for row in found]
    print(records.write_result("features", dict(pictures=397, train_pictures=397 - N_TEST, test_pictures=N_TEST, splits=len(SEEDS), rows=found, seconds=round(time.perf_counter() - start))))

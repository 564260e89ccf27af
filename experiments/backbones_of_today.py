"""Networks of today, one comparison: the same pictures, the same labels, the same probe -> nbs/results/backbones_of_today.json

    python experiments/backbones_of_today.py                # those that pip brings: about 4 minutes of one core
    python experiments/backbones_of_today.py --fetch        # the others as well, by timm's and transformers' names; needs a connection

The pictures are the 628 of the folder that lesson 19 makes, split by source five times. Each network reads them at two sizes; size, stage (of the last four)
and the penalty of the probe are chosen on the validation part. A network that could not be fetched keeps its row, without numbers and with the reason.
The weights of each were made with other pictures and other means, so a difference between two rows is that of two downloads, not of two architectures.
"""
import argparse
import json
import warnings
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from transfer_course import backbones, own_folder, records
from transfer_course.cache import extract_stages
from transfer_course.features import linear_probe
from transfer_course.files import cache_dir
from transfer_course.image_text import from_transformers, zero_shot
from transfer_course.own_pictures import split_by_source

SEEDS, FEW = range(5), 5  # splits; labels per class, beside all of them
NETWORKS = {  # name: (how it comes, sizes, what it was trained on)
    "coursenet": ("pip", (32, 64), "CIFAR-10"),
    "efficientnet_lite0": ("pip", (96, 160), "ImageNet-1k"),
    "efficientnet_lite1": ("pip", (96, 160), "ImageNet-1k"),
    "efficientnet_lite2": ("pip", (96, 160), "ImageNet-1k"),
    "resnet50.a1_in1k": ("timm", (112, 224), "ImageNet-1k"),
    "convnext_tiny.fb_in22k": ("timm", (112, 224), "ImageNet-22k"),
    "vit_small_patch16_224.augreg_in21k": ("timm", (112, 224), "ImageNet-21k"),
    "vit_small_patch14_dinov2.lvd142m": ("timm", (112, 224), "142 M pictures without labels"),
    "openai/clip-vit-base-patch32": ("transformers", (224,), "400 M pictures with captions"),
    "google/siglip-base-patch16-224": ("transformers", (224,), "the web's pictures with captions"),
}


@lru_cache(None)
def table():
    found = own_folder.clean(own_folder.with_sources(own_folder.survey(own_folder.example_folder())[0])[0])[0]
    return found[~found.source.str.contains("visit9")].reset_index(drop=True)


@lru_cache(None)
def loaded(name):
    "(network, its other half and tokenizer or None)"
    if NETWORKS[name][0] != "transformers": return backbones.load(name), None
    model, net, tokenize = from_transformers(name)
    return net, (model, tokenize)


@lru_cache(2)
def features(name):
    "{(size, stage): N×D} of all pictures."
    found = {}
    for size in NETWORKS[name][1]:
        net = loaded(name)[0]
        x = own_folder.pixels(table(), size)
        for stage, z in extract_stages(net, x, net.stages[-4:], size=size, progress=False).items(): found[size, stage] = z.numpy()
    return found


def parts(seed, labels):
    "(training, validation, test) rows; with few labels, so many of each class in training and in validation."
    y = table().y.to_numpy()
    part = split_by_source(y, table().source.to_numpy(), seed=seed)
    a, b, c = (np.flatnonzero(part == p) for p in ("train", "valid", "test"))
    if labels == "all": return a, b, c
    rng = np.random.default_rng(seed)
    few = [np.concatenate([rng.permutation(rows[y[rows] == k])[:labels] for k in np.unique(y)]) for rows in (a, b)]
    return *few, c


def run(name, seed, labels):
    "The test accuracy of the probe that the validation part has chosen."
    y, (a, b, c) = table().y.to_numpy(), parts(seed, labels)
    tried = {at: linear_probe(z[a], y[a], z[b], y[b]) for at, z in features(name).items()}
    at = max(tried, key=lambda k: tried[k].score(features(name)[k][b], y[b]))
    found = dict(size=at[0], stage=at[1], test=round(tried[at].score(features(name)[at][c], y[c]), 4))
    both = loaded(name)[1]
    if both and labels == "all":
        names = [c.replace("_", " ") for c in sorted(set(table().name), key=list(table().name).index)]
        z = features(name)[max(features(name))]
        found["zero_shot"] = round(float((zero_shot(*both, z[c], names).argmax(1).numpy() == y[c]).mean()), 4)
    return found


def gap(name, fetch):
    "Why there is no number of a network; None if there can be one."
    if NETWORKS[name][0] == "pip": return None
    if not fetch: return "its weights have to be fetched, and this run had no connection"
    try: loaded(name)
    except (OSError, ValueError) as e: return f"not fetched: {str(e)[:100]}"


def about(name, why):
    how, sizes, trained_on = NETWORKS[name]
    size = {} if why else dict(millions=round(sum(p.numel() for p in loaded(name)[0].trunk.parameters()) / 1e6, 2))
    return dict(name=name, by=how, trained_on=trained_on, sizes=list(sizes), **size, **({"gap": why} if why else {}))


def main():
    ask = argparse.ArgumentParser()
    ask.add_argument("--fetch", action="store_true")
    args = ask.parse_args()
    torch.set_num_threads(1)
    whys = {name: gap(name, args.fetch) for name in NETWORKS}
    configs = [dict(name=n, seed=s, labels=k) for n, why in whys.items() if why is None for k in (FEW, "all") for s in SEEDS]
    folder = cache_dir() / "results"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = json.loads(Path(records.sweep("backbones_of_today", configs, run, folder=folder)).read_text())["rows"]
    records.write_result("backbones_of_today", dict(pictures=len(table()), classes=int(table().y.max() + 1), splits=len(SEEDS), few=FEW,
                                                    networks=[about(n, why) for n, why in whys.items()], rows=rows))


if __name__ == "__main__":
    main()

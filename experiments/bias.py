"""Bias that travels: composed CVs from one industry to another, mends with and without proxies; shortcuts in pictures -> nbs/results/bias.json.

    python experiments/bias.py [--minutes 7]     # about 15 minutes on one core in all; goes on where it was

Settings (how strongly a head is held at its start; the C of a probe; the rate of fine-tuning) are chosen on draws of their own, the same number of values for every way; never on test rows.
"""
import argparse
import shutil
import time
from functools import partial

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from transfer_course import backbones, bias, features, records, training
from transfer_course.composed import compose
from transfer_course.files import cache_dir
from transfer_course.shortcuts import digits_on
from transfer_course.tasks import Task

SEEDS, TUNING, LABELS = range(6), (100, 101), (10, 20, 40, 80)
PULLS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
HISTORY = dict(rejected=0.6, taken=0.3)  # able women who were rejected, weaker men who were taken
N_SOURCE, N_TEST = 240, 150


# --- composed CVs -------------------------------------------------------------------------------------------------------

def decided(cvs, seed, rejected=HISTORY["rejected"], taken=HISTORY["taken"]):
    """What the source's managers decided: as in the lesson."""
    luck = np.random.default_rng(seed).random(len(cvs))
    return np.where(cvs.woman, cvs.able & (luck >= rejected), cvs.able | (luck < taken))


def views(net, cvs, worlds, both=True):
    """Features of all the texts that the ways need: {name: N×D}."""
    def z(**how): return features.extract(net, cvs.texts(**how), cache=False, progress=False).double().numpy()
    found = {}
    for world, how in {"name": {}, "name, proxies": dict(proxies=True)}.items():
        if world not in worlds: continue
        found[world, "women"], found[world, "men"] = z(woman=True, **how), z(woman=False, **how)
    found["name removed", "women"] = found["name removed", "men"] = z(named=False)
    blind = {"name removed, proxies": dict(named=False, proxies=True), "name and gender words removed, proxies": dict(named=False, proxies=True, struck=True)}
    for world, how in blind.items() if len(worlds) > 1 else ():
        if both: found[world, "women"], found[world, "men"] = z(woman=True, **how), z(woman=False, **how)
        else: found[world, "own"] = z(**how)
    for world in {w for w, _ in found}:
        if (world, "own") not in found: found[world, "own"] = np.where(cvs.woman[:, None], found[world, "women"], found[world, "men"])
        if (world, "women") in found: found[world, "other"] = np.where(cvs.woman[:, None], found[world, "men"], found[world, "women"])
    return found


def pile(net, seed, worlds):
    """Source, few of the target, and test: CVs and their features."""
    parts = compose(N_SOURCE, "software", seed), compose(max(LABELS), "care", seed), compose(N_TEST, "care", 1000 + seed)
    return [(cvs, views(net, cvs, worlds, both=i == 2)) for i, cvs in enumerate(parts)]


def twice(z, world, n=None): return np.concatenate([z[world, "own"][:n], z[world, "other"][:n]])


def heads(parts, seed, world):
    """{way: (start or None, function n -> features and labels to adapt with, blind direction or None)}"""
    (source, zs), (few, zt), _ = parts
    was, fair = decided(source, seed), source.able
    blind = "name removed" if world == "name" else "name removed, proxies"
    def plain(n, w=world): return zt[w, "own"][:n], few.able[:n], None
    def copies(n): return twice(zt, world, n), np.tile(few.able[:n], 2), np.full(2 * n, 0.5)
    def own(w): return zs[w, "own"]
    biased = bias.head(own(world), was)
    pairs = zs[world, "men"] - zs[world, "women"]
    ways = {"biased source": (biased, plain, None), "fair source": (bias.head(own(world), fair), plain, None), "target only": (None, plain, None),
            "name removed": (bias.head(own(blind), was), partial(plain, w=blind), None),
            "directions out": (bias.without(biased, pairs), plain, pairs),
            "target's copies swapped": (biased, copies, None),
            "all copies swapped": (bias.head(twice(zs, world), np.tile(was, 2), weight=np.full(2 * len(was), 0.5)), copies, None),
            "source reweighed": (bias.head(own(world), was, weight=bias.reweigh(was, source.woman)), plain, None)}
    if world != "name":
        struck = "name and gender words removed, proxies"
        ways["name and gender words removed"] = bias.head(own(struck), was), partial(plain, w=struck), None
    return ways


def world_of(way, world):
    """Which texts a way reads in the test."""
    if way == "name removed": return "name removed" if world == "name" else "name removed, proxies"
    return "name and gender words removed, proxies" if way == "name and gender words removed" else world


def cv_rows(net, seed, worlds=("name", "name, proxies")):
    """Every way, at every number of fair CVs and with every pull: accuracy on fair labels, and the gap between swapped CVs."""
    parts, rows = pile(net, seed, worlds), []
    test, ze = parts[2]
    for world in worlds:
        for way, (start, give, pairs) in heads(parts, seed, world).items():
            w = world_of(way, world)
            for n in (0, *LABELS):
                if n == 0 and start is None: continue
                for pull in PULLS if n else (None,):
                    if n:
                        z, y, weight = give(n)
                        if pairs is not None: z = blinded(z, pairs)
                        v = bias.head(z, y, start, pull, weight)
                        if pairs is not None: v = bias.without(v, pairs)
                    else: v = start
                    rows.append(dict(world=world, way=way, n=n, pull=pull, seed=seed, accuracy=round(float((bias.says_yes(v, ze[w, "own"]) == test.able).mean()), 4),
                                     gap=round(float(bias.swap_gap(v, ze[w, "men"], ze[w, "women"])), 4)))
    return rows


def blinded(z, pairs, k=3):
    """Features without the directions in which swapped texts differ."""
    d = np.linalg.svd(pairs, full_matrices=False)[2][:k]
    return z - z @ d.T @ d


# --- shortcuts ------------------------------------------------------------------------------------------------------------

NETS = {"efficientnet_lite0": ("top",)}
PER_GROUP, STRENGTHS, RATES = (10, 20, 40), (0.001, 0.01, 0.1, 1.0, 10.0, 100.0), (1e-4, 1e-3, 1e-2)
SHORT_SEEDS, SHORT_TUNING, TUNED_NET, EPOCHS = range(5), (100,), "efficientnet_lite0", 4


def scenes(seed, pair, agree):
    """Shortcut pictures to learn from, more of them (as many as the balanced ones), balanced ones, balanced ones to choose with, and test."""
    return {"learn": digits_on(480, agree, pair, "train", seed), "more": digits_on(160, agree, pair, "train", 2000 + seed), "balanced": digits_on(160, 0.5, pair, "train", 3000 + seed),
            "valid": digits_on(160, 0.5, pair, "train", 4000 + seed), "test": digits_on(400, 0.5, pair, "test", seed)}


def score(said, part, agree=0.95):
    """Accuracy on the training mix (groups weighted as in training), on the balanced mix, and of the worst group."""
    by = bias.group_accuracy(part.y, said, part.group)
    return dict(mix=round(float(agree * (by[0] + by[3]) / 2 + (1 - agree) * (by[1] + by[2]) / 2), 4), balanced=round(float(by.mean()), 4), worst=round(float(by.min()), 4))


def probes(z, parts, C, seed):
    """{way: function -> fitted head} on scaled features."""
    learn, few = parts["learn"], parts["balanced"]
    def plain(x, y, w=None): return LogisticRegression(C=C, max_iter=2000).fit(x, y, sample_weight=w)
    counts = np.bincount(learn.group, minlength=4)
    both = np.concatenate([z["learn"], z["more"]]), np.concatenate([learn.y, parts["more"].y])
    ways = {"probe": lambda: plain(z["learn"], learn.y), "probe, 160 more of the mix": lambda: plain(*both)}
    if counts.min(): ways |= {"probe, groups weighted": lambda: plain(z["learn"], learn.y, (len(learn) / 4 / counts)[learn.group]),
                              "balanced part of the 480": lambda: bias.last_layer(z["learn"], learn.y, learn.group, int(counts.min()), C, seed)}
    return ways | {f"last layer, {n} per group": partial(bias.last_layer, z["balanced"], few.y, few.group, n, C, seed) for n in PER_GROUP}


def scaled(z):
    """All features divided by one number: their standard deviation in training."""
    mean, sd = z["learn"].mean(0), z["learn"].std()
    return {k: (v - mean) / sd for k, v in z.items()}


def shortcut_rows(seed, pair, agree, chosen=None):
    """Every network, stage and way; `chosen` maps (net, stage, way) to its C; without it every C, on the validation pictures."""
    parts, rows = scenes(seed, pair, agree), []
    if chosen: del parts["valid"]
    for name, stages in NETS.items():
        net = backbones.load(name)
        cache = {k: features.extract_stages(net, p.x, list(stages), cache=False, progress=False) for k, p in parts.items()}
        for stage in stages: rows += stage_rows({k: v[stage].double().numpy() for k, v in cache.items()}, parts, seed, (name, stage), chosen)
    return [dict(pair="".join(map(str, pair)), agree=agree, seed=seed, **row) for row in rows]


def fine_tuned_rows(seed, pair, agree, chosen=None):
    """The same for a network that was itself fine-tuned on the shortcut."""
    parts = scenes(seed, pair, agree)
    if chosen: del parts["valid"]
    rows = fine_tuned(TUNED_NET, NETS[TUNED_NET][-1], parts, seed, chosen)
    return [dict(pair="".join(map(str, pair)), agree=agree, seed=seed, **row) for row in rows]


def stage_rows(z, parts, seed, where, chosen):
    z, rows = scaled(z), []
    part = parts["test" if chosen else "valid"]
    for C in STRENGTHS:
        for way, fit in probes(z, parts, C, seed).items():
            if chosen and chosen[(*where, way)] != C: continue
            said = fit().predict(z["test" if chosen else "valid"])
            rows.append(dict(net=where[0], stage=where[1], way=way, C=C, **score(said, part)))
    return rows


def fine_tuned(name, stage, parts, seed, chosen):
    """The whole network fine-tuned on the shortcut, and then its last layer retrained."""
    rows, learn, part = [], parts["learn"], parts["test" if chosen else "valid"]
    task = Task("shortcut", learn.x, learn.y, part.x, part.y, ["first", "second"], {})
    for lr in RATES if not chosen else (chosen[name, "rate"],):
        net = backbones.load(name).replace_head(2, seed=seed)
        training.fit(net, task, epochs=EPOCHS, lr=lr, batch_size=32, seed=seed, progress=False)
        with torch.no_grad(): said = torch.cat([net(x) for x in part.x.split(64)]).argmax(1).numpy()
        rows.append(dict(net=name, stage="fine-tuned", way="as it is", lr=lr, **score(said, part)))
        z = {k: features.extract(net, p.x, stage, cache=False, progress=False).double().numpy() for k, p in parts.items()}
        rows += [row | {"lr": lr} for row in stage_rows(z, parts, seed, (name, "fine-tuned"), chosen)]
    return rows


# --- all of it -------------------------------------------------------------------------------------------------------------

def best_pulls(rows):
    """For each way the pull with the best accuracy over the tuning draws and numbers of labels."""
    found = {}
    for row in rows:
        if row["n"]: found.setdefault((row["way"], row["pull"]), []).append(row["accuracy"])
    return {way: max(PULLS, key=lambda p: np.mean(found[way, p])) for way in {w for w, _ in found}}


def best_strengths(rows):
    """For each network, stage and way the C; plain probes by the mix they know, the others by the worst group. For each network the rate, by the mix."""
    chosen = {}
    tuned = [r for r in rows if r["way"] == "as it is"]
    if tuned: chosen[TUNED_NET, "rate"] = max(tuned, key=lambda r: r["mix"])["lr"]
    rows = [r for r in rows if "lr" not in r or r["lr"] == chosen[r["net"], "rate"]]
    for key in {(r["net"], r["stage"], r["way"]) for r in rows if "C" in r}:
        own = [r for r in rows if (r["net"], r["stage"], r["way"]) == key]
        chosen[key] = max(own, key=lambda r: r["mix" if key[2].startswith("probe") and "weighted" not in key[2] else "worst"])["C"]
    return chosen


def steps():
    """Name -> what to measure, in order; each result is kept as soon as it is there."""
    net = backbones.load("minilm")
    todo = {f"cv {s}": partial(cv_rows, net, s, ("name",)) for s in TUNING} | {f"cv {s}": partial(cv_rows, net, s) for s in SEEDS}
    todo |= {f"tuning {pair}": partial(shortcut_rows, SHORT_TUNING[0], pair, 0.95) for pair in ((0, 1), (3, 5))}
    todo["tuning fine"] = partial(fine_tuned_rows, SHORT_TUNING[0], (0, 1), 0.95)
    cases = {f"{pair} {agree} {s}": (shortcut_rows, s, pair, agree) for pair, agree in [((0, 1), 0.95), ((0, 1), 1.0), ((3, 5), 0.95)] for s in SHORT_SEEDS}
    return todo, cases | {f"fine {s}": (fine_tuned_rows, s, (0, 1), 0.95) for s in SHORT_SEEDS}


KEPT = cache_dir() / "bias"  # what is measured so far; gone when the result is written


def measured(name, todo, until):
    """{step: its rows}, and the seconds of all; a step whose rows are there isn't measured again."""
    found = records.swept(name, [dict(step=step) for step in todo], lambda step: dict(rows=todo[step]()), KEPT, until)
    return {row["step"]: row["rows"] for row in found}, sum(row["seconds"] for row in found)


def table(rows, keys, values):
    """{key: {value: list over seeds}}: short enough to be read."""
    found = {}
    for row in sorted(rows, key=lambda r: r["seed"]):
        cell = found.setdefault(" | ".join(f"{row[k]}" for k in keys), {v: [] for v in values})
        for v in values: cell[v].append(row[v])
    return found


def flat(cells, keys): return [dict(zip(keys, key.split(" | "))) | cell for key, cell in cells.items()]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1e6)
    until = time.time() + 60 * parser.parse_args().minutes
    todo, cases = steps()
    kept, seconds = measured("bias_tuning_and_cvs", todo, until)
    tuned = {"01": best_strengths(kept["tuning (0, 1)"] + kept["tuning fine"]), "35": best_strengths(kept["tuning (3, 5)"])}
    found, more = measured("bias_shortcuts", {name: partial(rows, seed, pair, agree, tuned["".join(map(str, pair))]) for name, (rows, seed, pair, agree) in cases.items()}, until)
    kept |= found
    pulls = best_pulls([r for s in TUNING for r in kept[f"cv {s}"]])
    pulls["name and gender words removed"] = pulls["name removed"]
    cvs = [r for s in SEEDS for r in kept[f"cv {s}"]]
    keys = ["world", "way", "n", "pull"]
    cvs = flat(table([r for r in cvs if r["n"] == 0 or r["pull"] in (1.0, pulls[r["way"]])], keys, ["accuracy", "gap"]), keys)
    paths = [r for s in SEEDS for r in kept[f"cv {s}"] if r["world"] == "name" and r["way"] in ("biased source", "fair source") and r["n"] in (10, 80)]
    tried = [dict(way=way, pull=pull, accuracy=round(float(np.mean([r["accuracy"] for s in TUNING for r in kept[f"cv {s}"] if (r["way"], r["pull"]) == (way, pull)])), 4))
             for way in pulls if "gender" not in way for pull in PULLS]
    keys_s = ["pair", "agree", "net", "stage", "way"]
    rows = [r for name in cases for r in kept[name]]
    short = flat(table(rows, keys_s, ["mix", "balanced", "worst"]), keys_s)
    records.write_result("bias", dict(
        seeds=dict(cvs=len(SEEDS), shortcuts=len(SHORT_SEEDS), tuning=list(TUNING)), sizes=dict(source=N_SOURCE, test=N_TEST, pictures=480), history=HISTORY, pulls_tried=PULLS, pulls=pulls, cvs=cvs,
        path=flat(table(paths, keys, ["accuracy", "gap"]), keys), tried=tried, strengths_tried=STRENGTHS, rates_tried=RATES,
        rate=tuned["01"][TUNED_NET, "rate"], epochs=EPOCHS,
        strengths={pair: {" | ".join(k): v for k, v in t.items() if len(k) == 3 and k[0] in NETS} for pair, t in tuned.items()}, shortcuts=short,
        seconds=round(seconds + more)))
    shutil.rmtree(KEPT)

"""Recommenders and what is new to them: a function without uses, a library with five files, four ways to split -> nbs/results/recommendation.json.

    python experiments/recommendation.py                # about four minutes on one core
    python experiments/recommendation.py --only few splits    # these parts anew, the others as they are
    python experiments/recommendation.py --movielens    # prints the cold start of films; needs a network, writes nothing

Settings (strengths, dimensions, neighbours) are chosen on draws that are not used again (TUNING), by the share of pairs in the right order per file;
those of a market on the other five markets. Every arm has the same number of strengths to choose from.
"""
import argparse
import json
from functools import lru_cache
from pathlib import Path

import numpy as np

from transfer_course import ranking, recommendation, records, uses
from transfer_course.files import cache_dir

SEEDS, TUNING = range(10), (100, 101, 102)
DIMENSIONS, WIDER, RIDGES, NEAR = (16, 32), 64, (1.0, 3.0, 10.0, 30.0, 100.0), (3, 5, 10, 20, 40)
PULLS, ZEROS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0), (0.0, 0.01)
SEEN = (0, 1, 2, 4, 8, 16)
EASE, PRIORS = (100.0, 300.0, 1000.0, 3000.0, 10000.0, 30000.0), (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
MARKETS, FILES = ("skimage", "sklearn", "scipy", "pandas", "matplotlib", "transformers"), (5, 20, 60)


@lru_cache
def table(name="numpy"): return uses.numpy_uses() if name == "numpy" else uses.movielens()


@lru_cache
def descriptions(name="numpy"):
    """What is known of an item before anybody uses it: {description: items×D}."""
    items = table(name).items
    words = items["name"].str.replace("[._]", " ", regex=True)
    text = uses.text_vectors(list(items.text if name == "movies" else words + ": " + items.text))
    category = items.category.str.get_dummies("|").to_numpy(float)
    found = {"text": text, "categories": category, "text and categories": np.hstack([text, 0.5 * category])}
    if name == "numpy": found |= {"name alone": uses.text_vectors(list(words)), "docstring alone": uses.text_vectors(list(items.text))}
    return found


# --- a function that nobody has used ----------------------------------------------------------------------------------

@lru_cache(maxsize=64)
def world(seed, d, name="numpy"):
    """The table, which columns are new and which old, and the vectors of files and old functions."""
    x = table(name).x
    new, old = ranking.new_items(x, seed)
    return x, new, old, *recommendation.als(x[:, old], d)


def ways(name="numpy"):
    """{way: the settings that it may have}"""
    grid = [(d, s) for d in DIMENSIONS for s in RIDGES]
    return {"mean vector": [(d, 1.0) for d in DIMENSIONS], "another's text": grid, **dict.fromkeys(descriptions(name), grid),
            "nearest by text": [(d, k) for d in DIMENSIONS for k in NEAR]}


def guess(way, seed, d, setting, name="numpy"):
    """Vectors of the new functions."""
    x, new, old, _, v = world(seed, d, name)
    known = descriptions(name)
    if way == "mean vector": return np.repeat(v.mean(0)[None], len(new), 0)
    if way == "nearest by text": return recommendation.nearest_by_text(known["text"][old], known["text"][new], v, setting)
    t = known["text" if way == "another's text" else way]
    if way == "another's text": t = t[np.random.default_rng(seed).permutation(len(t))]
    return recommendation.text_map(t[old], v, setting)(t[new])


def scored(scores, used, given=None):
    """How good the order of functions is for each file, and that of files for each function."""
    turned = None if given is None else given.T
    return dict(per_file=round(float(np.nanmean(ranking.auc(scores, used, given))), 4),
                per_function=round(float(np.nanmean(ranking.auc(scores.T, used.T, turned))), 4),
                recall=round(float(np.nanmean(ranking.recall(scores, used, given, 5))), 4))


def cold(way, seed, d, setting, name="numpy"):
    x, new, _, u, _ = world(seed, d, name)
    return scored(u @ guess(way, seed, d, setting, name).T, x[:, new])


def best_settings(name="numpy"):
    tried = [dict(way=w, d=d, setting=s, per_file=round(float(np.mean([cold(w, seed, d, s, name)["per_file"] for seed in TUNING])), 4))
             for w, settings in ways(name).items() for d, s in settings]
    best = {}
    for row in tried:
        if row["per_file"] > best.get(row["way"], {"per_file": -1})["per_file"]: best[row["way"]] = row
    return tried, {w: (row["d"], row["setting"]) for w, row in best.items()}


def cold_rows(name="numpy"):
    tried, best = best_settings(name)
    rows = [dict(way=w, seed=seed, **cold(w, seed, *best[w], name)) for w in best for seed in SEEDS]
    wider = [round(float(np.mean([cold("text", seed, d, s, name)["per_file"] for seed in TUNING])), 4) for d, s in (best["text"], (WIDER, best["text"][1]))]
    for seed in SEEDS:  # how often each new function is used, which nobody can know
        x, new, *_ = world(seed, 16, name)
        rows.append(dict(way="its later popularity", seed=seed, **scored(np.repeat(x[:, new].mean(0)[None], len(x), 0), x[:, new])))
    return dict(cold=rows, wider={best["text"][0]: wider[0], WIDER: wider[1]}, cold_settings={w: list(s) for w, s in best.items()}, cold_tried={w: ", ".join(f"{r['d']}/{r['setting']:g}: {r['per_file']:.3f}" for r in tried if r["way"] == w) for w in best})


# --- and after a few uses -----------------------------------------------------------------------------------------------

STARTS = ("nothing", "mean vector", "categories", "text")


def after(start, n, seed, pull, zeros, best):
    """A new function has n uses, at random: its vector is what these say, pulled towards where it started."""
    d, setting = best["text" if start == "nothing" else start]
    x, new, _, u, _ = world(seed, d)
    used = x[:, new].T
    rng = np.random.default_rng(seed)
    seen = np.zeros_like(used)
    for row, all_uses in zip(seen, used): row[rng.permutation(np.flatnonzero(all_uses))[:n]] = 1
    begin = np.zeros((len(new), d)) if start == "nothing" else guess(start, seed, d, setting)
    v = recommendation.half_step(seen, u, strength=pull, zeros=zeros, prior=begin)
    return scored(u @ v.T, used.T, seen.T)


def few_rows(best):
    rows, chosen = [], []
    for start in STARTS:
        for n in SEEN:
            settings = [(p, z) for p in PULLS for z in ZEROS] if n else [(1.0, 0.0)]  # with no use there is nothing to weigh
            right = [np.mean([after(start, n, s, p, z, best)["per_file"] for s in TUNING]) for p, z in settings]
            pull, zeros = settings[int(np.argmax(right))]
            chosen.append([start, n, pull, zeros])
            rows += [dict(start=start, uses=n, seed=s, **after(start, n, s, pull, zeros, best)) for s in SEEDS]
    return dict(few=rows, few_settings=chosen)


# --- a new market -------------------------------------------------------------------------------------------------------

@lru_cache(maxsize=4)
def market(target, n, seed):
    """n files of the target, all files of the others, and test files of the target with half of their uses given."""
    t = table()
    rng = np.random.default_rng(seed)
    here = rng.permutation(np.flatnonzero(t.market == target))
    few, test = t.x[here[:n]], t.x[here[max(FILES):][:150]]
    given, hidden = ranking.hide(test, 0.5, seed)
    good = (given.sum(1) > 0) & (hidden.sum(1) > 0)
    return few, t.x[t.market != target], given[good], hidden[good]


def market_scores(arm, few, source, given, setting):
    """Scores of all functions for the test files."""
    kind, _, rows = arm.partition(", ")
    if kind == "popularity":
        share = {"target": few.mean(0), "source": source.mean(0)}.get(rows)
        if rows == "both": share = (few.sum(0) + setting * source.mean(0)) / (len(few) + setting)
        return np.repeat(share[None], len(given), 0)
    strength, weight = setting
    x = {"target": [few], "source": [source], "both": [source] + [few] * weight}[rows]
    return given @ recommendation.ease(np.vstack(x), strength)


ARMS = {"EASE, target": [(s, 1) for s in EASE], "EASE, source": [(s, 1) for s in EASE], "EASE, both": [(s, w) for s in EASE[1:4] for w in (1, 10)],
        "popularity, target": [0], "popularity, source": [0], "popularity, both": list(PRIORS)}


def market_run(arm, target, n, seed, setting):
    few, source, given, hidden = market(target, n, seed)
    scores = market_scores(arm, few, source, given, setting)
    return dict(auc=round(float(np.nanmean(ranking.auc(scores, hidden, given))), 4), recall=round(float(np.nanmean(ranking.recall(scores, hidden, given))), 4))


def market_rows(seeds=10):
    tried = {(t, n, arm, i): np.mean([market_run(arm, t, n, s, setting)["recall"] for s in TUNING])
             for t in MARKETS for n in FILES for arm, settings in ARMS.items() for i, setting in enumerate(settings)}
    rows = []
    for t in MARKETS:
        for n in FILES:
            for arm, settings in ARMS.items():
                others = [np.mean([tried[m, n, arm, i] for m in MARKETS if m != t]) for i in range(len(settings))]
                setting = settings[int(np.argmax(others))]
                found = [market_run(arm, t, n, s, setting) for s in range(seeds)]
                rows.append(dict(target=t, files=n, arm=arm, setting=str(setting), auc=[f["auc"] for f in found], recall=[f["recall"] for f in found]))
    return dict(markets=rows)


# --- four ways to split -----------------------------------------------------------------------------------------------

def split_scores(model, train, given, setting):
    if model == "popularity": return np.repeat(train.mean(0)[None], len(given), 0)
    if model == "EASE": return given @ recommendation.ease(train, setting)
    _, v = recommendation.als(train, setting)
    return recommendation.half_step(given, v) @ v.T


def split_run(how, model, files, seed, setting):
    """The same test files and hidden uses each time; what differs is which rows were there to learn from."""
    t = table()
    rng = np.random.default_rng(seed)
    some = rng.permutation(len(t.x))[:files]
    x, markets = t.x[some], t.market[some]
    given, hidden = ranking.hide(x, 0.3, seed)
    test = np.arange(len(x)) < len(x) // 5
    good = test & (given.sum(1) > 0) & (hidden.sum(1) > 0)
    parts = [(np.where(test[:, None], given, x), good)] if how == "by use" else [(x[~test], good)]
    if how == "by library": parts = [(x[markets != m], good & (markets == m)) for m in sorted(set(markets[good]))]
    found = []
    for train, rows in parts:
        scores = split_scores(model, train, given[rows], setting)
        found.append([ranking.auc(scores, hidden[rows], given[rows]), ranking.recall(scores, hidden[rows], given[rows])])
    right, share = (np.nanmean(np.concatenate(part)) for part in zip(*found))
    return dict(auc=round(float(right), 4), recall=round(float(share), 4))


def split_rows(seeds=5, more=20):
    grid = {"popularity": [0], "EASE": [30.0, 100.0, 300.0, 1000.0], "ALS": [4, 8, 16, 32]}
    rows = []
    for files in (100, len(table().x)):
        for how in ("by use", "by file", "by library"):
            for model, settings in grid.items():
                right = [np.mean([split_run(how, model, files, s, setting)["recall"] for s in TUNING[:2]]) for setting in settings]
                setting = settings[int(np.argmax(right))]
                found = [split_run(how, model, files, s, setting) for s in range(more if files == 100 else seeds)]
                rows.append(dict(files=files, split=how, model=model, setting=setting, auc=[f["auc"] for f in found], recall=[f["recall"] for f in found]))
    return dict(splits=rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--movielens", action="store_true")
    parser.add_argument("--only", nargs="*")
    args = parser.parse_args()
    if args.movielens:
        print(json.dumps(cold_rows("movies"), indent=1))
        raise SystemExit
    part, before = cache_dir() / "recommendation.part.json", Path("nbs/results/recommendation.json")
    found = json.loads(part.read_text()) if part.exists() else {}
    if args.only and not found: found = {k: v for k, v in json.loads(before.read_text()).items() if k not in (*args.only, "environment")}
    parts = {"cold": cold_rows, "few": lambda: few_rows(found["cold_settings"]), "markets": market_rows, "splits": split_rows}
    records.by_parts(part, {name: make for name, make in parts.items() if name not in found}, found)
    facts = dict(seeds={"cold": len(SEEDS), "few": len(SEEDS), "markets": 10, "splits of 100 files": 20, "splits of all files": 5}, tuning=list(TUNING), table=uses.numpy_uses().card["sha256"])
    records.write_result("recommendation", found | facts)
    part.unlink()

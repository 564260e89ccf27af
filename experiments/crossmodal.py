"""Things by their names -> nbs/results/crossmodal.json: classes of ImageNet, CIFAR-10, ants and bees, emoji.

    python experiments/crossmodal.py --cifar cifar10-jpeg.tar --ants hymenoptera_data.zip [--only rows pictures emoji languages towers]   # about 12 minutes of one core

rows: from MiniLM's vector of a class's name to what EfficientNet-Lite0's head holds for the class; 800 classes to learn from, 200 to find.
pictures: the same map, with pictures in place of the head's rows; ConSE (Norouzi et al. 2014) and probes on a few labels as rivals.
emoji: pictures of 243 things that the map has not seen, by three artists; the same thing as another artist draws it.
languages: the same things by their names in Unicode's CLDR, which the package `emoji` brings in thirteen languages beside English (pip install emoji==2.16.0; only this part needs it).
towers: two linear towers and InfoNCE, on the same pairs as the ridge.
Strengths, dropout and temperature are chosen on splits 100 and 101, by a fifth of their training things. A part that stands in "seconds" of the result is not done again, nor is a seed of the towers that it holds: take them out of the file for that. What was stopped goes on from crossmodal.part.json in the cache folder.
The tar holds train|test/CLASS/*.jpg. The features of the pictures are kept in the cache folder.
"""
import argparse
import io
import json
import tarfile
import time
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize
from transformers import AutoTokenizer

from transfer_course import backbones, data, emoji, features, named, records
from transfer_course.crossmodal import conse, fit_towers, found_often, places
from transfer_course.files import cache_dir, cached, write_whole
from transfer_course.recommendation import text_map
from transfer_course.tasks import sample_per_class, stratified
from transfer_course.weights import checked_path

STRENGTHS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
SEEDS, TUNING = range(10), (100, 101)
CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
SIZE, ARTIST = 128, "openmoji"


def share(found, k): return round(float((found <= k).mean()), 4)
def tops(found, *ks): return {f"top{k}": share(found, k) for k in ks}
def scored(found): return tops(found, 1, 5) | dict(median=float(np.median(found)))
def short(found): return tops(found, 1, 5, 10)
def centred(z, mean): return normalize(z - mean)


# --- rows: the classes of ImageNet ------------------------------------------------------------------------------------

@lru_cache
def world():
    """The head's rows, their mean removed, of length 1; and the vectors of each way to name them."""
    w = named.class_rows(backbones.load("efficientnet_lite0"))
    return normalize(w - w.mean(0)), {way: named.name_vectors(texts) for way, texts in named.class_texts().items()}


def split(seed, n=1000, test=0.2):
    order = np.random.default_rng(seed).permutation(n)
    cut = round(n * (1 - test))
    return order[:cut], order[cut:]


def guessed(source, target, train, new, strength, shuffle=None, asked=None):
    """Where the new ones of the source should lie among those of the target; `asked`: the new ones are asked by these in place of the source's."""
    given = train if shuffle is None else np.random.default_rng(shuffle).permutation(train)
    return normalize(text_map(source[given], target[train], strength)((source if asked is None else asked)[new]))


def chosen(source, target, n=1000, turned=False, asked=None):
    """The strength that is best on a fifth of the training things of two further splits; `turned`: each of the target looks for its source."""
    right = {s: [] for s in STRENGTHS}
    for seed in TUNING:
        train, _ = split(seed, n)
        fit, valid = train[:len(train) * 4 // 5], train[len(train) * 4 // 5:]
        for s in STRENGTHS:
            scores = guessed(source, target, fit, valid, s, asked=asked) @ normalize(target[valid]).T
            right[s].append((places(scores.T if turned else scores) <= 5).mean())
    return max(STRENGTHS, key=lambda s: np.mean(right[s]))


def rows():
    w, texts = world()
    found, strengths = [], {}
    for way, t in texts.items():
        best = strengths[way] = chosen(t, w)
        for seed in SEEDS:
            train, new = split(seed)
            guess = guessed(t, w, train, new, best)
            found.append(dict(text=way, seed=seed, **scored(places(guess @ w[new].T))))
    way = "synonyms, definition"
    for seed in SEEDS:
        train, new = split(seed)
        found.append(dict(text=f"{way}; all 1,000 to choose from", seed=seed, **scored(places(guessed(texts[way], w, train, new, strengths[way]) @ w.T, new))))
        found.append(dict(text="another's name", seed=seed, **scored(places(guessed(texts[way], w, train, new, strengths[way], shuffle=seed) @ w[new].T))))
    return dict(rows=found, strengths=strengths)


def fewer(strengths):
    """How many classes the map learns from."""
    w, texts = world()
    return dict(classes=[dict(text=way, classes=n, seed=seed, top1=share(places(guessed(texts[way], w, split(seed)[0][:n], split(seed)[1], strengths[way]) @ w[split(seed)[1]].T), 1))
                         for way in ("first name", "synonyms, definition") for n in (50, 100, 200, 400, 800) for seed in SEEDS])


def hubness(scores):
    often = found_often(scores)
    return dict(never=round(float((often == 0).mean()), 4), top1=share(places(scores), 1))


def breaks(strengths):
    """Seen classes held back by a penalty; dogs; hubs where names are moved to the classes, or classes to the names."""
    w, texts = world()
    t, best = texts["synonyms, definition"], strengths["synonyms, definition"]
    penalties, dogs, hubs = [], [], []
    for seed in SEEDS:
        train, new = split(seed)
        asked = np.r_[new, train[:200]]  # as many names that the map has learned from
        guess = guessed(t, w, train, asked, best) @ w.T
        known = np.isin(np.arange(1000), train)
        for p in (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5):
            at = places(guess - p * known, asked)
            penalties.append(dict(penalty=p, seed=seed, unseen=share(at[:200], 1), seen=share(at[200:], 1)))
        others = np.setdiff1d(np.arange(1000), named.DOGS)
        order = np.random.default_rng(seed).permutation(others)
        few, some = order[:764], order[764:]  # 118 others to find, as many as dogs
        dogs.append(dict(seed=seed, dogs=scored(places(guessed(t, w, few, named.DOGS, best) @ w[named.DOGS].T)), others=scored(places(guessed(t, w, few, some, best) @ w[some].T))))
        for s in STRENGTHS[:7]:
            to_classes = w[new] @ guessed(t, w, train, new, s).T  # each class looks for its name
            to_names = guessed(w, t, train, new, s) @ normalize(t[new] - t[train].mean(0)).T
            hubs += [dict(way=way, strength=s, seed=seed, **hubness(scores)) for way, scores in (("names moved", to_classes), ("classes moved", to_names))]
    return dict(penalties=penalties, dogs=dogs, hubs=hubs)


# --- pictures: CIFAR-10, ants and bees -------------------------------------------------------------------------------

def of_tar(path, part, per_class):
    """The first pictures of each class, by name: uint8 N×3×32×32 and labels."""
    x, y = [], []
    with tarfile.open(path) as tar:
        files = sorted((m for m in tar.getmembers() if m.isfile() and f"{part}/" in m.name), key=lambda m: m.name)
        for c, name in enumerate(CIFAR10):
            for m in [m for m in files if m.name.split("/")[-2] == name][:per_class]:
                x.append(np.asarray(Image.open(io.BytesIO(tar.extractfile(m).read())).convert("RGB")))
                y.append(c)
    return torch.from_numpy(np.stack(x)).permute(0, 3, 1, 2).contiguous(), np.array(y)


def seen(key, make, size):
    """Features of pictures, kept: z N×1280 and their labels."""
    def read():
        x, y = make()
        net = backbones.load("efficientnet_lite0", size=size)
        return dict(z=backbones.batched(net.features, x).numpy(), y=np.asarray(y))
    found = cached(f"crossmodal-{key}-{size}-1", read)
    return found["z"].astype(float), found["y"]


def by_name(z, guess, mean): return centred(z, mean) @ guess.T
def right(scores, y): return round(float((scores.argmax(1) == y).mean()), 4)


def cifar_rows(path, strengths):
    w, texts = world()
    net = backbones.load("efficientnet_lite0")
    z, y = seen("cifar-test", lambda: of_tar(path, "test", 200), SIZE)
    zt, yt = seen("cifar-train", lambda: of_tar(path, "train", 100), SIZE)
    shares, found = named.class_shares(net, torch.from_numpy(z).float()), []
    names = named.name_vectors(CIFAR10)
    close = (texts["all synonyms"] @ names.T).max(1)  # how near the nearest of the ten names is
    everything = np.arange(1000)
    for draw in range(5):
        i = np.concatenate([np.flatnonzero(y == c)[40 * draw:40 * draw + 40] for c in range(10)])
        mean = np.delete(z, i, 0).mean(0)  # of the other pictures, without labels
        def add(way, scores, draw=draw, i=i): found.append(dict(way=way, draw=draw, accuracy=right(scores, y[i])))
        for way in ("first name", "a photo of a …", "all synonyms", "synonyms, definition"):
            ten = named.name_vectors([f"a photo of a {c}" for c in CIFAR10]) if way.startswith("a photo") else names
            guess = normalize(text_map(texts[way], w, strengths[way])(ten))
            add(way, by_name(z[i], guess, mean))
            if way != "all synonyms": continue
            add("all synonyms, pictures not centred", normalize(z[i]) @ guess.T)
            wrong = np.random.default_rng(draw).permutation(everything)
            add("names of others", by_name(z[i], normalize(text_map(texts[way][wrong], w, strengths[way])(ten)), mean))
            for limit in (0.6, 0.5, 0.4, 0.35):
                far = np.flatnonzero(close < limit)
                add(f"without {1000 - len(far)} near classes", by_name(z[i], normalize(text_map(texts[way][far], w[far], strengths[way])(ten)), mean))
                add(f"ConSE, without {1000 - len(far)} near classes", normalize(conse(unit_rows(shares[i][:, far]), texts[way][far])) @ names.T)
            add("ConSE", normalize(conse(shares[i], texts[way])) @ names.T)
        for k in (1, 2, 3, 5, 10, 20):
            j = sample_per_class(torch.from_numpy(yt), k, seed=draw).numpy()
            probe = features.linear_probe(zt[j], yt[j])
            found.append(dict(way="probe", labels=k, draw=draw, accuracy=round(float(probe.score(z[i], y[i])), 4)))
    return found


def unit_rows(p): return p / p.sum(1, keepdims=True)


def ants_rows(path, strengths):
    w, texts = world()
    net = backbones.load("efficientnet_lite0")

    def read():
        task = data.from_folder(data.extract(path, cache_dir() / "ants-archive") / "hymenoptera_data", 160)
        assert task.classes == ["ants", "bees"]
        return torch.cat([task.x_train, task.x_test]), torch.cat([task.y_train, task.y_test]).numpy()
    z, y = seen("ants", read, 160)
    shares, found = named.class_shares(net, torch.from_numpy(z).float()), []
    two, mean = [310, 309], z.mean(0)  # ant, bee
    rest = np.setdiff1d(np.arange(1000), two)
    add = lambda way, draw, scores: found.append(dict(way=way, draw=draw, accuracy=right(scores, y)))
    add("the head's own rows", 0, by_name(z, w[two], mean))
    for draw in range(10):
        few = np.random.default_rng(draw).permutation(rest)[:800]
        for way, t in texts.items(): add(way, draw, by_name(z, normalize(text_map(t[few], w[few], strengths[way])(t[two])), mean))
        t = texts["synonyms, definition"]
        plain = named.name_vectors(["ant", "bee"])
        add("learned from definitions, asked with a word", draw, by_name(z, normalize(text_map(t[few], w[few], strengths["synonyms, definition"])(plain)), mean))
        add("ConSE, all synonyms", draw, normalize(conse(unit_rows(shares[:, few]), texts["all synonyms"][few])) @ texts["all synonyms"][two].T)
        add("ConSE, synonyms, definition", draw, normalize(conse(unit_rows(shares[:, few]), texts["synonyms, definition"][few])) @ texts["synonyms, definition"][two].T)
    return found


def pictures(cifar, ants, strengths): return dict(cifar=cifar_rows(cifar, strengths), ants=ants_rows(ants, strengths))


# --- emoji -----------------------------------------------------------------------------------------------------------------

@lru_cache
def drawings():
    """{artist: N×1280, the artist's mean removed, length 1}, the vectors of the names, and of the short names."""
    table = emoji.things()
    z = {artist: seen(f"emoji-{artist}", lambda artist=artist: (emoji.pictures(artist), np.zeros(len(table))), 96)[0] for artist in emoji.ARTISTS}
    return {a: normalize(v - v.mean(0)) for a, v in z.items()}, {"name": named.name_vectors(list(table.name)), "short names": named.name_vectors(list(table.also))}, table


def emoji_rows():
    z, texts, table = drawings()
    n, named_rows, other, groups = len(table), [], [], []
    for kind, t in texts.items():
        for learned in z:
            best = chosen(t, z[learned], n)
            for seed in range(5):
                train, new = split(seed, n)
                guess = guessed(t, z[learned], train, new, best)
                for shown in z:
                    if kind == "short names" and shown != learned: continue
                    scores = guess @ normalize(z[shown][new]).T
                    both = dict(picture=short(places(scores)), name=short(places(scores.T)))
                    named_rows.append(dict(text=kind, learned=learned, shown=shown, seed=seed, **(both if shown == learned else dict(name=dict(top5=both["name"]["top5"])))))
            if kind == "name":
                for seed in range(5):
                    train, new = split(seed, n)
                    scores = guessed(t, z[learned], train, new, best, shuffle=seed) @ normalize(z[learned][new]).T
                    named_rows.append(dict(text="another's name", learned=learned, shown=learned, seed=seed, picture=short(places(scores)), name=short(places(scores.T))))
    for a in z:
        for b in z:
            if a == b: continue
            for seed in range(5):
                new = split(seed, n)[1]
                other.append(dict(given=a, sought=b, seed=seed, **short(places(z[a][new] @ z[b][new].T))))
    for seed in range(5):
        y = np.array([emoji.GROUPS.index(g) for g in table.group])
        i, j = stratified(torch.from_numpy(y), 0.5, seed, "test", emoji.GROUPS)
        for a in z:
            probe = features.linear_probe(z[a][i], y[i])
            groups += [dict(learned=a, shown=b, seed=seed, accuracy=round(float(probe.score(z[b][j], y[j])), 4)) for b in z]
    return dict(emoji=named_rows, artists=other, groups=groups, largest_group=round(float(table.group.value_counts().iloc[0] / n), 4))


# --- names in other languages ----------------------------------------------------------------------------------------------

LANGUAGES = {"en": "English", "de": "German", "fr": "French", "es": "Spanish", "it": "Italian", "pt": "Portuguese", "id": "Indonesian", "tr": "Turkish", "ru": "Russian",
             "ar": "Arabic", "fa": "Persian", "zh": "Chinese", "ja": "Japanese", "ko": "Korean"}


def cldr_names():
    """{language: names of the 1,216 things}"""
    import emoji as package
    package.config.load_language()
    signs = [chr(int(code, 16)) for code in emoji.things().code]
    rows = [package.EMOJI_DATA[s if s in package.EMOJI_DATA else s + "\ufe0f"] for s in signs]
    return {name: [r[code].strip(":").replace("_", " ") for r in rows] for code, name in LANGUAGES.items()}


def letters(texts):
    """Counted sequences of one to four letters, as many numbers as MiniLM gives: what can be known without knowing a word."""
    counts = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), sublinear_tf=True).fit_transform(texts)
    return normalize(TruncatedSVD(384, random_state=0).fit_transform(counts))


def unknown_share(texts):
    """The share of pieces that are the same to MiniLM, because it has none for them."""
    split_up = AutoTokenizer.from_pretrained(checked_path("minilm").parent, local_files_only=True)
    pieces = [p for t in texts for p in split_up.tokenize(t)]
    return round(pieces.count(split_up.unk_token) / len(pieces), 4)


def language_rows():
    z, names, rows = drawings()[0][ARTIST], cldr_names(), []
    read = {language: named.name_vectors(texts) for language, texts in names.items()}
    unknown = {language: unknown_share(texts) for language, texts in names.items()}
    for language, texts in names.items():
        counted = letters(texts)
        ways = {"its own names": (read[language], read[language]), "English names": (read["English"], read[language]), "its own names, letters counted": (counted, counted)}
        for way, (learned, asked) in ways.items():
            best, found, wrong = chosen(learned, z, len(z), asked=asked), [], []
            for seed in range(5):
                train, new = split(seed, len(z))
                target = normalize(z[new])
                for shares, shuffle in ((found, None), (wrong, seed)):
                    shares.append(share(places(guessed(learned, z, train, new, best, shuffle, asked) @ target.T), 5))
            rows.append(dict(language=language, learned=way, strength=best, top5=found))
            if way == "its own names": rows.append(dict(language=language, learned="another's name", strength=best, top5=wrong))
        print(language, *(np.mean(r["top5"]).round(3) for r in rows[-4:]), flush=True)
    return dict(languages=rows, unknown=unknown)


# --- two towers --------------------------------------------------------------------------------------------------------

def tensors():
    z, texts, _ = drawings()
    wide = lambda v: torch.from_numpy(v * v.shape[1] ** 0.5).float()
    return {a: wide(v) for a, v in z.items()}, wide(texts["name"])


def towers_run(train, new, seed, artists=(ARTIST,), **how):
    z, t = tensors()
    x = torch.cat([z[a][train] for a in artists])
    towers = fit_towers(x, t[train].repeat(len(artists), 1), seed=seed, **how)
    with torch.no_grad(): u, v = (part.double().numpy() for part in towers(z[ARTIST][new], t[new]))
    return tops(places(u @ v.T), 5, 10)


GRID = [dict(dropout=d, temperature=s) for d, s in ((0.0, 0.07), (0.3, 0.07), (0.5, 0.07), (0.7, 0.07), (0.8, 0.07), (0.7, 0.2), (0.7, 0.03), (0.5, 0.2))]
WAYS = {"as chosen": {}, **{f"temperature {s:g}": dict(temperature=s) for s in (0.01, 0.2, 1.0)}, **{f"batch {b}": dict(batch=b) for b in (8, 32)}}


def tower_tried():
    """The settings on the validation things: dropout and temperature, 300 steps of 256."""
    train, _ = split(TUNING[0], len(drawings()[2]))
    fit, valid = train[:len(train) * 4 // 5], train[len(train) * 4 // 5:]
    tried = [how | dict(top5=towers_run(fit, valid, 100, **how)["top5"]) for how in GRID]
    return dict(tower_tried=tried)


def towers(found):
    """A seed at a time, kept in `found` as soon as it is done."""
    z, texts, table = drawings()
    n, strength = len(table), chosen(texts["name"], z[ARTIST], len(table), turned=True)
    best = {k: max(found["tower_tried"], key=lambda r: r["top5"])[k] for k in ("dropout", "temperature")}
    found |= dict(tower_settings=best, tower_strength=strength)
    rows = found.setdefault("towers", [])
    for seed in sorted(set(range(5)) - {r["seed"] for r in rows}):
        train, new = split(seed, n)
        guess = guessed(texts["name"], z[ARTIST], train, new, strength) @ normalize(z[ARTIST][new]).T
        more = [dict(way="ridge", seed=seed, **tops(places(guess.T), 5, 10))]
        more += [dict(way=way, seed=seed, **towers_run(train, new, seed, **(best | how))) for way, how in WAYS.items()]
        more += [dict(way=f"{few} things", seed=seed, **towers_run(train[:few], new, seed, **best)) for few in (122, 243, 486)]
        more.append(dict(way="three artists", seed=seed, **towers_run(train, new, seed, artists=tuple(z), **best)))
        rows += more
        yield found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cifar")
    parser.add_argument("--ants")
    parser.add_argument("--only", nargs="*")
    args = parser.parse_args()
    part, before = cache_dir() / "crossmodal.part.json", Path("nbs/results/crossmodal.json")
    found = json.loads(part.read_text()) if part.exists() else json.loads(before.read_text()) if before.exists() else {}
    seconds = found.setdefault("seconds", {})
    def keep(): write_whole(part, json.dumps(found))
    parts = {"rows": rows, "fewer": lambda: fewer(found["strengths"]), "breaks": lambda: breaks(found["strengths"]),
             "pictures": lambda: pictures(args.cifar, args.ants, found["strengths"]), "emoji": emoji_rows, "languages": language_rows, "tried": tower_tried}
    records.by_parts(part, {name: make for name, make in parts.items() if name not in seconds and name in (args.only or parts)}, found)
    if not args.only or "towers" in args.only:
        start = time.perf_counter()
        for _ in towers(found): keep()
        seconds["towers"] = round(seconds.get("towers", 0) + time.perf_counter() - start, 1)
        keep()
    found.pop("environment", None)
    records.write_result("crossmodal", found | dict(seeds={"rows": len(SEEDS), "emoji": 5, "towers": 5, "cifar": 5, "ants": 10}, tuning=list(TUNING)))
    part.unlink(missing_ok=True)

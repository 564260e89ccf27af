"""Names and domains without training of the network, every arm with its settings chosen -> nbs/results/names_domains.json

    python experiments/names_domains.py   # some minutes; stopped and called again, it goes on

The networks fine-tuned for names are rows of language.json. Here are the taggers that train no network, and the classifiers carried to another
domain. C and layers are chosen by cross-validation within the training sentences, or the source's reviews.
"""
from functools import cache

import numpy as np
from sklearn.model_selection import GridSearchCV, StratifiedKFold, train_test_split

from transfer_course import backbones, features, language, names_domains, records
from transfer_course.language import extract

SEEDS = range(5)
DOMAINS = ("films", "restaurants", "gadgets")


@cache
def net(): return backbones.load("minilm")


# --- names ------------------------------------------------------------------------------------------------------------

def names(method, sentences, seed):
    """Entity F1 on test sentences; C and the layer chosen across families of the training sentences."""
    train, test = language.split_entities(language.entities())
    if sentences != "all": train = [train[i] for i in np.random.default_rng(seed).permutation(len(train))[:sentences]]
    right = [t for _, t in test]
    if method == "words and shapes": tagger = names_domains.classic_tagger(train)
    else: tagger = names_domains.probe_tagger(net(), train, net().stages if method == "frozen + probe" else ["layer6"])
    chosen = dict(stage=tagger.stage) if method != "words and shapes" else {}
    return dict(f1=round(names_domains.entity_f1(right, tagger([w for w, _ in test])), 4), C=tagger.C, train_sentences=len(train), **chosen)


# --- domains ------------------------------------------------------------------------------------------------------------

STRENGTHS = {"logisticregression__C": [0.0001, 0.001, 0.01, 0.1]}  # of the grid of `language.by_folds`, what hundreds of reviews may choose


def chosen(z, y):
    """As `language.chosen_probe`, with fewer strengths."""
    how = dict(scoring="neg_log_loss", cv=StratifiedKFold(5))
    found = {s: GridSearchCV(language.plain_probe(), STRENGTHS, **how).fit(v, y) for s, v in z.items()}
    stage = max(found, key=lambda s: found[s].best_score_)
    return stage, found[stage].best_estimator_


@cache
def source_bag(source, seed):
    a = source_probe(source, seed)[0]
    return language.chosen_bag(a.text, a.label)


@cache
def source_probe(source, seed):
    """Four fifths of a source's reviews, and the layer and C chosen among them."""
    t = language.review_table()
    a = t[t.domain == source].groupby("label").sample(frac=0.8, random_state=seed)
    z = extract(net(), list(t.text))
    rows = a.index.to_numpy()
    stage, probe = chosen({s: v.numpy()[rows] for s, v in z.items()}, a.label)
    return a, stage, probe, {s: v.numpy() for s, v in z.items()}


@cache
def last_probe(source, seed):
    a, _, _, z = source_probe(source, seed)
    return chosen({"layer6": z["layer6"][a.index]}, a.label)


def domains(source, target, method, seed):
    """Trained on four fifths of the source's reviews, tested on all of the target's, whose labels are not used."""
    t = language.review_table()
    a, stage, probe, z = source_probe(source, seed)
    b = t[t.domain == target]
    if method == "TF-IDF":
        return dict(accuracy=round(source_bag(source, seed).score(b.text, b.label), 4))
    if method == "last layer": stage, probe = last_probe(source, seed)
    zs, zt, ys, yt, C = z[stage][a.index], z[stage][b.index], a.label.to_numpy(), b.label.to_numpy(), float(probe[-1].C)
    if method == "self-training": probe = names_domains.self_train(zs, ys, zt, C=C)
    if method == "CORAL": probe = features.linear_probe(names_domains.coral(zs, zt), ys, C=C)
    if method == "target's own labels":
        i, j = train_test_split(np.arange(len(yt)), test_size=0.2, stratify=yt, random_state=seed)
        _, probe = chosen({stage: zt[i]}, yt[i])
        zt, yt = zt[j], yt[j]
    return dict(accuracy=round(float(probe.score(zt, yt)), 4), stage=stage, C=C)


def plan():
    rows = [dict(part="names", method=m, sentences=n, seed=i) for n in (10, 40, "all") for m in ("words and shapes", "frozen + probe", "last layer")
            for i in (SEEDS if n != "all" else [0])]
    return rows + [dict(part="domains", source=a, target=b, method=m, seed=i) for a in DOMAINS for i in SEEDS for b in DOMAINS if a != b
                   for m in ("TF-IDF", "last layer", "source only", "self-training", "CORAL", "target's own labels")]


def main(): records.sweep("names_domains", plan(), lambda part, **c: dict(names=names, domains=domains)[part](**c), seeds=list(SEEDS))


if __name__ == "__main__":
    main()

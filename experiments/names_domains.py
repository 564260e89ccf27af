"""Names without training of the network, every arm with its settings chosen -> nbs/results/names_domains.json

    python experiments/names_domains.py   # some minutes; stopped and called again, it goes on

The networks fine-tuned for names are rows of language.json. Here are the taggers that train no network. C and layers are chosen by
cross-validation across families of the training sentences.
"""
from functools import cache

import numpy as np

from transfer_course import backbones, language, names_domains, records

SEEDS = range(5)


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


def plan():
    return [dict(part="names", method=m, sentences=n, seed=i) for n in (10, 40, "all") for m in ("words and shapes", "frozen + probe", "last layer")
            for i in (SEEDS if n != "all" else [0])]


def main(): records.sweep("names_domains", plan(), lambda part, **c: names(**c), seeds=list(SEEDS))


if __name__ == "__main__":
    main()

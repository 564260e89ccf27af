"""Wrong answers to homework 5 with a part of the message that each shall get, and right ones with the rounding of single precision."""
import re

import numpy as np
from scipy import stats


def swap(text, pairs, both=True, capital=True):
    partner = {a.lower(): b.lower() for a, b in pairs} | ({b.lower(): a.lower() for a, b in pairs} if both else {})
    def other(match):
        word = match[0]
        new = partner.get(word.lower(), word)
        return new[0].upper() + new[1:] if capital and word[0].isupper() else new
    return re.sub(r"\w+", other, text)


def by_letters(text, pairs):
    for a, b in pairs: text = text.replace(a, "\1").replace(b, a).replace("\1", b)
    return text


def gap(a, b, paired=True, factor=None, ddof=1):
    a, b = np.asarray(a, float), np.asarray(b, float)
    spread = (a - b).std(ddof=ddof) if paired else (a.var(ddof=1) + b.var(ddof=1))**0.5
    reach = (factor or stats.t.ppf(0.975, len(a) - 1)) * spread / len(a)**0.5
    return (a - b).mean(), (a - b).mean() - reach, (a - b).mean() + reach


def effect(x, y, a, b, cosine=True, ddof=1, common=True):
    def unit(v): return v / np.linalg.norm(v, axis=1, keepdims=True) if cosine else v
    lx, ly = ((unit(v) @ unit(a).T).mean(1) - (unit(v) @ unit(b).T).mean(1) for v in (x, y))
    spread = np.concatenate([lx, ly]).std(ddof=ddof) if common else ((lx.var(ddof=1) + ly.var(ddof=1)) / 2)**0.5
    return (lx.mean() - ly.mean()) / spread


def weights(ys, gs, y=True, g=True, both=True):
    ys, gs = np.array(ys), np.array(gs)
    def share(v): return np.array([(v == t).mean() for t in v])
    w = (share(ys) if y else 1) * (share(gs) if g else 1) / (np.array([((ys == a) & (gs == b)).mean() for a, b in zip(ys, gs)]) if both else share(gs))
    return w if y and g and both else w / w.mean()


def mixed(right, groups, mix, weigh=True, divide=True, none=True):
    right, groups = np.array(right, float), np.array(groups)
    mix = {g: f for g, f in mix.items() if f > 0}
    if none and not set(mix) <= set(groups): return None
    found = {g: right[groups == g].mean() for g in mix if g in groups}
    total = sum(mix[g] * v for g, v in found.items())
    if not weigh: return float(np.mean(list(found.values())))
    return float(total / (sum(mix[g] for g in found) if divide else 1))


def share(base, chance, precision, none=True):
    value = base / (1 - base) * (1 - precision) / precision * chance
    return None if none and value > 1 else value


WRONG = [
    ("swapped", lambda t, p: t, "no word was swapped"), ("swapped", by_letters, "inside other words|came"), ("swapped", lambda t, p: swap(t, p, both=False), "one direction|came"),
    ("swapped", lambda t, p: swap(t, p, capital=False), "capital|came"), ("swapped", lambda t, p: None, "must give a text"),
    ("gap_interval", lambda a, b: gap(a, b, paired=False), "differences"), ("gap_interval", lambda a, b: gap(a, b, factor=1.96), "1.96|four differences"), ("gap_interval", lambda a, b: gap(a, b, ddof=0), "n − 1|four differences"),
    ("gap_interval", lambda a, b: gap(b, a), "0.5, not|second minus first"), ("gap_interval", lambda a, b: 0.5, "3 numbers"),
    ("lean", lambda *v: effect(*v, cosine=False), "not|lengths"), ("lean", lambda *v: effect(*v, ddof=0), "not|n − 1"), ("lean", lambda *v: effect(*v, common=False), "not|all things"),
    ("lean", lambda x, y, a, b: effect(y, x, a, b), "above 0"), ("lean", lambda *v: v[0], "one number"),
    ("fair_weights", lambda y, g: weights(y, g, y=False, g=False), "equally heavy|half of all"), ("fair_weights", lambda y, g: weights(y, g, both=False), "groups only|half of all"),
    ("fair_weights", lambda y, g: [1.] * len(y), "half of all"), ("fair_weights", lambda y, g: 1., "6 numbers"),
    ("average", lambda r, g, m: float(np.mean(r)), "equally frequent"), ("average", lambda r, g, m: mixed(r, g, m, weigh=False), "weighted equally"), ("average", lambda r, g, m: mixed(r, g, m, divide=False), "equally frequent|divided"),
    ("average", lambda r, g, m: mixed(r, g, m, none=False), "nothing is known"), ("average", lambda r, g, m: [1], "one number"),
    ("false_yes", lambda b, c, p: 1 - p, "is None|all yes|one as well|90 right"), ("false_yes", lambda b, c, p: share(b, 1, p), "80%|missing"), ("false_yes", lambda b, c, p: share(b, c, p, none=False), "90 wrong"),
    ("false_yes", lambda b, c, p: "0.2", "one number"),
]


def f32(values): return [float(np.float32(v)) for v in values]


RIGHT = {"gap_interval": lambda f: lambda a, b: f32(f(a, b)), "lean": lambda f: lambda *v: f(*(np.float32(u) for u in v)),
         "fair_weights": lambda f: lambda y, g: f32(f(y, g)), "average": lambda f: lambda *a: None if f(*a) is None else float(np.float32(f(*a))),
         "false_yes": lambda f: lambda *a: None if f(*a) is None else float(np.float32(f(*a)))}

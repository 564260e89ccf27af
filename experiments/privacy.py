"""What heads and networks give away, and what protection costs -> nbs/results/privacy.json.

    python experiments/privacy.py [--minutes 8] [--only PART …]     # about 25 minutes on one core; goes on where it stopped

Settings are chosen on validation data of another seed (100), the same number of learning rates for every arm; where the best is the first or
the last of them, further ones are tried. With private data this choice would have to be paid for as well; it is not in the account.
"""
import argparse
import json
import time
from functools import lru_cache, partial

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn
from torchvision.transforms.v2.functional import resize

from transfer_course import backbones, data, features, language, privacy, records, texts, training
from transfer_course.files import cache_dir
from transfer_course.finetuning import param_groups
from transfer_course.frozen import split_at
from transfer_course.private import private_fit
from transfer_course.probes import CommonScaler
from transfer_course.shadows import halves, shadow_heads, sureness
from transfer_course.tasks import Task

SEEDS, TUNING = range(5), 100
PART = cache_dir() / "privacy.rows.part"
kept, finish = {}, [0.0]


class OutOfTime(Exception): pass


def remember():
    """What earlier calls, or one that runs beside this one, have measured."""
    if PART.exists(): kept.update(json.loads(line) for line in PART.read_text(encoding="utf-8").splitlines() if line.endswith("]"))


def once(key, f, *args, **how):
    """The row of a key: from the file of an earlier call, or measured now by f."""
    name = json.dumps(key)
    if name not in kept: remember()
    if name not in kept:
        if time.time() > finish[0]: raise OutOfTime
        start = time.perf_counter()
        kept[name] = f(*args, **how) | {"seconds": round(time.perf_counter() - start, 2)}
        with open(PART, "a", encoding="utf-8") as out: out.write(json.dumps([name, kept[name]]) + "\n")
        print(name, kept[name], flush=True)
    return kept[name]


def chosen(key, grid, score, factor=3.0, most=3):
    """The rate with the best validation accuracy; the grid goes on where the best is at its edge. -> best, {rate: accuracy}"""
    found = {lr: once(["tune", *key, lr], score, lr)["accuracy"] for lr in grid}
    for _ in range(most):
        best = max(found, key=found.get)
        more = best / factor if best == min(found) else best * factor if best == max(found) else None
        if more is None or more > 10: break
        more = float(f"{more:.2g}")
        found[more] = once(["tune", *key, more], score, more)["accuracy"]
    return max(found, key=found.get), found


# --- membership -------------------------------------------------------------------------------------------------------

def unit(z): return torch.nn.functional.normalize(torch.as_tensor(z), dim=1)


@lru_cache
def letters(): return data.load("letters", size=32)


@lru_cache
def review_features():
    table = texts.review_table()
    z = language.extract(backbones.load("minilm"), texts.Texts(table.text))["layer6"]
    return z, torch.as_tensor(table.label.to_numpy())


@lru_cache
def letter_features(stage=None):
    net, task = backbones.load("coursenet"), letters()
    return [features.extract(net, x, stage) for x in (task.x_train, task.x_test)]


def letter_pool(seed, ordinary=12, wrong=1):
    """Places of 13 letters of each class, their labels, and which are canaries: labelled wrongly on purpose."""
    rng, y = np.random.default_rng(seed), letters().y_train.numpy()
    places = np.stack([rng.permutation(np.flatnonzero(y == c))[:ordinary + wrong] for c in range(26)])
    labels = np.repeat(np.arange(26)[:, None], ordinary + wrong, 1)
    labels[:, ordinary:] = (labels[:, ordinary:] + rng.integers(1, 26, (26, wrong))) % 26
    canary = np.zeros(places.shape, bool)
    canary[:, ordinary:] = True
    return places.ravel(), torch.as_tensor(labels.ravel()), canary.ravel()


def attacks(sure, member, groups):
    """Both attacks on each group of examples."""
    found = {}
    for attack, scores in (("loss", sure), ("LiRA", privacy.lira(sure, member))):
        for group, places in groups.items():
            auc, tpr = privacy.leak(scores[:, places], member[:, places])
            found[f"{attack}, {group}"] = [round(float(auc), 4), round(float(tpr), 4)]
    return found


def heads_of(name, seed, lr, hidden, models, valid=False):
    """Accuracies of many heads, each trained on half of a pool, and both attacks on them."""
    if name == "letters":
        places, y, canary = letter_pool(seed)
        z_all, z_test = letter_features()
        z, y_test = z_all[places], letters().y_test
        if valid: z_test, y_test = other_letters(places, z_all)
    else:
        rng, (z_all, y_all) = np.random.default_rng(seed), review_features()
        order = rng.permutation(len(y_all))
        places, rest = order[:200], order[200:]
        z, y, z_test, y_test, canary = z_all[places], y_all[places], z_all[rest], y_all[rest], np.zeros(200, bool)
    scaler = CommonScaler().fit(z.numpy())
    member, some = halves(len(y), models, seed), 8 if name == "letters" else models  # as many as there are networks
    f = shadow_heads(scaler.transform(z.numpy()).astype(np.float32), y, member, hidden, lr=lr, seed=seed)
    right = (f(scaler.transform(z_test.numpy())).argmax(2) == y_test).float().mean().item()
    scores = f(scaler.transform(z.numpy()))
    own = float(((scores.argmax(2) == y).numpy() & member).sum() / member.sum())
    groups = {"ordinary": ~canary} | ({"wrong labels": canary} if canary.any() else {})
    return dict(accuracy=round(right, 4), members=round(own, 4), **attacks(sureness(scores, y)[:some], member[:some], groups))


def other_letters(places, z):
    """Letters of the training part that are not in the pool, 500 of them, to choose with."""
    rest = np.random.default_rng(0).permutation(np.setdiff1d(np.arange(len(z)), places))[:500]
    return z[rest], letters().y_train[rest]


def tuned_net(places, y, seed, lr, epochs=12):
    """CourseNet, all of it trained on these letters."""
    net = backbones.load("coursenet").replace_head(26, seed=seed)
    task = Task("letters", letters().x_train[places], y, letters().x_train[:1], y[:1], letters().classes)
    training.fit(net, task, epochs, lr, batch_size=32, params=param_groups(net, lr), seed=seed, progress=False)
    return net


def one_network(seed, m, lr, models, valid=False):
    """One fully fine-tuned network of a pool: accuracy, and its sureness of each example."""
    places, y, _ = letter_pool(seed)
    mine = halves(len(y), models, seed)[m]
    net = tuned_net(places[mine], y[mine], 100 * seed + m, lr)
    x_test, y_test = other_letters(places, letters().x_train) if valid else (letters().x_test, letters().y_test)
    scores = backbones.batched(net, letters().x_train[places])
    sure = sureness(scores[None], y)[0]
    own = float((scores.argmax(1) == y).float()[torch.as_tensor(mine)].mean())
    return dict(accuracy=round(training.accuracy(net, x_test, y_test), 4), members=round(own, 4), sure=[round(v, 3) for v in sure])


def networks_of(seed, lr, models, some=8):
    """The first eight of the twelve models that halves divides a pool among: each example was seen by two of them at least, and not by two."""
    rows = [once(["network", seed, m, lr], one_network, seed, m, lr, models) for m in range(some)]
    sure, (_, y, canary) = np.array([r["sure"] for r in rows]), letter_pool(seed)
    found = attacks(sure, halves(len(y), models, seed)[:some], {"ordinary": ~canary, "wrong labels": canary})
    return {k: round(float(np.mean([r[k] for r in rows])), 4) for k in ("accuracy", "members")} | found


def membership(models=12):
    rows, tried = [], {}
    for name in ("reviews", "letters"):
        for head, hidden in (("linear head", 0), ("head with a hidden layer", 256)):
            how = dict(hidden=hidden, models=models if name == "letters" else 16)
            lr, tried[f"{name}, {head}"] = chosen([name, head], (0.001, 0.003, 0.01, 0.03), partial(heads_of, name, TUNING, valid=True, **how))
            rows += [dict(data=name, trained=head, seed=s, lr=lr) | once([name, head, s, lr, "eight"] if name == "letters" else [name, head, s, lr], heads_of, name, s, lr, **how) for s in SEEDS]
    lr, tried["letters, whole network"] = chosen(["letters", "whole network"], (0.001, 0.003, 0.01, 0.03), partial(one_network, TUNING, 0, models=models, valid=True))
    rows += [dict(data="letters", trained="whole network", seed=s, lr=lr) | networks_of(s, lr, models) for s in SEEDS]
    return dict(membership=rows, membership_tried=tried)


# --- differential privacy ---------------------------------------------------------------------------------------------

@lru_cache
def digits(): return data.load("mnist_5k")


@lru_cache
def digit_features():
    """Features of all 5,000 digits. Their own mean would be private: that of the letters, which are public here, is taken away."""
    x, y = torch.cat([digits().x_train, digits().x_test]), torch.cat([digits().y_train, digits().y_test])
    return features.extract(backbones.load("coursenet"), x) - letter_features()[0].mean(0), y


SETS = {"reviews, linear head": (review_features, 620, 0), "reviews, hidden layer": (review_features, 100, 256), "digits, linear head": (digit_features, 4000, 0)}


def head(i, hidden, o, seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(i, hidden), nn.ReLU(), nn.Linear(hidden, o)) if hidden else nn.Linear(i, o)


def dp_head(name, epsilon, seed, lr, epochs=20):
    """A head over frozen features of norm 4, with privacy or without: accuracy, the attack by the loss, the account."""
    get, n, hidden = SETS[name]
    z, y = get()
    order = torch.as_tensor(np.random.default_rng(seed).permutation(len(y)))
    z, y = 4 * unit(z)[order], y[order]
    m = min(len(y) - n, 1000)
    net = head(z.shape[1], hidden, int(y.max()) + 1, seed)
    epochs = epochs if n > 100 else 3 * epochs
    spent = private_fit(net, z[:n], y[:n], epsilon, epochs=epochs, batch_size=min(256, n // 2), lr=lr, seed=seed)
    with torch.no_grad(): scores = net(z[:n + m])
    sure = sureness(scores[None], y[:n + m])[0]
    auc, tpr = privacy.leak(sure, np.arange(n + m) < n)
    right = (scores[n:].argmax(1) == y[n:n + m]).float().mean().item()
    account = {} if spent is None else dict(noise=round(spent.noise, 4), rate=round(spent.rate, 5), steps=spent.steps, spent=round(spent.epsilon, 4), delta=spent.delta)
    return dict(accuracy=round(right, 4), auc=round(float(auc), 4), tpr=round(float(tpr), 4)) | account


def dp_head_twice(name, epsilon, lr):
    """Its accuracy over two draws of training and other rows that are not used again, to choose the rate with."""
    return dict(accuracy=round(float(np.mean([dp_head(name, epsilon, s, lr)["accuracy"] for s in (TUNING, TUNING + 1)])), 4))


def mark(name): return ["dp", f"{name}, centred" if name.startswith("digits") else name]


def private_heads():
    rows, tried = [], {}
    for name in SETS:
        for epsilon in (None, 8.0, 3.0, 1.0, 0.3):
            lr, tried[f"{name}, {epsilon}"] = chosen([*mark(name), epsilon], (0.02, 0.1, 0.5), partial(dp_head_twice, name, epsilon), factor=5.0)
            rows += [dict(task=name, epsilon=epsilon, seed=s, lr=lr) | once([*mark(name), epsilon, s, lr], dp_head, name, epsilon, s, lr) for s in SEEDS]
    return dict(private=rows, private_tried=tried)


# --- what privacy costs with a pretrained trunk, and without ----------------------------------------------------------

def conv_net(seed):
    """Three convolutions with GroupNorm, from random weights."""
    torch.manual_seed(seed)
    def block(i, o, side): return nn.Conv2d(i, o, side, 2, side // 2), nn.GroupNorm(4, o), nn.ReLU()
    return nn.Sequential(*block(1, 16, 5), *block(16, 32, 3), *block(32, 64, 3), nn.Flatten(), nn.Linear(1024, 26))


def grey(x): return x.float().mean(1, keepdim=True) / 255


def pixels(x): return grey(resize(x, [32, 32])).flatten(1)


@lru_cache
def inputs(kind):
    """Training and test inputs of a head, minus the mean of the digits, which are public here; each of length 4."""
    f = pixels if kind == "head over pixels" else partial(features.extract, backbones.load("coursenet"), stage="stage2")
    public = f(resize(digits().x_train[:1000], [32, 32])).mean(0)
    return [4 * unit(f(x) - public) for x in (letters().x_train, letters().x_test)]


def starts(kind, seed):
    """Network, training and test inputs."""
    if kind == "network from scratch": return conv_net(seed), *((grey(x) - 0.13) / 0.31 for x in (letters().x_train, letters().x_test))
    z, z_test = inputs(kind)
    return head(z.shape[1], 0, 26, seed), z, z_test


def cost(kind, epsilon, seed, lr, valid=False, epochs=15):
    net, x, x_test = starts(kind, seed)
    y, y_test = letters().y_train, letters().y_test
    order = torch.as_tensor(np.random.default_rng(seed).permutation(len(y)))
    if valid: x, y, x_test, y_test = x[order[520:]], y[order[520:]], x[order[:520]], y[order[:520]]
    private_fit(net, x, y, epsilon, epochs=epochs, lr=lr, seed=seed)
    with torch.no_grad(): return dict(accuracy=round((net(x_test).argmax(1) == y_test).float().mean().item(), 4))


KINDS = ("head over a pretrained trunk", "head over pixels", "network from scratch")


def costs():
    rows, tried = [], {}
    for kind in KINDS:
        for epsilon in (None, 3.0):
            lr, tried[f"{kind}, {epsilon}"] = chosen(["cost in 15 epochs", kind, epsilon], (0.04, 0.2, 1.0), partial(cost, kind, epsilon, TUNING, valid=True), factor=3.0, most=2)
            rows += [dict(start=kind, epsilon=epsilon, seed=s, lr=lr) | once(["cost in 15 epochs", kind, epsilon, s, lr], cost, kind, epsilon, s, lr) for s in SEEDS]
    return dict(costs=rows, costs_tried=tried)


# --- released things --------------------------------------------------------------------------------------------------

def canary(seed, repeats=10):
    """How far a code that stands in the training texts of a linear head is ranked among all 1,000: bits of exposure, with and without it."""
    rng, (z, y) = np.random.default_rng(seed), review_features()
    code = int(rng.integers(1000))
    candidates = code_features()
    places = rng.permutation(len(y))[:200]
    found = {}
    for name, times in (("in", repeats), ("out", 0)):
        x = np.concatenate([z[places], np.repeat(candidates[code][None], times, 0)])
        labels = np.r_[y[places], np.ones(times, int)]
        scores = LogisticRegression(C=1.0, max_iter=2000).fit(x, labels).decision_function(candidates)
        found[name] = round(float(np.log2(1000) - np.log2(1 + (scores > scores[code]).sum())), 4)
    return found


@lru_cache
def code_features():
    return language.extract(backbones.load("minilm"), texts.Texts([f"The alarm code is {i:03d}." for i in range(1000)]))["layer6"].numpy()


def mean_gradients(seed, sizes=(1, 2, 4, 8, 16, 64)):
    """Out of the mean gradient of a batch of reviews: which share of them is among those that fit it best?"""
    z, y = review_features()
    z, found = z.double(), {}
    rng = np.random.default_rng(seed)
    for size in sizes:
        batch = torch.as_tensor(rng.permutation(len(y))[:size])
        layer = head(z.shape[1], 0, 2, seed).double()
        torch.nn.functional.cross_entropy(layer(z[batch]), y[batch]).backward()
        guess = torch.as_tensor(privacy.from_gradient(layer.weight.grad, layer.bias.grad))
        if size > 1: guess, like = layer.weight.grad[1], unit(z - z.mean(0))
        else: like = unit(z)
        best = (like @ guess).abs().topk(size).indices
        found[size] = round(float(np.isin(best.numpy(), batch.numpy()).mean()), 4)
    return {str(k): v for k, v in found.items()}


def released():
    return dict(canaries=[once(["canary", s], canary, s) | {"seed": s} for s in range(20)],
                gradients=[once(["gradient", s], mean_gradients, s) | {"seed": s} for s in range(20)])


# --- federated --------------------------------------------------------------------------------------------------------

CLIENTS, ROUNDS, LOCAL = 10, 8, 2


def shares(y, skewed, seed):
    """Which rows each client holds: of unequal numbers, or, with skew, of few classes each."""
    rng = np.random.default_rng(seed)
    if skewed:
        of_class = rng.dirichlet(np.full(CLIENTS, 0.1), 26)
        owner = np.array([rng.choice(CLIENTS, p=of_class[c]) for c in y])
    else: owner = rng.choice(CLIENTS, len(y), p=rng.dirichlet(np.full(CLIENTS, 2.0)))
    return [np.flatnonzero(owner == c) for c in range(CLIENTS)]


@lru_cache
def maps(stage):
    """Maps of the frozen stages, and the rest of the network with a new head."""
    net = backbones.load("coursenet").replace_head(26, seed=0)
    front, _ = split_at(net, stage)
    return [backbones.batched(front, x) for x in (letters().x_train, letters().x_test)]


def rest_of(stage, seed):
    return split_at(backbones.load("coursenet").replace_head(26, seed=seed), stage)[1]


class Rows:
    """What one client holds."""
    def __init__(self, x, y): self.x_train, self.y_train = x, y


def steps(lr, seed, epochs, net, task, r):
    """Some epochs of SGD with momentum on one client's rows."""
    opt = torch.optim.SGD(net.parameters(), lr, momentum=0.9)
    batches, order = training.loader(task.x_train, task.y_train, 32, seed=1000 * seed + r)
    net.train()
    for order.epoch in range(epochs):
        for x, y in batches:
            opt.zero_grad()
            torch.nn.functional.cross_entropy(net(x), y).backward()
            opt.step()
    net.eval()


def federated(part, way, skewed, seed, lr, valid=False, per_class=15):
    """Ten clients, eight rounds of two local epochs; or all data in one place, or each client alone, for as many epochs."""
    stage = {"head": "stage3", "last stage and head": "stage2"}[part]
    x, x_test = maps(stage)
    y, y_test = letters().y_train, letters().y_test
    rng = np.random.default_rng(seed)
    order = np.stack([rng.permutation(np.flatnonzero(y.numpy() == c))[:2 * per_class] for c in range(26)])
    mine, other = order[:, :per_class].ravel(), order[:, per_class:].ravel()
    if valid: x_test, y_test = x[other], y[other]
    def client(rows): return Rows(x[rows], y[rows])
    net, parts = rest_of(stage, seed), [mine[rows] for rows in shares(y[mine].numpy(), skewed, seed)]
    parts = [rows for rows in parts if len(rows) > 1]
    if way == "federated": privacy.fedavg(net, [client(rows) for rows in parts], ROUNDS, partial(steps, lr, seed, LOCAL))
    elif way == "together":
        for r in range(ROUNDS): steps(lr, seed, LOCAL, net, client(mine), r)
    else:
        right = []
        for rows in parts:
            net = rest_of(stage, seed)
            steps(lr, seed, ROUNDS * LOCAL, net, client(rows), 0)
            right.append(training.accuracy(net, x_test, y_test))
        return dict(accuracy=round(float(np.average(right, weights=[len(rows) for rows in parts])), 4))
    return dict(accuracy=round(training.accuracy(net, x_test, y_test), 4))


def federations():
    rows, tried = [], {}
    for part in ("head", "last stage and head"):
        for way in ("together", "federated", "alone"):
            if way == "alone" and part != "head": continue
            for skewed in (False, True) if way != "together" else (False,):
                key = ["fed", part, way, skewed]
                lr, tried[f"{part}, {way}{', skewed' * skewed}"] = chosen(key, (0.01, 0.03, 0.1) if part == "head" else (0.003, 0.01, 0.03),
                                                                      partial(federated, part, way, skewed, TUNING, valid=True), most=2)
                rows += [dict(part=part, way=way, skewed=skewed, seed=s, lr=lr) | once([*key, s, lr], federated, part, way, skewed, s, lr) for s in SEEDS]
    return dict(federated=rows, federated_tried=tried)


PARTS = {"released": released, "membership": membership, "costs": costs, "private_heads": private_heads, "federations": federations}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1000)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    args = parser.parse_args()
    finish[0] = time.time() + 60 * args.minutes
    remember()
    try: found = {k: v for part in args.only for k, v in PARTS[part]().items()}
    except OutOfTime: raise SystemExit("out of time: call again to go on") from None
    seconds = round(sum(row["seconds"] for row in kept.values()))
    for rows in found.values():
        for row in rows if isinstance(rows, list) else (): row.pop("seconds", None)
    facts = dict(seeds=len(SEEDS), tuning=TUNING, clients=CLIENTS, rounds=ROUNDS, local_epochs=LOCAL, seconds=seconds)
    records.write_result("privacy", facts | found)

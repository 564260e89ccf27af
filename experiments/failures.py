"""When transfer fails: sources that mislead, thirty faults with their damage and their diagnostics, answers and scripts that were diagnosed -> nbs/results/failures.json.

    python experiments/failures.py [--minutes 7]     # about 8 minutes on one core

--minutes  stop after so many; the next call goes on where this one stopped
Settings are chosen on draws of their own, the same number of values for every arm.
"""
import argparse
import json
import runpy
import sys
import time
import warnings
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import StratifiedKFold
from tqdm import tqdm

from transfer_course import classical, failures, records
from transfer_course.files import cache_dir, write_whole
from transfer_course.gallery import GALLERY, adam, new_head
from transfer_course.gallery_data import classes_with, reader  # noqa: F401 — registers its bugs
from transfer_course.tasks import sample_per_class
from transfer_course.workshop import (
    Notes,
    classes_of,
    few_digits,
    loop,
    measured,
    small_digits,
    source_net,
    state_of,
    tiny_net,
    train_quickly,
)

SEEDS, TUNING = range(5), range(100, 102)
MARGINS, LABELS = (0, 1, 2, 3, 4, 5, 6), (1, 3, 10, 30)
STRENGTHS, RATES = (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0), (1e-3, 3e-3, 1e-2, 3e-2)
SOURCES = [dict(margin=m, names=n) for m in MARGINS for n in ("right", "permuted")]
SOURCES += [dict(margin="UCI", names=n) for n in ("right", "0.3 wrong", "0.6 wrong", "permuted")]  # other digits of the target's own set


# --- rows: a source of digits in another frame ---------------------------------------------------------------------------

def permute(y): return (7 * y + 3) % 10


def others(seed):
    """UCI's digits that are neither among the test's 600 nor among the 300 with labels."""
    x, y = small_digits("digits")
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(y)))
    mine = order[600:]
    few = set(mine[sample_per_class(y[mine], max(LABELS), seed)].tolist())
    rows = [int(i) for i in mine if int(i) not in few]
    return x[rows], y[rows]


@lru_cache(maxsize=64)
def source(margin, names, n=1000, seed=0):
    """Pictures and names; UCI's own depend on the draw of the target."""
    x, y = others(seed) if margin == "UCI" else small_digits("mnist_5k", margin)
    rng = np.random.default_rng(0)
    rows = torch.from_numpy(rng.permutation(len(y))[:n])
    x, y = x[rows], y[rows]
    if names == "permuted": return x, permute(y)
    if names == "right": return x, y
    wrong = torch.from_numpy(rng.random(len(y)) < float(names.split()[0]))
    return x, torch.where(wrong, torch.from_numpy(rng.integers(0, 10, len(y))), y)


def table(x): return x.flatten(1).numpy() / 255


@lru_cache(maxsize=64)
def target(k, seed):
    task = few_digits(seed, k)
    return (table(task.x_train), task.y_train.numpy()), (table(task.x_test), task.y_test.numpy())


WAYS = {"pooled": classical.pooled, "stacked": classical.stacked}


def right(way, margin, names, k, seed, C):
    x, y = source(margin, names, seed=seed if margin == "UCI" else 0)
    mine, (xt, yt) = target(k, seed)
    return float((way((table(x), y.numpy()), mine, C=C)(xt) == yt).mean())


@lru_cache
def strength(name, k):
    """The best of six on two draws of their own, with the two frames at the ends of the range."""
    way = WAYS.get(name, classical.alone)
    found = {C: np.mean([right(way, m, "right", k, s, C) for m in (0, 4) for s in TUNING]) for C in STRENGTHS}
    return max(found, key=found.get)


@lru_cache(maxsize=64)
def alone(k, seed): return right(classical.alone, 4, "right", k, seed, strength("alone", k))


def rows_run(margin, names, k, seed):
    x, y = source(margin, names, seed=seed if margin == "UCI" else 0)
    (xk, yk), (xt, _) = target(k, seed)
    found = {name: right(way, margin, names, k, seed, strength(name, k)) for name, way in WAYS.items()}
    scores = failures.source_scores((table(x), y.numpy()), xt[:300], (xk, yk))
    own, both = held_out((table(x), y.numpy()), (xk, yk), k)
    return dict(alone=alone(k, seed), **found, **{k: float(v) for k, v in scores.items()}, held_alone=own, held_pooled=both)


def held_out(source, few, k):
    """Accuracy of alone and of pooled on target rows that were left out, in three folds; none where a class has one row."""
    if k < 3: return None, None
    right = {"alone": [], "pooled": []}
    for a, b in StratifiedKFold(3, shuffle=True, random_state=0).split(*few):
        for name, way in (("alone", classical.alone), ("pooled", classical.pooled)):
            right[name].append((way(source, (few[0][a], few[1][a]), C=strength(name, k))(few[0][b]) == few[1][b]).mean())
    return float(np.mean(right["alone"])), float(np.mean(right["pooled"]))


# --- weights: a network that has learned such a source --------------------------------------------------------------------

@lru_cache
def net_file(margin, names):
    x, y = source(margin, names, 3000)
    return state_of(train_quickly(tiny_net(0), x, y, epochs=4))


def start(margin, names, head, seed):
    if margin is None: return tiny_net(seed)
    net = tiny_net(0)
    net.load_state_dict(net_file(margin, names))
    return net if head == "kept" else net.replace_head(10, seed=seed)


def tuned_right(margin, names, head, k, seed, lr):
    task = few_digits(seed, k)
    net = start(margin, names, head, seed)
    train_quickly(net, task.x_train, task.y_train, epochs=max(4, 240 // (k * 2)) // (1 if k > 3 else 2), lr=lr, seed=seed, size=16)
    return float((classes_of(net)(task.x_test) == task.y_test).float().mean())


RATE = {}  # (from scratch?, head, k) -> the best rate on draws of its own


def rate(scratch, head, k):
    """The best of four on two draws of their own; for the source's weights with the two frames at the ends of the range."""
    arms = [(None, "right")] if scratch else [(0, "right"), (4, "right")]
    found = {lr: np.mean([tuned_right(*a, head, k, s, lr) for a in arms for s in TUNING]) for lr in RATES}
    return max(found, key=found.get)


def nets_run(margin, names, head, k, seed):
    key = margin is None, head, k
    if key not in RATE: RATE[key] = rate(*key)
    return dict(accuracy=tuned_right(margin, names, head, k, seed, RATE[key]), lr=RATE[key])


# --- the gallery ----------------------------------------------------------------------------------------------------------

def gallery_run(bug, seed, wrong):
    b = GALLERY[bug]
    notes = b.run(seed, wrong)
    said = failures.diagnose(notes)
    return dict(score=notes.score, found=sorted(said.found), flagged=b.shows in said.found, says=said.found.get(b.shows, "") if seed == 0 else "")


# --- wrong answers of lessons 03 to 09 ------------------------------------------------------------------------------------

def answers(name):
    """The wrong answers of an exercise, and the right one last."""
    number = name[:2]
    table = runpy.run_path(str(Path("tests/lessons") / f"exercises_{number}.py"))
    return [f for n, f, _ in table["WRONG"] if n == name] + [table["RIGHT"][name]]


def of_features(f):
    """03-1: features of a frozen network, batch by batch; the network comes in train mode, as after training."""
    net, task = source_net().train(), few_digits(0)
    head = net.head[2:]
    return dict(net=net, task=task, embed=lambda x: f(net, x, None, 16), items=task.x_test[:40], predict=lambda x: head(f(net, x, None, 16)).argmax(1), skip=("network_is_in_eval_mode",))


def of_held_norm(f):
    """04-1: BatchNorm held through training in train mode."""
    net, task = new_head(source_net(), 0), few_digits(0)
    f(net)
    norms = tuple(n for n, m in net.named_modules() if isinstance(m, torch.nn.BatchNorm2d))
    notes = Notes(net, adam(net), task, frozen=norms)
    loop(notes, epochs=2)
    net.eval()
    return dict(run=notes)


def of_masked_loss(f):
    """06-2: cross-entropy that leaves out labels of −1."""
    return dict(run=source_net(), task=few_digits(0), loss=f)


def of_statistics(f):
    """07-4: new BatchNorm statistics from unlabelled pictures; weights stay."""
    net, task = source_net(), few_digits(0)
    frozen = tuple(n for n, _ in net.named_parameters())
    before = state_of(net)
    net = f(net, task.x_train)
    return dict(run=net, task=task, before=before, frozen=frozen)


def of_mean_tokens(f):
    """09-1: the mean of the tokens' vectors; short and long texts in one batch."""
    texts = ["Good.", "I would not recommend this to anyone who has a choice.", "It broke.", "The plot makes no sense, and the acting is worse than that."]
    def embed(x):
        net, t = reader(), reader().preprocess(list(x))
        with torch.no_grad(): return f(net.trunk(**t).last_hidden_state, t["attention_mask"])
    return dict(run=None, embed=embed, items=texts)


def of_attention(f):
    """09-2: attention with a mask; sequences of several lengths in one batch, padded."""
    g = torch.Generator().manual_seed(0)
    items = [torch.randn(n, 8, generator=g) for n in (3, 6, 2, 5)]
    def embed(x):
        z = torch.nn.utils.rnn.pad_sequence(x, batch_first=True, padding_value=0.5)
        mask = torch.tensor([[i < len(v) for i in range(z.shape[1])] for v in x]).long()
        return f(z, z, z, mask)[:, 0]
    return dict(run=None, embed=embed, items=items)


ANSWERS = {"03-1": of_features, "04-1": of_held_norm, "06-2": of_masked_loss, "07-4": of_statistics, "09-1": of_mean_tokens, "09-2": of_attention}


def answer_run(exercise, i):
    """What `diagnose` finds; "not applicable" where the answer can't be run as the exercise asks."""
    f = answers(exercise)[i]
    if not callable(f): return dict(state="not a function")
    torch.manual_seed(0)
    try: said = failures.diagnose(**{"run": None, **prepared(exercise, f)})
    except Exception as e: return dict(state=f"raises {type(e).__name__}")
    return dict(state="found" if said.found else "nothing found", found=sorted(said.found))


def prepared(exercise, f):
    how = ANSWERS[exercise](f)
    if "net" in how: how["run"] = how.pop("net")
    return how


# --- three scripts of kinds that are published ----------------------------------------------------------------------------

def tutorial(seed, wrong):
    """A fixed extractor as in PyTorch's tutorial: requires_grad off, net.train() in each epoch, batches of 4, the best of 25 epochs on the part that is reported. Mended: the frozen part sleeps, and the last epoch counts."""
    net = new_head(source_net(), seed, freeze=True)
    if wrong: net.frozen = set()
    opt = torch.optim.SGD(net.head.parameters(), 0.001, momentum=0.9)
    decay = torch.optim.lr_scheduler.StepLR(opt, 7, 0.1)
    notes, top = Notes(net, opt, few_digits(seed), frozen="trunk", looks=25 if wrong else 1), -1
    for epoch in range(25):
        loop(notes, epochs=1, size=4, seed=100 * seed + epoch)
        decay.step()
        measured(notes)
        if wrong: notes.score = top = max(top, notes.score)
    return notes


def leaky_table(seed, wrong): return GALLERY["columns chosen on all rows, random labels"].run(seed, wrong)
def pooled_text(seed, wrong): return GALLERY["padding in the mean"].run(seed, wrong)


PUBLISHED = {"a tutorial's fixed extractor": tutorial, "scale and select, then split": leaky_table, "mean of the last hidden state": pooled_text}


def published_run(script, seed, wrong):
    notes = PUBLISHED[script](seed, wrong)
    said = failures.diagnose(notes)
    return dict(score=notes.score, found=said.found if seed == 0 else sorted(said.found))


PARTS = {"gallery": (gallery_run, [dict(bug=b, seed=s, wrong=w) for b in GALLERY for s in SEEDS for w in (False, True)]),
         "answers": (answer_run, [dict(exercise=e, i=i) for e in ANSWERS for i in range(len(answers(e)))]),
         "published": (published_run, [dict(script=p, seed=s, wrong=w) for p in PUBLISHED for s in SEEDS for w in (False, True)]),
         "rows": (rows_run, [dict(**s, k=k, seed=i) for s in SOURCES for i in SEEDS for k in LABELS]),
         "nets": (nets_run, [dict(margin=m, names=n, head=h, k=k, seed=i) for i in SEEDS for k in LABELS
                             for m, n, h in [(None, "right", "new"), *((m, "right", h) for m in (0, 2, 4, 6) for h in ("new", "kept")), (4, "permuted", "new"), (4, "permuted", "kept")]])}


def rounded(v):
    if isinstance(v, float): return round(v, 4)
    return {k: rounded(w) for k, w in v.items()} if isinstance(v, dict) else v


def columns(rows):
    """A list of rows as a table of columns, which is a third of the size."""
    names = list(dict.fromkeys(k for r in rows for k in r))
    return {n: [r.get(n) for r in rows] for n in names}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--only", nargs="+", default=list(PARTS))
    args = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    torch.set_num_threads(1)
    begin, part = time.monotonic(), cache_dir() / "failures.part.json"
    done = json.loads(part.read_text()) if part.exists() else {}
    RATE |= {(r["margin"] is None, r["head"], r["k"]): r["lr"] for key, r in done.items() if json.loads(key)[0] == "nets"}
    for name in args.only:
        run, configs = PARTS[name]
        left = [c for c in configs if json.dumps([name, c]) not in done]
        for i, c in enumerate(tqdm(left, desc=name)):
            start_of = time.perf_counter()
            done[json.dumps([name, c])] = rounded(c | run(**c)) | {"seconds": round(time.perf_counter() - start_of, 2)}
            if i % 10 == 0: write_whole(part, json.dumps(done))
            if time.monotonic() - begin > 60 * args.minutes:
                write_whole(part, json.dumps(done))
                sys.exit(f"{len(done)} done; call again")
    write_whole(part, json.dumps(done))
    found = {n: [done[json.dumps([n, c])] for c in configs if json.dumps([n, c]) in done] for n, (_, configs) in PARTS.items()}
    seconds = {n: round(sum(r.pop("seconds") for r in rows), 1) for n, rows in found.items()}
    if found["rows"]: found["strengths"] = [dict(way=n, k=k, C=strength(n, k)) for n in ("alone", *WAYS) for k in LABELS]
    facts = dict(seeds=len(SEEDS), tuning=dict(strengths=STRENGTHS, rates=RATES, draws=list(TUNING)), seconds=seconds)
    records.write_result("failures", facts | {n: columns(rows) for n, rows in found.items()})

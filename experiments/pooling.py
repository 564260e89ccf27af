"""How a map becomes features: every pooling at every stage, equal chances for each -> nbs/results/pooling.json.

    python experiments/pooling.py       # about twenty minutes on one core; rows that are stored already are kept

Each arm (a stage and a pooling, or pixels) chooses its C and its scaler on the labels that it learns from: two quarters
of them are held out in turn. Nothing is chosen on the test part.

Two controls on some of the tasks: pictures of 128 instead of 64 pixels, and a network with random weights. Its weights are
drawn anew for each draw of labels, and its BatchNorm statistics are taken from the pictures that are learned from.
"""
import copy
import json
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler

from transfer_course import backbones, data, probes, records
from transfer_course.tasks import sample_per_class

SEEDS, LABELS, FOLDS = 5, 10, 2
STRENGTHS = (0.001, 0.01, 0.1, 1., 10.)
SCALERS = {"common": probes.CommonScaler, "each": StandardScaler}
POOLS = {"mean": 1, "2×2": 2, "4×4": 4, "max": 0}
TASKS = ("digits", "mirrored", "mnist_5k", "materials", "photographs", "letters")
LARGER = ("digits", "mnist_5k")  # tasks that are measured at 128 pixels as well
UNTRAINED = ("digits", "materials")  # tasks that are measured with random weights as well
STAGES = ("stem", *(f"stage{i}" for i in range(1, 8)), "top")
BARE = ("pixels", "8×8")
LOPSIDED = "BCDEFGJKLNPQRSZ"  # letters without a mirror axis


def small(name):
    """Up to 400 pictures of a task to learn from, 200 to test: those of the lesson."""
    t = data.load(name)
    order = torch.randperm(len(t.y_test), generator=torch.Generator().manual_seed(0))
    i = order[:200].sort().values
    t = t.few_shot(min(40, 400 // len(t.classes)))
    return (t.x_train, t.y_train.numpy()), (t.x_test[i], t.y_test[i].numpy())


def mirrored(part, n, seed):
    """Letters, every second one mirrored; label 1 for those."""
    t = data.load("letters")
    x, y = getattr(t, f"x_{part}"), getattr(t, f"y_{part}")
    x = x[torch.tensor([c in LOPSIDED for c in t.classes])[y]]
    x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[:n]]
    y = torch.arange(len(x)) % 2
    return torch.where(y.bool()[:, None, None, None], x.flip(3), x), y.numpy()


def pooled(m):
    """A map by every pooling that it is large enough for."""
    grids = {n: g for n, g in POOLS.items() if 0 < g <= m.shape[-1]}
    found = {n: F.adaptive_avg_pool2d(m, g).flatten(1) for n, g in grids.items()}
    return found | {"max": m.amax((2, 3))}


@torch.inference_mode()
def maps(net, x):
    """{(stage, pooling): N×D} and the side of the map at each stage, from one pass."""
    found, sides = {}, {}
    with backbones.evaluating(net):
        for batch in x.split(32):
            z = net.preprocess(batch)
            for stage, module in net.trunk.named_children():
                z = module(z)
                sides[stage] = z.shape[-1]
                for name, part in pooled(z).items(): found.setdefault((stage, name), []).append(part)
    return {k: torch.cat(v).float().numpy() for k, v in found.items()}, sides


def pixels(x):
    """The grey picture itself, 8×8."""
    grey = x.float().mean(1, keepdim=True) / 255
    return {("pixels", f"{g}×{g}"): F.adaptive_avg_pool2d(grey, g).flatten(1).numpy() for g in (8,)}


def rotated(z, z_other):
    """Both in the span of z: the fit is the same, for it is blind to rotations, and takes less time."""
    if z.shape[1] <= len(z): return z, z_other
    z, z_other = z.astype(np.float64), z_other.astype(np.float64)
    squares, u = np.linalg.eigh(z @ z.T)
    keep = squares > 1e-10 * squares.max()
    basis = u[:, keep] / np.sqrt(squares[keep])
    return z @ z.T @ basis, z_other @ z.T @ basis


def scored(z, y, z_other, y_other, scale, C):
    """Accuracy on the other part, for each C."""
    scaler = SCALERS[scale]().fit(z)
    z, z_other = rotated(scaler.transform(z), scaler.transform(z_other))
    fit = LogisticRegression(max_iter=300, tol=1e-3, warm_start=True)
    return [fit.set_params(C=c).fit(z, y).score(z_other, y_other) for c in C]


def probe(z, y, z_test, y_test, seed):
    """Test accuracy with the settings that the held-out labels chose; and these."""
    folds = list(StratifiedKFold(4, shuffle=True, random_state=seed).split(z, y))[:FOLDS]
    valid = {s: np.mean([scored(z[a], y[a], z[b], y[b], s, STRENGTHS) for a, b in folds], 0) for s in SCALERS}
    scale = max(SCALERS, key=lambda s: valid[s].max())
    best = int(valid[scale].argmax())
    tests = {n: scored(z, y, z_test, y_test, n, STRENGTHS[v.argmax():][:1])[0] for n, v in valid.items()}
    found = dict(accuracy=tests[scale], valid=valid[scale].max(), C=STRENGTHS[best], scale=scale, **tests)
    return {k: round(float(v), 4) if isinstance(v, (float, np.floating)) else v for k, v in found.items()}


def untrained(net, x, seed):
    """A copy with random weights; BatchNorm's statistics are those of the pictures x."""
    net = copy.deepcopy(net)
    torch.manual_seed(seed)
    for m in net.trunk.modules():
        if hasattr(m, "reset_parameters"): m.reset_parameters()
        if isinstance(m, torch.nn.BatchNorm2d): m.momentum = None  # the mean over all batches
    net.train()
    mixed = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        for batch in x[mixed].split(64): net.trunk(net.preprocess(batch))
    return net.eval()


@lru_cache(maxsize=2)
def arms(task, size, seed, weights="imagenet"):
    """Features of every arm of the training and the test part, labels, and the sides of the maps."""
    net = backbones.load("efficientnet_lite0", size=size)
    if task == "mirrored": (x, y), (x_test, y_test) = mirrored("train", 400, seed), mirrored("test", 200, seed)
    else: (x, y), (x_test, y_test) = small(task)
    if weights == "random": net = untrained(net, x, seed)
    z, sides = maps(net, x)
    return z | pixels(x), y, maps(net, x_test)[0] | pixels(x_test), y_test, sides


def run_one(task, size, stage, pool, seed, weights="imagenet"):
    """One arm on one draw of labels: 10 per class, or 400 letters of which half are mirrored."""
    own = task == "mirrored" or weights == "random"  # features of its own for each draw
    z, y, z_test, y_test, sides = arms(task, size, seed if own else 0, weights)
    i = np.arange(len(y)) if task == "mirrored" else sample_per_class(torch.as_tensor(y), LABELS, seed).numpy()
    z, z_test = z[stage, pool], z_test[stage, pool]
    found = probe(z[i], y[i], z_test, y_test, seed)
    return dict(width=z.shape[1], map=sides.get(stage)) | found


def grids(size):
    """All stages with the poolings that their maps at this size are large enough for."""
    sides = dict(zip(STAGES, (side * size // 64 for side in (32, 32, 16, 8, 4, 4, 2, 2, 2))))
    return [(s, p) for s in STAGES for p, g in POOLS.items() if 0 < g <= sides[s]]


def configs():
    """All arms; the maximum is measured on one task, and the controls with the mean and the finest grid alone."""
    top, ends = [(s, "max") for s in STAGES], ("mean", "4×4")
    for t in TASKS: yield from (dict(task=t, size=64, stage=s, pool=p) for s, p in [BARE, *grids(64), *(top if t == "digits" else [])])
    for t in UNTRAINED: yield from (dict(task=t, size=64, stage=s, pool=p, weights="random") for s, p in grids(64) if p in ends)
    for t in LARGER: yield from (dict(task=t, size=128, stage=s, pool=p) for s, p in grids(128) if p in ends)


def keep_stored(name, todo):
    """Let a sweep begin with the rows that are stored already."""
    stored, part = Path(f"nbs/results/{name}.json"), Path(f"nbs/results/{name}.rows.part")
    if part.exists() or not stored.exists(): return
    rows = json.loads(stored.read_text(encoding="utf-8"))["rows"]
    arm = ("task", "size", "stage", "pool", "seed", "weights")
    by_arm = {tuple(r.get(k) for k in arm): r for r in rows}
    kept = [(c, by_arm[k]) for c in todo if (k := tuple(c.get(k) for k in arm)) in by_arm]
    part.write_text("".join(json.dumps(dict(config=c, **{k: v for k, v in r.items() if k not in c})) + "\n" for c, r in kept), encoding="utf-8")


if __name__ == "__main__":
    torch.set_num_threads(1)
    todo = [dict(config, seed=seed) for config in configs() for seed in range(SEEDS)]
    # features of one task and draw at a time
    todo.sort(key=lambda c: ("weights" in c, c["size"], TASKS.index(c["task"]), c["seed"]))
    keep_stored("pooling", todo)
    print(records.sweep("pooling", todo, run_one, network="efficientnet_lite0", labels_per_class=LABELS, quarters_held_out=FOLDS,
                        strengths=STRENGTHS, scalers=list(SCALERS), test_pictures=200))

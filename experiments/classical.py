"""Transfer without deep networks: digits by rows and answers, Office-Caltech by its space, wages by weights and priors -> nbs/results/classical.json.

    python experiments/classical.py [--archive office-caltech-10.tar]     # about 15 minutes on one core

--archive  takes the SURF counts from this file (surf/*.mat in it), checked by sha256 like those that are fetched
Settings are chosen on validation rows or on the source's labels, the same number of values for every arm; never on a test row.
"""
import argparse
import hashlib
import json
import tarfile
import warnings
from functools import lru_cache

import numpy as np
import sklearn
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler, scale

from transfer_course import classical, records, tabular
from transfer_course.files import cache_dir
from transfer_course.tasks import sample_per_class

STRENGTHS = (1e-4, 1e-3, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
LABELS, SEEDS, TUNING = (1, 3, 10, 30), range(10), range(100, 103)
PUBLISHED = {"NA": 28.1, "SA": 40.2, "TCA": 39.5, "OT": 41.0, "CORAL": 37.3}  # mean of twelve tasks, ten draws: README of the table's repository
STATES = ("California", "Texas", "New York", "Florida", "Illinois", "Pennsylvania", "Ohio", "Michigan", "New Jersey", "Georgia")
ASKED = (5, 20, 80)
OFFICE_DRAWS = 5


# --- digits: rows and answers -----------------------------------------------------------------------------------------

def half_and_half(source, target, C=1.0):
    x, y = (np.concatenate(pair) for pair in zip(source, target))
    w = np.r_[np.ones(len(source[1])), np.full(len(target[1]), len(source[1]) / len(target[1]))]
    return classical.classifier(x, y, w / w.mean(), C).predict


def tradaboost(source, target, C=1.0): return classical.tradaboost(*source, *target, C=C)[0]


WAYS = {"alone": classical.alone, "pooled": classical.pooled, "half and half": half_and_half, "TrAdaBoost": tradaboost, "stacked": classical.stacked}


@lru_cache
def digits(target, seed):
    """Source rows, and the target's rows to learn from, to choose with, and to test with; drawn anew for each seed."""
    rng = np.random.default_rng(seed)
    x, y = tabular.digits8("mnist_5k")
    order = rng.permutation(len(y))
    source, rest = order[:1500], order[1500:]
    tx, ty = (x[rest], y[rest]) if target == "MNIST" else tabular.digits8("digits")
    places = rng.permutation(len(ty))
    learn, valid, test = np.split(places, [500, 800])
    return (x[source], y[source]), *((tx[i], ty[i]) for i in (learn, valid, test[:900]))


def digit_run(target, way, labels, seed, C, part="test"):
    source, learn, valid, test = digits(target, seed)
    few = sample_per_class(learn[1], labels, seed).numpy()
    x, y = valid if part == "valid" else test
    predict = WAYS[way](source, (learn[0][few], learn[1][few]), C=C)
    return float((predict(x) == y).mean())


def chosen_strengths():
    """For each target and way the C that is best on validation rows, at 10 labels per class, over three other draws."""
    tried = [dict(target=t, way=w, C=C, accuracy=np.mean([digit_run(t, w, 10, s, C, "valid") for s in TUNING]))
             for t in ("UCI", "MNIST") for w in WAYS for C in STRENGTHS]
    best = {}
    for row in tried: best.setdefault((row["target"], row["way"]), row)
    for row in tried:
        if row["accuracy"] > best[row["target"], row["way"]]["accuracy"]: best[row["target"], row["way"]] = row
    return tried, {k: row["C"] for k, row in best.items()}


def digit_rows():
    tried, best = chosen_strengths()
    rows = [dict(target=t, way=w, labels=n, seed=s, C=best[t, w], accuracy=round(digit_run(t, w, n, s, best[t, w]), 4))
            for t in ("UCI", "MNIST") for w in WAYS for n in LABELS for s in SEEDS]
    return {"digits": rows, "digits_tried": [row | {"accuracy": round(float(row["accuracy"]), 4)} for row in tried]}


# --- Office-Caltech: the space ----------------------------------------------------------------------------------------

def from_archive(archive, domain):
    with tarfile.open(archive) as tar: raw = tar.extractfile(f"office_caltech_10/surf/{domain}.mat").read()
    assert hashlib.sha256(raw).hexdigest() == tabular.SURF[domain], domain
    return tabular.surf_table(raw)


def transport(xs, ys, xt):
    import ot
    moves = ot.da.SinkhornLpl1Transport(reg_e=2, reg_cl=1, norm="median").fit(Xs=xs, ys=ys, Xt=xt)
    return moves.transform(Xs=xs), xt


SPACES = {"NA": lambda xs, ys, xt: (xs, xt),
          "SA": lambda xs, ys, xt: classical.subspace_alignment(xs, xt),
          "TCA": lambda xs, ys, xt: classical.transfer_components(xs, xt),
          "CORAL": lambda xs, ys, xt: classical.coral_align(xs, xt),
          "OT": transport}


def spanned(xs, xt):
    """Both in the span of xs: logistic regression with a ridge is the same there, and faster."""
    basis = np.linalg.svd(xs, full_matrices=False)[2].T
    return xs @ basis, xt @ basis


def office_scores(xs, ys, xt, yt):
    """1-NN, and logistic regression whose C is chosen on the source's labels."""
    near = KNeighborsClassifier(1).fit(xs, ys).score(xt, yt)
    xs, xt = spanned(xs, xt)
    grid = GridSearchCV(LogisticRegression(max_iter=300), {"C": [1e-4, 1e-3, 0.01, 0.1, 1.0]}, cv=3).fit(xs, ys)
    return {"1-NN": (near, None), "logistic regression": (grid.score(xt, yt), grid.best_params_["C"])}


def office_rows(archive, draws=OFFICE_DRAWS):
    """Each camera's counts are divided by their sum and scaled by the camera's own mean and spread, as in the published table."""
    counts = {d: from_archive(archive, d) if archive else tabular.office_surf(d) for d in tabular.SURF}
    shares = {d: (x / x.sum(1, keepdims=True), y) for d, (x, y) in counts.items()}
    scaled = {d: (scale(x), y) for d, (x, y) in shares.items()}
    rows = []
    for seed in range(draws):
        for s in scaled:
            for t in (t for t in scaled if t != s):
                i = sample_per_class(scaled[s][1], 8 if s == "dslr" else 20, seed).numpy()
                (xs, ys), (xt, yt) = scaled[s], scaled[t]
                pairs = {way: f(xs[i], ys[i], xt) for way, f in SPACES.items()}
                own = StandardScaler().fit(shares[s][0])
                pairs["source's scaler"] = own.transform(shares[s][0][i]), own.transform(shares[t][0])
                for way, (zs, zt) in pairs.items():
                    rows += [dict(task=f"{s} → {t}", way=way, model=m, seed=seed, accuracy=round(a, 4), **({"C": C} if C else {}))
                             for m, (a, C) in office_scores(zs, ys[i], zt, yt).items()]
        print("office", seed, flush=True)
    return {"office": rows, "published": PUBLISHED}


# --- wages: weights ---------------------------------------------------------------------------------------------------

def line(): return make_pipeline(StandardScaler(), LinearRegression())
def squares(): return make_pipeline(StandardScaler(), PolynomialFeatures(2, include_bias=False), LinearRegression())
def trees(): return make_pipeline(HistGradientBoostingRegressor(max_depth=3, max_iter=60, random_state=0))


MODELS = {"line": line, "squares": squares, "trees": trees}


def ask(x, seed, n=2000, m=4000):
    """2,000 mostly young people for the source, 4,000 mostly experienced ones for the target: as in the lesson."""
    young = 1 / (1 + np.exp((x[:, 1] - 20) / 5))
    rng = np.random.default_rng(seed)
    a = rng.choice(len(x), n, replace=False, p=young / young.sum())
    rest = np.setdiff1d(np.arange(len(x)), a)
    odds = (1 - young)[rest]
    return a, rest[rng.choice(len(rest), m, replace=False, p=odds / odds.sum())], (1 - young) / young


def rmse(model, x, y): return round(float(np.sqrt(np.mean((model.predict(x) - y) ** 2))), 5)


def by_skada(xs, xt):
    """The weights of two published methods, by the library skada, which standardises nothing: kernel mean matching as the library has it and smoothed by its kernel, and KLIEP, its width by its own cross-validation."""
    from skada import KLIEPReweightAdapter, KMMReweightAdapter
    sklearn.set_config(enable_metadata_routing=False)  # skada switches it on for the whole process
    x = StandardScaler().fit_transform(np.r_[xs, xt])
    domain = np.r_[np.ones(len(xs), int), -np.ones(len(xt), int)]
    ways = {"KMM": KMMReweightAdapter(), "KMM, smoothed": KMMReweightAdapter(smooth_weights=True), "KLIEP": KLIEPReweightAdapter(gamma=[0.1, 0.3, 1.0, 3.0, 10.0], random_state=0)}
    return {name: np.asarray(way.fit(x, sample_domain=domain).compute_weights(x, sample_domain=domain))[:len(xs)] for name, way in ways.items()}


def wage_rows(draws=20):
    x, y, _ = tabular.wages()
    rows = []
    for seed in range(draws):
        a, b, true = ask(x, seed)
        near, test = b[:1000], b[1000:]
        ratio = classical.density_ratio(x[a], x[near])
        weights = {"none": None, "classifier's ratio": ratio, "true ratio": true[a], "ratio, cut at its 95%": np.minimum(ratio, np.quantile(ratio, 0.95))}
        weights |= by_skada(x[a], x[near])
        for m, make in MODELS.items():
            step = list(make().named_steps)[-1]
            for name, w in weights.items():
                model = make().fit(x[a], y[a], **({} if w is None else {f"{step}__sample_weight": w}))
                size = len(a) if w is None else classical.effective_sample_size(w)
                rows.append(dict(model=m, weights=name, seed=seed, rmse=rmse(model, x[test], y[test]), rows=round(float(size))))
            rows.append(dict(model=m, weights="1,000 of the target", seed=seed, rmse=rmse(make().fit(x[near], y[near]), x[test], y[test])))
    return {"wages": rows}


# --- wages: a prior ---------------------------------------------------------------------------------------------------

def gaussian_process(base, x, y):
    gp = GaussianProcessRegressor(RBF([5.0, 5.0]) + WhiteKernel(0.5), normalize_y=True, random_state=0)
    gp.fit(x, y - base.predict(x))
    return lambda z: base.predict(z) + gp.predict(z)


def state_rows(draws=5):
    x, y, state = tabular.wages()
    rows = []
    for name in STATES:
        for seed in range(draws):
            rng = np.random.default_rng(seed)
            here, away = rng.permutation(np.flatnonzero(state == name)), rng.choice(np.flatnonzero(state != name), 3000, replace=False)
            base = squares().fit(x[away], y[away])
            forest = trees().fit(x[away], y[away])
            test = here[max(ASKED):]
            for n in ASKED:
                few = here[:n]
                both = np.r_[away, few]
                ways = {"source as it is": base.predict, "source's trees as they are": forest.predict,
                        "ridge, alone": classical.ridge_towards(None, x[few], y[few]),
                        "pooled": squares().fit(x[both], y[both]).predict,
                        "ridge towards the source": classical.ridge_towards(base, x[few], y[few]),
                        "source + Gaussian process": gaussian_process(base, x[few], y[few])}
                rows += [dict(state=name, labels=n, seed=seed, way=way, rmse=round(float(np.sqrt(np.mean((f(x[test]) - y[test]) ** 2))), 5))
                         for way, f in ways.items()]
    return {"states": rows}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive")
    args = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    found, part = {}, cache_dir() / "classical.part.json"
    if part.exists(): found = json.loads(part.read_text())
    parts = {"wages": wage_rows, "states": state_rows, "office": lambda: office_rows(args.archive), "digits": digit_rows}
    records.by_parts(part, {name: make for name, make in parts.items() if name not in found}, found)
    facts = dict(seeds={"digits": len(SEEDS), "office": OFFICE_DRAWS, "wages": 20, "states": 5}, tuning={"digits": list(STRENGTHS), "draws": list(TUNING)})
    records.write_result("classical", facts | found)
    part.unlink()

"""EASE and the course's ALS against implicit's ALS, on the same table: seconds to fit, and recall@10 of the uses that were hidden.

    python benchmarks/recommendation.py [--files 1833] [--rounds 5]

Both ALS have 16 numbers in a vector, 8 rounds, weight 11 for a use and 1 for none, strength 10, and must reach the same loss; strengths are those of lesson 12.
implicit is no requirement of the course: pip install -c constraints.txt implicit
"""
import statistics
from importlib.util import find_spec

import numpy as np
from common import THREADS, arguments, report, row, seconds
from scipy.sparse import csr_matrix

from transfer_course import ranking, recommendation, uses


def by_implicit(x, seed=0):
    """Vectors of files and functions; its alpha is the weight of a use."""
    from implicit.als import AlternatingLeastSquares
    model = AlternatingLeastSquares(16, regularization=10.0, alpha=11.0, iterations=8, dtype=np.float64, use_cg=False, num_threads=THREADS, random_state=seed)
    model.fit(csr_matrix(x), show_progress=False)
    return model.user_factors, model.item_factors


def loss(x, u, v): return ((1 + 10 * x) * (x - u @ v.T) ** 2).sum() + 10 * ((u ** 2).sum() + (v ** 2).sum())


def found(scores, hidden, given): return float(np.nanmean(ranking.recall(scores, hidden, given)))


if __name__ == "__main__":
    args = arguments(__doc__, files=1833, rounds=5)
    if not find_spec("implicit"):
        report([row("EASE: speed of the fit", "implicit's ALS", [], 1, note="implicit is not installed")], args.rows)
        raise SystemExit
    x = uses.numpy_uses().x[:args.files]
    pairs, right = [], []
    for seed in range(args.rounds):
        given, hidden = ranking.hide(x, 0.3, seed)
        ours, theirs = recommendation.als(given, seed=seed), by_implicit(given, seed)
        away = abs(loss(given, *ours) / loss(given, *theirs) - 1)
        assert away < 0.02, f"the losses of both ALS differ by {away:.1%}"
        scores = given @ recommendation.ease(given), theirs[0] @ theirs[1].T
        right.append([found(s, hidden, given) for s in scores])
        pairs.append([seconds(f) for f in (lambda x=given: recommendation.ease(x), lambda x=given: recommendation.als(x), lambda x=given: by_implicit(x))])
    ease, als, implicit = (statistics.median(p[i] for p in pairs) for i in range(3))
    note = f"{len(x):,} files × {x.shape[1]} functions: {ease * 1000:.0f} ms against {implicit * 1000:.0f} ms"
    rows = [row("EASE: speed of the fit", "implicit's ALS", [p[2] / p[0] for p in pairs], 1, note=note),
            row("EASE: recall@10 of hidden uses", "implicit's ALS", [a / b for a, b in right], 1, note=f"means of {np.mean(right, 0).round(3).tolist()}"),
            row("the course's ALS: speed of the fit", "implicit's ALS", [p[2] / p[1] for p in pairs], None, note=f"{als * 1000:.0f} ms, to the same loss")]
    report(rows, args.rows)

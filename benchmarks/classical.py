"""Turning one table onto another: the course's CORAL and subspace alignment against skada's, on the same features, with equal results.

    python benchmarks/classical.py [--source 200] [--target 1000] [--columns 800] [--rounds 5]

Skada's covariances divide by n and NumPy's by n − 1, so CORAL agrees up to one factor; directions agree up to their sign. Ours adds a ridge of 1e-9 here, skada none.
"""
import statistics
from functools import partial

import numpy as np
import skada
from common import arguments, report, row, seconds

from transfer_course import classical


def domains(n, m, columns):
    """Two clouds with means of 0, as skada centres them."""
    rng = np.random.default_rng(0)
    def cloud(rows):
        x = rng.normal(size=(rows, columns)) * rng.uniform(0.5, 2, columns)
        return x - x.mean(0)
    return cloud(n), cloud(m)


def by_skada(adapter, xs, xt):
    """Source and target as the adapter gives them."""
    z = adapter.fit_transform(np.vstack([xs, xt]), sample_domain=np.r_[np.ones(len(xs)), -2 * np.ones(len(xt))])
    return z[:len(xs)], z[len(xs):]


def same(name, turn, adapter, n=60, m=50):
    """Both give the same on two small clouds: a table with more columns than rows has no inverse, and each code mends that in its own way."""
    xs, xt = domains(n, m, 6)
    ours, theirs = turn(xs, xt)[0], by_skada(adapter, xs, xt)[0]
    if name == "CORAL": theirs = theirs / (n / (n - 1) * (m - 1) / m) ** 0.5
    else: ours, theirs = np.abs(classical.subspace_alignment(xs, xt, 5)[0]), np.abs(theirs)
    away = np.abs(ours - theirs).max()
    assert away < 1e-4, f"{name} differs by {away}"


if __name__ == "__main__":
    args = arguments(__doc__, source=200, target=1000, columns=800, rounds=5)
    xs, xt = domains(args.source, args.target, args.columns)
    d = min(80, args.source - 1, args.columns)
    ways = {"CORAL": (lambda xs, xt: classical.coral_align(xs, xt, ridge=1e-9), skada.CORALAdapter(reg=0.0)),
            "subspace alignment": (lambda xs, xt: classical.subspace_alignment(xs, xt, d), skada.SubspaceAlignmentAdapter(n_components=d))}
    rows = []
    for name, (turn, adapter) in ways.items():
        same(name, turn, adapter if name == "CORAL" else skada.SubspaceAlignmentAdapter(n_components=5))
        ours, theirs = partial(turn, xs, xt), partial(by_skada, adapter, xs, xt)
        pairs = [(seconds(ours), seconds(theirs)) for _ in range(args.rounds)]
        a, b = (statistics.median(p[i] for p in pairs) for i in (0, 1))
        note = f"{args.source} + {args.target} rows of {args.columns} columns: {a * 1000:.0f} ms against {b * 1000:.0f} ms"
        rows.append(row(f"{name} of two tables: speed", "skada", [p[1] / p[0] for p in pairs], 1, note=note))
    report(rows, args.rows)

"""Measures of fairness by group: the course's table against fairlearn's, on the same answers, with equal results; and the same for a head held at zeros against scikit-learn's regression.

    python benchmarks/bias.py [--people 20000] [--rounds 7]
"""
import statistics

import numpy as np
from common import arguments, report, row, seconds
from fairlearn.metrics import MetricFrame, false_positive_rate, selection_rate, true_positive_rate
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import precision_score

from transfer_course import bias

NAMES = {"yes said": selection_rate, "yes, if right": true_positive_rate, "yes, if wrong": false_positive_rate, "right, if yes": precision_score}


def both(ours, theirs, rounds):
    """Seconds of both, one after the other, round by round."""
    return [(seconds(ours), seconds(theirs)) for _ in range(rounds)]


def line(what, rival, pairs, size):
    a, b = (statistics.median(p[i] for p in pairs) for i in (0, 1))
    return row(f"{what}: speed", rival, [p[1] / p[0] for p in pairs], 1, note=f"{size}: {a * 1000:.0f} ms against {b * 1000:.0f} ms")


if __name__ == "__main__":
    args = arguments(__doc__, people=20000, rounds=7)
    rng = np.random.default_rng(0)
    right, said = rng.random((2, args.people)) < 0.6
    group = rng.choice(["a", "b", "c"], args.people)
    def ours(): return bias.measures(right, said, group)
    def theirs(): return MetricFrame(metrics=NAMES, y_true=right, y_pred=said, sensitive_features=group).by_group
    a, b = ours().T, theirs()
    assert np.abs(a[list(NAMES)].to_numpy(float) - b.loc[a.index, list(NAMES)].to_numpy(float)).max() < 1e-9
    rows = [line("Four measures of three groups", "fairlearn", both(ours, theirs, args.rounds), f"{args.people} people")]
    z = rng.normal(size=(240, 384)) / 6
    yes = z @ rng.normal(size=384) > 0
    def head(): return bias.head(z, yes)
    def regression(): return LogisticRegression(tol=1e-6, max_iter=5000).fit(z, yes)
    away = np.abs(head()[:-1] - regression().coef_[0]).max()
    assert away < 0.01, f"the weights differ by {away}"
    rows.append(line("A head of 240 CVs", "scikit-learn", both(head, regression, args.rounds), "240 rows of 384 columns"))
    report(rows, args.rows)

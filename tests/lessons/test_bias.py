"""Lesson 16: the measures against second formulations and against fairlearn, the mends against what they promise, the composed worlds."""
import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from transfer_course import bias, loans
from transfer_course.composed import MEN, PROXIES, WOMEN, compose, strike
from transfer_course.shortcuts import digits_on
from transfer_course.word_lists import TESTS, word_test


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(120, 4))
    return z, z @ [2, -1, 0, 0] + rng.normal(size=120) > 0.3


# --- a head that is held at a start -------------------------------------------------------------------------------------

@pytest.mark.parametrize("pull", [0.1, 1.0, 10.0])
def test_from_zeros_it_is_scikit_learns_regression(rows, pull):
    ours, theirs = bias.head(*rows, pull=pull), LogisticRegression(C=1 / pull, tol=1e-10, max_iter=5000).fit(*rows)
    np.testing.assert_allclose(ours, np.r_[theirs.coef_[0], theirs.intercept_], atol=2e-3)
    assert (bias.says_yes(ours, rows[0]) == theirs.predict(rows[0])).all()


def test_weights_are_scikit_learns(rows):
    w = np.random.default_rng(1).uniform(0.1, 3, 120)
    theirs = LogisticRegression(tol=1e-10, max_iter=5000).fit(*rows, sample_weight=w)
    np.testing.assert_allclose(bias.head(*rows, weight=w)[:-1], theirs.coef_[0], atol=2e-3)


def test_a_strong_pull_keeps_the_start(rows):
    start = np.array([1.0, 2.0, 3.0, 4.0, 0.5])
    np.testing.assert_allclose(bias.head(*rows, start, pull=1e7)[:-1], start[:-1], atol=1e-3)
    away = [np.linalg.norm(bias.head(*rows, start, pull)[:-1] - start[:-1]) for pull in (0.1, 1.0, 10.0, 100.0)]
    assert away == sorted(away, reverse=True)


def test_the_swap_gap_counts_only_what_the_name_changes():
    w = np.array([1.0, 1.0, 0.0])  # column 0 holds the name, column 1 the work
    work = np.array([-2.0, -0.5, 0.5, 2.0])
    men, women = np.c_[np.ones(4), work], np.c_[-np.ones(4), work]
    assert bias.swap_gap(w, men, women) == 0.5 and bias.swap_gap(w, women, men) == -0.5
    assert bias.swap_gap(np.array([0.0, 1.0, 0.0]), men, women) == 0


# --- mends ---------------------------------------------------------------------------------------------------------------

def test_without_makes_swapped_texts_score_alike():
    rng = np.random.default_rng(0)
    pairs = rng.normal(size=(30, 2)) @ rng.normal(size=(2, 8))
    w = rng.normal(size=9)
    blind = bias.without(w, pairs, k=2)
    assert np.abs(pairs @ w[:-1]).max() > 0.5 and np.abs(pairs @ blind[:-1]).max() < 1e-9
    away = np.linalg.svd(pairs)[2][2:]  # directions that have nothing to do with it
    np.testing.assert_allclose(away @ blind[:-1], away @ w[:-1], atol=1e-9)


def test_reweighed_rows_have_an_answer_that_does_not_depend_on_the_group():
    rng = np.random.default_rng(0)
    group = rng.random(500) < 0.4
    yes = rng.random(500) < np.where(group, 0.2, 0.7)
    w = bias.reweigh(yes, group)
    shares = [np.average(yes[group == g], weights=w[group == g]) for g in (True, False)]
    assert shares == pytest.approx([yes.mean()] * 2) and w.sum() == pytest.approx(500)
    assert w[group].sum() == pytest.approx(group.sum())
    np.testing.assert_allclose(w[yes & group], yes.mean() * group.mean() / (yes & group).mean())


def test_a_last_layer_on_equal_groups_does_not_use_the_shortcut():
    rng = np.random.default_rng(0)
    y, place = (rng.random((2, 4000)) < 0.5).astype(int)
    z = np.c_[2 * y - 1 + rng.normal(size=4000), 6.0 * place - 3]
    keep = (y == place) | (rng.random(4000) < 0.05)
    z, y, place = z[keep], y[keep], place[keep]
    probe = LogisticRegression().fit(z, y)
    again = bias.last_layer(z, y, 2 * y + place, per_group=60)
    worst = [bias.group_accuracy(y, m.predict(z), 2 * y + place).min() for m in (probe, again)]
    assert worst[0] < 0.4 and worst[1] > 0.65
    assert again.predict(z).shape == (len(z),)


def test_group_accuracy_by_hand():
    found = bias.group_accuracy([0, 0, 1, 1, 1], [0, 1, 1, 1, 0], ["a", "a", "b", "b", "b"])
    assert found.to_dict() == pytest.approx({"a": 1 / 2, "b": 2 / 3})


# --- association tests ----------------------------------------------------------------------------------------------------

def slow_effect(x, y, a, b):
    def cos(u, v): return float(u @ v / np.linalg.norm(u) / np.linalg.norm(v))
    def lean(u): return np.mean([cos(u, v) for v in a]) - np.mean([cos(u, v) for v in b])
    sx, sy = [lean(u) for u in x], [lean(u) for u in y]
    return (np.mean(sx) - np.mean(sy)) / np.std(sx + sy, ddof=1)


def test_the_effect_is_the_papers_formula_written_with_loops():
    rng = np.random.default_rng(3)
    lists = [rng.normal(size=(n, 5)) for n in (6, 7, 4, 3)]
    assert bias.association(*lists, draws=20)["effect"] == pytest.approx(slow_effect(*lists))


def test_lists_that_lean_have_a_small_p_and_swapped_lists_the_opposite_sign():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(8, 10)) + 3 * np.eye(10)[0], rng.normal(size=(8, 10)) + 3 * np.eye(10)[1]
    x, y = rng.normal(size=(8, 10)) + np.eye(10)[0], rng.normal(size=(8, 10)) + np.eye(10)[1]
    found, other = bias.association(x, y, a, b, draws=400), bias.association(y, x, a, b, draws=400)
    assert found["effect"] == pytest.approx(-other["effect"]) and found["p"] < 0.05 < other["p"]
    assert found["low"] < found["effect"] < found["high"] <= 2


def test_without_a_lean_p_is_even():
    ps = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        ps.append(bias.association(*(rng.normal(size=(8, 6)) for _ in range(4)), draws=60)["p"])
    assert 0.35 < np.mean(ps) < 0.65 and np.mean(np.array(ps) < 0.1) < 0.25


# --- measures ----------------------------------------------------------------------------------------------------------------

def test_measures_are_fairlearns():
    metrics = pytest.importorskip("fairlearn.metrics")
    from sklearn.metrics import precision_score
    rng = np.random.default_rng(0)
    right, said = rng.random((2, 300)) < 0.6
    group = rng.choice(["a", "b", "c"], 300)
    names = {"yes said": metrics.selection_rate, "yes, if right": metrics.true_positive_rate, "yes, if wrong": metrics.false_positive_rate, "right, if yes": precision_score}
    frame = metrics.MetricFrame(metrics=names, y_true=right, y_pred=said, sensitive_features=group).by_group
    ours = bias.measures(right, said, group).T
    np.testing.assert_allclose(ours[list(names)].to_numpy(float), frame.loc[ours.index, list(names)].to_numpy(float))
    assert ours["people"].sum() == 300


# --- the worlds ----------------------------------------------------------------------------------------------------------------

def test_composed_cvs_differ_by_the_name_only():
    cvs = compose(40, "care", seed=3)
    for woman, man in zip(cvs.texts(woman=True), cvs.texts(woman=False)):
        first, _, rest = woman.partition(". ")
        other, _, same = man.partition(". ")
        assert rest == same and first in WOMEN and other in MEN
    assert cvs.texts(named=False, woman=True) == cvs.texts(named=False, woman=False)
    own = cvs.texts()
    assert all((t.partition(". ")[0] in WOMEN) == w for t, w in zip(own, cvs.woman))


def test_struck_proxies_hold_no_word_of_gender():
    words = {w for lines in PROXIES.values() for line in lines for w in strike(line).lower().replace(".", "").split()}
    assert not words & {"women", "women's", "men", "men's", "girls'", "boys'", "woman", "man"}
    assert strike(PROXIES[True][0]) == PROXIES[True][0]


def test_the_digits_test_has_other_patches_and_other_handwriting():
    learn, test = digits_on(60, seed=1), digits_on(60, part="test", seed=1)
    same = (learn.x.flatten(1)[:, None] == test.x.flatten(1)[None]).float().mean(2)
    assert same.max() < 0.9 and learn.y.float().mean() == 0.5
    some = learn.take(torch.tensor([3, 1]))
    assert len(some) == 2 and (some.group == learn.group[[3, 1]]).all()


def test_every_word_test_has_two_lists_of_one_length():
    assert {len(x) == len(y) and len(a) == len(b) for x, y, a, b in map(word_test, TESTS)} == {True}


def test_the_applications_are_those_of_the_textbook():
    found = loans.loans()
    assert len(found) == 1971 and "white" not in found.x and not found.x.isna().any().any()
    assert found.approved[found.white].mean() == pytest.approx(0.908, abs=0.001)
    assert found.approved[~found.white].mean() == pytest.approx(0.703, abs=0.001)

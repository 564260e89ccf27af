"""Lesson 14: the scores against second formulations and other people's code; `choose` on small pools."""
from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.stats import multivariate_normal, weightedtau
from sklearn.covariance import LedoitWolf
from sklearn.metrics import mutual_info_score
from sklearn.model_selection import LeaveOneOut, cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from transfer_course import candidates, data, transferability, unsupervised
from transfer_course.tasks import Task

SHAPES = [(150, 20), (150, 200), (60, 61), (60, 60), (40, 160)]


def cloud(n, d, classes=4, apart=0.4, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % classes)
    return rng.normal(size=(n, d)) + apart * rng.normal(size=(classes, d))[y], y


def shares(n, old, seed=0): return np.random.default_rng(seed).dirichlet(np.full(old, 0.3), n)


def test_neighbour_score_is_sklearns_leave_one_out():
    z, y = cloud(60, 12)
    right = cross_val_score(KNeighborsClassifier(1, metric="cosine"), z, y, cv=LeaveOneOut()).mean()
    assert transferability.neighbour_score(z, y) == pytest.approx(right)
    assert unsupervised.leave_one_out_knn(z, y, k=1) == pytest.approx(right)  # of lesson 08


def test_leep_word_for_word():
    """Equations 1 and 2 of the paper, in loops."""
    p, (_, y) = shares(40, 7), cloud(40, 2)
    joint = np.zeros((4, 7))
    for row, c in zip(p, y): joint[c] += row / 40
    given = joint / joint.sum(0)
    right = np.mean([np.log(sum(given[c, z] * row[z] for z in range(7))) for row, c in zip(p, y)])
    assert transferability.leep(p, y) == pytest.approx(right)


def test_leep_is_0_where_old_classes_are_the_new_ones_and_names_of_classes_do():
    _, y = cloud(40, 2)
    assert transferability.leep(np.eye(6)[y], y) == pytest.approx(0)
    assert transferability.leep(np.eye(6)[y], [f"class {c}" for c in y]) == pytest.approx(0)


def test_nce_is_minus_the_conditional_entropy():
    p, (_, y) = shares(200, 5), cloud(200, 2)
    share = np.bincount(y) / len(y)
    entropy = -(share * np.log(share)).sum()
    assert transferability.nce(p, y) == pytest.approx(mutual_info_score(p.argmax(1), y) - entropy)


def test_n_leep_prefers_classes_that_lie_apart():
    near, far = (transferability.n_leep(*cloud(80, 20, apart=a)) for a in (0.05, 3))
    assert near < far <= 0 and far > -0.05


@pytest.mark.parametrize("n,d", SHAPES)
def test_logme_is_the_maximum_of_the_gaussian_evidence(n, d):
    """The density of the labels with the weights integrated out, maximised by another optimizer."""
    z, y = cloud(n, d)
    def best(t):
        def minus(logs):
            a, b = np.exp(logs)
            return -multivariate_normal(np.zeros(n), np.eye(n) / b + z @ z.T / a).logpdf(t) / n
        return -minimize(minus, np.log([100.0, 5.0]), method="Nelder-Mead").fun
    right = np.mean([best((y == c).astype(float)) for c in range(4)])
    assert transferability.logme(z, y) == pytest.approx(right, abs=2e-3)


def first_paper(z, y, rounds=11):
    """As in the first paper: all D eigenvalues, with the zeros, and the weights themselves."""
    values, v = np.linalg.eigh(z.T @ z)
    values, found = values.clip(0), []
    for c in np.unique(y):
        t, a, b = (y == c).astype(float), 1.0, 1.0
        for _ in range(rounds):
            gamma = (b * values / (a + b * values)).sum()
            m = v @ ((v.T @ (z.T @ t)) * b / (a + b * values))
            a, b = gamma / (m @ m + 1e-5), (len(y) - gamma) / (((t - z @ m) ** 2).sum() + 1e-5)
        log = len(values) * np.log(a) + len(y) * np.log(b / 2 / np.pi) - np.log(a + b * values).sum() - b * ((t - z @ m) ** 2).sum() - a * m @ m
        found.append(log / 2 / len(y))
    return np.mean(found)


@pytest.mark.parametrize("n,d", SHAPES)
def test_logme_agrees_with_the_exact_variant_of_its_authors(n, d):
    assert transferability.logme(*cloud(n, d)) == pytest.approx(first_paper(*cloud(n, d)), abs=2e-3)


@pytest.mark.parametrize("n,d", SHAPES)
def test_the_published_logme_is_right_only_with_more_pictures_than_features(n, d):
    z, y = cloud(n, d)
    published = transferability.logme(z, y, published=True)
    assert (published == pytest.approx(transferability.logme(z, y), abs=1e-6)) == (n >= d)
    wider = np.hstack([z, np.zeros((n, 2 * n))])
    assert transferability.logme(wider, y) == pytest.approx(transferability.logme(z, y), abs=1e-6)
    assert transferability.logme(wider, y, published=True) > transferability.logme(z, y) + 0.1


@pytest.mark.parametrize("n,d", SHAPES)
def test_h_score_word_for_word(n, d):
    z, y = cloud(n, d)
    means = np.stack([z[y == c].mean(0) for c in y])
    fit = LedoitWolf().fit(z)
    right = np.trace(np.linalg.pinv(fit.covariance_) @ np.cov(means, rowvar=False)) * (1 - fit.shrinkage_)
    assert transferability.h_score(z, y) == pytest.approx(right)
    plain = np.trace(np.linalg.pinv(np.cov(z, rowvar=False), rcond=1e-12) @ np.cov(means, rowvar=False))
    assert transferability.h_score(z, y, shrink=False) == pytest.approx(plain, rel=1e-6)
    assert (transferability.h_score(z, y, shrink=False) == pytest.approx(3)) == (d >= n - 1)  # as many as classes, less one


def test_gbc_by_the_integral_of_two_gaussians():
    """In one dimension the coefficient is an integral that a sum can do."""
    z, y = cloud(200, 1, classes=3, apart=1)
    grid = np.linspace(-15, 15, 20001)
    def density(v): return np.exp(-(grid - v.mean()) ** 2 / (2 * v.var())) / np.sqrt(2 * np.pi * v.var())
    right = -sum((np.sqrt(density(z[y == a]) * density(z[y == b]))).sum() * (grid[1] - grid[0]) for a, b in combinations(range(3), 2))
    assert transferability.gbc(z, y) == pytest.approx(right, abs=1e-4)


@pytest.mark.parametrize("score", ["neighbour_score", "probe_score", "n_leep", "logme", "h_score", "gbc"])
def test_a_score_is_higher_where_classes_lie_apart(score):
    f = getattr(transferability, score)
    for d in (10, 150): assert f(*cloud(90, d, apart=0.1)) < f(*cloud(90, d, apart=1.5))


def test_ranking_and_regret():
    rng = np.random.default_rng(0)
    score, truth = rng.random(20), rng.random(20)
    assert transferability.ranking(score, truth) == pytest.approx(weightedtau(score, truth).statistic)
    assert transferability.ranking(truth, truth) == pytest.approx(1) and transferability.ranking(-truth, truth) == pytest.approx(-1)
    assert transferability.ranking(np.ones(20), truth) == 0
    assert transferability.regret(truth, truth) == 0
    assert transferability.regret([2, 2, 1], [0.5, 0.7, 0.9]) == pytest.approx(0.3)


@pytest.fixture(scope="module")
def digits():
    task = data.load("digits")
    rows = candidates.labelled(task.y_train, 60)
    return Task("digits", task.x_train[rows], task.y_train[rows], task.x_test[:20], task.y_test[:20], task.classes)


SMALL = [c for c in candidates.POOL if "CourseNet" in c.network]


def test_choose_halves_and_doubles(digits):
    best, table = transferability.choose(digits, SMALL, first=2)
    assert table.candidates.tolist() == [12, 6, 3] and table.pictures.tolist() == [20, 40, 60]
    assert table.cost.is_monotonic_increasing and str(best) == table.best.iloc[-1]


def test_choose_with_one_round_is_the_best_neighbour(digits):
    best, table = transferability.choose(digits, SMALL, first=6, decide=transferability.neighbour_score)
    z = candidates.features(digits.x_train, SMALL)
    score = {c: transferability.neighbour_score(f, digits.y_train.numpy()) for c, f in z.items()}
    assert len(table) == 1 and score[best] == max(score.values()) == pytest.approx(table.score[0])


def test_choose_looks_at_nothing_but_the_training_part(digits):
    spoilt = Task("digits", digits.x_train, digits.y_train, 255 - digits.x_test, digits.y_test.flip(0), digits.classes)
    assert transferability.choose(digits, SMALL)[0] == transferability.choose(spoilt, SMALL)[0]


def test_choose_halves_by_one_score_and_decides_by_another(digits):
    asked = []
    def noting(name, score): return lambda z, y: asked.append((name, len(y))) or score(z, y)
    transferability.choose(digits, SMALL, 2, noting("halve", transferability.gbc), noting("decide", transferability.neighbour_score))
    assert asked == [("halve", 20)] * 12 + [("halve", 40)] * 6 + [("decide", 60)] * 3


def test_choose_costs_less_than_looking_at_all(digits):
    _, table = transferability.choose(digits, SMALL, first=2)
    view = candidates.Viewer(digits.x_train)
    view(SMALL, len(digits.y_train))
    assert table.cost.iloc[-1] < view.cost


def test_one_candidate_is_chosen_at_once(digits):
    best, table = transferability.choose(digits, SMALL[:1], first=2)
    assert best == SMALL[0] and len(table) == 1


def test_random_networks_are_drawn_anew_for_each_seed():
    x = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    random = [c for c in SMALL if c.network.startswith("random")]
    first, again, other = (candidates.features(x, random[:1], seed=s)[random[0]] for s in (0, 0, 1))
    assert (first == again).all() and not np.allclose(first, other)

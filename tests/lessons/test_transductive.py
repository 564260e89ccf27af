"""Domain adaptation against second formulations in float64, and its behaviour: labels that are not read, statistics that are kept apart."""
import copy
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
import torch
from torch import nn

from transfer_course import augment, backbones, data, transductive
from transfer_course.augment import random_shift
from transfer_course.data import Task
from transfer_course.domains import label_shift, open_set, same_task
from transfer_course.kinds import keeping_statistics, norms_of
from transfer_course.transductive import (
    DANN,
    adabn,
    adapt,
    coral,
    digit_net,
    entropy,
    forward_with_features,
    information_maximisation,
    learn,
    mcc,
    mmd,
    mutual_information,
    negative_entropy,
    negatives,
    ramp,
    reverse,
    self_training,
    soft_neighborhood_density,
    source_only,
    union,
)


def rows(n, d, seed=0): return torch.randn(n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


ZS, ZT, SCORES = rows(9, 4), 1.5 * rows(7, 4, 1) + 1, 2 * rows(7, 3, 2)


# --- losses against another formulation -----------------------------------------------------------------------------

def test_coral_against_numpy():
    a, b = (np.cov(z.numpy(), rowvar=False) for z in (ZS, ZT))
    assert np.isclose(coral(ZS, ZT).item(), np.linalg.norm(a - b, "fro") ** 2 / (4 * 4**2), rtol=1e-12)


def test_coral_against_traces():
    """‖A − B‖² = tr A² + tr B² − 2 tr AB, with A = Z'HZ/(n−1) and H the centring matrix"""
    def cov(z):
        h = torch.eye(len(z), dtype=z.dtype) - 1 / len(z)
        return z.T @ h @ z / (len(z) - 1)
    a, b = cov(ZS), cov(ZT)
    assert torch.isclose(coral(ZS, ZT), ((a @ a).trace() + (b @ b).trace() - 2 * (a @ b).trace()) / 64, rtol=1e-12)


def test_coral_does_not_see_the_mean_and_mmd_does():
    assert coral(ZS, ZS + 3) < 1e-20
    assert mmd(ZS, ZS + 3) > 0.1


def test_mmd_against_loops():
    z = torch.cat([ZS, ZT]).numpy()
    pairs = [((a - b) ** 2).sum() for i, a in enumerate(z) for j, b in enumerate(z) if i != j]
    def k(a, b): return np.mean([np.exp(-((a - b) ** 2).sum() / (f * np.mean(pairs))) for f in (0.25, 0.5, 1, 2, 4)])
    def mean(a, b): return np.mean([[k(p, q) for q in b] for p in a])
    s, t = ZS.numpy(), ZT.numpy()
    assert np.isclose(mmd(ZS, ZT).item(), mean(s, s) + mean(t, t) - 2 * mean(s, t), rtol=1e-12)


def test_mmd_against_scikit_learn():
    from sklearn.metrics.pairwise import rbf_kernel
    width = 3.7
    mine = transductive.kernels(transductive.distances(ZS, ZT), [width])
    assert np.allclose(mine.numpy(), rbf_kernel(ZS.numpy(), ZT.numpy(), gamma=1 / width), rtol=1e-12)


@pytest.mark.parametrize("loss", [coral, mmd])
def test_no_distance_between_a_cloud_and_itself(loss):
    assert loss(ZS, ZS).abs() < 1e-12
    assert torch.isclose(loss(ZS, ZT), loss(ZT, ZS), rtol=1e-12)


@pytest.mark.parametrize("loss", [coral, mcc, information_maximisation])
def test_gradients_against_finite_differences(loss):
    inputs = [t.clone().requires_grad_() for t in (ZS, ZT, SCORES)]
    assert torch.autograd.gradcheck(lambda *a: loss(*a), inputs)


def test_mmd_gradient_against_finite_differences():
    """The widths are data, not weights: they are held fixed."""
    z = torch.cat([ZS, ZT])
    widths = [float(f * transductive.distances(z, z).sum() / (16 * 15)) for f in (0.25, 0.5, 1, 2, 4)]
    def value(a, b): return sum(s * transductive.kernels(transductive.distances(p, q), widths).mean() for s, p, q in [(1, a, a), (1, b, b), (-2, a, b)])
    a, b = ZS.clone().requires_grad_(), ZT.clone().requires_grad_()
    assert torch.autograd.gradcheck(value, (a, b))
    mine, = torch.autograd.grad(mmd(a, b), b)
    other, = torch.autograd.grad(value(a, b), b)
    assert torch.allclose(mine, other, rtol=1e-10)


def test_coral_gradient_in_closed_form():
    """dL/dZs = Zs_centred (Cs − Ct) / (D² (n−1))  (Sun & Saenko 2016, equation 5, centred)"""
    zs = ZS.clone().requires_grad_()
    coral(zs, ZT).backward()
    closed = (ZS - ZS.mean(0)) @ (torch.cov(ZS.T) - torch.cov(ZT.T)) / (4**2 * (len(ZS) - 1))
    assert torch.allclose(zs.grad, closed, rtol=1e-10)


@pytest.mark.parametrize("strength", [0., 0.3, 1., 5.])
def test_reversal(strength):
    """Forward the identity; backward −λ times what finite differences of the plain function give"""
    z = ZS.clone().requires_grad_()
    assert torch.equal(reverse(z, strength), z)
    def f(z): return (z.sin() * ZS.cos()).sum()
    f(reverse(z, strength)).backward()
    e = 1e-6 * torch.eye(z.numel(), dtype=z.dtype).view(-1, *z.shape)
    numeric = torch.stack([(f(ZS + d) - f(ZS - d)) / 2e-6 for d in e]).view_as(z)
    assert torch.allclose(z.grad, -strength * numeric, atol=1e-8)


def test_dann_pulls_the_critic_one_way_and_the_features_the_other():
    loss, zs, zt = DANN(4).double(), ZS.clone().requires_grad_(), ZT.clone().requires_grad_()
    value = loss(zs, zt)
    value.backward()
    with torch.no_grad():
        before = value.item()
        moved = loss(ZS - 1e-3 * zs.grad, ZT - 1e-3 * zt.grad).item()
        for p in loss.parameters(): p -= 1e-3 * p.grad
        learned = loss(ZS, ZT).item()
    assert moved > before > learned


def test_entropy_of_known_distributions():
    p = torch.tensor([[0.25] * 4, [1., 0, 0, 0]], dtype=torch.float64)
    assert torch.allclose(entropy(p), torch.tensor([np.log(4), 0.], dtype=torch.float64), atol=1e-6)


def test_information_is_mutual_information():
    """Σ p(x,y) log p(x,y)/(p(x)p(y)) with x uniform over the pictures"""
    p = SCORES.softmax(1).numpy() / len(SCORES)
    mutual = (p * np.log(p / (p.sum(0) * p.sum(1, keepdims=True)))).sum()
    assert np.isclose(mutual_information(SCORES), mutual, rtol=1e-6) and np.isclose(-information_maximisation(None, None, SCORES).item(), mutual, rtol=1e-6)


def test_mcc_against_loops():
    p = (SCORES / 2.5).softmax(1).numpy()
    h = -(p * np.log(p)).sum(1)
    w = len(p) * (1 + np.exp(-h)) / (1 + np.exp(-h)).sum()
    c = np.array([[sum(w[i] * p[i, a] * p[i, b] for i in range(len(p))) for b in range(3)] for a in range(3)])
    c = c / c.sum(1, keepdims=True)
    assert np.isclose(mcc(None, None, SCORES).item(), (c.sum() - np.trace(c)) / 3, rtol=1e-10)


def test_mcc_is_low_where_classes_keep_apart():
    sure, torn = 20 * torch.eye(3)[[0, 1, 2, 0]], 20 * (torch.eye(3)[[0, 1, 2, 0]] + torch.eye(3)[[1, 2, 0, 1]])
    assert mcc(None, None, sure) < 0.01 < 0.5 < mcc(None, None, torn)


def test_self_training_counts_confident_predictions_alone():
    scores = torch.tensor([[5., 0], [0.1, 0]], requires_grad=True)
    self_training(None, None, scores).backward()
    assert scores.grad[0, 0] < 0 and scores.grad[1].abs().sum() == 0


def test_density_against_loops():
    p = SCORES.softmax(1).numpy()
    p = p / np.linalg.norm(p, axis=1, keepdims=True)
    found = []
    for i in range(len(p)):
        q = np.exp([p[i] @ p[j] / 0.05 for j in range(len(p)) if j != i])
        q = q / q.sum()
        found.append(-(q * np.log(q)).sum())
    assert np.isclose(soft_neighborhood_density(SCORES), np.mean(found), rtol=1e-6)


def test_a_collapsed_network_is_certain_and_knows_nothing():
    collapsed, good = torch.tensor([[30., 0, 0]] * 9), 30 * torch.eye(3).repeat(3, 1)
    assert negative_entropy(collapsed) > -1e-3 and mutual_information(collapsed) < 1e-3
    assert abs(mutual_information(good) - np.log(3)) < 1e-3


def test_ramp(): assert ramp(0) == 0 and np.isclose(ramp(0.5), np.tanh(2.5)) and ramp(1) > 0.9999


# --- other libraries --------------------------------------------------------------------------------------------------

def test_mmd_ranks_shifts_as_optimal_transport_does():
    ot = pytest.importorskip("ot", reason="POT is not installed")
    def transport(a, b): return ot.emd2(np.full(len(a), 1 / len(a)), np.full(len(b), 1 / len(b)), ot.dist(a.numpy(), b.numpy()))
    base, moved = rows(60, 3), [rows(60, 3, 5) + s for s in (0., 0.5, 1., 2.)]
    assert np.argsort([mmd(base, m).item() for m in moved]).tolist() == np.argsort([transport(base, m) for m in moved]).tolist() == [0, 1, 2, 3]


def test_optimal_transport_of_one_dimension_is_sorting():
    """A check of the yardstick itself: in one dimension the plan pairs the sorted points"""
    ot = pytest.importorskip("ot", reason="POT is not installed")
    a, b = rows(40, 1).numpy(), 2 * rows(40, 1, 1).numpy() + 3
    plan = np.full(40, 1 / 40)
    assert np.isclose(ot.emd2(plan, plan, ot.dist(a, b)), ((np.sort(a[:, 0]) - np.sort(b[:, 0])) ** 2).mean())


def test_skadas_coral_brings_our_distance_to_zero():
    """skada's CORAL moves the source to the target's covariance: our loss must then be 0"""
    skada = pytest.importorskip("skada", reason="skada is not installed")
    zs, zt = rows(300, 4).numpy() @ np.diag([1, 2, 3, 4.]), rows(300, 4, 1).numpy()
    moved = skada.CORALAdapter(reg=1e-12).fit_transform(np.vstack([zs, zt]), sample_domain=np.r_[np.ones(300), -2 * np.ones(300)])
    moved = torch.as_tensor(np.asarray(getattr(moved, "X", moved)))[:300]
    assert coral(moved, torch.as_tensor(zt)) < 1e-4 * coral(torch.as_tensor(zs), torch.as_tensor(zt))


# --- adapt -------------------------------------------------------------------------------------------------------------

@lru_cache
def toy(seed=0):
    """Bright squares left or right on black; in the target dimmer, on grey."""
    g = torch.Generator().manual_seed(seed)
    def make(n, low, high):
        y = torch.arange(n) % 2
        x = torch.randint(0, 20, (n, 3, 28, 28), generator=g) + low
        for i in range(n): x[i, :, 8:20, 3 + 14 * int(y[i]):11 + 14 * int(y[i])] += high - low
        return x.clamp(0, 255).to(torch.uint8), y
    def task(name, *light): return Task(name, *make(64, *light), *make(40, *light), ["left", "right"])
    return task("bright", 0, 220), task("dim", 90, 150)


@pytest.mark.parametrize("method", transductive.METHODS)
def test_every_method_runs_and_repeats(method):
    source, target = toy()
    nets = [digit_net(2) for _ in range(2)]
    logs = [learn(method, net, source, target, epochs=1, batch_size=16, progress=False) for net in nets]
    assert [r["loss"] for r in logs[0].rows] == [r["loss"] for r in logs[1].rows]
    assert all(torch.equal(a, b) for a, b in zip(nets[0].state_dict().values(), nets[1].state_dict().values()))
    assert not nets[0].training


@pytest.mark.parametrize("method", [m for m in transductive.METHODS if m != "oracle"])
def test_target_labels_are_never_read(method):
    source, target = toy()
    wrong = replace(target, y_train=1 - target.y_train, y_test=1 - target.y_test)
    a, b = digit_net(2), digit_net(2)
    learn(method, a, source, target, epochs=1, progress=False)
    learn(method, b, source, wrong, epochs=1, progress=False)
    assert all(torch.equal(p, q) for p, q in zip(a.state_dict().values(), b.state_dict().values()))


def test_source_only_does_not_touch_the_target():
    source, target = toy()
    a, b = digit_net(2), digit_net(2)
    adapt(a, source, target, source_only, epochs=1, progress=False)
    adapt(b, source, replace(target, x_train=255 - target.x_train), source_only, epochs=1, progress=False)
    assert all(torch.equal(p, q) for p, q in zip(a.state_dict().values(), b.state_dict().values()))


def test_without_source_the_head_stays():
    source, target = toy()
    net = digit_net(2)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    adapt(net, None, target, information_maximisation, epochs=1, progress=False)
    after = net.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before if k.startswith("head"))
    assert not torch.equal(before["trunk.stage1.0.weight"], after["trunk.stage1.0.weight"])


def test_a_critic_learns_with_the_network():
    source, target = toy()
    net, loss = digit_net(2), DANN(128)
    before = loss.critic[0].weight.clone()
    adapt(net, source, target, loss, epochs=1, progress=False)
    assert not torch.equal(before, loss.critic[0].weight)


def test_a_function_of_ones_own_is_a_loss():
    seen = []
    def means(zs, zt, logits): seen.append((zs.shape, zt.shape, logits.shape)); return (zs.mean(0) - zt.mean(0)).square().mean()
    log = adapt(digit_net(2), *toy(), means, epochs=1, batch_size=16, watch=lambda net: {"training": net.training}, progress=False)
    assert seen[0] == ((16, 128), (16, 128), (16, 2)) and len(seen) == 4 and log.rows[0]["training"] is False


def test_the_objective_is_cross_entropy_plus_weighted_loss():
    """Against the two parts computed by hand, with BatchNorm on each batch's own statistics"""
    source, target = toy()
    net = digit_net(2).train()
    x, y = source.x_train[:16], source.y_train[:16]
    torch.manual_seed(3)
    total = transductive.Objective(net, target.x_train, coral, 2., lambda x: x, share=0.5)(net, x, y)
    torch.manual_seed(3)
    i = torch.randperm(64)[:16]
    (zs, scores), (zt, _) = forward_with_features(net, x), forward_with_features(net, target.x_train[i])
    assert torch.isclose(total, nn.functional.cross_entropy(scores, y) + 2 * ramp(0.5) * coral(zs, zt), rtol=1e-5)


def test_cdan_shows_products():
    net = digit_net(3)
    z = torch.randn(4, 128)
    p = net.head(z).softmax(1)
    shown = transductive.CDAN(net).shown(z)
    assert torch.allclose(shown, torch.stack([torch.outer(p[i], z[i]).flatten() for i in range(4)]), atol=1e-6) and not (shown.grad_fn and p.grad_fn in [shown.grad_fn])
    loss = transductive.CDAN(net)
    assert {id(p) for p in loss.parameters()}.isdisjoint({id(p) for p in net.parameters()})


def test_tent_moves_scales_and_shifts_alone_and_answers_before_it_learns():
    source, target = toy()
    net = digit_net(2)
    adapt(net, source, target, source_only, epochs=1, progress=False)
    first, before = copy.deepcopy(net), {k: v.clone() for k, v in net.named_parameters()}
    answers = transductive.tent(net, target.x_train, lr=1e-2, batch_size=32)
    scales = {id(p) for m in norms_of(net) for p in m.parameters()}
    moved = {k for k, p in net.named_parameters() if not torch.equal(p, before[k])}
    assert moved and all(id(dict(net.named_parameters())[k]) in scales for k in moved)
    with torch.no_grad(): expected = first.train()(target.x_train[:32])
    assert answers.shape == (64, 2) and torch.allclose(answers[:32], expected, atol=1e-5) and not net.training


def test_reverse_accuracy_needs_right_labels():
    """The way back works with the source's own labels, and fails with swapped ones"""
    source, _ = toy()
    class Says(nn.Module):
        def __init__(self, swap): super().__init__(); self.swap = swap
        def forward(self, x):
            left = x[:, 0, 8:20, 3:11].float().mean((1, 2)) > x[:, 0, 8:20, 17:25].float().mean((1, 2))
            return nn.functional.one_hot((~left).long() ^ self.swap, 2).float()
    right, wrong = (transductive.reverse_accuracy(Says(s), digit_net(2), source, source, epochs=6, batch_size=16) for s in (0, 1))
    assert right > 0.9 and wrong < 0.1


def test_random_filters_keep_some_pictures():
    x = toy()[0].x_train
    torch.manual_seed(0)
    z = augment.random_conv(x, 0.5)
    same = (z == x).flatten(1).all(1)
    assert z.shape == x.shape and z.dtype == torch.uint8 and 10 < same.sum() < 54
    assert torch.equal(augment.random_conv(x, 0.), x)


def test_only_the_target_is_remembered_by_batch_norm():
    net = digit_net(2).train()
    norm, source, target = net.trunk.stage1[1], *toy()
    with keeping_statistics(net): net(source.x_train)
    assert norm.running_mean.abs().max() == 0 and norm.momentum == 0.1
    net(target.x_train)
    assert norm.running_mean.abs().max() > 0


def test_adabn_holds_the_statistics_of_the_target():
    net, x = digit_net(2), toy()[1].x_train
    weights = [p.clone() for p in net.parameters()]
    adabn(net, x, batch_size=64)
    first = net.trunk.stage1[0](net.preprocess(x))
    assert torch.allclose(net.trunk.stage1[1].running_mean, first.mean((0, 2, 3)), atol=1e-4)
    assert torch.allclose(net.trunk.stage1[1].running_var, first.var((0, 2, 3)), rtol=1e-3)
    assert all(torch.equal(a, b) for a, b in zip(weights, net.parameters())) and not net.training and net.trunk.stage1[1].momentum == 0.1


def test_features_are_what_enters_the_head():
    net, x = digit_net(2), toy()[0].x_train[:4]
    z, scores = forward_with_features(net, x)
    assert torch.allclose(z, net.features(x)) and torch.allclose(scores, net(x)) and not net.head._forward_pre_hooks


def test_a_backbone_with_a_map_before_its_head():
    net = backbones.course_net(2)
    log = adapt(net, *toy(), coral, epochs=1, batch_size=32, progress=False)
    assert len(log.rows) == 1


def test_frozen_stages_stay():
    net = backbones.course_net(2).freeze("stage2")
    before = {k: v.clone() for k, v in net.trunk.stage2.state_dict().items()}
    adapt(net, *toy(), coral, epochs=1, batch_size=32, progress=False)
    assert all(torch.equal(v, net.trunk.stage2.state_dict()[k]) for k, v in before.items())


def test_fewer_target_pictures_than_a_batch():
    source, target = toy()
    log = adapt(digit_net(2), source, replace(target, x_train=target.x_train[:5], y_train=target.y_train[:5]), coral, epochs=1, progress=False)
    assert np.isfinite(log.last("loss"))


# --- data --------------------------------------------------------------------------------------------------------------

def test_digits_of_mnist_m_are_other_digits():
    """No digit is in both parts, seen by the test labels' counts and the sizes"""
    source, target = transductive.load("MNIST → MNIST-M", 1)
    assert (len(source.x_train), len(target.x_train), len(target.x_test)) == (2500, 1500, 1000)
    grey = data.load("mnist_5k", seed=1)
    rest = {x.numpy().tobytes() for x in grey.x_train} - {x[:1].numpy().tobytes() for x in source.x_train}
    again = torch.stack([torch.frombuffer(bytearray(b), dtype=torch.uint8).view(1, 28, 28) for b in rest])
    assert len(again) <= 1500 and sorted(target.y_train.bincount().tolist()) == sorted((grey.y_train.bincount() - source.y_train.bincount()).tolist())


@pytest.mark.parametrize("pair", [p for p in transductive.PAIRS if p != "MNIST → MNIST-M"])
def test_pairs_fit(pair):
    source, target = transductive.load(pair)
    same_task(source, target)
    assert not torch.equal(source.x_train[:50], target.x_train[:50])
    assert transductive.start(pair)(source.x_train[:2]).shape == (2, len(source.classes))


def test_cases():
    source, target = toy()
    ten = replace(target, classes=list("abcdefghij"), y_train=torch.arange(64) % 10, y_test=torch.arange(40) % 10)
    none, some = label_shift(ten, 0.), label_shift(ten, 0.1)
    assert none.y_train.max() == 4 and none.y_test.max() == 4 and 0 < (some.y_train > 4).sum() < 10
    wrong = open_set(ten, 0)
    assert wrong.x_train.shape == (1000, 3, 28, 28) and torch.equal(wrong.x_test, ten.x_test)


def test_union_holds_both():
    both = union(*toy())
    assert len(both.x_train) == 128 and torch.equal(both.x_test, toy()[0].x_test)


def test_negatives_are_pictures_or_their_negatives():
    x = torch.full((40, 1, 8, 8), 30, dtype=torch.uint8)
    assert set(negatives(x).unique().tolist()) == {30, 225}
    assert torch.equal(random_shift(x), x)


@pytest.mark.parametrize("old", ["information", "certainty", "density", "shifted", "block", "fewer", "strangers", "rgb", "with_spread", "check_domains"])
def test_old_names_work(old):
    with pytest.warns(FutureWarning, match=f"transductive.{old} is called"): assert callable(getattr(transductive, old))

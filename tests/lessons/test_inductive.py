"""Lesson 06: labels of several tasks, the mixed batch, the shared trunk, the weights of the losses, against formulations of their own."""
import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from transfer_course import training
from transfer_course.inductive import (
    MultiTaskNet,
    by_task,
    equal,
    flat_gradient,
    gradient_cosine,
    losses,
    multitask,
    pcgrad,
    score,
    sequential,
    shuffled_labels,
    single_task,
    task_weights,
    uncertainty,
    weighted,
)
from transfer_course.multitask import MAKERS, MultiTask, load
from transfer_course.small import shared_net

CLASSES = {"side": ["left", "right"], "shade": ["dark", "middle", "bright"]}


def pictures(n=120, seed=0):
    """Bright halves: on which side, and how bright. Both are easy to see."""
    g = torch.Generator().manual_seed(seed)
    y = torch.stack([torch.randint(2, (n,), generator=g), torch.randint(3, (n,), generator=g)], 1)
    x = torch.randint(0, 30, (n, 1, 16, 16), generator=g)
    for i, (side, shade) in enumerate(y.tolist()): x[i, :, :, 8 * side:8 * side + 8] += 70 + 70 * shade
    return x.clamp(max=255).byte(), y


def make(n=120, **kw):
    x, y = pictures(n)
    a, b = pictures(60, seed=1)
    c, d = pictures(40, seed=2)
    return MultiTask("halves", x, y, a, b, CLASSES, c, d, **kw)


@pytest.fixture
def tasks(): return make()


def holes(tasks, every=3):
    """The same, with labels missing: every third side, and every shade of odd rows."""
    y = tasks.y_train.clone()
    y[::every, 0], y[1::2, 1] = -1, -1
    return replace(tasks, y_train=y)


# --- labels -------------------------------------------------------------------------------------------------------

def test_repr_counts_labels(tasks):
    assert repr(tasks) == "MultiTask halves: side (2 classes, 120 labels), shade (3 classes, 120 labels); 120 train, 40 valid, 60 test"
    assert "side (2 classes, 80 labels), shade (3 classes, 60 labels)" in repr(holes(tasks))


def test_only_keeps_columns_and_pictures_with_a_label(tasks):
    t = holes(tasks).only("shade")
    assert list(t.classes) == ["shade"] and t.y_train.shape == (60, 1) and (t.y_train >= 0).all()
    assert torch.equal(t.x_train, tasks.x_train[::2]) and torch.equal(t.y_train[:, 0], tasks.y_train[::2, 1])
    both = holes(tasks).only("shade", "side")
    assert list(both.classes) == ["shade", "side"] and len(both.x_train) == sum(i % 3 > 0 or i % 2 == 0 for i in range(120))


def test_task_is_an_ordinary_task(tasks):
    t = holes(tasks).task("side")
    assert len(t.x_train) == 80 and t.y_train.ndim == 1 and t.classes == ["left", "right"] and len(t.x_valid) == 40


@pytest.mark.parametrize("k", [1, 4, 30])
def test_few_keeps_k_labels_of_one_task(tasks, k):
    t = tasks.few("shade", k, seed=3)
    kept = t.y_train[:, 1] >= 0
    assert torch.equal(torch.bincount(t.y_train[kept, 1]), torch.tensor([k] * 3))
    assert torch.equal(t.y_train[kept, 1], tasks.y_train[kept, 1]) and torch.equal(t.y_train[:, 0], tasks.y_train[:, 0])
    assert (tasks.y_train >= 0).all() and torch.equal(t.y_test, tasks.y_test)


def test_few_depends_on_the_seed_alone(tasks):
    same = [tasks.few("side", 5, seed=s).y_train for s in (0, 0, 1)]
    assert torch.equal(same[0], same[1]) and not torch.equal(same[0], same[2])


def test_mixed_gives_each_task_as_many_rows(tasks):
    few = tasks.few("shade", 2)
    t = few.mixed()
    has = t.y_train >= 0
    assert has.sum(0).tolist() == [120, 120] and (has.sum(1) == 1).all() and len(t.x_train) == 240
    assert torch.equal(t.x_train[:120], tasks.x_train) and torch.equal(t.y_train[:120, 0], tasks.y_train[:, 0])
    pool = {p.numpy().tobytes() for p in few.x_train[few.y_train[:, 1] >= 0]}
    counts = [sum(p.numpy().tobytes() == q for p in t.x_train[120:]) for q in pool]
    assert len(pool) == 6 and counts == [20] * 6


def test_loaded_pairs():
    digits = load("digits")
    digit, odd, above, random = digits.y_train.T
    assert torch.equal(odd, digit % 2) and torch.equal(above, (digit >= 5).long())
    table = np.histogram2d(digit, random, bins=(range(11), range(11)))[0]
    chi2 = ((table - table.sum(1, keepdims=True) * table.sum(0) / 2000) ** 2 / (table.sum(1, keepdims=True) * table.sum(0) / 2000)).sum()
    assert chi2 < 130  # 81 degrees of freedom: the label means nothing
    assert load("digits") is digits and load("letters").x_train.shape == (2000, 1, 32, 32) and load("digits on photographs").x_train.shape == (2000, 3, 32, 32)


@pytest.mark.parametrize("name", MAKERS)
def test_no_picture_is_in_two_parts(name):
    t = load(name)
    parts = [{p.numpy().tobytes() for p in x} for x in (t.x_train, t.x_valid, t.x_test)]
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and len(parts[0]) > 1990


class Double(nn.Module):
    """Preprocessing that gives float64."""
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x): return self.inner(x).double()


def double(net):
    """The network in float64."""
    inner = net.net.preprocess
    net.double().net.preprocess = Double(inner.float())
    return net


# --- the network --------------------------------------------------------------------------------------------------

def test_one_trunk_and_two_heads(tasks):
    net = MultiTaskNet(shared_net(width=4), CLASSES)
    scores = net(tasks.x_test)
    assert scores.shape == (60, 5) and {k: tuple(v.shape) for k, v in by_task(net, scores).items()} == {"side": (60, 2), "shade": (60, 3)}
    z = net.trunk(net.net.preprocess(tasks.x_test)).mean((2, 3))
    assert torch.allclose(by_task(net, scores)["shade"], z @ net.heads["shade"][-1].weight.T + net.heads["shade"][-1].bias, atol=1e-5)


def test_a_loss_reaches_the_trunk_and_its_own_head_only(tasks):
    net = MultiTaskNet(shared_net(width=4), CLASSES)
    losses(net, tasks.x_train, tasks.y_train)[1].backward()
    assert net.heads["side"][-1].weight.grad.abs().sum() == 0 and net.heads["shade"][-1].weight.grad.abs().sum() > 0
    assert all(p.grad.abs().sum() > 0 for p in net.trunk.parameters() if p.ndim == 4)


def test_losses_against_plain_formulas(tasks):
    t = holes(tasks)
    net = double(MultiTaskNet(shared_net(width=4, seed=1), CLASSES, seed=2))
    got = losses(net, t.x_train, t.y_train).detach()
    scores = by_task(net, net(t.x_train).detach())
    for i, task in enumerate(CLASSES):
        rows = [r for r in range(120) if t.y_train[r, i] >= 0]
        p = scores[task].exp() / scores[task].exp().sum(1, keepdim=True)
        assert float(got[i]) == pytest.approx(-sum(math.log(p[r, t.y_train[r, i]]) for r in rows) / len(rows), abs=1e-9)


def test_a_batch_without_labels_for_a_task_has_loss_0(tasks):
    y = tasks.y_train.clone()
    y[:, 0] = -1
    net = MultiTaskNet(shared_net(width=4), CLASSES)
    got = losses(net, tasks.x_train, y)
    assert got[0] == 0 and got[1] > 0 and got.isfinite().all()
    got.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())


def test_objectives(tasks):
    net = MultiTaskNet(shared_net(width=4), CLASSES)
    a, b = losses(net, tasks.x_train, tasks.y_train).tolist()
    call = lambda objective: objective(net, tasks.x_train, tasks.y_train).item()
    assert call(equal) == pytest.approx(a + b, rel=1e-5) and call(uncertainty) == pytest.approx(a + b, rel=1e-5)
    assert call(weighted(shade=0.25, side=2)) == pytest.approx(2 * a + b / 4, rel=1e-5) and call(weighted(shade=0, side=1)) == pytest.approx(a, rel=1e-5)
    net.log_var.data = torch.tensor([0.7, -1.2])
    sigma2 = [math.exp(0.7), math.exp(-1.2)]
    assert call(uncertainty) == pytest.approx(sum(v / s + math.log(s**0.5) for v, s in zip((a, b), sigma2)), rel=1e-5)
    assert list(task_weights(net).values()) == pytest.approx([1 / s for s in sigma2])


def test_log_var_finds_its_best_place(tasks):
    """Where d/ds (exp(−s)·loss + s/2) = 0, the weight is 1/(2·loss)."""
    net = MultiTaskNet(shared_net(width=4), CLASSES).eval()
    want = losses(net, tasks.x_train, tasks.y_train).detach()
    opt = torch.optim.Adam([net.log_var], 0.05)
    for _ in range(300):
        opt.zero_grad()
        uncertainty(net, tasks.x_train, tasks.y_train).backward()
        opt.step()
    assert list(task_weights(net).values()) == pytest.approx((1 / (2 * want)).tolist(), rel=0.02)


def test_gradient_cosine_by_finite_differences(tasks):
    """The cosine from numerical gradients of each loss along a basis of a tiny trunk, in float64."""
    net = double(MultiTaskNet(shared_net(width=1, seed=3), CLASSES)).eval()
    for p in net.trunk.parameters(): p.data += 0.1 * torch.rand(p.shape, generator=torch.Generator().manual_seed(p.numel()))  # away from the corner of ReLU
    def slope(p, i):
        found = []
        for step in (1e-5, -2e-5):
            p.data[np.unravel_index(i, p.shape)] += step
            found.append(losses(net, tasks.x_train, tasks.y_train).detach())
        p.data[np.unravel_index(i, p.shape)] += 1e-5
        return (found[0] - found[1]) / 2e-5
    grads = torch.stack([slope(p, i) for p in net.trunk.parameters() for i in range(p.numel())])
    assert gradient_cosine(net, tasks.x_train, tasks.y_train) == pytest.approx(float(F.cosine_similarity(*grads.T, dim=0)), abs=1e-4)


def test_gradient_cosine_of_a_task_with_itself_is_1(tasks):
    twice = replace(tasks, classes={"a": CLASSES["side"], "b": CLASSES["side"]}, y_train=tasks.y_train[:, [0, 0]], y_test=tasks.y_test[:, [0, 0]], x_valid=None, y_valid=None)
    net = MultiTaskNet(shared_net(width=4), twice.classes)
    net.heads["b"].load_state_dict(net.heads["a"].state_dict())
    before = copy.deepcopy(net.state_dict())
    assert gradient_cosine(net, twice.x_train, twice.y_train) == pytest.approx(1, abs=1e-5)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items()) and all(p.grad is None for p in net.parameters())


# --- learning -----------------------------------------------------------------------------------------------------

def test_multitask_learns_both(tasks):
    net, log = multitask(tasks, steps=60, width=4)
    found = score(net, tasks)
    assert found["side"] > 0.9 and found["shade"] > 0.8 and len(log.rows) == 15
    assert log.settings["batch_size"] == 32


def test_multitask_mixes_where_labels_are_missing(tasks):
    net, log = multitask(tasks.few("shade", 4), uncertainty, steps=60, width=4)
    assert log.settings["batch_size"] == 64 and log.settings["n_train"] == 240
    assert score(net, tasks)["shade"] > 0.5 and task_weights(net) != {"side": 1, "shade": 1}


def test_single_task_and_sequential(tasks):
    one, _ = single_task(tasks, "side", steps=60, width=4)
    assert training.accuracy(one, tasks.x_test, tasks.y_test[:, 0]) > 0.9
    few = tasks.few("shade", 4)
    before = copy.deepcopy(one.state_dict())
    two, log = single_task(few, "shade", one, steps=60)
    assert log.settings["n_train"] == 12 and two.head[-1].out_features == 3
    assert all(torch.equal(v, before[k]) for k, v in one.state_dict().items())
    again, _ = sequential(few, "side", "shade", ratio=0.5, steps=60, width=4)
    assert training.accuracy(again, tasks.x_test, tasks.y_test[:, 1]) > 0.5


def test_a_smaller_ratio_moves_the_weights_less(tasks):
    start, _ = single_task(tasks, "side", steps=30, width=4)
    far = [sum((a - b).square().sum().item() for a, b in zip(start.trunk.parameters(), single_task(tasks, "shade", start, 1e-2 * r, 30)[0].trunk.parameters())) for r in (0.01, 1.)]
    assert far[0] < far[1] / 10


def test_the_same_seed_gives_the_same_network(tasks):
    nets = [multitask(tasks, steps=10, width=4, seed=s)[0] for s in (0, 0, 1)]
    same = [all(torch.equal(a, b) for a, b in zip(nets[0].state_dict().values(), n.state_dict().values())) for n in nets]
    assert same == [True, True, False]


def test_multitask_takes_any_backbone_and_leaves_it(tasks):
    net = shared_net(width=4)
    before = copy.deepcopy(net.state_dict())
    got, _ = multitask(tasks, net=net, steps=5)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items()) and not torch.equal(got.trunk.stem[0].weight, net.trunk.stem[0].weight)


def test_frozen_stages_stay(tasks):
    net = shared_net(width=4).freeze("stem")
    got, _ = multitask(tasks, net=net, steps=10)
    assert all(torch.equal(v, net.trunk.stem.state_dict()[k]) for k, v in got.trunk.stem.state_dict().items())


def test_score_counts_only_labelled(tasks):
    net, _ = multitask(tasks, steps=10, width=4)
    t = replace(tasks, y_test=torch.where(torch.arange(60)[:, None] < 7, tasks.y_test, -1))
    scores = by_task(net.eval(), net(tasks.x_test[:7]))
    assert score(net, t) == pytest.approx({k: float((scores[k].argmax(1) == tasks.y_test[:7, i]).float().mean()) for i, k in enumerate(CLASSES)}, abs=1e-6)


def test_old_names_still_work():
    from transfer_course import inductive
    for old, new in dict(MultiTask=MultiTaskNet, Tasks=MultiTask, together=multitask, small_net=shared_net).items():
        with pytest.warns(FutureWarning, match=f"inductive.{old} is called"): assert getattr(inductive, old) is new
    assert inductive.load is load


# --- the control and the surgery ----------------------------------------------------------------------------------

def test_shuffled_labels_keep_all_but_their_meaning(tasks):
    t = holes(tasks)
    s = shuffled_labels(t, "shade", seed=1)
    for part in ("train", "valid", "test"):
        old, new = getattr(t, f"y_{part}"), getattr(s, f"y_{part}")
        assert torch.equal(old[:, 0], new[:, 0]) and torch.equal(old[:, 1] < 0, new[:, 1] < 0)
        assert torch.equal(old[:, 1].sort().values, new[:, 1].sort().values) and not torch.equal(old, new)
        assert torch.equal(getattr(t, f"x_{part}"), getattr(s, f"x_{part}"))
    assert torch.equal(shuffled_labels(t, "shade", seed=1).y_train, s.y_train) and not torch.equal(shuffled_labels(t, "shade", seed=2).y_train, s.y_train)


def test_pcgrad_is_the_sum_with_mended_gradients(tasks):
    net, seen, conflicts = double(MultiTaskNet(shared_net(width=4, seed=3), CLASSES, seed=4)), [], 0
    trunk, heads = list(net.trunk.parameters()), list(net.heads.parameters())
    for i in range(0, 120, 12):
        x, y = tasks.x_train[i:i + 12], tasks.y_train[i:i + 12]
        a, b = (flat_gradient(loss, trunk) for loss in losses(net, x, y))
        value = pcgrad(net, x, y, seen)
        assert value.item() == pytest.approx(equal(net, x, y).item(), rel=1e-9)
        want = a + b
        if a @ b < 0:
            want = (a - (a @ b) / (b @ b) * b) + (b - (a @ b) / (a @ a) * a)
            conflicts += 1
        assert torch.allclose(flat_gradient(value, trunk), want, atol=1e-9)
        assert torch.allclose(flat_gradient(value, heads), flat_gradient(equal(net, x, y), heads), atol=1e-9)
        assert seen[-1] == pytest.approx(F.cosine_similarity(a, b, dim=0).item(), abs=1e-6)
    assert 0 < conflicts < 10


def test_pcgrad_trains(tasks):
    net, _ = multitask(tasks, pcgrad, lr=1e-2, steps=30, width=4)
    assert min(score(net, tasks).values()) > 0.8

"""Lesson 17: attacks, accounts and masks against second formulations and against opacus."""
import math
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from transfer_course import privacy
from transfer_course.private import noise_for, private_fit
from transfer_course.shadows import halves, shadow_heads, sureness


def test_the_gradient_of_one_example_is_the_example():
    torch.manual_seed(0)
    layer, z = nn.Linear(7, 4).double(), torch.randn(1, 7, dtype=torch.float64)
    F.cross_entropy(layer(z), torch.tensor([2])).backward()
    np.testing.assert_allclose(privacy.from_gradient(layer.weight.grad, layer.bias.grad), z[0], rtol=1e-9)


def test_leak_counts_by_hand():
    scores, member = np.r_[np.arange(100.0), [98.5, 99.5, 0.5]], np.arange(103) >= 100
    auc, tpr = privacy.leak(scores, member, fpr=0.01)
    by_pairs = np.mean([[a > b for b in scores[:100]] for a in scores[100:]])
    assert auc == pytest.approx(by_pairs) and tpr == pytest.approx(1 / 3)  # 99 lies above 98, and one of the hundred may be accused


@pytest.mark.parametrize("fpr", [0.01, 0.05, 0.3])
def test_no_more_are_accused_than_may_be(fpr):
    rng = np.random.default_rng(0)
    scores, member = np.round(rng.normal(size=4000), 1), rng.random(4000) < 0.5  # many ties
    line = np.quantile(scores[~member], 1 - fpr, method="higher")
    assert (scores[~member] > line).mean() <= fpr
    assert privacy.leak(scores, member, fpr)[1] == pytest.approx(fpr, abs=0.05)


def test_lira_is_the_ratio_of_two_bells():
    """Written out for one example and one model, in loops."""
    rng = np.random.default_rng(0)
    member = halves(9, 6)
    sure = rng.normal(size=(6, 9)) + 2 * member + 5 * rng.normal(size=9)
    def bell(m, seen):
        rows = [k for k in range(6) if k != m]
        means = [np.mean([sure[k, n] for k in rows if member[k, n] == seen]) for n in range(9)]
        gaps = [(sure[k, n] - means[n]) ** 2 for k in rows for n in range(9) if member[k, n] == seen]
        width = math.sqrt(sum(gaps) / len(gaps))
        return [-((sure[m, n] - means[n]) / width) ** 2 / 2 - math.log(width) for n in range(9)]
    for m in range(6):
        np.testing.assert_allclose(privacy.lira(sure, member)[m], np.subtract(bell(m, True), bell(m, False)), atol=1e-9)


def test_lira_sees_through_easy_examples():
    rng = np.random.default_rng(0)
    member = halves(400, 16)
    sure = rng.normal(size=member.shape) + 2 * member + 5 * rng.normal(size=400)
    assert privacy.leak(privacy.lira(sure, member), member)[0] > 0.85 > 0.65 > privacy.leak(sure, member)[0]


def test_no_example_counts_more_than_the_clip():
    each = np.array([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    np.testing.assert_allclose(privacy.private_gradient(each, clip=1, noise=0, size=2), [0.45, 0.6])
    draws = [privacy.private_gradient(each, clip=2, noise=1.5, size=4, rng=np.random.default_rng(s)) for s in range(3000)]
    np.testing.assert_allclose(np.std(draws, 0), 1.5 * 2 / 4, rtol=0.05)


def test_the_clipped_gradient_is_that_of_opacus():
    from opacus import GradSampleModule
    from opacus.optimizers import DPOptimizer
    torch.manual_seed(0)
    net, x, y = nn.Linear(5, 3).double(), 3 * torch.randn(8, 5, dtype=torch.float64), torch.arange(8) % 3
    each = []
    for i in range(8):
        net.zero_grad()
        F.cross_entropy(net(x[i:i + 1]), y[i:i + 1]).backward()
        each.append(torch.cat([p.grad.flatten() for p in net.parameters()]).numpy())
    net.zero_grad()
    model = GradSampleModule(net)
    opt = DPOptimizer(torch.optim.SGD(model.parameters(), 1.0), noise_multiplier=0, max_grad_norm=0.7, expected_batch_size=8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        F.cross_entropy(model(x), y).backward()
    opt.pre_step()
    theirs = torch.cat([p.grad.flatten() for p in net.parameters()]).numpy()
    np.testing.assert_allclose(privacy.private_gradient(np.array(each), 0.7, 0, 8), theirs, rtol=1e-5)


@pytest.mark.parametrize("epsilon", [0.3, 1, 3, 8])
@pytest.mark.parametrize("rate, epochs", [(1 / 16, 20), (1 / 3, 20), (1 / 100, 5)])
def test_epsilon_is_that_of_opacus_within_five_per_cent(epsilon, rate, epochs):
    from opacus.accountants import RDPAccountant
    noise, steps = noise_for(float(epsilon), 1e-3, rate, epochs), int(epochs / rate)
    theirs = RDPAccountant()
    theirs.history = [(noise, rate, steps)]
    assert privacy.epsilon_spent(noise, rate, steps, 1e-3) == pytest.approx(theirs.get_epsilon(1e-3), rel=0.05)


def test_epsilon_without_sampling_is_the_plain_gaussian():
    """Everybody in every batch: order/(2 noise²) a step, in closed form."""
    orders = np.arange(2, 257)
    renyi = 10 * orders / (2 * 5.0 ** 2)
    closed = renyi - (np.log(1e-5) + np.log(orders)) / (orders - 1) + np.log1p(-1 / orders)
    assert privacy.epsilon_spent(5.0, 1 - 1e-12, 10, 1e-5) == pytest.approx(closed.min(), rel=1e-3)


def test_the_average_counts_examples():
    states = [{"w": torch.tensor([1.0, 2.0]), "n": torch.tensor(4)}, {"w": torch.tensor([5.0, 6.0]), "n": torch.tensor(8)}]
    found = privacy.average(states, [30, 10])
    assert found["w"].tolist() == [2, 3] and found["n"].item() == 5 and found["n"].dtype == torch.int64


class Rows:
    def __init__(self, x, y): self.x_train, self.y_train = x, y


def test_one_full_step_at_each_client_is_a_step_on_all_data():
    """FedAvg with one step of plain gradient descent is gradient descent on everybody's data."""
    torch.manual_seed(0)
    x, y = torch.randn(30, 4), torch.arange(30) % 3
    def step(net, task, r):
        net.zero_grad()
        F.cross_entropy(net(task.x_train), task.y_train).backward()
        with torch.no_grad():
            for p in net.parameters(): p -= 0.5 * p.grad
    one = nn.Linear(4, 3)
    two = nn.Linear(4, 3)
    two.load_state_dict(one.state_dict())
    privacy.fedavg(one, [Rows(x[:5], y[:5]), Rows(x[5:12], y[5:12]), Rows(x[12:], y[12:])], 4, step)
    for r in range(4): step(two, Rows(x, y), r)
    torch.testing.assert_close(one.weight, two.weight)


@pytest.mark.parametrize("clients", [2, 3, 7])
def test_masks_cancel_and_hide(clients):
    rng = np.random.default_rng(clients)
    values, secrets = rng.integers(-500, 500, (clients, 200)), rng.integers(2 ** 31, size=(clients, clients))
    sent = [privacy.masked(v, me, {o: secrets[min(me, o), max(me, o)] for o in range(clients) if o != me}) for me, v in enumerate(values)]
    assert (sum(sent) % privacy.MODULUS == values.sum(0) % privacy.MODULUS).all()
    for v, message in zip(values, sent):
        assert abs(np.corrcoef(v, message)[0, 1]) < 0.3 and 0.4 < (message < privacy.MODULUS / 2).mean() < 0.6


# --- the rooms ----------------------------------------------------------------------------------------------------------

def test_a_head_among_shadows_is_that_head_alone():
    rng = np.random.default_rng(0)
    z, y = rng.normal(size=(50, 4)).astype(np.float32), torch.arange(50) % 2
    member = halves(50, 4)
    many = shadow_heads(z, y, member, hidden=6, steps=30)(z)[2]
    alone = shadow_heads(z, y, np.stack([member[0], member[1], member[2]]), hidden=6, steps=30)
    assert many.shape == alone(z)[2].shape
    def by_torch(rows, weights):
        net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
        for p, w in zip(net.parameters(), weights): p.data = w
        opt = torch.optim.Adam(net.parameters(), 0.01)
        for _ in range(30):
            opt.zero_grad()
            F.cross_entropy(net(torch.as_tensor(z[rows])), y[rows]).backward()
            opt.step()
        return net(torch.as_tensor(z))
    from transfer_course.shadows import _weights
    start = [p.detach()[2].mT.clone() if i % 2 == 0 else p.detach()[2, 0].clone() for i, p in enumerate(_weights(4, [4, 6, 2], 0))]
    torch.testing.assert_close(many, by_torch(member[2], start), atol=1e-3, rtol=1e-3)


def test_sureness_is_the_logit_of_the_probability():
    scores, y = torch.randn(3, 20, 5, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 5
    p = scores.double().softmax(2)[:, range(20), y]
    np.testing.assert_allclose(sureness(scores, y), (p / (1 - p)).log(), rtol=1e-6)
    assert np.isfinite(sureness(1000 * scores, y)).all()


def test_private_training_keeps_its_promise_and_less_epsilon_means_less_accuracy():
    x = torch.randn(600, 20, generator=torch.Generator().manual_seed(0))
    y = (x[:, :3].sum(1) > 0).long()
    right = {}
    for epsilon in (8.0, 0.1):
        net = nn.Linear(20, 2)
        spent = private_fit(net, x, y, epsilon, epochs=10)
        assert spent.epsilon <= 1.01 * epsilon and spent.delta == pytest.approx(1 / 660) and spent.steps == 30
        right[epsilon] = (net(x).argmax(1) == y).float().mean()
    assert right[8.0] > 0.85 and right[8.0] > right[0.1]

"""A checkpoint of `fit` is taken up by its own run alone; `fit` trains this network, leaves the caller's random numbers alone, and measures no NaN."""
import random

import numpy as np
import pytest
import torch
from harness import refused, rows
from torch import nn

from transfer_course import backbones, data, finetuning, small, training
from transfer_course.training import accuracy, balanced_accuracy, confusion

DIGITS = data.load("digits").few_shot(6)
A, B = (DIGITS.few_shot(3, seed=seed) for seed in (0, 1))


def net(seed=0): return small.shared_net(10, seed)
def fit(n, task=A, **how): return training.fit(n, task, **{"epochs": 2, "progress": False, **how})
def losses(log): return [r["loss"] for r in log.rows]
def same(a, b): return all(torch.equal(v, b.state_dict()[k]) for k, v in a.state_dict().items())


@pytest.fixture
def file(tmp_path):
    fit(net(), checkpoint=tmp_path / "c.pt")
    return tmp_path / "c.pt"


def shuffled(): return finetuning.replace(A, y_train=A.y_train.roll(1))
def brighter(): return finetuning.replace(A, x_train=A.x_train.clamp_min(1))
def decay(params, lr): return torch.optim.AdamW(params, lr, weight_decay=0.5)
def objective(model, x, y): return 2 * nn.functional.cross_entropy(model(x), y)
def frozen():
    n = net()
    n.head[-1].bias.requires_grad_(False)
    n.extra = None
    return n


decay.__name__, objective.__name__ = "adamw", "cross_entropy"
OTHERS = {  # name: (network, task, settings, words)
    "pictures": (net, lambda: B, {}, "other pictures or labels"),
    "labels": (net, shuffled, {}, "other pictures or labels"),
    "one pixel": (net, brighter, {}, "other pictures or labels"),
    "starting weights": (lambda: net(1), lambda: A, {}, "other starting weights"),
    "augmentation": (net, lambda: A, dict(augment=training.crop_flip), "other augmentation"),
    "objective of the same name": (net, lambda: A, dict(objective=objective), "other objective"),
    "optimizer of the same name": (net, lambda: A, dict(optimizer=decay), "other optimizer settings"),
    "frozen weights": (frozen, lambda: A, {}, "was made with learning="),
}


@pytest.mark.parametrize("other", OTHERS)
def test_another_run_does_not_take_up_the_checkpoint(file, other):
    make, task, how, words = OTHERS[other]
    n = make()
    before = {k: v.clone() for k, v in n.state_dict().items()}
    refused(lambda: fit(n, task(), checkpoint=file, **how), ValueError, ["checkpoint 'c.pt' was made with", words, "take another file name"])
    assert all(torch.equal(v, before[k]) for k, v in n.state_dict().items())


def test_rates_of_groups_belong_to_the_run(tmp_path):
    def run(ratio):
        n = net()
        return fit(n, checkpoint=tmp_path / "g.pt", params=finetuning.param_groups(n, 1e-3, ratio))
    run(10.)
    refused(lambda: run(100.), ValueError, ["other optimizer settings"])


def test_the_same_run_takes_it_up(file):
    one, two = net(), net()
    assert losses(fit(one)) == losses(fit(two, checkpoint=file)) and same(one, two)


def test_fine_tune_sees_another_draw_network_and_rate(tmp_path):
    def run(n, task, **how): return finetuning.fine_tune(n, task, 2, progress=False, checkpoint=tmp_path / "f.pt", **how)
    run(net(), A)
    refused(lambda: run(net(), B), ValueError, ["was made with other pictures or labels", "take another file name"])
    refused(lambda: run(net(1), A), ValueError, ["was made with other starting weights", "take another file name"])
    refused(lambda: run(net(), A, lr_ratio=100.), ValueError, ["was made with"])


def test_a_checkpoint_of_an_earlier_version_is_refused(file):
    state = torch.load(file, weights_only=True)
    del state["belongings"]
    torch.save(state, file)
    refused(lambda: fit(net(), checkpoint=file), ValueError, ["earlier version", "take another file name"])


def test_a_checkpoint_with_nan_is_refused(file):
    state = torch.load(file, weights_only=True)
    state["net"]["head.3.bias"][0] = torch.nan
    torch.save(state, file)
    refused(lambda: fit(net(), checkpoint=file), ValueError, ["holds NaN"])


# --- what trains nothing ----------------------------------------------------------------------------------------------

def after_a_new_head():
    n = net()
    params = finetuning.param_groups(n)
    return fit(n.replace_head(10, seed=1), params=params)


def all_frozen():
    n = net()
    n.freeze()
    return fit(n, params=list(n.trunk.parameters()))


def sgd_of(other): return lambda params, lr: torch.optim.SGD(other.parameters(), lr)
def no_scheduler(opt, steps): return torch.optim.lr_scheduler.ReduceLROnPlateau(opt)
def doubled(model, x, y): return nn.functional.cross_entropy(model(x), y, weight=torch.ones(10, dtype=torch.float64))
def apart(model, x, y): return torch.ones(1, requires_grad=True).sum()


@rows({
    "a head that was replaced": (after_a_new_head, ValueError, ["params holds 2 weights that are not net's"]),
    "another network's": (lambda: fit(net(), params=net().parameters()), ValueError, ["params holds no weight of net", "another network's"]),
    "an optimizer of another": (lambda: fit(net(), optimizer=sgd_of(net())), ValueError, ["no weight of net"]),
    "frozen": (all_frozen, ValueError, ["they are frozen"]),
    "a loss apart": (lambda: fit(net(), objective=apart), ValueError, ["objective must depend on net"]),
    "a loss of torch": (lambda: fit(net(), objective=nn.CrossEntropyLoss()), TypeError, ["objective must be a function of (model, x, y)", "write lambda"]),
    "double class weights": (lambda: fit(net(), objective=doubled), ValueError, ["different precision", ".float()"]),
    "a plateau": (lambda: fit(net(), schedule=no_scheduler), ValueError, ["ReduceLROnPlateau"]),
})
def test_what_can_not_train_is_told(call, kinds, words): refused(call, kinds, words)


def test_a_critic_beside_the_network_may_learn():
    critic = nn.Linear(10, 1)
    def with_critic(model, x, y): return nn.functional.cross_entropy(s := model(x), y) + critic(s).square().mean()
    n, before = net(), critic.weight.clone()
    fit(n, objective=with_critic, params=[*n.parameters(), *critic.parameters()])
    assert not torch.equal(critic.weight, before)


# --- random numbers, precision, gradients ---------------------------------------------------------------------------------

def test_fit_leaves_the_callers_random_numbers_alone():
    def drawn(train):
        torch.manual_seed(1); np.random.seed(1); random.seed(1)
        if train: fit(net())
        return torch.randint(1000, (3,)).tolist(), np.random.randint(1000, size=3).tolist(), random.randrange(1000)
    assert drawn(True) == drawn(False)


@pytest.mark.parametrize("seed", [20240101, 2**31 - 1])
def test_any_seed_that_load_takes_fit_takes(seed): assert len(fit(net(), seed=seed, epochs=1).rows) == 1


def test_gradients_that_were_switched_off_are_on_in_fit():
    with torch.no_grad(): log = fit(net())
    assert losses(log) == losses(fit(net()))


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float64])
def test_other_precision_works(kind):
    n = net().to(kind)
    assert fit(n).rows and 0 <= accuracy(n, A.x_test[:50], A.y_test[:50]) <= 1
    assert backbones.batched(n.features, A.x_test[:2]).dtype == torch.float32


# --- NaN, and measures -------------------------------------------------------------------------------------------------------

def spoilt(n):
    n.head[-1].bias.data.fill_(torch.nan)
    return n


@pytest.mark.parametrize("measure", [accuracy, balanced_accuracy, confusion])
def test_a_network_with_nan_has_no_accuracy(measure):
    refused(lambda: measure(spoilt(net()), A.x_test, A.y_test), ValueError, ["scores of item 0 hold NaN"])


def test_nan_in_a_running_variance_is_no_best_epoch():
    n, task = net(), A.split(0.4)
    n.trunk.stem[1].momentum = 0.
    n.trunk.stem[1].running_var.fill_(torch.nan)
    refused(lambda: fit(n, task, patience=2), ValueError, ["hold NaN"])


def test_language_and_names_refuse_nan():
    from transfer_course import language, texts
    bert = spoilt(backbones.load("minilm").replace_head(2, classes=["bad", "good"]))
    task = texts.TextTask("t", ["Good.", "Bad."], torch.tensor([1, 0]), ["Good.", "Bad."], torch.tensor([1, 0]), ["bad", "good"])
    refused(lambda: language.accuracy(bert, task), ValueError, ["hold NaN"])
    refused(lambda: spoilt(backbones.load("coursenet")).top_k(data.load("mnist_5k", size=32).x_test[:2]), ValueError, ["hold NaN"])


def test_balanced_accuracy_and_confusion_by_hand():
    class Says(nn.Module):
        def forward(self, x): return nn.functional.one_hot(x[:, 0, 0, 0].long(), 3).float()
    said, y = torch.tensor([0, 0, 0, 1, 1, 0]), torch.tensor([0, 0, 0, 0, 1, 1])
    x = said.view(-1, 1, 1, 1).expand(-1, 1, 8, 8).to(torch.uint8)
    assert accuracy(Says(), x, y) == pytest.approx(4 / 6) and balanced_accuracy(Says(), x, y) == (0.75 + 0.5) / 2
    assert confusion(Says(), x, y, ["a", "b", "c"]).to_numpy().tolist() == [[3, 1, 0], [1, 1, 0], [0, 0, 0]]

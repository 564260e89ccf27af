"""A checkpoint of `fit` is taken up by its own run alone; `fit` trains this network, leaves the caller's random numbers alone, and measures no NaN."""
import random

import numpy as np
import pytest
import torch
from harness import refused, rows
from torch import nn

from transfer_course import backbones, data, finetuning, inductive, language, multitask, small, texts, training, words
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


# --- brothers: what the file did not know --------------------------------------------------------------------------------

class Scaled(nn.Module):
    """An objective that is a module, with a buffer."""
    def __init__(self, k):
        super().__init__()
        self.register_buffer("k", torch.tensor(float(k)))

    def forward(self, model, x, y): return self.k * nn.functional.cross_entropy(model(x), y)


def own_mean():
    n = net()
    n.preprocess.mean.fill_(0.1)
    return n


@pytest.mark.parametrize("first, then, words", [
    (lambda f: fit(net(), checkpoint=f), lambda f: fit(own_mean(), checkpoint=f), "other starting weights"),  # no part of the state_dict
    (lambda f: fit(net(), checkpoint=f, objective=Scaled(1)), lambda f: fit(net(), checkpoint=f, objective=Scaled(2)), "other objective"),
], ids=["mean", "a module's buffer"])
def test_a_brother_does_not_take_up_the_checkpoint(tmp_path, first, then, words):
    first(tmp_path / "c.pt")
    refused(lambda: then(tmp_path / "c.pt"), ValueError, ["was made with", words])


def test_frozen_stages_that_were_gone_through_belong_to_the_run(tmp_path):
    """Their own mean, or a hook: the maps are others, also while the head alone learns."""
    def run(n): return finetuning.fine_tune(n, A, 2, 2, progress=False, checkpoint=tmp_path / "f.pt")
    run(net())
    refused(lambda: run(own_mean()), ValueError, ["other starting weights"])
    hooked = net()
    hooked.trunk[0].register_forward_hook(lambda m, i, o: o / 2)
    refused(lambda: run(hooked), ValueError, ["other layers or code"])


def test_patience_belongs_to_the_run(tmp_path):
    """Without it no best weights were kept; with it, the last ones were not the result."""
    task = A.split(0.34)
    def run(file, patience): return fit(net(), task, checkpoint=tmp_path / file, patience=patience)
    run("a.pt", None)
    refused(lambda: run("a.pt", 1), ValueError, ["other patience"])
    run("b.pt", 1)
    refused(lambda: run("b.pt", None), ValueError, ["other patience"])
    run("b.pt", 3)  # one that waits longer is the same run


class Critic(nn.Module):
    "An objective with weights of its own."
    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.layer = nn.Linear(10, 10)

    def forward(self, model, x, y): return nn.functional.cross_entropy(self.layer(model(x)), y)


def test_a_critic_goes_on_as_it_was(tmp_path, monkeypatch):
    """What learns beside the network is in the file: killed and started again, the numbers are those of one run."""
    def run(critic, n, **how):
        ps = [*n.parameters(), *critic.parameters()]
        return fit(n, epochs=3, lr=1e-2, params=ps, objective=critic.forward, **how)
    whole, critic = net(), Critic()
    wanted = losses(run(critic, whole))
    def dies(run):
        if len(run.log.rows) == 2: raise MemoryError
    with pytest.raises(MemoryError): run(Critic(), net(), checkpoint=tmp_path / "c.pt", watch=dies)
    again, other = net(), Critic()
    assert losses(run(other, again, checkpoint=tmp_path / "c.pt")) == wanted
    assert same(again, whole) and same(other, critic)
    state = torch.load(tmp_path / "c.pt", weights_only=True)
    del state["beside"]
    torch.save(state, tmp_path / "c.pt")
    refused(lambda: run(Critic(), net(), checkpoint=tmp_path / "c.pt"), ValueError, ["earlier version"])


def no_rate(params, lr): return torch.optim.SGD(params, 0.)
def zero(opt, steps): return torch.optim.lr_scheduler.LambdaLR(opt, lambda step: 0.)
def by_other_head(model, x, y): return nn.functional.cross_entropy(torch.zeros(()) * model(x).sum() + torch.zeros(len(y), 10), y)


@pytest.mark.parametrize("how", [dict(optimizer=no_rate), dict(schedule=zero), dict(objective=by_other_head, optimizer=lambda p, lr: torch.optim.SGD(p, lr))])
def test_a_run_in_which_no_weight_moves_says_so(how):
    with pytest.warns(UserWarning, match="no weight of net has moved"): fit(net(), **how)


@pytest.mark.filterwarnings("error")
def test_a_run_that_trains_says_nothing(): fit(net())


def test_a_network_with_nan_does_not_begin():
    n = net()
    n.head[-1].bias.data[0] = torch.nan
    for f in (lambda: fit(n), lambda: finetuning.fine_tune(n, A, 1, progress=False)):
        refused(f, ValueError, ["net must have finite weights", "head.3.bias"])


def test_scores_of_minus_infinity_have_no_class():
    with pytest.raises(ValueError, match="scores of item 1 hold NaN or infinity"):
        backbones.guesses(torch.tensor([[-torch.inf, 1.], [-torch.inf, -torch.inf]]))
    assert backbones.guesses(torch.tensor([[-torch.inf, 1.]])).tolist() == [1]


def test_what_learns_other_classes_has_their_names():
    """A network with the names of ten things learned ten digits, and called a 0 an airplane."""
    n = backbones.load("coursenet")
    fit(n, DIGITS, epochs=1)
    assert n.classes == DIGITS.classes
    few = DIGITS.map(lambda x: x)
    rows_ = few.y_train < 3
    few = data.Task("three", few.x_train[rows_], few.y_train[rows_], few.x_test[few.y_test < 3], few.y_test[few.y_test < 3], ["0", "1", "2"])
    with pytest.warns(UserWarning, match="10 outputs with the names of other classes .airplane, .*replace_head.3, classes=task.classes"):
        fit(backbones.load("coursenet"), few, epochs=1)


# --- other kinds of tasks: sentences, tags, several tasks ---------------------------------------------------------------------

def sentences(k=0): return [f"a good day {i + k}" for i in range(4)] + [f"a bad night {i + k}" for i in range(4)]


def text_run(file, k=0, **how):
    x = sentences(k)
    task = texts.TextTask("t", x, [0] * 4 + [1] * 4, x, [0] * 4 + [1] * 4, ["n", "p"])
    n = backbones.load("minilm").replace_head(2, seed=1)
    n.freeze()
    return fit(n, task, epochs=1, batch_size=4, checkpoint=file, **how)


def tag_run(file, tag="B-PER"):
    tagger = language.Tagger(backbones.load("minilm"))
    tagger.net.freeze()
    task = words.tag_task([(["Ann", "sings"], [tag, "O"])] * 4, tagger.net)
    return fit(tagger, task, epochs=1, batch_size=4, checkpoint=file, objective=language.tag_loss)


def several(file, shift=0, weight=0.3):
    y = torch.stack([A.y_train % 2, (A.y_train + shift) % 3], 1)
    task = multitask.MultiTask("m", A.x_train, y, A.x_train, y, {"odd": ["even", "odd"], "rest": ["0", "1", "2"]})
    n = inductive.MultiTaskNet(net(), task.classes)
    return fit(n, task, epochs=1, checkpoint=file, objective=inductive.weighted(odd=1, rest=weight))


@pytest.mark.parametrize("run, others", [
    (text_run, [(dict(k=1), "other pictures or labels"), (dict(patience=None, seed=3), "was made with seed=0")]),
    (tag_run, [(dict(tag="B-LOC"), "other pictures or labels")]),
    (several, [(dict(shift=1), "other pictures or labels"), (dict(weight=0.4), "other objective")])], ids=["texts", "tags", "several tasks"])
def test_runs_on_other_kinds_of_tasks_have_an_owner_too(tmp_path, run, others):
    first = losses(run(tmp_path / "c.pt"))
    assert losses(run(tmp_path / "c.pt")) == first
    for how, words_ in others: refused(lambda how=how: run(tmp_path / "c.pt", **how), ValueError, [words_])

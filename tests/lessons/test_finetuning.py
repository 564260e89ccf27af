"""`finetuning`: what is frozen stays, what is kept gives the same numbers, what is cut off goes on, what is put back is back."""
import copy
import math
from dataclasses import replace
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from transfer_course import backbones, data, finetuning, training
from transfer_course.finetuning import (
    augmented_copies,
    bn_stats,
    distance,
    fine_tune,
    forgetting,
    frozen_bn,
    layer_rates,
    lr_range_test,
    old_head,
    param_groups,
    per_sample,
    regularised,
    smoothed,
    unfreeze_gradually,
)
from transfer_course.frozen import fits_in_memory, split_at

STAGES = ["stem", "stage1", "stage2", "stage3"]


@cache
def task(k=3): return data.load("digits", size=16).few_shot(k)
@cache
def start(): return backbones.load("coursenet")
def fresh(): return copy.deepcopy(start())


def tune(net=None, **how):
    net = net or fresh()
    log = fine_tune(net, how.pop("task", task()), **dict(epochs=2, freeze_epochs=0, lr=1e-3, batch_size=15, progress=False) | how)
    return net, log


def same(a, b): return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))
def near(a, b, atol): return all(torch.allclose(x.float(), y.float(), atol=atol) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))
def losses(log): return [row["loss"] for row in log.rows]


pytestmark = pytest.mark.usefixtures("one_thread")  # many numbers must be the same


class Stop(Exception): pass


def stopping(steps):
    left = iter(range(steps))
    def augment(x):
        if next(left, None) is None: raise Stop
        return x
    return augment


# --- rates and groups ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("ratio", [1, 10, 100, 2.5])
def test_rates_fall_in_equal_factors_to_lr_over_ratio(ratio):
    r = list(layer_rates(STAGES, 0.01, ratio).values())
    factors = [b / a for a, b in zip(r, r[1:])]
    assert r[-1] == 0.01 and math.isclose(r[0], 0.01 / ratio) and all(math.isclose(f, factors[0]) for f in factors)


@pytest.mark.parametrize("upto", [None, *STAGES])
def test_groups_hold_each_free_weight_once_and_no_frozen_one(upto):
    net = fresh().unfreeze()
    if upto: net.freeze(upto)
    held = [p for g in param_groups(net) for p in g["params"]]
    assert {id(p) for p in held} == {id(p) for p in net.parameters() if p.requires_grad} and len(held) == len({id(p) for p in held})
    assert [g["name"] for g in param_groups(net)] == [*STAGES[STAGES.index(upto) + 1 if upto else 0:], "head"]


def test_each_group_moves_at_its_own_rate():
    """One step of AdamW moves every weight by its rate, whatever the gradient (no decay)."""
    net, was = fresh(), fresh()
    net.replace_head(10), was.replace_head(10)
    fine_tune(net, replace(task(), classes=list("abcdefghij")), 1, 0, lr=1e-4, lr_ratio=100., weight_decay=0., batch_size=30, progress=False)
    def step(s): return (net.stage_module(s)[0].weight - was.stage_module(s)[0].weight if s == "stem" else
                         next(net.stage_module(s).parameters()) - next(was.stage_module(s).parameters())).abs().max().item()
    assert step("stage3") / step("stem") == pytest.approx(100 ** 0.75, rel=0.1)


# --- frozen, and kept ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("upto", STAGES)
def test_two_parts_are_the_network(upto):
    net, x = fresh(), task().x_train
    front, rest = split_at(net, upto)
    assert torch.allclose(backbones.batched(rest, backbones.batched(front, x)), backbones.batched(net, x), atol=1e-4)
    assert rest.head is net.head and rest.stages == STAGES[STAGES.index(upto) + 1:]


@pytest.mark.parametrize("net,size", [("efficientnet_lite0", 64)])
def test_another_network_is_cut_as_well(net, size):
    net, x = backbones.load(net, size=size), task().x_train[:4]
    for upto in ("stage5", net.stages[-1]):
        front, rest = split_at(net, upto)
        assert torch.allclose(backbones.batched(rest, backbones.batched(front, x)), backbones.batched(net, x), atol=1e-3)


@pytest.mark.parametrize("upto", [None, *STAGES])
def test_frozen_stages_stay_bit_for_bit(upto):
    net, _ = tune(freeze_upto=upto, weight_decay=0.5)
    frozen = STAGES[:STAGES.index(upto) + 1] if upto else []
    for s in STAGES: assert same(net.stage_module(s), start().stage_module(s)) == (s in frozen), s
    assert not net.training


@pytest.mark.parametrize("how", [dict(freeze_upto="stage2"), dict(freeze_upto="stem"), dict(freeze_epochs=2), dict(freeze_epochs=1, freeze_upto="stage1", l2_sp=0.1, dropout=0.3)])
def test_kept_gives_the_same_numbers(how):
    (a, log_a), (b, log_b) = tune(cache=True, **how), tune(cache=False, **how)
    assert losses(log_a) == pytest.approx(losses(log_b), abs=2e-3) and near(a, b, 5e-3)


def test_kept_validation_accuracy_is_that_of_the_network():
    watched = task(6).split(0.5)
    net, log = tune(task=watched, freeze_upto="stage2")
    assert log.last() == pytest.approx(training.accuracy(net, watched.x_valid, watched.y_valid))


def test_maps_that_would_fill_the_memory_are_not_kept():
    front, _ = split_at(start(), "stem")
    n = len(task().x_train)
    one = backbones.batched(front, task().x_train[:1]).numel() * 4
    assert fits_in_memory(front, task(), n * one) and not fits_in_memory(front, task(), n * one - 1)


def test_the_head_alone_needs_vectors_only():
    front, _ = split_at(start(), "stage3")
    assert backbones.batched(front, task().x_train[:2]).shape == (2, 256, 1, 1)


def test_the_old_keyword_still_works():
    with pytest.warns(FutureWarning, match="keep=.* is called cache= now"): tune(keep=False, freeze_upto="stage2")
    with pytest.warns(FutureWarning, match="finetuning.memory_of is called finetuning.bn_stats now"): assert finetuning.memory_of is bn_stats


def test_a_plan_of_its_own():
    net, log = tune(epochs=3, plan=[("stage3", 1), ("stage2", 2)])
    assert len(log.rows) == 3 and same(net.trunk.stage2, start().trunk.stage2) and not same(net.trunk.stage3, start().trunk.stage3)


# --- penalties -------------------------------------------------------------------------------------------------------

def test_l2_sp_by_hand():
    net, x, y = fresh(), task().x_train, task().y_train
    f = regularised(0., 3., net)
    with torch.no_grad():
        for p in net.trunk.parameters(): p.add_(0.01)
    n = sum(p.numel() for p in net.trunk.parameters())
    assert f(net, x, y).item() - F.cross_entropy(net(x), y).item() == pytest.approx(1.5 * n * 1e-4, rel=1e-3)
    assert distance([(torch.tensor([1., 3.]), torch.tensor([0., 1.]))]) == 5


def test_label_smoothing_by_hand():
    net, x, y = fresh(), task().x_train, task().y_train
    logp = net(x).log_softmax(1)
    want = -(0.9 * logp[range(len(y)), y] + 0.1 * logp.mean(1)).mean()
    assert regularised(0.1, 0., net)(net, x, y).item() == pytest.approx(want.item(), rel=1e-5)


def test_stronger_l2_sp_stays_nearer():
    def far(s): return distance([(a, b.detach()) for a, b in zip(tune(l2_sp=s, epochs=4, lr_ratio=1., lr=3e-3)[0].trunk.parameters(), start().trunk.parameters())]).item()
    free, some, strong = far(0.), far(0.1), far(10.)
    assert free > some > strong


def test_l2_sp_pulls_to_the_first_start_in_all_phases(monkeypatch):
    seen = []
    def spy(smoothing, l2_sp, net): seen.append([p.detach().clone() for p in net.trunk.parameters()]); return regularised(smoothing, l2_sp, net)
    monkeypatch.setattr(finetuning, "regularised", spy)
    unfreeze_gradually(fresh(), task(), l2_sp=0.1, batch_size=15, progress=False)
    assert len(seen) == 1 and all(torch.equal(a, b) for a, b in zip(seen[0], start().trunk.parameters()))


def test_dropout_is_on_the_head_and_off_in_eval():
    net, _ = tune(dropout=0.5)
    assert [m.p for m in net.head.modules() if isinstance(m, nn.Dropout)] == [0.5]
    assert torch.equal(net(task().x_train), net(task().x_train))
    tune(net, dropout=0.)
    assert [m.p for m in net.head.modules() if isinstance(m, nn.Dropout)] == [0.]


# --- the range test --------------------------------------------------------------------------------------------------

def test_a_range_test_grows_in_equal_factors_and_leaves_the_network_alone():
    net = fresh()
    rates, losses = lr_range_test(net, task(), 1e-4, 1e-3, steps=7, batch_size=15)
    assert len(rates) == len(losses) == 7 and rates[0] == pytest.approx(1e-4) and rates[-1] == pytest.approx(1e-3)
    assert all(b / a == pytest.approx(10 ** (1 / 6)) for a, b in zip(rates, rates[1:])) and same(net, start()) and net.training == start().training
    assert (rates, losses) == lr_range_test(net, task(), 1e-4, 1e-3, steps=7, batch_size=15)


def test_a_range_test_ends_where_the_loss_explodes():
    rates, losses = lr_range_test(fresh(), task(), 1e-4, 10., steps=40, batch_size=15)
    assert len(rates) < 40 and losses[-1] >= 2 * min(losses)


def test_frozen_stages_stay_out_of_a_range_test():
    net = fresh().freeze("stage3")
    held, _ = lr_range_test(net, task(), 1e-4, 1e-3, steps=5, batch_size=15)
    assert len(held) == 5 and net.frozen and same(net, start())


def test_smoothed_by_hand():
    assert smoothed([3., 3., 3.]) == pytest.approx([3.] * 3)
    assert smoothed([1., 2.], keep=0.5) == pytest.approx([1., (0.25 * 1 + 0.5 * 2) / 0.75])


# --- phases ----------------------------------------------------------------------------------------------------------

def test_epochs_are_counted_over_phases():
    _, log = tune(epochs=3, freeze_epochs=1)
    assert [row["epoch"] for row in log.rows] == [1, 2, 3]


def test_the_first_epochs_train_the_head_alone():
    net, _ = tune(epochs=1, freeze_epochs=1)
    assert same(net.trunk, start().trunk) and outputs(net) == 10
    head = copy.deepcopy(net.head)
    tune(net, epochs=1)
    assert not same(net.trunk, start().trunk) and not same(net.head, head)


def outputs(net): return backbones.outputs_of(net.head)


def test_a_head_with_the_same_classes_is_gone_on_with():
    net, first = tune(epochs=4)
    head = net.head
    _, second = tune(net, epochs=4)
    assert losses(second)[0] < losses(first)[0] and net.head is head
    other = replace(task(), classes=list("abcdefghij"))
    tune(net, task=other, epochs=1)
    assert net.head is not head and net.classes == other.classes


def test_gradual_unfreezing_thaws_from_the_output():
    net = fresh()
    log = unfreeze_gradually(net, task(), epochs=2, batch_size=15, progress=False)
    assert len(log.rows) == 10 and not any(same(net.stage_module(s), start().stage_module(s)) for s in STAGES)
    assert not net.frozen and all(p.requires_grad for p in net.parameters())


def test_patience_stops_and_takes_the_best_weights():
    watched = task(6).split(0.5)
    net, log = tune(task=watched, epochs=40, patience=2, lr=3e-3)
    best = log.best()
    assert len(log.rows) - best["epoch"] == 2 and training.accuracy(net, watched.x_valid, watched.y_valid) == pytest.approx(best["accuracy"])


# --- cut off, and gone on with ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("steps", [1, 3, 5, 7])
@pytest.mark.parametrize("how", [dict(freeze_epochs=1, l2_sp=0.1), dict(freeze_epochs=2, freeze_upto="stage2", dropout=0.2)])
def test_killed_and_continued_gives_the_same_numbers(tmp_path, steps, how):
    how = dict(epochs=4, **how)
    whole, log = tune(augment=training.identity, **how)
    with pytest.raises(Stop): tune(augment=stopping(steps), checkpoint=tmp_path / "run.pt", **how)
    again, log_again = tune(augment=training.identity, checkpoint=tmp_path / "run.pt", **how)
    assert same(whole, again) and losses(log) == losses(log_again)


def test_gradual_unfreezing_goes_on_as_well(tmp_path):
    how = dict(epochs=1, batch_size=15, progress=False)
    log = unfreeze_gradually(whole := fresh(), task(), augment=training.identity, **how)
    with pytest.raises(Stop): unfreeze_gradually(fresh(), task(), augment=stopping(6), checkpoint=tmp_path / "run.pt", **how)
    log_again = unfreeze_gradually(again := fresh(), task(), augment=training.identity, checkpoint=tmp_path / "run.pt", **how)
    assert same(whole, again) and losses(log) == losses(log_again)


def test_another_setting_does_not_take_up_the_checkpoint(tmp_path):
    tune(checkpoint=tmp_path / "run.pt")
    with pytest.raises(ValueError, match="checkpoint 'run.pt' was made with lr=0.001; now it is lr=0.002"): tune(checkpoint=tmp_path / "run.pt", lr=2e-3)
    with pytest.raises(ValueError, match="l2_sp 0.1"): tune(checkpoint=tmp_path / "run.pt", l2_sp=0.1)
    with pytest.raises(ValueError, match="lr_ratio 1"): tune(checkpoint=tmp_path / "run.pt", lr_ratio=1.)


def test_saved_and_loaded_it_is_the_same_network(tmp_path):
    net, _ = tune(dropout=0.2)
    loaded = backbones.load_checkpoint(net.save(tmp_path / "net.safetensors"))
    assert torch.allclose(backbones.batched(loaded, task().x_train), backbones.batched(net, task().x_train), atol=1e-6) and loaded.classes == task().classes
    tune(loaded, epochs=1)


# --- forgetting ------------------------------------------------------------------------------------------------------

@cache
def digits(): return replace(data.load("digits", size=16).few_shot(6), name="the old task")
@cache
def knows_digits(): return tune(task=digits(), epochs=6)[0]
def letters(): return data.letters(n_train=1, n_test=1, side=16)


def test_the_head_alone_forgets_nothing_and_all_forgets():
    old, t = knows_digits(), replace(digits(), x_test=digits().x_train, y_test=digits().y_train)
    before = training.accuracy(old, t.x_test, t.y_test)
    head, _ = tune(copy.deepcopy(old), task=letters(), freeze_epochs=2)
    every, _ = tune(copy.deepcopy(old), task=letters(), epochs=4, lr=3e-2, lr_ratio=1.)
    assert before > 0.9 and forgetting(head, old.head, t, before) == 0
    assert forgetting(every, old.head, t, before) > 0.1


def test_the_old_head_goes_and_the_new_one_comes_back():
    old, (net, _) = knows_digits(), tune(copy.deepcopy(knows_digits()), task=letters())
    new, state = net.head, copy.deepcopy(net.state_dict())
    with pytest.raises(Stop), old_head(net, old.head, bn_stats(old)):
        assert net.head is old.head and all(torch.equal(a, b) for a, b in zip(bn_stats(net).values(), bn_stats(old).values()))
        raise Stop
    assert net.head is new and all(torch.equal(state[k], v) for k, v in net.state_dict().items())


def test_a_network_forgets_without_learning_and_remembers_with_its_memory():
    old = knows_digits()
    asleep, x = copy.deepcopy(old).train(), letters().x_train
    with torch.no_grad():
        for _ in range(40): asleep(255 - x)
    asleep.eval()
    assert all(torch.equal(a, b) for a, b in zip(old.parameters(), asleep.parameters()))
    t = replace(digits(), x_test=digits().x_train, y_test=digits().y_train)
    before = training.accuracy(old, t.x_test, t.y_test)
    assert forgetting(asleep, old.head, t, before) > 0.1 and forgetting(asleep, old.head, t, before, bn_stats(old)) == 0


def test_memory_is_held_while_weights_learn():
    net = fresh()
    with frozen_bn(net): tune(net)
    assert all(torch.equal(a, b) for a, b in zip(bn_stats(net).values(), bn_stats(start()).values()))
    assert not any(torch.equal(a, b) for a, b in zip(net.trunk.parameters(), start().trunk.parameters()))
    tune(net)
    assert not torch.equal(net.trunk.stem[1].running_mean, start().trunk.stem[1].running_mean)


# --- augmentation ----------------------------------------------------------------------------------------------------

def test_views_are_fixed_copies_with_their_labels():
    a, b = augmented_copies(task(), training.crop_flip, 3), augmented_copies(task(), training.crop_flip, 3)
    n = len(task().y_train)
    assert torch.equal(a.x_train, b.x_train) and len(a.x_train) == 3 * n and torch.equal(a.y_train, task().y_train.repeat(3))
    assert not torch.equal(a.x_train[:n], a.x_train[n:2 * n]) and torch.equal(a.x_test, task().x_test)
    assert not torch.equal(augmented_copies(task(), training.crop_flip, 3, seed=1).x_train, a.x_train)


def test_views_leave_the_random_numbers_alone():
    torch.manual_seed(3); want = torch.rand(4)
    torch.manual_seed(3); augmented_copies(task(), training.crop_flip, 2)
    assert torch.equal(torch.rand(4), want)


def test_each_draws_anew_for_every_picture():
    from torchvision.transforms import v2
    torch.manual_seed(0)
    x = task().x_train[:1].repeat(16, 1, 1, 1)
    got = per_sample(v2.RandomAffine(30, translate=(0.2, 0.2)))(x)
    assert got.dtype == torch.uint8 and got.shape == x.shape and len(got.flatten(1).unique(dim=0)) > 10


# --- the stored measurement ------------------------------------------------------------------------------------------

def test_the_stored_measurement_is_whole():
    stored = data.result("finetuning")
    runs = {}
    for r in stored["rows"] + stored["probes"]: runs.setdefault((r["start"], r["target"], r["labels"], r["method"]), set()).add(r["seed"])
    assert len(stored["seeds"]) >= 5 and all(seeds == set(stored["seeds"]) for seeds in runs.values()) and "DRAFT" not in stored
    assert {"digits", "cifar10"} == {c[0] for c in runs} and all(0 <= r["test"] <= 1 for r in stored["rows"])
    head = [r for r in stored["rows"] if r["method"] == "head only"]
    assert all(r["old"] == pytest.approx(stored["before"][r["start"]], abs=0.01) for r in head)


def test_every_tuned_way_had_its_trials_and_uses_what_they_chose():
    """Three rates or more, the best of them not at the edge."""
    stored = data.result("finetuning")
    assert not set(stored["tuning_seeds"]) & set(stored["seeds"])
    for *way, lr in {(r["start"], r["target"], r["labels"], r["method"], r["lr"]) for r in stored["rows"] if r["tuned"]}:
        valid = {}
        for t in stored["trials"]:
            if [t["start"], t["target"], t["labels"], t["method"]] == way: valid.setdefault(t["lr"], []).append(t["valid"])
        valid = {rate: sum(v) / len(v) for rate, v in valid.items()}
        assert len(valid) >= 3 and valid[lr] == max(valid.values()) and min(valid) < lr < max(valid), (way, lr)

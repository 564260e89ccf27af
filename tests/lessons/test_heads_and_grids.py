"""Heads that belong, statistics of two domains, pictures of one size, and the last value of a grid."""
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from harness import refused

from transfer_course import backbones, features, probes, scenarios, transductive
from transfer_course.data import Task
from transfer_course.finetuning import bn_stats, fine_tune
from transfer_course.training import accuracy


def two_domains(n=60):
    """Dark and bright pictures; the target's are their negatives, so that statistics matter."""
    g = torch.Generator().manual_seed(0)
    y = torch.arange(n) % 2
    x = (torch.randint(0, 60, (n, 3, 32, 32), generator=g) + 150 * y[:, None, None, None]).to(torch.uint8)
    make = lambda name, x: Task(name, x, y, x, y, ["dark", "bright"])
    return make("source", x), make("target", (x // 3))


def adapt(net, source, target, *loss, **how): return transductive.adapt(net, source, target, *loss, **{"epochs": 2, "batch_size": 20, "progress": False, **how})


def test_adapt_puts_a_head_on_that_belongs():
    source, target = two_domains()
    net = backbones.load("coursenet")  # ten named outputs
    adapt(net, source, target)
    assert net.classes == ["dark", "bright"] and backbones.outputs_of(net.head) == 2


@pytest.mark.parametrize("train", [lambda n, s, t: adapt(n, s, t), lambda n, s, t: fine_tune(n, s, 1, progress=False)])
def test_one_rule_for_heads(train):
    source, target = two_domains()
    nameless = backbones.course_net(2, seed=5)
    head = nameless.head
    train(nameless, source, target)
    assert nameless.head is head and nameless.classes == ["dark", "bright"], "as many outputs and no names: it stays"
    other = backbones.course_net(2, seed=5)
    other.classes = ["cat", "dog"]
    head = other.head
    train(other, source, target)
    assert other.head is not head and other.classes == ["dark", "bright"]


def test_without_source_the_head_must_belong():
    _, target = two_domains()
    refused(lambda: adapt(backbones.load("coursenet"), None, target, transductive.mcc), ValueError, ["net must have a head for the target's classes", "airplane"])


def test_statistics_of_both_domains_can_be_had():
    source, target = two_domains()
    net, other = backbones.course_net(2), backbones.course_net(2)
    adapt(net, source, target, epochs=4)
    adapt(other, source, target, epochs=4, keep_source_stats=True)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), other.parameters()))
    of_target = bn_stats(net)
    transductive.adabn(net, source.x_train)
    assert all(torch.equal(v, bn_stats(other)[k]) for k, v in bn_stats(net).items())
    assert any(not torch.equal(v, of_target[k]) for k, v in bn_stats(net).items())
    assert accuracy(other, source.x_test, source.y_test) > 0.9


def test_adabn_leaves_frozen_stages_and_random_numbers_alone():
    source, _ = two_domains()
    net = backbones.load("coursenet").freeze("stage1")
    was, state = bn_stats(net), torch.get_rng_state()
    transductive.adabn(net, source.x_train)
    assert torch.equal(torch.get_rng_state(), state)
    now = bn_stats(net)
    moved = {k.split(".")[0] for k in now if not torch.equal(now[k], was[k])}
    assert moved == {"stage2", "stage3"}


# --- pictures of one size -----------------------------------------------------------------------------------------------

def test_scratch_sees_pictures_of_the_size_that_the_network_sees(monkeypatch):
    sizes = []
    monkeypatch.setattr(scenarios.training, "fit", lambda net, task, *a, **k: sizes.append(net.preprocess.size))
    monkeypatch.setattr(scenarios.training, "accuracy", lambda *a: 0.5)
    task = Task("t", torch.zeros(4, 3, 96, 96, dtype=torch.uint8), torch.tensor([0, 1, 0, 1]), torch.zeros(2, 3, 96, 96, dtype=torch.uint8), torch.tensor([0, 1]), ["a", "b"])
    for size in (None, 32, 128): scenarios.scratch(backbones.set_size(backbones.load("coursenet"), size) if size else backbones.load("coursenet"), task, 0, 0.01)
    assert sizes == [None, 32, None], "larger pictures are made smaller, smaller ones stay"


def test_advice_says_when_the_pictures_have_another_size_than_the_grid():
    small = scenarios.data.load("mnist_5k", size=32).few_shot(5)
    large = small.map(lambda x: backbones.resize(x, 48)) if hasattr(small, "map") else small
    net = backbones.load("coursenet")
    assert "32×32" not in repr(scenarios.recommend(small, net)) and "32×32 pixels, yours have 48×48" in repr(scenarios.recommend(large, net))


# --- the edge of a grid ----------------------------------------------------------------------------------------------------

def peak(at): return lambda v: -abs(np.log10(v) - np.log10(at))


@pytest.mark.parametrize("at, found", [(0.001, 0.001), (1e-5, 1e-5), (0.1, 0.1), (100., 100.)])
def test_the_usual_grid_goes_on_where_that_is_better(at, found):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert probes.best_of(peak(at), features.CANDIDATES, **features.FURTHER) == pytest.approx(found)


def test_a_tie_at_the_edge_is_no_reason_to_go_on():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert probes.best_of(lambda v: 1., features.CANDIDATES, **features.FURTHER) == 0.01


@pytest.mark.parametrize("at, words", [(0.001, "C=0.1 is the least of 3 values tried, and the best: try smaller ones"),
                                       (1000, "C=10 is the largest of 3 values tried, and the best: try larger ones")])
def test_the_last_value_of_a_grid_is_told(at, words):
    with pytest.warns(UserWarning, match=words): probes.best_of(peak(at), [0.1, 1, 10])


def test_a_probe_finds_a_smaller_C(monkeypatch):
    monkeypatch.setattr(features, "one_probe", lambda z, y, c, scale: SimpleNamespace(C=c, score=lambda *v: peak(0.001)(c)))
    z, y = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 2
    assert features.linear_probe(z, y).C == pytest.approx(0.001)
    with pytest.warns(UserWarning, match="is the least of 2 values"): features.linear_probe(z, y, C=[0.1, 1])

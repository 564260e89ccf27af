"""Lesson 15: each diagnostic on a case that is known, and silent on its mended twin; what `diagnose` makes of them."""
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from transfer_course import data_diagnostics as dd
from transfer_course import diagnostics as di
from transfer_course import failures, training, workshop
from transfer_course.diagnosis import DIAGNOSTICS
from transfer_course.gallery import CLOSED, GALLERY, closed, closed_scripts
from transfer_course.gallery_data import PIXELS  # noqa: F401 — registers the bugs about data


@pytest.fixture(scope="module")
def task(): return workshop.few_digits(0)


def fresh(seed=0): return workshop.tiny_net(seed)


# --- the diagnostics --------------------------------------------------------------------------------------------------

def test_an_optimizer_of_the_old_head_is_found():
    net = fresh()
    opt = torch.optim.SGD(net.parameters(), 0.1)
    assert di.optimizer_holds_the_weights(net, opt) == ""
    net.replace_head(10, seed=1)
    assert "holds 2 weights that are not the network's and lacks 2" in di.optimizer_holds_the_weights(net, opt)


def test_an_optimizer_of_the_head_alone_is_right():
    net = fresh()
    assert di.optimizer_holds_the_weights(net, torch.optim.SGD(net.head.parameters(), 0.1)) == ""


class Ends(nn.Module):
    "A network that ends in softmax or log-softmax."
    def __init__(self, end):
        super().__init__()
        self.net, self.end, self.preprocess = fresh(), end, workshop.tiny_net(0).preprocess

    def forward(self, x): return self.end(self.net(x))


@pytest.mark.parametrize("net,loss,fine", [
    (fresh, F.cross_entropy, True), (fresh, lambda s, y: F.cross_entropy(s.softmax(1), y), False),
    (lambda: Ends(lambda s: s.softmax(1)), F.cross_entropy, False), (lambda: Ends(lambda s: s.log_softmax(1)), F.nll_loss, True),
    (lambda: Ends(lambda s: s.log_softmax(1)), F.cross_entropy, True), (lambda: Ends(lambda s: s.softmax(1)), lambda p, y: F.nll_loss(p.clamp_min(1e-9).log(), y), True)])
def test_softmax_twice_is_found_wherever_it_stands(task, net, loss, fine):
    """log_softmax before cross_entropy is no fault: its shares are shares already."""
    said = di.loss_can_be_zero(loss, net(), task)
    assert (said == "") == fine, said
    assert fine or "1.46" in said  # −log(e / (e + 9))


def test_batches():
    g = torch.Generator().manual_seed(0)
    y = torch.arange(10).repeat_interleave(20)
    assert di.batches_are_mixed(list(y[torch.randperm(200, generator=g)].split(16))) == ""
    assert "shuffle" in di.batches_are_mixed(list(y.split(16)))
    assert di.batches_are_mixed(list(y[torch.randperm(200, generator=g)].split(2))) == ""


def steps(zero, n=4):
    net = nn.Linear(3, 2)
    opt = torch.optim.SGD(net.parameters(), 0.1)
    notes = workshop.Notes(net, opt)
    x, y = torch.randn(8, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1] * 4)
    for _ in range(n):
        if zero: opt.zero_grad()
        loss = F.cross_entropy(net(x), y)
        notes.step(loss, y)
        loss.backward()
        opt.step()
    return notes


def test_gradients_that_pile_up_are_found():
    assert di.gradients_are_fresh(steps(True).stale) == ""
    assert "zero_grad" in di.gradients_are_fresh(steps(False).stale)


def test_notes_compare_the_gradient_of_the_step(task):
    """After two steps without zero_grad the gradient is the sum of both: 100% away if both are alike."""
    assert steps(False, 2).stale[1] == pytest.approx(1, abs=0.15)


def test_a_rate_that_has_died():
    assert di.rate_is_alive([0.1, 0.2, 0.1], [0]) == "" and di.rate_is_alive([0.1] * 4 + [0.002] * 4, [0, 4]) == ""
    assert "phase 2" in di.rate_is_alive([0.1] * 4 + [1e-5] * 4, [0, 4])


def test_frozen_parts():
    net = fresh()
    before = workshop.state_of(net)
    net.train()(torch.randint(256, (8, 1, 8, 8), dtype=torch.uint8))
    assert "running_mean" in di.frozen_stays(net, before, "trunk") and di.frozen_stays(net, before, "head") == ""


def test_train_mode_without_layers_that_care_is_fine():
    assert di.network_is_in_eval_mode(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.0)).train()) == ""
    assert "0 " not in di.network_is_in_eval_mode(nn.Sequential(nn.Dropout(0.5)).train())
    assert di.network_is_in_eval_mode(fresh()) == ""


def test_a_diagnosis_leaves_the_network_as_it_was(task):
    net = fresh().train()
    before, modes = workshop.state_of(net), [m.training for m in net.modules()]
    failures.diagnose(net, task)
    assert modes == [m.training for m in net.modules()]
    moved = [k for k, v in net.state_dict().items() if not torch.equal(v, before[k])]
    assert not moved, moved


def test_files_and_copies():
    net = fresh()
    file = {f"module.{k}": v for k, v in workshop.state_of(net).items()}
    assert di.file_was_loaded(workshop.state_of(net), file) == "" and "0 of" in di.file_was_loaded(workshop.state_of(fresh(1)), file)
    assert di.copy_is_a_copy(net, workshop.state_of(net)) == "" and "deepcopy" in di.copy_is_a_copy(net, net.state_dict())


@pytest.mark.parametrize("test,word", [(lambda x: x / 255, ""), (lambda x: x * 1.0, "255 times"), (lambda x: x.mT / 255, "swapped"), (lambda x: x.flip(1) / 255, "reverse"), (lambda x: x[:, :1] / 255, "shapes")])
def test_preparations(test, word):
    x = torch.randint(256, (4, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    said = dd.preparations_agree(lambda x: x / 255, test, x)
    assert word in said and (said == "") == (word == "")


def test_turned_channels_of_grey_pictures_are_seen():
    """The sample is mixed, so that its channels differ."""
    assert "reverse" in dd.preparations_agree(lambda x: x, lambda x: x.flip(1), torch.arange(64).view(1, 1, 8, 8).expand(2, 3, 8, 8))


def test_wrap_around():
    sample = torch.zeros(1, 1, 8, 8)
    assert dd.brighter_stays_brighter(lambda x: x.float(), sample) == "" and "darker" in dd.brighter_stays_brighter(lambda x: (x + 60).float(), sample)
    assert dd.brighter_stays_brighter(lambda x: 255 - x.float(), np.zeros((2, 5))) == ""  # rows of a table are no pictures


def test_copies_and_pieces(task):
    from dataclasses import replace
    assert dd.no_copies_in_the_test(task) == ""
    seen = replace(task, x_test=torch.cat([task.x_train[:5], task.x_test[5:]]))
    assert "5 of 600" in dd.no_copies_in_the_test(seen)
    g = torch.Generator().manual_seed(0)
    picture = torch.randint(256, (1, 1, 60, 60), dtype=torch.uint8, generator=g)
    def cut(i): return torch.cat([picture[..., a:a + 24, a + i:a + i + 24] for a in range(0, 30, 3)])
    def pieces(x): return dd.no_shared_pieces(replace(task, x_train=cut(0), y_train=torch.arange(10), x_test=x, y_test=torch.arange(10)))
    assert "10 of 10" in pieces(cut(5)) and pieces(torch.randint(256, (10, 1, 24, 24), dtype=torch.uint8, generator=g)) == ""


def test_names():
    assert dd.names_agree("abc", "abc") == "" and "3 names against 2" in dd.names_agree("abc", "ab") and "class 1" in dd.names_agree("abc", "acb")


def test_a_renaming_is_found_and_bad_answers_are_not(task):
    y, order = task.y_test, torch.randperm(600, generator=torch.Generator().manual_seed(0))
    def said(answers): return dd.confusion_is_not_a_renaming(lambda x: answers, task)
    assert said(y) == "" and said(y[order]) == "" and "100% would" in said((y + 1) % 10)


def test_the_best_of_many_seems_too_good():
    """On 60 items the best of 40 seems 12 points too good: against a simulation."""
    from types import SimpleNamespace
    said = dd.test_was_used_once(40, SimpleNamespace(x_test=range(60)))
    best = np.random.default_rng(0).binomial(60, 0.7, (4000, 40)).max(1).mean() / 60 - 0.7
    assert abs(float(said.split("about ")[1].split()[0]) - 100 * best) < 2.5, (said, best)


def test_shuffled_labels():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(60, 3)), np.repeat([0, 1], 30)
    assert dd.shuffled_labels_teach_nothing(lambda x, y: 0.5, rows) == "" and "100%" in dd.shuffled_labels_teach_nothing(lambda x, y: 1.0, rows)


def test_chance(task):
    assert "no more than chance" in dd.better_than_chance(lambda x: torch.zeros(len(x)).long(), task) and dd.better_than_chance(lambda x: task.y_test, task) == ""


# --- diagnose ---------------------------------------------------------------------------------------------------------

def test_diagnose_runs_what_it_can(task):
    said = failures.diagnose(fresh(), task)
    assert set(said.passed) | set(said.found) | set(said.missing) == set(DIAGNOSTICS)
    assert "optimizer_holds_the_weights" in said.missing and said.missing["optimizer_holds_the_weights"] == ["opt"]


def test_a_skipped_one_is_not_run(task):
    net = fresh().train()
    assert "network_is_in_eval_mode" in failures.diagnose(net, task).found
    assert "network_is_in_eval_mode" not in failures.diagnose(net, task, skip=["network_is_in_eval_mode"]).found


def test_an_error_in_what_was_given_is_told(task):
    def predict(x): raise KeyError("no such pixel")
    said = failures.diagnose(None, task, predict=predict)
    assert "KeyError" in said.found["better_than_chance"]


def test_fit_passes(task):
    net = workshop.tiny_net(0)
    notes = workshop.Notes(net)
    training.fit(net, task, epochs=2, batch_size=16, watch=notes, progress=False)
    said = failures.diagnose(notes, task, skip=["better_than_chance"])
    assert not said, said
    assert {"batches_are_mixed", "loss_can_be_zero", "rate_is_alive", "optimizer_holds_the_weights"} <= set(said.passed)


def test_fit_with_a_sorted_task_and_a_wrong_objective_does_not(task):
    net, notes = workshop.tiny_net(0), workshop.Notes()
    def twice(model, x, y): return F.cross_entropy(model(x).softmax(1), y)
    training.fit(net, task, epochs=1, objective=twice, watch=notes, progress=False)
    assert "loss_can_be_zero" in failures.diagnose(notes, task).found


# --- scores, the gallery, closed scripts -------------------------------------------------------------------------------

def test_the_scores_of_a_source():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 5))
    y = (x[:, 0] > 0).astype(int)
    same = failures.source_scores((x, y), rng.normal(size=(200, 5)), (x[:20], y[:20]))
    far = failures.source_scores((x, y), rng.normal(size=(200, 5)) + 9, (x[:20], 1 - y[:20]))
    assert same["own"] > 0.9 and same["alike"] > 0.8 and same["fits"] > 0.9
    assert far["alike"] < 0.05 and far["fits"] < 0.1 and far["own"] == same["own"]


def test_the_gallery_is_large_and_names_its_diagnostics():
    assert len(GALLERY) >= 30 and {b.shows for b in GALLERY.values()} <= set(DIAGNOSTICS)
    assert sum(b.seems for b in GALLERY.values()) >= 5


QUICK = ["scaler fitted again on each folder", "folders in the order 1, 10, 2", "a class without a test folder", "columns chosen on all rows, random labels", "a third of the test in training",
         "optimizer before the new head, frozen trunk", "height and width swapped at test", "strict=False, frozen trunk"]


@pytest.mark.parametrize("name", QUICK)
def test_a_fault_costs_or_flatters_and_is_found(name):
    bug = GALLERY[name]
    wrong, right = bug.run(11, True), bug.run(11, False)
    assert bug.shows in failures.diagnose(wrong).found and not failures.diagnose(right).found
    gap = wrong.score - right.score
    assert gap > 0.03 if bug.seems else gap < -0.1


def test_closed_scripts_are_all_there_in_an_order_of_the_seed():
    assert len(closed_scripts(0)) == len(CLOSED) == 8
    x, y = (v.numpy() for v in workshop.small_digits("digits"))
    x = x.reshape(len(x), 64) / 255 * 16
    right = {k: (closed(k, 3)(x[:600], y[:600])(x[600:]) == y[600:]).mean() for k in CLOSED}
    assert right["right"] == max(right.values()) > 0.8
    assert max(right[k] for k in ("names permuted", "labels of other rows", "height and width swapped", "black and white swapped")) < 0.4

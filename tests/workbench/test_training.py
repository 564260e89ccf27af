"""The promises of `fit` that a notebook cannot test: killed, on several processes, from files that others wrote. Tiny networks, few pictures."""
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from transfer_course import augment, backbones, batches, records, training
from transfer_course.data import Task


def task(n=46, valid=True):
    """Dark and bright noise, 8×8: two classes; a part of the labels is wrong, so that the loss stays lively."""
    g = torch.Generator().manual_seed(0)
    y = torch.arange(n) % 2
    x = (torch.randint(0, 150, (n, 3, 8, 8), generator=g) + 60 * y[:, None, None, None]).to(torch.uint8)
    y = torch.where(torch.rand(n, generator=g) < 0.2, 1 - y, y)
    return Task("noise", x, y, x[:10], y[:10], ["dark", "bright"], {}, x[:14] if valid else None, y[:14] if valid else None)


class Scale(nn.Module):
    def forward(self, x): return x.float() / 127.5 - 1


def net(norm=False, drop=0.0):
    torch.manual_seed(1)
    bn = nn.BatchNorm2d(4) if norm else nn.Identity()
    return nn.Sequential(Scale(), nn.Conv2d(3, 4, 3), bn, nn.ReLU(), nn.Flatten(), nn.Dropout(drop), nn.Linear(144, 2))


def sgd(params, lr): return torch.optim.SGD(params, lr, momentum=0.9)
def fit(net, task, **how): return training.fit(net, task, **{"epochs": 4, "batch_size": 12, "lr": 0.02, "progress": False, **how})
def numbers(log): return [(r["epoch"], r["loss"], r["accuracy"]) for r in log.rows]
def state(net): return {k: v.clone() for k, v in net.state_dict().items()}
def same(a, b): return a.keys() == b.keys() and all(torch.equal(v, b[k]) for k, v in a.items())


def run_script(folder, text, *args, launch=()):
    imports = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\nfrom test_training import augment, fit, net, sgd, task, training\n"
    (folder / "script.py").write_text(imports + text)
    env = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    return subprocess.Popen([sys.executable, *launch, str(folder / "script.py"), *map(str, args)], cwd=folder, env=env, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish(process):
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err[-3000:]
    return json.loads(next(line for line in out.splitlines() if line.startswith("{")))


# --- the same numbers ----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("how", [{}, {"augment": partial(augment.crop_flip, pad=2)}, {"optimizer": sgd, "schedule": training.constant}], ids=["plain", "augment", "sgd"])
def test_fit_is_deterministic(how):
    one, two = net(True, 0.3), net(True, 0.3)
    first = fit(one, task(), **how)
    torch.rand(7)  # what was drawn before does not matter
    assert numbers(first) == numbers(fit(two, task(), **how)) and same(state(one), state(two))
    assert numbers(first) != numbers(fit(net(True, 0.3), task(), seed=1, **how))


def test_it_learns_and_leaves_the_network_in_eval_mode():
    n = net(True)
    log = fit(n, task(), epochs=8)
    assert log.rows[-1]["loss"] < log.rows[0]["loss"] - 0.05 and not n.training
    assert log.last() == training.accuracy(n, task().x_valid, task().y_valid)
    assert log.settings["n_train"] == 46 and log.settings["optimizer"] == "adamw"


def test_every_picture_once_an_epoch_in_another_order():
    found, order = batches.loader(torch.arange(10), torch.arange(10), 4, 0)
    def epoch(n): order.epoch = n; return torch.cat([x for x, _ in found]).tolist()
    assert sorted(epoch(0)) == list(range(10)) and epoch(0) != epoch(1) and epoch(0) == epoch(0)


@pytest.mark.parametrize("n, steps", [(9, 2), (10, 3), (1, 1), (8, 2)])
def test_a_single_picture_at_the_end_is_left_out(n, steps):
    assert len(list(batches.loader(torch.arange(n), torch.arange(n), 4, 0)[0])) == steps


def test_without_validation_there_is_no_accuracy():
    log = fit(net(), task(valid=False), epochs=1)
    assert log.rows[0]["accuracy"] is None and log.best() is None and "accuracy" not in repr(log) and "seconds" not in repr(log)


# --- several processes -----------------------------------------------------------------------------------------------------

TWO = """
import json
from accelerate import PartialState
def one(pictures):
    log = fit(n := net(), task(pictures), optimizer=sgd, epochs=3, patience=3)
    return dict(rows=[[r["loss"], r["accuracy"]] for r in log.rows], weights=sum(v.abs().sum().item() for v in n.state_dict().values()))
runs = {pictures: one(pictures) for pictures in (48, 45)}
if PartialState().is_main_process: print(json.dumps(dict(processes=PartialState().num_processes, runs=runs)), flush=True)
PartialState().wait_for_everyone()
PartialState().destroy_process_group()  # else a thread of the group may be ended while it runs, and takes the process with it
"""


def free_port():
    with socket.socket() as s: s.bind(("127.0.0.1", 0)); return s.getsockname()[1]


def test_two_processes_agree_with_one(tmp_path):
    """On whole batches, and where the last batch has an odd number of pictures."""
    launch = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no",
              "--dynamo_backend", "no", "--main_process_port", str(free_port())]
    two, one = finish(run_script(tmp_path, TWO, launch=launch)), finish(run_script(tmp_path, TWO))
    assert (one["processes"], two["processes"]) == (1, 2)
    for a, b in zip(one["runs"].values(), two["runs"].values()):
        assert torch.allclose(torch.tensor(a["rows"]), torch.tensor(b["rows"]), atol=1e-4)
        assert abs(a["weights"] - b["weights"]) < 1e-4 * a["weights"]


# --- killed, interrupted, stopped early --------------------------------------------------------------------------------------

SLOW = """
import time, torch
torch.set_num_threads(1)
calls = []
def stalling(x):
    "After two batches of the third epoch it waits to be killed."
    calls.append(1)
    if len(calls) > 10: time.sleep(600)
    return augment.crop_flip(x, 2)
fit(net(True, 0.3), task(), checkpoint=sys.argv[1], augment=stalling, patience=4)
"""


def wait_for_epoch(file, epoch, process):
    end = time.time() + 600
    while time.time() < end and process.poll() is None:
        if file.exists() and len(torch.load(file, weights_only=True)["rows"]) >= epoch: return
        time.sleep(0.1)
    raise AssertionError(f"no checkpoint of epoch {epoch}: {process.stderr.read()[-2000:] if process.poll() is not None else 'too slow'}")


def test_killed_in_mid_epoch_and_started_again(tmp_path, one_thread):
    """Four batches an epoch; it is killed in the third epoch, after two batches."""
    whole, again = net(True, 0.3), net(True, 0.3)
    moved = partial(augment.crop_flip, pad=2)
    expected = fit(whole, task(), augment=moved, patience=4)
    file = tmp_path / "run.pt"
    process = run_script(tmp_path, SLOW, file)
    try: wait_for_epoch(file, 2, process)
    finally: process.send_signal(signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL
    process.communicate()
    assert len(torch.load(file, weights_only=True)["rows"]) == 2
    log = fit(again, task(), augment=moved, patience=4, checkpoint=file)
    assert numbers(log) == numbers(expected) and same(state(again), state(whole))
    assert not list(tmp_path.glob("*.part"))


def stop_at(step):
    calls = []
    def augment(x):
        calls.append(1)
        if len(calls) == step: raise KeyboardInterrupt
        return x
    return augment


def test_interrupted_by_hand_returns_the_log_so_far():
    n = net(True)
    log = fit(n, task(), augment=stop_at(10))  # four batches an epoch: in the third one
    assert log.interrupted and len(log.rows) == 2 and not n.training
    assert numbers(log) == numbers(fit(net(True), task()))[:2]


def test_interrupted_with_patience_takes_the_best_weights_back():
    n = net(True)
    log = fit(n, task(), augment=stop_at(14), patience=5)
    assert log.interrupted and training.accuracy(n, task().x_valid, task().y_valid) == log.best()["accuracy"]


def test_an_empty_log_can_be_asked():
    log = fit(net(), task(), augment=stop_at(1))
    assert log.interrupted and log.rows == [] and log.best() is None and log.last() is None and "no epoch" in repr(log)


def test_early_stopping_stops_and_takes_the_best_weights_back(monkeypatch):
    """The validation accuracy is played: best in epoch 2."""
    played, seen = iter([0.5, 0.9, 0.7, 0.9, 0.6]), []
    def accuracy(net, x, y): seen.append(state(net)); return next(played)
    monkeypatch.setattr(training, "accuracy", accuracy)
    n = net(True)
    log = fit(n, task(), epochs=30, patience=2)
    assert [r["accuracy"] for r in log.rows] == [0.5, 0.9, 0.7, 0.9] and log.best()["epoch"] == 2
    assert same(state(n), seen[1]) and not same(state(n), seen[3])


def test_a_finished_run_is_only_read(tmp_path):
    one, two = net(True), net(True)
    log = fit(one, task(), checkpoint=tmp_path / "run.pt")
    written = (tmp_path / "run.pt").read_bytes()
    assert numbers(fit(two, task(), checkpoint=tmp_path / "run.pt")) == numbers(log) and same(state(one), state(two))
    assert (tmp_path / "run.pt").read_bytes() == written


def test_the_best_weights_outlive_a_restart(tmp_path, monkeypatch):
    """Best in epoch 1; stopped by hand in epoch 2, and started again: the weights of epoch 1 come back."""
    played = iter([0.9, 0.5, 0.4])
    monkeypatch.setattr(training, "accuracy", lambda net, x, y: next(played))
    one, two = net(True), net(True)
    fit(one, task(), checkpoint=tmp_path / "run.pt", patience=2, augment=stop_at(6))
    log = fit(two, task(), checkpoint=tmp_path / "run.pt", patience=2)
    assert [r["accuracy"] for r in log.rows] == [0.9, 0.5, 0.4] and same(state(one), state(two))


# --- checkpoints that don't fit ----------------------------------------------------------------------------------------------

def refused(file, words, n=None, **how):
    """One sentence, and the network is as it was."""
    n = n or net(True)
    before = state(n)
    with pytest.raises(ValueError, match=words) as e: fit(n, task(), checkpoint=file, **how)
    assert "\n" not in str(e.value) and len(str(e.value)) <= 300 and same(state(n), before)
    return str(e.value)


@pytest.fixture
def checkpoint(tmp_path):
    fit(net(True), task(), checkpoint=tmp_path / "run.pt", epochs=2)
    return tmp_path / "run.pt"


@pytest.mark.parametrize("how, words", [({"epochs": 3}, "made with epochs=2; now it is epochs=3"), ({"lr": 0.1}, "lr=0.02; now it is lr=0.1"),
                                        ({"seed": 5}, "seed=0; now it is seed=5"), ({"optimizer": sgd}, "optimizer=adamw; now it is optimizer=sgd"),
                                        ({"n": nn.Sequential(net(), nn.Linear(2, 2))}, "made with weights=")])
def test_a_checkpoint_with_other_settings_is_refused(checkpoint, how, words):
    message = refused(checkpoint, words, **({"epochs": 2} | how))
    assert "'run.pt'" in message and "take another file name" in message


def test_a_checkpoint_of_another_task_is_refused(checkpoint):
    other = task(40)
    with pytest.raises(ValueError, match="n_train=46; now it is n_train=40"): fit(net(True), other, epochs=2, checkpoint=checkpoint)


def damaged(path):
    raw = bytearray(path.read_bytes())
    path.write_bytes(raw[:len(raw) // 2])


@pytest.mark.parametrize("spoil", [damaged, lambda p: p.write_text("hello"), lambda p: p.write_bytes(b""), lambda p: torch.save(net().state_dict(), p),
                                   lambda p: torch.save([1, 2], p)], ids=["half", "text", "empty", "weights", "list"])
def test_a_damaged_checkpoint_is_refused(checkpoint, spoil):
    spoil(checkpoint)
    refused(checkpoint, "checkpoint 'run.pt' can't be read: .* delete it to start anew", epochs=2)


class Code:
    def __init__(self, marker): self.marker = str(marker)
    def __reduce__(self): return open, (self.marker, "w")


@pytest.mark.parametrize("write", [lambda c, p: torch.save({"settings": c}, p), lambda c, p: p.write_bytes(pickle.dumps(c, protocol=2))])
def test_a_checkpoint_that_holds_code_is_refused_and_not_run(tmp_path, write):
    write(Code(tmp_path / "marker"), tmp_path / "run.pt")
    refused(tmp_path / "run.pt", "checkpoint 'run.pt' can't be read")
    assert not (tmp_path / "marker").exists()


# --- what is frozen, what goes wrong -----------------------------------------------------------------------------------------

def test_a_frozen_backbone_is_the_same_after_fit():
    n = backbones.course_net(num_classes=2).freeze("stage2")
    before = state(n)
    fit(n, task(12), epochs=1)
    moved = {k.split(".")[1] if k.startswith("trunk") else "head" for k, v in n.state_dict().items() if not torch.equal(v, before[k])}
    assert moved == {"stage3", "head"}


def test_only_the_given_params_learn():
    n = net(True)
    before = state(n)
    fit(n, task(), params=n[6].parameters())
    assert {k for k, v in n.named_parameters() if not torch.equal(v, before[k])} == {"6.weight", "6.bias"}


def test_groups_keep_their_own_rates():
    n = net()
    seen = []
    def optimizer(params, lr): seen.append(torch.optim.SGD(params, lr)); return seen[0]
    fit(n, task(), epochs=1, params=[dict(params=n[1].parameters(), lr=1e-5), dict(params=n[6].parameters())], optimizer=optimizer, schedule=training.constant)
    assert [g["lr"] for g in seen[0].param_groups] == [1e-5, 0.02]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_points_to_the_learning_rate(value):
    n = net()
    before = state(n)
    with pytest.raises(ValueError, match="the loss became (nan|inf): lr is probably too large"):
        fit(n, task(), objective=lambda model, x, y: model(x).sum() * value)
    assert same(state(n), before)


def test_a_rate_that_is_much_too_large_is_told():
    with pytest.raises(ValueError, match="lr is probably too large"): fit(net(), task(), lr=10, optimizer=sgd, epochs=60, objective=lambda m, x, y: m(x).pow(2).sum())


# --- who watches -------------------------------------------------------------------------------------------------------------

class Seen(training.Watch):
    """What a run shows: (what, steps done, rows so far, network in training mode?)."""
    def __init__(self): self.calls = []
    def start(self, run): self.calls.append(("start", run.done, len(run.log.rows), run.net.training)); self.run = run
    def step(self, run): self.calls.append(("step", run.done, len(run.log.rows), run.net.training))
    def epoch(self, run):
        self.calls.append(("epoch", run.done, len(run.log.rows), run.net.training))
        torch.rand(5)  # what it draws does not change the run
        return {"seen": torch.tensor(run.done / run.steps)}


def test_a_watch_sees_the_start_every_step_and_every_epoch_and_changes_nothing():
    seen = Seen()
    log = fit(net(True, 0.3), task(), epochs=2, watch=seen)
    epoch = lambda n: [("step", 4 * n + k, n, True) for k in range(1, 5)] + [("epoch", 4 * n + 4, n + 1, False)]
    assert seen.calls[0][:3] == ("start", 0, 0) and seen.calls[1:] == epoch(0) + epoch(1)
    assert [r["seen"] for r in log.rows] == [0.5, 1.0] and isinstance(log.rows[0]["seen"], float) and "seen" in repr(log)
    assert numbers(log) == numbers(fit(net(True, 0.3), task(), epochs=2)) and seen.run.log is log


def test_functions_and_watches_may_come_in_a_list():
    log = fit(net(), task(valid=False), epochs=1, watch=[lambda run: {"a": run.loss}, lambda run: None, Seen()])
    assert log.rows[0].keys() == {"epoch", "loss", "accuracy", "seconds", "a", "seen"} and "accuracy" not in repr(log)


def test_a_watch_of_a_run_that_goes_on_sees_what_is_done(tmp_path):
    fit(net(True), task(), checkpoint=tmp_path / "run.pt", augment=stop_at(10), watch=Seen())
    seen = Seen()
    log = fit(net(True), task(), checkpoint=tmp_path / "run.pt", watch=seen)
    assert seen.calls[0][:3] == ("start", 8, 2) and [r["seen"] for r in log.rows] == [0.25, 0.5, 0.75, 1.0]


def test_a_watch_may_stop_the_run_by_hand():
    def tired(run):
        if run.done == 8: raise KeyboardInterrupt
    log = fit(net(), task(), watch=tired)
    assert log.interrupted and len(log.rows) == 2


# --- augmentation ------------------------------------------------------------------------------------------------------------

def numbered(n=1, side=9):
    """Every pixel of a picture has its own value, the same in all three channels."""
    return torch.arange(side * side, dtype=torch.uint8).view(1, 1, side, side).repeat(n, 3, 1, 1)


def test_crop_flip_only_moves_pixels():
    torch.manual_seed(0)
    x = numbered(40)
    y = augment.crop_flip(x, 3)
    assert y.dtype == torch.uint8 and y.shape == x.shape and torch.equal(y[:, 0], y[:, 2])
    for p in y[:, 0].int():
        row, col = p[4] // 9, p[:, 4] % 9  # one row lies in one row, one column in one column
        assert (p // 9 == p[:, :1] // 9).all() and (p % 9 == p[:1] % 9).all() and len(row.unique()) == 1 and len(col.unique()) == 1
        assert (p[:, 4].div(9, rounding_mode="floor").diff().abs() <= 1).all() and abs(int(row[0]) - 4) <= 3


def test_every_picture_draws_its_own_and_pad_0_only_flips():
    torch.manual_seed(0)
    x = numbered(30)
    assert len(torch.unique(augment.crop_flip(x, 3), dim=0)) > 15
    flips = augment.crop_flip(x, 0)
    left = [torch.equal(p, x[0]) for p in flips]
    assert 5 < sum(left) < 25 and all(a or torch.equal(p, x[0].flip(2)) for a, p in zip(left, flips))
    assert torch.equal(x, numbered(30))  # the input is not changed


def test_cutout_paints_one_grey_square():
    torch.manual_seed(0)
    x = torch.full((20, 3, 12, 10), 7, dtype=torch.uint8)
    y = augment.cutout(x, 4)
    hole = y == 128
    assert y.dtype == torch.uint8 and (hole.sum((2, 3)) == 16).all() and (y[~hole] == 7).all() and len(torch.unique(y, dim=0)) > 5
    assert all(h[0].any(1).sum() == 4 and h[0].any(0).sum() == 4 for h in hole)
    assert (augment.crop_flip(x, 2, cut=4) == 128).sum() == 20 * 3 * 16


# --- results ------------------------------------------------------------------------------------------------------------------

CONFIGS = [dict(n=n, how="square") for n in (1, 2, 3, 4)]


def counting(calls, fail_at=None):
    def one(n, how):
        calls.append(n)
        if n == fail_at: raise RuntimeError("killed")
        return dict(value=n * n)
    return one


def test_sweep_goes_on_where_it_was(tmp_path):
    calls = []
    with pytest.raises(RuntimeError): records.sweep("squares", CONFIGS, counting(calls, 3), tmp_path / "new")
    assert calls == [1, 2, 3] and [p.name for p in (tmp_path / "new").iterdir()] == ["squares.rows.part"]
    path = records.sweep("squares", CONFIGS, counting(calls), tmp_path / "new", seeds=[0])
    assert calls == [1, 2, 3, 3, 4] and [p.name for p in path.parent.iterdir()] == ["squares.json"]
    result = json.loads(path.read_text())
    assert [(r["n"], r["how"], r["value"]) for r in result["rows"]] == [(n, "square", n * n) for n in (1, 2, 3, 4)]
    assert all(r["seconds"] >= 0 for r in result["rows"]) and result["seeds"] == [0]


def test_a_row_that_was_cut_off_is_measured_again(tmp_path):
    part, calls = tmp_path / "squares.rows.part", []
    row = json.dumps(dict(config=CONFIGS[0], value=1, seconds=0.1)) + "\n"
    part.write_text(row + row.replace('"n": 1', '"n": 2')[:25])
    records.sweep("squares", CONFIGS, counting(calls), tmp_path)
    assert calls == [2, 3, 4]


def test_rows_of_other_configurations_are_left_out(tmp_path):
    part, calls = tmp_path / "squares.rows.part", []
    part.write_text("".join(json.dumps(dict(config=dict(n=n, how="square"), value=n * n, seconds=0.1)) + "\n" for n in (9, 4)))
    path = records.sweep("squares", CONFIGS, counting(calls), tmp_path)
    assert calls == [1, 2, 3] and [r["n"] for r in json.loads(path.read_text())["rows"]] == [1, 2, 3, 4]


def test_a_result_says_where_it_was_measured(tmp_path):
    path = records.write_result("probe", dict(accuracy=0.5, seeds=[0, 1], note="Größe"), tmp_path / "results")
    result = json.loads(path.read_text(encoding="utf-8"))
    assert result["accuracy"] == 0.5 and result["seeds"] == [0, 1] and result["note"] == "Größe"
    need = {"python", "torch", "torchvision", "timm", "transformers", "accelerate", "numpy", "system", "machine", "threads", "device"}
    assert need <= result["environment"].keys() and all(result["environment"].values())
    assert path.read_text(encoding="utf-8").endswith("}\n") and [p.name for p in path.parent.iterdir()] == ["probe.json"]


def test_a_result_that_cannot_be_written_leaves_the_old_one(tmp_path):
    path = records.write_result("probe", dict(a=1), tmp_path)
    old = path.read_text()
    with pytest.raises(TypeError): records.write_result("probe", dict(a=object()), tmp_path)
    assert path.read_text() == old and [p.name for p in tmp_path.iterdir()] == ["probe.json"]

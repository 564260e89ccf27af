"""extract, its cache and its faults, with a small network of random weights; probe and neighbours."""
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from functools import partial

import numpy as np
import pytest
import torch

from transfer_course import backbones, features, probes
from transfer_course.backbones import batched
from transfer_course.cache import FeatureCache, cache_keys, fitting
from transfer_course.features import extract, extract_stages, knn, linear_probe


def pictures(n=100, seed=0, side=32): return torch.randint(0, 256, (n, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFER_COURSE_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def net(): return backbones.course_net(seed=1)


@pytest.fixture
def x(): return pictures()


class Counter:
    """How many pictures went through the network's first stage."""
    def __init__(self, net, stop_after=None):
        self.n, self.stop_after = 0, stop_after
        net.trunk.stem.register_forward_hook(self)

    def __call__(self, module, args, out):
        if self.stop_after is not None and self.n >= self.stop_after: raise KeyboardInterrupt
        self.n += len(out)


def cache_of(net, x, stage="stage3"): return FeatureCache(cache_keys(net, x, [stage])[stage], len(x))


# --- what it computes ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("cache", [True, False])
def test_same_as_the_network_itself(net, x, cache):
    found = extract_stages(net, x, batch_size=32, cache=cache)
    assert list(found) == net.stages
    for stage, z in found.items():
        assert z.dtype == torch.float32 and z.shape == (100, net.widths()[stage]) and not z.requires_grad
        assert torch.allclose(z, batched(partial(net.features, stage=stage), x), atol=1e-5)
        assert torch.equal(z, extract(net, x, stage, cache=True)) or not cache
    assert torch.equal(extract(net, x), extract(net, x, "stage3"))


def test_result_lies_on_disk_and_writing_into_it_does_not_spoil_it(net, x):
    z = extract(net, x)
    assert isinstance(np.load(cache_of(net, x).path, mmap_mode="r"), np.memmap)
    keep = z.clone()
    z.mul_(0)
    assert torch.equal(extract(net, x), keep)


def test_grey_pictures_and_other_sizes(net):
    grey = pictures(8)[:, :1]
    assert extract(net, grey).shape == extract(net, pictures(8, side=48)).shape == (8, 256)
    small = extract(net, pictures(8, side=48), size=32)
    assert torch.allclose(small, extract(net, backbones.resize(pictures(8, side=48), 32)), atol=1e-5)
    assert net.preprocess.size is None


def test_a_dataset_has_the_features_and_the_key_of_its_tensor(net, x):
    class Set:
        def __len__(self): return len(x)
        def __getitem__(self, i): return x[i], 3
    counter = Counter(net)
    assert torch.equal(extract(net, Set()), extract(net, x)) and counter.n == 100


def test_mode_and_memory_stay_as_they_were(net, x):
    net.train()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    extract(net, x)
    assert net.training and all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_sentences():
    net, x = backbones.load("minilm"), ["A cat.", "Two dogs run.", "Rain."]
    z = extract(net, x, "layer2", batch_size=2)
    assert z.shape == (3, 384) and torch.allclose(z, extract(net, x, "layer2", cache=False), atol=1e-5)
    assert torch.allclose(z[:2], batched_text(net, x[:2]), atol=1e-4)


@torch.inference_mode()
def batched_text(net, x): return net.features(x, "layer2")


# --- the key ------------------------------------------------------------------------------------------------------

def test_second_call_runs_nothing(net, x):
    counter = Counter(net)
    first = extract(net, x)
    assert torch.equal(extract(net, x, batch_size=7), first) and counter.n == 100
    assert torch.equal(extract(backbones.course_net(seed=1).train(), x), first)


def stride(net): net.trunk.stage2[0][0].stride = (1, 1)
def mean(net): net.preprocess.mean += 0.1
def interpolation(net): net.preprocess.interpolation = "bilinear"
def resize(net): net.preprocess.size = 40
def weight(net): net.trunk.stem[0].weight.data[0, 0, 0, 0] += 1e-6
def memory(net): net.trunk.stage1[1].running_var[3] *= 1.0001


@pytest.mark.parametrize("change", [stride, mean, interpolation, resize, weight, memory], ids=lambda f: f.__name__)
def test_a_change_of_the_network_changes_the_key(net, x, change):
    before = cache_keys(net, x, ["stage2"])
    change(net)
    assert cache_keys(net, x, ["stage2"]) != before


def test_the_key_knows_the_pictures_and_the_stage(net, x):
    key = cache_keys(net, x, ["stage2"])["stage2"]
    other = x.clone()
    other[50, 1, 3, 3] ^= 1
    grey = x[:, :1].contiguous()
    keys = [cache_keys(net, p, [s])[s] for p, s in [(other, "stage2"), (x[:-1], "stage2"), (grey, "stage2"), (grey.reshape(100, 1, 16, 64), "stage2"), (x, "stage1")]]
    assert len({key, *keys}) == 6
    memory(net)
    assert cache_keys(net, x, ["stem"])["stem"] == cache_keys(backbones.course_net(seed=1), x, ["stem"])["stem"]


def test_poolings_agree_with_the_map(net, x):
    with backbones.evaluating(net), torch.no_grad(): m = net.trunk[:2](net.preprocess(x[:5]))
    stage, (n, d, h, w) = net.stages[1], m.shape
    tiles = m.reshape(n, d, 2, h // 2, 2, w // 2).mean((3, 5)).flatten(1)
    for pool, right in {"mean": m.mean((2, 3)), "max": m.amax((2, 3)), 1: m.mean((2, 3)), 2: tiles}.items():
        for cache in (True, False): assert torch.allclose(extract(net, x[:5], stage, pool=pool, cache=cache), right, atol=1e-4)


def test_the_key_knows_the_pooling(net, x):
    keys = [cache_keys(net, x, ["stage2"], how)["stage2"] for how in ("mean", "max", 2, 4)]
    assert len(set(keys)) == 4 and keys[0] == cache_keys(net, x, ["stage2"])["stage2"]


def test_the_key_of_several_stages_is_that_of_each(net, x):
    assert cache_keys(net, x, net.stages) == {s: cache_keys(net, x, [s])[s] for s in net.stages}


# --- damage -------------------------------------------------------------------------------------------------------

def flip(place):
    def change(kept):
        data = bytearray(kept.path.read_bytes())
        data[int(place * (len(data) - 1))] ^= 4
        kept.path.write_bytes(data)
    return change


def truncated(kept): kept.path.write_bytes(kept.path.read_bytes()[:-100])
def longer(kept): kept.path.write_bytes(kept.path.read_bytes() + b"more")
def empty(kept): kept.path.write_bytes(b"")
def of_zeros(kept): np.save(kept.path, np.zeros((100, 256), np.float32))
def without_note(kept): kept.note.unlink()
def garbled_note(kept): kept.note.write_text("{not json\n")
def binary_note(kept): kept.note.write_bytes(b"\xff\xfe\x00")
def note_of_a_number(kept): kept.note.write_text("3")
def note_of_a_list(kept): kept.note.write_text("[3, 4]")
def changed_note(kept, **facts): kept.note.write_text(json.dumps(json.loads(kept.note.read_text()) | facts))
def fewer_rows(kept): changed_note(kept, done=60)
def more_rows(kept): changed_note(kept, done=10**9)
def other_width(kept): changed_note(kept, width=128)
def strange_width(kept): changed_note(kept, width=None)
def negative_rows(kept): changed_note(kept, done=-1)
def other_checksum(kept): changed_note(kept, crc=7)
def other_key(kept): changed_note(kept, key="x")


FAULTS = {"first byte": flip(0), "header": flip(0.0005), "middle": flip(0.5), "last byte": flip(1), **{
    f.__name__: f for f in (truncated, longer, empty, of_zeros, without_note, garbled_note, binary_note, note_of_a_number, note_of_a_list, fewer_rows, more_rows,
                                 other_width, strange_width, negative_rows, other_checksum, other_key)}}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_damaged_file_is_made_again(net, x, fault):
    right = extract(net, x, batch_size=30).clone()
    counter, kept = Counter(net), cache_of(net, x)
    FAULTS[fault](kept)
    assert torch.allclose(extract(net, x, batch_size=30), right, atol=1e-6) and counter.n == 100
    extract(net, x)
    assert counter.n == 100 and kept.read() is not None


@pytest.mark.parametrize("with_note", [True, False])
def test_a_foreign_file_is_not_believed(net, x, with_note):
    right = extract(net, x).clone()
    other = pictures(seed=5)
    extract(net, other)
    a, b = cache_of(net, other), cache_of(net, x)
    shutil.copy(a.path, b.path)
    if with_note: shutil.copy(a.note, b.note)
    assert torch.allclose(extract(net, x), right, atol=1e-6)


def test_nan_is_refused_and_not_kept(net, x):
    net.trunk.stage3[0][1].running_var[7] = float("nan")
    for cache in (True, False):
        with pytest.raises(ValueError, match="item 0 of x at stage 'stage3' hold NaN"): extract(net, x, cache=cache)
    assert cache_of(net, x).read() is None and extract(net, x, "stage2").isfinite().all()


# --- broken off ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("stages", [["stage3"], ["stem", "stage2", "stage3"]])
def test_goes_on_where_it_was(net, x, stages):
    stopped = backbones.course_net(seed=1)
    Counter(stopped, stop_after=40)
    with pytest.raises(KeyboardInterrupt): extract_stages(stopped, x, stages, batch_size=10)
    assert all(not cache_of(net, x, s).path.exists() for s in stages)
    counter = Counter(net)
    found = extract_stages(net, x, stages, batch_size=16)
    assert counter.n == 60
    assert torch.allclose(found["stage3"], extract(net, x, cache=False), atol=1e-5)


def test_stages_that_stopped_at_different_places(net, x):
    for stage, n in [("stem", 20), ("stage3", 70)]:
        stopped = backbones.course_net(seed=1)
        Counter(stopped, stop_after=n)
        with pytest.raises(KeyboardInterrupt): extract(stopped, x, stage, batch_size=10)
    counter = Counter(net)
    found = extract_stages(net, x, ["stem", "stage3"], batch_size=10)
    assert counter.n == 80 and torch.allclose(found["stage3"], extract(net, x, cache=False), atol=1e-5)


@pytest.mark.parametrize("how", ["a row too many", "half a row", "damaged", "no note", "torn note"])
def test_an_unfinished_file_is_believed_as_far_as_its_note(net, x, how):
    stopped = backbones.course_net(seed=1)
    Counter(stopped, stop_after=40)
    with pytest.raises(KeyboardInterrupt): extract(stopped, x, batch_size=10)
    kept = cache_of(net, x)
    data = bytearray(kept.part.read_bytes())
    if how == "a row too many": data += bytes(1024)
    if how == "half a row": data = data[:-500]
    if how == "damaged": data[128 + 25 * 1024] ^= 1  # row 25
    if how == "no note": kept.note.unlink()
    if how == "torn note": kept.note.write_text(kept.note.read_text()[:-9])
    kept.part.write_bytes(data)
    counter = Counter(net)
    z = extract(net, x, batch_size=10)
    assert counter.n == {"a row too many": 60}.get(how, 100)
    assert torch.allclose(z, extract(net, x, cache=False), atol=1e-5)


SLOW = """
import sys, time, torch
from transfer_course import backbones, features, probes
net = backbones.course_net(seed=1)
seen = []
def stalling(*_):
    "After five batches it waits to be killed."
    seen.append(1)
    if len(seen) > 5: time.sleep(600)
net.trunk.stem.register_forward_hook(stalling)
features.extract(net, torch.load(sys.argv[1]), batch_size=10, progress=False)
"""


def test_killed_half_way(net, x, tmp_path):
    torch.save(x, tmp_path / "x.pt")
    kept = cache_of(net, x)
    child = subprocess.Popen([sys.executable, "-c", SLOW, str(tmp_path / "x.pt")])
    end = time.time() + 600
    while not (kept.note.exists() and json.loads(kept.note.read_text())["done"] >= 30) and time.time() < end: time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    child.wait()
    assert kept.part.exists() and not kept.path.exists()
    counter = Counter(net)
    z = extract(net, x, batch_size=10)
    assert 0 < counter.n <= 70
    assert torch.allclose(z, extract(net, x, cache=False), atol=1e-5)


def test_two_at_once_compute_it_once(x):
    nets = [backbones.course_net(seed=1) for _ in range(2)]
    counters, found = [Counter(n) for n in nets], [None, None]
    def work(i): found[i] = extract(nets[i], x, batch_size=10, progress=False)
    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for t in threads: t.start()
    for t in threads: t.join()
    assert torch.equal(*found) and sum(c.n for c in counters) == 100


TWO = """
import sys, time, torch
from transfer_course import backbones, features
net, seen = backbones.course_net(seed=1), []
def slowly(module, args, out):
    seen.append(len(out))
    time.sleep(0.1)
net.trunk.stem.register_forward_hook(slowly)
z = features.extract(net, torch.load(sys.argv[1]), batch_size=10, progress=False)
print(sum(seen), z.double().sum().item())
"""


def test_two_processes_compute_it_once(x, tmp_path):
    torch.save(x, tmp_path / "x.pt")
    start = lambda: subprocess.Popen([sys.executable, "-c", TWO, str(tmp_path / "x.pt")], stdout=subprocess.PIPE, text=True)
    (a, one), (b, other) = (child.communicate(timeout=240)[0].split() for child in [start(), start()])
    assert sorted([int(a), int(b)]) == [0, 100] and one == other


def test_train_valid_split_holds_out_a_stratified_quarter():
    z, y = heaps()
    z_fit, y_fit, z_valid, y_valid = probes.train_valid_split(z.numpy(), y.numpy(), 0)
    assert np.bincount(y_valid).tolist() == [5, 5, 5] and len(y_fit) == len(z_fit) == 45 and len(z_valid) == 15
    rows = {tuple(r) for r in z_fit} | {tuple(r) for r in z_valid}
    assert len(rows) == 60 and probes.train_valid_split(z[:3].numpy(), y[:3].numpy(), 0) is None


def test_old_names_still_work():
    with pytest.warns(FutureWarning, match="cache.FeatureCache"): assert features.Store is FeatureCache
    with pytest.warns(FutureWarning): assert features.held_out is probes.train_valid_split
    with pytest.warns(FutureWarning): assert len(features.pick(torch.arange(9) % 3, 2)) == 6


# --- speed and memory ---------------------------------------------------------------------------------------------

MEMORY = """
import resource, sys, torch
from torch import nn
from transfer_course import backbones, features, probes
torch.set_num_threads(1)
trunk = nn.Sequential()
trunk.add_module("stem", nn.Conv2d(3, 512, 16, 16))
net = backbones.Backbone(trunk, nn.Sequential(), backbones.Preprocess())
class Set:
    def __len__(self): return int(sys.argv[1])
    def __getitem__(self, i): return torch.full((3, 16, 16), i % 256, dtype=torch.uint8)
assert features.extract(net, Set(), batch_size=256, progress=False).shape == (len(Set()), 512)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no resource module on Windows")
def test_memory_does_not_grow_with_the_data():
    """30,000 rows hold 61 MB of features, ten times as many as 3,000."""
    few, many = (int(subprocess.run([sys.executable, "-c", MEMORY, n], capture_output=True, text=True, check=True, timeout=300).stdout) for n in ("3000", "30000"))
    assert many < 1.1 * few


def test_second_call_is_much_faster(net):
    x = pictures(1000)
    times = []
    for _ in range(2):
        start = time.process_time()  # of this process alone, whatever else the machine does
        extract(net, x, progress=False)
        times.append(time.process_time() - start)
    assert times[1] < times[0] / 5  # CourseNet is tiny; benchmarks measure EfficientNet-Lite0


# --- probe and neighbours -----------------------------------------------------------------------------------------

def heaps(n=60, d=20, seed=0, gap=4.):
    """Three heaps of points, and their labels."""
    g = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 3
    return torch.randn(n, d, generator=g) + gap * torch.eye(d)[y], y


@pytest.mark.parametrize("scale", ["common", "each"])
def test_probe_learns_and_takes_tensors(scale):
    z, y = heaps()
    probe = linear_probe(z, y, scale=scale)
    assert probe.score(*heaps(seed=1)) > 0.9 and probe.predict(z).shape == (60,) and probe[-1].C in features.CANDIDATES
    assert linear_probe(z.numpy(), y.numpy()).score(z, y) == linear_probe(z, y).score(z, y)


def test_knn_learns_and_uses_directions():
    z, y = heaps()
    assert knn(z, y).score(*heaps(seed=1)) > 0.9
    far = 1000 * z
    assert (knn(z, y, k=1).predict(far) == y.numpy()).all()


def test_C_is_the_best_on_the_validation_part():
    (z, y), (a, b) = heaps(30, gap=1.), heaps(90, seed=2, gap=1.)
    scores = {C: features.one_probe(z.numpy(), y.numpy(), C).score(a, b) for C in features.CANDIDATES}
    probe = linear_probe(z, y, a, b)
    assert scores[probe[-1].C] == max(scores.values())
    assert probe[-1].C == min(C for C in scores if scores[C] == max(scores.values()))
    assert np.allclose(probe[-1].coef_, features.one_probe(z.numpy(), y.numpy(), probe[-1].C)[-1].coef_)


def test_one_C_or_one_label_leaves_no_choice():
    z, y = heaps()
    assert linear_probe(z, y, C=0.3)[-1].C == 0.3
    assert linear_probe(z[:3], y[:3])[-1].C == 1.
    assert linear_probe(z[:6], y[:6])[-1].C in features.CANDIDATES


def test_features_that_never_change_do_no_harm():
    z, y = heaps()
    assert linear_probe(torch.cat([z, torch.ones(60, 5)], 1), y, C=1.).score(torch.cat([z, torch.ones(60, 5)], 1), y) > 0.9
    assert linear_probe(torch.ones(60, 5), y, C=1.).score(torch.ones(60, 5), y) == pytest.approx(1 / 3)


def test_common_scaler_uses_one_number():
    z = torch.randn(500, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor([1., 1., 1., 3.])
    scaled = probes.CommonScaler().fit(z.numpy()).transform(z)
    assert np.allclose(scaled.mean(0), 0, atol=1e-5) and scaled.var(0).mean() == pytest.approx(1, abs=1e-4)
    assert scaled[:, 3].std() / scaled[:, 0].std() == pytest.approx(float(z[:, 3].std() / z[:, 0].std()), rel=1e-3)


def test_a_probe_is_fitted_on_one_thread(monkeypatch):
    """Small sums on several threads cost many times the time of one."""
    from threadpoolctl import threadpool_info
    seen, fit = [], features.LogisticRegression.fit
    def watched(self, *args):
        seen.extend(pool["num_threads"] for pool in threadpool_info())
        return fit(self, *args)
    monkeypatch.setattr(features.LogisticRegression, "fit", watched)
    was = [pool["num_threads"] for pool in threadpool_info()]
    linear_probe(*heaps(), C=1.)
    assert set(seen) == {1} and [pool["num_threads"] for pool in threadpool_info()] == was


@pytest.mark.parametrize("side,n", [(32, 64), (64, 32), (96, 14), (160, 5), (512, 4)])
def test_batches_fit_the_picture(net, side, n):
    sizes = []
    net.trunk.stem.register_forward_hook(lambda m, args, out: sizes.append(len(out)))
    assert fitting(net, pictures(2, side=side)) == n
    extract(net, pictures(70, side=8), size=side if side < 100 else 8, cache=False)
    assert max(sizes) == (n if side < 100 else 64) and sum(sizes) == 70

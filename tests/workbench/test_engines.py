"""Features by another engine: the same but for the last digits, under a name of their own in the cache."""
import pytest
import torch

from transfer_course import backbones, engines
from transfer_course.cache import cache_keys
from transfer_course.course import UsageError
from transfer_course.features import extract, extract_stages

NAMES = {"onnx": "onnxruntime", "openvino": "openvino"}


@pytest.fixture(scope="module")
def net(): return backbones.course_net(num_classes=3, seed=0)


@pytest.fixture(scope="module")
def x(): return torch.randint(256, (21, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("engine", NAMES)
def test_the_same_features(net, x, engine, tmp_path, monkeypatch):
    for name in ("onnx", "onnxscript", NAMES[engine]): pytest.importorskip(name)
    monkeypatch.setenv("TRANSFER_COURSE_HOME", str(tmp_path))
    stages, how = net.stages[-2:], dict(batch_size=8, progress=False)
    right, other = (extract_stages(net, x, stages, engine=e, **how) for e in ("torch", engine))
    for s in stages: torch.testing.assert_close(other[s], right[s], atol=1e-4, rtol=1e-4)
    monkeypatch.setattr(engines, "write_onnx", lambda *a: pytest.fail("written again"))
    again = extract_stages(net, x, stages, engine=engine, **how)  # from the cache
    assert all(torch.equal(again[s], other[s]) for s in stages)


def test_other_sizes_are_resized_first(net, x):
    for name in ("onnx", "onnxscript", "onnxruntime"): pytest.importorskip(name)
    a, b = (extract(net, x, size=48, cache=False, progress=False, engine=e) for e in ("torch", "onnx"))
    torch.testing.assert_close(b, a, atol=1e-4, rtol=1e-4)


def test_names_in_the_cache(net, x):
    stage = [net.stages[-1]]
    keys = [cache_keys(net, x, stage), cache_keys(net, x, stage, engine="torch"), cache_keys(net, x, stage, engine="onnx")]
    assert keys[0] == keys[1] != keys[2]


def test_what_can_not_be(net, x, monkeypatch):
    with pytest.raises(ValueError, match="engine.*onnx"): extract(net, x, engine="onxx")
    with pytest.raises(ValueError, match="reads sentences"): extract(backbones.load("minilm"), ["a"], engine="onnx")
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="is not installed"): extract(net, x, engine="onnx", cache=False, progress=False)

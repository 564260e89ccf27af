"""Features that were kept belong to one function of the network: its code, attributes and hooks as well as its weights."""
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

from transfer_course import backbones, cache
from transfer_course.cache import extract
from transfer_course.fingerprint import fingerprint_of

X = torch.randint(0, 256, (6, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFER_COURSE_HOME", str(tmp_path))
    cache.SAID.clear()
    return tmp_path


def own(source):
    """The class Mine, as a cell of a notebook defines it."""
    names = {"nn": nn, "torch": torch, "__name__": "__main__"}
    exec(source, names)
    return names["Mine"]


FORWARD = "class Mine(nn.Module):\n    k = 1\n    def forward(self, z): return {}\n"
HELPER = "def helper(z): return {}\nclass Mine(nn.Module):\n    def forward(self, z): return helper(z)\n"
GLOBAL = "K = {}\nclass Mine(nn.Module):\n    def forward(self, z): return K * z\n"


def net_with(module):
    net = backbones.course_net(seed=1)
    net.trunk.add_module("mine", module)
    return net


def set_attribute(v):
    m = own(FORWARD.format("z * self.k"))()
    m.k = v
    return m


class Holds(nn.Module):
    def __init__(self, f): super().__init__(); self.f = f
    def forward(self, z): return self.f(z)


def once(z): return z
def thrice(z): return 3 * z
def replaced(f):
    m = nn.Identity()
    m.forward = f
    return m


CHANGES = {  # what is done: (before, after)
    "an edited forward": (lambda: own(FORWARD.format("z ** 1"))(), lambda: own(FORWARD.format("z ** 2"))()),
    "an edited helper": (lambda: own(HELPER.format("z"))(), lambda: own(HELPER.format("z.relu() - 1"))()),
    "a global": (lambda: own(GLOBAL.format("1"))(), lambda: own(GLOBAL.format("2"))()),
    "an attribute": (lambda: set_attribute(1), lambda: set_attribute(5)),
    "a function in a module": (lambda: Holds(once), lambda: Holds(thrice)),
    "a lambda in a module": (lambda: Holds(lambda z: z), lambda: Holds(lambda z: 2 * z)),
    "a forward that was put in": (lambda: replaced(once), lambda: replaced(thrice)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_function_gives_its_own_features(change):
    before, after = (net_with(make()) for make in CHANGES[change])
    old = extract(before, X).clone()
    assert torch.equal(extract(net_with(CHANGES[change][0]()), X), old), "and the same function is found again"
    new = extract(after, X)
    assert torch.equal(new, extract(after, X, cache=False)) and not torch.allclose(old, new)


def in_place(m, x, y): y.zero_()


@pytest.mark.parametrize("hook", [lambda m, x, y: 0 * y, in_place], ids=["gives another", "in place"])
def test_a_hook_that_changes_the_features_is_seen(hook):
    net = backbones.course_net(seed=1)
    old = extract(net, X).clone()
    handle = net.trunk.stage2.register_forward_hook(hook)
    with pytest.warns(UserWarning, match="features are not kept"): new = extract(net, X)
    assert torch.equal(new, extract(net, X, cache=False)) and not torch.equal(old, new)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it is said once
        extract(net, X)
    handle.remove()
    assert torch.equal(extract(net, X), old)


def test_a_pre_hook_that_changes_the_features_is_seen():
    net = backbones.course_net(seed=1)
    old = extract(net, X).clone()
    net.trunk.stage2.register_forward_pre_hook(lambda m, args: (0 * args[0],))
    with pytest.warns(UserWarning, match="features are not kept"): assert not torch.equal(extract(net, X), old)


def test_a_hook_that_only_looks_is_left_alone():
    net, seen = backbones.course_net(seed=1), []
    net.trunk.stem.register_forward_hook(lambda m, x, y: seen.append(len(y)))
    extract(net, X)
    n = sum(seen)
    extract(net, X)
    assert n == sum(seen) == 6


def test_what_cannot_be_read_is_not_kept(home):
    """A generator has no content that could be compared."""
    net = net_with(Holds(once))
    net.trunk.mine.secret = (i for i in range(3))
    with pytest.warns(UserWarning, match="not kept: the network holds an object of the class generator"): extract(net, X)
    assert not list(home.glob("features/*.npy"))


def test_hooks_of_texts_are_seen():
    bert = backbones.load("minilm")
    old = extract(bert, ["A cat."], "layer2").clone()
    bert.trunk.encoder.layer[0].output.dense.register_forward_hook(lambda m, x, y: 0 * y)
    with pytest.warns(UserWarning, match="not kept"): assert not torch.equal(extract(bert, ["A cat."], "layer2"), old)


SCRIPT = """
from functools import partial
import torch
from torch import nn
from transfer_course.fingerprint import fingerprint_of
def helper(z, names={"b", "a", "c"}): return z in {"x", "y", "z"}
class Mine(nn.Module):
    def __init__(self): super().__init__(); self.f, self.names = partial(helper, 1), {"one", "two", "three"}
    def forward(self, z): return helper(z)
print(fingerprint_of(Mine(), helper, torch.ones(3), {"k": [1, 2.5]}))
"""


def test_another_process_finds_the_same():
    found = {subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, env=None, check=True).stdout for _ in range(2)}
    assert len(found) == 1 and len(found.pop().strip()) == 64


def test_cycles_end():
    a, b = [1], [2]
    a.append(b); b.append(a)
    assert fingerprint_of(a) != fingerprint_of(b)


def test_a_class_of_torch_that_was_changed_is_seen(monkeypatch):
    """And one that was not is known by its name."""
    before = fingerprint_of(torch.nn.Sequential(torch.nn.ReLU()))
    monkeypatch.setattr(torch.nn.ReLU, "forward", lambda self, x: x / 2)
    assert fingerprint_of(torch.nn.Sequential(torch.nn.ReLU())) != before


def test_hooks_of_all_modules_are_seen():
    n, x = backbones.load("coursenet"), torch.randint(256, (3, 3, 32, 32), dtype=torch.uint8)
    before = cache.extract(n, x, progress=False)
    hook = torch.nn.modules.module.register_module_forward_hook(lambda m, i, o: o / 2 if isinstance(m, torch.nn.Conv2d) else None)
    try: halved = cache.extract(n, x, progress=False)
    finally: hook.remove()
    assert not torch.allclose(halved, before) and torch.equal(cache.extract(n, x, progress=False), before)


def test_packages_of_another_place_are_known(tmp_path):
    """A server's environment beside one's own, `pip install --user`, a venv with the system's packages: what is installed there is nobody's own code. What lies in another folder on the path is."""
    places = [tmp_path / "lib" / name for name in ("site-packages", "dist-packages", "src", "my-site-packages")]
    for i, place in enumerate(places):
        place.mkdir(parents=True)
        (place / f"from_{i}.py").write_text("class Thing:\n    make = dict.__dict__['fromkeys']\n")
    code = (f"import sys; sys.path += {list(map(str, places))!r}\nfrom transfer_course.fingerprint import CantTell, fingerprint_of\nimport from_0, from_1, from_2, from_3\n"
            "for m in (from_0, from_1, from_2, from_3):\n    try: print(len(fingerprint_of(m.Thing())))\n    except CantTell: print('own')")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=Path(__file__).parents[2])
    assert done.stdout.split() == ["64", "64", "own", "own"], done.stderr[-500:]  # the last two: a package of one's own that is worked on, and a folder on the path

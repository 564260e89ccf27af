"""A student's wrong calls of the data module: each gives one sentence that names the argument and the fix."""

import numpy as np
import torch
from harness import refused, rows
from PIL import Image

from transfer_course import data

X, Y, NAMES = torch.zeros(30, 1, 8, 8, dtype=torch.uint8), torch.arange(30) % 3, ["ant", "bee", "cat"]
RGB = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)


def task(x=X, y=Y, x_test=X, y_test=Y, classes=NAMES, **more): return data.Task("toy", x, y, x_test, y_test, classes, **more)


def alone(): return task(y=torch.cat([torch.zeros(29), torch.ones(1)]).long(), classes=["ant", "bee"], y_test=Y % 2)


def no_cats(): return task(y=Y % 2)


def folder(tmp, **classes):
    """A folder with a subfolder for each class and that many pictures in it."""
    for name, n in classes.items():
        (tmp / name).mkdir(parents=True)
        for i in range(n): Image.new("RGB", (9, 9), (i, i, i)).save(tmp / name / f"{i}.png")
    return tmp


def broken(tmp, body=b"not a picture"):
    (folder(tmp, ant=3, bee=3) / "bee" / "7.jpg").write_bytes(body)
    return tmp


def cut(tmp):
    folder(tmp, ant=3, bee=3)
    Image.fromarray(np.random.default_rng(0).integers(255, size=(90, 90, 3), dtype=np.uint8)).save(tmp / "bee" / "8.jpg")
    (tmp / "bee" / "8.jpg").write_bytes((tmp / "bee" / "8.jpg").read_bytes()[:2000])
    return tmp


def deep(tmp):
    folder(tmp, ant=3, bee=3)
    Image.fromarray(np.full((9, 9), 40_000, np.uint16)).save(tmp / "bee" / "9.png")
    return tmp


def odd_parts(tmp):
    folder(tmp / "train", ant=2, bee=2)
    folder(tmp / "test", ant=2, wasp=2)
    return tmp


def touched(tmp):
    (tmp / "a.txt").write_text("")
    return tmp / "a.txt"


CALLS = [  # what is wrong, the call (given an empty folder), words that the sentence must hold
    ("pictures as floats", lambda d: task(x=X / 255), ["x_train must be uint8", "float32 (30, 1, 8, 8)", "pass raw pixels", "backbone scales"]),
    ("pictures as NaN", lambda d: data.night(RGB * float("nan")), ["x must be uint8", "float32", "pass raw pixels"]),
    ("pictures as int64", lambda d: task(x=X.long()), ["x_train", "int64", "pass raw pixels"]),
    ("channels last", lambda d: task(x=torch.zeros(30, 8, 8, 3, dtype=torch.uint8)), ["x_train", "(30, 8, 8, 3)", "x.permute(0, 3, 1, 2)"]),
    ("one picture", lambda d: data.inverted(RGB[0]), ["x must be", "(3, 8, 8)", "x[None]"]),
    ("grey without channel", lambda d: data.night(X[:, 0]), ["x must be", "(30, 8, 8)", "x[:, None]"]),
    ("rows of a table", lambda d: data.inverted(X.flatten(1)), ["x must be", "(30, 64)", "a batch has four"]),
    ("four channels", lambda d: data.inverted(torch.zeros(2, 4, 8, 8, dtype=torch.uint8)), ["x must be", "(2, 4, 8, 8)", "three (RGB)"]),
    ("no pictures", lambda d: task(x=X[:0], y=Y[:0]), ["x_train", "(0, 1, 8, 8)", "at least one picture"]),
    ("a NumPy array", lambda d: task(x=X.numpy()), ["x_train", "a numpy array uint8 (30, 1, 8, 8)", "torch.as_tensor"]),
    ("a list", lambda d: data.inverted([1, 2, 3]), ["x must be", "list [1, 2, 3]", "torch.as_tensor"]),
    ("test pictures of another size", lambda d: task(x_test=RGB, y_test=Y[:4]), ["x_test", "1×8×8 like x_train", "got 3×8×8", "resize"]),
    ("too few labels", lambda d: task(y=Y[:20]), ["y_train has 20 labels for 30 pictures in x_train", "one label for each"]),
    ("labels from 1", lambda d: task(y=Y + 1), ["y_train", "from 0 to 2", "got 1 to 3", "count classes from 0"]),
    ("negative labels", lambda d: task(y_test=Y - 1), ["y_test", "got -1 to 1", "count classes from 0"]),
    ("labels as floats", lambda d: task(y=Y.float()), ["y_train must be int64", "float32 (30,)", "y.long()"]),
    ("labels one-hot", lambda d: task(y=torch.nn.functional.one_hot(Y)), ["y_train must be int64 N", "int64 (30, 3)", "class numbers"]),
    ("labels as a list, too few", lambda d: task(y=[0, 1, 2]), ["y_train has 3 labels for 30 pictures", "one label for each"]),
    ("labels of two kinds", lambda d: task(y=["ant", 1] * 15), ["y_train must be int64 N", "list ['ant', 1,", "for each"]),
    ("valid pictures without labels", lambda d: task(x_valid=X), ["x_valid and y_valid must come together", "only x_valid", "give both"]),
    ("valid labels without pictures", lambda d: task(y_valid=Y), ["x_valid and y_valid must come together", "only y_valid", "give both"]),
    ("one class", lambda d: task(classes=["ant"]), ["classes", "at least 2 different names", "list ['ant']", "one class"]),
    ("a class twice", lambda d: task(classes=["ant", "bee", "ant"]), ["classes", "different names", "rename", "'ant'"]),
    ("classes as a word", lambda d: task(classes="ant"), ["classes must be a list of at least 2", "got 'ant'", "such as"]),
    ("classes as a number", lambda d: task(classes=3), ["classes must be a list", "got 3", "such as"]),
    ("k larger than the class", lambda d: task().few_shot(11), ["k must be a whole number from 1 to 10", "got 11", "'ant'", "has 10"]),
    ("k of 0", lambda d: task().few_shot(0), ["k must be a whole number from 1 to 10", "got 0"]),
    ("k as a share", lambda d: task().few_shot(0.5), ["k must be a whole number", "got 0.5"]),
    ("k of True", lambda d: task().few_shot(True), ["k must be a whole number", "got True"]),
    ("k of an empty class", lambda d: no_cats().few_shot(1), ["k needs training pictures of every class", "'cat' has none", "add some"]),
    ("more rows than a class has", lambda d: data.sample_per_class(Y, 11), ["k must be a whole number from 1 to 10", "got 11", "class, 0, has 10 labels"]),
    ("rows of fractions", lambda d: data.sample_per_class(Y / 2, 1), ["y must be N class numbers", "float32 (30,)", "[0, 1, 1]"]),
    ("rows of no labels", lambda d: data.sample_per_class([-1, -1], 1), ["y must hold labels", "without a label", "from 0 up"]),
    ("seed as a word", lambda d: task().few_shot(2, seed="a"), ["seed must be a whole number", "got 'a'"]),
    ("negative seed", lambda d: data.load("digits", seed=-1), ["seed must be a whole number from 0", "got -1"]),
    ("split of 20", lambda d: task().split(20), ["valid must be a number above 0 and below 1", "got 20", "such as 0.2"]),
    ("split of 0", lambda d: task().split(0), ["valid", "above 0 and below 1", "got 0"]),
    ("split of NaN", lambda d: task().split(float("nan")), ["valid", "above 0 and below 1", "got nan"]),
    ("split as a word", lambda d: task().split("20%"), ["valid must be a number", "got '20%'", "such as 0.2"]),
    ("split of a class of one", lambda d: alone().split(), ["valid", "at least 2 pictures", "'bee' has 1", "drop the class"]),
    ("split of an empty class", lambda d: no_cats().split(), ["valid", "at least 2 pictures", "'cat' has 0", "drop the class"]),
    ("split too small for the classes", lambda d: task().split(0.03), ["valid 0.03 of 30", "fewer pictures than classes (3)", "nearer to 0.5"]),
    ("split twice", lambda d: task().split().split(), ["toy must have no validation part", "got 6 pictures", "use it"]),
    ("map of a name", lambda d: task().map("night"), ["f must be a function", "got 'night'", "without quotes"]),
    ("map to floats", lambda d: task().map(lambda x: x / 255), ["the result of lambda must be uint8", "float32", "pass raw pixels"]),
    ("map that loses pictures", lambda d: task().map(lambda x: x[:3]), ["y_train has 30 labels for 3 pictures", "one label for each"]),
    ("a name with a slip", lambda d: data.load("hymenopetra"), ["name must be one of", "'hymenopetra'", "did you mean 'hymenoptera'?"]),
    ("a name in capitals", lambda d: data.load("CIFAR10"), ["name", "'CIFAR10'", "did you mean 'cifar10'?"]),
    ("a name of nothing", lambda d: data.load("xyzzy"), ["name must be one of 'mnist_5k'", "'xyzzy'", "use one of these"]),
    ("no name", lambda d: data.load(None), ["name must be one of", "got None"]),
    ("a size as a pair", lambda d: data.load("digits", size=(16, 16)), ["size must be a whole number", "tuple (16, 16)", "the side in pixels"]),
    ("a size of 0", lambda d: data.load("digits", size=0), ["size must be a whole number from 4", "got 0", "the side in pixels"]),
    ("a size of a wall", lambda d: data.load("digits", size=10**6), ["size", "1024", "got 1000000"]),
    ("fetching what is unknown", lambda d: data.fetch("cifar"), ["name", "'cifar'", "did you mean 'cifar10'?"]),
    ("a blur of 0", lambda d: data.blurred(RGB, 0), ["sigma must be a number above 0", "got 0", "such as 2"]),
    ("a blur too wide", lambda d: data.blurred(RGB, 5), ["sigma", "below 2.7", "3×8×8", "got 5", "reaches 3·sigma"]),
    ("a blur as a word", lambda d: data.blurred(RGB, "much"), ["sigma must be a number", "'much'", "such as 2"]),
    ("colour digits for MNIST-M", lambda d: data.mnist_m(RGB), ["x must be uint8 N×1×H×H", "(4, 3, 8, 8)", "give grey digits"]),
    ("colour digits for photographs", lambda d: data.mnist_on_photos(RGB), ["x must be uint8 N×1×H×H", "(4, 3, 8, 8)", "give grey digits"]),
    ("long digits for MNIST-M", lambda d: data.mnist_m(X[..., :4]), ["x must be uint8 N×1×H×H", "(30, 1, 8, 4)", "square", "data.resized"]),
    ("an unknown font", lambda d: data.letters("serfi"), ["fonts must be one or more of sans, serif", "'serfi'", "did you mean 'serif'?"]),
    ("no fonts", lambda d: data.letters([]), ["fonts must be one or more of", "list []", "such as"]),
    ("fonts as a number", lambda d: data.letters(3), ["fonts must be one or more of", "got 3", "such as"]),
    ("no letters", lambda d: data.letters(n_train=0), ["n_train must be a whole number from 1", "got 0"]),
    ("tiny letters", lambda d: data.letters(side=2), ["side must be a whole number from 8", "got 2"]),
    ("boxes of digits", lambda d: data.boxes("digits"), ["name must be one of 'materials', 'photographs'", "got 'digits'", "use one of these"]),
    ("a missing folder", lambda d: data.from_folder(d / "nowhere"), ["path must be a folder that exists", "nowhere", "check the spelling"]),
    ("a file for a folder", lambda d: data.from_folder(touched(d)), ["path must be a folder that exists", "a.txt", "this is a file", "unpack it"]),
    ("a number for a folder", lambda d: data.from_folder(3), ["path must be a folder", "got 3", "such as"]),
    ("an empty folder", lambda d: data.from_folder(d), ["path must hold one subfolder for each class", "with none", "sort the pictures into folders"]),
    ("a folder with one class", lambda d: data.from_folder(folder(d, ant=3)), ["path must hold at least 2 classes", "only ant", "add a folder"]),
    ("a class without pictures", lambda d: data.from_folder(folder(d, ant=3, bee=0)), ["path must hold pictures in every class folder", "bee", "remove the folder"]),
    ("a class with one picture", lambda d: data.from_folder(folder(d, ant=9, bee=1)), ["test needs at least 2 pictures", "'bee' has 1", "add pictures"]),
    ("a corrupt picture", lambda d: data.from_folder(broken(d)), ["path holds a picture that can't be read", "bee/7.jpg", "replace or delete the file"]),
    ("an empty picture", lambda d: data.from_folder(broken(d, b"")), ["path", "bee/7.jpg", "replace or delete"]),
    ("a picture cut short", lambda d: data.from_folder(cut(d)), ["path", "bee/8.jpg", "truncated", "replace or delete"]),
    ("a picture with 16 bits", lambda d: data.from_folder(deep(d)), ["path", "bee/9.png", "more than 8 bits", "save it with 8 bits"]),
    ("other classes in the test", lambda d: data.from_folder(odd_parts(d)), ["path must hold the same classes in train and test", "bee", "add or remove"]),
    ("a test share of 20", lambda d: data.from_folder(folder(d, ant=3, bee=3), test=20), ["test must be a number above 0 and below 1", "got 20"]),
    ("pictures of half a pixel", lambda d: data.from_folder(folder(d, ant=3, bee=3), size=0.5), ["size must be a whole number", "got 0.5"]),
    ("an unknown result", lambda d: data.result("no such thing"), ["name must be", "'no such thing'"]),
    ("a url without http", lambda d: data.download("example.org/a.zip", d / "a.zip", "md5:0"), ["url must start with http", "'example.org/a.zip'", "copy the whole address"]),
    ("an archive of another kind", lambda d: data.extract(touched(d), d), ["archive must be a zip", "a.txt", "unpack it yourself"]),
    ("an archive that is not there", lambda d: data.extract(d / "a.zip", d), ["archive must be a file that exists", "a.zip", "fetch it first"]),
]


@rows({name: (call, (ValueError, TypeError), words) for name, call, words in CALLS})
def test_wrong_call(call, kinds, words, tmp_path):
    found = refused(lambda: call(tmp_path), kinds, words)
    assert len(str(found.value)) > 30
    assert found.traceback[-1].path.parent.name == "transfer_course", "stopped at the door, not deep inside a library"


def test_the_table_is_long_enough(): assert len({c[0] for c in CALLS}) == len(CALLS) >= 30

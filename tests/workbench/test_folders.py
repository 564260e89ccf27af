"""Own pictures as users bring them: parts in any wording, a level too high, what is left out or lies twice, tables of labels, transparency, the cache."""
import os
import shutil
import unicodedata
import warnings
from pathlib import Path

import pandas as pd
import pytest
import torch
from PIL import Image

from transfer_course import data, files, pictures

OFFICE = Path(__file__).parents[2] / "../shared/data/office-caltech-10.tar"


pytestmark = pytest.mark.usefixtures("one_home")


number = iter(range(10**6))


def put(root, n=3, *more):
    """Write n pictures, each unlike all others, into root (ant/0.png …), and further files."""
    root.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        k = next(number)
        Image.new("RGB", (9, 9), (k % 256, k // 256 % 256, 30)).save(root / f"{i}.png")
    for name in more:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"no picture")
    return root


def classes(root, n=3, names=("ant", "bee")):
    for c in names: put(root / c, n)
    return root


def read(path, **how):
    """The task, and what the warning says ("" without one; never more than one)."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        task = data.from_folder(path, size=8, progress=False, **how)
    assert len(seen) < 2
    said = str(seen[0].message) if seen else ""
    assert not seen or Path(seen[0].filename).name == "test_folders.py", "the warning points at the caller"
    return task, said


def refused(path, *words, **how):
    with pytest.raises(ValueError) as e: data.from_folder(path, size=8, progress=False, **how)
    text = str(e.value)
    missing = [w for w in words if w not in text]
    assert not missing and "\n" not in text and len(text) < 330, f"{missing} not in: {text}"


# --- parts ----------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("names, shown", [
    (("Train", "Test"), "6 train, 6 test"), (("training", "validation"), "6 train, 6 test"), (("train", "testing"), "6 train, 6 test"),
    (("train", "dev"), "6 train, 6 test"), (("TRAIN", "VAL"), "6 train, 6 test"), (("training_set", "test-set"), "6 train, 6 test"),
    (("Train data", "Valid", "TEST images"), "6 train, 6 valid, 6 test"), (("train", "eval"), "6 train, 6 test"), (("trn", "evaluation", "tst"), "6 train, 6 valid, 6 test")])
def test_parts_in_any_wording(tmp_path, names, shown):
    for n in names: classes(tmp_path / n)
    task, said = read(tmp_path)
    assert shown in repr(task) and task.classes == ["ant", "bee"] and not said


def test_train_alone_is_split(tmp_path):
    classes(tmp_path / "train", 10)
    task, said = read(tmp_path)
    assert "16 train, 4 test, 2 classes" in repr(task) and not said


def test_parts_without_one_to_train_on(tmp_path):
    for n in ("val", "test"): classes(tmp_path / n)
    refused(tmp_path, "a part to train on", "'test', 'val'", "call the one to train on 'train'")


def test_a_part_twice(tmp_path):
    for n in ("Train", "training", "test"): classes(tmp_path / n)
    refused(tmp_path, "each part once", "'Train'", "'training'", "join or rename")


def test_classes_that_are_called_like_parts(tmp_path):
    task, _ = read(classes(tmp_path, 5, ("train", "test", "car")))
    assert task.classes == ["car", "test", "train"]


def test_parts_with_pictures_and_no_classes(tmp_path):
    for n in ("train", "test"): put(tmp_path / n)
    refused(tmp_path, "class folders in its parts", "'test', 'train'", "data.from_table")


def test_what_lies_beside_the_parts_is_said(tmp_path):
    for n in ("train", "test", "sample"): classes(tmp_path / n)
    assert "left out beside the parts: 'sample'" in read(tmp_path)[1]


# --- the right level ------------------------------------------------------------------------------------------------------

def test_one_level_too_high(tmp_path):
    classes(tmp_path / "wrap" / "inner")
    refused(tmp_path / "wrap", "wrap with only inner", "it holds 'ant', 'bee'", "give wrap/inner")


def test_domains_are_no_classes(tmp_path):
    for d in ("amazon", "dslr", "webcam"): classes(tmp_path / "office" / d, 2, ("bike", "mug", "pen"))
    shutil.rmtree(tmp_path / "office" / "dslr" / "pen")  # one class is missing in one domain
    refused(tmp_path / "office", "'amazon', 'dslr', 'webcam' all hold the same subfolders", "'bike', 'mug'", "give one of them, such as office/amazon")
    assert read(tmp_path / "office" / "webcam", test=0.5)[0].classes == ["bike", "mug", "pen"]


def test_domains_that_share_a_part_of_their_classes_are_told(tmp_path):
    """As in partial and open-set adaptation: they could be classes, so the task is made, and said."""
    for d, names in (("art", "abcdef"), ("photo", "defghi")): classes(tmp_path / d, 2, names)
    task, said = read(tmp_path)
    assert task.classes == ["art", "photo"] and "'art', 'photo' all hold the same subfolders ('d', 'e', 'f'): are those the classes?" in said
    for c in "ab": put(tmp_path / "sorted" / c / "monday", 4)
    assert read(tmp_path / "sorted")[1] == ""


@pytest.mark.skipif(not OFFICE.exists(), reason="this test reads the published set Office-Caltech-10, which is not here")
def test_the_root_of_a_published_set_of_domains(tmp_path):
    import tarfile
    with tarfile.open(OFFICE) as t:
        for name in [m.name for m in t.getmembers() if m.isfile() and m.name.lower().endswith((".jpg", ".png"))]:
            put((tmp_path / name).parent, 1)
    root = tmp_path
    while len(list(root.iterdir())) == 1: root = next(root.iterdir())
    refused(root, "all hold the same subfolders")


def test_parts_in_every_class(tmp_path):
    for c in ("ant", "bee"): classes(tmp_path / c, 2, ("train", "test"))
    refused(tmp_path, "all hold the same subfolders ('test', 'train')")


def test_one_folder_in_every_class_is_right(tmp_path):
    for c in ("ant", "bee"): put(tmp_path / c / "images")
    assert read(tmp_path, test=0.5)[0].classes == ["ant", "bee"]
    for d in ("a", "b"): classes(tmp_path / "deep" / d / "images")
    refused(tmp_path / "deep", "all hold the same subfolders ('ant', 'bee')")


def test_photographs_of_one_class_in_own_folders_are_right(tmp_path):
    put(tmp_path / "ant" / "spring"), put(tmp_path / "ant" / "autumn"), put(tmp_path / "bee" / "garden"), put(tmp_path / "bee" / "meadow")
    assert len(read(tmp_path)[0].x_train) == 9


# --- what is left out -----------------------------------------------------------------------------------------------------

def test_hidden_folders_are_not_read(tmp_path):
    classes(tmp_path, 4)
    for hidden in (".ipynb_checkpoints", ".thumbnails", "deep/.git"): put(tmp_path / "ant" / hidden, 1)
    (tmp_path / "ant" / ".DS_Store").write_text("")
    (tmp_path / "ant" / "._0.png").write_text("")
    task, said = read(tmp_path)
    assert len(task.x_train) + len(task.x_test) == 8 and "read 4 of 7 files in ant: hidden 3" in said and "bee" not in said


def test_hidden_folders_beside_the_classes(tmp_path):
    classes(tmp_path), put(tmp_path / ".ipynb_checkpoints", 2), put(tmp_path, 1)
    task, said = read(tmp_path)
    assert task.classes == ["ant", "bee"] and "hidden folders with pictures" in said and "'.ipynb_checkpoints'" in said and "pictures beside the class folders of" in said


def test_endings_are_counted(tmp_path):
    classes(tmp_path, 8)
    ends = [".avif", ".gif", ".GIF", ".heic", ".jp2", ".tga", ".txt", ""]
    put(tmp_path / "ant", 0, *(f"x{i}{e}" for i, e in enumerate(ends)))
    shutil.copy(put(tmp_path / "other", 1) / "0.png", tmp_path / "ant" / "chrome.jfif")
    shutil.rmtree(tmp_path / "other")
    task, said = read(tmp_path)
    assert "read 9 of 17 files in ant: .avif 1, .gif 2, .heic 1, .jp2 1, .tga 1, .txt 1, without ending 1" in said and said.startswith(f"from_folder({tmp_path.name!r}): ")
    assert task.card["read"] in said


def test_a_class_of_other_endings_only(tmp_path):
    classes(tmp_path, 3), put(tmp_path / "cat", 0, "a.HEIC", "b.heic")
    refused(tmp_path, "got none in", "/cat (.heic 2)", "add some (jpg, png, …)")


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_links(tmp_path):
    root, far = classes(tmp_path / "mine", 4), put(tmp_path / "far", 2)
    (root / "ant" / "more").symlink_to(far)                   # read
    (root / "ant" / "around").symlink_to(root / "ant")        # a circle
    (root / "ant" / "gone.png").symlink_to(tmp_path / "gone") # dead
    (root / "wasp").symlink_to(tmp_path / "gone")             # a dead class
    (root / "cat").symlink_to(put(tmp_path / "elsewhere", 3)) # a class
    task, said = read(root)
    assert task.classes == ["ant", "bee", "cat"] and len(task.x_train) + len(task.x_test) == 13
    assert "read 6 of 8 files in ant: dead link 1, link to a folder that is read already 1" in said and "dead links in mine: 'wasp'" in said


def test_odd_names_of_classes(tmp_path):
    assert read(classes(tmp_path, 4, ("_other", "net", "ärger")))[0].classes == ["_other", "net", "ärger"]


def test_several_pictures_in_one_file(tmp_path):
    classes(tmp_path, 4)
    page = [Image.new("RGB", (9, 9), c) for c in ("red", "blue")]
    page[0].save(tmp_path / "ant" / "film.webp", save_all=True, append_images=page[1:], lossless=True)
    page[0].save(tmp_path / "ant" / "scan.tiff", save_all=True, append_images=page[1:])
    assert "files of which only the first picture is read: 2" in read(tmp_path)[1]


# --- too small, twice, nearly the same names --------------------------------------------------------------------------------

def test_classes_of_nearly_one_name_are_said(tmp_path):
    if (tmp_path / "A").mkdir() or (tmp_path / "a").exists(): pytest.skip("this disk takes a and A for one name")
    (tmp_path / "A").rmdir()
    task, said = read(classes(tmp_path, 4, ("ant", "Ant", "bee")))
    assert len(task.classes) == 3 and "classes of nearly one name: 'Ant' and 'ant'" in said


def test_a_class_too_small_for_the_test(tmp_path):
    put(tmp_path / "ant", 100), put(tmp_path / "bee", 2)
    refused(tmp_path, "test 0.2 leaves a part without 'bee'", "which has 2 of 102 pictures", "drop the class")


def test_split_refuses_too():
    x, y = torch.zeros(302, 1, 8, 8, dtype=torch.uint8), torch.tensor([0] * 300 + [1] * 2)
    with pytest.raises(ValueError, match="valid 0.2 leaves a part without 'b', which has 2 of 302"): data.Task("t", x, y, x, y, ["a", "b"]).split(0.2)


def test_the_same_file_in_two_parts(tmp_path):
    classes(tmp_path / "train")
    shutil.copytree(tmp_path / "train", tmp_path / "test")
    task, said = read(tmp_path)
    assert "the same file in two parts: 6, such as ant/0.png and ant/0.png" in said and "the same file in two parts: 6" in task.card["flaws"]


def test_the_same_file_in_two_classes(tmp_path):
    classes(tmp_path, 5)
    for i in range(2): shutil.copy(tmp_path / "ant" / f"{i}.png", tmp_path / "bee" / f"copy{i}.png")
    task, said = read(tmp_path)
    assert "the same file in two classes: 2, such as ant/" in said and "not found" not in task.card["flaws"]


def test_no_doubles(tmp_path):
    task, said = read(classes(tmp_path, 5))
    assert not said and "read" not in task.card and "not found in two parts or classes" in task.card["flaws"]


def test_names_in_composed_and_combined_letters_are_one(tmp_path):
    for part, form in (("train", "NFC"), ("test", "NFD")): classes(tmp_path / part, 3, ("ant", unicodedata.normalize(form, "Käfer")))
    assert read(tmp_path)[0].classes == ["Käfer", "ant"]
    classes(tmp_path / "both", 3, (unicodedata.normalize("NFC", "Käfer"), unicodedata.normalize("NFD", "Käfer")))
    if len(list((tmp_path / "both").iterdir())) == 2: refused(tmp_path / "both", "each class once", "'Käfer' twice", "combined letters")


def test_blanks_in_names_are_shown(tmp_path):
    classes(tmp_path / "train"), classes(tmp_path / "test", 3, ("ant ", "bee"))
    refused(tmp_path, "the same classes in train and test", "'ant' is in one only", "did you mean 'ant '?")


@pytest.mark.parametrize("path, fix", [("", "such as 'pictures'"), ("https://example.org/a.zip", "this is an address"), ("'{}'", "take off the inner quotes")])
def test_odd_paths(tmp_path, path, fix): refused(path.format(tmp_path), "path must be a folder that exists", fix)


# --- a table of labels ----------------------------------------------------------------------------------------------------

def flat(root, rows, sep=",", name="labels.csv"):
    """Eight pictures 0.png … 7.png in root/flat, and a table; the folder and the table."""
    put(root / "flat", 8)
    (root / name).write_text("\n".join(sep.join(r) for r in rows), encoding="utf-8-sig")
    return root / name, root / "flat"


def labelled(names, labels=("fox", "badger")): return [(n, labels[i % 2]) for i, n in enumerate(names)]


PNG = [f"{i}.png" for i in range(8)]


def test_a_table(tmp_path):
    table, folder = flat(tmp_path, [("file", "label"), *labelled(PNG)])
    task = data.from_table(table, folder, size=8, test=0.5, progress=False)
    assert repr(task) == "Task flat: 4 train, 4 test, 2 classes, 3×8×8" and task.classes == ["badger", "fox"]
    blue = [Image.open(folder / p).getpixel((0, 0)) for p in PNG]
    want = {bytes(c): ("badger" if i % 2 else "fox") for i, c in enumerate(blue)}
    for x, y in ((task.x_train, task.y_train), (task.x_test, task.y_test)):
        assert [want[bytes(p[:, 0, 0].tolist())] for p in x] == [task.classes[c] for c in y]


@pytest.mark.parametrize("sep", [",", ";", "\t"])
def test_other_separators_other_columns(tmp_path, sep):
    """The files without ending, as on Kaggle; numbers as labels; a column more."""
    rows = [("note", "breed", "id")] + [(f"n{i}", "10" if i % 2 else "9", str(i)) for i in range(8)]
    task = data.from_table(*flat(tmp_path, rows, sep), size=8, test=0.5, progress=False)
    assert task.classes == ["9", "10"]


def test_a_column_of_parts_and_a_dataframe(tmp_path):
    _, folder = flat(tmp_path, [])
    table = pd.DataFrame(dict(image=PNG, kind=[1, 1, 2, 2] * 2, split=["Train"] * 4 + ["dev"] * 4))
    task = data.from_table(table, folder, size=8, progress=False)
    assert "4 train, 4 test, 2 classes" in repr(task) and task.classes == ["1", "2"] and task.y_train.tolist() == [0, 0, 1, 1]


def test_pictures_without_a_row_are_said(tmp_path):
    with pytest.warns(UserWarning, match="pictures of flat without a row in the table: 2"):
        data.from_table(*flat(tmp_path, [("f", "c"), *labelled(PNG[:6])]), size=8, test=0.5, progress=False)


@pytest.mark.parametrize("rows, how, words", [
    ([("file", "label"), *labelled([*PNG[:7], "9.png"])], {}, ["1 of 8 files that are not in flat", "'9.png'"]),
    ([("file", "label"), *labelled([*PNG[:7], "0.png"])], {}, ["each file once", "'0.png'"]),
    ([("file", "label"), *labelled(PNG, ("fox", ""))], {}, ["a label in every row", "4 without", "row 2"]),
    ([("file", "label"), *labelled(PNG, ("fox", "fox"))], {}, ["at least 2 classes", "'fox'"]),
    ([("file", "a", "b"), *((p, "1", "2") for p in PNG)], {}, ["which column holds the labels", "'a', 'b'", "label="]),
    ([("file", "label"), *labelled(["x", "y"])], {}, ["the names of files in folder", "file="]),
    ([("file", "label"), *labelled(PNG)], dict(label="lable"), ["label must be a column of the table", "did you mean 'label'?"]),
    ([("file", "label", "part"), *((p, "ab"[i % 2], "test") for i, p in enumerate(PNG))], {}, ["rows to train on"]),
    ([("file", "label", "part"), *((p, "ab"[i // 4], ["train", "test"][i // 4]) for i, p in enumerate(PNG))], {}, ["none of 'b' in train"])])
def test_wrong_tables(tmp_path, rows, how, words):
    with pytest.raises(ValueError) as e: data.from_table(*flat(tmp_path, rows), size=8, progress=False, **how)
    text = str(e.value)
    assert all(w in text for w in words) and "\n" not in text, text


# --- few labels of unequal classes ----------------------------------------------------------------------------------------

def test_few_shot_at_most():
    x = torch.arange(20 * 64).reshape(20, 1, 8, 8).remainder(251).to(torch.uint8)
    task = data.Task("t", x, torch.tensor([0] * 15 + [1] * 5), x[:2], torch.tensor([0, 1]), ["a", "b"])
    few = task.few_shot(8, at_most=True)
    assert few.y_train.bincount().tolist() == [8, 5] and few.name == "t, at most 8 a class"
    assert torch.equal(task.few_shot(5, at_most=True).x_train, task.few_shot(5).x_train)
    with pytest.raises(ValueError, match="'b', has 5"): task.few_shot(8)
    with pytest.raises(ValueError, match="whole number of 1 or more"): task.few_shot(0, at_most=True)
    assert len(data.sample_per_class(task.y_train, 99, at_most=True)) == 20


# --- transparent pictures -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("mode, hidden", [("RGBA", (255, 0, 0, 0)), ("RGBA", (0, 0, 0, 0)), ("LA", (7, 0))])
def test_what_is_transparent_is_white(mode, hidden):
    image = Image.new(mode, (8, 8), hidden)
    image.paste((*hidden[:-1], 255), (0, 0, 4, 8))
    x = pictures.fit_square(image, 8)
    assert (x[:, :, 4:] == 255).all() and x[:, 0, 0].tolist() == list((hidden[:-1] * 3)[:3])


def test_half_transparent_and_palettes(tmp_path):
    assert pictures.fit_square(Image.new("RGBA", (4, 4), (0, 0, 0, 128)), 4).unique().tolist() == [127]
    image = Image.new("P", (8, 8), 0)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.paste(1, (0, 0, 4, 8))
    image.save(tmp_path / "p.png", transparency=bytes([0, 255]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x = pictures.fit_square(Image.open(tmp_path / "p.png"), 8)
    assert x[:, 0, 0].tolist() == [0, 0, 255] and x[:, 0, 7].tolist() == [255] * 3


# --- many files: side by side, kept ---------------------------------------------------------------------------------------

def test_pictures_are_read_once(tmp_path, monkeypatch):
    first, _ = read(classes(tmp_path, 6))
    real, calls = pictures.read_picture, []
    def counted(path, size):
        calls.append(path)
        return real(path, size)
    monkeypatch.setattr(pictures, "read_picture", counted)
    again, _ = read(tmp_path)
    assert not calls and torch.equal(again.x_train, first.x_train) and torch.equal(again.y_test, first.y_test)
    read(tmp_path, cache=False)
    assert len(calls) == 12
    Image.new("RGB", (9, 9), "white").save(tmp_path / "ant" / "0.png")  # a changed file
    new, _ = read(tmp_path)
    assert len(calls) == 24 and (torch.cat([new.x_train, new.x_test]) == 255).flatten(1).all(1).sum() == 1


def test_reading_side_by_side_keeps_the_order(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures.os, "cpu_count", lambda: 8)
    paths = sorted(classes(tmp_path, 40).rglob("*.png"))
    x, several = pictures.read_pictures(paths, [files.file_hash(p) for p in paths], 9, progress=False, cache=False)
    assert x.shape == (80, 3, 9, 9) and not several.any()
    assert all(x[i, :, 0, 0].tolist() == list(Image.open(p).getpixel((0, 0))) for i, p in enumerate(paths))


def test_a_bad_file_leaves_nothing_in_the_cache(tmp_path):
    put(classes(tmp_path, 3) / "bee", 0, "bad.png")
    before = sorted((files.cache_dir() / "arrays").glob("*"))
    refused(tmp_path, "bee/bad.png", "replace or delete")
    assert sorted((files.cache_dir() / "arrays").glob("*")) == before


def test_progress(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    data.from_folder(classes(tmp_path), size=8, test=0.5, cache=False)
    assert "reading" in capsys.readouterr().err
    data.from_folder(tmp_path, size=8, test=0.5, cache=False, progress=False)
    assert capsys.readouterr().err == ""

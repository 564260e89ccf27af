"""A folder whose pictures stay in their files: the same task, read when it is asked."""
import numpy as np
import pytest
import torch
from PIL import Image

from transfer_course import backbones, data, training
from transfer_course.features import extract
from transfer_course.folders import FolderTask
from transfer_course.pictures import PictureFiles


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for c, shade in {"dark": 60, "light": 190}.items():
        (tmp_path / "set" / c).mkdir(parents=True)
        for i in range(12):
            x = np.clip(shade + 30 * rng.normal(size=(40, 50, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(x).save(tmp_path / "set" / c / f"{i:02}.png")
    return tmp_path / "set"


@pytest.fixture
def both(folder): return [data.from_folder(folder, size=32, test=0.25, progress=False, lazy=lazy) for lazy in (False, True)]


def test_the_same_task(both):
    eager, lazy = both
    assert isinstance(lazy, FolderTask) and isinstance(lazy.x_train, PictureFiles)
    assert repr(lazy).partition(":")[2] == repr(eager).partition(":")[2] and lazy.card == eager.card
    for part in ("train", "test"):
        assert torch.equal(getattr(lazy, f"x_{part}")[:], getattr(eager, f"x_{part}"))
        assert torch.equal(getattr(lazy, f"y_{part}"), getattr(eager, f"y_{part}"))


def test_few_labels_and_a_validation_part_read_nothing(both, monkeypatch):
    monkeypatch.setattr("transfer_course.pictures.read_picture", lambda *a: pytest.fail("a picture was read"))
    few = both[1].split(0.3).few_shot(2)
    assert len(few.x_train) == 4 and isinstance(few.x_valid, PictureFiles) and few.x_valid.shape[1:] == (3, 32, 32)


def test_features_and_accuracy_are_the_same(both):
    net = backbones.course_net(num_classes=2)
    a, b = (extract(net, t.x_train, progress=False, cache=False) for t in both)
    assert torch.equal(a, b)
    assert len({training.accuracy(net, t.x_test, t.y_test) for t in both}) == 1


def test_training_is_the_same(both):
    nets = [backbones.course_net(num_classes=2, seed=1) for _ in both]
    logs = [training.fit(n, t.split(0.3), epochs=1, batch_size=8, progress=False) for n, t in zip(nets, both)]
    for a, b in zip(*(n.parameters() for n in nets)): assert torch.equal(a, b)
    assert logs[0].last() == logs[1].last()


def test_what_is_wrong_is_seen_as_well(folder):
    (folder / "dark" / "copy.png").write_bytes((folder / "light" / "00.png").read_bytes())
    with pytest.warns(UserWarning, match="same file in two classes: 1"): data.from_folder(folder, size=32, lazy=True, progress=False)
    (folder / "dark" / "broken.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match="broken.png"): data.from_folder(folder, size=32, lazy=True, progress=False)


def test_map_says_what_to_do(both):
    with pytest.raises(ValueError, match="augment="): both[1].map(data.night)


def test_rows_by_number_list_slice_and_mask(both):
    x, eager = both[1].x_train, both[0].x_train
    assert torch.equal(x[3], eager[3]) and torch.equal(x[[4, 1]], eager[[4, 1]]) and torch.equal(x[2:5], eager[2:5]) and torch.equal(x[-1], eager[-1])
    few = x[torch.arange(len(x)) % 2 == 0]
    assert isinstance(few, PictureFiles) and torch.equal(few[:], eager[::2])
    assert [len(b) for b in x.split(7)] == [7, 7, 4]

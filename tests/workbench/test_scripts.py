"""Letters of other scripts: as many classes as the alphabet has letters, each one drawn and no two the same, and one sentence where the fonts are missing."""
import pytest
import torch

from transfer_course import data, wheels
from transfer_course.glyphs import SCRIPTS

OTHERS = [s for s in SCRIPTS if s != "latin"]


@pytest.mark.parametrize("script", OTHERS)
def test_an_alphabet(script):
    if not wheels.has_wheel(f"noto_{script}"): pytest.skip("manimgx-fonts is not installed")
    task = data.letters(n_train=3, n_test=2, side=32, script=script)
    k = len(SCRIPTS[script])
    assert task.classes == list(SCRIPTS[script]) and len(set(task.classes)) == k and task.x_train.shape == (3 * k, 1, 32, 32)
    assert torch.equal(task.y_train.bincount(), torch.full((k,), 3)) and script.title() in task.card["origin"] and task.card["licence"] == "SIL Open Font License"
    assert torch.equal(task.x_train, data.letters(n_train=3, n_test=2, side=32, script=script).x_train)
    ink = (task.x_train > 100).flatten(1).sum(1)
    assert ink.min() > 8, "every letter is there"
    x = task.x_train[:, 0]
    edge = torch.cat([x[:, [0, -1]], x[:, :, [0, -1]].mT], 1).flatten(1).amax(1)
    assert (edge > 128).float().mean() < 0.02, "letters are cut off"


@pytest.mark.parametrize("script", OTHERS)
def test_no_letter_is_a_box_of_a_missing_glyph(script):
    if not wheels.has_wheel(f"noto_{script}"): pytest.skip("manimgx-fonts is not installed")
    from PIL import Image, ImageDraw

    from transfer_course.glyphs import noto
    def drawn(c):
        page = Image.new("L", (80, 80))
        ImageDraw.Draw(page).text((40, 40), c, 255, noto(script, 400, 40), anchor="mm")
        return page.tobytes()
    pictures = [drawn(c) for c in SCRIPTS[script] + "\U0001F9FF"]
    assert len(set(pictures)) == len(pictures)


def test_the_latin_letters_stay(): assert data.letters(n_train=1, n_test=1).name == "letters" and len(data.letters(n_train=1, n_test=1).classes) == 26


def test_one_sentence(monkeypatch):
    with pytest.raises(ValueError, match="script must be .*georgian"): data.letters(script="gregorian")
    with pytest.raises(ValueError, match="fonts must be left out"): data.letters("sans", script="thai")
    monkeypatch.setitem(wheels.WHEELS, "noto_thai", ("manimgx-fonts", "no_such_package/a.ttf", "0" * 64))
    from transfer_course import glyphs
    glyphs.noto.cache_clear()
    with pytest.raises(FileNotFoundError, match="pip install.*manimgx-fonts"): data.letters(n_train=1, n_test=1, script="thai")

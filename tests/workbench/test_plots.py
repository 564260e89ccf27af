"""What the plots notebook cannot test: wrong calls, and the flipbook's page without scripts."""

import re
from html.parser import HTMLParser

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from transfer_course import plots

GREY = np.zeros((1, 8, 8), np.uint8)
PICTURES = np.zeros((3, 3, 8, 8), np.uint8)


class Page(HTMLParser):
    """Tags with their attributes, and the text outside scripts."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text, self.inside = [], "", None
        self.feed(html)

    def handle_starttag(self, tag, attrs): self.tags.append((tag, dict(attrs))); self.inside = tag
    def handle_endtag(self, tag): self.inside = None
    def handle_data(self, data): self.text += "" if self.inside == "script" else data
    def first(self, tag): return next(a for t, a in self.tags if t == tag)


def book(title="Frequency", n=3):
    frames = [plots.curves([0, 1, 2], [0, k, 1], "s", "m", "wave") for k in range(n)]
    return plots.flipbook(frames, [f"{k} Hz" for k in range(n)], title, "A wave")


def test_flipbook_is_deterministic_and_its_id_depends_on_the_content():
    assert book().html == book().html
    ids = {re.search(r"flip-([0-9a-f]{12})", b.html)[1] for b in (book(), book(n=2), book("Other"))}
    assert len(ids) == 3


def test_flipbook_shows_its_first_frame_and_a_line_without_scripts():
    page = Page(book().html)
    assert page.first("img")["src"].startswith("data:image/png;base64,")
    assert "slider needs scripts" in page.text and "first of 3 frames" in page.text
    assert "disabled" in page.first("input")


def test_flipbook_is_a_named_native_slider_with_alt_text_for_each_frame():
    html = book().html
    slider, picture = Page(html).first("input"), Page(html).first("img")
    assert (slider["type"], slider["min"], slider["max"], slider["aria-label"]) == ("range", "0", "2", "Frequency")
    assert slider["aria-valuetext"] == "0 Hz" and picture["alt"] == "A wave: 0 Hz"
    assert all(f'"A wave: {k} Hz"' in html for k in range(3))


def test_flipbook_needs_no_network():
    assert not re.search(r"https?://|src=\"(?!data:)|<link|@import|require\(", book().html)


def test_flipbook_escapes_what_is_not_html():
    html = plots.flipbook([GREY], ["</script><b>"], '<i> "title"', "<u>").html
    assert html.count("</script>") == 1 and "<i>" not in html and "<u>" not in html and "<b>" not in html


def test_flipbook_text_says_what_it_is():
    assert repr(book()) == "Flipbook 'Frequency': 3 frames, from '0 Hz' to '2 Hz'"


def test_flipbook_stays_small():
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (3, 600, 600), dtype=np.uint8) for _ in range(9)]
    with pytest.raises(ValueError, match="under 3 MB together, got"): plots.flipbook(noise)


def test_figures_are_closed_so_that_a_notebook_draws_them_once():
    plt.close("all")
    book(), plots.show(PICTURES), plots.filters(torch.randn(4, 3, 3, 3)), plots.dots({"a": [1, 2]})
    plots.confusion([0, 1], [0, 1], ["a", "b"]), plots.map2d(np.zeros((2, 2)), [0, 1], ["a", "b"])
    assert plt.get_fignums() == []


def test_band_is_the_spread_over_seeds():
    y = np.array([[0.0, 1], [2, 3], [4, 5]])
    low, high = plots.BANDS["sd"](y)
    assert np.allclose(low, [0, 1]) and np.allclose(high, [4, 5])
    low, high = plots.BANDS["minmax"](y)
    assert np.allclose(low, [0, 1]) and np.allclose(high, [4, 5])
    legend = plots.curves([1, 2], {"a": y}, band="minmax").axes[0].get_legend()
    assert legend.get_title().get_text() == "mean, lowest\nand highest, 3 seeds"


def test_filters_show_zero_as_mid_grey():
    w = torch.zeros(1, 1, 3, 3)
    w[0, 0, 0, 0] = -2
    image = plots.filters(w).axes[0].images[0].get_array()
    assert image[0, 0] == 0 and image[1, 1] == 128


def test_to_uint8_takes_tensors_as_limits():
    x = torch.tensor([0.0, 1.0, 4.0])
    assert plots.to_uint8(x, high=x.max() / 2).tolist() == [0, 128, 255]


def test_lines_differ_without_colour():
    lines = plots.curves([1, 2], {str(i): [0, i] for i in range(8)}).axes[0].lines
    assert len({line.get_marker() for line in lines}) == 8


@pytest.mark.parametrize("call, words", [
    (lambda: plots.show(PICTURES.astype(np.float32)), "pictures[0] must be uint8 C×H×W, got float32"),
    (lambda: plots.show(PICTURES.transpose(0, 2, 3, 1)), "permute"),
    (lambda: plots.show(np.zeros((2, 5, 8, 8), np.uint8)), "C is 1 (grey) or 3 (colour)"),
    (lambda: plots.show([]), "at least one picture"),
    (lambda: plots.show(np.zeros((8, 8), np.uint8)), "must be uint8 C×H×W, got uint8 (8, 8)"),
    (lambda: plots.show(PICTURES, ["only one"]), "titles must have one entry for each of the 3"),
    (lambda: plots.show(PICTURES, cols=-1), "cols must be a whole number"),
    (lambda: plots.filters(torch.randn(4, 16, 3, 3)), "I = 1 or 3"),
    (lambda: plots.filters(torch.randn(4, 3)), "weight must be O×I×k×k"),
    (lambda: plots.filters(torch.full((4, 3, 3, 3), float("nan"))), "weight must be finite"),
    (lambda: plots.curves([1, 2, 3], [[1, 2]]), "must be seeds×3"),
    (lambda: plots.curves([1, 2], {"a": [1, float("nan")]}), "runs['a'] must be finite"),
    (lambda: plots.curves([1, 2], {}), "at least one label"),
    (lambda: plots.curves([0, 2], [1, 2], logx=True), "x must be above 0"),
    (lambda: plots.curves([1, 2], [1, 2], band="se"), "band must be one of"),
    (lambda: plots.dots({"a": []}), "groups['a'] must hold at least one number"),
    (lambda: plots.dots({"a": [1]}, centre="mode"), "centre must be one of 'median', 'mean', got 'mode'"),
    (lambda: plots.confusion([0, 1], [0], ["a", "b"]), "must both have N entries"),
    (lambda: plots.confusion([0, 2], [0, 1], ["a", "b"]), "y_true must lie in 0…1"),
    (lambda: plots.map2d(np.zeros((4, 3)), [0] * 4, ["a"]), "z must be N×2"),
    (lambda: plots.map2d(np.zeros((4, 2)), [0] * 3, ["a"]), "labels must have one entry for each of the 4 points"),
    (lambda: plots.flipbook([]), "frames must hold at least one"),
    (lambda: plots.flipbook([GREY], ["a", "b"]), "labels must have one entry"),
    (lambda: plots.flipbook([GREY, np.zeros((1, 8, 9), np.uint8)]), "frames must all have one size"),
    (lambda: plots.flipbook([GREY.astype(float)]), "frame must be uint8"),
    (lambda: plots.to_uint8(np.array([1, np.inf])), "x must be finite"),
])
def test_wrong_calls_get_one_clear_sentence(call, words):
    with pytest.raises(ValueError) as e: call()
    assert words in str(e.value) and "\n" not in str(e.value)

"""Slides of every lesson: each fits the screen, they need nothing from elsewhere, and no page of the site is written over."""
import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 180_000  # milliseconds
for package in ("smalldocs", "bs4", "latex2mathml"): pytest.importorskip(package, reason=f"slides need the package {package}: pip install -e '.[dev]'")
sys.path.insert(0, str(ROOT / "site"))
import slides  # noqa: E402
from shared import lessons  # noqa: E402

sys.path.pop(0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The slides of all lessons."""
    out = tmp_path_factory.mktemp("slides")
    slides.main([], out)
    return out


# Of every slide: its kind, the lowest and the rightmost point of what it shows, and the smallest letters; in pixels of a slide.
LOOK = """() => {
    const found = [];
    document.querySelectorAll(".slides > section").forEach((_, i) => {
        Reveal.slide(i, 0, 99);
        const slide = Reveal.getCurrentSlide(), scale = Reveal.getScale(), at = slide.getBoundingClientRect(), seen = { kind: slide.classList[0], low: 0, right: 0, letters: 99 };
        for (const part of slide.querySelectorAll(".fit, .fit > *, .fit table, .fit pre, .fit img, .fit li, .fit p, .fit math")) {
            const box = part.getBoundingClientRect();
            if (!box.width) continue;
            seen.low = Math.max(seen.low, (box.bottom - at.top) / scale); seen.right = Math.max(seen.right, (box.right - at.left) / scale);
        }
        for (const part of slide.querySelectorAll("td, pre, p, li")) if (part.getClientRects().length)
            seen.letters = Math.min(seen.letters, parseFloat(getComputedStyle(part).fontSize) * (parseFloat(slide.dataset.scale) || 1));
        found.push(seen);
    });
    return found;
}"""


@pytest.fixture(scope="module")
def shows(browser, folder):
    """{lesson: (what was seen of its slides, what went wrong)}"""
    found, wrong = {}, []
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    page.set_default_timeout(PATIENCE)
    page.on("console", lambda m: wrong.append(m.text[:200]) if m.type == "error" else None)
    page.on("pageerror", lambda e: wrong.append(str(e)[:200]))
    page.on("request", lambda r: None if r.url.startswith(("file:", "data:", "blob:")) else wrong.append(r.url[:200]))
    for path in lessons(ROOT):
        page.goto((folder / f"{path.stem}.html").as_uri())
        page.wait_for_function("window.Reveal && Reveal.isReady()")
        found[path.stem] = page.evaluate(LOOK)
    page.close()
    return found, wrong


@pytest.mark.parametrize("path", lessons(ROOT), ids=lambda p: p.stem)
def test_every_slide_fits_the_screen(shows, path):
    seen = shows[0][path.stem]
    kinds = {s["kind"] for s in seen}
    assert {"title", "section", "table", "code"} <= kinds and kinds & {"picture", "diagram"} and len(seen) > 10
    large = [f"slide {i + 1}, {s['kind']}: {s['low']:.0f} px high, {s['right']:.0f} px wide" for i, s in enumerate(seen) if s["low"] > slides.HEIGHT + 1 or s["right"] > slides.WIDTH + 1]
    small = [f"slide {i + 1}, {s['kind']}: letters of {s['letters']:.0f} px" for i, s in enumerate(seen) if s["letters"] < 11]
    assert not large + small
    assert 1 <= sum(s["kind"] == "code" for s in seen) <= 6


def test_slides_need_nothing_from_elsewhere(shows): assert not shows[1], shows[1][:10]


def test_formulas_are_drawn_by_the_browser_itself(folder):
    pages = [p.read_text(encoding="utf-8") for p in folder.glob("*.html")]
    assert any("<math" in page for page in pages)
    for page in pages: assert not re.search(r'class="math |\\\[|src="https?:|<link ', page.partition("<script>")[0])


def cell(kind, source, **more): return {"cell_type": kind, "id": "c", "metadata": {}, "source": source, "outputs": [], **more}


def made(tmp_path, *cells):
    """The slides of a lesson of these cells: (kind, text)"""
    path = tmp_path / "77-made.ipynb"
    path.write_text(json.dumps({"cells": [cell("markdown", "# Made\n\n> A promise."), *cells], "metadata": {}}), encoding="utf-8")
    slides.read.cache_clear()
    return [(s.kind, re.sub("<[^>]+>", "", s.body).strip()) for s in slides.Maker(path).make()]


def test_what_becomes_a_slide(tmp_path):
    table = {"data": {"text/html": "<table><tbody>" + "<tr><td>1</td></tr>" * 40 + "</tbody></table>"}, "output_type": "display_data", "metadata": {}}
    widget = {"data": {"application/vnd.jupyter.widget-view+json": "", "text/plain": "a\nb"}, "output_type": "display_data", "metadata": {}}
    tagged = cell("code", "#| export\nx = 1  # noqa: E702", metadata={"tags": ["slide"]})
    found = made(tmp_path, cell("markdown", "## Part\n\nOne sentence. Another."), cell("code", "def f(): pass", outputs=[table, widget]), tagged,
                 cell("markdown", "**Predict.** What?\n\n<details><summary>Answer</summary>\n\nThis.\n</details>"), cell("markdown", "## Exercises\n\nDo."), tagged)
    kinds = [k for k, _ in found]
    assert kinds == ["title", "section", "table", "table", "table", "code", "question", "section"]
    assert found[1][1] == "PartOne sentence." and found[5][1] == "x = 1" and "What?" in found[6][1] and "This." in found[6][1]
    assert sum(text.count("1") for kind, text in found if kind == "table") == 40


def test_wrong_lesson_is_told(tmp_path):
    with pytest.raises(SystemExit, match="there is no lesson '99'; there are 01-learning_curves"): slides.chosen("99")
    assert slides.chosen("07") == slides.chosen("07-transductive") == slides.chosen("transductive")


def test_make_slides_writes_a_file_of_its_own(tmp_path):
    """The rule of the Makefile, without the installation."""
    assert find_spec("pygments")
    def plan(*more): return subprocess.run(["make", "-n", "slides", *more], cwd=ROOT, capture_output=True, text=True, env={k: v for k, v in os.environ.items() if k != "LESSON"}).stdout
    assert re.search(r"site/slides\.py 07\s*$", plan("LESSON=07"), re.M) and re.search(r"site/slides\.py\s*$", plan(), re.M)
    slides.main(["07"], tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["07-transductive.html"]

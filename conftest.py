"""What nbval needs to hold this project's notebooks against their stored outputs.

Compared: stdout, text/plain (the text form of tables too) and the name and text of an expected error.
Not compared: pictures, HTML, widgets, stderr; and what tests/sanitize.cfg replaces (times, addresses, sixth decimals).
A cell tagged `nbval-ignore-output` is run and not compared. A cell tagged `measured` is compared by `agree`.
A cell with `#| eval: false` or the tag `skip-execution` is not run.
"""
import json
import os
import re
import subprocess
import sys
import time
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path

import pytest

os.environ.update(IN_TEST="1", HF_HUB_OFFLINE="1", TQDM_DISABLE="1")
RECORD = os.environ.pop("RECORD", None)  # not for the tests that start tests
os.environ.pop("MPLBACKEND", None)  # the kernel then takes its own default, pictures inside the notebook

try:
    from nbval.kernel import RunningKernel
    from nbval.plugin import IPyNbCell
except ImportError:  # a plain `pytest tests` without nbval
    IPyNbCell = ()

COMPARED = {"data", "stdout", "text/plain", "ename", "evalue"}
ROOMS = ("workbench", "checks", "programs", "homework")
NUMBER = re.compile(r"([-−]?\d+(?:\.\d+)?(?:e[-+]?\d+)?)(\s?%)?")


def agree(stored, new):
    """Do two texts of a `measured` cell agree? The words must be the same; spaces and dashes in rows don't count.
    Numbers before a % sign may differ by 3; all others by 0.03 or by 5% of the stored number, whichever is more.
    So a whole number below 20 must be the same, 0.83 may become 0.80, and 83% may become 80%.
    """
    def words(text): return " ".join(re.sub("[-─]{2,}", " ", NUMBER.sub(r" # \2", text)).split())
    def close(a, b):
        old, now = (float(x[0].replace("−", "-")) for x in (a, b))
        return abs(old - now) <= (3 if a[1] else max(0.03, 0.05 * abs(old))) + 1e-9
    pairs = zip(NUMBER.findall(stored), NUMBER.findall(new))
    return words(stored) == words(new) and all(close(a, b) for a, b in pairs)


class Measured(str):
    """A text that equals another where their numbers `agree`."""
    def __ne__(self, other): return not agree(self, other)


class Skipped:
    """Every kind of output but the COMPARED ones."""
    def __contains__(self, kind): return kind not in COMPARED


def is_skipped(cell):
    return "skip-execution" in cell.metadata.get("tags", []) or re.search(r"^#\|\s*eval:\s*false", cell.source, re.M)


def prepare(item):
    """nbdev-clean empties the execution counts, and nbval compares no cell without one: number them again."""
    item.cell.execution_count = item.cell_num + 1
    item.parent.skip_compare = Skipped()
    if is_skipped(item.cell): item.options["skip"] = True
    if "measured" in item.cell.metadata.get("tags", []):
        item.sanitize = lambda text: Measured(IPyNbCell.sanitize(item, text))


def execute(kernel, source, allow_stdin=None):
    """Run a cell as Jupyter does, with history: else IPython shows the value of a last line that ends in `;`."""
    return kernel.kc.execute(source, store_history=True, allow_stdin=allow_stdin, stop_on_error=False)


if IPyNbCell: RunningKernel.execute_cell_input = execute


def pytest_collection_modifyitems(items):
    for item in items:
        if isinstance(item, IPyNbCell): prepare(item)


# The summary: one line a notebook. RECORD=nbs/results/machine.json keeps it, for the README to cite.
started, notebooks = time.time(), defaultdict(lambda: [0, 0, 0.0])


def name_of(path):
    """A lesson by its file's name, a notebook of another folder of nbs/ with its folder."""
    return path.name if path.parent.name not in ROOMS else f"{path.parent.name}/{path.name}"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if isinstance(item, IPyNbCell):
        row = notebooks[name_of(item.path)]
        row[0] += report.when == "call"
        row[1] += report.failed
        row[2] += report.duration


def pytest_terminal_summary(terminalreporter):
    if not notebooks: return
    terminalreporter.section("notebooks")
    for name, (cells, failed, seconds) in sorted(notebooks.items()):
        terminalreporter.write_line(f"{name:<28}{cells:>4} cells {failed:>4} failed {seconds:>7.1f} s")
    terminalreporter.write_line(f"{'all tests':<28}{'':>23} {time.time() - started:>7.1f} s")


REFERENCE = """
import time, torch
from transfer_course import backbones, training
from transfer_course.data import Task
x = torch.randint(0, 256, (512, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
task = Task("noise", x, torch.arange(512) % 2, x[:16], torch.arange(16) % 2, ["a", "b"])
def once():
    start = time.perf_counter()
    training.fit(backbones.course_net(2), task, epochs=2, progress=False)
    return time.perf_counter() - start
print(min(once() for _ in range(3)))
"""


def reference_seconds():
    """Seconds of a small run that is the same on every machine (16 steps of CourseNet on 64 pictures, the best of three):
    the unit in which the time of a lesson can be carried to another machine."""
    done = subprocess.run([sys.executable, "-c", REFERENCE], capture_output=True, text=True, check=True)
    return round(float(done.stdout), 2)


def measurements():
    size = sum(p.lstat().st_size for p in Path(sys.prefix).rglob("*"))
    return {"test_minutes": round((time.time() - started) / 60, 1), "installed_gb": round(size / 1e9, 1), "cores": os.cpu_count(),
            "python": sys.version.split()[0], "torch": version("torch"), "reference_seconds": reference_seconds(),
            "seconds": {name: round(row[2], 1) for name, row in sorted(notebooks.items())}}


def pytest_sessionfinish():
    """Measured values replace those of the same name in the file; what was written there by hand stays."""
    if not RECORD: return
    file = Path(RECORD)
    old = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    file.write_text(json.dumps({**old, **measurements()}, indent=1) + "\n", encoding="utf-8")

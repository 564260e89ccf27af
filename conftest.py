"""What nbval needs to hold this project's notebooks against their stored outputs.

Compared: stdout, text/plain (the text form of tables too) and the name and text of an expected error.
Not compared: pictures, HTML, widgets, stderr; and what tests/sanitize.cfg replaces (times, addresses, sixth decimals).
A cell tagged `nbval-ignore-output` is run and not compared. A cell tagged `measured` is compared by `agree`.
A cell with `#| eval: false` or the tag `skip-execution` is not run.

`make test` runs two workers of pytest-xdist, one thread each: a file belongs to one worker, and the longest files come first.
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

os.environ.update(IN_TEST="1", HF_HUB_OFFLINE="1", TQDM_DISABLE="1")
if "PYTEST_XDIST_WORKER" in os.environ: os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is loaded, and for kernels and subprocesses
RECORD = os.environ.pop("RECORD", None)  # not for the tests that start tests
os.environ.pop("MPLBACKEND", None)  # the kernel then takes its own default, pictures inside the notebook

try:
    from nbval.kernel import RunningKernel
    from nbval.plugin import IPyNbCell
except ImportError:  # a plain `pytest tests` without nbval
    IPyNbCell = ()

KERNELS = Path(__file__).parent / "tests" / "kernels.py"
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


def pytest_configure(config):
    """In a worker on Linux kernels are forked from one process that has loaded PyTorch: see tests/kernels.py. FRESH_KERNELS=1: each is a Python of its own."""
    if os.environ.get("FRESH_KERNELS") or not (IPyNbCell and hasattr(config, "workerinput") and sys.platform == "linux" and KERNELS.exists()): return
    from importlib.util import module_from_spec, spec_from_file_location
    spec = spec_from_file_location("course_kernels", KERNELS)
    kernels = module_from_spec(spec)
    spec.loader.exec_module(kernels)
    config.add_cleanup(kernels.fork_kernels())


def pytest_collection_modifyitems(config, items):
    for item in items:
        if isinstance(item, IPyNbCell): prepare(item)
    if hasattr(config, "workerinput"): items.sort(key=lambda item: -expected_seconds(item.path))


# The summary: one line a notebook. RECORD=nbs/results/machine.json keeps it, for the README to cite.
ROOT = Path(__file__).parent
MACHINE = ROOT / "nbs" / "results" / "machine.json"
started, spent, notebooks = time.time(), defaultdict(float), defaultdict(lambda: [0, 0])
recorded = json.loads(MACHINE.read_text(encoding="utf-8")) if MACHINE.exists() else {}


def expected_seconds(path):
    """What a file took in the last recorded run; what is new comes early."""
    return recorded.get("files", {}).get(path.relative_to(ROOT).as_posix(), 30)


def name_of(path):
    """A lesson by its file's name, a notebook of another folder of nbs/ with its folder."""
    return path.name if path.parent.name not in ROOMS else f"{path.parent.name}/{path.name}"


def pytest_runtest_logreport(report):
    file = report.nodeid.partition("::")[0]
    spent[file] += report.duration
    if not file.endswith(".ipynb"): return
    row = notebooks[file]
    row[0] += report.when == "call"
    row[1] += report.failed


def pytest_terminal_summary(terminalreporter):
    if not notebooks: return
    terminalreporter.section("notebooks")
    for file, (cells, failed) in sorted(notebooks.items()):
        terminalreporter.write_line(f"{name_of(Path(file)):<28}{cells:>4} cells {failed:>4} failed {spent[file]:>7.1f} s")
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


def measurements(workers):
    """Of a run with workers: its minutes, and the seconds of each file. Of a run without: the seconds of the notebooks, with all cores for each."""
    if workers:
        files = {file: round(s, 1) for file, s in sorted(spent.items())}
        return {"test_minutes": round((time.time() - started) / 60, 1), "test_workers": workers, "files": files}
    size = sum(p.lstat().st_size for p in Path(sys.prefix).rglob("*"))
    return {"installed_gb": round(size / 1e9, 1), "cores": os.cpu_count(), "python": sys.version.split()[0], "torch": version("torch"),
            "reference_seconds": reference_seconds(),
            "seconds": {name_of(Path(file)): round(spent[file], 1) for file in sorted(notebooks)}}


def pytest_sessionfinish(session):
    """Measured values replace those of the same name in the file; what was written there by hand stays."""
    if not RECORD or hasattr(session.config, "workerinput"): return
    file = Path(RECORD)
    old = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    new = {**old, **measurements(session.config.getoption("numprocesses", None) or 0)}
    file.write_text(json.dumps(new, indent=1) + "\n", encoding="utf-8")

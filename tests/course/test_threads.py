"""Threads wait without holding a core, wherever torch is loaded first. OpenMP reads OMP_WAIT_POLICY once, as its library is loaded, and says
then (OMP_DISPLAY_ENV) how often it spins: SPINS here, else hundreds of thousands of times."""
import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from transfer_course.programs import sandbox

ROOT = Path(__file__).parents[2]
SPINS = 5000
SHELLS = [*sorted((ROOT / "nbs").glob("[0-9]*.ipynb")), *sorted((ROOT / "nbs" / "homework").glob("*.ipynb"))]
BARE = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_WAIT", "GOMP_"))} | {"PYTHONPATH": str(ROOT), "OMP_DISPLAY_ENV": "verbose"}


def spins(*command, **more):
    """How often the threads of each process of a command spin, as their OpenMP says; of none if it says nothing."""
    done = subprocess.run(command, env=BARE | more, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    return [int(n) for n in re.findall(r"GOMP_SPINCOUNT = '(\d+)'", done.stderr + done.stdout)]


@pytest.fixture(scope="module")
def default():
    """What torch alone does here."""
    found = spins(sys.executable, "-c", "import torch")
    if not found or found[0] <= SPINS: pytest.skip("this torch has another OpenMP, or threads that never spin")
    return found


def test_the_package(default): assert spins(sys.executable, "-c", "from transfer_course import door") == [SPINS]


def test_who_says_otherwise_is_listened_to(default): assert spins(sys.executable, "-c", "from transfer_course import door", OMP_WAIT_POLICY="ACTIVE")[0] > SPINS


def test_what_accelerate_launches(default, tmp_path):
    """The script's process; the launcher beside it computes nothing."""
    (tmp_path / "train.py").write_text("from transfer_course import door\n")
    assert SPINS in spins(sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1", str(tmp_path / "train.py"))


@pytest.mark.skipif(shutil.which("make") is None, reason="no make on this machine")
def test_everything_that_make_starts():
    """make lab with its kernels, make test, make outputs."""
    done = subprocess.run(["make", "-s", "-f", "Makefile", "--eval", "show: ; @echo $$OMP_WAIT_POLICY $$GOMP_SPINCOUNT", "show"], cwd=ROOT, env=BARE, capture_output=True, text=True)
    assert done.stdout.split() == ["PASSIVE", str(SPINS)], done.stderr


def imports(source):
    "The modules that a cell imports, in their order."
    for n in ast.walk(ast.parse(re.sub(r"^[%!].*", "", source, flags=re.M))):
        if isinstance(n, ast.Import): yield from (a.name for a in n.names)
        if isinstance(n, ast.ImportFrom): yield n.module


@pytest.mark.parametrize("path", SHELLS, ids=lambda p: p.stem)
def test_a_kernel_loads_the_package_before_torch(path):
    cells = [c.source for c in nbformat.read(path, 4).cells if c.cell_type == "code"]
    names = [m.partition(".")[0] for source in cells for m in imports(source)]
    loads = [m for m in names if m in ("transfer_course", "torch", "torchvision", "timm", "transformers", "accelerate", "sklearn")]
    assert not loads or loads[0] == "transfer_course", loads[:3]


def test_the_graders_sandbox(monkeypatch):
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"): monkeypatch.delenv(name, raising=False)
    with sandbox.new_sandbox_folder() as folder:
        box = sandbox.Sandbox(folder, bwrap=sandbox.find_bwrap()[0], seconds=600)
        try:
            assert box.ask(60, run="import os\nsaid = os.environ['OMP_WAIT_POLICY'] + os.environ['GOMP_SPINCOUNT']")
            assert box.ask(60, get="said")["value"] == f"PASSIVE{SPINS}"
        finally: box.close()

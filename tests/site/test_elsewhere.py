"""Where a notebook can be opened without an installation: what Binder and a Codespace read, as far as that can be looked at without them."""
import configparser
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def settings():
    found = configparser.ConfigParser(delimiters=["="])
    found.read(ROOT / "settings.ini", encoding="utf-8")
    return found["DEFAULT"]


def test_binder_installs_the_repository(settings):
    """Lines are requirements or options; files that they name are there, from where pip looks for them."""
    lines = [line for line in (ROOT / "binder" / "requirements.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert "-e ." in lines and any(line.startswith("-c ") for line in lines)
    for line in lines:
        if line.startswith("-c "): assert (ROOT / "binder" / line[3:]).resolve() == ROOT / "constraints.txt"
        elif not line.startswith("-"): assert Requirement(line).name in settings["dev_requirements"] + settings["requirements"]
    python = re.fullmatch(r"python-(3\.\d+)\s*", (ROOT / "binder" / "runtime.txt").read_text())[1]
    assert Version(python) >= Version(settings["min_python"])


def test_binder_asks_for_the_large_files_of_settings(settings, tmp_path):
    """Run with a pip that only says what it was asked."""
    script = ROOT / "binder" / "postBuild"
    assert os.access(script, os.X_OK)
    (tmp_path / "python").write_text(f'#!/bin/bash\nif [ "$1" = -m ]; then printf "%s\\n" "$@"; else exec {sys.executable} "$@"; fi\n')
    (tmp_path / "python").chmod(0o755)
    done = subprocess.run(["bash", str(script)], cwd=ROOT, env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}, capture_output=True, text=True, check=True)
    asked = done.stdout.splitlines()
    assert asked[:3] == ["-m", "pip", "install"] and set(settings["wheels"].split()) <= set(asked) and "--no-deps" in asked


def test_a_codespace_makes_what_make_lab_needs():
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    target = re.search(r"make (\S+)$", container["postCreateCommand"])[1]
    plan = subprocess.run(["make", "-n", "-B", target], cwd=ROOT, capture_output=True, text=True)
    assert plan.returncode == 0 and "pip install -e" in plan.stdout, plan.stderr
    assert (ROOT / container["customizations"]["codespaces"]["openFiles"][0]).exists()
    assert Path(container["customizations"]["vscode"]["settings"]["python.defaultInterpreterPath"]).parts[0] == Path(target).parts[0]

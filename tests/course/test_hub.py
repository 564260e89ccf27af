"""The configuration for a class, on the real JupyterHub with small cells; the lessons themselves: `python deploy/hub_test.py`."""
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
sys.path.insert(0, str(DEPLOY))
import hub_test  # noqa: E402

CONFIG = (DEPLOY / "jupyterhub_config.py").read_text(encoding="utf-8")


class Any:
    """What JupyterHub gives a configuration: whatever is asked for is there."""
    def __getattr__(self, name): return self.__dict__.setdefault(name, Any())


def configured():
    c = Any()
    exec(compile(CONFIG, "jupyterhub_config.py", "exec"), {"get_config": lambda: c})
    return c


def test_the_configuration_says_what_a_class_needs(monkeypatch):
    monkeypatch.setenv("COURSE_SHARED", "/a/shared/folder")
    c = configured()
    told = c.Spawner.environment
    assert (told["OMP_NUM_THREADS"], told["OMP_WAIT_POLICY"], told["GOMP_SPINCOUNT"]) == ("1", "PASSIVE", "5000") and told["TRANSFER_COURSE_SHARED"] == "/a/shared/folder"
    assert c.Spawner.mem_limit == "3G" and c.JupyterHub.concurrent_spawn_limit >= 2


@pytest.mark.parametrize("there", [True, False])
def test_a_server_that_rests_is_ended_where_the_culler_is_installed(monkeypatch, there):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: there or None)
    ended = [word for service in vars(configured().JupyterHub).get("services", []) for word in service["command"]]
    assert ("jupyterhub_idle_culler" in ended) == there == ("--timeout=3600" in ended)


def test_the_page_names_what_the_configuration_reads():
    page = (DEPLOY / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\w*COURSE_\w+", page))
    assert {"COURSE_BIN", "COURSE_SHARED"} <= named <= set(re.findall(r"\w*COURSE_\w+", CONFIG)) | {"TRANSFER_COURSE_HOME"}


def test_cells_of_the_lessons_are_found():
    assert len(hub_test.first_cells("01-learning_curves.ipynb", 6)) == 6
    assert any("extract(" in s for s in hub_test.first_cells("03-features.ipynb", until="register_forward_hook"))


def test_three_students_on_the_real_hub():
    if why := hub_test.missing(): pytest.skip(why)
    done = subprocess.run([sys.executable, DEPLOY / "hub_test.py", "--dry", "--students", "3", "--features", "2", "--alone", "1"], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert found["lesson_01"]["students"] == 3 and not found["lesson_01"]["errors"] + found["lesson_03"]["errors"]
    assert found["lesson_03"]["made_again"] == 0 and not found["lesson_03"]["shared_changed"]

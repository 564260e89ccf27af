"""The configuration for a class, on the real JupyterHub with small cells; the lessons themselves: `python deploy/hub_test.py`."""
import ast
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


def test_the_configuration_says_what_a_class_needs():
    class Any:
        def __getattr__(self, name): return self.__dict__.setdefault(name, Any())
    c = Any()
    exec(compile(CONFIG, "jupyterhub_config.py", "exec"), {"get_config": lambda: c})
    told = c.Spawner.environment
    assert (told["OMP_NUM_THREADS"], told["OMP_WAIT_POLICY"], told["GOMP_SPINCOUNT"]) == ("1", "PASSIVE", "5000") and told["TRANSFER_COURSE_SHARED"]
    assert c.Spawner.mem_limit == "3G" and c.JupyterHub.concurrent_spawn_limit >= 2
    assert "jupyterhub_idle_culler" in CONFIG and ast.parse(CONFIG)


def test_the_page_names_what_the_configuration_reads():
    page = (DEPLOY / "README.md").read_text(encoding="utf-8")
    assert {"COURSE_BIN"} <= set(re.findall(r"COURSE_\w+", page)) <= set(re.findall(r"\w*COURSE_\w+", CONFIG)) | {"COURSE_HOME"}


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

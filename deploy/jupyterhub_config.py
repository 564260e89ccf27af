"""JupyterHub for a class on one machine: `jupyterhub -f deploy/jupyterhub_config.py`. See deploy/README.md for why each line is here.

Named by the environment: COURSE_BIN (folder of the course's jupyter), COURSE_SHARED (the cache that students read), COURSE_MEMORY (for one student).
"""
import os
import sys
from importlib.util import find_spec
from pathlib import Path

c = get_config()  # noqa: F821, JupyterHub gives it
BIN = Path(os.environ.get("COURSE_BIN", Path(sys.executable).parent))
SHARED = os.environ.get("COURSE_SHARED", "/srv/transfer_course")

# Each student: JupyterLab in the own home folder, which begins with a copy of the lessons.
c.Spawner.default_url = "/lab/tree/course/index.ipynb"
c.Spawner.cmd = [str(BIN / "jupyterhub-singleuser")]
c.Spawner.args = ["--KernelSpecManager.ensure_native_kernel=True"]
c.Spawner.environment = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "5000", "TOKENIZERS_PARALLELISM": "false",
                         "TRANSFER_COURSE_SHARED": SHARED, "HF_HUB_OFFLINE": "1"}
c.Spawner.mem_limit = os.environ.get("COURSE_MEMORY", "3G")
c.Spawner.start_timeout, c.Spawner.http_timeout = 120, 120

# All at nine o'clock: let a few start at a time, the others wait for a moment and are told so.
c.JupyterHub.concurrent_spawn_limit = 2 * (os.cpu_count() or 2)


def copy_lessons(spawner):
    """Once for each student: their own copy of the lessons, as the student."""
    import subprocess
    home = Path("~" + spawner.user.name).expanduser()
    command = [str(BIN / "transfer-course"), "lessons", str(home / "course")]
    if not (home / "course").exists(): subprocess.run(command, check=False, timeout=120, user=spawner.user.name, cwd=home, stdout=subprocess.DEVNULL)


c.Spawner.pre_spawn_hook = copy_lessons

# A kernel that rests for an hour gives its memory back, and so does a server that nobody looks at.
if find_spec("jupyterhub_idle_culler"):
    c.JupyterHub.services = [{"name": "cull", "command": [sys.executable, "-m", "jupyterhub_idle_culler", "--timeout=3600"]}]
    c.JupyterHub.load_roles = [{"name": "cull", "services": ["cull"], "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"]}]

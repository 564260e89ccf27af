"""A class on the real JupyterHub, with its proxy: `python deploy/hub_test.py [--students 10] [--features 5]`. Prints one line of JSON.

1. Each student opens a server and runs the first six cells of lesson 01, one after the other; then all at the same moment. Reported: the ratio.
2. Five students run lesson 03 until its features are there, with one shared cache that is filled before; reported: files made in anybody's own folder.

Skipped with a sentence where jupyterhub or configurable-http-proxy is missing. Everything happens in a temporary folder, on 127.0.0.1.
Students are names, not users of this machine: that a shared folder holds against other users is tried by tests/workbench/test_closed.py.
"""
import argparse
import asyncio
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 900  # seconds for one thing, on a machine that is busy
CONFIG = """
import os
here = {here!r}
exec(compile(open({common!r}).read(), {common!r}, "exec"))
from jupyterhub.spawner import SimpleLocalProcessSpawner
c.JupyterHub.spawner_class = SimpleLocalProcessSpawner
c.SimpleLocalProcessSpawner.home_dir_template = here + "/homes/{{username}}"
c.Spawner.cmd = [{python!r}, "-m", "jupyterhub.singleuser"]
c.Spawner.args = ["--allow-root"]
c.Spawner.default_url = "/api"
c.Spawner.mem_limit = None
c.Spawner.pre_spawn_hook = None
c.Spawner.environment.update({environment!r})
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allowed_users = {names!r}
c.JupyterHub.bind_url = "http://127.0.0.1:{port}/"
c.JupyterHub.hub_port = {hub_port}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api_port}"
c.ConfigurableHTTPProxy.command = {proxy!r}
c.JupyterHub.db_url = "sqlite:///" + here + "/hub.sqlite"
c.JupyterHub.cookie_secret_file = here + "/cookie_secret"
c.JupyterHub.services = [{{"name": "test", "api_token": {token!r}}}]
c.JupyterHub.load_roles = [{{"name": "test", "services": ["test"], "scopes": ["admin:users", "admin:servers", "access:servers", "tokens"]}}]
"""


def missing():
    """Why this cannot be tried here; None if it can."""
    if not find_spec("jupyterhub"): return "skipped: jupyterhub is not installed (pip install jupyterhub)"
    if not proxy_command(): return "skipped: configurable-http-proxy is not on the PATH (npm install -g configurable-http-proxy)"
    return None


def proxy_command():
    found = shutil.which("configurable-http-proxy")
    return [found] if found else None


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def first_cells(lesson, most=None, until=None):
    """Sources of the first cells of code of a lesson, or those up to the one that holds a word."""
    book = json.loads((ROOT / "nbs" / lesson).read_text(encoding="utf-8"))
    cells = ["".join(c["source"]) for c in book["cells"] if c["cell_type"] == "code"]
    if until: most = 1 + next(i for i, s in enumerate(cells) if until in s)
    return cells[:most]


class Hub:
    """The hub at work: `hub.student(name)` starts a server, `run` runs cells in a kernel of it."""
    def __init__(self, here, names, environment):
        self.token, self.port = secrets.token_hex(16), free_port()
        (here / "homes").mkdir()
        for n in names: (here / "homes" / n).mkdir()
        text = CONFIG.format(here=str(here), common=str(ROOT / "deploy" / "jupyterhub_config.py"), python=sys.executable, names=set(names), port=self.port,
                             hub_port=free_port(), api_port=free_port(), proxy=proxy_command(), token=self.token, environment=environment)
        (here / "config.py").write_text(text)
        self.log = open(here / "hub.log", "w")
        self.process = subprocess.Popen([sys.executable, "-m", "jupyterhub", "-f", str(here / "config.py")], cwd=here, stdout=self.log, stderr=self.log)
        self.base = f"http://127.0.0.1:{self.port}"

    async def ask(self, method, path, wanted=(200, 201, 202, 204), **more):
        headers = {"Authorization": f"token {self.token}"}
        async with self.session.request(method, self.base + path, headers=headers, **more) as answer:
            if answer.status not in wanted: raise RuntimeError(f"{method} {path}: {answer.status} {(await answer.text())[:200]}")
            return await answer.json() if "json" in answer.headers.get("content-type", "") else None

    async def until(self, look, what):
        end = time.time() + PATIENCE
        while time.time() < end:
            try:
                if found := await look(): return found
            except Exception as e: last = e
            else: last = ""
            if self.process.poll() is not None: raise RuntimeError("the hub has ended: see hub.log")
            await asyncio.sleep(0.5)
        raise RuntimeError(f"{what} did not come {last}")

    async def serve(self, name):
        """A signed-in student with a server."""
        try: await self.ask("POST", f"/hub/api/users/{name}", wanted=(201, 409))
        except RuntimeError: pass
        await self.ask("POST", f"/hub/api/users/{name}/server", wanted=(201, 202, 400))
        async def there():
            user = await self.ask("GET", f"/hub/api/users/{name}")
            return user["servers"] and user["servers"][""]["ready"]
        await self.until(there, f"the server of {name}")

    async def run(self, name, cells):
        """Run cells in a new kernel of a student. -> (seconds, the first error or "")"""
        began = time.time()
        kernel = await self.ask("POST", f"/user/{name}/api/kernels", json={"name": "python3"})
        error = ""
        url = f"{self.base}/user/{name}/api/kernels/{kernel['id']}/channels"
        async with self.session.ws_connect(url, headers={"Authorization": f"token {self.token}"}, max_msg_size=0) as ws:
            for i, source in enumerate(cells):
                error = await self.one_cell(ws, source)
                if error:
                    error = f"cell {i}: {error}"
                    break
        seconds = time.time() - began
        await self.ask("DELETE", f"/user/{name}/api/kernels/{kernel['id']}")
        return seconds, error

    async def one_cell(self, ws, source):
        number = uuid.uuid4().hex
        header = {"msg_id": number, "username": "", "session": number, "msg_type": "execute_request", "version": "5.3"}
        content = {"code": source, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
        await ws.send_json({"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell", "buffers": []})
        while True:
            message = await ws.receive(timeout=PATIENCE)
            if message.type.name != "TEXT": raise RuntimeError(f"the connection ended: {message.type.name}")
            reply = json.loads(message.data)
            if reply["parent_header"].get("msg_id") == number and reply["msg_type"] == "execute_reply":
                said = reply["content"]
                return "" if said["status"] == "ok" else f"{said.get('ename')}: {said.get('evalue')}"

    def close(self):
        self.process.terminate()
        try: self.process.wait(60)
        except subprocess.TimeoutExpired: self.process.kill()
        self.log.close()


async def at_once(hub, names, cells):
    began = time.time()
    found = await asyncio.gather(*(hub.run(n, cells) for n in names))
    return time.time() - began, [e for _, e in found if e]


async def lesson_01(hub, names, alone, dry):
    """The first six cells, of some students one after the other, and of all at the same moment."""
    cells = DRY if dry else first_cells("01-learning_curves.ipynb", 6)
    singles = [await hub.run(n, cells) for n in names[:alone]]
    together, errors = await at_once(hub, names, cells)
    row = sum(s for s, _ in singles) / len(singles) * len(names)
    return dict(students=len(names), one_s=round(row / len(names), 1), in_a_row_s=round(row, 1), together_s=round(together, 1), ratio=round(together / row, 2),
                errors=[e for _, e in singles if e] + errors)


DRY = ["import pathlib, os\nshared = pathlib.Path(os.environ['TRANSFER_COURSE_SHARED'])", "print(1 + 1)"]
DRY_FEATURES = [DRY[0], "place = pathlib.Path(os.environ.get('TRANSFER_COURSE_HOME', shared)) / 'features'\nif 'TRANSFER_COURSE_HOME' in os.environ: place.mkdir(); (place / 'a').touch()",
                "assert (shared / 'features' / 'a').exists()"]


def say(text): print(text, file=sys.stderr, flush=True)


def files_in(folder): return {p.relative_to(folder).as_posix(): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock"}


async def lesson_03(hub, names, here, dry):
    """The first student fills the cache that will be shared; then all run the same cells and make nothing anew."""
    cells = DRY_FEATURES if dry else first_cells("03-features.ipynb", until="register_forward_hook")
    teacher, rest = names[0], names[1:]
    shared = here / "shared"
    fill = [f"import os; os.environ['TRANSFER_COURSE_HOME'] = {str(shared)!r}", *cells]
    filled, error = await hub.run(teacher, fill)
    for p in [shared, *shared.rglob("*")]: p.chmod(0o555 if p.is_dir() else 0o444)
    before = files_in(shared)
    seconds, errors = await at_once(hub, rest, cells)
    own = {n: [f for f in files_in(here / "homes" / n) if "features" in f] for n in rest}
    made = sum(len(v) for v in own.values())
    for p in [shared, *shared.rglob("*")]:
        if p.is_dir(): p.chmod(0o755)
    return dict(students=len(rest), fill_s=round(filled, 1), together_s=round(seconds, 1), shared_files=len(before), shared_changed=files_in(shared) != before,
                made_again=made, errors=[e for e in (error, *errors) if e])


async def main(students, features, alone, dry=False):
    import aiohttp
    names = [f"student{i}" for i in range(1, max(students, features + 1) + 1)]
    with TemporaryDirectory(prefix="hub") as name:
        here = Path(name).resolve()
        environment = {"PYTHONPATH": str(ROOT), "TRANSFER_COURSE_SHARED": str(here / "shared"), "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1", "MPLBACKEND": "agg"}
        (here / "shared").mkdir()
        hub = Hub(here, names, environment)
        try:
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE)) as hub.session:
                await hub.until(lambda: hub.ask("GET", "/hub/api/"), "the hub")
                began = time.time()
                for start in range(0, len(names), 2): await asyncio.gather(*(hub.serve(n) for n in names[start:start + 2]))
                found = {"servers_s": round(time.time() - began, 1), "load": [round(v, 1) for v in os.getloadavg()]}
                say(f"servers: {found}")
                found["lesson_01"] = await lesson_01(hub, names[:students], alone, dry)
                say(f"lesson 01: {found['lesson_01']}")
                found["lesson_03"] = await lesson_03(hub, names[:features + 1], here, dry)
                say(f"lesson 03: {found['lesson_03']}")
                for n in names: await hub.ask("DELETE", f"/hub/api/users/{n}/server", wanted=(202, 204))
        except Exception:
            print((here / "hub.log").read_text()[-3000:], file=sys.stderr)
            raise
        finally: hub.close()
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--students", type=int, default=10)
    parser.add_argument("--features", type=int, default=5)
    parser.add_argument("--alone", type=int, default=2, help="how many run one after the other, to know the time of one")
    parser.add_argument("--dry", action="store_true", help="two small cells in place of the lessons: does the hub work at all?")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *a: sys.exit("stopped"))
    if why := missing(): sys.exit(print(why))
    result = asyncio.run(main(args.students, args.features, args.alone, args.dry))
    print(json.dumps(result))
    sys.exit(bool(result["lesson_01"]["errors"] + result["lesson_03"]["errors"] or result["lesson_03"]["made_again"]))

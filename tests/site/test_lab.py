"""A lesson in JupyterLab, as a student meets it: a real server, a real browser, a slider that is dragged.

Everything happens in copies: the checkout is not touched, nor the settings of who runs this.
"""
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LESSON = "02-gabor.ipynb"  # it has sliders that need a kernel
PARTS = ["nbs", "transfer_course", "settings.ini", "setup.py", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in", "constraints.txt"]
PATIENCE = 600  # seconds, for a machine that is busy with other tests


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the project."""
    folder = tmp_path_factory.mktemp("lab") / "course"
    for name in PARTS:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        folder.mkdir(exist_ok=True)
        copy(ROOT / name, folder / name, **({"ignore": shutil.ignore_patterns("__pycache__", ".*")} if copy is shutil.copytree else {}))
    return folder


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def ask(address, path, token):
    request = urllib.request.Request(address + path, headers={"Authorization": f"token {token}"})
    with urllib.request.urlopen(request, timeout=60) as answer: return json.load(answer)


def wait_for(look, what, process=None):
    """Look until something is there. -> it"""
    end = time.time() + PATIENCE
    while time.time() < end:
        try:
            if found := look(): return found
        except OSError: pass
        if process and process.poll() is not None: break
        time.sleep(0.5)
    pytest.fail(f"{what} did not come")


def own_settings(folder):
    """Variables that keep a server away from the settings of who runs this."""
    names = ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR", "IPYTHONDIR")
    return {name: str(folder / name.lower()) for name in names}


@contextmanager
def lab(folder, package, settings):
    """JupyterLab on a folder, with the package from another one. -> its address, its token"""
    port, token = free_port(), secrets.token_hex(16)
    address = f"http://127.0.0.1:{port}/"
    options = [f"--ServerApp.port={port}", "--ServerApp.ip=127.0.0.1", f"--IdentityProvider.token={token}", "--no-browser", "--allow-root",
               "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", "--LabApp.news_url=None"]
    env = {**os.environ, **own_settings(settings), "PYTHONPATH": str(package)}
    with open(settings / "server.log", "w") as log:
        process = subprocess.Popen([sys.executable, "-m", "jupyterlab", *options], cwd=folder, env=env, stdout=log, stderr=log)
    try:
        wait_for(lambda: ask(address, "api/status", token), "JupyterLab", process)
        yield address, token
    finally:
        process.terminate()
        try: process.wait(60)
        except subprocess.TimeoutExpired: process.kill()


def saved(page, path):
    """Wait until the kernel rests, and save by the keyboard. -> the notebook; None while it is half written"""
    page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for(state="attached")
    page.keyboard.press("Control+s")
    page.wait_for_timeout(1500)
    try: return json.loads(path.read_text(encoding="utf-8"))
    except ValueError: return None


def numbers(notebook):
    """The numbers of the cells of code: None where a cell has not been run."""
    return [c["execution_count"] for c in notebook["cells"] if c["cell_type"] == "code" and "".join(c["source"]).strip()]


def say_yes(page):
    """A busy JupyterLab asks which kernel to take: the one that it proposes."""
    accept = page.locator(".jp-Dialog .jp-mod-accept")
    if accept.count(): accept.first.click()


def run_once(page, path):
    """Choose "Run All Cells" in the menu. -> the notebook, once every cell of code has its number or one has failed; None if nothing moves for a minute"""
    say_yes(page)
    page.keyboard.press("Escape")
    page.locator(".lm-MenuBar-itemLabel", has_text="Run").first.click()
    page.locator(".lm-Menu-itemLabel").get_by_text("Run All Cells", exact=True).click()
    seen, since = None, time.time()
    while time.time() - since < 60:
        page.wait_for_timeout(1000)
        say_yes(page)
        notebook = saved(page, path)
        if notebook and (all(numbers(notebook)) or errors(notebook)): return notebook
        if notebook and numbers(notebook) != seen: seen, since = numbers(notebook), time.time()


def run_all_cells(page, path):
    """Run a notebook by the menu, again if a busy machine lost the order or a part of it. -> the notebook as saved"""
    return wait_for(lambda: run_once(page, path), "the notebook with all its cells run")


def errors(notebook):
    return [o for c in notebook["cells"] for o in c.get("outputs", []) if o["output_type"] == "error"]


def to_the_slider(page):
    """Scroll up and then down to the first slider: what is out of sight is not in the page."""
    page.locator(".jp-WindowedPanel-outer").first.hover()
    page.mouse.wheel(0, -1_000_000)
    handle = page.locator(".widget-slider .noUi-handle").first
    for _ in range(200):
        if handle.count(): break
        page.mouse.wheel(0, 300)
        page.wait_for_timeout(100)
    handle.scroll_into_view_if_needed()
    return handle


def drag(page, handle, by):
    at = handle.bounding_box()
    x, y = at["x"] + at["width"] / 2, at["y"] + at["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + by, y, steps=3)
    page.mouse.up()


def turn_slider(page):
    """Drag the first slider until its picture changes. -> what the slider said, before and after"""
    handle = to_the_slider(page)
    picture, readout = page.locator(".widget-interact img").first, page.locator(".widget-slider .widget-readout").first
    picture.wait_for()
    before, said = picture.get_attribute("src"), readout.text_content()
    drag(page, handle, 40)
    page.wait_for_function("before => { const p = document.querySelector('.widget-interact img'); return p && p.src !== before; }", arg=before)
    return float(said), float(readout.text_content())


def try_lesson(browser, address, token, path, name):
    """Open a lesson, run it, turn its slider. -> what the slider said, before and after"""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(PATIENCE * 1000)
    page.goto(f"{address}lab/tree/{name}?token={token}")
    page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for(state="attached")
    try:
        assert not errors(run_all_cells(page, path))
        return turn_slider(page)
    finally:
        page.screenshot(path=path.with_suffix(".png"))  # for who has to find out what went wrong
        page.close()


def test_a_lesson_from_a_checkout(browser, checkout, tmp_path):
    """The whole lesson, as `make lab` opens it."""
    with lab(checkout, checkout, tmp_path) as (address, token):
        before, after = try_lesson(browser, address, token, checkout / "nbs" / LESSON, f"nbs/{LESSON}")
    assert after > before


def until_slider(path):
    """Shorten a lesson to the part that ends with its slider, and let it say where the package lies."""
    nb = json.loads(path.read_text(encoding="utf-8"))
    last = next(i for i, c in enumerate(nb["cells"]) if "interact(" in "".join(c["source"]))
    where = {"cell_type": "code", "id": "where", "metadata": {}, "outputs": [], "execution_count": None, "source": "import transfer_course; print(transfer_course.__file__)"}
    nb["cells"] = [*nb["cells"][:last + 1], where]
    path.write_text(json.dumps(nb), encoding="utf-8")


def test_a_lesson_from_the_installed_package(browser, checkout, tmp_path):
    """`pip install`, then `transfer-course lessons FOLDER`, then JupyterLab there."""
    package, mine = tmp_path / "package", tmp_path / "mine"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", package, checkout]
    subprocess.run(pip, check=True, timeout=PATIENCE)
    command = next((package / "bin").glob("transfer-course*"), None)
    subprocess.run([sys.executable, command, "lessons", mine], check=True, timeout=PATIENCE, env={**os.environ, "PYTHONPATH": str(package)})
    until_slider(mine / LESSON)
    with lab(mine, package, tmp_path) as (address, token):
        before, after = try_lesson(browser, address, token, mine / LESSON, LESSON)
    said = "".join("".join(o.get("text", "")) for o in json.loads((mine / LESSON).read_text(encoding="utf-8"))["cells"][-1]["outputs"])
    assert after > before and str(package) in said

"""The tests of the tests: faults planted in copies of notebooks must fail. And what every notebook must look like."""
import ast
import copy
import re
import shutil
import subprocess
import sys
from filecmp import cmpfiles
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from transfer_course import course

ROOT = Path(__file__).parents[2]
NBS = ROOT / "nbs"
NOTEBOOKS = course.notebooks(NBS, course.OPEN_PARTS)
NUMBERED = [p for p in NOTEBOOKS if re.match(r"\d\d-", p.name)]
LESSONS = [p for p in NUMBERED if course.is_lesson(p)]
REAL = NBS / "programs" / "00-cli.ipynb"


def notebooks(paths): return pytest.mark.parametrize("path", paths, ids=lambda p: p.relative_to(NBS).as_posix())
def read(path): return nbformat.read(path, 4)
def code_cells(nb): return [c for c in nb.cells if c.cell_type == "code"]


# --- planted faults -----------------------------------------------------------------------------------------------

CELLS = {"imports": "import pandas as pd",
         "stdout": 'print("sum", 2 + 3)',
         "value": "[1.25, 3]",
         "table": 'pd.DataFrame({"labels": [10, 20], "accuracy": [0.61, 0.72]})',
         "measured": '"0.83 after 3 epochs (71%)"',
         "silent": "_x = 4\n_x;",
         "never": "#| eval: false\nraise RuntimeError",
         "skipped": "raise RuntimeError"}
TAGS = {"measured": ["measured"], "skipped": ["skip-execution"]}


def small_notebook(folder):
    nb = new_notebook(cells=[new_code_cell(s, id=k, metadata={"tags": TAGS.get(k, [])}) for k, s in CELLS.items()])
    keep = nb.cells
    nb.cells = keep[:6]  # the last two must never run
    NotebookClient(nb, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()
    nb.cells = keep
    for c in nb.cells: c.execution_count = None  # as nbdev-clean leaves it
    return nb


def edit(cell, old, new):
    """A fault in every text form of a cell's output."""
    for out in cell.outputs:
        for where in (out, out.get("data", {})):
            for kind in {"text", "text/plain"} & set(where): where[kind] = where[kind].replace(old, new)


def drop(cell): cell.outputs = []
def recode(new):
    def change(cell): cell.source = new
    return change
def number(old, new): return lambda cell: edit(cell, old, new)


# name: (the cell, the fault, does it fail?)
PLANTED = {"untouched": ("value", lambda cell: None, False),
           "wrong number in stdout": ("stdout", number("5", "6"), True),
           "wrong number in a result": ("value", number("1.25", "1.26"), True),
           "wrong number in a table": ("table", number("0.72", "0.73"), True),
           "dropped stdout": ("stdout", drop, True),
           "dropped result": ("value", drop, True),
           "dropped table": ("table", drop, True),
           "an output that was not there": ("silent", recode("_x"), True),
           "changed code": ("value", recode("[1.25, 4]"), True),
           "a cell that raises": ("imports", recode("import pandas as pd\n1 / 0"), True),
           "measured, within the tolerance": ("measured", number("0.83", "0.85"), False),
           "measured, per cent within": ("measured", number("71%", "69%"), False),
           "measured, beyond the tolerance": ("measured", number("0.83", "0.93"), True),
           "measured, per cent beyond": ("measured", number("71%", "75%"), True),
           "measured, other whole number": ("measured", number("3 epochs", "4 epochs"), True),
           "measured, other words": ("measured", number("after", "before"), True),
           "measured, dropped": ("measured", drop, True)}


def run_nbval(folder):
    """pytest --nbval with the project's own conftest on every notebook of a folder -> {file: {failed cells}}"""
    shutil.copy(ROOT / "conftest.py", folder)
    shutil.copy(ROOT / "tests" / "sanitize.cfg", folder)
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "--nbval-sanitize-with=sanitize.cfg",
               "--nbval-cell-timeout=300", "-rfEps", "-p", "no:cacheprovider", "--color=no", "--rootdir=.", "."]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=400)
    states = re.findall(r"^(PASSED|FAILED|ERROR) (\S+\.ipynb)::Cell (\d+)", done.stdout, re.M)
    assert states, done.stdout + done.stderr
    result = {file: set() for _, file, _ in states}
    for state, file, cell in states:
        if state != "PASSED": result[file].add(int(cell))
    return result, done


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    folder, files = tmp_path_factory.mktemp("planted"), {}
    nb = small_notebook(folder)
    for i, (name, (key, fault, _)) in enumerate(PLANTED.items()):
        faulty = copy.deepcopy(nb)
        fault(faulty.cells[list(CELLS).index(key)])
        files[name] = f"fault{i:02}.ipynb"
        nbformat.write(faulty, folder / files[name])
    result, done = run_nbval(folder)
    assert done.returncode == 1
    return {name: result[file] for name, file in files.items()}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_fault(planted, name):
    key, _, fails = PLANTED[name]
    failed = planted[name]
    if name == "a cell that raises": failed &= {0}  # the cells below it may or may not need what it made
    assert failed == ({list(CELLS).index(key)} if fails else set())


def plant_in_first_number(nb):
    """One digit of the first number in a result of a real notebook -> the cell's place among the code cells"""
    for i, cell in enumerate(code_cells(nb)):
        if {"measured", "nbval-ignore-output"} & set(cell.metadata.get("tags", [])): continue
        for out in cell.outputs:
            text = out.get("data", {}).get("text/plain", out.get("text", ""))
            digit = re.search(r"\d", text)
            if digit:
                wrong = text[:digit.start()] + str((int(digit[0]) + 1) % 10) + text[digit.end():]
                edit(cell, text, wrong)
                return i
    raise AssertionError("no number in any output")


def test_a_real_notebook_fails_where_it_is_wrong(tmp_path):
    nb = read(REAL)
    nbformat.write(nb, tmp_path / "right.ipynb")
    place = plant_in_first_number(nb)
    nbformat.write(nb, tmp_path / "wrong.ipynb")
    result, _ = run_nbval(tmp_path)
    assert result == {"right.ipynb": set(), "wrong.ipynb": {place}}


# --- the package is what the notebooks export -----------------------------------------------------------------------

def test_export_is_in_sync(tmp_path):
    for name in ("nbs", "transfer_course"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("weights", "__pycache__", ".*"))
    for name in ("pyproject.toml", "settings.ini", "setup.py", "README.md"): shutil.copy(ROOT / name, tmp_path)
    for module in (tmp_path / "transfer_course").rglob("*.py"):
        if module.name != "__init__.py": module.unlink()
    export = "import os; del os.environ['IN_TEST']; from nbdev.doclinks import nbdev_export; nbdev_export()"
    subprocess.run([sys.executable, "-c", export], cwd=tmp_path, check=True, capture_output=True, timeout=300)
    here = [f / "transfer_course" for f in (ROOT, tmp_path)]
    names = {p.relative_to(f).as_posix() for f in here for p in f.rglob("*.py")}
    _, changed, missing = cmpfiles(ROOT / "transfer_course", tmp_path / "transfer_course", names, shallow=False)
    assert not changed + missing, f"run `make export`: {changed + missing} and the notebooks do not agree"


# --- what a notebook looks like ---------------------------------------------------------------------------------------

def texts(out):
    yield out.get("text", "")
    for kind, value in out.get("data", {}).items():
        if kind.startswith("text/") and isinstance(value, str): yield value


@notebooks(NOTEBOOKS)
def test_stored_outputs_are_clean(path):
    paths = re.compile(r"(?<![\w.~])(/home/|/root/|/tmp/|/work/|/Users/|/usr/lib|/opt/)|[A-Z]:\\Users|site-packages")
    for i, cell in enumerate(read(path).cells):
        if cell.cell_type != "code": continue
        assert cell.execution_count is None, f"cell {i} has an execution count: run nbdev-clean"
        for out in cell.outputs:
            assert out.output_type != "error" or "raises-exception" in cell.metadata.get("tags", []), f"cell {i} failed"
            assert out.get("name") != "stderr", f"cell {i} prints to stderr: {out.text[:200]}"
            for text in texts(out):
                found = paths.search(text)
                assert not found, f"cell {i} shows a path: {text[found.start() - 20:found.end() + 40]!r}"


def parse(source): return ast.parse(re.sub(r"^(\s*)[%!].*$", r"\1pass", source, flags=re.M))


def docstring_lines(tree):
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node) is not None:
            yield from range(node.body[0].lineno, node.body[0].end_lineno + 1)


def code_lines(source):
    """The numbers of the lines that hold code: not those empty, of comment, or of a docstring."""
    lines = {i for i, s in enumerate(source.split("\n"), 1) if s.strip() and not s.strip().startswith("#")}
    return lines - set(docstring_lines(parse(source)))


def may_be_long(tree):
    """The lines of classes and of the parameters of functions: they may take the room that they need."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef): yield from range(node.lineno, node.end_lineno + 1)
        if isinstance(node, ast.FunctionDef): yield from range(node.lineno + 1, node.body[0].lineno)


@notebooks(NUMBERED)
def test_cells_and_functions_are_short(path):
    for i, cell in enumerate(read(path).cells):
        if cell.cell_type != "code": continue
        lines = code_lines(cell.source)
        long = len(lines - set(may_be_long(parse(cell.source))))
        assert long <= 20, f"cell {i} has {long} lines of code: one idea a cell"
        for node in ast.walk(parse(cell.source)):
            if isinstance(node, ast.FunctionDef):
                n = len(lines & set(range(node.body[0].lineno, node.end_lineno + 1)))
                assert n <= 25, f"cell {i}: {node.name} has {n} lines: longer means two ideas"


@notebooks(NOTEBOOKS)
def test_imports_stand_in_their_own_cells(path):
    """The site's build runs every cell with an import, and would run what stands beside it."""
    for i, cell in enumerate(read(path).cells):
        if cell.cell_type != "code" or re.search(r"^#\|\s*(export|eval: false)", cell.source, re.M): continue
        kinds = {isinstance(node, (ast.Import, ast.ImportFrom)) for node in parse(cell.source).body}
        assert len(kinds) < 2, f"cell {i} imports and does something else"


@notebooks(NUMBERED)
def test_module_has_the_notebooks_name(path):
    found = re.findall(r"^#\|\s*default_exp\s+(\S+)", "\n".join(c.source for c in code_cells(read(path))), re.M)
    name, folder = path.stem[3:], path.parent.name
    if folder == "checks" or folder == "programs" and path.name < "90": name = f"{folder}.{name}"  # from 90 on: old addresses
    assert found == ["checks.__init__" if name == "checks.frame" else name]


@notebooks(NOTEBOOKS)
def test_pictures_are_told_in_words(path):
    for i, cell in enumerate(read(path).cells):
        pictures = [o for o in cell.get("outputs", []) if {"image/png", "image/svg+xml"} & set(o.get("data", {}))]
        if pictures: assert re.search(r"^#\|\s*fig-alt:\s*\S", cell.source, re.M), f"cell {i} has a picture without #| fig-alt:"


@notebooks(LESSONS)
@pytest.mark.parametrize("part", ["Predict", "Where this breaks", "Exercises", "Further"])
def test_lesson_has_its_parts(path, part):
    marks = r"^\s*(#+|\*\*|>|:::|<summary>)[^\n]*" if part == "Predict" else r"^#+ [^\n]*"
    prose = "\n".join(c.source for c in read(path).cells if c.cell_type == "markdown")
    assert re.search(marks + part, prose, re.M | re.I), f"{path.name} has no part {part!r}"


def test_the_map_links_every_notebook_and_no_other():
    """Every lesson, every room of the workbench and every program; the checks come with their lessons."""
    prose = "\n".join(c.source for c in read(NBS / "index.ipynb").cells if c.cell_type == "markdown")
    linked = set(re.findall(r"\]\(([^):]+\.ipynb)\)", prose))
    rooms = {p.relative_to(NBS).as_posix() for p in NUMBERED if p.parent.name != "checks" and p.name < "90"}
    assert {n for n in linked if not n.startswith("checks/")} == rooms | {"instructors.ipynb"}

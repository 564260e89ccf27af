"""The grader, on planted submissions: each gets what it deserves, and none stops the others."""
import csv
import json
import os
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from transfer_course.programs import cli, homework, sandbox

LINUX = sys.platform == "linux"
DOUBLE, LARGEST = "def double(x): return x + x", "import numpy as np\ndef largest(x): return float(sorted(x)[-1])"
KEY = [("import numpy as np", ""),
       ("def double(x): raise NotImplementedError", ""),
       ("### BEGIN SOLUTION\ndef double(x): return 2 * x\n### END SOLUTION", ""),
       ("assert double(3) == 6, 'double(3) must be 6'", "grade:double:1"),
       ("### BEGIN HIDDEN TESTS\nn = int(np.random.default_rng().integers(10, 10**6))\nassert double(n) == 2 * n, 'tried a large number'\n### END HIDDEN TESTS", "grade:double:2"),
       ("def largest(x): raise NotImplementedError", ""),
       ("### BEGIN SOLUTION\ndef largest(x): return float(np.max(x))\n### END SOLUTION", ""),
       ("x = np.insert(np.random.default_rng().normal(size=4), 2, 9.)\nassert np.isclose(largest(x), x.max()), 'not the largest of 5 numbers'", "grade:largest:3")]


def notebook(cells): return new_notebook(cells=[new_code_cell(s, metadata={"tags": [t] if t else []}) for s, t in cells])


def writes(path): return f"open({str(path)!r}, 'w').write('mine')"


# name: (cells, points for double, points for largest, words of the messages or remarks); {outside} is a folder of somebody else
PLANTED = {
    "honest": ([DOUBLE, LARGEST], 3, 3, []),
    "empty": ([], 0, 0, ["double is not defined"]),
    "stubs": (["def double(x): raise NotImplementedError", "def largest(x): raise NotImplementedError"], 0, 0, ["double is not written yet"]),
    "half": ([DOUBLE, "def largest(x): return x[0]"], 3, 0, ["not the largest"]),
    "only the visible test": (["def double(x): return 6", LARGEST], 1, 3, ["tried a large number"]),
    "an error above": (["1 / 0", DOUBLE, LARGEST], 3, 3, []),
    "a misspelt name": (["def duoble(x): return x + x", LARGEST, "1 / 0"], 0, 3, ["double is not defined", "ZeroDivisionError"]),
    "an error inside": (["def double(x): return x.twice", LARGEST], 0, 3, ["double raised AttributeError"]),
    "magics and display": (["%time 3\n%precision 3", DOUBLE, LARGEST, "display(double(2))\ninput()"], 3, 3, []),
    "a module beside it": (["from mine import double", LARGEST], 3, 3, []),
    "hangs": (["while True: pass", DOUBLE, LARGEST], 3, 3, ["code cell 0 was still running"]),
    "hangs when called": (["def double(x):\n    while True: pass", LARGEST], 0, 3, ["was still running"]),
    "hangs and won't stop": (["import time\nwhile True:\n    try: time.sleep(9)\n    except BaseException: pass", DOUBLE, LARGEST], 3, 3, ["still running"]),
    "crashes": ([DOUBLE, "import os; os._exit(0)", LARGEST], 3, 3, ["code cell 1 ended its process"]),
    "crashes in C": ([DOUBLE, LARGEST, "import ctypes; ctypes.string_at(0)"], 3, 3, ["code cell 2 ended its process"]),
    "crashes when called": (["import os\ndef double(x): os._exit(1)", LARGEST], 0, 3, ["ended its process"]),
    "leaves": ([DOUBLE, "import sys; sys.exit(0)", "def largest(x): sys.exit(0)"], 3, 0, ["largest raised SystemExit"]),
    "never comes back": (["def double(x): return double(x)", LARGEST], 0, 3, ["RecursionError"]),
    "eats memory": ([DOUBLE, "import numpy as np\ndef largest(x): return np.ones(10**11)"], 3, 0, ["MemoryError"]),
    "eats memory slowly": (["rows = []\nwhile True: rows.append(bytearray(10**8))", DOUBLE, LARGEST], 3, 3, []),
    "gives too much": ([DOUBLE, "import numpy as np\ndef largest(x): return np.zeros(10**7)"], 3, 0, ["more than 64 MB"]),
    "gives odd things": (["def double(x): return (n for n in [2 * x])", "import numpy as np\nclass A(np.ndarray): pass\ndef largest(x): return np.array([object()])"], 0, 0, []),
    "writes outside": ([DOUBLE, writes("{outside}/a.txt"), LARGEST], 3, 3, ["tried to write outside its folder"]),
    "writes when called": ([DOUBLE, f"def largest(x):\n    {writes('{outside}/a.txt')}\n    return max(x)"], 3, 0, ["tried to write outside"]),
    "writes and hides it": ([DOUBLE, f"try: {writes('{outside}/a.txt')}\nexcept Exception: pass", LARGEST], 3, 3, ["tried to write outside"]),
    "deletes": ([DOUBLE, "import os, shutil\nos.remove('{outside}/kept.txt')", "shutil.rmtree('{outside}')", LARGEST], 3, 3, ["tried to write outside"]),
    "writes through a link": ([DOUBLE, "import os\nos.symlink('{outside}', 'here')\nopen('here/a.txt', 'w')", LARGEST], 3, 3, ["tried to write outside"]),
    "starts a program": ([DOUBLE, "import subprocess\nsubprocess.run(['touch', '{outside}/a.txt'])", "!touch {outside}/a.txt", LARGEST], 3, 3, ["tried to start another program"]),
    "ends the grader": ([DOUBLE, "import os\nos.kill(os.getppid(), 9)", LARGEST], 3, 3, ["tried to end another program"]),
    "calls home": ([DOUBLE, "import socket\nsocket.create_connection(('127.0.0.1', 9), 1)", LARGEST], 3, 3, ["tried to reach the network"]),
    "reads the solutions": (["source = open('{key}/01-small.ipynb').read()", "def double(x): return 0", "def largest(x): return 0"], 0, 0, ["tried to read the instructor's version"]),
    "writes inside": ([DOUBLE, "open('mine.txt', 'w').write('a')\nimport tempfile; tempfile.TemporaryFile()", LARGEST], 3, 3, []),
    "prints all passed": (["print('double: 3/3 all passed')", "def double(x): print('all passed'); return 'passed'"], 0, 0, ["double(3) must be 6"]),
    "patches the tools": (["import numpy as np, builtins\nnp.isclose = np.allclose = lambda *a, **k: True\nbuiltins.AssertionError = builtins.max = lambda *a: True", "def double(x): return 1", "def largest(x): return 1."], 0, 0, ["not the largest"]),
    "equals everything": (["class Yes(float):\n    def __eq__(self, other): return True", "def double(x): return Yes(1)", "largest = double"], 0, 0, ["not the largest"]),
    "redefines the grader": (["import transfer_course.programs.homework as h, transfer_course.programs.sandbox as s\ns.handle = h.one_test = h.judged = lambda *a: {'value': 6}\nget_ipython().run_cell = None", "double = largest = lambda x: 1"], 0, 0, []),
    "forges answers": (["import os, gc, io\nfrom transfer_course.programs import sandbox\nfor s in gc.get_objects():\n    if isinstance(s, io.BufferedWriter) and not s.closed:\n        try: sandbox.send(s, {'value': 6, 'token': 'x', 'notes': []})\n        except Exception: pass",
                        DOUBLE, LARGEST], 3, 3, ["code cell 0 ended its process"]),
}
BROKEN = {"not json": "{", "no notebook": "[]", "cells missing": '{"nbformat": 4}', "deep": "[" * 10**5}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = Path(os.path.realpath(tmp_path_factory.mktemp("grade")))
    for part in ("key", "outside", "class", "slow"): (root / part).mkdir()
    nbformat.write(notebook(KEY), root / "key" / "01-small.ipynb")
    (root / "outside" / "kept.txt").write_text("kept")
    return root


def filled(source, place): return source.replace("{outside}", str(place / "outside")).replace("{key}", str(place / "key"))


@pytest.fixture(scope="module")
def graded(place):
    """All planted submissions as one class."""
    for name, (cells, *_) in PLANTED.items():
        folder = place / ("slow" if name.startswith("hangs") else "class") / name
        folder.mkdir()
        nbformat.write(notebook([(filled(s, place), "") for s in cells]), folder / "01-small.ipynb")
    (place / "class" / "a module beside it" / "mine.py").write_text(DOUBLE)
    (place / "class" / "a module beside it" / "numpy.py").write_text("raise RuntimeError('the wrong numpy')")
    for name, text in BROKEN.items():
        (place / "class" / name).mkdir()
        (place / "class" / name / "01-small.ipynb").write_text(text)
    (place / "class" / "nothing").mkdir()
    before = sorted(str(p) for p in place.rglob("*"))
    shown = []
    rows = homework.grade_all([place / "class"], place / "grades.csv", place / "key", seconds=200, memory=1., show=shown.append)
    slow = homework.grade_all([place / "slow"], place / "slow.csv", place / "key", seconds=16, memory=1., show=shown.append)
    return {r["submission"]: r for r in rows + slow}, shown, before


@pytest.mark.parametrize("name", PLANTED)
def test_planted_submission(graded, name):
    row, (_, double, largest, says) = graded[0][name], PLANTED[name]
    text = " ".join(map(str, row.values()))
    if name == 'forges answers' and not row['remarks']: says = []  # where the stream was not found
    assert (row["01 double points"], row["01 largest points"]) == (double, largest), text
    assert all(s in text for s in says), text


@pytest.mark.parametrize("name", [*BROKEN, "nothing"])
def test_what_is_no_notebook_gets_no_points_and_a_remark(graded, name):
    row = graded[0][name]
    assert row["points"] == 0 and row["out_of"] == 6
    assert ("no notebook" if name == "nothing" else "the file is not a notebook") in row["remarks"]


def test_nobody_is_left_out(graded):
    assert set(graded[0]) == {*PLANTED, *BROKEN, "nothing"} and len(graded[1]) == len(graded[0])


def test_nothing_was_written_outside(graded, place):
    assert (place / "outside" / "kept.txt").read_text() == "kept"
    assert sorted(str(p) for p in place.rglob("*") if p.suffix != ".csv") == graded[2]


def test_the_table(graded, place):
    with open(place / "grades.csv", newline="", encoding="utf-8") as f: rows = list(csv.DictReader(f))
    assert [r["submission"] for r in rows] == sorted(n for n in graded[0] if not n.startswith("hangs"))
    assert list(rows[0])[:6] == ["submission", "homework", "points", "out_of", "seconds", "remarks"]
    assert all(int(r["points"]) == int(r["01 double points"]) + int(r["01 largest points"]) for r in rows)
    assert {r["01 double message"] for r in rows if r["submission"] == "honest"} == {"passed"}


def test_no_process_is_left(graded):
    import psutil
    assert not [p for p in psutil.Process().children(recursive=True) if "sandbox import serve" in " ".join(p.cmdline())]


@pytest.mark.skipif(not LINUX, reason="Landlock is part of Linux")
def test_the_kernel_stops_what_a_hook_cannot_see(tmp_path):
    """A write by the C library, which raises no audit event."""
    target = tmp_path / "a.txt"
    code = "import ctypes\nlibc = ctypes.CDLL(None)\nfd = libc.open({!r}, 65, 438)"
    with sandbox.new_sandbox_folder() as folder:
        box = sandbox.Sandbox(folder)
        box.ask(20, run=code.format(str(target).encode()))
        fd, locked = box.ask(20, get="fd")["value"], box.state["locked"]
        box.ask(20, run=code.format(b"inside.txt"))
        inside = box.ask(20, get="fd")["value"]
        box.close()
    if not locked: pytest.skip("this kernel has no Landlock")
    assert fd == -1 and inside > 0 and not target.exists()


def test_memory_without_setrlimit_is_told_in_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "resource", None)
    assert sandbox.limit(2.) == "memory is not limited: this system has no resource.setrlimit"


@pytest.mark.parametrize("value", [None, True, 3, -2.5, "text ä", [1, [2, "a"]], (1, (2,)), {"a": 1, 2: None, ("x", 1): [0.5]}, float("inf"), [], {}, 10**30])
def test_values_come_back_as_they_were(value):
    back = sandbox.unpack(sandbox.pack(value))
    assert back == value and type(back) is type(value)


@pytest.mark.parametrize("a", [np.arange(6).reshape(2, 3), np.array(2.5), np.zeros((0, 4), np.float32), np.array([True, False]), np.arange(12.).reshape(3, 4).T, np.uint8([1])])
def test_arrays_come_back_as_they_were(a):
    back = sandbox.unpack(sandbox.pack({"a": a}))["a"]
    assert back.dtype == a.dtype and back.shape == a.shape and (back == a).all()
    back[...] = back  # may be written


def test_tensors_and_tables_come_back_as_they_were():
    import pandas as pd
    import torch
    t = torch.randn(3, 2, requires_grad=True)
    assert torch.equal(sandbox.unpack(sandbox.pack(t)), t.detach())
    assert torch.equal(sandbox.unpack(sandbox.pack(t.bfloat16())), t.detach().bfloat16().float())
    frame = pd.DataFrame({"a": [1.5, 2.5], "b": [3., 4.]}, index=["x", "y"])
    pd.testing.assert_frame_equal(sandbox.unpack(sandbox.pack(frame)), frame)


@pytest.mark.parametrize("value", [object(), 1j, np.array([1j]), np.array(["a"]), np.array([None]), len, {1, 2}, b"a"])
def test_other_values_arrive_as_something_that_equals_nothing(value):
    back = sandbox.unpack(sandbox.pack([value]))[0]
    assert isinstance(back, sandbox.Other) and back != value


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)"])
def test_a_spreadsheet_sees_no_formula(tmp_path, text):
    homework.write_table([{"submission": text, "points": 3}], tmp_path / "a.csv")
    assert "'" + text in (tmp_path / "a.csv").read_text().splitlines()[1]


# --- the command --------------------------------------------------------------------------------------------------------

def hand_in(folder, name="01-small.ipynb", cells=(DOUBLE, LARGEST)):
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook([(s, "") for s in cells]), folder / name)
    return folder


def test_grade_from_the_command_line(place, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRANSFER_COURSE_HOME", str(tmp_path / "own"))
    anna = hand_in(tmp_path / "Änna =1", "01-small (1).ipynb")
    assert cli.main(["grade", str(anna), "--key", str(place / "key"), "--csv", "week.csv"]) == 0
    out = capsys.readouterr().out
    assert "6 of 6" in out and "Rows written to week.csv: 1" in out
    assert "Änna =1,01-small,6,6" in (tmp_path / "week.csv").read_text(encoding="utf-8")
    assert os.environ["TRANSFER_COURSE_HOME"] == str(tmp_path / "own") and not (tmp_path / "own").exists()
    assert cli.main(["grade", str(anna), "--key", str(place / "key"), "--csv", "week.csv"]) == 2
    assert "exists" in capsys.readouterr().err


@pytest.mark.parametrize("args, says", [(["nowhere"], "is not there"), (["file"], "is a file"), (["empty"], "holds no notebook named 01-small.ipynb"),
                                        (["anna", "--key", "empty"], "has none"), (["anna", "--csv", "nowhere/a.csv"], "folder that exists"), (["anna", "--csv", "file"], "exists")])
def test_wrong_arguments(place, tmp_path, monkeypatch, capsys, args, says):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    Path("empty").mkdir()
    hand_in(Path("anna"))
    key = [] if "--key" in args else ["--key", str(place / "key")]
    assert cli.main(["grade", *args, *key]) == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1 and not Path("grades.csv").exists()


@pytest.mark.parametrize("args", [["grade"], ["grade", "a", "--seconds", "0"], ["grade", "a", "--memory", "much"], ["homework"]])
def test_usage_errors(args, capsys):
    with pytest.raises(SystemExit) as stopped: cli.main(args)
    assert stopped.value.code == 2


def test_a_key_that_fails_grades_nobody(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "key").mkdir()
    nbformat.write(notebook([*KEY, ("assert False, 'broken'", "grade:double:1")]), tmp_path / "key" / "01-small.ipynb")
    hand_in(tmp_path / "anna")
    assert cli.main(["grade", "anna", "--key", "key"]) == 2
    assert "the instructor's version 01-small fails on this machine, in code cell 8 (AssertionError: broken)" in capsys.readouterr().err


def test_a_name_that_fits_two_notebooks_is_not_guessed(tmp_path):
    for n in ("01-small (1).ipynb", "01-small-new.ipynb"): hand_in(tmp_path, n)
    assert homework.handed_in(tmp_path, "01-small") is None
    assert homework.handed_in(hand_in(tmp_path), "01-small").name == "01-small.ipynb"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_folder_that_cannot_be_copied(tmp_path, place):
    anna = hand_in(tmp_path / "anna")
    os.mkfifo(anna / "pipe")
    key = homework.run_key(homework.read_key(place / "key" / "01-small.ipynb"))
    table, remarks = homework.grade_one(anna / "01-small.ipynb", key)
    assert not sum(t[0] for t in table.values()) and "named pipe" in remarks[0]


def test_outputs_of_a_submission_are_not_believed(tmp_path, place):
    anna, key = hand_in(tmp_path / "anna", cells=["def double(x): return 0"]), homework.run_key(homework.read_key(place / "key" / "01-small.ipynb"))
    book = json.loads((anna / "01-small.ipynb").read_text())
    book["metadata"]["grade"] = book["cells"][0]["metadata"]["points"] = 6
    (anna / "01-small.ipynb").write_text(json.dumps(book))
    assert [t[0] for t in homework.grade_one(anna / "01-small.ipynb", key)[0].values()] == [0, 0]

"""The grader, on planted submissions: each gets what it deserves, and none stops the others."""
import csv
import json
import os
import platform
import socket
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from transfer_course.programs import cli, homework, sandbox

LINUX = sys.platform == "linux"
BWRAP, WHY_NOT = sandbox.find_bwrap()
NO_BOX = ["--no-box"] if BWRAP is None else []
boxed = pytest.mark.skipif(BWRAP is None, reason=f"no box on this machine: {WHY_NOT}")
sealed = pytest.mark.skipif(not LINUX or platform.machine() not in sandbox.CALLS, reason="the kernel's filter is written for Linux on x86-64 and aarch64")
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
    "eats memory": ([DOUBLE, "import numpy as np\ndef largest(x): return np.ones(10**11)"], 3, 0, ["MemoryError", "the limit is 1 GB: see --memory"]),
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
    "reads the solutions": (["source = open('{key}/01-small.ipynb').read()", "def double(x): return 0", "def largest(x): return 0"], 0, 0, []),
    "from Colab": (["!pip install \\\n  numpy\n%pip install torch\nfiles = !ls\n" + DOUBLE, "%%bash\nls", LARGEST], 3, 3, ["shell lines skipped: 4"]),
    "a lone surrogate": (["raise ValueError('\\ud800')", "def double(x): raise KeyError('\\udc80 \\ud800')", LARGEST], 0, 3, [r"double raised KeyError: '\udc80 \ud800'"]),
    "forges a row": (["def double(x): raise ValueError('\\x1b[2J\\x1b[1;1H\\r\\nben,01-small,6,6\\u202e')", LARGEST], 0, 3, [r"double raised ValueError: \x1b[2J\x1b[1;1H ben,01-small,6,6\u202e"]),
    "empty arrays": (["import numpy as np\ndef double(x): return np.zeros(0)\ndef largest(x): return np.zeros((0, *x.shape))"], 0, 0, []),
    "an empty dict": (["def double(x): return {}\ndef largest(x): return []"], 0, 0, []),
    "lies about itself": (["class Odd(dict):\n    def items(self): return [('array', 10**9)]\n    __class__ = float\ndef double(x): return Odd(a=1)\ndef largest(x): return {'tensor': 0}"], 0, 0, []),
    "too many parts": ([DOUBLE, "def largest(x): return [[]] * 10**6"], 3, 0, ["too many parts"]),
    "a deep answer": ([DOUBLE, "def largest(x):\n    a = []\n    for _ in range(10**5): a = [a]\n    return a"], 3, 0, ["RecursionError"]),
    "names are no functions": (["double = 6", "largest = None"], 0, 0, ["double is no function", "largest is no function"]),
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


def odd_ones(folder, place):
    """Submissions that are no plain notebook in a plain folder -> {name in the table: words of its remark}."""
    def one(name): (folder / name).mkdir(); return folder / name / "01-small.ipynb"
    one("a link to the key").symlink_to(place / "key" / "01-small.ipynb")
    one("a link to a neighbour").symlink_to(folder / "honest" / "01-small.ipynb")
    one("a link without an end").symlink_to("/dev/zero")
    os.mkfifo(one("a pipe"))
    one("a folder").mkdir()
    (folder / "a folder that is a link").symlink_to(folder / "honest")
    with open(one("large"), "wb") as f: f.truncate(10**10)
    return {"a link to the key": "the file is a link", "a link to a neighbour": "the file is a link", "a link without an end": "the file is a link",
            "a pipe": "no regular file", "a folder": "no regular file", "a folder that is a link": "the folder is a link", "large": "more than 50 MB"}


def odd_names(folder):
    """Folders whose names are made for a terminal or a spreadsheet -> {name in the table: words of its remark}."""
    names = {b"\x1b[2Jred\nben,01-small,6,6": r"", b"lone \xff": "", b"\t=1+1": "", "h\u043enest".encode(): "the name looks like another: honest", "\u202ecba".encode(): ""}
    for name in names: hand_in(folder / os.fsdecode(name), cells=[DOUBLE, LARGEST, f"# {name}"])
    shown = [r"\x1b[2Jred ben,01-small,6,6", r"lone \udcff", "=1+1", "h\u043enest", r"\u202ecba"]
    return dict(zip(shown, names.values()))


def filled(source, place): return source.replace("{outside}", str(place / "outside")).replace("{key}", str(place / "key"))


ODD, NAMED = {}, {}


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
    hand_in(place / "class" / "honest too", cells=PLANTED["honest"][0])
    if hasattr(os, "mkfifo"): ODD.update(odd_ones(place / "class", place))
    if LINUX: NAMED.update(odd_names(place / "class"))
    before = sorted(str(p) for p in place.rglob("*"))
    shown = []
    rows = homework.grade_all([place / "class"], place / "grades.csv", place / "key", seconds=200, memory=1., show=shown.append, no_box=BWRAP is None)
    slow = homework.grade_all([place / "slow"], place / "slow.csv", place / "key", seconds=32, memory=1., show=shown.append, no_box=BWRAP is None)
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
    assert set(graded[0]) == {*PLANTED, *BROKEN, *ODD, *NAMED, "nothing", "honest too"} and len(graded[1]) == len(graded[0])


def test_what_is_no_plain_file_gets_a_row_and_no_points(graded):
    for name, says in ODD.items():
        row = graded[0][name]
        assert row["points"] == 0 and row["out_of"] == 6 and says in row["remarks"], row


def test_names_can_forge_nothing(graded, place):
    """No escape codes, no newlines, no characters that turn the line around, no formula; and the work counts."""
    for name, says in NAMED.items(): assert graded[0][name]["points"] == 6 and says in graded[0][name]["remarks"]
    lines = (place / "grades.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1 + sum(not n.startswith("hangs") for n in graded[0])
    assert all(c.isprintable() for line in [*lines, *graded[1]] for c in line)
    assert not NAMED or "'=1+1,01-small" in "\n".join(lines)


def test_a_copy_is_told(graded):
    assert graded[0]["honest too"]["points"] == 6 and graded[0]["honest too"]["remarks"] == "the same cells as honest"


def test_the_table_names_the_box(graded):
    assert {r["box"] for r in graded[0].values()} == {"bubblewrap" if BWRAP else "none"}


def test_nothing_was_written_outside(graded, place):
    assert (place / "outside" / "kept.txt").read_text() == "kept"
    assert sorted(str(p) for p in place.rglob("*") if p.suffix != ".csv") == graded[2]


def test_the_table(graded, place):
    with open(place / "grades.csv", newline="", encoding="utf-8") as f: rows = list(csv.DictReader(f))
    names = [n for n in graded[0] if not n.startswith("hangs")]
    assert sorted(r["submission"] for r in rows) == sorted(map(homework.plain, names))
    assert list(rows[0])[:7] == ["submission", "homework", "points", "out_of", "seconds", "remarks", "box"]
    assert all(int(r["points"]) == int(r["01 double points"]) + int(r["01 largest points"]) for r in rows)
    assert {r["01 double message"] for r in rows if r["submission"] == "honest"} == {"passed"}


def test_no_process_is_left(graded):
    import psutil
    assert not [p for p in psutil.Process().children(recursive=True) if "sandbox import serve" in " ".join(p.cmdline())]


# --- the box --------------------------------------------------------------------------------------------------------------

def in_a_box(sources, *names, bwrap=BWRAP, **how):
    """Run cells in a box -> the values of some names."""
    with sandbox.new_sandbox_folder() as folder:
        box = sandbox.Sandbox(folder, bwrap=bwrap, **how)
        try:
            for source in sources: assert "error" not in box.ask(60, run=source), source
            return [box.ask(20, get=n)["value"] for n in names]
        finally: box.close()


LIBC = "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)"


@boxed
def test_neither_the_key_nor_a_neighbour_is_in_the_box(tmp_path):
    """By calls that no audit hook sees. Even where the key lies in a folder that a box shows."""
    own, inner = tmp_path / "key" / "01-small.ipynb", Path(sandbox.PACKAGE) / "lessons_of_a_test" / "01-small.ipynb"
    for p in (own, inner):
        p.parent.mkdir()
        p.write_text("the key")
    try:
        paths = [str(p).encode() for p in (own, inner, tmp_path, Path.home() / ".bashrc", "/etc/passwd")]
        fds, = in_a_box([LIBC, f"fds = [libc.open(p, 0) for p in {paths!r}]"], "fds", hide=[own.parent, inner.parent])
        seen, = in_a_box([f"import os\nseen = sorted(os.listdir({str(tmp_path.parent)!r})) if os.path.exists({str(tmp_path.parent)!r}) else []"], "seen")
    finally:
        inner.unlink()
        inner.parent.rmdir()
    assert fds == [-1] * 5 and seen == []


@boxed
def test_the_checkout_around_the_package_is_not_in_the_box():
    seen, = in_a_box([f"import os\nseen = os.listdir({str(sandbox.PACKAGE.parent)!r})"], "seen")
    assert "nbs" not in seen and sandbox.PACKAGE.name in seen


@boxed
def test_nothing_outside_can_be_changed_by_calls_that_no_hook_sees(tmp_path):
    """Contents, and what is told about a file; from a thread that was there before."""
    target = tmp_path / "a.txt"
    target.write_text("kept")
    target.chmod(0o600)
    code = f"""
import threading
results, p = [], {str(target).encode()!r}
def work():
    results.append(libc.open(p, 65, 438))
    results.append(libc.chmod(p, 0o777))
    for place in (b"/usr/a.txt", b"/etc/a.txt", b"/a.txt", b"/dev/a.txt", {str(sandbox.PACKAGE / 'a.txt').encode()!r}): results.append(libc.open(place, 65, 438))
    fd = libc.open({sandbox.__file__.encode()!r}, 0)
    results.append(libc.fchmod(fd, 0o777))
t = threading.Thread(target=work)
t.start(); t.join()
mine = libc.open(b"mine.txt", 65, 438)"""
    results, mine = in_a_box([LIBC, code], "results", "mine")
    assert set(results) == {-1} and mine > 0
    assert target.read_text() == "kept" and target.stat().st_mode & 0o777 == 0o600


@boxed
def test_no_datagram_leaves_the_box():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        ear.bind(("127.0.0.1", 0))
        ear.settimeout(1)
        port = ear.getsockname()[1]
        code = f"import struct\nfd = libc.socket(2, 2, 0)\nto = struct.pack('=H', 2) + struct.pack('!H', {port}) + bytes([127, 0, 0, 1]) + bytes(8)\nsent = libc.sendto(fd, b'x', 1, 0, to, 16)"
        in_a_box([LIBC, code], "sent")
        with pytest.raises(TimeoutError): ear.recv(1)


@sealed
@pytest.mark.parametrize("bwrap", [None, pytest.param(BWRAP, marks=boxed)], ids=["no box", "box"])
def test_no_process_and_no_hidden_memory(bwrap):
    """What the limits of one process would not count: forks, memory in files without a name, shared segments."""
    code = """
import subprocess, threading
calls = [libc.fork(), libc.vfork() if hasattr(libc, 'none') else -1, libc.memfd_create(b'a', 0), libc.shmget(0, 10**6, 0o1600), libc.unshare(0x10000000)]
done = []
t = threading.Thread(target=done.append, args=[1])
t.start(); t.join()"""
    calls, done = in_a_box([LIBC, code], "calls", "done", bwrap=bwrap)
    assert calls == [-1] * 5 and done == [1]


def test_the_filter_is_a_program_of_whole_steps():
    for numbers in sandbox.CALLS.values(): assert len(sandbox.filter_program(*numbers)) % 8 == 0


def ended(process):
    """Is it over? An orphan that nobody waits for is a zombie until then."""
    import psutil
    try: return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess: return True


@boxed
def test_a_closed_box_leaves_nothing():
    """`close` waits for the end of all: a process that was told to end may still sleep for a moment."""
    import psutil
    for _ in range(5):
        with sandbox.new_sandbox_folder() as folder:
            box = sandbox.Sandbox(folder, bwrap=BWRAP)
            family = psutil.Process(box.process.pid).children(recursive=True)
            box.close()
            assert family and all(map(ended, family))


@boxed
def test_what_a_submission_writes_has_a_limit_in_all(monkeypatch):
    """Many files below the limit of a single one; files that were deleted and are held open; shared memory. Nothing of it comes onto the disk."""
    monkeypatch.setattr(sandbox, "DISK", 40 * 10**6)
    code = """
def fill(make):
    n = 0
    try:
        for i in range(100):
            make(i)
            n += 1
    except OSError as e: return n, str(e)
    return n, 'no limit'
def plain(i): open(f'{i}.bin', 'wb').write(bytes(10**6))
held = []
def deleted(i):
    held.append(open(f'{i}.held', 'w+b', buffering=0))
    os.remove(f'{i}.held')
    held[-1].write(bytes(10**6))
def shared(i): libc.ftruncate(fd := libc.shm_open(f'/a{i}'.encode(), 66, 384), ctypes.c_long(10**6)); assert fd > 0; os.write(fd, bytes(10**6))
def room(f):
    got = fill(f)
    held.clear()
    return got
many, some, none = room(plain), None, None
for i in range(100):
    try: os.remove(f'{i}.bin')
    except OSError: pass
some, none = room(deleted), room(shared)"""
    with sandbox.new_sandbox_folder() as folder:
        (folder / "work" / "mine.txt").write_text("mine")
        box = sandbox.Sandbox(folder, bwrap=BWRAP)
        try:
            reply = box.ask(120, run=LIBC + code)
            assert "error" not in reply, reply
            for name in ("many", "some", "none"):
                n, why = box.ask(60, get=name)["value"]
                assert 20 < n < 42 and ("No space left" in why or "Bad file" in why), (name, n, why)
            assert box.ask(60, run="text = open('mine.txt').read()\nopen('mine.txt', 'w').write('other')") and box.ask(60, get="text")["value"] == "mine"
        finally: box.close()
        assert [p.name for p in (folder / "work").iterdir()] == ["mine.txt"] and (folder / "work" / "mine.txt").read_text() == "mine"


@pytest.mark.skipif(not LINUX, reason="bubblewrap is made for Linux")
@pytest.mark.parametrize("program, says", [("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n", "uid map: Permission denied"), ("", "bubblewrap is not here")])
def test_without_a_box_nobody_is_graded_unless_the_teacher_says_so(place, tmp_path, monkeypatch, capsys, program, says):
    """As where the system forbids namespaces."""
    monkeypatch.chdir(tmp_path)
    if program:
        (tmp_path / "bwrap").write_text(program)
        (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setattr(sandbox.shutil, "which", lambda name, path: str(tmp_path / "bwrap") if program else None)
    hand_in(tmp_path / "anna")
    assert cli.main(["grade", "anna", "--key", str(place / "key")]) == 2
    error = capsys.readouterr().err
    assert says in error and "--no-box" in error and error.count("\n") == 1 and not Path("grades.csv").exists()
    assert cli.main(["grade", "anna", "--key", str(place / "key"), "--no-box"]) == 0
    assert "6 of 6" in (out := capsys.readouterr().out) and "box: none" in out


# --- unearned points --------------------------------------------------------------------------------------------------------

OBSERVED = [("def half(x): raise NotImplementedError", ""),
            ("### BEGIN SOLUTION\ndef half(x): return x / 2\n### END SOLUTION", ""),
            ("def twice_half(x): return 2 * half(x)", "observe"),
            ("### BEGIN HIDDEN TESTS\nimport random\nn = random.random()\nassert abs(twice_half(n) - n) < 1e-6, 'not the half'\n### END HIDDEN TESTS", "grade:half:2")]
HOOKS = ["ip = get_ipython()\ndef put(*args): ip.user_ns['twice_half'] = lambda x: x\nip.events.register('pre_run_cell', put)\nip.events.register('post_run_cell', put)",
         "ip = get_ipython()\nplain = type(ip).run_cell\ndef bent(self, source, *a, **k):\n    self.user_ns['twice_half'] = lambda x: x\n    return plain(self, 'pass', *a, **k)\ntype(ip).run_cell = bent",
         "def twice_half(x): return x",
         "import builtins\nbuiltins.exec = lambda *a: a[1].update(twice_half=lambda x: x)\nbuiltins.compile = lambda *a, **k: None",
         "from transfer_course.programs import sandbox\nsandbox.handle = lambda order, shell: {'value': 1, 'call': True}"]


@pytest.mark.parametrize("hook", HOOKS)
def test_an_undefined_function_gets_no_points_through_an_observer(tmp_path, hook):
    (tmp_path / "key").mkdir()
    nbformat.write(notebook(OBSERVED), tmp_path / "key" / "01-half.ipynb")
    key = homework.run_key(homework.read_key(tmp_path / "key" / "01-half.ipynb"))
    def points(*cells): return homework.grade_one(hand_in(tmp_path / "anna", "01-half.ipynb", cells) / "01-half.ipynb", key, bwrap=BWRAP)[0]["half"]
    assert points("def half(x): return x / 2")[0] == 2
    got, _, text = points(hook)
    assert got == 0 and "half is not defined" in text


def test_weak_hidden_tests_are_named(tmp_path):
    """As homework 01's for `kinds` was: all() of an empty dict."""
    key = [("def kinds(s): ...", ""), ("### BEGIN SOLUTION\ndef kinds(s): return {k: 'low' for k in s}\n### END SOLUTION", ""),
           ("### BEGIN HIDDEN TESTS\nimport random\ns = {f'n{random.random()}': 1}\nassert all(k in s and v == 'low' for k, v in kinds(s).items()), 'wrong'\n### END HIDDEN TESTS", "grade:kinds:2")]
    nbformat.write(notebook(key), tmp_path / "01-weak.ipynb")
    weak = list(homework.weak_tests(homework.run_key(homework.read_key(tmp_path / "01-weak.ipynb"))))
    assert weak == ["01-weak: a hidden test of kinds is passed by an empty answer"]


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


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1+1", "\n=1+1", " =1+1", "\r@A1", "＝1+1"])
def test_a_spreadsheet_sees_no_formula(tmp_path, text):
    homework.write_table([{"submission": text, "points": 3}], tmp_path / "a.csv")
    assert "'" + text.strip() in (tmp_path / "a.csv").read_text(encoding="utf-8").splitlines()[1]


# --- the command --------------------------------------------------------------------------------------------------------

def hand_in(folder, name="01-small.ipynb", cells=(DOUBLE, LARGEST)):
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook([(s, "") for s in cells]), folder / name)
    return folder


def test_grade_from_the_command_line(place, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRANSFER_COURSE_HOME", str(tmp_path / "own"))
    anna = hand_in(tmp_path / "Änna =1", "01-small (1).ipynb")
    assert cli.main(["grade", str(anna), "--key", str(place / "key"), "--csv", "week.csv", *NO_BOX]) == 0
    out = capsys.readouterr().out
    assert "6 of 6" in out and "Rows written to week.csv: 1" in out
    assert "Änna =1,01-small,6,6" in (tmp_path / "week.csv").read_text(encoding="utf-8")
    assert os.environ["TRANSFER_COURSE_HOME"] == str(tmp_path / "own") and not (tmp_path / "own").exists()
    assert cli.main(["grade", str(anna), "--key", str(place / "key"), "--csv", "week.csv", *NO_BOX]) == 2
    assert "exists" in capsys.readouterr().err


@pytest.mark.parametrize("args, says", [(["nowhere"], "is not there"), (["file"], "is a file"), (["empty"], "holds no notebook named 01-small.ipynb"),
                                        (["anna", "--key", "empty"], "has none"), (["anna", "--csv", "nowhere/a.csv"], "folder that exists"), (["anna", "--csv", "file"], "exists")])
def test_wrong_arguments(place, tmp_path, monkeypatch, capsys, args, says):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    Path("empty").mkdir()
    hand_in(Path("anna"))
    key = [] if "--key" in args else ["--key", str(place / "key")]
    assert cli.main(["grade", *args, *key, *NO_BOX]) == 2
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
    assert cli.main(["grade", "anna", "--key", "key", *NO_BOX]) == 2
    assert "the instructor's version 01-small fails on this machine, in code cell 8 (AssertionError: broken)" in capsys.readouterr().err


def found(folder, *others): return homework.handed_in(folder, "01-small", ["double", "largest"], ["01-small", *others])


@pytest.mark.parametrize("name", ["01-Small.ipynb", "01 small.ipynb", "homework1.ipynb", "submission/01-small.ipynb", "a/b/Untitled.ipynb", "01-small (1).ipynb", "01-small.ipynb.txt", "０１-small.ipynb"])
def test_what_was_handed_in_under_another_name_is_taken_and_named(tmp_path, name):
    hand_in((tmp_path / name).parent, Path(name).name)
    path, remarks = found(tmp_path)
    assert path == tmp_path / name and remarks == [f"found {name}, expected 01-small.ipynb"]


def test_of_several_candidates_none_is_taken(tmp_path):
    for n in ("01-small (1).ipynb", "01-small-new.ipynb"): hand_in(tmp_path, n, [DOUBLE, f"# {n}"])
    path, remarks = found(tmp_path)
    assert path is None and remarks == ["2 notebooks could be 01-small.ipynb, and none was taken: 01-small (1).ipynb, 01-small-new.ipynb"]
    hand_in(tmp_path)
    assert found(tmp_path) == (tmp_path / "01-small.ipynb", ["also there, not taken: 01-small (1).ipynb, 01-small-new.ipynb"])


def test_a_copy_beside_it_is_no_second_candidate(tmp_path):
    for n in ("01-small (1).ipynb", "01-small (2).ipynb"): hand_in(tmp_path, n)
    assert found(tmp_path)[0] is not None


def test_another_homework_is_not_taken_for_this_one(tmp_path):
    hand_in(tmp_path, "02-other.ipynb")
    (tmp_path / "01-small.py").write_text(DOUBLE)
    assert found(tmp_path, "02-other") == (None, ["no notebook; there is 01-small.py, 02-other.ipynb"])
    hand_in(tmp_path, "notes.ipynb", ["x = 1"])
    assert found(tmp_path, "02-other")[0] is None


def test_a_class_in_which_all_names_are_wrong_is_graded(place, tmp_path):
    for who in ("anna", "ben"): hand_in(tmp_path / "class" / who / "submission", f"Homework of {who}.ipynb")
    rows = homework.grade_all([tmp_path / "class"], tmp_path / "a.csv", place / "key", show=lambda line: None, no_box=BWRAP is None)
    assert [r["points"] for r in rows] == [6, 6] and all("expected 01-small.ipynb" in r["remarks"] for r in rows)


def test_folders_of_one_name_are_numbered(place, tmp_path):
    for group in ("a", "b"): hand_in(tmp_path / group / "anna", cells=[DOUBLE, LARGEST, f"# {group}"])
    rows = homework.grade_all([tmp_path / "a", tmp_path / "b"], tmp_path / "a.csv", place / "key", show=lambda line: None, no_box=BWRAP is None)
    assert [r["submission"] for r in rows] == ["anna", "anna (2)"] and "another folder of this name" in rows[1]["remarks"]


def test_a_notebook_of_format_3(place, tmp_path):
    book = {"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": [{"cells": [{"cell_type": "code", "language": "python", "input": s} for s in (DOUBLE, LARGEST)]}]}
    (tmp_path / "01-small.ipynb").write_text(json.dumps(book))
    key = homework.run_key(homework.read_key(place / "key" / "01-small.ipynb"))
    assert [t[0] for t in homework.grade_one(tmp_path / "01-small.ipynb", key, bwrap=BWRAP)[0].values()] == [3, 3]


@pytest.mark.parametrize("why", ["MemoryError: Unable to allocate 9 GiB", "ImportError: libtorch_cpu.so: failed to map segment from shared object", "OSError: Cannot allocate memory"])
def test_the_limit_of_memory_is_named(place, why):
    key = homework.read_key(place / "key" / "01-small.ipynb")
    work = homework.Work({}, key, None, memory=3.)
    class Box:
        notes, missing = [], []
        def ask(self, seconds, **order): return {"error": why}
    work.box = Box()
    assert work.ask(run="import torch")["error"] == f"{why} (the limit is 3 GB: see --memory)"


def test_a_surprise_in_one_submission_is_its_own_row(place, tmp_path, monkeypatch):
    def surprise(path, key, **how):
        if path.parent.name == "anna": raise RuntimeError("\ud800 surprise")
        return homework.none_of(key, "x"), []
    monkeypatch.setattr(homework, "grade_one", surprise)
    for who in ("anna", "ben"): hand_in(tmp_path / "class" / who)
    rows = homework.grade_all([tmp_path / "class"], tmp_path / "a.csv", place / "key", show=lambda line: None, no_box=BWRAP is None)
    assert [r["submission"] for r in rows] == ["anna", "ben"] and r"RuntimeError: \ud800 surprise" in rows[0]["remarks"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_what_lies_beside_the_notebook_is_copied_if_it_is_plain(tmp_path, place):
    anna = hand_in(tmp_path / "anna")
    os.mkfifo(anna / "pipe")
    (anna / "link").symlink_to(place / "key")
    (anna / "mine.txt").write_text("mine")
    with sandbox.new_sandbox_folder(anna) as folder: assert sorted(os.listdir(folder / "work")) == ["01-small.ipynb", "mine.txt"]
    key = homework.run_key(homework.read_key(place / "key" / "01-small.ipynb"))
    assert [t[0] for t in homework.grade_one(anna / "01-small.ipynb", key, bwrap=BWRAP)[0].values()] == [3, 3]


def test_too_much_beside_the_notebook_is_told(tmp_path, place):
    anna = hand_in(tmp_path / "anna")
    with open(anna / "large", "wb") as f: f.truncate(10**9)
    key = homework.run_key(homework.read_key(place / "key" / "01-small.ipynb"))
    table, remarks = homework.grade_one(anna / "01-small.ipynb", key, bwrap=BWRAP)
    assert not sum(t[0] for t in table.values()) and "more than 500 MB" in remarks[0]


def test_outputs_of_a_submission_are_not_believed(tmp_path, place):
    anna, key = hand_in(tmp_path / "anna", cells=["def double(x): return 0"]), homework.run_key(homework.read_key(place / "key" / "01-small.ipynb"))
    book = json.loads((anna / "01-small.ipynb").read_text())
    book["metadata"]["grade"] = book["cells"][0]["metadata"]["points"] = 6
    (anna / "01-small.ipynb").write_text(json.dumps(book))
    assert [t[0] for t in homework.grade_one(anna / "01-small.ipynb", key, bwrap=BWRAP)[0].values()] == [0, 0]

"""The command transfer-course: exit statuses, sentences for wrong arguments, and that nothing heavy is imported early."""
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from transfer_course import course
from transfer_course.programs import cli


def asset(name="net", kind="embedded", present=True, ok=True): return dict(name=name, kind=kind, bytes=9, present=present, ok=ok)


def with_assets(monkeypatch, *assets, bring=lambda name: None):
    monkeypatch.setattr(cli, "all_assets", lambda: {a["name"]: (a, bring) for a in assets})


def python(*args, cwd=None): return subprocess.run([sys.executable, *args], capture_output=True, text=True, timeout=300, cwd=cwd)


# --- what is imported early ---------------------------------------------------------------------------------------------

HEAVY = "print(sorted({'torch', 'pandas', 'numpy', 'matplotlib', 'requests'} & set(sys.modules)))"


@pytest.mark.parametrize("code", ["import transfer_course; transfer_course.__version__", "import transfer_course.programs.cli",
                                  "from transfer_course.programs.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass",
                                  "from transfer_course.programs.cli import main; assert main(['lessons', 'mine']) == 0"])
def test_nothing_heavy_is_imported(code, tmp_path):
    done = python("-c", f"import sys\n{code}\n{HEAVY}", cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr


def test_help_names_the_commands():
    done = python("-m", "transfer_course.programs.cli", "--help")
    assert done.returncode == 0 and all(w in done.stdout for w in ("doctor", "fetch", "lessons"))


@pytest.mark.parametrize("args", [[], ["doctr"], ["lessons"], ["fetch", "--most"]])
def test_usage_errors(args):
    with pytest.raises(SystemExit) as stopped: cli.main(args)
    assert stopped.value.code == 2


# --- lessons ------------------------------------------------------------------------------------------------------------

def links(path):
    """The files that a notebook's text points at, as paths."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    prose = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if not re.match(r"[a-z]+:|#|attachment:", target): yield (path.parent / target.partition("#")[0]).resolve()


def test_lessons_are_copied_and_never_overwritten(tmp_path, capsys):
    mine = tmp_path / "a" / "mine"
    assert cli.main(["lessons", str(mine)]) == 0
    assert "Files copied" in capsys.readouterr().out
    names = [p.relative_to(mine).as_posix() for p in course.notebooks(mine)]
    assert {"index.ipynb", "01-learning_curves.ipynb", "workbench/02-course.ipynb", "programs/00-cli.ipynb"} <= set(names)
    (mine / "02-gabor.ipynb").write_text("my own work")
    (mine / "index.ipynb").unlink()
    assert cli.main(["lessons", str(mine)]) == 0
    out = capsys.readouterr().out
    assert "mine: 1\n" in out and "Kept as they were" in out and "02-gabor.ipynb" in out
    assert (mine / "02-gabor.ipynb").read_text() == "my own work"
    assert not list(mine.rglob("*.part"))


def test_a_student_sees_the_map_and_the_lessons_and_no_solution(tmp_path):
    cli.copy_lessons(tmp_path)
    top = {p.name for p in tmp_path.iterdir() if p.is_file()}
    assert top == {p.name for p in course.notebooks(parts=("",))} and {p for p in top if not p[:2].isdigit()} == {"index.ipynb", "instructors.ipynb"}
    assert {p.name for p in tmp_path.iterdir() if p.is_dir()} == {"workbench", "checks", "programs", "results", "images"}
    assert not [p for p in tmp_path.rglob("*.ipynb") if "BEGIN SOLUTION" in p.read_text(encoding="utf-8") and p.parent.name != "programs"]


def test_links_lead_somewhere_also_in_the_copy(tmp_path):
    cli.copy_lessons(tmp_path)
    found = [(p, to) for folder in (tmp_path, course.lessons_folder()) for p in course.notebooks(folder) for to in links(p)]
    assert len(found) > 30
    lost = [f"{p.name}: {to.name}" for p, to in found if not to.exists()]
    assert not lost


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("name", ["cli", "homework"])
def test_the_old_address_works_and_warns(name):
    done = python("-c", f"from transfer_course import {name} as old; import transfer_course.programs.{name} as new; assert old is new and old.Mistake")
    assert done.returncode == 0 and f"transfer_course.{name} is called transfer_course.programs.{name} now" in done.stderr


def test_a_dangling_link_is_kept_too(tmp_path):
    (tmp_path / "02-gabor.ipynb").symlink_to(tmp_path / "elsewhere")
    _, kept = cli.copy_lessons(tmp_path)
    assert kept == ["02-gabor.ipynb"] and not (tmp_path / "elsewhere").exists()


def test_an_interrupted_copy_leaves_nothing_half_written(tmp_path, monkeypatch):
    def broken(source, target):
        Path(target).write_text("half")
        raise OSError(28, "No space left on device")
    monkeypatch.setattr(shutil, "copyfile", broken)
    with pytest.raises(course.UsageError, match="No space left"): cli.copy_lessons(tmp_path / "mine")
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


@pytest.mark.parametrize("folder, says", [("file", "must be a folder"), ("file/below", "must be a folder"),
                                          ("/proc/nowhere/lessons", "cannot be written")])
def test_wrong_folder(tmp_path, monkeypatch, capsys, folder, says):
    if folder.startswith("/proc") and not Path("/proc/self").exists(): pytest.skip("this system has no /proc")
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("mine")
    assert cli.main(["lessons", folder]) == 2
    error = capsys.readouterr().err
    assert error.startswith("transfer-course lessons: FOLDER") and says in error and error.count("\n") == 1
    assert Path("file").read_text() == "mine"


# --- fetch --------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("args, says", [(["cifar"], "did you mean cifar10?"), (["zzzz"], "known are cifar10, svhn"),
                                        (["svhn", "cifar"], "got cifar"), ([], "NAME is missing")])
def test_fetch_wrong_names(monkeypatch, capsys, args, says):
    tried = []
    with_assets(monkeypatch, *(asset(n, "fetched", False, False) for n in ("cifar10", "svhn")), bring=tried.append)
    assert cli.main(["fetch", *args]) == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1 and not tried  # all names are checked before the first is fetched


def test_fetch_goes_on_after_a_failure(monkeypatch, capsys):
    tried = []
    def bring(name):
        tried.append(name)
        if name == "a": raise OSError("the server does not answer")
    with_assets(monkeypatch, *(asset(n, "fetched", False, False) for n in "ab"), asset("c", "fetched"), asset("d"), bring=bring)
    assert cli.main(["fetch", "--all"]) == 1
    out = capsys.readouterr()
    assert tried == ["a", "b"] and "a: the server does not answer" in out.err
    assert "b: fetched" in out.out and "c: here already" in out.out


def test_fetch_interrupted(monkeypatch, capsys):
    def bring(name): raise KeyboardInterrupt
    with_assets(monkeypatch, asset("a", "fetched", False, False), bring=bring)
    assert cli.main(["fetch", "a"]) == 130 and "call again" in capsys.readouterr().err


# --- doctor -------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("a, status", [(asset(), 0), (asset(ok=False), 1), (asset(present=False, ok=False), 1),
                                       (asset(kind="fetched", present=False, ok=False), 0), (asset(kind="fetched", ok=False), 1)])
def test_doctor_status(monkeypatch, capsys, a, status):
    with_assets(monkeypatch, a)
    monkeypatch.setattr(cli, "package_rows", lambda: [])
    assert cli.main(["doctor"]) == status
    out = capsys.readouterr().out
    assert ("can run here" in out) == (status == 0) and (" NO " in out) == (status == 1)


def test_doctor_says_when_python_or_a_package_is_too_old(monkeypatch):
    monkeypatch.setattr(cli.platform, "python_version", lambda: "3.9.1")
    assert cli.python_row()[1] == "NO"
    monkeypatch.setattr("importlib.metadata.version", lambda name: "0.0.1")
    rows = cli.package_rows()
    assert rows[0][2].startswith("0 of") and any("torch is 0.0.1, which does not fit: pip install" in text for _, _, text in rows)


def test_doctor_holds_versions_against_constraints(tmp_path):
    file = tmp_path / "constraints.txt"
    file.write_text("# made by hand\nHugging_Face==1.0\ntorch==2.15.0\n")
    assert cli.pinned_versions(file) == {"hugging-face": "1.0", "torch": "2.15.0"}
    assert cli.pinned_versions(tmp_path / "none") == {}
    ours = cli.pinned_versions(Path(__file__).parents[2] / "constraints.txt")
    assert {"torch", "torchvision", "timm", "nbval", "jupyterlab"} <= set(ours)
    assert not [n for n in ours if n.startswith(("nvidia", "triton", "cuda"))]


@pytest.mark.filterwarnings("ignore")
def test_doctor_on_this_machine(capsys):
    """With the true assets: everything that pip brought is there and right."""
    cli.main(["doctor"])
    rows = [line.split(None, 2) for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert {"python", "packages", "device", "memory", "embedded", "fetched", "lesson"} <= {r[0] for r in rows}
    assert not [r for r in rows if r[0] in ("embedded", "lesson", "data") and r[1] == "NO"]


# --- a class on one server --------------------------------------------------------------------------------------------------

def test_a_class_that_fits(monkeypatch):
    monkeypatch.delenv("TRANSFER_COURSE_SHARED", raising=False)
    rows = cli.class_rows(10, memory=16, cores=4)
    assert [r[1] for r in rows] == ["ok", "ok", "--"] and "12 GB" in rows[0][2] and "TRANSFER_COURSE_SHARED" in rows[2][2]


def test_a_class_that_is_too_large():
    rows = cli.class_rows(30, memory=8, cores=2)
    assert [r[1] for r in rows[:2]] == ["NO", "--"] and "let 6 work at once" in rows[0][2] and "15 times" in rows[1][2]


@pytest.mark.parametrize("n", ["0", "-1", "two", "1.5", ""])
def test_a_class_is_counted(n, capsys):
    with pytest.raises(SystemExit): cli.main(["doctor", f"--class={n}"])
    assert "whole number" in capsys.readouterr().err

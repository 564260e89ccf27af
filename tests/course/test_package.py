"""The package as a student gets it: what is in the wheel and in the sdist, and the command, run from the installed wheel."""
import shutil
import subprocess
import sys
import tarfile
import zipfile
from configparser import ConfigParser
from email.parser import HeaderParser
from importlib.metadata import distributions
from pathlib import Path

import nbformat
import pytest
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[2]
PARTS = ["nbs", "transfer_course", "settings.ini", "setup.py", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in", "constraints.txt"]


def settings():
    ini = ConfigParser(delimiters=["="])
    ini.read(ROOT / "settings.ini", encoding="utf-8")
    return ini["DEFAULT"]


def run(*args, **kwargs):
    done = subprocess.run([sys.executable, *map(str, args)], capture_output=True, text=True, timeout=300, **kwargs)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A copy of the project with dist/: the sdist, and the wheel made from that sdist."""
    source = tmp_path_factory.mktemp("source")
    skip = shutil.ignore_patterns("__pycache__", ".*", "*.part")
    for name in PARTS:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name, **({"ignore": skip} if copy is shutil.copytree else {}))
    run("-m", "build", "--no-isolation", "--outdir", source / "dist", source)
    return source


@pytest.fixture(scope="module")
def wheel(built): return next(built.glob("dist/*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    target = tmp_path_factory.mktemp("installed")
    run("-m", "pip", "install", "--no-deps", "--no-index", "--target", target, wheel)
    return target


def expected_files(source):
    """Whatever lies in the package's folder, and the notebooks with what they read."""
    here = source / "transfer_course"
    yield from (f"transfer_course/{p.relative_to(here).as_posix()}" for p in here.rglob("*") if p.is_file())
    nbs = source / "nbs"
    yield from (f"transfer_course/lessons/{p.relative_to(nbs).as_posix()}" for p in [*nbs.rglob("*.ipynb"), *nbs.glob("results/*.json"), *nbs.glob("images/*")])


def test_wheel_holds_all_and_nothing_else(built, wheel):
    names = {n for n in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in n}
    assert names == set(expected_files(built))


def test_the_wheel_is_small(wheel):
    """Pictures of lessons are left out, and nothing else."""
    assert wheel.stat().st_size < 10e6, f"{wheel.stat().st_size / 1e6:.1f} MB"
    mine = nbformat.reads(zipfile.ZipFile(wheel).read("transfer_course/lessons/02-gabor.ipynb").decode(), 4)
    whole = nbformat.read(ROOT / "nbs" / "02-gabor.ipynb", 4)
    def plain(book): return [(c.source, [o.get("text") or o.get("data", {}).get("text/plain") for o in c.get("outputs", [])]) for c in book.cells]
    def pictures(book): return sum("image/png" in o.get("data", {}) for c in book.cells for o in c.get("outputs", []))
    assert plain(mine) == plain(whole) and not pictures(mine) and pictures(whole)


def test_stored_results_from_the_installed_package(installed, tmp_path):
    code = "from transfer_course.course import result; print(len(result('features')['rows']))"
    assert int(run("-c", code, cwd=tmp_path, env={"PYTHONPATH": str(installed), "HOME": str(tmp_path)}).stdout) > 10


def test_metadata_is_that_of_settings_ini(wheel):
    book, cfg = zipfile.ZipFile(wheel), settings()
    dist = f"{cfg['lib_name']}-{cfg['version']}.dist-info"
    meta = HeaderParser().parsestr(book.read(f"{dist}/METADATA").decode())
    assert (meta["Name"], meta["Version"], meta["Summary"]) == (cfg["lib_name"], cfg["version"], cfg["description"])
    assert meta["Requires-Python"] == f">={cfg['min_python']}"
    assert cfg["license"] in (meta["License-Expression"], meta["License"])
    needs = meta.get_all("Requires-Dist")
    assert {n for n in needs if "extra ==" not in n} == set(cfg["requirements"].split())
    extras = {n.split(";")[0].strip() for n in needs if "extra ==" in n}
    assert extras == {n.split(";")[0] for part in cfg if part.endswith("_requirements") for n in cfg[part].split()}
    assert "transfer-course = transfer_course.programs.cli:main" in book.read(f"{dist}/entry_points.txt").decode()


def test_the_wheel_holds_no_solutions(wheel):
    """A student's installation has the homework as `stripped` makes it."""
    from transfer_course.programs import keys
    book = zipfile.ZipFile(wheel)
    names = [n for n in book.namelist() if "lessons/homework/" in n]
    assert len(names) == len(list((ROOT / "nbs" / "homework").glob("*.ipynb")))
    for n in names:
        mine = nbformat.reads(book.read(n).decode(), 4)
        whole = keys.read_book(ROOT / "nbs" / "homework" / Path(n).name)
        assert mine == keys.stripped(whole) and len(mine.cells) < len(whole.cells)
        assert "BEGIN SOLUTION" not in book.read(n).decode() and "HIDDEN TESTS" not in book.read(n).decode()


def test_homework_from_the_installed_package(installed, tmp_path):
    """Students get their copies; who wants to grade is told to name the instructor's versions."""
    env = {"PYTHONPATH": str(installed), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = run("-m", "transfer_course.programs.cli", "homework", "mine", cwd=tmp_path, env=env)
    names = sorted(p.name for p in (ROOT / "nbs" / "homework").glob("*.ipynb"))
    assert "Homework copied to mine: " in done.stdout and sorted(p.name for p in (tmp_path / "mine").iterdir()) == names
    command = [sys.executable, "-m", "transfer_course.programs.cli", "grade", "mine", "--no-box"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path, env=env)
    assert done.returncode == 2 and "without solutions" in done.stderr and "--key" in done.stderr and done.stderr.count("\n") == 1


def test_sdist_can_be_built_from(built):
    names = {n.partition("/")[2] for n in tarfile.open(next(built.glob("dist/*.tar.gz"))).getnames()}
    assert {"settings.ini", "setup.py", "pyproject.toml", "README.md", "LICENSE", "nbs/programs/00-cli.ipynb"} <= names


def test_lessons_from_the_installed_package(built, installed, tmp_path):
    code = "import sys; from transfer_course.programs import cli; print(cli.__file__); sys.exit(cli.main(sys.argv[1:]))"
    done = run("-c", code, "lessons", "mine", cwd=tmp_path, env={"PYTHONPATH": str(installed)})
    assert str(installed) in done.stdout
    names = {p.relative_to(tmp_path / "mine").as_posix() for p in (tmp_path / "mine").rglob("*") if p.is_file()}
    assert names == {n.partition("lessons/")[2] for n in expected_files(built) if "lessons/" in n and "homework/" not in n}
    assert run("-m", "transfer_course.programs.cli", "lessons", "mine", cwd=tmp_path, env={"PYTHONPATH": str(installed)}).stdout.startswith("Files copied to mine: 0\nKept")


def test_doctor_from_the_installed_package(installed, tmp_path):
    """No constraints.txt there: versions are held against the metadata. Weights and data must be found all the same."""
    env = {"PYTHONPATH": str(installed), "TRANSFER_COURSE_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path)}
    done = run("-m", "transfer_course.programs.cli", "doctor", cwd=tmp_path, env=env)
    assert "as required" in done.stdout and "The course can run here." in done.stdout


def test_constraints_run_on_the_oldest_python():
    """A version that needs 3.11.5 stops `make lab` on a system whose Python is 3.11.2, as Debian 12's."""
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    needs = {d.metadata["Name"]: d.metadata["Requires-Python"] for d in distributions() if d.version == pins.get(d.metadata["Name"])}
    oldest = settings()["min_python"] + ".0"
    assert len(needs) > 50
    assert not [name for name, need in needs.items() if need and not SpecifierSet(need).contains(oldest)]

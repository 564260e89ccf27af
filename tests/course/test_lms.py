"""Homework and a learning platform: ids in the table, a page for each student, late hand-ins, and grading again without asking."""
import csv
import json
import os
from datetime import datetime
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from transfer_course.course import UsageError
from transfer_course.programs import cli, homework, lms

MOODLE = "Anna Abel_4711_assignsubmission_file_"
KEY = [("### BEGIN SOLUTION\ndef double(x): return 2 * x\n### END SOLUTION", ""), ("assert double(3) == 6, 'double(3) must be 6'", "grade:double:2")]
RIGHT, WRONG = "def double(x): return x + x", "def double(x): return 7"


def notebook(cells): return new_notebook(cells=[new_code_cell(s, metadata={"tags": [t] if t else []}) for s, t in cells])


def hand_in(folder, source, when=None):
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook([(source, "")]), folder / "01-small.ipynb")
    if when: os.utime(folder / "01-small.ipynb", (datetime.fromisoformat(when).timestamp(),) * 2)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A class of two, as Moodle gives it and as it comes by mail."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "key").mkdir()
    nbformat.write(notebook(KEY), tmp_path / "key" / "01-small.ipynb")
    hand_in(tmp_path / "class" / MOODLE, RIGHT, "2026-11-20T12:00")
    hand_in(tmp_path / "class" / "ben", WRONG, "2026-11-21T01:29")
    (tmp_path / "ids.csv").write_text("\ufeffid,submission,name\nm17,ben,Ben Beer\n", encoding="utf-8")
    return tmp_path


@pytest.fixture
def graded_at_once(monkeypatch):
    """Without a sandbox: what is tried here happens before and after it."""
    def grade_one(path, key, **how):
        good = RIGHT in path.read_text(encoding="utf-8")
        return {"double": [2 if good else 0, 2, "passed" if good else "double(3) must be 6"]}, []
    monkeypatch.setattr(homework, "grade_one", grade_one)


def table(path="week.csv"):
    with open(path, newline="", encoding="utf-8") as f: return {r["submission"]: r for r in csv.DictReader(f)}


WAY = ["grade", "class", "--key", "key", "--csv", "week.csv", "--no-box"]
FULL = [*WAY, "--ids", "ids.csv", "--due", "2026-11-20T23:59", "--feedback", "back"]


def test_ids_lateness_and_a_page_for_each(place, graded_at_once, capsys):
    assert cli.main(FULL) == 0
    rows = table()
    assert {n: (r["points"], r["id"], r["hours_late"]) for n, r in rows.items()} == {MOODLE: ("2", "4711", "0.0"), "ben": ("0", "m17", "1.5")}
    pages = {p.relative_to("back").as_posix(): p.read_text(encoding="utf-8") for p in Path("back").rglob("*.md")}
    assert set(pages) == {f"{MOODLE}/01-small.md", "ben/01-small.md"}
    assert "0 of 2 points" in pages["ben/01-small.md"] and "double(3) must be 6" in pages["ben/01-small.md"] and "1.5 h late" in pages["ben/01-small.md"]
    assert "late" not in pages[f"{MOODLE}/01-small.md"]


def test_lateness_is_told_without_ids(place, graded_at_once):
    """No list of ids, and no folder of Moodle's; a day without a time counts until its end."""
    (place / "class" / MOODLE).rename(place / "class" / "anna")
    assert cli.main([*WAY, "--due", "2026-11-20"]) == 0
    assert {n: (r["id"], r["hours_late"]) for n, r in table().items()} == {"anna": ("", "0.0"), "ben": ("", "1.5")}


def test_two_of_one_name_get_a_page_each(place, graded_at_once):
    hand_in(place / "other" / "ben", RIGHT)
    assert cli.main([FULL[0], "other", *FULL[1:]]) == 0
    pages = {p.parent.name: p.read_text(encoding="utf-8") for p in Path("back").rglob("*.md")}
    assert "2 of 2" in pages["ben"] and "0 of 2" in pages["ben (2)"] and set(pages) == {MOODLE, "ben", "ben (2)"}


def test_remarks_stay_with_the_teacher(place, graded_at_once):
    hand_in(place / "class" / "eva", WRONG)
    assert cli.main(FULL) == 0
    assert "the same cells as ben" in table()["eva"]["remarks"]
    assert "ben" not in Path("back/eva/01-small.md").read_text(encoding="utf-8")


def test_without_options_the_table_is_as_it_was(place, graded_at_once):
    assert cli.main(WAY) == 0
    assert list(table()["ben"])[:7] == ["submission", "homework", "points", "out_of", "seconds", "remarks", "box"] and not Path("back").exists()


def test_graded_again_without_asking(place, graded_at_once, capsys, monkeypatch):
    """Somebody hands in late, somebody else a better version: one word, and from another folder."""
    assert cli.main(FULL) == 0
    hand_in(place / "class" / "ben", RIGHT, "2026-11-22T23:59")
    hand_in(place / "class" / "eva", RIGHT)
    (place / "elsewhere").mkdir()
    monkeypatch.chdir(place / "elsewhere")
    assert cli.main(["regrade", str(place / "week.csv")]) == 0
    assert "week.1.csv" in capsys.readouterr().out
    new, old = table(place / "week.csv"), table(place / "week.1.csv")
    assert {n: r["points"] for n, r in new.items()} == {MOODLE: "2", "ben": "2", "eva": "2"} and new["ben"]["hours_late"] == "48.0"
    assert {n: r["points"] for n, r in old.items()} == {MOODLE: "2", "ben": "0"}
    assert "2 of 2" in (place / "back" / "ben" / "01-small.md").read_text(encoding="utf-8")
    assert cli.main(["regrade", str(place / "week.csv")]) == 0 and (place / "week.2.csv").exists()


def test_a_mended_key_counts(place, graded_at_once, monkeypatch):
    assert cli.main(WAY) == 0
    monkeypatch.setattr(homework, "grade_one", lambda path, key, **how: ({"double": [5, 5, "passed"]}, []))
    assert cli.main(["regrade", "week.csv"]) == 0 and {r["points"] for r in table().values()} == {"5"}


def test_through_the_sandbox(place):
    """Once with the real thing."""
    assert cli.main(FULL) == 0
    first = table()
    assert cli.main(["regrade", "week.csv"]) == 0
    def points(rows): return {n: (r["points"], r["01 double message"], r["id"]) for n, r in rows.items()}
    assert points(table()) == points(first) == {MOODLE: ("2", "passed", "4711"), "ben": ("0", "double(3) must be 6", "m17")}


@pytest.mark.parametrize("args, says", [(["--ids", "nowhere.csv"], "ids nowhere.csv can't be read"), (["--ids", "bad.csv"], "has no column 'submission'"),
                                        (["--due", "Friday"], "such as 2026-11-20T23:59, got Friday")])
def test_a_wrong_option_grades_nobody(place, graded_at_once, capsys, args, says):
    Path("bad.csv").write_text("who,id\nben,1\n")
    assert cli.main([*WAY, *args]) == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1 and not Path("week.csv").exists()


def test_again_needs_a_first_time(place, graded_at_once, capsys):
    Path("week.csv").write_text("submission\n")
    assert cli.main(["regrade", "week.csv"]) == 2
    assert "grade once more with grade" in capsys.readouterr().err and Path("week.csv").read_text() == "submission\n"


def test_the_old_table_stays_where_it_is_if_the_class_is_gone(place, graded_at_once):
    assert cli.main(WAY) == 0
    (place / "class").rename(place / "moved")
    with pytest.raises(UsageError, match="is not there"): lms.grade_again("week.csv")
    assert Path("week.csv").exists() and json.loads(Path("week.csv.json").read_text())["folders"] == [str(place / "class")]

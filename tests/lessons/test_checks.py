"""Every exercise: the reference solution passes, and wrong ones that are popular fail with a message of their own."""
import json
import random
import runpy
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from transfer_course import checks


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch): monkeypatch.setenv("TRANSFER_COURSE_HOME", str(tmp_path))


SLOW = 1  # second
LOOKED_UP = ("06-1",)  # answers that are numbers: the reference is computed from the stored results


def tables():
    """The reference solutions and the wrong ones of all lessons, from exercises_NN.py."""
    right, wrong = {}, []
    for path in sorted(Path(__file__).parent.glob("exercises_*.py")):
        found = runpy.run_path(str(path))
        right |= found["RIGHT"]
        wrong += found["WRONG"]
    return right, wrong


RIGHT, WRONG = tables()


def reports(name, answer):
    """Three reports on an answer, each with: was it slow? A check that trains takes seconds, and every run of the tests draws anew."""
    for _ in range(3):
        start = time.monotonic()
        yield checks.check(name, answer), time.monotonic() - start > SLOW


@pytest.mark.parametrize("name", RIGHT)
def test_the_reference_solution_passes(name):
    answer = RIGHT[name]() if name in LOOKED_UP else RIGHT[name]
    for report, slow in reports(name, answer):
        assert report, report
        if slow or name in LOOKED_UP: break
    assert checks.solved()[name]


@pytest.mark.parametrize("name,answer,says", WRONG, ids=[f"{n}-{i}" for i, (n, _, _) in enumerate(WRONG)])
def test_a_popular_mistake_gets_its_own_message(name, answer, says):
    """Refused on every draw; told in its own words on one of three (on a single draw two mistakes may give the same number)."""
    said, told = [], False
    for report, slow in reports(name, answer):
        assert not report, report
        said.append(report.text)
        told = told or any(part in report.text for part in says.split("|"))
        if slow and told: break
    assert told, said
    assert not checks.solved()[name]


def test_every_exercise_has_a_solution_three_wrong_ones_and_hints():
    for name, (_, hints) in checks.exercises().items():
        assert name in RIGHT and sum(n == name for n, _, _ in WRONG) >= 3 and len(hints) >= 2, name


def test_hints_come_one_at_a_time_and_end():
    hints = checks.exercises()["02-3"][1]
    checks._shown.pop("02-3", None)
    assert [checks.hint("02-3") for _ in hints] == list(hints)
    assert "last" in checks.hint("02-3")


def test_a_check_imports_the_checks_of_its_lesson_alone():
    """In a fresh Python, step by step: what each call has added. Not even the summary of all exercises imports a lesson."""
    steps = ["from transfer_course import checks", "from transfer_course.checks import check; check('07-2', 0)", "checks.hint('01-3')", "checks.summary()"]
    show = "print(*sorted(m[16:] for m in sys.modules if m.startswith('transfer_course.') and m not in seen)); seen |= set(sys.modules)"
    code = "\n".join(["import sys", "seen = set()", *(f"{step}\n{show}" for step in steps)])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    added = [{m for m in line.split()} for line in done.stdout.splitlines()]
    own = [{m.removeprefix("checks.") for m in step if m.startswith("checks.")} for step in added]
    assert own == [set(), {"transductive"}, {"learning_curves"}, set(checks.LESSONS.values()) - {"transductive", "learning_curves"}]
    assert not set(checks.LESSONS.values()) & set.union(*added)


@pytest.mark.parametrize("number,name", checks.LESSONS.items())
def test_each_lesson_has_a_notebook_of_its_exercises(number, name):
    nbs = Path(__file__).parents[2] / "nbs"
    assert (nbs / "checks" / f"{number}-{name}.ipynb").exists() and (nbs / f"{number}-{name}.ipynb").exists()
    checks.load_lesson(number)
    own = [n for n, (check, _) in checks.EXERCISES.items() if check.__module__ == f"transfer_course.checks.{name}"]
    assert own and all(n.startswith(f"{number}-") for n in own)


def test_an_unknown_exercise_gets_a_suggestion():
    with pytest.raises(ValueError, match="did you mean '07-1'"): checks.check("7-1", None)


@pytest.mark.parametrize("text", ["5", "{}", "null", "[1, 2]", "[[", '{"03-2": 1}', ""])
def test_a_damaged_file_of_solved_exercises_is_no_error(text):
    checks.solved_file().write_text(text)
    assert not any(checks.solved().values()) and checks.check("03-2", RIGHT["03-2"])
    assert checks.solved()["03-2"]


def test_names_of_another_version_are_kept():
    checks.solved_file().write_text('["99-9"]')
    checks.check("03-2", RIGHT["03-2"])
    assert json.loads(checks.solved_file().read_text()) == ["03-2", "99-9"]


def test_the_summary_is_a_table_of_lessons_and_exercises():
    checks.check("03-2", RIGHT["03-2"])
    table = checks.summary()
    assert table.loc["03", "2"] == "solved" and table.loc["03", "1"] == "open" and set(table.index) == {n[:2] for n in checks.exercises()}


def test_many_at_once_lose_nothing():
    reports = [checks.Report(n, True, "") for n in checks.exercises()]
    with ThreadPoolExecutor(8) as pool: list(pool.map(checks.remember, reports * 3))
    assert all(checks.solved().values())


def test_a_check_leaves_the_readers_random_numbers_alone():
    """Some set the seed of torch; the notebook goes on as if no check had been called."""
    def drawn():
        return torch.randint(10**6, (1,)).item(), int(np.random.randint(10**6)), random.randrange(10**6)
    for name in ("02-3", "03-2", "04-2", "07-3", "08-1"):
        for start in (torch.manual_seed, np.random.seed, random.seed): start(5)
        wanted = drawn()
        for start in (torch.manual_seed, np.random.seed, random.seed): start(5)
        checks.check(name, RIGHT[name])
        assert drawn() == wanted, name


def test_a_check_draws_anew_unless_it_is_told_a_seed():
    def said(**how): return checks.check("18-2", lambda weights, least: weights, **how).text
    for start in (torch.manual_seed, np.random.seed, random.seed): start(5)
    assert len({said(seed=k) for k in range(20)}) > 3 and len({said(seed=3) for _ in range(5)}) == 1
    texts = set()
    for _ in range(30):
        for start in (torch.manual_seed, np.random.seed, random.seed): start(5)
        texts.add(said())
    assert len(texts) > 1


def test_a_pass_must_hold_on_three_draws(monkeypatch):
    """A mistake that shows on one draw of two is found on most calls, and a slow function is tried once."""
    seen = []
    def by_chance(answer):
        seen.append(answer())
        checks.need(random.random() < 0.5, "not on this draw")
        return "passed"
    monkeypatch.setitem(checks.EXERCISES, "02-1", (by_chance, ("a", "b")))
    passed = sum(bool(checks.check("02-1", lambda: 0, seed=10 * k)) for k in range(200))
    assert 5 < passed < 60, passed
    monkeypatch.setitem(checks.EXERCISES, "02-1", (lambda answer: str(answer()), ("a", "b")))
    seen.clear()
    assert checks.check("02-1", lambda: seen.append(1)) and len(seen) == 3
    clock = iter(range(0, 100, 2))
    monkeypatch.setattr(checks.time, "monotonic", lambda: next(clock))
    seen.clear()
    assert checks.check("02-1", lambda: seen.append(1)) and len(seen) == 1

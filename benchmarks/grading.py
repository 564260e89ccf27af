"""Grading ten copies of homework 01 against ten bare runs of it.

    python benchmarks/grading.py [--copies 10] [--rounds 1]

A bare run is what a student's own run takes: Python starts, and all cells of the solved notebook run, with the tests that a student sees. Its cache is
filled beforehand, as the grader's is. The grader's time has everything: the key's own run, the look for weak tests, the boxes, the hidden tests. Where
no box can be made (see nbs/programs/02-sandbox.ipynb), the note says so.
"""
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
from common import arguments, empty_home, report, row, seconds

from transfer_course.programs import homework, keys, sandbox

KEY = Path(__file__).parents[1] / "nbs" / "homework" / "01-scenarios.ipynb"


def solved():
    """The notebook of a student who solved everything."""
    book = keys.read_book(KEY)
    book.cells = [c for c in book.cells if not c.source.startswith("### BEGIN HIDDEN")]
    return book


def hand_in(folder, copies):
    """A class in which everybody hands in the same notebook, but for a comment."""
    for i in range(copies):
        book = solved()
        book.cells.append(nbformat.v4.new_code_cell(f"# {i}"))
        (folder / f"student{i}").mkdir(parents=True)
        nbformat.write(book, folder / f"student{i}" / KEY.name)


def bare(script):
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    if done.returncode: raise SystemExit(done.stderr)


def one_round(folder, copies, no_box):
    """-> seconds of the bare runs and of the grader."""
    shutil.rmtree(folder / "class", ignore_errors=True)
    (folder / "grades.csv").unlink(missing_ok=True)
    (folder / "key").mkdir(exist_ok=True)
    shutil.copy(KEY, folder / "key")
    hand_in(folder / "class", copies)
    script = folder / "bare.py"
    script.write_text("\n\n".join(c.source for c in solved().cells if c.cell_type == "code"))
    with empty_home():
        bare(script)
        alone = sum(seconds(lambda: bare(script)) for _ in range(copies))
    rows = []
    graded = seconds(lambda: rows.extend(homework.grade_all([folder / "class"], folder / "grades.csv", folder / "key", no_box=no_box, show=lambda line: None)))
    assert [r["points"] for r in rows] == [r["out_of"] for r in rows] and len(rows) == copies, rows
    return alone, graded


if __name__ == "__main__":
    args = arguments(__doc__, copies=10, rounds=1)
    bwrap, why = sandbox.find_bwrap()
    with tempfile.TemporaryDirectory() as folder: found = [one_round(Path(folder), args.copies, bwrap is None) for _ in range(args.rounds)]
    alone, graded = (statistics.median(s) for s in zip(*found))
    note = f"{graded:.0f} s against {alone:.0f} s, {'in boxes of bubblewrap' if bwrap else f'without a box: {why}'}"
    report([row(f"grading {args.copies} copies of homework 01: time", f"{args.copies} bare runs", [b / a for a, b in found], 1.5, "at most", note)], args.rows)

"""What the benchmarks share: threads (two, if OMP_NUM_THREADS says nothing else), seconds, rows, and the table."""
import argparse
import json
import os
import statistics
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import torch

THREADS = int(os.environ.get("OMP_NUM_THREADS", 2))
torch.set_num_threads(THREADS)


def arguments(doc, **numbers):
    """The script's arguments: its numbers, with defaults, and --rows FILE, to which the rows are added as JSON lines."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in numbers.items(): parser.add_argument(f"--{name}", type=type(value), default=value)
    parser.add_argument("--rows", type=Path)
    return parser.parse_args()


def seconds(f):
    """How long a call takes."""
    start = time.perf_counter()
    f()
    return time.perf_counter() - start


def row(what, against, ratios, goal, sense="at least", note=""):
    """One line of the table; no ratios where nothing could be measured, and then the note says why."""
    return dict(what=what, against=against, ratios=[round(r, 4) for r in ratios], goal=goal, sense=sense, note=note)


def number(r): return f"{r:.0f}" if r >= 20 else f"{r:.1f}" if r >= 5 else f"{r:.2f}"


def measured(r):
    """Median, and the least and the largest of the rounds."""
    ratios = sorted(r["ratios"])
    if not ratios: return "not measured"
    spread = f" ({number(ratios[0])}–{number(ratios[-1])})" if len(ratios) > 1 else " (one round)"
    return number(statistics.median(ratios)) + spread


def to_reach(r): return "–" if r["goal"] is None else f"{r['sense']} {r['goal']:g}"


def met(r):
    """Is the goal reached? By the median, or by one of the rounds at least."""
    if not r["ratios"] or r["goal"] is None: return "–"
    good = (lambda x: x >= r["goal"]) if r["sense"] == "at least" else (lambda x: x <= r["goal"])
    return "yes" if good(statistics.median(r["ratios"])) else "in some rounds" if any(map(good, r["ratios"])) else "no"


def report(rows, path=None):
    """Print the rows, and add them to a file as JSON lines."""
    for r in rows: print(f"{r['what']} / {r['against']}: {measured(r)}, to reach: {to_reach(r)}; {r['note']}", flush=True)
    if path is None: return
    with open(path, "a", encoding="utf-8") as f: f.writelines(json.dumps(r, ensure_ascii=False) + "\n" for r in rows)


@contextmanager
def empty_home():
    """An empty cache folder, for as long as the block runs."""
    was = os.environ.get("TRANSFER_COURSE_HOME")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TRANSFER_COURSE_HOME"] = folder
        try: yield folder
        finally:
            del os.environ["TRANSFER_COURSE_HOME"]
            if was is not None: os.environ["TRANSFER_COURSE_HOME"] = was

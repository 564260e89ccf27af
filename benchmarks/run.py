"""Runs every benchmark, one after the other, and writes benchmarks/README.md.

    python benchmarks/run.py [--only NAME …] [--archive hymenoptera_data.zip] [--fastai PYTHON] [--quick]

--only     measures these scripts; the lines of the others stay as they were (benchmarks/rows.json keeps them)
--archive  the real ants and bees, for probe.py       --fastai  a Python that has fastai beside the course, for finetuning.py
--quick    tiny sizes, to see that everything runs; README.md is left alone
A benchmark that fails gets a line in the table that says so, and the exit code is 1.
"""
import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from common import THREADS, measured, met, to_reach

HERE = Path(__file__).parent
QUICK = {"extract": ["--pictures", "64", "--rounds", "2"], "probe": ["--epochs", "1", "--rounds", "1"], "kept": ["--pictures", "64", "--epochs", "2", "--rounds", "1"],
         "finetuning": ["--pictures", "64", "--rounds", "1"], "memory": ["--many", "2000", "--rounds", "1", "--side", "32"], "inductive": ["--steps", "5", "--rounds", "1"],
         "adaptation": ["--steps", "5", "--rounds", "1"], "unsupervised": ["--steps", "2", "--rounds", "1"],
         "busy": ["--pictures", "32", "--epochs", "1", "--rounds", "1", "--busy", "1", "--limit", "60"],
         "language": ["--sentences", "64", "--training", "32", "--rounds", "1"], "grading": ["--copies", "1"],
         "bias": ["--people", "500", "--rounds", "1"],
         "classical": ["--source", "60", "--target", "80", "--columns", "40", "--rounds", "1"],
         "dense": ["--pictures", "8", "--rounds", "1"],
         "recommendation": ["--files", "300", "--rounds", "1"],
         "speech": ["--clips", "16", "--rounds", "1"],
         "privacy": ["--examples", "200", "--width", "20", "--steps", "4", "--rounds", "1"],
         "own_pictures": ["--pictures", "16", "--rounds", "1"], "processes": ["--pictures", "32", "--rounds", "1"],
         "generative": ["--questions", "4", "--rounds", "1"]}
LIBRARIES = ("torch", "timm", "scikit-learn", "numpy", "accelerate", "transformers")
HEAD = """# Speed, side by side

Written by `make benchmarks`; not edited by hand. Both sides of a line run on the same machine, in the same run, on {threads} threads. The number is a ratio:
the median of the rounds' ratios, with the least and the largest. The notes under the table give the median of each side by itself, so their quotient need not
agree with it to the last digit.

| what | against | measured | to reach | reached |
|---|---|---|---|---|
"""


def scripts():
    """The names of all scripts, those of QUICK first."""
    others = sorted(p.stem for p in HERE.glob("*.py") if p.stem not in {"run", "common", *QUICK})
    return [*QUICK, *others]


def run(name, args):
    """One benchmark in a process of its own: its rows."""
    python = args.fastai if name == "finetuning" and args.fastai else sys.executable
    extra = ["--archive", args.archive] if name == "probe" and args.archive else []
    print(f"== {name}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.jsonl"
        done = subprocess.run([python, str(HERE / f"{name}.py"), "--rows", str(rows), *extra, *(QUICK.get(name, []) if args.quick else [])],
                              env=os.environ | {"PYTHONPATH": str(HERE.parent)})
        if done.returncode == 0: return [json.loads(line) for line in rows.read_text(encoding="utf-8").splitlines()]
    return [dict(what=f"`benchmarks/{name}.py`", against="–", ratios=[], goal=None, sense="at least", note="it failed")]


def processor():
    """The processor's name, as the system gives it."""
    try: lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError: lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return (names or [platform.processor() or platform.machine()])[0]


def page(rows, threads):
    """README.md."""
    table = "".join(f"| {r['what']} | {r['against']} | {measured(r)} | {to_reach(r)} | {met(r)} |\n" for r in rows)
    notes = "".join(f"- {r['what']}, against {r['against']}: {r['note']}.\n" for r in rows)
    versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    machine = f"{processor()}, {os.cpu_count()} cores; {platform.system()}, Python {platform.python_version()}, {versions}"
    how = "Each line is one script in this folder; its first lines say what it measures.\n`make benchmarks ARCHIVE=hymenoptera_data.zip FASTAI=python` names the pictures and a Python with fastai, where they are there.\n"
    return f"{HEAD.format(threads=threads)}{table}\n{notes}\nMeasured on {machine}.\n\n{how}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", default="")
    parser.add_argument("--fastai", default="")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="+", choices=scripts(), default=scripts())
    args = parser.parse_args()
    threads, kept = str(THREADS) if args.quick else "2", HERE / "rows.json"
    os.environ.update(OMP_NUM_THREADS=threads, MKL_NUM_THREADS=threads, OPENBLAS_NUM_THREADS=threads, TQDM_DISABLE="1", HF_HUB_OFFLINE="1")
    old = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() and not args.quick else {}
    found = old | {name: run(name, args) for name in args.only}
    rows = [r for name in scripts() for r in found.get(name, [])]
    if args.quick: print(page(rows, threads))
    else:
        kept.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        (HERE / "README.md").write_text(page(rows, threads), encoding="utf-8")
    sys.exit(any(r["note"] == "it failed" for r in rows))

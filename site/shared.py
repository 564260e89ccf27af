"""What both steps of the site's build read: notebooks, words of the glossary, measured seconds, citations; and what is kept from one build to the next."""
import hashlib
import json
import os
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from transfer_course import course

REPO = "https://github.com/transfer-course/transfer_course"
CITED = re.compile(r"(?:doi:|doi\.org/)\s*(10\.\d{4,}/(?:\([^\s)]*\)|[^\s;,()\]\"'`\\])+)|arxiv(?::\s*|\.org/abs/)(\d{4}\.\d{4,5})", re.I)

PROMISE = re.compile(r"^(?:[*_]([^*_\n].*?)[*_]|> (.+))$\n*", re.M)


@dataclass
class Notebook:
    """The parts of a notebook that the site reads."""
    prose: list  # Markdown cells
    code: list  # code cells

    @property
    def title(self):
        found = re.search(r"^# +(.+)$", "\n".join(self.prose), re.M)
        return found[1].strip() if found else ""

    @property
    def promise(self):
        """The line in italics, or quoted, under the title."""
        found = PROMISE.search(next((t for t in self.prose if t.startswith("# ")), ""))
        return re.sub(r"[*_`]", "", found[1] or found[2]).strip() if found else ""

    @property
    def module(self):
        found = re.search(r"^#\|\s*default_exp\s+(\S+)", "\n".join(self.code), re.M)
        return found[1].removesuffix(".__init__") if found else ""


def text(value): return "".join(value) if isinstance(value, list) else value


@cache
def read(path):
    cells = json.loads(Path(path).read_text(encoding="utf-8"))["cells"]
    return Notebook(*([text(c["source"]) for c in cells if c["cell_type"] == kind] for kind in ("markdown", "code")))


def title(path): return read(path).title


def notebooks(root): return course.notebooks(root / "nbs", course.OPEN_PARTS)
def lessons(root): return [p for p in notebooks(root) if course.is_lesson(p)]
def room(path): return path.parent.name if path.parent.name in course.PARTS else ""


def place(path):
    """Of a notebook, as its address below nbs/: "02-gabor.ipynb", "checks/02-gabor.ipynb"."""
    return f"{room(path)}/{path.name}".lstrip("/")


def label(path):
    """How a notebook is named in lists: a lesson with its number."""
    return f"{path.stem[:2]} · {title(path)}" if course.is_lesson(path) else title(path)


@cache
def seconds(root, key="seconds"):
    """What the last recorded run of all tests measured: {place of a notebook: seconds}, or another key of nbs/results/machine.json."""
    path = root / "nbs" / "results" / "machine.json"
    return json.loads(path.read_text(encoding="utf-8")).get(key, {}) if path.exists() else {}


def reading(path):
    """Minutes to read a notebook: one for 150 words, as in the table for instructors."""
    return max(1, round(len("\n".join(read(path).prose).split()) / 150))


def anchor(term): return re.sub("[^a-z0-9]+", "-", term.lower()).strip("-")


@cache
def glossary(root):
    """The words of the course, sorted: [{term, lesson, text}]"""
    words = yaml.safe_load((root / "nbs" / "glossary.yml").read_text(encoding="utf-8"))
    return sorted(words, key=lambda w: w["term"].lower())


def citations(text):
    """The DOIs and arXiv ids in a text, in lower case."""
    return {(doi or arxiv).rstrip(".:").lower() for doi, arxiv in CITED.findall(text)}


def cited(root):
    """{DOI or arXiv id: the notebooks that cite it}"""
    where = {}
    for path in notebooks(root):
        nb = read(path)
        for key in citations("\n".join(nb.prose + nb.code)): where.setdefault(key, []).append(path)
    return where


@cache
def card(root, up="../"):
    """Front matter that names the site's own picture: Quarto would take the first one of the page, whatever it is."""
    site = yaml.safe_load((root / "_quarto.yml").read_text(encoding="utf-8"))["website"]
    return f"image: {up}{site['image']}\nimage-alt: {json.dumps(site['image-alt'])}\n"


# --- what is kept from one build to the next --------------------------------------------------------------------------

@cache
def build_key(root):
    """Changes when the tools of the site change, or the words and numbers that stand on many pages."""
    files = [*sorted((root / "site").glob("*.py")), root / "nbs" / "glossary.yml", root / "nbs" / "results" / "machine.json", root / "settings.ini", root / "pyproject.toml"]
    names = [place(p) for p in notebooks(root)]
    return hashlib.sha256(b"".join(f.read_bytes() for f in files if f.exists()) + "\n".join(names).encode()).hexdigest()


def kept(root, name, made_of, make):
    """What `make()` gives, a text: made again only when `made_of` or the tools of the site have changed. It is kept in .site/"""
    key = hashlib.sha256((build_key(root) + made_of).encode()).hexdigest()[:16]
    stem = root / ".site" / re.sub(r"\W+", "-", name)
    path = stem.with_name(f"{stem.name}.{key}")
    try: return path.read_text(encoding="utf-8")
    except OSError: result = make()
    try:
        path.parent.mkdir(exist_ok=True)
        for old in path.parent.glob(f"{stem.name}.*"):
            if not old.name.startswith(path.name): old.unlink(missing_ok=True)
        part = path.with_name(f"{path.name}.{os.getpid()}")
        part.write_text(result, encoding="utf-8")
        part.replace(path)
    except OSError: pass  # a folder that must not be written in: it is made again the next time
    return result

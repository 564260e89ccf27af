"""Which file of which library uses which NumPy function: the table of lesson 12 -> transfer_course/texts/uses.tsv, functions.tsv, uses.json, functions_licence.txt.

    python experiments/uses.py     # a minute on one core

Read from the Python files of the installed libraries below (their versions are in constraints.txt and in uses.json); nothing of these files is kept but
their paths and which functions they name. Of NumPy's docstrings the first sentence is kept (BSD-3-Clause). Copies are left out: vendored folders, and
files whose contents came before. NumPy's licence is written beside its sentences.
"""
import ast
import hashlib
import inspect
import json
import re
import sys
from importlib.metadata import files, version
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from transfer_course.files import file_hash, write_whole

PACKAGES = {"scipy": "scipy", "pandas": "pandas", "sklearn": "scikit-learn", "skimage": "scikit-image", "matplotlib": "matplotlib", "torch": "torch",
            "transformers": "transformers", "ot": "POT", "networkx": "networkx", "skada": "skada", "mlxtend": "mlxtend", "optuna": "optuna",
            "mpl_toolkits": "matplotlib", "imageio": "ImageIO", "timm": "timm", "torchvision": "torchvision", "sentence_transformers": "sentence-transformers"}
COPIES = re.compile(r"/(externals?|_?extern|_?vendor(ed)?|_?array_api\w*|array_api_\w+)/")
LEAST_FILES, LEAST_FUNCTIONS = 10, 3  # a function is used in so many files or more, a file uses so many functions or more
FOLDERS = ("linalg", "random", "fft", "testing", "ma", "lib", "polynomial", "char", "strings")
HOME = Path("transfer_course/texts")


def function_of(dotted):
    """The NumPy function of this name, such as linalg.norm; None for types, constants, modules and what is not there."""
    found = np
    for part in dotted.split("."): found = getattr(found, part, None)
    return found if callable(found) and not inspect.isclass(found) else None


def whole(dotted):
    """The name up to the function itself: np.add.at is a use of np.add."""
    first, _, rest = dotted.partition(".")
    return first if first not in FOLDERS else ".".join([first, rest.partition(".")[0]])


def dotted(node):
    """["np", "linalg", "norm"] of an attribute's node; None if it begins with anything but a name."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return [node.id, *parts[::-1]] if isinstance(node, ast.Name) else None


def names_in(tree):
    """NumPy's names in a file: np.sum, numpy.linalg.norm, and those that are imported by name."""
    roots, found = {"np": "", "numpy": ""}, set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for a in node.names:
                if a.name.split(".")[0] == "numpy" and a.asname: roots[a.asname] = a.name[5:].lstrip(".")
        elif isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").split(".")[0] == "numpy":
            inside = node.module[5:].lstrip(".")
            for a in node.names:
                name = ".".join(filter(None, [inside, a.name]))
                if a.name in FOLDERS: roots[a.asname or a.name] = name
                else: found.add(name)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute): continue
        chain = dotted(node)
        if chain and chain[0] in roots: found.add(".".join(filter(None, [roots[chain[0]], *chain[1:]])))
    return {whole(name) for name in found if function_of(whole(name))}


def read_all():
    """{(package, path): names}, each content once."""
    rows, seen = {}, set()
    for package in PACKAGES:
        home = Path(next(iter(find_spec(package).submodule_search_locations)))
        for path in sorted(home.rglob("*.py")):
            inside = path.relative_to(home.parent).as_posix()
            raw = path.read_bytes()
            key = hashlib.sha256(raw).digest()
            if COPIES.search(inside) or key in seen or (b"np." not in raw and b"numpy" not in raw): continue
            seen.add(key)
            try: rows[package if package != "mpl_toolkits" else "matplotlib", inside] = names_in(ast.parse(raw))
            except SyntaxError: print("not read:", inside)
    return rows


def enough(rows):
    """Files and functions that are used often enough, looked at again until nothing changes."""
    while True:
        count = {}
        for names in rows.values():
            for name in names: count[name] = count.get(name, 0) + 1
        kept = {k: {n for n in names if count[n] >= LEAST_FILES} for k, names in rows.items()}
        kept = {k: names for k, names in kept.items() if len(names) >= LEAST_FUNCTIONS}
        if kept == rows: return kept, {n: c for n, c in count.items() if c >= LEAST_FILES}
        rows = kept


def category(name):
    """In which file of NumPy's source a function is defined, without folders and endings."""
    f = inspect.unwrap(function_of(name))
    if isinstance(f, np.ufunc): return "ufunc"
    if "." in name: return name.rpartition(".")[0]
    try: file = Path(inspect.getsourcefile(f)).stem
    except TypeError: file = "multiarray"  # written in C
    return file.strip("_").removesuffix("_impl")


def sentence(name):
    """The first sentence of a docstring, in one line."""
    doc = inspect.getdoc(function_of(name)) or ""
    parts = [p for p in doc.split("\n\n") if p.strip()]
    if parts and re.match(r"\w+\(", parts[0].strip()): parts = parts[1:]  # the signature of what is written in C
    text = re.sub(r"[`*]+", "", " ".join(parts[0].split()) if parts else "")
    return re.split(r"(?<=[a-z)]\.)\s", text)[0]


def licence():
    """NumPy's own licence, without those of the code that it carries."""
    path = next(f for f in files("numpy") if f.parts[-2:] == ("licenses", "LICENSE.txt"))
    return path.read_text(encoding="utf-8").split("\n----")[0].strip() + "\n"


if __name__ == "__main__":
    rows, count = enough(read_all())
    names = sorted(count)
    place = {name: i for i, name in enumerate(names)}
    table = "package\tfile\tfunctions\n" + "".join(f"{p}\t{f}\t{' '.join(str(place[n]) for n in sorted(found))}\n" for (p, f), found in sorted(rows.items()))
    texts = "name\tcategory\ttext\n" + "".join(f"{n}\t{category(n)}\t{sentence(n)}\n" for n in names)
    write_whole(HOME / "uses.tsv", table)
    write_whole(HOME / "functions.tsv", texts)
    write_whole(HOME / "functions_licence.txt", "The texts in functions.tsv are first sentences of NumPy's docstrings.\n\n" + licence())
    facts = dict(name="uses", source="Python files of installed libraries, read by experiments/uses.py: which NumPy functions each of them names",
                 licence="facts; the first sentences of NumPy's docstrings: BSD-3-Clause, see functions_licence.txt",
                 files=len(rows), functions=len(names), uses=sum(map(len, rows.values())), python=sys.version.split()[0],
                 versions={p: version(p) for p in sorted({"numpy", *PACKAGES.values()})},
                 sha256={f: file_hash(HOME / f, "sha256") for f in ("uses.tsv", "functions.tsv")})
    write_whole(HOME / "uses.json", json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    print({k: v for k, v in facts.items() if k in ("files", "functions", "uses")})

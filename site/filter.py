"""The filter of a notebook: a notebook on stdin, the one to show on stdout.

First nbdev's own filter. Then the title becomes front matter; a line of links comes under it; words of the glossary are linked where a
lesson uses them first; widgets, which need a kernel and a server elsewhere, go; pictures in flipbooks are packed tighter; links to this
site's own address become links between its files. What was made is kept in .site/ until the notebook changes.
"""
import ast
import base64
import io
import json
import os
import re
import sys
from contextlib import redirect_stdout
from functools import cache
from html import escape
from pathlib import Path

import yaml

ROOT = Path(os.environ.get("QUARTO_PROJECT_DIR") or Path(__file__).resolve().parent.parent)
sys.path.insert(0, str(Path(__file__).resolve().parent))
from links import links, up  # noqa: E402
from shared import PROMISE, build_key, card, glossary, kept, label, lessons, notebooks, read, text  # noqa: E402
from words import Linker  # noqa: E402

OWN = re.compile(r"https://transfer-course\.github\.io/transfer_course/nbs/((?:\w+/)?)(\d\d)-(\w+)\.html(?:#([\w.]+))?")
FIG_ALT = re.compile(r"^(#\|\s*fig-alt:\s*)(.+)$", re.M)
SHOWN = ("text/html", "text/plain", "text/markdown", "text/latex")


def markdown(source): return {"cell_type": "markdown", "id": f"site{abs(hash(source)) % 10**8}", "metadata": {}, "source": source}


def name_of(nb):
    """Which notebook is this? A filter is not told, so it goes by the title."""
    head = next((m[1].strip() for c in nb["cells"] if c["cell_type"] == "markdown" for m in [re.search(r"^# +(.+)$", text(c["source"]), re.M)] if m), "")
    return next((p for p in notebooks(ROOT) if read(p).title == head), None)


def front_matter(path):
    nb = read(path)
    promise = f"description: {json.dumps(nb.promise, ensure_ascii=False)}\n" if nb.promise else ""
    return f"---\ntitle: {json.dumps(label(path), ensure_ascii=False)}\n{promise}{card(ROOT, up(path) + '../')}---\n"


def relative(source, path):
    """A link to this site's own address becomes one between its files: a function's goes to its page of parameters."""
    def near(m):
        to = ROOT / "nbs" / f"{m[1]}{m[2]}-{m[3]}.ipynb"
        module = read(to).module if m[4] and to.exists() else ""
        return f"{up(path)}../api/{module}.qmd#{m[4]}" if module and (ROOT / "api" / f"{module}.qmd").exists() else f"{up(path)}{m[1]}{m[2]}-{m[3]}.ipynb"
    return OWN.sub(near, source)


def packed(png):
    """A PNG, as base64, as WebP: without loss where that is small enough, else with a loss that is hard to see. -> data URL"""
    from PIL import Image
    raw = base64.b64decode(png)
    picture = Image.open(io.BytesIO(raw)).convert("RGB")
    tries = [("image/png", raw)]
    for how in ({"lossless": True, "quality": 50}, {"quality": 90}):
        picture.save(buffer := io.BytesIO(), "WEBP", method=2, **how)
        tries.append(("image/webp", buffer.getvalue()))
    best = tries[1] if len(tries[1][1]) < 40_000 else min(tries, key=lambda t: len(t[1]))
    return f"data:{best[0]};base64," + base64.b64encode(best[1]).decode()


def pack_html(html):
    """A flipbook holds its first frame twice and is mostly pictures: the page should stay small."""
    if len(html) < 100_000: return html
    for png in sorted(set(re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", html))):
        html = html.replace("data:image/png;base64," + png, packed(png))
    return html


def in_one_line(source):
    """A cell whose words of its picture, which may be folded over several lines (`fig-alt: >`), stand in one: nbdev looks at each line alone."""
    def joined(m): return f"#| fig-alt: {json.dumps(' '.join(line[2:].strip() for line in m[1].splitlines()), ensure_ascii=False)}\n"
    return re.sub(r"^#\|\s*fig-alt: *>-? *\n((?:#\| {3}.*(?:\n|\Z))+)", joined, source, flags=re.M)


def quoted(source):
    """A cell with the words of its picture in quotes: a colon in them would end Quarto's run."""
    def words(m): return m[1] + (m[2] if m[2][0] in "\"'" else json.dumps(m[2].strip(), ensure_ascii=False))
    return FIG_ALT.sub(words, in_one_line(source))


def words_of(source):
    """What a cell says of its picture."""
    found = FIG_ALT.search(quoted(source))
    return yaml.safe_load(found[2]) if found else ""


def figure(png, source):
    """A large picture, with its words, as HTML."""
    return f'<img src="{packed(png)}" alt="{escape(words_of(source))}" class="img-fluid figure-img">'


def as_is(html):
    """HTML as a raw block of Markdown: for an output of kind text/html Quarto asks the web for scripts."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", html)), default=0))
    return {"text/markdown": f"{fence}{{=html}}\n{html.strip()}\n{fence}"}


def clean(output, source):
    """An output without widgets, and with large pictures packed; None where nothing is left."""
    data = output.get("data")
    if data is None: return output
    if any("widget" in kind for kind in data): return None
    if "text/html" in data: data = output["data"] = as_is(pack_html(text(data["text/html"])))
    elif len(png := text(data.get("image/png", "")).replace("\n", "")) > 60_000:
        data = output["data"] = as_is(figure(png, source))
    for kind in [k for k in data if k not in SHOWN and not k.startswith("image/")]: del data[kind]
    return output


def folded(source):
    """A cell of imports alone, folded: a lesson begins with its first run."""
    bare = re.sub(r"^#\|.*$", "", source, flags=re.M)
    try: lines = ast.parse(bare).body
    except SyntaxError: return source
    only = lines and all(isinstance(line, (ast.Import, ast.ImportFrom)) for line in lines)
    return f'#| code-fold: true\n#| code-summary: "Imports"\n{source}' if only else source


def shown(cell):
    """Is there anything to show?"""
    return bool(text(cell.get("source", "")).strip() or cell.get("outputs"))


def in_lines(nb):
    """Every source as a list of lines, as notebooks are stored: Quarto joins the lines of a single string."""
    for cell in nb["cells"]: cell["source"] = text(cell["source"]).splitlines(keepends=True)
    return nb


def filtered(nb):
    """The notebook as it is shown."""
    path = name_of(nb)
    linked = Linker(glossary(ROOT), path.stem[:2]) if path in lessons(ROOT) else str
    nb["metadata"].pop("widgets", None)
    for cell in nb["cells"]:
        if cell["cell_type"] == "code": cell["source"] = folded(quoted(text(cell["source"])))
        if path and cell["cell_type"] == "markdown": cell["source"] = relative(text(cell.get("source", "")), path)
        if cell["cell_type"] == "code": cell["outputs"] = [o for o in (clean(o, text(cell["source"])) for o in cell.get("outputs", [])) if o]
    nb["cells"] = [c for c in nb["cells"] if shown(c) and not text(c["source"]).startswith("<!-- WARNING: THIS FILE WAS AUTOGEN")]
    if path is None: return in_lines(nb)
    first = next(c for c in nb["cells"] if c["cell_type"] == "markdown" and re.search(r"^# ", text(c["source"]), re.M))
    first["source"] = re.sub(r"^# +.+\n*", "", text(first["source"]), count=1, flags=re.M)
    if read(path).promise: first["source"] = PROMISE.sub("", first["source"], count=1)  # it is the description now
    for cell in nb["cells"]:
        if cell["cell_type"] == "markdown": cell["source"] = linked(text(cell["source"]))
    raw = {"cell_type": "raw", "id": "front", "metadata": {}, "source": front_matter(path)}
    start = nb["cells"].index(first)
    under = [markdown(links(path))] if path.stem != "index" else []
    nb["cells"] = [raw, *nb["cells"][:start], *([first] if first["source"].strip() else []), *under, *nb["cells"][start + 1:]]
    return in_lines(nb)


@cache
def nbdevs_filter():
    """nbdev's own filter. It looks for its settings once, not for each cell: they don't change while the site is made."""
    from nbdev import cli, processors
    processors.get_config = cache(processors.get_config)
    return cli.nbdev_filter


def shown_as(source):
    """The text of a notebook -> the text of the one to show."""
    def make():
        whole = json.loads(source)
        for cell in whole["cells"]:
            if cell["cell_type"] == "code": cell["source"] = in_one_line(text(cell["source"]))
        with redirect_stdout(sys.stderr): nb = json.loads(nbdevs_filter()(nb_txt=json.dumps(whole, ensure_ascii=False), printit=False))
        return json.dumps(filtered(nb), ensure_ascii=False)
    found = re.search(r"#\|\s*default_exp\s+([\w.]+)", source) or re.search(r'"# ([\w ]+)', source)
    return kept(ROOT, re.sub(r"\W+", "_", found[1] if found else "notebook"), source, make)


def shown_of(path): return shown_as(path.read_text(encoding="utf-8"))


def fill():
    """Every notebook, by all cores, into .site/: a builder that asks for one after the other, each in a process of its own, finds them there."""
    from concurrent.futures import ProcessPoolExecutor
    with ProcessPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for _ in pool.map(shown_of, sorted(notebooks(ROOT), key=lambda p: -p.stat().st_size)): pass
    if os.environ.get("QUARTO_PROJECT_DIR"): touched(ROOT / ".site" / "made-by")


def touched(stamp):
    """Quarto keeps what the filter made until the notebook's time changes: so that changes when the filter, or what it reads, has changed."""
    if stamp.exists() and stamp.read_text(encoding="utf-8") == build_key(ROOT): return
    try:
        for path in notebooks(ROOT): path.touch()
        stamp.write_text(build_key(ROOT), encoding="utf-8")
    except OSError: pass  # a folder that must not be written in


if __name__ == "__main__": print(shown_as(sys.stdin.read()))

"""The second filter of a notebook, after nbdev-filter: a notebook on stdin, the one to show on stdout.

The title becomes front matter; a line of links comes under it; widgets, which need a kernel and a server elsewhere, go;
pictures in flipbooks are packed tighter; links to this site's own address become links between its files.
"""
import base64
import io
import json
import os
import re
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(os.environ.get("QUARTO_PROJECT_DIR") or Path(__file__).resolve().parent.parent)
sys.path.insert(0, str(Path(__file__).resolve().parent))
from shared import REPO, notebooks, read, seconds, text  # noqa: E402

OWN = re.compile(r"https://transfer-course\.github\.io/transfer_course/nbs/(\d\d)-(\w+)\.html(?:#([\w.]+))?")
SHOWN = ("text/html", "text/plain", "text/markdown", "text/latex")


def markdown(source): return {"cell_type": "markdown", "id": f"site{abs(hash(source)) % 10**8}", "metadata": {}, "source": source}


def name_of(nb):
    """Which notebook is this? A filter is not told, so it goes by the title."""
    head = next((m[1].strip() for c in nb["cells"] if c["cell_type"] == "markdown" for m in [re.search(r"^# +(.+)$", text(c["source"]), re.M)] if m), "")
    return next((p for p in notebooks(ROOT) if read(p).title == head), None)


def front_matter(path):
    nb = read(path)
    number = f"{path.stem[:2]} · " if path.stem[:2].isdigit() else ""
    return f"---\ntitle: {json.dumps(number + nb.title, ensure_ascii=False)}\ndescription: {json.dumps(nb.promise, ensure_ascii=False)}\n---\n" if nb.promise else \
           f"---\ntitle: {json.dumps(number + nb.title, ensure_ascii=False)}\n---\n"


def links(path):
    """Where this notebook can be opened, and how long it ran."""
    at = f"transfer-course/transfer_course/blob/main/nbs/{path.name}"
    parts = [f"[Open in Colab](https://colab.research.google.com/github/{at})",
             f"[Binder](https://mybinder.org/v2/gh/transfer-course/transfer_course/main?labpath=nbs%2F{path.name})",
             f"[Notebook]({REPO}/blob/main/nbs/{path.name})"]
    if read(path).module: parts.append(f"[Functions](../api/{read(path).module}.qmd)")
    ran = seconds(ROOT).get(path.name)
    if ran: parts.append(f"runs in {ran:.0f} s on {seconds(ROOT, 'cores')} cores")
    return "::: {.lesson-links}\n" + " · ".join(parts) + "\n:::\n"


def relative(source):
    """A link to this site's own address becomes one between its files: a function's goes to its page of parameters."""
    def near(m): return f"../api/{m[2]}.qmd#{m[3]}" if m[3] and (ROOT / "transfer_course" / f"{m[2]}.py").exists() else f"{m[1]}-{m[2]}.ipynb"
    return OWN.sub(near, source)


def packed(url):
    """A PNG of a flipbook as WebP without loss, where that is smaller."""
    raw = base64.b64decode(url.split(",", 1)[1])
    Image.open(io.BytesIO(raw)).convert("RGB").save(buffer := io.BytesIO(), "WEBP", lossless=True, quality=60, method=4)
    small = buffer.getvalue()
    return url if len(small) >= len(raw) else "data:image/webp;base64," + base64.b64encode(small).decode()


def pack_html(html):
    if len(html) < 100_000: return html
    found = set(re.findall(r"data:image/png;base64,[A-Za-z0-9+/=]+", html))
    for url in sorted(found): html = html.replace(url, packed(url))
    return html


def clean(output):
    """An output without widgets; None where nothing is left."""
    data = output.get("data")
    if data is None: return output
    if any("widget" in kind for kind in data): return None
    if "text/html" in data: data["text/html"] = pack_html(text(data["text/html"]))
    for kind in [k for k in data if k not in SHOWN and not k.startswith("image/")]: del data[kind]
    return output


def shown(cell):
    """Is there anything to show?"""
    return bool(text(cell.get("source", "")).strip() or cell.get("outputs"))


def filtered(nb):
    """The notebook as it is shown."""
    path = name_of(nb)
    nb["metadata"].pop("widgets", None)
    for cell in nb["cells"]:
        cell["source"] = relative(text(cell.get("source", ""))) if cell["cell_type"] == "markdown" else cell.get("source", "")
        if cell["cell_type"] == "code": cell["outputs"] = [o for o in map(clean, cell.get("outputs", [])) if o]
    nb["cells"] = [c for c in nb["cells"] if shown(c) and not text(c["source"]).startswith("<!-- WARNING: THIS FILE WAS AUTOGEN")]
    if path is None: return nb
    first = next(c for c in nb["cells"] if c["cell_type"] == "markdown" and re.search(r"^# ", text(c["source"]), re.M))
    first["source"] = re.sub(r"^# +.+\n*", "", text(first["source"]), count=1, flags=re.M)
    raw = {"cell_type": "raw", "id": "front", "metadata": {}, "source": front_matter(path)}
    start = nb["cells"].index(first)
    under = [markdown(links(path))] if path.stem != "index" else []
    nb["cells"] = [raw, *nb["cells"][:start], *([first] if first["source"].strip() else []), *under, *nb["cells"][start + 1:]]
    return nb


if __name__ == "__main__": print(json.dumps(filtered(json.load(sys.stdin)), ensure_ascii=False))

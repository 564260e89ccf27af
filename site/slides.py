"""Slides of a lesson, from its stored outputs: `make slides LESSON=07` -> _slides/07-transductive.html

One file that needs no network, no kernel and no Quarto: reveal.js lies in site/reveal, pictures and formulas are inside. A slide holds one thing:
a heading with its first sentence, a picture, a table, a question with its answer, or code. What the lesson says about it stands in the
speaker's notes (key S). Code is shown of the cells tagged `slide`, or of the first three that define something.
"""
import base64
import io
import json
import math
import re
import sys
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(HERE))
from filter import pack_html, packed, words_of  # noqa: E402
from shared import label, lessons, place, read, text  # noqa: E402

WIDTH, HEIGHT = 1280, 720
LINES = 15  # of a table on one slide
LETTERS = 100  # that a line of a table holds
SHOWN = 3  # cells of code, where none is tagged
BLOCK = re.compile(r"^(?:(`{3,})[^\n]*\n.*?^\1 *$|<details.*?</details>|\$\$.*?\$\$|\|[^\n]*(?:\n\|[^\n]*)*|(?:[-*] |\d+\. )[^\n]*(?:\n(?!\s*$)[^\n]*)*|[^\n]+(?:\n(?!\s*$|#|\||```|<details)[^\n]+)*)", re.S | re.M)


@dataclass
class Slide:
    heading: str
    body: str = ""  # HTML
    notes: list = field(default_factory=list)  # Markdown
    kind: str = ""  # of what it shows: "title", "section", "picture", "table", "code", "question", "formula"


# --- parts of a slide -------------------------------------------------------------------------------------------------

def html(markdown):
    """Markdown as HTML: formulas as MathML, links inside the course as plain words."""
    from render import mathml
    from smalldocs.markdown import render
    done = mathml(render(markdown, {}))
    return re.sub(r'<a (?![^>]*href="https?:)[^>]*>(.*?)</a>', r"\1", done, flags=re.S)


def inline(markdown): return re.sub(r"^<p>|</p>$", "", html(markdown).strip())


def first_sentence(paragraph):
    """Its first sentence; abbreviations and numbers don't end one."""
    flat = " ".join(paragraph.split())
    end = re.search(r"(?<![A-Z])(?<!e\.g)(?<!i\.e)(?<!et al)[.?!:](?=\**\s)", flat)
    said = flat[:end.end()].rstrip(":") if end else flat
    return said + ("." if end and end[0] == ":" else "")


def last_sentence(paragraph):
    """Its last sentence, where that leads to what follows and is short."""
    flat = re.sub(r"(?<=[.?!])\s+(?=[*A-Z`])", "\n", " ".join(paragraph.split())).splitlines()[-1]
    return flat if flat.endswith(":") and len(flat) < 220 else ""


def picture(png, words):
    """A PNG, as base64, as large as a slide allows."""
    from PIL import Image
    width, height = Image.open(io.BytesIO(base64.b64decode(png))).size
    grown = min(WIDTH * 0.94 / width, 560 / height, 2)
    return f'<img src="{packed(png)}" alt="{escape(words)}" width="{width * grown:.0f}" height="{height * grown:.0f}">'


def code(source):
    """A cell as it is read: without what speaks to nbdev and to ruff."""
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer
    bare = "\n".join(re.sub(r"\s*# noqa.*$", "", line) for line in source.splitlines() if not line.startswith("#|"))
    return f"<pre><code>{highlight(bare.strip(), PythonLexer(), HtmlFormatter(nowrap=True, noclasses=True))}</code></pre>"


def cut(table):
    """A table as several, where it has more lines than a slide holds."""
    import bs4
    soup = bs4.BeautifulSoup(table, "html.parser")
    body, rows = soup.find("tbody"), soup.select("tbody > tr")
    if not body: return [table]
    lines = [1 + sum(len(c.get_text(" ", strip=True)) for c in row.find_all(["td", "th"])) // LETTERS for row in rows]
    share = sum(lines) / max(1, math.ceil(sum(lines) / LINES))  # the parts are about equally long
    parts, used = [[]], 0
    for row, n in zip(rows, lines):
        if parts[-1] and used + n > share + 1: parts, used = [*parts, []], 0
        parts[-1].append(row.extract())
        used += n
    found = []
    for part in parts:
        body.clear()
        body.extend(part)
        found.append(str(soup))
        for row in part: row.extract()
    return found


# --- from a lesson to slides ------------------------------------------------------------------------------------------

def blocks(source):
    """[(kind, text)] of a cell of Markdown, from heading to heading."""
    source = re.sub(r"<!--.*?-->", "", source, flags=re.S)
    for m in BLOCK.finditer(source):
        block = m[0].strip()
        if re.match(r"#{1,6} ", block): yield "heading", block
        elif block.startswith("```"): yield "fence", block
        elif block.startswith("<details"): yield "answer", block
        elif block.startswith("$$"): yield "formula", block
        elif block.startswith("|"): yield "table", block
        elif re.match(r"([-*]|\d+\.) ", block): yield "list", block
        elif block.startswith("!["): yield "image", block
        elif re.match(r"\**Predict", block): yield "question", block
        elif block: yield "prose", block


class Maker:
    """Collects the slides of one lesson."""

    def __init__(self, path):
        self.path, self.section, self.slides, self.said, self.lead, self.near, self.fresh = path, "", [], [], "", "", False
        self.cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        self.code = [c for c in self.cells if "slide" in c["metadata"].get("tags", [])] or self.first_of_sections()[:SHOWN]

    def first_of_sections(self):
        """The first short exported definition under each heading."""
        found, fresh = [], True
        for cell in self.cells:
            source = text(cell["source"])
            if cell["cell_type"] == "markdown": fresh = fresh or bool(re.search("^##", source, re.M))
            elif fresh and re.search(r"^#\|\s*export\b", source) and re.search(r"^(def|class) [a-z]", source, re.M | re.I) and source.count("\n") < 22:
                found, fresh = [*found, cell], False
        return found

    def add(self, body, kind, heading=None):
        """A slide; over what is shown stands the first sentence of a part, or else the one that leads to it."""
        over = self.lead or (last_sentence(self.said[-1]) if self.said and self.said[-1] == self.near and kind in ("table", "picture", "flipbook") else "")
        caption = f"<p class='over'>{inline(over)}</p>" if over and kind != "title" else ""
        default = self.section or escape(read(self.path).title)
        self.slides.append(Slide(default if heading is None else heading, caption + body, self.said, kind))
        if kind != "title": self.lead = ""
        self.said = []

    def title(self):
        """The title, its promise, and what can be done afterwards."""
        nb = read(self.path)
        self.add(f"<h1>{inline(label(self.path))}</h1><p class='lead'>{inline(nb.promise)}</p>", "title", "")

    def prose(self, source):
        """A cell of Markdown. -> False where the slides end"""
        asked = None
        for kind, block in blocks(source):
            if asked and kind != "answer": self.add(asked, "question"); asked = None
            if kind == "heading":
                marks, _, words = block.partition(" ")
                if re.match(r"Exercises|Further", words): return False
                if len(marks) == 1: continue
                self.section = inline(re.sub(r"\s*\{.*\}$", "", words))
                self.lead = self.near = ""
                if len(marks) == 2: self.slides.append(Slide("", f"<h2>{self.section}</h2>", [], "section"))
                else: self.fresh = True
            elif kind == "question": asked = f"<div class='ask'>{html(block)}</div>"
            elif kind == "answer" and asked:
                words = re.sub(r"</?details[^>]*>|<summary>.*?</summary>", "", block, flags=re.S)
                self.add(f"{asked}<div class='fragment answer'>{html(words.strip())}</div>", "question")
                asked = None
            elif kind == "table":
                for part in cut(html(block)): self.add(part, "table")
            elif kind == "fence": self.add(html(block), "diagram")
            elif kind == "formula": self.add(html(block), "formula")
            elif kind == "list" and not self.section: self.add(html(block), "list", "After this lesson you can")
            elif kind == "image": self.add(self.image(block), "picture")
            else: self.say(block)
        if asked: self.add(asked, "question")
        return True

    def image(self, block):
        words, address = re.match(r"!\[(.*?)\]\(([^)\s]+)", block, re.S).groups()
        data = base64.b64encode((self.path.parent / address).read_bytes()).decode()
        return picture(data, words)

    def say(self, block):
        """Prose: for the speaker, and its first sentence under a heading that stands alone."""
        last = self.slides[-1] if self.slides else None
        if last and last.kind == "section" and last.body.endswith("</h2>"):
            last.body += f"<p class='lead'>{inline(first_sentence(block))}</p>"
            last.notes.append(block)
        else:
            if self.fresh: self.lead, self.fresh = first_sentence(block), False
            self.said.append(block)
            self.near = block

    def outputs(self, cell):
        source = text(cell["source"])
        for output in cell.get("outputs", []):
            data = {k: text(v) for k, v in output.get("data", {}).items()}
            if any("widget" in kind for kind in data): continue
            if "image/png" in data:
                self.add(picture(data["image/png"].replace("\n", ""), words_of(source)), "picture")
                self.slides[-1].notes.append(words_of(source))
            elif 'class="flipbook' in data.get("text/html", ""): self.add(pack_html(data["text/html"]), "flipbook")
            elif "<table" in data.get("text/html", ""):
                for part in cut(re.sub(r"<style.*?</style>", "", data["text/html"], flags=re.S)): self.add(part, "table")
            elif 1 < len(lines := re.sub(r"^(Name: .*|dtype: .*|Length: .*)$\n?", "", data.get("text/plain", ""), flags=re.M).splitlines()) <= 16: self.add(f"<pre>{escape(chr(10).join(lines))}</pre>", "table")

    def make(self):
        self.title()
        for cell in self.cells:
            if cell["cell_type"] == "markdown":
                if not self.prose(text(cell["source"])): break
            elif cell["cell_type"] == "code":
                if cell in self.code: self.add(code(text(cell["source"])), "code")
                self.outputs(cell)
        if self.said: self.slides[-1].notes += self.said
        self.slides.append(Slide("", f"<h2>Your turn</h2><p class='lead'>The exercises are at the end of the lesson: <code>make lab</code>, then <code>nbs/{place(self.path)}</code></p>", [], "section"))
        return self.slides


# --- the page ---------------------------------------------------------------------------------------------------------

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}: slides</title>
<style>{reveal}</style>
<style>{looks}</style>
</head>
<body>
<div class="reveal"><div class="slides">
{slides}
</div></div>
<script>{script}</script>
<script>{notes}</script>
<script>{start}</script>
</body>
</html>
"""

START = """
// What is too large for its slide is made smaller, before reveal.js hides the slides.
document.body.classList.add("measured");
for (const box of document.querySelectorAll(".fit")) {
  const slide = box.closest("section"), room = HEIGHT - box.offsetTop - 24;
  const most = slide.classList.contains("flipbook") ? 1.8 : slide.classList.contains("table") ? 1.7 : 1;
  const wide = Math.max(1, ...[...box.querySelectorAll("table, pre, img, .flipbook")].map(part => part.scrollWidth));
  const high = Math.max(...[...box.children].map(part => part.offsetTop + part.offsetHeight - box.offsetTop));
  const scale = Math.min(most, room / high, Math.max(1, WIDTH * 0.98 / wide), WIDTH / box.scrollWidth);
  if (scale !== 1) { box.style.zoom = Math.floor(scale * 100) / 100; slide.dataset.scale = box.style.zoom; }
}
document.body.classList.remove("measured");
Reveal.initialize({ width: WIDTH, height: HEIGHT, margin: 0.03, center: false, hash: true, slideNumber: "c/t", controls: false, transition: "none", plugins: [RevealNotes] });
"""


def section(slide):
    heading = f"<h3>{slide.heading}</h3>" if slide.heading else ""
    notes = f"<aside class='notes'>{html(chr(10).join(n + chr(10) for n in slide.notes))}</aside>" if slide.notes else ""
    return f"<section class='{slide.kind}'>{heading}<div class='fit'>{slide.body}</div>{notes}</section>"


def page(path):
    """The slides of a lesson as one HTML file."""
    def part(name): return (HERE / "reveal" / name).read_text(encoding="utf-8").replace("//# sourceMappingURL=reveal.js.map", "")
    start = START.replace("WIDTH", str(WIDTH)).replace("HEIGHT", str(HEIGHT))
    return PAGE.format(title=escape(label(path)), reveal=part("reveal.css"), looks=part("looks.css"), script=part("reveal.js"), notes=part("notes.js"),
                       start=start, slides="\n".join(map(section, Maker(path).make())))


def chosen(name):
    """The lesson of a number or a name. SystemExit with the ones there are."""
    found = [p for p in lessons(ROOT) if name in (p.stem, p.name, p.stem[:2], p.stem[3:], f"nbs/{p.name}")]
    if not found: sys.exit(f"there is no lesson {name!r}; there are {', '.join(p.stem for p in lessons(ROOT))}")
    return found[0]


def main(names, out=ROOT / "_slides"):
    for path in [chosen(n) for n in names] or lessons(ROOT):
        out.mkdir(exist_ok=True)
        to = out / f"{path.stem}.html"
        to.write_text(page(path), encoding="utf-8")
        print(f"{to.relative_to(ROOT) if to.is_relative_to(ROOT) else to}: {to.stat().st_size / 1e6:.1f} MB; open it in a browser, arrows turn, S shows the notes, F fills the screen")


if __name__ == "__main__": main(sys.argv[1:])

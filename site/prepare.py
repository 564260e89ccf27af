"""Before the pages are made: writes what can be read off the notebooks, the package and nbs/references.yml.

Makes index.qmd, api/*.qmd, nbs/references.qmd and nbs/glossary.qmd. Quarto and `site/render.py` both run it.
"""
import ast
import io
import json
import os
import re
import sys
import tokenize
import unicodedata
from dataclasses import dataclass
from functools import cache, cached_property, partial
from importlib import import_module
from pathlib import Path

import yaml

from transfer_course.door import Kind

ROOT = Path(os.environ.get("QUARTO_PROJECT_DIR") or Path(__file__).resolve().parent.parent)
sys.path.insert(0, str(Path(__file__).resolve().parent))
from shared import REPO, anchor, card, cited, kept, label, lessons, notebooks, place, read, reading, room, seconds  # noqa: E402
from shared import glossary as words_of_the_course  # noqa: E402


def write(path, text):
    """Write only what changed: Quarto renders a page again when its file is newer."""
    path = ROOT / path
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text: path.write_text(text, encoding="utf-8")
    return path


def head(title, description, *more):
    """Front matter of a page that is made here."""
    return "\n".join(["---", f'title: "{title}"', f'description: "{description}"', f"{card(ROOT)}repo-actions: false", *more, "---", ""])


# --- the front page -------------------------------------------------------------------------------------------------

def what_it_measures():
    """{number of a lesson: text} from the table in the map of the course."""
    return dict(re.findall(r"^\| \[?(\d\d) · [^|]*\| ([^|]*) \|", "\n".join(read(ROOT / "nbs" / "index.ipynb").prose), re.M))


def minutes(name):
    """How long all cells of a notebook took, as text; a dash where it was not measured."""
    s = seconds(ROOT).get(name)
    return "–" if s is None else f"{max(s / 60, 0.1):.1f}"


def the_map():
    texts = what_it_measures()
    rows = [f"| [{label(p)}](nbs/{p.name}) | {texts.get(p.stem[:2]) or read(p).promise} | {reading(p)} | {minutes(p.name)} |" for p in lessons(ROOT)]
    cores = seconds(ROOT, "cores")
    note = "Minutes to read: a minute for 150 words, without the exercises." + (f" Minutes to compute: every cell once, measured on {cores} cores.\n" if cores else "\n")
    return "\n".join(["::: {.map-of-lessons}", "| lesson | what it measures | to read | to compute |", "|:---|:---|---:|---:|", *rows, ":::", "", note])


def how_long():
    """Reading and computing, apart."""
    books, known = lessons(ROOT), [s for p in lessons(ROOT) if (s := seconds(ROOT).get(p.name)) is not None]
    hours = sum(map(reading, books)) / 60
    text = f"{len(books)} lessons, {hours:.0f} hours to read; exercises come on top."
    if known: text += f" The computer needs about {sum(known) / len(known):.0f} seconds for each lesson: the mean of {len(known)}, on {seconds(ROOT, 'cores')} cores."
    return text


# A reading path: (name, what the reader wants, numbers of lessons)
PATHS = [("In a hurry", "to use a pretrained network on your own pictures", "01 03 04 19"),
         ("Language", "to know what a network that reads brings", "01 03 09 20"),
         ("Is it safe?", "to judge what somebody else has transferred", "15 16 17")]


def the_paths():
    """The reading paths, with their minutes."""
    at, rows = {p.stem[:2]: p for p in lessons(ROOT)}, []
    for name, wish, numbers in PATHS:
        books = [at[n] for n in numbers.split()]
        rows.append(f"- **{name}**, {wish}: {' → '.join(f'[{label(p)}](nbs/{p.name})' for p in books)}. {sum(map(reading, books))} minutes to read.")
    return "\n".join(rows)


PLAY = """<p><button type="button" class="play">Play</button></p>
<script>
addEventListener("DOMContentLoaded", () => {
  const box = document.querySelector(".front .flipbook"), slider = box.querySelector("input"), button = document.querySelector(".front .play");
  let timer = 0, left = 0;
  const stop = () => { clearInterval(timer); timer = 0; button.textContent = "Play"; };
  const step = () => {
    slider.value = (+slider.value + 1) % (+slider.max + 1); slider.oninput();
    if (--left <= 0) stop();
  };
  const play = () => { left = +slider.max + 1; timer = setInterval(step, 450); button.textContent = "Stop"; };
  button.onclick = () => timer ? stop() : play();
  slider.addEventListener("pointerdown", stop); slider.addEventListener("keydown", stop);
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) play();
});
</script>"""


def the_picture():
    """What a pretrained start buys, from the rows that lesson 01 shows."""
    import curves
    from filter import pack_html
    rows = ROOT / "nbs" / "results" / "learning_curves.json"
    book = kept(ROOT, "front", rows.read_text(encoding="utf-8"), lambda: pack_html(curves.picture(rows)))
    lesson = ROOT / "nbs" / "01-learning_curves.ipynb"
    return (f"```{{=html}}\n{book}\n{PLAY}\n```\n\nOne network starts from what it learned on other photographs, the other from nothing. Lines are means of five runs, bands hold all five. "
            f"On the last target the start is of no use: its pixels are shuffled. From [{label(lesson)}](nbs/{lesson.name}).\n")


# --- the sidebar ------------------------------------------------------------------------------------------------------

PARTS = {"Part 1: what transfers": r"0[1-4]-", "Part 2: kinds of transfer, and fields": r"0[5-9]-|[12]\d-"}
BEHIND = {"Workbench": r"workbench/", "Checks of the exercises": r"checks/", "Programs": r"programs/[0-8]"}  # folded, until one is open


def sections(parts):
    """The notebooks of each part. A part without notebooks is left out, and so are old addresses."""
    for part, names in parts.items():
        books = [{"href": f"nbs/{place(p)}", "text": label(p).partition(":")[0] if room(p) else label(p)} for p in notebooks(ROOT) if re.match(names, place(p))]
        if books: yield {"section": part, "contents": books}


def sidebar():
    """site/_sidebar.yml: the pages by rooms."""
    contents = [{"href": "index.qmd", "text": "Home"}, {"href": "nbs/index.ipynb", "text": "The map of the course"}, *sections(PARTS)]
    if behind := list(sections(BEHIND)): contents.append({"section": "Behind the lessons", "contents": behind})
    others = [f"nbs/{p.name}" for p in notebooks(ROOT) if not room(p) and not p.name[:2].isdigit() and p.stem != "index"]
    contents.append({"section": "Reference", "contents": [*others, "nbs/glossary.qmd", "nbs/references.qmd", {"href": "api/index.qmd", "text": "Functions"}]})
    write("site/_sidebar.yml", yaml.safe_dump({"website": {"sidebar": {"contents": contents}}}, sort_keys=False, allow_unicode=True))


# --- the functions ----------------------------------------------------------------------------------------------------

def comments(source):
    """{line: comment} of a module."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {t.start[0]: t.string.lstrip("# ").strip() for t in tokens if t.type == tokenize.COMMENT}


def plain(text):
    """Text of a docstring as Markdown: nothing in it is markup, but code in backticks, and a DOI is a link."""
    parts = re.split(r"(`[^`]*`)", text)
    for i in range(0, len(parts), 2):
        parts[i] = re.sub(r"([\\*_<>\[\]|$^~@#])", r"\\\1", parts[i])
    text = "".join(parts)
    text = re.sub(r"(?<![\w/])doi:(10\.\d{4,}/(?:\([^\s)]*\)|[^\s;,()])+?)(?=[.:]?(?:[\s;,)]|$))", lambda m: f"[doi:{m[1]}](https://doi.org/{unescape(m[1])})", text)
    return re.sub(r"(?<![\w/])arXiv:(\d{4}\.\d{4,5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", text)


def unescape(text): return re.sub(r"\\(.)", r"\1", text)


@dataclass
class Module:
    """An exported module, as its page tells it."""
    name: str  # "gabor", "checks.gabor"
    book: Path  # the notebook
    source: str

    def __post_init__(self):
        self.tree, self.notes = ast.parse(self.source), comments(self.source)
        listed = [n.value for n in self.tree.body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "__all__"]
        self.exported = ast.literal_eval(listed[0]) if listed else []
        cells = json.loads(self.book.read_text(encoding="utf-8"))["cells"]
        self.hidden = {c["id"] for c in cells if re.match(r"#\|\s*exporti", "".join(c["source"]))}
        self.marks = [(line, note.rpartition("#")[2]) for line, note in self.notes.items() if note.startswith("%% ")]

    @cached_property
    def space(self):
        """The names of the module, to look up what an annotation stands for."""
        return vars(import_module(f"transfer_course.{self.name}"))

    def cell(self, node):
        """The id of the cell that a definition comes from."""
        return max(((line, cell) for line, cell in self.marks if line < node.lineno), default=(0, ""))[1]

    def file(self): return self.name.replace(".", "/") + ("/__init__" if self.book.stem == "00-frame" else "")

    def words(self, annotation):
        """What an argument may be: a kind of the door in words, anything else as code."""
        if annotation is None: return ""
        kind = eval(ast.unparse(annotation), dict(self.space))
        return plain(repr(kind)) if isinstance(kind, Kind) else f"`{ast.unparse(annotation)}`"


def parameters_of(node):
    """[(name with its stars, argument, default)] without self"""
    a = node.args
    first = a.posonlyargs + a.args
    defaults = [None] * (len(first) - len(a.defaults)) + a.defaults
    rows = list(zip([p.arg for p in first], first, defaults))
    rows += [("*" + a.vararg.arg, a.vararg, None)] if a.vararg else []
    rows += list(zip([p.arg for p in a.kwonlyargs], a.kwonlyargs, a.kw_defaults))
    rows += [("**" + a.kwarg.arg, a.kwarg, None)] if a.kwarg else []
    return [r for r in rows if r[0] not in ("self", "cls")]


def signature(node, name):
    """The call, one parameter a line where it is long. What each one may be stands in the table below it."""
    a, parts = node.args, []
    for shown, arg, default in parameters_of(node):
        if a.kwonlyargs and arg is a.kwonlyargs[0] and not a.vararg: parts.append("*")
        parts.append(shown + (f"={ast.unparse(default)}" if default is not None else ""))
        if a.posonlyargs and arg is a.posonlyargs[-1]: parts.append("/")
    flat = f"{name}({', '.join(parts)})"
    return flat if len(flat) < 90 else f"{name}(\n" + "".join(f"    {p},\n" for p in parts) + ")"


def parameters(node, module):
    """The table of parameters: name, default, what it may be, what it is."""
    rows = [(name, default, module.words(p.annotation), plain(module.notes.get(p.lineno, ""))) for name, p, default in parameters_of(node)]
    if not any(default is not None or words or note for _, default, words, note in rows): return ""  # the call says as much
    kinds = any(words for _, _, words, _ in rows)
    lines = ["| parameter | default | must be | what it is |", "|:---|:---|:---|:---|"] if kinds else ["| parameter | default | what it is |", "|:---|:---|:---|"]
    for name, default, words, note in rows:
        shown = f"`{ast.unparse(default)}`".replace("|", chr(92) + "|") if default is not None else ""
        cells = [f"`{name}`", shown, words.replace("|", chr(92) + "|"), note] if kinds else [f"`{name}`", shown, note]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def docstring(node):
    text = ast.get_docstring(node) or ""
    return "\n\n".join(plain(" ".join(p.split())) for p in re.split(r"\n\s*\n", text))


def patched(node):
    """The names of the classes to which fastcore's `@patch` attaches a function."""
    if not isinstance(node, ast.FunctionDef) or not any(re.match(r"patch\b", ast.unparse(d)) for d in node.decorator_list): return []
    first = (node.args.posonlyargs + node.args.args)[0].annotation
    return re.findall(r"\w+", ast.unparse(first)) if first is not None else []


def is_property(node): return any(ast.unparse(d) in ("property", "cached_property", "patch(as_prop=True)") for d in node.decorator_list)


def methods_of(node, module):
    """The public methods of a class: those in it, and those that are attached to it in the same module."""
    inner = [n for n in node.body if isinstance(n, ast.FunctionDef)]
    attached = [n for n in module.tree.body if node.name in patched(n) and module.cell(n) not in module.hidden]
    return [m for m in inner + attached if not m.name.startswith("_")]


def entry(node, module, owner="", level="##", inside=False):
    """One function, class or method in Markdown."""
    is_class = isinstance(node, ast.ClassDef)
    name = f"{owner}.{node.name}" if owner else node.name
    start = next((m for m in node.body if isinstance(m, ast.FunctionDef) and m.name == "__init__"), None) if is_class else node
    bare = is_class and start is None or not is_class and is_property(node)
    call = ("class " if is_class else "") + name if bare else signature(start, name)
    where = f"{'Built' if room(module.book) else 'Taught'} in [{label(module.book)}](../nbs/{place(module.book)}) · [source]({REPO}/blob/main/transfer_course/{module.file()}.py#L{node.lineno})"
    parts = [f"{level} {name} {{#{name}}}", f"::: {{.signature}}\n```python\n{call}\n```\n:::", docstring(node),
             "" if bare else parameters(start, module), "" if inside else f"::: {{.taught}}\n{where}\n:::"]
    inner = methods_of(node, module) if is_class else []
    return "\n\n".join([*filter(None, parts), *(entry(m, module, name, level + "#", True) for m in inner)])


def public(module):
    """[(definition, class that it is attached to)]: what the module lists, and public methods for classes of other modules."""
    found, own = [], {n.name for n in module.tree.body if isinstance(n, ast.ClassDef)}
    for n in module.tree.body:
        if isinstance(n, (ast.FunctionDef, ast.ClassDef)) and n.name in module.exported and not patched(n): found.append((n, ""))
        if patched(n) and not n.name.startswith("_") and module.cell(n) not in module.hidden:
            found += [(n, owner) for owner in patched(n) if owner not in own]
    return found


def borrowed(module):
    """{name: module that defines it}: what the module lists and has from another one."""
    here = module.name if module.file().endswith("__init__") else module.name.rpartition(".")[0]
    found = {}
    for n in module.tree.body:
        if not isinstance(n, ast.ImportFrom) or not n.level: continue
        above = here.split(".")[:len(here.split(".")) - n.level + 1] if here else []
        found |= {a.asname or a.name: ".".join([*above, *filter(None, [n.module])]) for a in n.names if (a.asname or a.name) in module.exported}
    return found


@cache
def modules():
    """Every exported module, in the order of the notebooks; old addresses are left out."""
    found = []
    for book in notebooks(ROOT):
        name = read(book).module
        file = ROOT / "transfer_course" / (name.replace(".", "/") + ".py")
        if not file.exists(): file = file.with_suffix("") / "__init__.py"
        if name and file.exists() and not re.match("programs/9", place(book)): found.append(Module(name, book, file.read_text(encoding="utf-8")))
    return found


@cache
def listed():
    """The modules that list something for users: these have a page."""
    return [m for m in modules() if public(m)]


@cache
def described():
    """{module: names that its page describes}"""
    return {m.name: {n.name for n, _ in public(m)} for m in listed()}


def again(module):
    """A line on what the module hands on, with links to where it is described."""
    links = [f"[`{name}`]({home}.qmd#{name})" for name, home in borrowed(module).items() if name in described().get(home, ())]
    return f"It hands on, from other rooms: {', '.join(links)}." if links else ""


def kinds(module):
    """The kinds of arguments that a module defines, in words."""
    made = {t.id for n in module.tree.body if isinstance(n, ast.Assign) for t in n.targets if isinstance(t, ast.Name)}
    rows = [f"| `{n}` | {plain(repr(module.space[n]))} |" for n in module.exported if n in made and isinstance(module.space[n], Kind)]
    return "\n".join(["| kind | what the argument must be |", "|:---|:---|", *rows]) if rows else ""


def groups(module):
    """[(heading, [(definition, owner)])] of what a module lists: functions, classes, methods that it attaches to classes of others."""
    found = {"Functions": [], "Classes": [], "Methods of other classes": []}
    for node, owner in public(module): found["Methods of other classes" if owner else "Classes" if isinstance(node, ast.ClassDef) else "Functions"].append((node, owner))
    return [(name, rows) for name, rows in found.items() if rows]


def api_page(module):
    top = head(f"transfer_course.{module.name}", f"The functions of {module.name}: signatures, parameters, sources", "toc-depth: 3")
    package, _, name = f"transfer_course.{module.name}".rpartition(".")
    intro = f"From the notebook [{label(module.book)}](../nbs/{place(module.book)}). Import it by `from {package} import {name}`."
    parts, level = groups(module), "##"
    if len(parts) + bool(kinds(module)) > 1: level = "###"
    body = []
    for heading, rows in parts: body += [f"## {heading}"] * (level == "###") + [entry(n, module, owner, level) for n, owner in rows]
    if kinds(module): body += ["## Kinds of arguments"] * (level == "###") + [kinds(module)]
    return "\n\n".join([top, intro, *filter(None, [again(module)]), *body]) + "\n"


def first_line(node): return plain(" ".join((ast.get_docstring(node) or "").strip().split("\n\n")[0].split()))


def index_rows(module):
    """A row for each definition, and for each method of a class below it."""
    for node, owner in public(module):
        inner = methods_of(node, module) if isinstance(node, ast.ClassDef) else []
        name = f"{owner}.{node.name}" if owner else node.name
        for n, shown in [(node, name), *((m, f"{name}.{m.name}") for m in inner)]:
            yield f"| [`{shown}`]({module.name}.qmd#{shown}) | {first_line(n)} |"


SHELVES = {"Lessons": r"\d\d-", "Workbench: the ground": r"workbench/0", "Workbench: data and networks": r"workbench/[12]",
           "Workbench: what trains, measures and draws": r"workbench/[3-9]", "Checks of the exercises": r"checks/", "Programs": r""}


def shelf(module): return next(name for name, names in SHELVES.items() if re.match(names, place(module.book)))


def index_of(module):
    """The rows of a module in the index of all functions."""
    rows = list(index_rows(module))
    table = ["| function | what it does |", "|:---|:---|", *rows]
    return [f"### [{module.name}]({module.name}.qmd)", f"From [{label(module.book)}](../nbs/{place(module.book)}).", "\n".join(table)] if rows else []


def api():
    """api/NAME.qmd for every module, and api/index.qmd."""
    sources = "".join(f.read_text(encoding="utf-8") for f in sorted((ROOT / "transfer_course").rglob("*.py")))
    body, shelves = [], {}
    for module in listed():
        write(f"api/{module.name}.qmd", kept(ROOT, f"api-{module.name}", sources + module.book.read_text(encoding="utf-8"), partial(api_page, module)))
        shelves.setdefault(shelf(module), []).extend(index_of(module))
    for name in SHELVES: body += [f"## {name}", *shelves[name]] if shelves.get(name) else []
    top = head("Functions", "Every public function of the package, with its parameters, its source and its lesson", "toc-depth: 3")
    write("api/index.qmd", "\n\n".join([top, "What a notebook builds becomes a module of the same name: lessons first, then what they stand on.", *body]) + "\n")
    for old in set((ROOT / "api").glob("*.qmd")) - {ROOT / "api" / f"{m.name}.qmd" for m in listed()} - {ROOT / "api" / "index.qmd"}: old.unlink()


# --- the references -----------------------------------------------------------------------------------------------------

def link(ref):
    """Every address of a work."""
    found = [f"[doi:{ref['doi']}](https://doi.org/{ref['doi']})"] if "doi" in ref else []
    found += [f"[arXiv:{ref['arxiv']}](https://arxiv.org/abs/{ref['arxiv']})"] if "arxiv" in ref else []
    return ", ".join(found)


def short(path):
    """The number of a lesson, the name of a room."""
    return path.stem[:2] if path in lessons(ROOT) else "map" if path.stem == "index" else read(path).module or path.stem


def references():
    """nbs/references.qmd: each work once, with the notebooks that cite it."""
    refs = yaml.safe_load((ROOT / "nbs" / "references.yml").read_text(encoding="utf-8"))
    where = cited(ROOT)
    lines = [head("References", "Every work that a notebook cites, and where", "toc: false"),
             "The numbers lead to the notebooks."]
    for ref in sorted(refs, key=lambda r: (r["authors"].split(",")[0].lower(), r["year"])):
        books = sorted({p for key in ("doi", "arxiv") if key in ref for p in where.get(str(ref[key]).lower(), ())})
        if not books: continue
        links = ", ".join(f"[{short(p)}]({place(p)})" for p in books)
        text = f"{ref['authors']} ({ref['year']}). *{ref['title']}*. {ref.get('where', '')}".strip()
        lines.append(f"[]{{#{ref['id']}}}{text}{'' if text.endswith('.') else '.'} {link(ref)}. Cited in {links}.")
    write("nbs/references.qmd", "\n\n".join(lines) + "\n")


# --- the glossary -------------------------------------------------------------------------------------------------------

def letter(term): return unicodedata.normalize("NFD", term)[0].upper()


def glossary():
    """nbs/glossary.qmd: each term with one sentence, and the notebook that uses it, where that is written; by letters."""
    at = {p.stem[:2]: p for p in lessons(ROOT)} | {read(p).module: p for p in notebooks(ROOT) if room(p)}
    words = words_of_the_course(ROOT)
    letters = sorted({letter(w["term"]) for w in words})
    lines = [head("Glossary", "The words of the course, each in one sentence", "toc: false"),
             "Each term links to the notebook where you meet it first. In the lessons, the first use of a term links here.",
             "::: {.letters}\n" + " ".join(f"[{c}](#letter-{c.lower()})" for c in letters) + "\n:::"]
    for c in letters:
        lines.append(f"## {c} {{#letter-{c.lower()}}}")
        for word in (w for w in words if letter(w["term"]) == c):
            book = at.get(word["lesson"])
            more = f" [{label(book)}]({place(book)})" if book else ""
            lines.append(f"[**{word['term']}**]{{#{anchor(word['term'])}}}: {word['text']}{more}")
    write("nbs/glossary.qmd", "\n\n".join(lines) + "\n")


def home():
    """index.qmd: the text of home.md, with what is made here in the places that it names."""
    text = (ROOT / "site" / "home.md").read_text(encoding="utf-8").replace("toc: false\n", "toc: false\n" + card(ROOT, ""), 1)
    for name, make in {"map": the_map, "picture": the_picture, "paths": the_paths, "how long": how_long}.items(): text = text.replace(f"<!-- {name} -->", make())
    write("index.qmd", text)


def main():
    home()
    api()
    references()
    glossary()
    sidebar()
    from filter import fill
    fill()


if __name__ == "__main__": main()

"""Before the pages are made: writes what can be read off the notebooks, the package and nbs/references.yml.

Makes index.qmd, api/*.qmd, nbs/references.qmd and nbs/glossary.qmd. Quarto and `site/render.py` both run it.
"""
import ast
import io
import os
import re
import sys
import tokenize
from pathlib import Path

import yaml

ROOT = Path(os.environ.get("QUARTO_PROJECT_DIR") or Path(__file__).resolve().parent.parent)
sys.path.insert(0, str(Path(__file__).resolve().parent))
from shared import REPO, card, cited, lessons, notebooks, read, seconds, title  # noqa: E402


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
    rows = [f"| [{p.stem[:2]} · {title(p)}](nbs/{p.name}) | {texts.get(p.stem[:2]) or read(p).promise} | {minutes(p.name)} |" for p in lessons(ROOT)]
    cores = seconds(ROOT, "cores")
    note = f"Minutes to run every cell once, measured on {cores} cores.\n" if cores else ""
    return "\n".join(["::: {.map-of-lessons}", "| lesson | what it measures | minutes |", "|:---|:---|---:|", *rows, ":::", "", note])


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
    """The flipbook that turns a Gabor filter, and the lesson it is from; the first one there is, else."""
    books = [(b, p) for p in lessons(ROOT) for b in read(p).flipbooks]
    turned = [(b, p) for b, p in books if "Theta of a Gabor" in b]
    if not books: return ""
    book, path = (turned or books)[0]
    words = "Turn the filter, and other edges answer. Networks find such filters by themselves: " if turned else "From "
    return f"```{{=html}}\n{book}\n{PLAY}\n```\n\n{words}[{path.stem[:2]} · {title(path)}](nbs/{path.name}).\n"


# --- the sidebar ------------------------------------------------------------------------------------------------------

PARTS = {"Part 1: what transfers": r"0[1-4]-", "Part 2: kinds of transfer, and fields": r"0[5-9]-|1\d-", "Workbench": r"9\d-"}


def sidebar():
    """site/_sidebar.yml: the pages by parts. A part without pages is left out."""
    contents = [{"href": "index.qmd", "text": "Home"}, {"href": "nbs/index.ipynb", "text": "The map of the course"}]
    for part, names in PARTS.items():
        books = [{"href": f"nbs/{p.name}", "text": f"{p.stem[:2]} · {title(p)}"} for p in notebooks(ROOT) if re.match(names, p.name)]
        if books: contents.append({"section": part, "contents": books})
    functions = [{"href": f"api/{name}.qmd", "text": name} for name, _, _ in modules()]
    others = [f"nbs/{p.name}" for p in notebooks(ROOT) if not p.name[:2].isdigit() and p.stem != "index"]
    contents.append({"section": "Reference", "contents": [*others, "nbs/glossary.qmd", "nbs/references.qmd", {"section": "Functions", "href": "api/index.qmd", "contents": functions}]})
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


def signature(node, name):
    """The call, one parameter a line where it is long."""
    flat = f"{name}({ast.unparse(node.args)})"
    if len(flat) < 90: return flat
    whole, depth, out = ast.unparse(node.args), 0, [""]
    for c in whole:
        depth += c in "([{"
        depth -= c in ")]}"
        if c == "," and depth == 0: out.append("")
        else: out[-1] += c
    args = [a.strip() for a in out]
    return f"{name}(\n" + "".join(f"    {a},\n" for a in args) + ")"


def parameters(node, notes):
    """The table of parameters: name, default, what it is."""
    a = node.args
    plainly = a.posonlyargs + a.args
    defaults = [None] * (len(plainly) - len(a.defaults)) + a.defaults
    rows = list(zip([p.arg for p in plainly], plainly, defaults))
    rows += [("*" + a.vararg.arg, a.vararg, None)] if a.vararg else []
    rows += list(zip([p.arg for p in a.kwonlyargs], a.kwonlyargs, a.kw_defaults))
    rows += [("**" + a.kwarg.arg, a.kwarg, None)] if a.kwarg else []
    rows = [r for r in rows if r[0] not in ("self", "cls")]
    if not rows: return ""
    lines = ["| parameter | default | what it is |", "|:---|:---|:---|"]
    for name, p, default in rows:
        shown = f"`{ast.unparse(default)}`" if default is not None else ""
        lines.append(f"| `{name}` | {shown.replace('|', chr(92) + '|')} | {plain(notes.get(p.lineno, ''))} |")
    return "\n".join(lines)


def docstring(node):
    text = ast.get_docstring(node) or ""
    return "\n\n".join(plain(" ".join(p.split())) for p in re.split(r"\n\s*\n", text))


def entry(node, module, notes, lesson, owner=""):
    """One function or class in Markdown."""
    is_class = isinstance(node, ast.ClassDef)
    name = f"{owner}.{node.name}" if owner else node.name
    methods = [n for n in node.body if isinstance(n, ast.FunctionDef)] if is_class else []
    start = next((m for m in methods if m.name == "__init__"), None)
    call = signature(start, name).replace("(self, ", "(").replace("(self)", "()").replace("    self,\n", "") if start else f"class {name}" if is_class else signature(node, name)
    is_property = any(isinstance(d, ast.Name) and d.id == "property" for d in node.decorator_list)
    call = name if is_property else call.replace("(self, ", "(").replace("(self)", "()").replace("    self,\n", "") if owner else call
    source = f"{REPO}/blob/main/transfer_course/{module}.py#L{node.lineno}"
    where = f"Taught in [{lesson.stem[:2]} · {title(lesson)}](../nbs/{lesson.name}) · [source]({source})"
    level = "###" if owner else "##"
    parts = [f"{level} {name} {{#{name}}}", f"::: {{.signature}}\n```python\n{call}\n```\n:::", docstring(node),
             "" if is_property else parameters(start or node, notes) if start or not is_class else "", "" if owner else f"::: {{.taught}}\n{where}\n:::"]
    public = [m for m in methods if not m.name.startswith("_")]
    return "\n\n".join([*filter(None, parts), *(entry(m, module, notes, lesson, name) for m in public)])


def public(tree):
    names = next((ast.literal_eval(n.value) for n in tree.body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "__all__"), None)
    kinds = (ast.FunctionDef, ast.ClassDef)
    return [n for n in tree.body if isinstance(n, kinds) and (n.name in names if names is not None else not n.name.startswith("_"))]


def modules():
    """(name, notebook, source) of every exported module, in the order of the notebooks."""
    found = []
    for path in (ROOT / "transfer_course").glob("[!_]*.py"):
        source = path.read_text(encoding="utf-8")
        notebook = re.search(r"File to edit: \.\./nbs/(\S+\.ipynb)", source)
        if notebook and (ROOT / "nbs" / notebook[1]).exists(): found.append((path.stem, ROOT / "nbs" / notebook[1], source))
    return sorted(found, key=lambda m: m[1].name)


def api_page(name, lesson, source):
    tree, notes = ast.parse(source), comments(source)
    nodes = public(tree)
    top = head(f"transfer_course.{name}", f"The functions of {name}: signatures, parameters, sources", "toc-depth: 2")
    intro = f"From the notebook [{lesson.stem[:2]} · {title(lesson)}](../nbs/{lesson.name}). Import it by `from transfer_course import {name}`."
    return "\n\n".join([top, intro, *(entry(n, name, notes, lesson) for n in nodes)]) + "\n", nodes


def first_line(node): return plain(" ".join((ast.get_docstring(node) or "").strip().split("\n\n")[0].split()))


def api():
    """api/NAME.qmd for every module, and api/index.qmd."""
    found, index = modules(), [head("Functions", "Every public function of the package, with its parameters, its source and its lesson"),
                               "What a notebook builds becomes a module of the same name."]
    for name, lesson, source in found:
        page, nodes = api_page(name, lesson, source)
        write(f"api/{name}.qmd", page)
        if not nodes: continue
        index += [f"## [{name}]({name}.qmd)", f"From [{lesson.stem[:2]} · {title(lesson)}](../nbs/{lesson.name}).",
                  "\n".join(["| function | what it does |", "|:---|:---|", *(f"| [`{n.name}`]({name}.qmd#{n.name}) | {first_line(n)} |" for n in nodes)])]
    write("api/index.qmd", "\n\n".join(index) + "\n")
    for old in set((ROOT / "api").glob("*.qmd")) - {ROOT / "api" / f"{m[0]}.qmd" for m in found} - {ROOT / "api" / "index.qmd"}: old.unlink()


# --- the references -----------------------------------------------------------------------------------------------------

def link(ref):
    """Every address of a work."""
    found = [f"[doi:{ref['doi']}](https://doi.org/{ref['doi']})"] if "doi" in ref else []
    found += [f"[arXiv:{ref['arxiv']}](https://arxiv.org/abs/{ref['arxiv']})"] if "arxiv" in ref else []
    return ", ".join(found)


def references():
    """nbs/references.qmd: each work once, with the notebooks that cite it."""
    refs = yaml.safe_load((ROOT / "nbs" / "references.yml").read_text(encoding="utf-8"))
    where = cited(ROOT)
    lines = [head("References", "Every work that a notebook cites, and where", "toc: false"),
             "The numbers lead to the notebooks."]
    for ref in sorted(refs, key=lambda r: (r["authors"].split(",")[0].lower(), r["year"])):
        books = sorted({p for key in ("doi", "arxiv") if key in ref for p in where.get(str(ref[key]).lower(), ())})
        if not books: continue
        links = ", ".join(f"[{p.stem[:2] if p.stem != 'index' else 'map'}]({p.name})" for p in books)
        text = f"{ref['authors']} ({ref['year']}). *{ref['title']}*. {ref.get('where', '')}".strip()
        lines.append(f"[]{{#{ref['id']}}}{text}{'' if text.endswith('.') else '.'} {link(ref)}. Cited in {links}.")
    write("nbs/references.qmd", "\n\n".join(lines) + "\n")


# --- the glossary -------------------------------------------------------------------------------------------------------

def glossary():
    """nbs/glossary.qmd: each term with one sentence, and the notebook that uses it, where that is written."""
    at = {p.stem[:2]: p for p in notebooks(ROOT)}
    lines = [head("Glossary", "The words of the course, each in one sentence", "toc: false"),
             "Each term links to the notebook where you meet it first."]
    for word in sorted(yaml.safe_load((ROOT / "nbs" / "glossary.yml").read_text(encoding="utf-8")), key=lambda w: w["term"].lower()):
        book = at.get(word["lesson"])
        more = f" [{book.stem[:2]} · {title(book)}]({book.name})" if book else ""
        lines.append(f"[**{word['term']}**]{{#{re.sub('[^a-z0-9]+', '-', word['term'].lower())}}}: {word['text']}{more}")
    write("nbs/glossary.qmd", "\n\n".join(lines) + "\n")


def main():
    home = (ROOT / "site" / "home.md").read_text(encoding="utf-8")
    write("index.qmd", home.replace("toc: false\n", "toc: false\n" + card(ROOT, ""), 1).replace("<!-- map -->", the_map()).replace("<!-- picture -->", the_picture()))
    api()
    references()
    glossary()
    sidebar()


if __name__ == "__main__": main()

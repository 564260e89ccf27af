"""The built site: its links, words and sources; and in a real browser its looks and its sliders.

SITE=_site tests a site that is there, say one that Quarto made; otherwise `site/render.py` builds one first.
"""
import ast
import functools
import gc
import http.server
import inspect
import json
import os
import posixpath
import re
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml

bs4 = pytest.importorskip("bs4", reason="beautifulsoup4 comes with nbconvert, and is not here")

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 180_000  # milliseconds, for a machine that is busy with other tests
CODE = {"index.html", "nbs/01-learning_curves.html"}  # where axe looks at every word of the code too: it takes seconds a page
ROWS = 4  # of a table, that axe looks at: the others look the same
LIMIT = 3_000_000  # bytes of a page with its pictures
sys.path.insert(0, str(ROOT / "site"))
import shared  # noqa: E402
from filter import quoted, words_of  # noqa: E402
from filter import touched as touch  # noqa: E402
from prepare import PATHS, SHELVES, groups, is_property, kinds, letter, listed, modules, parameters_of, patched, public  # noqa: E402
from shared import anchor, citations, cited, kept, label, lessons, notebooks, place, read, reading, room, title  # noqa: E402
from words import Linker  # noqa: E402

sys.path.pop(0)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the built site."""
    if os.environ.get("SITE"): return Path(os.environ["SITE"]).resolve()
    for package in ("smalldocs", "latex2mathml"):
        if not find_spec(package): pytest.skip(f"the site is built here by smalldocs, and the package {package} is not here: pip install -e '.[dev]'")
    out = tmp_path_factory.mktemp("site") / "_site"
    done = subprocess.run([sys.executable, str(ROOT / "site" / "render.py"), str(out)], capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


INSIDE = re.compile(r"(data:[\w/+.-]+;base64,)[A-Za-z0-9+/=]+")
COLOURED = re.compile(r'<span class="[a-z]{2}">([^<]*)</span>')


@pytest.fixture(scope="module")
def pages(site):
    """{name: parsed page}; pictures that are inside a page are left out, and the colours of code: a third of all elements"""
    files = {p.relative_to(site).as_posix(): p for p in sorted(site.rglob("*.html")) if "site_libs" not in p.parts}
    assert files
    def parsed(path): return bs4.BeautifulSoup(COLOURED.sub(r"\1", INSIDE.sub(r"\1", path.read_text(encoding="utf-8"))), "html.parser")
    gc.disable()  # it would look through all elements again and again: half of the time
    try: found = {name: parsed(p) for name, p in files.items()}
    finally: gc.enable()
    gc.freeze()
    yield found
    gc.unfreeze()


ADDRESS = {"a": "href", "link": "href", "img": "src", "script": "src", "source": "src", "iframe": "src"}


@pytest.fixture(scope="module")
def targets(pages):
    """{name: [(tag, its address)]}: everything that a page points at or takes in"""
    return {name: [(t, t[ADDRESS[t.name]]) for t in soup.find_all(list(ADDRESS)) if t.has_attr(ADDRESS[t.name])] for name, soup in pages.items()}


def names_in(soup): return {t[k] for t in soup.find_all(True) for k in ("id", "name") if t.has_attr(k)}


def test_every_notebook_and_module_has_its_page(pages):
    assert {f"nbs/{place(p)}".replace(".ipynb", ".html") for p in notebooks(ROOT)} <= set(pages)
    files = {p.relative_to(ROOT / "transfer_course").with_suffix("").as_posix().replace("/", ".") for p in (ROOT / "transfer_course").rglob("*.py")}
    told = {n.removesuffix(".__init__") for n in files if n not in ("__init__", "_modidx", "programs.__init__")} - {"cli", "homework"}  # old addresses
    assert told == {m.name for m in modules()}
    assert {n for n in pages if n.startswith("api/")} == {f"api/{m.name}.html" for m in listed()} | {"api/index.html"}
    assert {"index.html", "nbs/glossary.html", "nbs/references.html", "api/index.html"} <= set(pages)


def test_links_and_anchors(site, pages, targets):
    known, broken = {name: names_in(soup) for name, soup in pages.items()}, []
    files = {p.relative_to(site).as_posix() for p in site.rglob("*") if p.is_file()}
    for name, found in targets.items():
        for href in {href for _, href in found}:
            parts = urlsplit(href)
            if parts.scheme in ("http", "https", "data", "mailto") or parts.netloc: continue
            to = posixpath.normpath(posixpath.join(posixpath.dirname(name), unquote(parts.path))) if parts.path else name
            if to not in files: to = posixpath.normpath(f"{to}/index.html")
            if to not in files: broken.append(f"{name}: {href}")
            elif parts.fragment and unquote(parts.fragment) not in known.get(to, {unquote(parts.fragment)}) | {"top"}: broken.append(f"{name}: no {href}")
    assert not broken, broken[:20]


def test_nothing_is_taken_from_elsewhere(site, targets):
    """A link may lead away; nothing that the page needs may come from there."""
    away = [f"{name}: {href[:100]}" for name, found in targets.items() for t, href in found
            if t.name != "a" and urlsplit(href).scheme in ("http", "https") and not is_only_said(t)]
    sheets = [f"{p.name}: {m}" for p in site.rglob("*.css") for m in re.findall(r"@import[^;]{0,60}|url\(\s*[\"']?https?:[^)]{0,60}", p.read_text(encoding="utf-8", errors="replace"))]
    assert not away + sheets


def is_only_said(tag):
    """<link rel=canonical> and the like load nothing."""
    return tag.name == "link" and set(tag.get("rel", [])) & {"canonical", "alternate", "next", "prev"}


def test_social_cards(site, pages):
    """Every page names itself, and a picture that is there."""
    home = yaml.safe_load((ROOT / "_quarto.yml").read_text(encoding="utf-8"))["website"]["site-url"]
    for name, soup in pages.items():
        said = {t.get("property", t.get("name")): t["content"] for t in soup.find_all("meta", content=True)}
        assert said["og:title"] and said["twitter:card"] == "summary_large_image" and said["og:image:alt"], name
        assert said["og:image"].startswith(home) and (site / said["og:image"].removeprefix(home + "/")).is_file(), f"{name}: {said['og:image']}"


def test_every_picture_is_told_in_words(pages):
    wordless = [f"{name}: {str(t)[:80]}" for name, soup in pages.items() for t in soup.find_all("img") if not t.has_attr("alt")]
    empty = [f"{name}: {str(t)[:80]}" for name, soup in pages.items() for t in soup.select("main img") if not t.get("alt", "").strip()]
    assert not wordless + empty


def test_words_of_pictures_are_yaml():
    """Quarto reads the options of a cell as YAML, and stops at a colon in a sentence without quotes."""
    cells = [c for p in notebooks(ROOT) for c in json.loads(p.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "code"]
    options = [m for c in cells for m in re.findall(r"^#\| *(fig-alt:.+)$", quoted("".join(c["source"])), re.M)]
    assert len(options) > 20 and all(isinstance(yaml.safe_load(o)["fig-alt"], str) for o in options)


def test_pages_are_small(site, pages):
    def weight(name): return (site / name).stat().st_size + sum(f.stat().st_size for f in {
        ((site / name).parent / unquote(t["src"])).resolve() for t in pages[name].find_all("img", src=re.compile(r"^(?!data:)(?!https?:)"))} if f.is_file())
    heavy = {name: f"{weight(name) / 1e6:.1f} MB" for name in pages if weight(name) > LIMIT}
    assert not heavy


def test_front_page(pages):
    """What, for whom, how long, how to begin; a picture that moves; ways through; every lesson with its minutes."""
    soup = pages["index.html"]
    words = " ".join(soup.select_one("main").get_text(" ").split())
    for part in ("What.", "For whom.", "How long.", "git clone", "make lab", "make test"): assert part in words, part
    assert "<!--" not in words and soup.select_one("main .front .flipbook img")["alt"]
    ways = [[Path(a["href"]).stem[:2] for a in li.select("a")] for li in soup.select("main section li, main li") if "minutes to read" in li.get_text()]
    assert ways == [numbers.split() for _, _, numbers in PATHS]
    rows = soup.select(".map-of-lessons tbody tr")
    assert [r.a.get_text() for r in rows] == [f"{p.stem[:2]} · {title(p)}" for p in lessons(ROOT)]
    for row, path in zip(rows, lessons(ROOT)):
        cells = [c.get_text().strip() for c in row.find_all("td")]
        assert all(cells) and len(cells) == 4 and int(cells[2]) == reading(path), cells


def first_run(soup):
    """How many cells of code of a page, seen or folded, stand before the first that shows a result."""
    cells = soup.select("main .cell")
    return next((i for i, c in enumerate(cells) if c.select_one(".cell-output")), len(cells))


def letters(text): return re.sub(r"\W", "", text)  # quotes, dashes and formulas may be set otherwise


def is_diagram(path):
    """Does a lesson show a diagram before its first section: one that is drawn in characters, or by code whose words say so?"""
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown" and any(re.search("[─→►│]", drawn) for drawn in re.findall(r"^```\s*\n(.*?)^```", source, re.M | re.S)): return True
        if cell["cell_type"] == "code" and re.search("diagram|boxes|columns of dots", words_of(source), re.I): return True
        if cell["cell_type"] == "markdown" and re.search(r"^## ", source, re.M): return False


@pytest.mark.parametrize("path", lessons(ROOT), ids=lambda p: p.stem)
def test_what_the_page_of_a_lesson_must_have(pages, path):
    """A title, a promise, a diagram, a first run within the first cells, and how long it is to read."""
    soup = pages[f"nbs/{path.stem}.html"]
    assert soup.select_one("main h1, #title-block-header h1").get_text().strip() == label(path)
    assert letters(soup.select_one(".description").get_text()) == letters(read(path).promise)
    top = soup.select_one("main").get_text(" ").partition("Exercises")[0]
    assert re.search(r"after (this|it)[^.]{0,30} you (can|know)|you learn", top[:3000], re.I), "no 'After this you can'"
    assert is_diagram(path), "no diagram before the first section"
    assert first_run(soup) < 8 and soup.select("main .cell"), "no result within the first cells"
    assert re.search(rf"{reading(path)} min to read", soup.select_one(".lesson-links").get_text())
    fold = soup.select_one("main details.elsewhere")
    assert "pip install git+https" in fold.get_text() and not fold.has_attr("open")


def test_lessons_can_be_opened_elsewhere(pages):
    for path in lessons(ROOT):
        hrefs = " ".join(a["href"] for a in pages[f"nbs/{path.stem}.html"].select(".lesson-links a"))
        assert "colab.research" in hrefs and "mybinder" in hrefs and "codespaces.new" in hrefs and hrefs.count(path.name) == 3 and f"../api/{path.stem[3:]}.html" in hrefs


def test_imports_are_folded(pages):
    """What a reader sees first of a lesson's code is not a list of imports."""
    for path in lessons(ROOT):
        cells = [c for c in pages[f"nbs/{path.stem}.html"].select("main .cell") if re.match(r"\s*(Imports\s*)?(import|from) \w", c.get_text())]
        assert cells and cells[0].select_one("details.code-fold"), path.name


def test_lessons_show_their_code(pages):
    """What a notebook exports is the course: the site shows it."""
    for path in lessons(ROOT):
        module = ROOT / "transfer_course" / f"{path.stem[3:]}.py"
        if not module.exists(): continue
        shown = " ".join(pages[f"nbs/{path.stem}.html"].select_one("main").get_text().split())
        for node in ast.parse(module.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef): assert f"def {node.name}(" in shown, f"{path.name} does not show {node.name}"


def test_formulas_need_no_script(pages):
    for name, soup in pages.items():
        assert all(t.find("math") for t in soup.find_all("span", class_="math")), name
        assert not soup.find_all("script", src=re.compile("katex|mathjax", re.I)), name
    assert pages["nbs/02-gabor.html"].find("math")


def test_sidebar_follows_the_rooms(pages):
    text = letters(pages["nbs/workbench/02-course.html"].select_one("#quarto-sidebar").get_text(" "))
    places = [text.index(letters(w)) for w in ("Part 1: what transfers", "Part 2:", "Workbench", "Checks of the exercises", "Programs", "Reference")]
    assert places == sorted(places)
    for path in notebooks(ROOT):
        if path.stem != "index" and not place(path).startswith("programs/9"): assert letters(label(path).partition(":")[0]) in text, path.name


def test_functions(pages):
    """What a module lists is on its page; what is exported for other modules alone is not."""
    for module in listed():
        soup = pages[f"api/{module.name}.html"]
        for node in module.tree.body:
            if not isinstance(node, (ast.FunctionDef, ast.ClassDef)) or patched(node): continue
            assert bool(soup.find(id=node.name)) == (node.name in module.exported), f"{module.name}.{node.name}"
        assert len(soup.select(".taught")) == len(public(module)), module.name


def test_functions_are_grouped(pages):
    """The index goes by shelves, a page by functions, classes and kinds; every module that lists something is in the index."""
    soup = pages["api/index.html"]
    shown = [h.get_text().strip() for h in soup.select("main h2")]
    assert shown == [name for name in SHELVES if name in shown] and len(shown) >= 4
    heads = [Path(a["href"]).name.partition(".html")[0] for a in soup.select("main h3 a[href]") if not a["href"].startswith("#")]
    assert len(set(heads)) == len(heads) and set(heads) == {m.name for m in listed()}
    for module in listed():
        parts = [h.get_text().strip() for h in pages[f"api/{module.name}.html"].select("main h2")]
        names = [name for name, _ in groups(module)] + ["Kinds of arguments"] * bool(kinds(module))
        assert parts == names or len(names) == 1, module.name


def methods():
    """(module, class, function) of every method that can be read in the package's source."""
    for module in modules():
        for node in module.tree.body:
            inner = node.body if isinstance(node, ast.ClassDef) and node.name in module.exported else []
            yield from ((module, node.name, n) for n in inner if isinstance(n, ast.FunctionDef))
            yield from ((module, owner, node) for owner in patched(node) if module.cell(node) not in module.hidden)


def test_methods_are_shown_with_their_parameters(pages):
    seen = 0
    for module, owner, node in methods():
        if node.name.startswith("_"): continue
        head = pages[f"api/{module.name}.html"].find(id=f"{owner}.{node.name}")
        assert head, f"{module.name}: {owner}.{node.name} is missing"
        box = head.find_parent("section") or head.parent
        rows = {c.get_text() for c in box.select("td code")}
        call = set(re.findall(r"\w+", head.find_next(class_="signature").get_text()))  # where nothing is to be told of any of them, there is no table
        if not is_property(node): assert all(name in rows or name.lstrip("*") in call for name, *_ in parameters_of(node)), f"{owner}.{node.name}"
        seen += 1
    assert seen > 10


def test_kinds_are_told_in_words(pages):
    """`epochs: Count()` is "a whole number of 1 or more" on the page, as it is in the sentence for a wrong call."""
    from transfer_course import training
    kind = inspect.signature(training.fit).parameters["epochs"].annotation
    text = pages["api/training.html"].select_one("main").get_text(" ")
    assert repr(kind) in text and "Count(" not in text and "Kind object" not in text


def test_citations_resolve(pages):
    works = yaml.safe_load((ROOT / "nbs" / "references.yml").read_text(encoding="utf-8"))
    known = [str(w[k]).lower() for w in works for k in ("doi", "arxiv") if k in w]
    assert len(known) == len(set(known)) and len({w["id"] for w in works}) == len(works)
    missing = {key: [p.name for p in where] for key, where in cited(ROOT).items() if key not in known}
    assert not missing, f"cited, but not in nbs/references.yml: {missing}"
    soup = pages["nbs/references.html"]
    assert set(cited(ROOT)) <= citations(" ".join(a["href"] for a in soup.select("main a[href]"))) <= set(known)


def test_glossary(pages):
    words = yaml.safe_load((ROOT / "nbs" / "glossary.yml").read_text(encoding="utf-8"))
    there = {p.stem[:2]: p.stem for p in lessons(ROOT)} | {read(p).module: place(p).removesuffix(".ipynb") for p in notebooks(ROOT) if room(p)}
    soup = pages["nbs/glossary.html"]
    assert len({w["term"].lower() for w in words}) == len(words)
    links = [Path(urlsplit(a["href"]).path).name for a in soup.select("main p a[href]") if "#" not in a["href"]]
    assert links == [f"{Path(there[w['lesson']]).name}.html" for w in sorted(words, key=lambda w: w["term"].lower()) if w["lesson"] in there]
    for w in words: assert w["text"].endswith((".", "?")) and w["text"].count(". ") == 0, f"one sentence for {w['term']}"
    jumps, heads = [a["href"] for a in soup.select(".letters a")], [h for h in soup.find_all(id=re.compile("^letter-"))]
    assert len(jumps) == len(heads) and [j.removeprefix("#letter-").upper() for j in jumps] == sorted({letter(w["term"]) for w in words})


SAMPLE = [{"term": t, "lesson": n, "text": f'What "{t}" is.'} for t, n in
          [("domain", "07"), ("domain adaptation", "07"), ("AUC", "12"), ("linear probe", "03"), ("ahead, behind", "01"), ("energy (of a pair)", "02"), ("few-shot", "03")]]


def linked(*cells, number="07"):
    link = Linker(SAMPLE, number)
    return [re.findall(r"\[([^]]*)\]\(glossary\.qmd#([\w-]+) ", link(c)) for c in cells]


def test_words_are_linked_once_and_where_they_are_words():
    assert linked("Two domains. One domain.", "A domain.") == [[("domains", "domain")], []]
    assert linked("**Domain adaptation** of a domain") == [[("Domain adaptation", "domain-adaptation"), ("domain", "domain")]]
    assert linked("auc, AUC, AUCs") == [[("AUC", "auc")]]
    assert linked("a linear\nprobe") == [[("linear\nprobe", "linear-probe")]]
    for left in ("`domain`", "```\ndomain\n```", "$domain$", "$$\ndomain\n$$", "[a domain](x.html)", "# The domain", "<b>domain</b>", "https://a.org/domain", "subdomain", "domain-wise", "![a domain](x.png)"):
        assert linked(left) == [[]], left
    assert linked("behind a wall", "it is *behind*, *ahead*") == [[], [("behind", "ahead-behind")]]
    assert linked("energy") == [[]] and linked("energy", number="02") == [[("energy", "energy-of-a-pair")]]
    assert "(glossary.qmd#auc \"What 'AUC' is.\"){.term}" in Linker(SAMPLE, "07")("AUC")


LINKED = {"a", "code", "pre", "math", "script", "style", "h1", "h2", "h3", "h4", "h5", "h6", "summary", "header"}
AROUND = {"cell", "lesson-links", "elsewhere", "description"}  # classes


def prose_of(tag):
    """The texts below a tag that are no link, code, heading or formula; bold and slanted ones between marks: a term of which a part stands in bold is not one."""
    for part in tag.children:
        if type(part) is bs4.NavigableString: yield part
        elif isinstance(part, bs4.Tag) and part.name not in LINKED and not AROUND & set(part.get("class", [])):
            mark = ["|"] if part.name in ("strong", "em") else []
            yield from [*mark, *prose_of(part), *mark]


def bare_words(soup):
    """The words of a lesson's prose that are no link, code, heading or formula."""
    return " ".join(" ".join(prose_of(soup.select_one("main"))).split())


@pytest.mark.parametrize("path", lessons(ROOT), ids=lambda p: p.stem)
def test_every_word_of_the_glossary_is_linked_at_its_first_use(pages, path):
    soup, words = pages[f"nbs/{path.stem}.html"], yaml.safe_load((ROOT / "nbs" / "glossary.yml").read_text(encoding="utf-8"))
    found = [unquote(urlsplit(a["href"]).fragment) for a in soup.select("main a.term")]
    assert len(found) == len(set(found)) >= 5 and all(a["title"] for a in soup.select("main a.term"))
    prose = bare_words(soup)
    for w in sorted(words, key=lambda w: -len(w["term"])):
        if "," in w["term"] or "(" in w["term"]: continue
        met = re.compile(rf"(?<![\w-]){re.escape(w['term'])}(?![\w-])")
        assert anchor(w["term"]) in found or not met.search(prose), f"{w['term']} is not linked: {prose[met.search(prose).start() - 40:][:90]}"
        prose = met.sub("", prose)  # "shift" inside of "covariate shift" is not its use


def test_what_is_kept_is_made_again_when_it_changes(tmp_path):
    for folder in ("site", "nbs/results"): (tmp_path / folder).mkdir(parents=True)
    made = []
    def make(text):
        made.append(text)
        return text
    assert [kept(tmp_path, "page", t, lambda t=t: make(t)) for t in ("a", "a", "b", "b")] == ["a", "a", "b", "b"]
    assert made == ["a", "b"] and len(list((tmp_path / ".site").iterdir())) == 1


def test_quarto_hears_of_a_changed_filter(tmp_path, monkeypatch):
    """It asks for the time of a notebook alone."""
    for folder in ("site", "nbs", ".site"): (tmp_path / folder).mkdir()
    book, stamp = tmp_path / "nbs" / "01-a.ipynb", tmp_path / ".site" / "made-by"
    book.write_text('{"cells": []}')
    monkeypatch.setattr("filter.ROOT", tmp_path)
    def touched():
        os.utime(book, (1, 1))
        shared.build_key.cache_clear()
        touch(stamp)
        return book.stat().st_mtime > 1
    assert [touched(), touched()] == [True, False]
    (tmp_path / "site" / "filter.py").write_text("x = 1")
    assert [touched(), touched()] == [True, False]
    shared.build_key.cache_clear()


# --- in a browser -----------------------------------------------------------------------------------------------------------

class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args): pass


@pytest.fixture(scope="module")
def address(site):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


FLIP = """box => [box.querySelector("input").value, [...box.querySelector("img").src].reduce((sum, c) => (31 * sum + c.charCodeAt(0)) | 0, 0),
                  box.querySelector("output").textContent, box.querySelector("input").getAttribute("aria-valuetext")]"""


def moves(page, box):
    """Does a flipbook turn by keyboard and by mouse? -> what is wrong"""
    slider, before, wrong = box.query_selector("input"), box.evaluate(FLIP), []
    slider.focus()
    page.keyboard.press("ArrowRight")
    after = box.evaluate(FLIP)
    if any(a == b for a, b in zip(before, after)): wrong.append(f"arrow key: {before} {after}")
    slider.scroll_into_view_if_needed()
    at = slider.bounding_box()
    page.mouse.click(at["x"] + at["width"] * 0.97, at["y"] + at["height"] / 2)
    last = box.evaluate(FLIP)
    if last[0] != slider.get_attribute("max") or last[1] == after[1]: wrong.append(f"mouse: {after} {last}")
    return wrong


def overflow(page):
    """The things that make a page wider than the screen."""
    return page.evaluate("""() => document.documentElement.scrollWidth <= innerWidth + 1 ? [] :
        [...document.querySelectorAll("main *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1).slice(0, 5)
        .map(e => e.tagName + "." + e.className + " " + Math.round(e.getBoundingClientRect().right))""")


def kind(name):
    """Pages of one kind have one frame: "lesson", a folder of rooms, or the page itself."""
    folder, _, file = name.rpartition("/")
    if folder == "nbs": return "lesson" if file[:2].isdigit() else name
    return f"{folder}/" if folder and file != "index.html" else name


# What says the same many times: the colours of code, rows of a table, letters of a formula
FEWER = """rows => {
    for (const code of document.querySelectorAll("pre code")) code.textContent = code.textContent;
    for (const row of document.querySelectorAll(`main tbody tr:nth-child(n+${rows + 1})`)) row.remove();
    [...document.querySelectorAll("main math")].slice(rows).forEach(math => math.replaceChildren());
}"""

# Of which elements is a page made: tag, classes, names of attributes, does it say something, and what is it inside of?
SHAPES = """() => [...new Set([...document.querySelectorAll("main *:not(pre *, math *, svg *)")].map(e => [e.tagName, [...e.classList].sort(),
    e.getAttributeNames().filter(a => !a.startsWith("data-") && !["id", "href", "src", "title", "style", "class"].includes(a)).sort(), !!e.textContent.trim(), e.parentElement.tagName].join("|")))]"""


def faults(axe, page, name, whole):
    """What axe finds: on one page of each kind everywhere, on the others in the lesson's own part; there, colours only in lessons, as all take theirs from one sheet."""
    if name not in CODE: page.evaluate(FEWER, ROWS)
    options = {"runOnly": ["wcag2a", "wcag2aa"], "resultTypes": ["violations"]}
    if not whole and kind(name) != "lesson": options["rules"] = {"color-contrast": {"enabled": False}}
    found = axe.run(page, context=None if whole else {"include": [["main"]]}, options=options).response["violations"]
    return [f"{v['id']}: {n['html'][:150]} {n.get('any', [{}])[0].get('message', '')[:160] if n.get('any') else ''}" for v in found
            if v["impact"] in ("serious", "critical") for n in v["nodes"][:3]]


def is_new(page, name, shapes):
    """Does axe have to look at it? At each lesson, at the first page of a kind, and where something stands that stood on no page before; what differs in words
    alone is looked at by `test_names_of_links_and_fields`."""
    made = {f"{name.partition('/')[0]}: {shape}" for shape in page.evaluate(SHAPES)}
    new = made - shapes
    shapes |= made
    return kind(name) == "lesson" or bool(new)


def visit(page, address, name, axe, whole, seen):
    """One page, seen narrow and wide: adds to seen, {what: [what is wrong]}"""
    def wrong(what, *said): seen[what] += [f"{name}: {w}" for w in said]
    page.set_viewport_size({"width": 375, "height": 800})
    page.goto(address + name, wait_until="load")
    wrong("narrow", *overflow(page))
    if (size := page.evaluate("parseFloat(getComputedStyle(document.querySelector('main')).fontSize)")) < 14: wrong("narrow", f"{size} px letters")
    books, new = page.query_selector_all(".flipbook"), is_new(page, name, seen["shapes"])
    if not books and not new: return
    page.set_viewport_size({"width": 1280, "height": 900})
    for box in books: wrong("flipbooks", *moves(page, box))
    if axe and new:
        wrong("axe", *faults(axe, page, name, whole))
        seen["axe saw"].append(name)


@pytest.fixture(scope="module")
def visits(browser, address, pages):
    axe = __import__("axe_playwright_python.sync_playwright", fromlist=["Axe"]).Axe() if find_spec("axe_playwright_python") else None
    seen = {"console": [], "elsewhere": [], "narrow": [], "axe": [], "flipbooks": [], "axe ran": axe is not None, "axe saw": [], "shapes": set()}
    context = browser.new_context(viewport={"width": 375, "height": 800}, reduced_motion="reduce")
    context.set_default_timeout(PATIENCE)
    page, kinds = context.new_page(), set()
    page.on("console", lambda m: seen["console"].append(f"{page.url}: {m.text[:200]}") if m.type == "error" else None)
    page.on("pageerror", lambda e: seen["console"].append(f"{page.url}: {str(e)[:200]}"))
    page.on("request", lambda r: None if r.url.startswith((address, "data:", "blob:")) else seen["elsewhere"].append(f"{page.url}: {r.url}"))
    for name in pages:
        visit(page, address, name, axe, kind(name) not in kinds, seen)
        kinds.add(kind(name))
    context.close()
    return seen


@pytest.mark.parametrize("what", ["console", "elsewhere", "narrow", "flipbooks"])
def test_in_a_browser(visits, what): assert not visits[what], visits[what][:20]


def test_axe(visits):
    if not visits["axe ran"]: pytest.skip("axe needs the package axe-playwright-python: pip install -e '.[dev]'")
    assert not visits["axe"], visits["axe"][:20]
    assert {f"nbs/{p.stem}.html" for p in lessons(ROOT)} < set(visits["axe saw"])


def test_names_of_links_and_fields(pages):
    """On every page, by its words: what axe would say of a link, a button or a field without a name, and of two things with one id."""
    wrong = []
    for name, soup in pages.items():
        for t in soup.select("a[href], button"):
            said = t.get_text(strip=True) or t.get("aria-label") or t.get("title") or any(i.get("alt") for i in t.find_all("img"))
            if not said and t.get("aria-hidden") != "true" and t.get("tabindex") != "-1": wrong.append(f"{name}: no words: {str(t)[:100]}")
        labelled = {t.get("for") for t in soup.find_all("label")}
        wrong += [f"{name}: no label: {str(t)[:100]}" for t in soup.select("main input:not([type=hidden]), main select")
                  if not (t.get("aria-label") or t.get("aria-labelledby") or t.get("title") or t.get("id") in labelled or t.find_parent("label"))]
        ids = [t["id"] for t in soup.body.find_all(id=True)]
        wrong += [f"{name}: twice: {i}" for i in {i for i in ids if ids.count(i) > 1}] if len(ids) != len(set(ids)) else []
        if not soup.html.get("lang") or not soup.title.get_text(strip=True): wrong.append(f"{name}: no language or title")
    assert not wrong, wrong[:20]


def test_there_are_flipbooks(pages): assert sum(len(s.select(".flipbook")) for s in pages.values()) >= 5


def test_the_front_page_moves_and_stops(browser, address):
    """It turns by itself for one round at most, and never for who asked for less motion."""
    page = browser.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(address)
    slider = page.query_selector(".front .flipbook input")
    page.wait_for_function("document.querySelector('.front .flipbook input').value > 0")
    page.wait_for_function("document.querySelector('.front .play').textContent === 'Play'")
    assert slider.input_value() == "0"
    page.click(".front .play")
    page.wait_for_function("document.querySelector('.front .flipbook input').value > 0")
    page.close()
    still = browser.new_page(reduced_motion="reduce")
    still.goto(address)
    still.wait_for_timeout(1500)  # three steps
    assert still.eval_on_selector(".front .flipbook input", "slider => slider.value") == "0"
    still.close()


def is_dark(page):
    red, green, blue = map(int, re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor"))[:3])
    return red + green + blue < 200


def test_dark_theme(browser, address):
    """Who prefers dark gets dark, with enough contrast; and a click changes it."""
    context = browser.new_context(color_scheme="dark", viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.goto(address + "nbs/02-gabor.html")
    assert is_dark(page)
    if find_spec("axe_playwright_python"):
        from axe_playwright_python.sync_playwright import Axe
        found = Axe().run(page, options={"runOnly": ["color-contrast"], "resultTypes": ["violations"]}).response["violations"]
        assert not found, [n["html"][:150] for v in found for n in v["nodes"]][:10]
    page.locator(".quarto-color-scheme-toggle").first.click()
    page.wait_for_timeout(500)
    assert not is_dark(page)
    context.close()


def test_search_knows_the_words(site):
    """Each word of the glossary that has a lesson leads to it."""
    words = yaml.safe_load((ROOT / "nbs" / "glossary.yml").read_text(encoding="utf-8"))
    index, at = json.loads((site / "search.json").read_text(encoding="utf-8")), {p.stem[:2]: p for p in lessons(ROOT)}
    leads = {e["section"]: e["href"] for e in index if e["objectID"].startswith("term-")}
    assert leads == {w["term"]: f"nbs/{at[w['lesson']].stem}.html" for w in words if w["lesson"] in at}
    assert not {e["href"].partition("#")[0] for e in index if e["href"].endswith(".html")} - {p.relative_to(site).as_posix() for p in site.rglob("*.html")}


FOUND = '#quarto-search-results a[href*=".html"], .smalldocs-search-results a[href*=".html"], .aa-Panel a[href*=".html"]'


def test_search(browser, address):
    """A word leads to its lesson, before any function, without a server elsewhere."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(PATIENCE)
    for word, lesson in {"linear probe": "03-features", "negative transfer": "01-|15-|07-", "gabor filter": "02-gabor"}.items():
        page.goto(address + "index.html")
        page.locator("#quarto-search input").first.click()
        page.keyboard.type(word)
        first = page.locator(FOUND).first
        first.wait_for()
        page.wait_for_timeout(1000)  # it searches after every letter
        assert re.search(rf"nbs/({lesson})", first.get_attribute("href")), (word, first.get_attribute("href"))
    first.click()
    page.wait_for_url("**/nbs/02-gabor.html*")
    page.close()


def test_code_keeps_its_spaces_and_diagrams_their_lines(browser, address):
    page = browser.new_page(viewport={"width": 375, "height": 800})
    page.set_default_timeout(PATIENCE)
    page.goto(address + "nbs/07-transductive.html")
    tokens = page.evaluate("""[...document.querySelectorAll("main pre code.sourceCode > span:not([id^=cb])")].map(s => getComputedStyle(s).display)""")
    drawn = page.evaluate("""[...document.querySelectorAll("main pre > code")].filter(c => /[►│┌└]/.test(c.textContent)).map(c => getComputedStyle(c).whiteSpace)""")
    bar = page.evaluate("document.querySelector('.quarto-secondary-nav').getBoundingClientRect().height")
    assert set(tokens) <= {"inline"} and set(drawn) == {"pre"} and bar < 70, (set(tokens), drawn, bar)
    page.close()


ON_PAPER = """() => ({ folded: document.querySelectorAll("main details:not([open])").length,
    around: [...document.querySelectorAll("#quarto-sidebar, #quarto-margin-sidebar, .nav-footer, .nav-page, footer, .elsewhere")].filter(e => e.getClientRects().length).map(e => e.id || e.className),
    cut: [...document.querySelectorAll("main pre, main table, main img")].filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80)) })"""


def test_a_lesson_on_paper(browser, address, site, tmp_path):
    """Nothing around the lesson, all answers open, nothing cut off at the right, and no more pages than its words and pictures need."""
    page = browser.new_page(viewport={"width": 720, "height": 1000})  # about as wide as A4 between its margins
    page.set_default_timeout(PATIENCE)
    page.goto(address + "nbs/01-learning_curves.html")
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    seen = page.evaluate(ON_PAPER)
    assert seen == {"folded": 0, "around": [], "cut": []}, seen
    sheets = len(re.findall(rb"/Type\s*/Page[^s]", page.pdf(format="A4", margin={side: "15mm" for side in ("top", "right", "bottom", "left")})))
    assert 5 < sheets < 60, f"{sheets} pages"
    page.close()

"""The website without Quarto: notebooks through site/filter.py, then smalldocs, into _site/.

smalldocs reads the same _quarto.yml. What it would take from the web is made here instead: formulas become MathML,
and no font is asked for. `make site` runs this where there is no Quarto.
"""
import os
import re
import shutil
import sys
import tempfile
import time
from functools import cache
from html import unescape
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(Path(__file__).resolve().parent))
import cards  # noqa: E402
import finding  # noqa: E402
from shared import notebooks, place  # noqa: E402

# What smalldocs says it leaves to Quarto, or does otherwise
EXPECTED = r"^(execute\.enabled|unknown key (lang|language|website\.image-alt)|format\.html\.(highlight-style|html-math-method|respect-user-color-scheme)|theme site/)|repo-actions is not read"


def copy_sources(work):
    """Everything but the notebooks."""
    for folder in ("site", "api", "nbs"):
        shutil.copytree(ROOT / folder, work / folder, ignore=shutil.ignore_patterns("*.ipynb", "homework", ".*", "__pycache__"))
    shutil.copy(ROOT / "index.qmd", work)
    config = yaml.safe_load((ROOT / "_quarto.yml").read_text(encoding="utf-8"))
    made = yaml.safe_load((ROOT / "site" / "_sidebar.yml").read_text(encoding="utf-8"))
    config["website"]["sidebar"] |= made["website"]["sidebar"]
    del config["project"]["pre-render"], config["project"]["post-render"], config["ipynb-filters"], config["metadata-files"]
    (work / "_quarto.yml").write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True), encoding="utf-8")


def filter_notebooks(work):
    """What `site/filter.py` makes of each notebook: `prepare.py` has had it made."""
    from filter import shown_of
    for path in notebooks(ROOT):
        to = work / "nbs" / place(path)
        to.parent.mkdir(exist_ok=True)
        to.write_text(shown_of(path), encoding="utf-8")


def mathml(html):
    """Formulas as MathML, which browsers draw by themselves; and no script for them."""
    from latex2mathml.converter import convert

    def formula(m):
        block = m[1] == "display"
        source = re.sub(r"^\\[(\[]|\\[)\]]$", "", unescape(m[2]).strip()).strip()
        return convert(source, display="block" if block else "inline")
    html = re.sub(r'<span class="math (inline|display)">(.*?)</span>', formula, html, flags=re.S)
    return re.sub(r'<(?:link|script)[^>]*cdn\.jsdelivr\.net/npm/katex[^>]*>(?:</script>)?\s*', "", html)


def without_actions(html):
    """A page that is made from others has nothing to edit: so says `repo-actions: false` in it, which smalldocs does not read."""
    html = re.sub(r'<div class="toc-actions">(<div class="action-links">.*?</div>)*</div>', "", html, flags=re.S)
    bare = re.sub(r'<div id="quarto-margin-sidebar"[^>]*>\s*</div>', "", html)
    return bare if bare == html else bare.replace(" has-margin", "", 1)


def finish(site):
    """Nothing from elsewhere, no links to edit what was made, and the right picture of the site."""
    for page in site.rglob("*.html"):
        html = page.read_text(encoding="utf-8")
        if 'class="math ' in html: html = mathml(html)
        if not (ROOT / page.relative_to(site)).with_suffix(".ipynb").exists(): html = without_actions(html)
        page.write_text(html, encoding="utf-8")
    cards.main(site)
    finding.main(site)
    for sheet in site.rglob("*.css"):
        css = sheet.read_text(encoding="utf-8")
        sheet.write_text(re.sub(r'@import\s+url\(\s*["\']?https?://[^)]*\)\s*;?', "", css), encoding="utf-8")


def main(out):
    start = time.time()
    os.chdir(ROOT)
    os.environ.pop("QUARTO_PROJECT_DIR", None)
    try:
        import latex2mathml  # noqa: F401
        from smalldocs import highlight
        from smalldocs.site import build
    except ImportError as e: sys.exit(f"make site needs Quarto (https://quarto.org) or the Python package {e.name}: pip install -e '.[dev]'")
    highlight.css_class = cache(highlight.css_class)  # the colour of a word of code: the same for each of its uses
    import prepare
    prepare.main()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder) / "site"
        work.mkdir()
        copy_sources(work)
        filter_notebooks(work)
        site = build(work, quiet=True)
        finish(work / "_site")
        shutil.rmtree(out, ignore_errors=True)
        shutil.move(work / "_site", out)
    for warning in site.warnings:
        if not re.search(EXPECTED, warning): print("smalldocs:", warning, file=sys.stderr)
    print(f"{out}: {len(site.pages)} pages by smalldocs in {time.time() - start:.0f} s")


if __name__ == "__main__": main(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "_site").resolve())

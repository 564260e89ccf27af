"""After the pages are made: every page names the site's own picture for links to it, where Quarto takes the first of the page; and the search is put in order."""
import os
import re
from html import escape
from pathlib import Path

import yaml

ROOT = Path(os.environ.get("QUARTO_PROJECT_DIR") or Path(__file__).resolve().parent.parent)


def with_card(html, site):
    """The same address and the same words on every page."""
    address, words = f"{site['site-url']}/{site['image']}", escape(site["image-alt"])
    html = re.sub(r'<meta (?:property|name)="(?:og|twitter):image:(?:width|height|alt)" content="[^"]*"\s*/?>\n?', "", html)
    html = re.sub(r'(<meta (?:property|name)="(?:og|twitter):image" content=")[^"]*', lambda m: m[1] + address, html)
    return html.replace("</head>", f'<meta property="og:image:alt" content="{words}"></head>', 1)


def main(out):
    site = yaml.safe_load((ROOT / "_quarto.yml").read_text(encoding="utf-8"))["website"]
    for page in out.rglob("*.html"):
        html = page.read_text(encoding="utf-8")
        if "og:image" in html: page.write_text(with_card(html, site), encoding="utf-8")


if __name__ == "__main__":
    import finding
    main(ROOT / "_site")
    finding.main(ROOT / "_site")

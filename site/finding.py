"""What the search finds first: a word of the glossary leads to its lesson, and names of functions come after lessons.

The index scores a short entry that holds the words above a long one, so functions came before every lesson. Now each word of the glossary has
an entry of its own, which leads to its lesson, and an entry of a function says what it is.
"""
import json
import os
from pathlib import Path

from shared import anchor, glossary, label, lessons

ROOT = Path(os.environ.get("QUARTO_PROJECT_DIR") or Path(__file__).resolve().parent.parent)
PARTS = ("Functions", "Classes", "Methods of other classes")  # of a page of functions: what they hold has entries of its own


def terms():
    """An entry of the index for each word of the glossary that has a lesson."""
    at = {p.stem[:2]: p for p in lessons(ROOT)}
    return [{"objectID": f"term-{anchor(w['term'])}", "href": f"nbs/{at[w['lesson']].stem}.html", "title": label(at[w["lesson"]]), "section": w["term"], "text": w["text"]}
            for w in glossary(ROOT) if w["lesson"] in at]


def named(entry):
    """The entry of a function: its name, and what it is."""
    title, section = entry["title"], entry.get("section", "")
    if not entry["href"].startswith("api/") or not section or section.startswith("Kinds") or not title.startswith("transfer_course.") or " from the module " in section: return entry
    return entry | {"section": f"{section}, from the module {title.removeprefix('transfer_course.')}"}


def main(out):
    index = out / "search.json"
    if not index.exists(): return
    entries = [e for e in json.loads(index.read_text(encoding="utf-8")) if not e.get("objectID", "").startswith("term-")]
    entries = [named(e) for e in entries if not (e["href"].startswith("api/") and e.get("section") in PARTS)]
    index.write_text(json.dumps(terms() + entries, ensure_ascii=False), encoding="utf-8")

"""Every number in prose must come from a cell: from its text output, its code, or a file in nbs/results/.

A number is supported by one that rounds to it: 0.834 in an output supports "0.83", "83%" and "83.4 %"; 4652008 supports
"4.65 M". Not held against anything: counting words below ten; names such as CIFAR-10, VGG-16 or 2-D; sizes written with ×;
code in backticks; formulas; links, DOIs, arXiv ids; years and reference lists; and the numbers of lessons ("lesson 12", "12 · Title"), lists and sections.

A notebook may use the outputs and code of its own cells, the results it names (data.result("NAME") or NAME.json), and
nbs/results/machine.json (minutes, GB, versions). README.md and the map may use all results and all notebooks' text outputs.
"""
import json
import re
from pathlib import Path

import nbformat
import pytest

from transfer_course import course

ROOT = Path(__file__).parents[2]
NOTEBOOKS = course.notebooks(ROOT / "nbs", course.OPEN_PARTS)
RESULTS = ROOT / "nbs" / "results"

PLAIN = r"[-−]?\d+(?:\.\d+)?(?:e[-+]?\d+)?"
GROUPED = r"[-−]?\d{1,3}(?:[,_\u2009\u202f]\d{3})+(?:\.\d+)?"
PROSE_NUMBER = re.compile(rf"(?<![\w.,])({GROUPED}|{PLAIN})(?:\s?(%|per cent\b|thousand\b|million\b|[kKMG]B?\b))?(?![\w])")
SCALES = {"%": 0.01, "per cent": 0.01, "k": 1e3, "K": 1e3, "thousand": 1e3, "M": 1e6, "million": 1e6, "G": 1e9,
          "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9}

NOT_NUMBERS = [r"^(```|~~~).*?^\1", r"`[^`\n]*`", r"\$\$.*?\$\$", r"(?<!\\)\$[^$\n]+\$", r"<[a-zA-Z/!][^>\n]*>", r"\]\([^)\n]*\)",
               r"https?://\S+", r"\b10\.\d{4,}/\S+", r"\barXiv[:\s]*\d[\w./]+", r"\{[#.][^}]*\}",
               r"^\s*(?:>\s*)?\d+[.)]\s", r"^#+\s+\d+(\.\d+)*\.?\s",
               r"\b(?:lessons?|sections?|chapters?|parts?|figures?|tables?|exercises?|hints?|steps?|cells?|issues?)\s+"
               r"\d+(?:(?:\s*[-–,]\s*|\s+(?:and|or|to)\s+)\d+)*",
               r"\b0\d\b(?:[-–]\w+)?", r"\b\d\d\s·",
               r"\b\d+(?:\s?×\s?\d+)+(?:\s?×)?", r"\b\d+-D\b", r"\b(?:Python|Apache|version|v)[-\s]\d[\d.]*", r"\b\d+(?:st|nd|rd|th)\b",
               r"\b[A-Za-z]\w*[-‑]\d[\w.]*",
               r"(?:\(|[;,]\s|\bal\.,?\s|\b[A-Z][\w.’']+,?\s)(?:1[89]|20)\d\d\b(?!\s+[a-z%])", r"\b(?:[Ii]n|[Ss]ince)\s(?:1[89]|20)\d\d\b"]


def plain(digits): return re.sub("[,_\u2009\u202f]", "", digits).replace("−", "-")


def without_references(text):
    """Text without the entries of reference lists: list items and paragraphs that hold a DOI or an arXiv id."""
    blocks = re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+[.)])\s)", text)
    return "\n\n".join(b for b in blocks if not (re.match(r"\s*(?:[-*]|\d+[.)]|\[)\s*", b) and re.search(r"\b10\.\d{4,}/|arXiv", b)))


def numbers_in_prose(text):
    """-> (text of the number, value, step of its last digit, scale of its unit)"""
    text = without_references(text)
    for pattern in NOT_NUMBERS: text = re.sub(pattern, " ", text, flags=re.M | re.S)
    for found in PROSE_NUMBER.finditer(text):
        digits, unit = plain(found[1]), found[2]
        mantissa, _, exponent = digits.partition("e")
        step = 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
        if unit or not re.fullmatch(r"-?\d", digits): yield found[0].strip(), float(digits), step, SCALES.get(unit, 1)


def numbers_in(text):
    """Every number in an output or in code. "1,797" stands for 1797, and, as it may be a list, for 1 and 797."""
    text = re.sub(r"0x[0-9a-f]{6,}", " ", text)
    return {float(plain(n)) for n in re.findall(PLAIN, text) + re.findall(GROUPED, text)}


def numbers_in_json(value):
    if isinstance(value, dict): return set().union(*map(numbers_in_json, [*value, *value.values()]))
    if isinstance(value, list): return set().union(*map(numbers_in_json, value))
    return numbers_in(str(value))


def is_supported(value, step, scale, evidence):
    """Does some number of the evidence, as it is or in this unit, round to the value?"""
    def rounds(e): return abs(abs(e) - abs(value)) <= step / 2 * (1 + 1e-6)
    return any(rounds(e) or rounds(e / scale) for e in evidence)


def outputs(nb):
    for cell in nb.cells:
        for out in cell.get("outputs", []):
            yield from (t for t in (out.get("text", ""), out.get("data", {}).get("text/plain", "")) if isinstance(t, str))


def result(path): return numbers_in_json(json.loads(path.read_text(encoding="utf-8")))


def evidence_of(nb, results=RESULTS):
    code = "\n".join(c.source for c in nb.cells if c.cell_type == "code")
    everything = "\n".join(c.source for c in nb.cells)
    named = [p for p in results.glob("*.json") if p.stem == "machine" or f'"{p.stem}"' in code or p.name in everything]
    return numbers_in(code).union(*map(numbers_in, outputs(nb)), *map(result, named))


def unsupported(prose, evidence):
    return [text for text, *number in numbers_in_prose(prose) if not is_supported(*number, evidence)]


def unsupported_in(nb, evidence=None):
    evidence = evidence_of(nb) if evidence is None else evidence
    prose = ((i, c.source) for i, c in enumerate(nb.cells) if c.cell_type == "markdown")
    return [f'cell {i}: "{text}"' for i, source in prose for text in unsupported(source, evidence)]


def evidence_of_all():
    books = (numbers_in("\n".join(outputs(nbformat.read(p, 4)))) for p in NOTEBOOKS)
    return set().union(*books, *map(result, RESULTS.glob("*.json")))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.relative_to(ROOT / "nbs").as_posix())
def test_numbers_in_notebook(path):
    evidence = evidence_of_all() if path.stem == "index" else None
    wrong = unsupported_in(nbformat.read(path, 4), evidence)
    assert not wrong, f"numbers that no output, code or named result supports: {'; '.join(wrong)}"


def test_numbers_in_readme():
    wrong = unsupported((ROOT / "README.md").read_text(encoding="utf-8"), evidence_of_all())
    assert not wrong, f"numbers that no output or result supports: {'; '.join(wrong)}"


# --- planted faults ---------------------------------------------------------------------------------------------------

EVIDENCE = numbers_in("accuracy 0.834, 1,797 digits, 4652008 parameters, −0.25 and [12 34], 3e-4, 15 labels")


@pytest.mark.parametrize("prose", [
    "It reaches 0.83, that is 83% (83.4 %).", "The 1797 digits", "All 1,797 digits", "4.65 M parameters", "from −0.25 to 34",
    "a rate of 3e-4", "CIFAR-10, VGG-16, ResNet-18, MNIST-5k and L6-v2", "a 32×32 picture, a 7 × 7 filter, 2-D maps",
    "Gabor (1946) and Daugman (1985)", "Olshausen & Field 1996, Zeiler and Fergus 2014; in 2017", "see lesson 05, lessons 06–08 and lessons 13 and 14", "two of 3 classes",
    "- Krizhevsky, A. (2012). Proc. 25, 1097–1105. doi:10.1145/3065386", "`lr=0.77` and $x^{77}$", "1. first\n2. second\n",
    "[the paper](https://example.org/77/a77.html)", "```\n77\n```", "on Python 3.11", "in 12 or 34", "within 15 labels."])
def test_supported(prose):
    assert unsupported(prose, EVIDENCE) == []


@pytest.mark.parametrize("prose, wrong", [
    ("It reaches 0.84.", ["0.84"]), ("that is 84%", ["84%"]), ("83.6%", ["83.6%"]), ("1,798 digits", ["1,798"]),
    ("4.66 M parameters", ["4.66 M"]), ("a rate of 4e-4", ["4e-4"]), ("between 12 and 35", ["35"]), ("12–35", ["35"]),
    ("a gain of 6%", ["6%"]), ("0.5 is chance", ["0.5"]), ("| net | 0.91 |", ["0.91"]), ("16-label runs", ["16"]),
    ("**91%** of them", ["91%"]), ("after 90 s", ["90"]), ("Figure 2 shows 77.", ["77"]),
    ("As Gabor (1946, doi:10.1049/ji) says, 77 of them", ["77"]), ("1.\n\n2012 pictures", ["2012"]),
    ("The 2000 pictures (1900 of them grey)", ["2000", "1900"])])
def test_planted_number_is_caught(prose, wrong):
    assert unsupported(prose, EVIDENCE) == wrong


@pytest.mark.parametrize("old, new, wrong", [("0.83", "0.85", ['cell 1: "0.85"']), ("0.83", "83%", []), ("71", "72", ['cell 1: "72%"'])])
def test_planted_number_in_a_notebook(tmp_path, old, new, wrong):
    (tmp_path / "probe.json").write_text('{"runs": [{"accuracy": 0.7149}]}')
    code = nbformat.v4.new_code_cell('data.result("probe")', outputs=[nbformat.v4.new_output("stream", text="0.8312\n")])
    nb = nbformat.v4.new_notebook(cells=[code, nbformat.v4.new_markdown_cell("From 71% to 0.83.".replace(old, new))])
    assert unsupported_in(nb, evidence_of(nb, tmp_path)) == wrong

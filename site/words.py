"""Links each word of the glossary where a lesson uses it first: the link shows its sentence, and leads to its place in the glossary."""
import re

from shared import anchor

# What stays as it is: blocks of code and formulas, headings, blocks of HTML up to an empty line, code, links, tags, addresses
LEFT = re.compile(r"^ *(```+|~~~+)[^\n]*\n.*?^ *\1[^\n]*$|\$\$.*?\$\$|^#{1,6} [^\n]*$|^ *</?[a-z][^\n]*(?:\n(?!\s*$)[^\n]*)*"
                  r"|(`+)(?!`).*?(?<!`)\2(?!`)|\$[^$\n]+\$|!?\[[^\]]*\]\([^)]*\)|</?[a-z][^>]*>|https?://\S+", re.S | re.M)


def forms(word, number):
    """How a term is written in the lesson of a number: (text, must it stand in emphasis?).

    One with a list is met as each of its parts, in emphasis. One with brackets has a plain word that means other things too, so only its own lesson links it."""
    term = word["term"]
    if ", " in term: return [(part, True) for part in term.split(", ")]
    bare = re.sub(r" *\(.*\)$", "", term)
    return [(bare, False)] if bare == term or word["lesson"] == number else []


def pattern(text, emphasis):
    """A term as a regular expression: a plural counts, a line may end in it, and a capital may begin one that has no capitals."""
    first = f"[{text[0].upper()}{text[0]}]" if text == text.lower() and text[0].isalpha() else re.escape(text[0])
    rest = re.escape(text[1:]).replace(r"\ ", r"\s+").replace(" ", r"\s+")
    return (r"(?<=\*)" if emphasis else r"(?<![\w-])") + first + rest + "(?:e?s)?" + (r"(?=\*)" if emphasis else r"(?![\w-])")


class Linker:
    """Goes through the cells of one lesson in their order."""

    def __init__(self, words, number):
        self.seen = set()
        known = [(text, emphasis, word) for word in words for text, emphasis in forms(word, number)]
        known.sort(key=lambda k: -len(k[0]))
        self.words = [word for *_, word in known]
        self.find = re.compile("|".join(f"({pattern(t, e)})" for t, e, _ in known)) if known else None

    def link(self, m):
        word = self.words[m.lastindex - 1]
        if word["term"] in self.seen: return m[0]
        self.seen.add(word["term"])
        said = re.sub(r'[\\"]', lambda q: "'" if q[0] == '"' else r"\\", word["text"])
        return f'[{m[0]}](glossary.qmd#{anchor(word["term"])} "{said}"){{.term}}'

    def __call__(self, text):
        """A cell of Markdown with its links."""
        if not self.find: return text
        parts, at = [], 0
        for m in LEFT.finditer(text):
            parts += [self.find.sub(self.link, text[at:m.start()]), m[0]]
            at = m.end()
        return "".join([*parts, self.find.sub(self.link, text[at:])])

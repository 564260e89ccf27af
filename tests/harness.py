"""One way to try a table of wrong calls: {name: (call, kinds of exception, words that the sentence must hold)}, or a list of such rows."""
import re

import pytest


def refused(call, kinds, words):
    """The call raises one of the kinds, in one sentence, with all words (a text is a regular expression, a list holds plain words).
    -> what pytest.raises knows of the exception"""
    with pytest.raises(kinds) as e: call()
    text = str(e.value)
    missing = [w for w in words if w not in text] if isinstance(words, (list, tuple)) else [words] * (not re.search(words, text))
    assert not missing, f"{missing} not in: {text}"
    assert "\n" not in text and len(text) <= 400, text
    assert text.count(". ") == 0, f"more than one sentence: {text}"
    return e


def rows(table):
    """A decorator: `@rows(TABLE) def test_wrong_call(call, kinds, words): refused(call, kinds, words)`"""
    named = table if isinstance(table, dict) else {str(i): row for i, row in enumerate(table)}
    return pytest.mark.parametrize("call, kinds, words", [pytest.param(*row, id=name) for name, row in named.items()])

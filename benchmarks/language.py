"""Sentences per second: features against sentence-transformers, and fine-tuning against transformers' Trainer; MiniLM, 2 threads.

    python benchmarks/language.py [--sentences 512] [--rounds 3]

Same sentences, same batch size and length limit, the same fused AdamW, nothing cached. Both sides take turns in one run; medians are compared. The first part needs
the package sentence-transformers, and is left out without it.
"""
import argparse
import os
import statistics
import time
from importlib.util import find_spec

import torch

from transfer_course import backbones, language, training

BATCH = 32


def seconds(f):
    start = time.perf_counter()
    f()
    return time.perf_counter() - start


def compare(ours, theirs, rounds):
    """Median seconds of both, in turns, after one round that does not count."""
    ours(), theirs()
    return (statistics.median(t) for t in zip(*((seconds(ours), seconds(theirs)) for _ in range(rounds))))


def show(what, n, a, b, rival):
    print(f"{what:<22}{n / a:7.0f} sentences/s   {rival:<24}{n / b:7.0f}   {b / a:.2f} times as fast")


def features_row(texts, rounds):
    from sentence_transformers import SentenceTransformer
    net, rival = backbones.load("minilm"), SentenceTransformer(str(backbones.checked_path("minilm").parent), device="cpu")
    rival.max_seq_length = 256
    a, b = compare(lambda: language.extract(net, texts, ["layer6"], BATCH, cache=False), lambda: rival.encode(texts, batch_size=BATCH, normalize_embeddings=False), rounds)
    show("features", len(texts), a, b, "sentence-transformers")


def training_row(texts, rounds):
    task = language.TextTask("speed", texts, torch.arange(len(texts)) % 2, texts[:2], torch.tensor([0, 1]), ["no", "yes"])
    read = backbones.load("minilm").preprocess
    ours = lambda: training.fit(language.Scores(language.bert_classifier(), read), task, 1, 1e-4, BATCH, optimizer=language.fused_adamw, progress=False)
    a, b = compare(ours, lambda: language.train_with_trainer(language.bert_classifier(), read, task, 1, 1e-4, BATCH), rounds)
    show("fine-tuning", len(texts), a, b, "Trainer")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sentences", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    os.environ["TQDM_DISABLE"] = "1"
    torch.set_num_threads(2)
    texts = list(language.review_table().text)[:args.sentences]
    if find_spec("sentence_transformers"): features_row(texts, args.rounds)
    training_row(texts[:args.sentences // 4], args.rounds)

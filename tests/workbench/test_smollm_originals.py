"""The originals of SmolLM2 from a server on this machine: fetched at a revision, held against their sha256, read without code."""
import functools
import hashlib
import json
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM

from transfer_course import smollm
from transfer_course.downloads import FetchError
from transfer_course.programs import cli

SETTINGS = dict(vocab_size=8, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                max_position_embeddings=64, rms_norm_eps=1e-5, rope_theta=1e5)
WORDS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "the", "film", "was", "not", "good"]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args): pass


@pytest.fixture
def model():
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**SETTINGS, tie_word_embeddings=True, bos_token_id=1, eos_token_id=2, pad_token_id=2)).eval()


@pytest.fixture
def hub(tmp_path, model, monkeypatch):
    """A tiny network, published as the originals are; smollm looks for it here, in an empty cache folder."""
    words = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token=WORDS[0]))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    found = {}
    for name, (where, files) in smollm.ORIGINALS.items():
        folder = tmp_path / "hub" / where
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(SETTINGS | {"architectures": ["LlamaForCausalLM"]}))
        (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ messages[0]['content'] }} good"}))
        (folder / "tokenizer.json").write_text(words.to_str())
        save_file({f"model.{k}": w.bfloat16() for k, w in model.model.state_dict().items()}, folder / "model.safetensors")
        found[name] = (where, {f: hashlib.sha256((folder / f).read_bytes()).hexdigest() for f in files})
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path / "hub")))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    monkeypatch.setattr(smollm, "ORIGINALS", found)
    monkeypatch.setattr(smollm, "HUB", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("TRANSFER_COURSE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("TRANSFER_COURSE_SHARED", raising=False)
    yield server
    server.shutdown()
    server.server_close()


def test_an_original_is_the_network_that_was_published(hub, model):
    net, ids = smollm.original(), [3, 4, 5]
    halves = LlamaForCausalLM(model.config).eval()
    halves.load_state_dict({k: w.bfloat16().float() for k, w in model.state_dict().items()})
    with torch.inference_mode(): torch.testing.assert_close(net(["the film was"]), halves(torch.tensor([ids])).logits[:, -1], atol=1e-5, rtol=1e-4)
    assert net.ids("the film was").tolist() == ids and net.card["licence"] == "Apache-2.0" and smollm.ORIGINALS["smollm2_instruct"][0] in net.card["source"]
    assert net.tokenizer.apply_chat_template([{"role": "user", "content": "not"}], tokenize=False) == "not good"
    assert net.head.weight is net.trunk.embed_tokens.weight and not net.training


def test_the_base_has_no_format_of_conversations(hub): assert smollm.original("smollm2_base").tokenizer.chat_template is None


def test_the_lessons_name_brings_both_and_what_is_there_is_left(hub, capsys):
    assert not any(a["present"] or a["ok"] for a in smollm.assets())
    assert cli.main(["fetch", "generative"]) == 0
    assert "smollm2_instruct: fetched\nsmollm2_base: fetched" in capsys.readouterr().out
    assert all(a["present"] and a["ok"] and a["kind"] == "fetched" and a["bytes"] > 1000 for a in smollm.assets())
    assert cli.main(["fetch", "generative"]) == 0
    assert "smollm2_instruct: here already\nsmollm2_base: here already" in capsys.readouterr().out


def test_a_file_of_another_content_is_refused(hub, tmp_path):
    path = tmp_path / "hub" / smollm.ORIGINALS["smollm2_base"][0] / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-4] + b"\1\2\3\4")
    with pytest.raises(FetchError, match="model.safetensors from .* is not the file it should be"): smollm.original("smollm2_base")
    assert not any(a["present"] for a in smollm.assets() if a["name"] == "smollm2_base")


def test_without_a_network_one_sentence_says_what_to_do(hub, monkeypatch):
    monkeypatch.setattr(smollm, "HUB", "http://127.0.0.1:9")
    with pytest.raises(FetchError, match="no connection.*transfer-course fetch smollm2_instruct"): smollm.original()


def test_what_is_pinned():
    for name, (where, files) in smollm.ORIGINALS.items():
        assert len(where.rsplit("/", 1)[1]) == 40 and [*files][-1] == "model.safetensors" and not [f for f in files if f.endswith((".py", ".bin", ".pt"))]
        assert all(len(sha) == 64 for sha in files.values()), name
    with pytest.raises(ValueError, match="name must be .*smollm2_base"): smollm.original("smollm2")

"""CLIP and SigLIP with random weights and tiny sizes: the same scores as the networks' own, and the experiment that compares networks runs with them."""
import importlib.util
from pathlib import Path

import pytest
import torch

from transfer_course.features import extract
from transfer_course.image_text import image_tower, zero_shot

ROOT = Path(__file__).parents[2]
HALF = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2)
TEXT, SEEN = dict(HALF, vocab_size=50, max_position_embeddings=9, eos_token_id=49), dict(HALF, image_size=32, patch_size=8)


def made(kind):
    import transformers
    torch.manual_seed(0)
    more = dict(projection_dim=24) if kind == "CLIP" else {}
    model = getattr(transformers, f"{kind}Model")(getattr(transformers, f"{kind}Config")(text_config=TEXT, vision_config=SEEN, **more)).eval()
    if kind == "Siglip": torch.nn.init.constant_(model.logit_bias, -3.)
    return model


def tokenize(texts): return dict(input_ids=torch.tensor([[ord(c) % 48 for c in t.rjust(8)[-8:]] + [49] for t in texts]))


@pytest.fixture
def x(): return torch.randint(256, (4, 3, 48, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", ["CLIP", "Siglip"])
def test_zero_shot_is_what_the_network_says_itself(kind, x, tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFER_COURSE_HOME", str(tmp_path))
    model = made(kind)
    net = image_tower(model)
    z = extract(net, x, progress=False)
    assert torch.equal(extract(net, x, progress=False), z) and net.stages == ["image"] and net.width == z.shape[1]
    with torch.no_grad(): whole = model(pixel_values=net.preprocess(x), **tokenize(["this is a cup", "this is a leaf"]))
    torch.testing.assert_close(zero_shot(model, tokenize, z, ["cup", "leaf"], "this is a {}"), whole.logits_per_image, atol=1e-4, rtol=1e-4)


def test_what_is_wrong_is_said(x):
    model = made("CLIP")
    with pytest.raises(TypeError, match="sees and reads"): image_tower(torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="must hold {}"): zero_shot(model, tokenize, torch.zeros(2, 24), ["cup"], "a cup")


def experiment():
    spec = importlib.util.spec_from_file_location("backbones_of_today", ROOT / "experiments" / "backbones_of_today.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_experiment_takes_them(tmp_path, monkeypatch):
    """With pictures of 32 pixels in place of the folder, and a tiny network in place of the one that has to be fetched."""
    import pandas as pd
    today, n = experiment(), 60
    monkeypatch.setenv("TRANSFER_COURSE_HOME", str(tmp_path))
    rows = pd.DataFrame(dict(name=["cup", "leaf"] * 30, y=[0, 1] * 30, source=[f"visit{i // 4}" for i in range(n)]))
    pictures = torch.randint(256, (n, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    model = made("CLIP")
    monkeypatch.setattr(today, "table", lambda: rows)
    monkeypatch.setattr(today.own_folder, "pixels", lambda t, size: pictures)
    monkeypatch.setattr(today, "from_transformers", lambda name: (model, image_tower(model), tokenize))
    monkeypatch.setitem(today.NETWORKS, "tiny", ("transformers", (32,), "nothing"))
    found = today.run("tiny", 0, "all")
    assert set(found) == {"size", "stage", "test", "zero_shot"} and 0 <= found["zero_shot"] <= 1
    assert set(today.run("tiny", 0, 3)) == {"size", "stage", "test"}
    assert today.about("tiny", None)["millions"] > 0 and today.about("resnet50.a1_in1k", "why")["gap"] == "why"


def test_the_cell_of_lesson_13_runs(x, tmp_path, monkeypatch):
    """As it stands there, with a tiny network in place of the one that has to be fetched."""
    import nbformat

    from transfer_course import features, image_text
    monkeypatch.setenv("TRANSFER_COURSE_HOME", str(tmp_path))
    cells = nbformat.read(ROOT / "nbs" / "13-crossmodal.ipynb", 4).cells
    cell, = [c.source for c in cells if c.cell_type == "code" and "from_transformers" in c.source]
    model = made("CLIP")
    monkeypatch.setattr(image_text, "from_transformers", lambda name: (model, image_tower(model), tokenize))
    here = dict(features=features, pictures=x, WORDS=["a cup", "a leaf", "a cat"])
    exec(cell, here)
    assert here["scores"].shape == (4, 3)


def test_a_network_that_can_not_be_fetched_is_a_gap(monkeypatch):
    today = experiment()
    def offline(name): raise OSError("no connection")
    monkeypatch.setattr(today, "loaded", offline)
    assert today.gap("coursenet", False) is None and "fetched" in today.gap("resnet50.a1_in1k", False)
    assert today.gap("openai/clip-vit-base-patch32", True) == "not fetched: no connection"

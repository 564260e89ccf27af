"""The tools of lesson 21 against other formulations."""
from functools import lru_cache

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from transfer_course import backbones, features, language, names_domains


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch): monkeypatch.setenv("TRANSFER_COURSE_HOME", str(tmp_path))


@lru_cache
def bert(): return backbones.load("minilm")


def test_a_probe_becomes_a_head():
    z, y = torch.randn(30, 6, generator=torch.Generator().manual_seed(0)), torch.arange(30)
    for k in (2, 3):
        probe = features.linear_probe(z, y % k)
        assert np.allclose(names_domains.as_head(probe)(z).softmax(1).detach(), probe.predict_proba(z), atol=1e-4)
        assert (names_domains.as_head(probe)(z).argmax(1).numpy() == probe.predict(z)).all()


def test_coral_gives_the_source_the_targets_covariance():
    g = np.random.default_rng(0)
    zs, zt = g.normal(size=(400, 4)) @ g.normal(size=(4, 4)), g.normal(size=(300, 4)) @ g.normal(size=(4, 4)) + 3
    z = names_domains.coral(zs, zt, ridge=1e-6)
    assert np.allclose(np.cov(z.T), np.cov(zt.T), atol=0.01) and np.allclose(z.mean(0), zt.mean(0), atol=1e-4)
    assert np.allclose(names_domains.coral(zs, zs), zs, atol=1e-3)


def test_self_training_follows_a_shift():
    g, y = np.random.default_rng(0), np.arange(200) % 2
    zs = g.normal(size=(200, 2)) * 0.3 + np.stack([2 * y - 1, 0 * y], 1)
    zt, yt = zs + [0.9, 0], y
    assert names_domains.self_train(zs, y, zt).score(zt, yt) >= features.linear_probe(zs, y).score(zt, yt)


def test_no_name_stands_in_both_parts():
    train, test = language.split_entities(language.entities())
    names = [{w for ws, ts in part for w, t in zip(ws, ts) if t != "O" and w[0].isupper()} for part in (train, test)]
    assert not names[0] & names[1] and len(train) + len(test) == len(language.entities()) and 0.3 < len(test) / 245 < 0.4


def test_the_first_piece_of_every_word():
    sentences = ["Unputdownable tales of Xzqy .", "No ."]
    t = language.tokenize_words(bert(), sentences)
    places, names = language.first_pieces(t), bert().preprocess.func.convert_ids_to_tokens
    for s, ids, row in zip(sentences, t["input_ids"], places):
        words = [w for w in s.split(" ")]
        got = names(ids[row[:len(words)]].tolist())
        assert all(w.lower().startswith(g) and not g.startswith("##") for w, g in zip(words, got))
    assert places[1].tolist()[2:] == [0, 0, 0]


def test_tags_do_not_depend_on_padding():
    tagger = names_domains.Tagger(backbones.load("minilm"))
    short, long = "Ana sleeps .", "The mayor of Orlen met Ana Veld in the old harbour ."
    both, alone = tagger.eval()(language.Texts([short, long])), tagger(language.Texts([short]))
    assert both.shape == (2, 7, 12) and torch.allclose(both[:1, :, :3], alone, atol=1e-5)
    y = torch.tensor([[1, 0, 0] + 9 * [-100]])
    assert torch.isclose(names_domains.tag_loss(tagger, language.Texts([short]), y), F.cross_entropy(alone, y[:, :3]))


def spans(tags):
    """(start, end, type) of every entity."""
    found, start = set(), None
    for i, t in enumerate([*tags, "O"]):
        if start is not None and t != "I-" + tags[start][2:]: found.add((start, i, tags[start][2:])); start = None
        if t[0] == "B": start = i
    return found


def test_entity_f1_counts_whole_entities():
    g = np.random.default_rng(0)
    def tags():
        out = []
        for t in g.choice(["O", "O", "PER", "LOC", "ORG"], 6): out += ["O"] if t == "O" else [f"B-{t}", f"I-{t}"][:g.integers(1, 3)]
        return (out + 12 * ["O"])[:12]
    right, guess = [tags() for _ in range(30)], [tags() for _ in range(30)]
    hits = sum(len(spans(a) & spans(b)) for a, b in zip(right, guess))
    f1 = 2 * hits / sum(len(spans(t)) for t in right + guess)
    assert hits and names_domains.entity_f1(right, guess) == pytest.approx(f1) and names_domains.entity_f1(right, right) == 1
    assert names_domains.entity_f1(right, [12 * ["O"]] * 30) == 0


def test_classic_tagger_learns():
    train, test = language.split_entities(language.entities())
    guess = names_domains.classic_tags(train, test)
    assert [len(g) for g in guess] == [len(w) for w, _ in test] and names_domains.entity_f1([t for _, t in test], guess) > 0.15


def test_no_family_is_in_two_folds(monkeypatch):
    """The folds that choose C hold whole families: two sentences with one name are never apart."""
    train, seen = language.split_entities(language.entities())[0][:30], []
    class Spy(names_domains.GroupKFold):
        def split(self, x, y=None, groups=None):
            for a, b in super().split(x, y, groups):
                seen.append(set(np.asarray(groups)[a]) & set(np.asarray(groups)[b]))
                yield a, b
    monkeypatch.setattr(names_domains, "GroupKFold", Spy)
    names_domains.classic_tagger(train)
    assert seen and not any(seen)


def test_the_probe_takes_one_of_the_layers_it_was_given():
    train = language.split_entities(language.entities())[0][:12]
    tag = names_domains.probe_tagger(bert(), train, ["layer1", "layer3"])
    assert tag.stage in ("layer1", "layer3") and [len(t) for t in tag([w for w, _ in train[:3]])] == [len(w) for w, _ in train[:3]]


def test_old_names_are_where_they_were():
    for name in ("Tagger", "coral", "self_train", "entity_f1", "as_head"):
        with pytest.warns(FutureWarning, match=f"names_domains.{name} now"): assert getattr(language, name) is getattr(names_domains, name)

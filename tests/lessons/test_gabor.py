"""The Gabor kernel against scikit-image's, the fit on known filters, and wrong calls."""

import math

import numpy as np
import pytest
import torch
from skimage.filters import gabor_kernel

from transfer_course import gabor as g

X = torch.randint(0, 256, (2, 3, 40, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("wavelength, theta, sigma, gamma, phase", [
    (4.0, 0.0, 2.0, 1.0, 0.0), (8.0, math.pi / 4, 4.5, 1.0, 0.0), (6.0, 2.0, 3.0, 0.5, math.pi / 2),
    (10.0, -0.7, 2.5, 1.6, -1.1), (2.0, math.pi / 2, 1.2, 0.8, math.pi), (3.3, 1.0, 5.0, 1.0, 0.3),
])
def test_kernel_agrees_with_scikit_image(wavelength, theta, sigma, gamma, phase):
    """Conventions: y points down, theta turns the wave's direction from x towards y, frequency = 1 / wavelength,
    sigma_x = sigma lies across the stripes, sigma_y = sigma / gamma along them, offset = phase; the real part;
    scikit-image divides by 2π·sigma_x·sigma_y."""
    theirs = gabor_kernel(1 / wavelength, theta, sigma_x=sigma, sigma_y=sigma / gamma, n_stds=6, offset=phase)
    height, width = theirs.shape
    size = min(height, width, 25)
    top, left = (height - size) // 2, (width - size) // 2
    theirs = theirs.real[top:top + size, left:left + size] * 2 * math.pi * sigma * sigma / gamma
    ours = g.gabor(size, wavelength, theta, sigma, gamma, phase).numpy()
    assert size % 2 == 1 and np.abs(ours - theirs).max() < 1e-6


def test_default_sigma_is_one_octave():
    """Half-power bandwidth b octaves: sigma/wavelength = sqrt(ln 2 / 2)/π · (2^b + 1)/(2^b − 1), 0.56 for b = 1."""
    one_octave = math.sqrt(math.log(2) / 2) / math.pi * 3
    assert abs(one_octave - 0.56) < 0.01
    assert torch.equal(g.gabor(21, 5), g.gabor(21, 5, sigma=0.56 * 5))


def test_bank_members_have_no_mean_and_length_one():
    pairs = g.bank((3, 6), 4, 15)
    assert pairs.shape == (8, 2, 15, 15)
    assert pairs.mean((2, 3)).abs().max() < 1e-6 and (pairs.flatten(2).norm(dim=2) - 1).abs().max() < 1e-5


def test_energy_peaks_at_the_direction_and_wavelength_of_the_stripes():
    y, x = g.coordinates(64)
    for i in range(6):
        a = math.pi * i / 6
        wave = torch.cos(2 * math.pi * (x * math.cos(a) + y * math.sin(a)) / 4.5)
        picture = ((wave + 1) * 127).to(torch.uint8)[None, None]
        assert g.energies(picture, g.bank()).mean((2, 3)).argmax() == 6 + i


def test_energies_keep_size_and_ignore_flat_pictures():
    e = g.energies(torch.full((1, 3, 40, 30), 200, dtype=torch.uint8), g.bank(size=11))
    assert e.shape == (1, 24, 40, 30) and e.max() < 1e-4
    assert g.energies(X, g.bank(size=11), stride=2).shape == (2, 24, 20, 20)


def test_texture_is_mean_and_spread():
    pairs = g.bank((4,), 2, 9)
    z, e = g.texture(X, pairs, stride=1), g.energies(X, pairs)
    assert torch.allclose(z, torch.cat([e.mean((2, 3)), e.std((2, 3))], 1), atol=1e-5)


@pytest.mark.parametrize("size, wavelength, theta, sigma, phase", [(7, 4, 0.4, 1.5, 0), (11, 5, 1.2, 2.5, 1), (11, 8, 2.5, 2, 2), (9, 3, 0.1, 2, -1)])
def test_fit_finds_a_known_gabor_again(size, wavelength, theta, sigma, phase):
    weight = g.gabor(size, wavelength, theta, sigma, phase=phase)[None, None]
    row = g.fit_gabor(weight).iloc[0]
    turned = (row.theta - theta) % math.pi
    assert row.r2 > 0.99 and abs(row.wavelength - wavelength) < 0.1 * wavelength
    assert min(turned, math.pi - turned) < 0.05


def test_fit_ignores_colour_scale_sign_and_brightness():
    k = g.gabor(9, 4, 0.5, 2.0)
    colours = torch.tensor([0.2, -1.0, 0.5])[:, None, None]
    weight = torch.stack([colours * k, -30 * colours * k, colours * (k + 0.3)])
    assert (g.fit_gabor(weight).r2 > 0.99).all()


def test_r2_is_the_share_that_the_redrawn_filter_explains():
    w = torch.randn(6, 3, 7, 7, generator=torch.Generator().manual_seed(0))
    table = g.fit_gabor(w)
    own, fit = g.main_colour(w), g.redraw(w, table).flatten(1)
    share = 1 - (own - fit).square().sum(1) / own.square().sum(1)
    assert np.allclose(share.numpy(), table.r2, atol=1e-4)


def test_random_filters_are_no_gabors_at_seven_but_are_at_three():
    noise = {k: torch.randn(24, 1, k, k, generator=torch.Generator().manual_seed(1)) for k in (3, 7)}
    assert g.fit_gabor(noise[7]).r2.median() < 0.5 and g.fit_gabor(noise[3]).r2.median() > 0.8


def test_patches_are_seeded_and_normalised():
    photo = {"noise": torch.randint(0, 256, (3, 60, 50), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)),
             "flat": torch.zeros(1, 60, 50, dtype=torch.uint8)}
    p = g.patches(photo, n=50, size=7)
    assert p.shape == (50, 49) and np.allclose(p.mean(1), 0) and np.allclose(p.std(1), 1)
    assert np.array_equal(p, g.patches(photo, n=50, size=7)) and not np.array_equal(p, g.patches(photo, n=50, size=7, seed=1))


def test_draw_keeps_training_and_validation_apart():
    y = np.repeat([0, 1, 2], 30)
    train, valid = g.draw(y, 5, seed=3)
    assert not set(train) & set(valid)
    assert np.bincount(y[train]).tolist() == [5] * 3 and np.bincount(y[valid]).tolist() == [20] * 3


@pytest.mark.parametrize("call, words", [
    (lambda: g.gabor(25, 1.5), "wavelength must be at least 2, got 1.5"),
    (lambda: g.gabor(25, 8, sigma=0), "sigma must be at least"),
    (lambda: g.gabor(25, 8, gamma=-1), "gamma must be at least"),
    (lambda: g.gabor(25, float("nan")), "wavelength must be one finite number, got nan"),
    (lambda: g.gabor(25, "8"), "wavelength must be one finite number, got '8'"),
    (lambda: g.gabor(7.5, 4), "size must be a whole number"),
    (lambda: g.gabor(0, 4), "size must be at least 2"),
    (lambda: g.bank(orientations=0), "orientations must be at least 1"),
    (lambda: g.bank(()), "wavelengths must hold at least one number"),
    (lambda: g.energies(X / 255, g.bank()), "uint8"),
    (lambda: g.energies(X, g.bank()[:, :1]), "pairs must be n×2×k×k"),
    (lambda: g.energies(X[..., :9, :9], g.bank()), "x must have sides of more than 12 pixels"),
    (lambda: g.energies(X, g.bank(size=10)), "k odd"),
    (lambda: g.fit_gabor(torch.randn(7, 7)), "weight must be O×I×k×k"),
    (lambda: g.fit_gabor(torch.full((2, 3, 7, 7), float("nan"))), "weight must be O×I×k×k and finite"),
    (lambda: g.patches({"small": X[0, :, :8, :8]}), "photos['small'] must have sides of at least 11"),
    (lambda: g.patches({}), "photos must hold at least one picture"),
    (lambda: g.learned(np.ones((5, 121))), "p must have at least"),
    (lambda: g.learned(np.random.rand(99, 49), 48, "pca"), "method must be one of"),
    (lambda: g.draw(np.repeat([0, 1], 22), 5), "k must be 1 to 2, got 5"),
    (lambda: g.draw(np.repeat([0, 1], 9), 5), "y must have more than 20 pictures of each class"),
    (lambda: g.first_filters(torch.nn.Linear(2, 2)), "net must hold a convolution"),
])
def test_wrong_calls_get_one_clear_sentence(call, words):
    with pytest.raises(ValueError) as e: call()
    assert words in str(e.value) and "\n" not in str(e.value)

"""The Gabor kernel against scikit-image's, the fit on known filters, and wrong calls."""

import math

import numpy as np
import pytest
import torch
from harness import refused, rows
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


CALLS = {
    "wavelength too short": (lambda: g.gabor(25, 1.5), ValueError, ["wavelength must be a number of at least 2, got 1.5: shorter waves"]),
    "wavelength not a number": (lambda: g.gabor(25, float("nan")), ValueError, ["wavelength must be a number of at least 2, got nan"]),
    "wavelength a text": (lambda: g.gabor(25, "8"), ValueError, ["wavelength must be a number of at least 2, got '8'"]),
    "sigma 0": (lambda: g.gabor(25, 8, sigma=0), ValueError, ["sigma must be a number above 0, got 0"]),
    "gamma negative": (lambda: g.gabor(25, 8, gamma=-1), ValueError, ["gamma must be a number above 0, got -1"]),
    "theta endless": (lambda: g.gabor(25, 8, math.inf), ValueError, ["theta must be a finite number, got inf"]),
    "size of half pixels": (lambda: g.gabor(7.5, 4), ValueError, ["size must be a whole number of 2 or more, got 7.5"]),
    "size 0": (lambda: g.gabor(0, 4), ValueError, ["size must be a whole number of 2 or more, got 0"]),
    "no orientation": (lambda: g.bank(orientations=0), ValueError, ["orientations must be a whole number of 1 or more, got 0"]),
    "no wavelength": (lambda: g.bank(()), ValueError, ["wavelengths must hold at least one number"]),
    "pictures as floats": (lambda: g.energies(X / 255, g.bank()), ValueError, ["x must be uint8 N×C×H×W", "raw pixels"]),
    "half pairs": (lambda: g.energies(X, g.bank()[:, :1]), ValueError, ["pairs must be n×2×k×k", "see gabor.bank"]),
    "even side": (lambda: g.energies(X, g.bank(size=10)), ValueError, ["pairs must be n×2×k×k with k odd"]),
    "small pictures": (lambda: g.energies(X[..., :9, :9], g.bank()), ValueError, ["x must have sides of more than 12 pixels", "smaller bank"]),
    "one filter alone": (lambda: g.fit_gabor(torch.randn(7, 7)), ValueError, ["weight must be O×I×k×k", "(7, 7)", "weight[:1]"]),
    "filters not finite": (lambda: g.fit_gabor(torch.full((2, 3, 7, 7), float("nan"))), ValueError, ["weight must be O×I×k×k and finite"]),
    "small photo": (lambda: g.patches({"small": X[0, :, :8, :8]}), ValueError, ["photos['small'] must have sides of at least 11"]),
    "no photo": (lambda: g.patches({}), ValueError, ["photos must hold at least one picture"]),
    "few patches": (lambda: g.learned(np.ones((5, 121))), ValueError, ["p must have at least"]),
    "no such method": (lambda: g.learned(np.random.rand(99, 49), 48, "pca"), ValueError, ["method must be one of 'ica', 'kmeans', 'random', got 'pca'"]),
    "no convolution": (lambda: g.first_filters(torch.nn.Linear(2, 2)), ValueError, ["net must hold a convolution, got Linear"]),
}


@rows(CALLS)
def test_wrong_call(call, kinds, words): refused(call, kinds, words)


def test_numbers_of_numpy_are_numbers():
    assert torch.equal(g.gabor(np.int64(9), np.float32(4)), g.gabor(9, 4))


@pytest.mark.parametrize("name", ["windows", "waves", "starts", "climb", "explained", "normal"])
def test_old_names_still_work(name):
    with pytest.warns(FutureWarning, match=f"gabor_fit.{name}"): assert callable(getattr(g, name))

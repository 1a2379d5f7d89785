"""Shifts and corruptions have the moments and keep the identities that they should."""

import math

import numpy as np
import pytest
import torch
from skimage import feature

from uecompress import data


@pytest.fixture(scope="module")
def x():
    return data.load("digits", "test")[0][:100]


def grey(n=100, value=0.5):
    return torch.full((n, 1, 28, 28), value, dtype=torch.float64)


def close(a, b, atol=1e-5):
    torch.testing.assert_close(a, b, rtol=0, atol=atol)


def test_rotations(x):
    close(data.rotate(x, 0), x)
    close(data.rotate(x, 360), x)
    for quarter in (1, 2, 3):
        close(data.rotate(x, 90 * quarter), x.rot90(quarter, (-2, -1)))
    close(
        data.rotate(x[:2], [90, -90]), torch.stack([x[0].rot90(1, (1, 2)), x[1].rot90(3, (1, 2))])
    )
    wide = torch.zeros(1, 1, 5, 9)
    wide[0, 0, 2] = 1
    close(data.rotate(wide, 90)[0, 0, :, 4], torch.ones(5))
    assert data.rotate(wide, 90).sum() == pytest.approx(5, abs=1e-4)


def test_a_small_turn_moves_the_right_edge_up():
    x = torch.zeros(1, 1, 29, 29, dtype=torch.float64)
    x[0, 0, 14, 24] = 1  # ten pixels to the right of the centre
    turned = data.rotate(x, 30)[0, 0]
    row, column = (turned.nonzero().double() * turned[turned > 0][:, None]).sum(0) / turned.sum()
    assert row - 14 == pytest.approx(-10 * math.sin(math.pi / 6), abs=0.2)
    assert column - 14 == pytest.approx(10 * math.cos(math.pi / 6), abs=0.2)


def test_roll(x):
    assert torch.equal(data.roll(data.roll(x, 5), -5), x)
    assert torch.equal(data.roll(x, 28), x)
    assert torch.equal(data.roll(x, 3)[..., 3:], x[..., :-3])


def test_noise(x):
    noisy = data.noise(grey(), 0.1)
    assert noisy.var().item() == pytest.approx(0.01, rel=0.02)
    assert noisy.mean().item() == pytest.approx(0.5, abs=1e-3)
    assert data.noise(grey(value=0.0), 0.2).mean().item() == pytest.approx(
        0.2 / math.sqrt(2 * math.pi), rel=0.02
    )  # half of the Gaussian is clipped away
    assert torch.equal(data.noise(x, 0.1, seed=1), data.noise(x, 0.1, seed=1))
    assert not torch.equal(data.noise(x, 0.1, seed=1), data.noise(x, 0.1, seed=2))
    assert torch.equal(data.noise(x, 0), x)
    with pytest.raises(ValueError, match="at least 0 and finite, not -1"):
        data.noise(x, -1)
    with pytest.raises(ValueError, match="at least 0 and finite, not nan"):
        data.noise(x, math.nan)


@pytest.mark.parametrize("name", data.CORRUPTIONS)
def test_every_corruption(name, x):
    before, state = x.clone(), torch.get_rng_state()
    y = data.corrupt(x, name, seed=3)
    assert torch.equal(x, before)
    assert torch.equal(torch.get_rng_state(), state)
    assert (y.shape, y.dtype) == (x.shape, x.dtype)
    assert 0 <= y.min() <= y.max() <= 1
    assert torch.equal(y, data.corrupt(x, name, seed=3))
    fixed = name in ("scale", "brightness", "stripe", "canny_edges")
    assert torch.equal(y, data.corrupt(x, name, seed=4)) == fixed
    same = data.corrupt(x[:1].expand(20, 1, 28, 28), name)
    assert len({image.numpy().tobytes() for image in same}) > 1 or fixed  # a draw for each image
    psnr = -10 * (y - x).square().mean((1, 2, 3)).log10()
    assert 1 < psnr.median() < 25, psnr.median()
    colours = data.corrupt(x[:4].repeat(1, 3, 1, 1), name)
    assert colours.shape == (4, 3, 28, 28)


def test_moments_of_the_noises():
    shot = data.corrupt(grey(), "shot_noise")  # Poisson(1.5) / 3, clipped at 3 photons
    p = [math.exp(-1.5) * 1.5**k / math.factorial(k) for k in range(3)]
    assert [(shot * 3).round().eq(k).double().mean().item() for k in range(3)] == pytest.approx(
        p, abs=0.01
    )
    impulse = data.corrupt(grey(), "impulse_noise")
    assert (impulse == 0).double().mean().item() == pytest.approx(0.085, abs=0.005)
    assert (impulse == 1).double().mean().item() == pytest.approx(0.085, abs=0.005)
    assert (impulse == 0.5).double().mean().item() == pytest.approx(0.83, abs=0.005)


def test_geometry(x):
    shrunk = data.corrupt(x, "scale").sum((1, 2, 3)) / x.sum((1, 2, 3))
    assert shrunk.mean().item() == pytest.approx(0.7**2, rel=0.05)
    turned = torch.stack([data.rotate(x, s * math.degrees(0.4)) for s in (1, -1)])
    far = (turned - data.corrupt(x, "rotate")).abs().amax((2, 3, 4))  # (2, N)
    assert far.amin(0).max() < 1e-5
    assert 25 < (far[0] < far[1]).sum() < 75  # both directions
    dot = torch.zeros(60, 1, 28, 28)
    dot[:, :, 10, 12] = 1
    moved = {tuple(i.nonzero()[0].tolist()) for i in data.corrupt(dot, "translate")[:, 0].round()}
    assert moved == {(7, 9), (7, 15), (13, 9), (13, 15)}
    rows, columns = np.nonzero(data.corrupt(dot, "shear").mean((0, 1)).numpy())
    assert set(columns) <= set(range(9, 16))
    assert set(rows) <= {9, 10}  # 3.5 rows above the centre become 3.8


def test_blurs_keep_the_mean_of_what_lies_inside():
    square = torch.zeros(20, 1, 28, 28, dtype=torch.float64)
    square[:, :, 12:16, 12:16] = 1
    for name, rest in (("glass_blur", 1e-9), ("motion_blur", 1e-3)):
        total = data.corrupt(square, name).sum((1, 2, 3))
        torch.testing.assert_close(total, torch.full((20,), 16.0).double(), rtol=0, atol=rest * 16)


def test_brightness_stripe_fog_and_lines(x):
    close(data.corrupt(x, "brightness"), (x + 0.5).clamp(0, 1))
    stripe = data.corrupt(x, "stripe")
    close(data.corrupt(stripe, "stripe"), x)
    assert torch.equal(stripe[..., 7:21], x[..., 7:21])
    fog = data.corrupt(grey(value=1.0), "fog")  # (1 + 3 f) / 4 with f in [0, 1]
    assert 0.25 <= fog.min() < fog.max() <= 1
    dots = data.corrupt(grey(value=0.0), "dotted_line")
    lit = dots.amax((0, 1, 2)) > 0
    assert lit.tolist() == [column // 2 % 2 == 1 and column < 27 for column in range(28)]
    assert (dots.amax(-2)[..., 2] > 0.7).all()  # the line is where it should be, in every image
    zigzag = data.corrupt(grey(value=0.0), "zigzag")
    assert zigzag.amax((0, 1, 2))[:2].max() == 0


def canny(image):
    return data.corrupt(image.expand(1, 1, 28, 28), "canny_edges")[0, 0]


def test_canny_edges_of_steps():
    ramp = torch.zeros(28, 28, dtype=torch.float64)
    ramp[:, 14], ramp[:, 15:] = 0.5, 1  # the step is in the middle of column 14
    line = torch.zeros(28, 28, dtype=torch.float64)
    line[1:-1, 14] = 1  # one pixel wide; the outermost pixels are never edges
    for quarter in range(4):
        assert torch.equal(canny(ramp.rot90(quarter)), line.rot90(quarter))
        assert torch.equal(canny(1 - ramp.rot90(quarter)), line.rot90(quarter))
    sharp = (torch.arange(28) >= 14).double()  # a step between two pixels, which both keep it
    assert canny(sharp).nonzero()[:, 1].unique(return_counts=True)[1].tolist() == [26, 26]


def test_canny_edges_keep_weak_pixels_beside_strong_ones():
    for value in (0.0, 0.5, 1.0):
        assert canny(grey(1, value)).sum() == 0
    ramp = torch.zeros(28, 28, dtype=torch.float64)
    ramp[:, 14], ramp[:, 15:] = 0.5, 1
    bell = torch.arange(-4, 5).square().div(-2).exp()
    steepest = 4 * (bell[4] + bell[5]) / bell.sum()  # of the smoothed step, by Sobel's kernels
    low, high = (0.1 / steepest).item(), (0.2 / steepest).item()  # contrasts at the thresholds
    assert canny(ramp * high * 1.001).sum() == 26
    assert canny(ramp * high * 0.999).sum() == 0
    contrast = torch.full((28, 1), low * 1.1, dtype=torch.float64)
    contrast[20:] = high * 1.1
    assert canny(ramp * contrast)[:, 14].sum() == 26
    contrast[:20] = low * 0.9
    assert canny(ramp * contrast)[:17].sum() == 0


def test_canny_edges_of_scans_are_as_many_as_scikit_image_finds(x):
    assert data.corrupt(x, "canny_edges").sum() == 9626
    assert data.corrupt(data.load("glyphs", "test")[0][:100], "canny_edges").sum() == 13_027


def test_canny_edges_are_those_of_scikit_image(x):
    for images in (x, data.load("glyphs", "test")[0][:100]):
        found = data.corrupt(images, "canny_edges")[:, 0].numpy()
        expected = np.stack([feature.canny(image[0].astype(float)) for image in images.numpy()])
        np.testing.assert_array_equal(found, expected)
        assert set(np.unique(found)) == {0, 1}


def test_bad_requests(x):
    with pytest.raises(ValueError, match="100 images need one angle or 100"):
        data.rotate(x, [1, 2])
    with pytest.raises(ValueError, match=r"named 'frost'; there are shot_noise, .*, canny_edges"):
        data.corrupt(x, "frost")
    with pytest.raises(ValueError, match=r"\(N, C, 28, 28\), not \(100, 1, 28, 27\)"):
        data.corrupt(x[..., :27], "fog")


# --- what is no image ---------------------------------------------------------------------------

SHIFTS = {
    "rotate": lambda x: data.rotate(x, 10),
    "roll": lambda x: data.roll(x, 1),
    "noise": lambda x: data.noise(x, 0.1),
    **{name: lambda x, name=name: data.corrupt(x, name) for name in data.CORRUPTIONS},
}


@pytest.mark.parametrize("shift", SHIFTS.values(), ids=SHIFTS)
def test_what_is_no_image_is_refused_by_every_shift(shift):
    x = torch.rand(2, 1, 28, 28)
    for number in (float("nan"), float("inf"), -float("inf")):
        wrong = x.clone()
        wrong[1, 0, 3, 4] = number
        with pytest.raises(ValueError, match="NaN or infinity"):
            shift(wrong)
    with pytest.raises(ValueError, match=r"must be in \[0, 1\], but they are in \[.*, 255\]"):
        shift(torch.cat([255 * x, 255 * torch.ones(1, 1, 28, 28)]))
    with pytest.raises(TypeError, match=r"not torch.uint8: divide by 255 first"):
        shift((255 * x).to(torch.uint8))
    for dtype in (torch.int64, torch.bool, torch.complex64):
        with pytest.raises(TypeError, match=f"not {dtype}"):
            shift(x.to(dtype))
    with pytest.raises(TypeError, match="must be a torch tensor, not ndarray"):
        shift(x.numpy())
    with pytest.raises(ValueError, match=r"must be \(N, C, .*not \(2, 28, 28\)"):
        shift(x[:, 0])


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf")])
def test_an_angle_and_a_deviation_must_be_finite(wrong):
    x = torch.rand(2, 1, 28, 28)
    with pytest.raises(ValueError, match="degrees contains NaN or infinity"):
        data.rotate(x, wrong)
    with pytest.raises(ValueError, match="std must be at least 0 and finite"):
        data.noise(x, wrong)


@pytest.mark.parametrize("wrong", [None, "0", 1.5, -1, True])
def test_a_seed_is_a_whole_number(wrong):
    x = torch.rand(2, 1, 28, 28)
    for draw in (lambda seed: data.corrupt(x, "fog", seed), lambda seed: data.noise(x, 0.1, seed)):
        with pytest.raises((TypeError, ValueError), match="seed must be"):
            draw(wrong)


def test_seeds_and_pixels_may_be_numbers_of_numpy():
    x, seed = torch.rand(2, 1, 28, 28), np.arange(3)[2]
    assert torch.equal(data.corrupt(x, "fog", seed), data.corrupt(x, "fog", 2))
    assert torch.equal(data.noise(x, 0.1, seed), data.noise(x, 0.1, 2))
    assert torch.equal(data.roll(x, seed), x.roll(2, -1))
    with pytest.raises(ValueError, match="pixels must be a whole number"):
        data.roll(x, 0.5)

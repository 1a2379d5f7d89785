"""torchvision, written by others, moves images as our shifts and corruptions do."""

import math
import subprocess
import sys

import pytest
import torch

from uecompress import data
from uecompress.vision import torchvision

functional = torchvision.transforms.v2.functional
BILINEAR = torchvision.transforms.InterpolationMode.BILINEAR


@pytest.fixture(scope="module")
def x():
    return data.load("digits", "test")[0][:100]


def affine(x, angle=0.0, translate=(0.0, 0.0), scale=1.0):
    return functional.affine(x, angle, list(translate), scale, [0.0], interpolation=BILINEAR)


def close(ours, theirs, atol=1e-5):  # both are bilinear; float32 grids differ by 1e-6 of an image
    torch.testing.assert_close(ours, theirs, rtol=0, atol=atol)


@pytest.mark.parametrize("degrees", [15, -30, 47.3, 90, 180])
def test_rotate_turns_as_torchvision_does(x, degrees):
    close(data.rotate(x, degrees), functional.rotate(x, degrees, interpolation=BILINEAR))
    x = x.double()
    ours, theirs = data.rotate(x, degrees), functional.rotate(x, degrees, interpolation=BILINEAR)
    close(ours, theirs, atol=1e-13)  # the grids are the same but for rounding


@pytest.mark.parametrize("pixels", [2, -5])
def test_roll_moves_as_torchvision_does_but_for_what_comes_in(x, pixels):
    inside = slice(pixels, None) if pixels > 0 else slice(None, pixels)
    close(data.roll(x, pixels)[..., inside], affine(x, translate=(pixels, 0))[..., inside])


def test_noise_is_bit_for_bit_that_of_torchvision(x):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        theirs = functional.gaussian_noise(x, mean=0.0, sigma=0.1, clip=True)
    assert torch.equal(data.noise(x, 0.1, seed=3), theirs)


def test_scale_shrinks_as_torchvision_does(x):
    close(data.corrupt(x, "scale"), affine(x, scale=0.7))


def test_each_turned_or_moved_corruption_is_one_of_those_that_torchvision_makes(x):
    angle = math.degrees(0.4)
    for name, candidates in (
        ("rotate", [affine(x, angle=s * angle) for s in (1, -1)]),
        ("translate", [affine(x, translate=(a, b)) for a in (3, -3) for b in (3, -3)]),
    ):
        far = (torch.stack(candidates) - data.corrupt(x, name)).abs().amax((2, 3, 4))  # (k, N)
        assert far.amin(0).max() < 1e-5
        assert set(far.argmin(0).tolist()) == set(range(len(candidates)))  # each is drawn


def test_stripe_inverts_as_torchvision_does(x):
    stripe = data.corrupt(x, "stripe")
    assert torch.equal(stripe[..., :7], functional.invert(x[..., :7]))


def test_an_import_that_fails_for_another_reason_keeps_its_error(tmp_path):
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('something else')")
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import uecompress.vision"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "RuntimeError: something else" in run.stderr

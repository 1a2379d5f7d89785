"""An MNIST-C-style set of corruptions, after Mu and Gilmer (2019)."""

from itertools import pairwise

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from uecompress import checks
from uecompress.data.canny import edges
from uecompress.data.images import check_images
from uecompress.data.shifts import warp


def corrupt(x, name, seed=0):
    """Images with one of the ``CORRUPTIONS``, at one fixed severity.

    They are the fifteen of Mu and Gilmer (2019) with their default parameters. The set is
    MNIST-C-*style* and not MNIST-C: random numbers are others, images are not rounded to 256 grey
    values, motion blur is bilinear, and fog is cut from a few fractals at random places. Compare
    numbers within this book only.

    Args:
        x: images (N, C, 28, 28) in [0, 1], which are not changed.
        name: one of ``CORRUPTIONS``.
        seed: of everything random, which differs from image to image.

    Returns:
        Images of the same shape and type, in [0, 1].

    Raises:
        TypeError, ValueError: what :func:`check_images` raises for images of 28×28; an unknown
            name; ``seed`` is no whole number.
    """
    if name not in _FUNCTIONS:
        raise ValueError(f"no corruption is named {name!r}; there are {', '.join(_FUNCTIONS)}")
    check_images(x, size=(28, 28))
    rng = np.random.default_rng(checks.seed(seed))
    corrupted = _FUNCTIONS[name](x.detach().double().cpu().numpy(), rng)
    return torch.from_numpy(corrupted).clamp(0, 1).to(x)


def _shot_noise(x, rng):
    return rng.poisson(3 * x) / 3  # a white pixel is three photons


def _impulse_noise(x, rng):
    """17 % of the pixels become black or white."""
    hit = rng.random(x.shape) < 0.17
    return np.where(hit, rng.random(x.shape) < 0.5, x)


def _glass_blur(x, rng):
    """Blur, exchange of neighbours at random, two sweeps, and blur again."""
    x, every = _blur(x, 0.7), np.arange(len(x))
    for row, column in 2 * [
        (row, column) for row in range(27, 1, -1) for column in range(27, 1, -1)
    ]:
        there = np.array([[row], [column]]) + rng.integers(-1, 1, (2, len(x)))  # one up or left
        there = np.where(rng.random(len(x)) < 0.5, there, [[row], [column]])
        far = x[every, :, *there]  # (N, C)
        x[every, :, *there] = x[:, :, row, column]
        x[:, :, row, column] = far
    return _blur(x, 0.7)


def _motion_blur(x, rng):
    """A trail of half a Gaussian, σ = 3 pixels, within 45 degrees of the horizontal."""
    angle = rng.uniform(-np.pi / 4, np.pi / 4, len(x))
    direction = np.stack([np.cos(angle), np.sin(angle)], -1)  # (N, 2)
    weights = np.exp(-(np.arange(12) ** 2) / (2 * 3**2))  # from there on below 0.001
    trail = [w * _warp(x, [[1, 0], [0, 1]], i * direction) for i, w in enumerate(weights)]
    return sum(trail) / weights.sum()


def _shear(x, rng):
    angle = 0.4 * _signs(rng, len(x))
    one, zero = np.ones(len(x)), np.zeros(len(x))
    return _warp(x, np.stack([one, -np.sin(angle), zero, np.cos(angle)], -1))


def _scale(x, rng):
    return _warp(x, np.eye(2) / 0.7)


def _rotate(x, rng):
    angle = 0.4 * _signs(rng, len(x))
    cos, sin = np.cos(angle), np.sin(angle)
    return _warp(x, np.stack([cos, -sin, sin, cos], -1))


def _brightness(x, rng):
    return x + 0.5


def _translate(x, rng):
    return _warp(x, np.eye(2), 3 * _signs(rng, len(x), 2))


def _fog(x, rng):
    """Three times a fractal of diamonds and squares, then as bright as before."""
    fractals = np.stack([_fractal(rng) for _ in range(8)])  # (8, 256, 256), periodic
    which, row, column = (rng.integers(0, size, (len(x), 1, 1, 1)) for size in (8, 256, 256))
    side = np.arange(28)
    fog = fractals[which, (row + side[:, None]) % 256, (column + side) % 256]  # (N, 1, 28, 28)
    top = x.max((1, 2, 3), keepdims=True)
    return (x + 3 * fog) * top / (top + 3)


def _fractal(rng, size=256):
    """A periodic landscape in [0, 1]: midpoints are means plus noise that shrinks by 1.4²."""
    land, noise, step = np.zeros((size, size)), 1.0, size
    while step >= 2:
        half, corners = step // 2, land[::step, ::step]
        rough = noise * rng.uniform(-1, 1, (3, *corners.shape))
        rows = corners + np.roll(corners, -1, 0)
        middles = (rows + np.roll(rows, -1, 1)) / 4 + rough[0]
        land[half::step, half::step] = middles
        columns = corners + np.roll(corners, -1, 1)
        land[::step, half::step] = (columns + middles + np.roll(middles, 1, 0)) / 4 + rough[1]
        land[half::step, ::step] = (rows + middles + np.roll(middles, 1, 1)) / 4 + rough[2]
        noise, step = noise / 1.4**2, half
    return (land - land.min()) / np.ptp(land)


def _spatter(x, rng):
    """Splashes of dark mud."""
    liquid = _blur(rng.normal(0.65, 0.3, x[:, :1].shape), 1)
    mud = _blur((liquid > 0.65).astype(float), 1.5)
    mud[mud < 0.8] = 0
    return x * (1 - mud) + 63 / 255 * mud


def _stripe(x, rng):
    """The quarters at the left and at the right are inverted."""
    return np.concatenate([1 - x[..., :7], x[..., 7:21], 1 - x[..., 21:]], -1)


def _dotted_line(x, rng):
    """A line across the image, every other two columns of it."""
    first, last = rng.integers(0, 27, (2, len(x)))
    dots = np.arange(28) // 2 % 2
    return x + dots * _line(0 * first, first, 0 * first + 27, last)


def _zigzag(x, rng):
    """A zigzag of width and height 2 about a line that rises or falls by at most 5 rows."""
    start, rise = rng.integers(0, 27, len(x)), rng.integers(-5, 5, len(x))
    angle = np.arctan(rise / 23)
    end = 23 / np.cos(angle)
    along = [0 * end, *(0 * end + c for c in range(2, 24, 4)), end]
    across = [0, 2, -2, 2, -2, 2, -2, -1 / (end - 20)]
    columns = [
        a * np.cos(angle) - b * np.sin(angle) + 2 for a, b in zip(along, across, strict=True)
    ]
    rows = [
        a * np.sin(angle) + b * np.cos(angle) + start for a, b in zip(along, across, strict=True)
    ]
    corners = list(zip(columns, rows, strict=True))
    return x + sum(_line(*a, *b) for a, b in pairwise(corners))


def _canny_edges(x, rng):
    """Nothing but the outlines, white on black."""
    return edges(x)


def _line(column0, row0, column1, row1):
    """Lines (N, 1, 28, 28) between points, 1 in the middle and 0 from 1.5 rows away."""
    c0, r0, c1, r1 = (
        np.asarray(a, float)[:, None, None, None] for a in (column0, row0, column1, row1)
    )
    row, column = np.arange(28)[:, None], np.arange(28)
    distance = np.abs(row - r0 - (r1 - r0) / (c1 - c0) * (column - c0))
    line = np.log(1 - np.minimum(distance / 2.3, 0.999)) + 1
    return line.clip(0, 1) * ((column >= np.floor(c0)) & (column < np.ceil(c1)))


def _blur(x, sigma):
    return gaussian_filter(x, (0, 0, sigma, sigma), mode="nearest")


def _signs(rng, *shape):
    return rng.choice([-1, 1], shape)


def _warp(x, matrix, move=None):
    """:func:`shifts.warp` of arrays."""
    matrix = torch.as_tensor(np.reshape(matrix, (-1, 2, 2)), dtype=torch.float64)
    if move is not None:
        matrix, move = matrix.expand(len(x), 2, 2), torch.as_tensor(move)
    return warp(torch.from_numpy(x), matrix, move).numpy()


_FUNCTIONS = {
    "shot_noise": _shot_noise,
    "impulse_noise": _impulse_noise,
    "glass_blur": _glass_blur,
    "motion_blur": _motion_blur,
    "shear": _shear,
    "scale": _scale,
    "rotate": _rotate,
    "brightness": _brightness,
    "translate": _translate,
    "fog": _fog,
    "spatter": _spatter,
    "stripe": _stripe,
    "dotted_line": _dotted_line,
    "zigzag": _zigzag,
    "canny_edges": _canny_edges,
}
CORRUPTIONS = tuple(_FUNCTIONS)

"""Shifts of a test set by a known amount: turned, rolled or noisy images (Ovadia et al., 2019)."""

import math

import torch
from torch.nn import functional as F

from uecompress import checks
from uecompress.data.images import check_images


def rotate(x, degrees):
    """Images turned counter-clockwise about their centre, bilinear, with zeros from outside.

    Args:
        x: images (N, C, H, W) in [0, 1], which are not changed.
        degrees: the angle, one number for all images or N numbers.

    Raises:
        TypeError, ValueError: what :func:`check_images` raises; neither one angle nor N, or one
            that is not finite.
    """
    check_images(x)
    angle = torch.as_tensor(degrees, dtype=x.dtype) * (math.pi / 180)
    if angle.shape not in ((), (len(x),)):
        raise ValueError(f"{len(x)} images need one angle or {len(x)}, not {tuple(angle.shape)}")
    checks.finite(degrees=angle)
    cos, sin = angle.cos(), angle.sin()
    return warp(x, torch.stack([cos, -sin, sin, cos], -1).reshape(-1, 2, 2))


def roll(x, pixels):
    """Images moved to the right by a whole number of pixels; what leaves comes in at the left.

    Args:
        x: images (N, C, H, W).
        pixels: an integer, negative to move to the left.

    Raises:
        TypeError, ValueError: what :func:`check_images` raises; ``pixels`` is no whole number.
    """
    check_images(x)
    return x.roll(checks.whole("pixels", pixels, low=None), -1)


def noise(x, std, seed=0):
    """Images plus Gaussian noise of standard deviation ``std``, clipped to [0, 1].

    Args:
        x: images (N, C, H, W) in [0, 1], which are not changed.
        std: the standard deviation of the noise before clipping, at least 0.
        seed: of the noise; the caller's random state is untouched.

    Raises:
        TypeError, ValueError: what :func:`check_images` raises; ``std`` is negative or not finite,
            ``seed`` is no whole number.
    """
    check_images(x)
    std = checks.within("std", std, 0, math.inf, open_high=True)
    generator = torch.Generator().manual_seed(checks.seed(seed))
    return (x + std * torch.randn(x.shape, generator=generator, dtype=x.dtype)).clamp(0, 1)


def warp(x, matrix, move=None):
    """Images whose pixel at p is the pixel of ``x`` at ``matrix`` p + ``move``, bilinear.

    Points are (column, row) in pixels from the centre of the image; outside of it all is zero.

    Args:
        x: images (N, C, H, W).
        matrix: (N, 2, 2), or (1, 2, 2) for all images.
        move: (N, 2), zero if not given.
    """
    half = torch.tensor([x.shape[-1], x.shape[-2]], dtype=x.dtype) / 2
    move = torch.zeros(1, 2) if move is None else move
    move = (move.to(x) / half)[..., None]  # (N, 2, 1), in units of half an image
    matrix = matrix.to(x) * half / half[:, None]
    theta = torch.cat([matrix, move.expand(len(matrix), 2, 1)], -1).expand(len(x), 2, 3)
    grid = F.affine_grid(theta, x.shape, align_corners=False)
    return F.grid_sample(x, grid, align_corners=False).clamp(0, 1)

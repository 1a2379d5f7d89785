"""Where to clip: thresholds T such that a grid from −T to T serves some numbers best.

A larger range clips less and rounds more coarsely. Every function here, and :func:`kl_threshold`,
takes a matrix and returns one threshold for each row; ``steps`` is the number of steps from 0 to T,
127 for eight bits.
"""

import torch

from uecompress import checks


def max_threshold(x, steps=None):
    """max ``|x|`` of each row: nothing is clipped.

    Args:
        x: (rows, entries).
        steps: not used.

    Raises:
        TypeError: not a tensor of floating-point numbers.
        ValueError: no entries, or numbers that are not finite.
    """
    return _checked(x).amax(dim=1)


def percentile_threshold(x, steps=None, *, share=0.999):
    """The smallest of the ``|x|`` of each row that at least this share of them does not exceed.

    Args:
        x: (rows, entries).
        steps: not used.
        share: in (0, 1].

    Raises:
        TypeError, ValueError: as :func:`max_threshold`; a share that is none.
    """
    share = checks.within("share", share, 0, 1, open_low=True)
    sizes = _checked(x)
    place = max(1, -int(-share * sizes.shape[1] // 1))  # ⌈share · entries⌉
    return sizes.kthvalue(place, dim=1).values


def mse_threshold(x, steps, *, candidates=100):
    """The threshold of the smallest squared error of each row, among evenly spaced ones.

    Args:
        x: (rows, entries).
        steps: from 0 to T.
        candidates: parts of max ``|x|`` at whose ends it looks.

    Raises:
        TypeError, ValueError: as :func:`max_threshold`; numbers that are not whole or below 1.
    """
    steps, candidates = checks.whole("steps", steps), checks.whole("candidates", candidates)
    sizes = _checked(x)
    largest = sizes.amax(dim=1)
    best, threshold = torch.full_like(largest, torch.inf), largest.clone()
    for k in range(candidates, 0, -1):
        trial = largest * (k / candidates)
        scale = torch.where(trial > 0, trial / steps, 1)[:, None]
        error = ((sizes / scale).round().clamp(max=steps) * scale - sizes).square().mean(dim=1)
        threshold = torch.where(error < best, trial, threshold)
        best = torch.minimum(error, best)
    return threshold


def _checked(x):
    """``|x|``, where there is any."""
    checks.floating(x=x)
    if x.ndim != 2 or not x.shape[1]:
        raise ValueError(f"x must be (rows, entries) with entries, not {tuple(x.shape)}")
    checks.finite(x=x)
    return x.abs()

"""How many weights stay, in the three ways in which papers say it."""

import math

from uecompress import checks


def budget(density, sparsity=None, ratio=None):
    """The density, or dict of densities, that one of the three says.

    Args:
        density: the share that stays, in (0, 1], or a dict of shares.
        sparsity: the share that goes, in [0, 1).
        ratio: all over what stays, at least 1.

    Raises:
        TypeError: no number.
        ValueError: not one of the three, or out of range.
    """
    if sum(given is not None for given in (density, sparsity, ratio)) != 1:
        raise ValueError("give exactly one of density, sparsity and ratio")
    if isinstance(density, dict):
        return {
            name: checks.within(f"density of {name!r}", share, 0, 1, open_low=True)
            for name, share in density.items()
        }
    if density is not None:
        return checks.within("density", density, 0, 1, open_low=True)
    if sparsity is not None:
        return 1 - checks.within("sparsity", sparsity, 0, 1, open_high=True)
    return 1 / checks.within("ratio", ratio, 1, math.inf, open_high=True)

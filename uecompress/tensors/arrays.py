"""NumPy or torch: what every file of this room asks of an array before it works with it."""

import numpy as np
import torch

FLOATS = {np: (np.float32, np.float64), torch: (torch.float32, torch.float64)}


def library(a):
    """``torch`` for a torch tensor, ``numpy`` for a NumPy array, TypeError for anything else."""
    if isinstance(a, torch.Tensor):
        return torch
    if isinstance(a, np.ndarray):
        return np
    raise TypeError(f"expected a NumPy array or a torch tensor, not {type(a).__name__}")


def check_tensor(a, name="tensor"):
    """Return the library of ``a``, a finite, non-empty real tensor of at least one dimension.

    Raises:
        TypeError: neither a NumPy array nor a torch tensor.
        ValueError: not float32 or float64; no dimensions or no entries; NaN or infinity.
    """
    xp = library(a)
    if a.dtype not in FLOATS[xp]:
        raise ValueError(f"the {name} must be of float32 or float64, not {a.dtype}")
    if 0 in a.shape or not a.shape:
        raise ValueError(
            f"the {name} must not be empty or a scalar, but its shape is {tuple(a.shape)}"
        )
    proven = xp is torch and a.sum().isfinite()  # ten times faster than to look at each number
    if not (proven or xp.isfinite(a).all()):
        raise ValueError(f"the {name} contains NaN or infinity")
    return xp


def same_kind(a, b):
    """Whether two arrays come from one library and have one type."""
    return library(a) is library(b) and a.dtype == b.dtype


def to_torch(a):
    """A NumPy array as a torch tensor, without a copy where possible; a tensor as it is."""
    if isinstance(a, torch.Tensor):
        return a
    return torch.from_numpy(np.require(a, requirements=["C", "W"]))


def like(values, a):
    """An array or tensor as one of the library, type and device of ``a``."""
    if isinstance(a, torch.Tensor):
        return torch.as_tensor(values, dtype=a.dtype, device=a.device)
    return np.asarray(values, dtype=a.dtype)

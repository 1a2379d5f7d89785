"""NumPy or torch: what every file of this room asks of an array before it works with it.

And how it stays within the range of a type: numbers whose squares would overflow or vanish are
multiplied by a power of two first, which is exact, and divided by it at the end.
"""

import math

import numpy as np
import torch

from uecompress import checks

FLOATS = {np: (np.float32, np.float64), torch: (torch.float32, torch.float64)}
# Within 2^-SAFE and 2^SAFE, sums of many squares keep their digits; by the bytes of the type.
SAFE = {4: 40, 8: 400}


def library(a):
    """``torch`` for a torch tensor, ``numpy`` for a NumPy array, TypeError for anything else.

    A masked array is refused, since the mask would be lost, and so are a sparse tensor and one on
    the device "meta", which holds no numbers.
    """
    if isinstance(a, torch.Tensor):
        if a.layout != torch.strided or a.is_meta:
            kind = "one without numbers (meta)" if a.is_meta else f"one of layout {a.layout}"
            raise TypeError(f"expected a dense torch tensor, not {kind}")
        return torch
    refuse_masked(a)
    if isinstance(a, np.ndarray) and not isinstance(a, np.matrix):
        return np
    raise TypeError(f"expected a NumPy array or a torch tensor, not {type(a).__name__}")


def refuse_masked(a):
    """TypeError for a masked array: what is computed from it would see what is masked."""
    if isinstance(a, np.ma.MaskedArray):
        raise TypeError("masked arrays are not supported: fill or drop the masked entries first")


def check_tensor(a, name="tensor"):
    """Return the library of ``a``, a finite, non-empty real tensor of at least one dimension.

    Raises:
        TypeError: neither a NumPy array nor a dense torch tensor, or a masked array.
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


def check_sizes(name, values, low=1):
    """Whole numbers of at least ``low``, such as a shape or ranks, as a tuple of ints.

    Raises:
        TypeError: no sequence of numbers.
        ValueError: one of them has a fraction or is too small.
    """
    try:
        values = tuple(values)
    except TypeError:
        raise TypeError(f"{name} must be a sequence of whole numbers, not {values!r}") from None
    return tuple(checks.whole(f"{name}[{k}]", n, low) for k, n in enumerate(values))


def same_kind(a, b):
    """Whether two arrays come from one library and have one type."""
    return library(a) is library(b) and a.dtype == b.dtype


def check_kind(a, b, names):
    """TypeError for what is no array, ValueError for arrays of two libraries or types."""
    if not same_kind(a, b):
        kinds = (f"{library(c).__name__} {c.dtype}" for c in (a, b))
        raise ValueError(f"{names} must be of one type, not {' and '.join(kinds)}")


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


def fitting(values, a, what):
    """As :func:`like`, for values of float64 that need not fit into the type of ``a``.

    Raises:
        ValueError: as for :func:`unscaled`.
    """
    with np.errstate(over="ignore"):
        result = like(values, a)
    return _in_range(result, values, what)


def scaled(a):
    """``a`` with its largest entry brought near to 1 if squares of it could overflow or vanish.

    Returns:
        a·2^-k and k, where k is 0 for all ordinary numbers. It is a multiple of 12, so that two,
        three or four factors can share 2^k exactly.
    """
    exponent = excess(_largest(a), a.dtype)
    return times_power_of_two(a, -exponent), exponent


def scaled_columns(a):
    """As :func:`scaled` for each column of a NumPy matrix by itself: a·2^-k and the k (n,)."""
    sizes = np.frexp(np.abs(a).max(axis=0))[1]
    exponents = np.where(np.abs(sizes) > SAFE[a.dtype.itemsize], sizes, 0)
    return np.ldexp(a, -exponents), exponents


def excess(largest, dtype):
    """The k of :func:`scaled` for a largest absolute value."""
    size, safe = math.frexp(largest)[1], SAFE[dtype.itemsize]  # largest < 2^size
    if largest == 0 or -safe <= size <= safe:
        return 0
    return int(math.copysign(12 * math.ceil((abs(size) - safe) / 12), size))


def times_power_of_two(a, exponent):
    """a·2^k, in two steps, since 2^k alone may be out of the type's range; a itself for k = 0."""
    if exponent == 0:
        return a
    half = exponent // 2
    with np.errstate(over="ignore"):
        return a * 2.0**half * 2.0 ** (exponent - half)


def unscaled(a, exponent, what):
    """a·2^k: what undoes :func:`scaled`.

    Raises:
        ValueError: an entry overflows, or the largest one vanishes or is subnormal, where digits
            are lost; ``what`` says of which quantity.
    """
    return a if exponent == 0 else _in_range(times_power_of_two(a, exponent), a, what)


def contract(equation, g, h, what):
    """``einsum`` of two arrays of one kind, over the whole range of their type.

    Raises:
        ValueError: as for :func:`unscaled`.
    """
    (g, up), (h, down) = scaled(g), scaled(h)
    return unscaled(library(g).einsum(equation, g, h), up + down, what)


def finite(a, what):
    """``a``, unless it overflowed: then ValueError."""
    if not library(a).isfinite(a).all():
        raise ValueError(f"{what} overflows {a.dtype}: scale the tensor down first")
    return a


def _largest(a):
    a = a.detach() if isinstance(a, torch.Tensor) else a
    return max(float(a.max()), -float(a.min()))


def _in_range(result, exact, what):
    largest = _largest(result)
    if not math.isfinite(largest):
        raise ValueError(f"{what} overflows {result.dtype}: scale the tensor down first")
    tiny = (torch if isinstance(result, torch.Tensor) else np).finfo(result.dtype).tiny
    if largest < tiny and _largest(exact) > 0:
        raise ValueError(f"{what} underflows {result.dtype}: scale the tensor up first")
    return result

"""The same numbers in fewer bytes each: integers as distances from one, floats in narrower formats.

Nothing is lost, or it is not done.
"""

import numpy as np

from uecompress.storage.bytestream import DamagedFile

NARROWER = {"half": ("<f4", "<f2"), "bfloat": ("<f4", "<u2"), "single": ("<f8", "<f4")}


def unsigned(itemsize):
    """The unsigned integers of so many bytes, which hold the bits of any number of that size."""
    return np.dtype(f"<u{itemsize}")


def zigzag(value):
    """The non-negative integer for 0, −1, 1, −2, 2, … that is 0, 1, 2, 3, 4, …"""
    return 2 * value if value >= 0 else -2 * value - 1


def from_zigzag(value):
    """The integer whose ``zigzag`` this is."""
    return -(value + 1) // 2 if value % 2 else value // 2


def distances(a):
    """The smallest of some integers, and how far above it each of them lies.

    Returns:
        The smallest, the bytes that a distance needs (0, 1, 2 or 4; 0 if all are equal), and the
        distances as unsigned integers of the shape of ``a`` (None if all are equal). None instead
        of the three if ``a`` holds floats or nothing, or if the distances need as many bytes.
    """
    if a.dtype.kind == "f" or not a.size:
        return None
    low, high = int(a.min()), int(a.max())
    width = next(w for w in (0, 1, 2, 4, 8) if high - low < 256**w)
    if width == 8 or (width == a.itemsize and a.dtype.kind == "u"):
        return None
    if width == 0:
        return low, 0, None
    wide = a.astype("<i8") if a.itemsize < 8 else a
    return low, width, (wide - wide.dtype.type(low)).astype(unsigned(width))


def from_distances(low, distance, dtype):
    """The bits of the integers ``low + distance`` of this dtype.

    Raises:
        DamagedFile: some of them are no integers of this dtype.
    """
    limits = np.iinfo(dtype)
    if low < limits.min or low + int(distance.max(initial=0)) > limits.max:
        raise DamagedFile(f"integers from {low} are not all {dtype}")
    # Unsigned arithmetic wraps around, and so lands on the bits of a negative sum.
    bits = distance.ravel().astype(unsigned(dtype.itemsize))
    return bits + bits.dtype.type(low % 256**dtype.itemsize)


def narrower(a):
    """The name of a narrower format that holds some floats exactly, and the floats in it; or None.

    The floats are the same to the bit. Those with a NaN among them stay as they are: which of the
    many NaN comes out of a conversion depends on the machine.
    """
    a = np.ascontiguousarray(a)
    if np.isnan(a).any():
        return None
    for name, (wide, _) in NARROWER.items():
        # Most floats fail in the first thousand.
        if a.dtype == wide and _is_exact(a.ravel()[:1000], name) and _is_exact(a, name):
            return name, _narrow(a, name)
    return None


def widen(a, name):
    """The floats of which ``narrower`` made ``a``.

    Raises:
        DamagedFile: there is a NaN among them.
    """
    if np.isnan(a).any():
        raise DamagedFile(f"NaN has no code {name}")
    wide = NARROWER[name][0]
    return (a.astype("<u4") << 16).view(wide) if name == "bfloat" else a.astype(wide)


def _is_exact(a, name):
    bits, narrow = a.view(unsigned(a.itemsize)), _narrow(a, name)
    return np.array_equal(widen(narrow, name).view(bits.dtype), bits)


def _narrow(a, name):
    narrow = NARROWER[name][1]
    with np.errstate(over="ignore", under="ignore"):
        return (a.view("<u4") >> 16).astype(narrow) if name == "bfloat" else a.astype(narrow)

"""Lossless codes for one array: a byte that names the code, then what the code needs.

    raw        the values as they are, least significant byte first
    constant   one value that all others equal, bit for bit
    entropy    symbols 0 … K − 1: K − 1, their quantized counts, an entropy-coded stream
    sparse     where the array is not zero, then its other values as an array
    codebook   K − 2, the K distinct values in the order of their bits, the index of each value
    planes     the most significant byte of every value, then the next: one array for each
    offset     the smallest value, and the distances from it as smaller unsigned integers
    half       float32 that float16 holds exactly, as float16
    bfloat     float32 whose lower 16 bits are zero, as the upper 16
    single     float64 that float32 holds exactly, as float32

The arrays inside a code are coded in the same way. Values are compared by their bits, so −0.0 is
not zero, and NaN is whatever NaN it was.
"""

import math

import numpy as np

from uecompress.storage.bytestream import DamagedFile, varint
from uecompress.storage.entropy import (
    decode_bytes,
    decode_mask,
    decode_symbols,
    encode_bytes,
    encode_mask,
    encode_symbols,
)  # fmt: skip

NAMES = (
    "raw", "constant", "entropy", "sparse", "codebook", "planes", "offset", "half", "bfloat",
    "single",
)  # fmt: skip
RAW, CONSTANT, ENTROPY, SPARSE, CODEBOOK, PLANES, OFFSET, HALF, BFLOAT, SINGLE = range(10)
NARROWER = {HALF: ("<f4", "<f2"), BFLOAT: ("<f4", "<u2"), SINGLE: ("<f8", "<f4")}
MOST_VALUES = 1 << 16  # of a codebook
DEEPEST = 8  # codes inside codes


def encode(a):
    """The shortest code found for an array of floats or integers of any shape.

    Args:
        a: array of dtype f2, f4, f8, i1, … i8, u1, … u8, little-endian.

    Returns:
        Bytes, from which ``decode`` makes the array again, bit for bit; at most one byte more
        than the array has.
    """
    bits = np.ascontiguousarray(a).ravel().view(_unsigned(a.itemsize))
    if bits.size and (bits == bits[0]).all():
        return min(_raw(bits), bytes([CONSTANT]) + bits[:1].tobytes(), _offset(a), key=len)
    if bits.size < 2:
        return _raw(bits)
    narrow = _narrow(a) if a.dtype.kind == "f" else None
    if narrow:
        return narrow
    best = min(_raw(bits), _offset(a), key=len)
    if a.dtype.kind == "u" and a.itemsize <= 2:
        best = min(best, _entropy(bits), key=len)
    values = _distinct(bits)
    few = values is not None and len(values) <= 256
    if values is not None and not _is_range(a, values):
        best = min(best, _codebook(a, bits, values), key=len)
    # With a short codebook the indices of a float array are made sparse, not the array itself.
    if np.count_nonzero(bits) < 0.9 * bits.size and not (few and a.dtype.kind == "f"):
        best = min(best, _sparse(a, bits), key=len)
    if a.itemsize > 1 and len(best) > a.nbytes / 2:
        best = min(best, _planes(bits), key=len)
    return best


def decode(reader, shape, dtype, depth=0):
    """The array of this shape and dtype that ``encode`` wrote, and the names of its codes.

    The number of values must have been checked: memory for them is allocated.

    Raises:
        DamagedFile: the bytes are not such a code.
    """
    dtype, code = np.dtype(dtype), reader.take(1)[0]
    if code >= len(DECODERS) or depth > DEEPEST:
        raise DamagedFile(f"code number {code} in a depth of {depth} is none of ours")
    bits, inner = DECODERS[code](reader, shape, dtype, depth + 1)
    return bits.view(dtype).reshape(shape), (NAMES[code], *inner)


def _raw(bits):
    return bytes([RAW]) + bits.tobytes()


def _read_raw(reader, shape, dtype, depth):
    return np.frombuffer(reader.take(math.prod(shape) * dtype.itemsize), dtype), ()


def _read_constant(reader, shape, dtype, depth):
    bits = np.frombuffer(reader.take(dtype.itemsize), _unsigned(dtype.itemsize))
    return np.repeat(bits, math.prod(shape)), ()


def _entropy(bits):
    largest = int(bits.max())
    if largest >= max(256, bits.size):
        return _raw(bits)  # the table of counts alone would be as long
    coded = encode_symbols(bits, largest + 1, worth=0.99 * bits.nbytes)
    if coded is None:
        return _raw(bits)
    counts, stream = coded
    table = counts.tobytes() if largest < 256 else encode_bytes(counts)
    return bytes([ENTROPY]) + varint(largest) + table + stream


def _read_entropy(reader, shape, dtype, depth):
    largest = reader.varint()
    if dtype.kind != "u" or dtype.itemsize > 2 or largest >= 256**dtype.itemsize:
        raise DamagedFile(f"symbols up to {largest} cannot be {dtype}")
    if largest < 256:
        counts = np.frombuffer(reader.take(largest + 1), np.uint8)
    else:
        counts = decode_bytes(reader, largest + 1)
    return decode_symbols(reader, counts, math.prod(shape), dtype), ()


def _sparse(a, bits):
    mask = (bits != 0).reshape(_matrix(a.shape))
    values = np.ascontiguousarray(a).ravel()[mask.ravel()]
    return bytes([SPARSE]) + encode_mask(mask) + encode(values)


def _read_sparse(reader, shape, dtype, depth):
    mask = decode_mask(reader, _matrix(shape)).ravel()
    values, inner = decode(reader, (int(np.count_nonzero(mask)),), dtype, depth)
    bits = np.zeros(mask.size, _unsigned(dtype.itemsize))
    bits[mask] = values.view(bits.dtype)
    return bits, inner


def _codebook(a, bits, values):
    index = np.empty(bits.size, np.uint8 if len(values) <= 256 else "<u2")
    step = 1 << 20
    for start in range(0, bits.size, step):
        index[start : start + step] = np.searchsorted(values, bits[start : start + step])
    code = bytes([CODEBOOK]) + varint(len(values) - 2) + encode(values.view(a.dtype))
    return code + encode(index.reshape(a.shape))


def _read_codebook(reader, shape, dtype, depth):
    count = reader.varint() + 2
    if count > min(MOST_VALUES, math.prod(shape)):
        raise DamagedFile(f"a codebook of {count} for {math.prod(shape)} values")
    values, _ = decode(reader, (count,), dtype, depth)
    index, inner = decode(reader, shape, np.uint8 if count <= 256 else "<u2", depth)
    if index.size and index.max() >= count:
        raise DamagedFile(f"index {index.max()} in a codebook of {count}")
    return values.view(_unsigned(dtype.itemsize))[index.ravel()], inner


def _planes(bits):
    code = bytes([PLANES])
    for plane in reversed(range(bits.itemsize)):
        plane = (bits >> (8 * plane)).astype(np.uint8)
        same = (plane == plane[0]).all()
        code += encode(plane) if same else min(_raw(plane), _entropy(plane), key=len)
    return code


def _read_planes(reader, shape, dtype, depth):
    bits = np.zeros(math.prod(shape), _unsigned(dtype.itemsize))
    for _ in range(dtype.itemsize):
        plane, _ = decode(reader, (bits.size,), np.uint8, depth)
        bits = (bits << 8 if dtype.itemsize > 1 else bits) | plane
    return bits, ()


def _offset(a):
    """Integers counted from the smallest one, in the fewest bytes; none if they are all equal."""
    if a.dtype.kind == "f" or not a.size:
        return _raw(a)
    low, high = int(a.min()), int(a.max())
    width = next(w for w in (0, 1, 2, 4, 8) if high - low < 256**w)
    if width == 8 or (width == a.itemsize and a.dtype.kind == "u"):
        return _raw(a)
    zigzag = 2 * low if low >= 0 else -2 * low - 1
    code = bytes([OFFSET]) + varint(zigzag) + bytes([width])
    if width == 0:
        return code
    wide = a.astype("<i8") if a.itemsize < 8 else a
    return code + encode((wide - wide.dtype.type(low)).astype(f"<u{width}"))


def _read_offset(reader, shape, dtype, depth):
    zigzag, width = reader.varint(), reader.take(1)[0]
    low = -(zigzag + 1) // 2 if zigzag % 2 else zigzag // 2
    if dtype.kind == "f" or width not in (0, 1, 2, 4) or width > dtype.itemsize:
        raise DamagedFile(f"distances of {width} bytes cannot make {dtype}")
    distance, inner = np.zeros(math.prod(shape), np.uint8), ()
    if width:
        distance, inner = decode(reader, shape, f"<u{width}", depth)
    limits = np.iinfo(dtype)
    if low < limits.min or low + int(distance.max(initial=0)) > limits.max:
        raise DamagedFile(f"integers from {low} are not all {dtype}")
    # Unsigned arithmetic wraps around, and so lands on the bits of a negative sum.
    bits = distance.ravel().astype(_unsigned(dtype.itemsize))
    return bits + bits.dtype.type(low % 256**dtype.itemsize), inner


def _narrow(a):
    """The code of ``a`` in a smaller float format, or None where a bit would be lost."""
    a = np.ascontiguousarray(a)
    if np.isnan(a).any():  # which of the many NaN comes out of a conversion depends on the machine
        return None
    for code, (wide, _) in NARROWER.items():
        # Most floats fail in the first thousand.
        if a.dtype == wide and _is_exact(a.ravel()[:1000], code) and _is_exact(a, code):
            return bytes([code]) + encode(_smaller(a, code))
    return None


def _is_exact(a, code):
    bits = a.view(_unsigned(a.itemsize))
    return np.array_equal(_widen(_smaller(a, code), code).view(bits.dtype), bits)


def _smaller(a, code):
    narrow = NARROWER[code][1]
    with np.errstate(over="ignore", under="ignore"):
        return (a.view("<u4") >> 16).astype(narrow) if code == BFLOAT else a.astype(narrow)


def _widen(smaller, code):
    wide = NARROWER[code][0]
    return (smaller.astype("<u4") << 16).view(wide) if code == BFLOAT else smaller.astype(wide)


def _read_narrow(code):
    def read(reader, shape, dtype, depth):
        wide, narrow = NARROWER[code]
        if dtype != wide:
            raise DamagedFile(f"{NAMES[code]} is no code of {dtype}")
        smaller, inner = decode(reader, shape, narrow, depth)
        return _widen(smaller.ravel(), code), inner

    return read


DECODERS = (
    _read_raw, _read_constant, _read_entropy, _read_sparse, _read_codebook, _read_planes,
    _read_offset, *map(_read_narrow, NARROWER),
)  # fmt: skip


def _unsigned(itemsize):
    return np.dtype(f"<u{itemsize}")


def _matrix(shape):
    """Rows and columns of a weight: outputs by inputs, kernels unrolled."""
    rows = shape[0] if len(shape) > 1 else 1
    return rows, math.prod(shape) // rows


def _is_range(a, values):
    """Whether these sorted values are 0, 1, … K − 1, so that indices would be the array itself."""
    return a.dtype.kind == "u" and int(values[-1]) == len(values) - 1


def _distinct(bits):
    """The sorted distinct values where a codebook of them may pay, otherwise None."""
    if bits.itemsize == 1:
        values = np.flatnonzero(np.bincount(bits, minlength=256)).astype(bits.dtype)
    else:
        sample = bits[:: max(1, bits.size // MOST_VALUES)]
        if len(np.unique(sample)) > max(256, sample.size / 2):
            return None
        values = np.unique(bits)
    most = min(MOST_VALUES, bits.size / 2, 1 + np.count_nonzero(bits) / 2)
    return values if len(values) <= most else None

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

from uecompress.storage import entropy, numbers
from uecompress.storage.bytestream import DamagedFile, varint
from uecompress.storage.numbers import unsigned

NAMES = (
    "raw", "constant", "entropy", "sparse", "codebook", "planes", "offset", "half", "bfloat",
    "single",
)  # fmt: skip
RAW, CONSTANT, ENTROPY, SPARSE, CODEBOOK, PLANES, OFFSET = range(7)
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
    bits = np.ascontiguousarray(a).ravel().view(unsigned(a.itemsize))
    if bits.size and (bits == bits[0]).all():
        return min(_raw(bits), bytes([CONSTANT]) + bits[:1].tobytes(), _offset(a), key=len)
    if bits.size < 2:
        return _raw(bits)
    narrow = _narrow(a)
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
    bits = np.frombuffer(reader.take(dtype.itemsize), unsigned(dtype.itemsize))
    return np.repeat(bits, math.prod(shape)), ()


def _entropy(bits):
    largest = int(bits.max())
    if largest >= max(256, bits.size):
        return _raw(bits)  # the table of counts alone would be as long
    coded = entropy.encode_symbols(bits, largest + 1, worth=0.99 * bits.nbytes)
    if coded is None:
        return _raw(bits)
    counts, stream = coded
    table = counts.tobytes() if largest < 256 else entropy.encode_bytes(counts)
    return bytes([ENTROPY]) + varint(largest) + table + stream


def _read_entropy(reader, shape, dtype, depth):
    largest = reader.varint()
    n = math.prod(shape)
    most = min(256**dtype.itemsize, max(256, n))  # the table of counts takes work too
    if dtype.kind != "u" or dtype.itemsize > 2 or largest >= most:
        raise DamagedFile(f"symbols up to {largest} cannot be {n} of {dtype}")
    if largest < 256:
        counts = np.frombuffer(reader.take(largest + 1), np.uint8)
    else:
        counts = entropy.decode_bytes(reader, largest + 1)
    return entropy.decode_symbols(reader, counts, n, dtype), ()


def _sparse(a, bits):
    mask = (bits != 0).reshape(_matrix(a.shape))
    values = np.ascontiguousarray(a).ravel()[mask.ravel()]
    return bytes([SPARSE]) + entropy.encode_mask(mask) + encode(values)


def _read_sparse(reader, shape, dtype, depth):
    mask = entropy.decode_mask(reader, _matrix(shape)).ravel()
    values, inner = decode(reader, (int(np.count_nonzero(mask)),), dtype, depth)
    bits = np.zeros(mask.size, unsigned(dtype.itemsize))
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
    return values.view(unsigned(dtype.itemsize))[index.ravel()], inner


def _planes(bits):
    code = bytes([PLANES])
    for plane in reversed(range(bits.itemsize)):
        plane = (bits >> (8 * plane)).astype(np.uint8)
        same = (plane == plane[0]).all()
        code += encode(plane) if same else min(_raw(plane), _entropy(plane), key=len)
    return code


def _read_planes(reader, shape, dtype, depth):
    bits = np.zeros(math.prod(shape), unsigned(dtype.itemsize))
    for _ in range(dtype.itemsize):
        plane, _ = decode(reader, (bits.size,), np.uint8, depth)
        bits = (bits << 8 if dtype.itemsize > 1 else bits) | plane
    return bits, ()


def _offset(a):
    found = numbers.distances(a)
    if found is None:
        return _raw(a)
    low, width, distance = found
    zigzag = 2 * low if low >= 0 else -2 * low - 1
    code = bytes([OFFSET]) + varint(zigzag) + bytes([width])
    return code + encode(distance) if width else code


def _read_offset(reader, shape, dtype, depth):
    zigzag, width = reader.varint(), reader.take(1)[0]
    low = -(zigzag + 1) // 2 if zigzag % 2 else zigzag // 2
    if dtype.kind == "f" or width not in (0, 1, 2, 4) or width > dtype.itemsize:
        raise DamagedFile(f"distances of {width} bytes cannot make {dtype}")
    distance, inner = np.zeros(math.prod(shape), np.uint8), ()
    if width:
        distance, inner = decode(reader, shape, unsigned(width), depth)
    return numbers.from_distances(low, distance, dtype), inner


def _narrow(a):
    """The code of ``a`` in a narrower float format, or None where a bit would be lost."""
    found = numbers.narrower(a) if a.dtype.kind == "f" else None
    return found and bytes([NAMES.index(found[0])]) + encode(found[1])


def _read_narrow(name):
    wide, narrow = numbers.NARROWER[name]

    def read(reader, shape, dtype, depth):
        if dtype != wide:
            raise DamagedFile(f"{name} is no code of {dtype}")
        smaller, inner = decode(reader, shape, narrow, depth)
        return numbers.widen(smaller.ravel(), name), inner

    return read


DECODERS = (
    _read_raw, _read_constant, _read_entropy, _read_sparse, _read_codebook, _read_planes,
    _read_offset, *map(_read_narrow, numbers.NARROWER),
)  # fmt: skip


def _matrix(shape):
    """Rows and columns of a weight: outputs by inputs, kernels unrolled."""
    return (shape[0], math.prod(shape[1:])) if len(shape) > 1 else (1, math.prod(shape))


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

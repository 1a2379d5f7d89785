"""The distinct values of a tensor, in ascending order, in few bits.

    plain      the values as an array of ``storage/codes.py``
    multiples  of a scale: the scale (of floats), the first multiple, the gaps between them as bytes
    cells      floats on a line that is cut into cells of 2^e: for each value how many cells lie
               between its own and that of the value before, and which float of its cell it is

A grid is two numbers, whatever its length. Cells cost an uneven codebook of float32 about 22.5 bits
a value where the values have 32: the order of the values and their nearly even gaps tell the rest.
"""

import numpy as np

from uecompress.storage import numbers
from uecompress.storage.bytestream import DamagedFile, varint

_PLAIN, _MULTIPLES, _CELLS = range(3)
_MANTISSA = {
    2: (10, 15),
    4: (23, 127),
    8: (52, 1023),
}  # of itemsize: mantissa's bits, exponent bias
_LOWEST = -160  # the smallest exponent of a cell
_LONGEST = 64  # times the number of values: the longest gap


def ascending(bits, dtype):
    """The bits of distinct numbers in the order of the numbers; −0.0 is below 0.0."""
    if dtype.kind != "f":
        return np.sort(bits.view(dtype)).view(bits.dtype)
    top = bits.dtype.type(1 << (8 * dtype.itemsize - 1))
    return bits[np.argsort(np.where(bits & top, ~bits, bits | top))]


def encode(values, array):
    """The shortest code of some ascending values; ``array`` codes an array (``codes.encode``)."""
    plain = bytes([_PLAIN]) + array(values)
    return min((c for c in (plain, _multiples(values, array), _cells(values)) if c), key=len)


def decode(reader, count, dtype, array):
    """The values that ``encode`` wrote; ``array(shape, dtype)`` decodes an array.

    Raises:
        DamagedFile: the bytes are no such code, or the values not ascending.
    """
    first = reader.take(1)[0]
    if first == _PLAIN:
        values = array((count,), dtype)
    elif first == _MULTIPLES:
        values = _read_multiples(reader, count, dtype, array)
    elif first & 3 == _CELLS and dtype.kind == "f":
        values = _read_cells(reader, count, dtype, first)
    else:
        raise DamagedFile(f"a codebook of {dtype} has no code {first}")
    bits = values.view(numbers.unsigned(dtype.itemsize))
    if len(np.unique(bits)) < count or (ascending(bits, dtype) != bits).any():
        raise DamagedFile("the values of a codebook do not ascend")
    return values


def _multiples(values, array):
    found = _scale(values)
    if found is None:
        return None
    scale, k = found
    gaps = np.diff(k)
    if gaps.max() > 255 or not (gaps > 0).all():
        return None
    head = bytes([_MULTIPLES]) + (b"" if scale is None else scale.tobytes())
    return head + varint(numbers.zigzag(int(k[0]))) + array(gaps.astype(np.uint8))


def _scale(values):
    """The scale (None for integers) and the multiples of it that the values are, or None."""
    if values.dtype.kind != "f":
        return (None, values.astype(np.int64)) if values.max() < 1 << 62 else None
    if not np.isfinite(values).all() or not values.any():
        return None
    wide = values.astype(np.float64)
    smallest, largest = np.abs(wide[wide != 0]).min(), float(np.abs(wide).max())
    for divisor in range(1, 9):
        scale = values.dtype.type(smallest / divisor)
        if largest < float(scale) * (1 << 15):
            k = np.rint(wide / np.float64(scale)).astype(np.int64)
            again = _times(k, scale)
            if again.tobytes() == values.tobytes():
                return scale, k
    return None


def _times(k, scale):
    return (k * np.float64(scale)).astype(scale.dtype)  # exact before it is rounded, but for f8


def _read_multiples(reader, count, dtype, array):
    scale = None
    if dtype.kind == "f":
        scale = np.frombuffer(reader.take(dtype.itemsize), dtype)[0]
        if not np.isfinite(scale):
            raise DamagedFile(f"a codebook has the scale {scale}")
    first = numbers.from_zigzag(reader.varint())
    k = [
        first,
        *(first + np.cumsum(array((count - 1,), np.dtype(np.uint8)), dtype=np.int64)).tolist(),
    ]
    if scale is None:
        limits = np.iinfo(dtype)
        if k[0] < limits.min or k[-1] > limits.max:
            raise DamagedFile(f"integers from {k[0]} to {k[-1]} are not all {dtype}")
        return np.array(k, dtype)
    if max(map(abs, k)) > 1 << 16:
        raise DamagedFile(f"a codebook has multiples from {k[0]} to {k[-1]}")
    with np.errstate(over="ignore"):
        return _times(np.array(k, np.int64), scale)


def _cells(values):
    """Bits, first to last: the first cell, then for each value its place and the next gap.

    A byte: 2, plus 4 if zero is one of the values (it is left out), 8 times the usual gap g − 8,
    64 times r. A byte for e. The first cell is an Elias gamma code. A gap d is ⌊z/2^r⌋ ones, a
    zero and the r last bits of z, where z is the zigzag of d − g.
    """
    if values.dtype.kind != "f" or not np.isfinite(values).all():
        return None
    width, (mantissa, bias) = 8 * values.itemsize, _MANTISSA[values.itemsize]
    rest = values[values.view(numbers.unsigned(values.itemsize)) != 0]
    magnitudes = [int(b) % (1 << width - 1) for b in rest.view(numbers.unsigned(rest.itemsize))]
    if len(rest) < 3 or min(magnitudes) < 1 << mantissa:  # −0.0 or subnormal
        return None
    middle = np.sort(np.diff(rest.astype(np.float64)))[len(rest) // 2 - 1]
    e = max(int(np.frexp(middle)[1]) - 4, (max(magnitudes) >> mantissa) - bias - mantissa)
    if not 0 <= e - _LOWEST < 256 or not np.isfinite(middle):
        return None
    cells, places = [], []
    for negative, magnitude in zip(rest < 0, magnitudes, strict=True):
        shift = mantissa - (magnitude >> mantissa) + bias + e
        full = magnitude % (1 << mantissa) + (1 << mantissa)
        cell = full >> shift
        places.append(_binary(full, shift) if cell else _binary(magnitude, width - 1))
        cells.append(~cell if negative else cell)
    usual = min(15, max(8, int(np.median(np.diff(cells)))))
    z = [numbers.zigzag(int(gap) - usual) for gap in np.diff(cells)]
    if max(z) > _LONGEST * len(z):
        return None
    r = min(range(4), key=lambda r: sum((v >> r) + r for v in z))
    gaps = ["1" * (v >> r) + "0" + _binary(v, r) for v in z]
    first = format(numbers.zigzag(cells[0]) + 1, "b")
    text = "0" * (len(first) - 1) + first
    text += "".join(map("".join, zip(places, [*gaps, ""], strict=True)))
    text += "0" * (-len(text) % 8)
    head = bytes([_CELLS + 4 * (len(rest) < len(values)) + 8 * (usual - 8) + 64 * r, e - _LOWEST])
    return head + int(text, 2).to_bytes(len(text) // 8)


def _read_cells(reader, count, dtype, first):
    width, (mantissa, bias) = 8 * dtype.itemsize, _MANTISSA[dtype.itemsize]
    zero, usual, r = first >> 2 & 1, 8 + (first >> 3 & 7), first >> 6
    e, bits, values = reader.take(1)[0] + _LOWEST, _Bits(reader), [0] * zero
    length = bits.run("0", 40)
    cell = numbers.from_zigzag((1 << length | bits.take(length)) - 1)
    while True:
        full = max(cell, ~cell)
        shift = mantissa - full.bit_length() + 1
        exponent = e + mantissa - shift + bias
        if full and not (shift >= 0 and 0 < exponent <= 2 * bias):
            raise DamagedFile(f"a codebook has no float in cell {cell} of 2^{e}")
        place = bits.take(shift if full else width - 1)
        magnitude = (exponent - 1 << mantissa) + (full << shift) + place if full else place
        values.append(magnitude + (cell < 0) * (1 << width - 1))
        if len(values) == count:
            break
        z = bits.run("1", _LONGEST * count) << r
        cell += usual + numbers.from_zigzag(z | bits.take(r))
    values = np.array(values, numbers.unsigned(dtype.itemsize))
    return ascending(values, dtype).view(dtype)


class _Bits:
    """Takes bits from the front of a reader, which gives a byte at a time."""

    def __init__(self, reader):
        self._reader, self._rest = reader, ""

    def take(self, n):
        while len(self._rest) < n:
            self._rest += format(self._reader.take(1)[0], "08b")
        bits, self._rest = self._rest[:n], self._rest[n:]
        return int(bits or "0", 2)

    def run(self, bit, most):
        """How many times ``bit`` stands before the other one, which is taken as well."""
        for length in range(most + 1):
            if self.take(1) != int(bit):
                return length
        raise DamagedFile(f"more than {most} equal bits")


def _binary(value, width):
    """The last ``width`` bits of an integer."""
    return format(value % (1 << width), f"0{width}b") if width else ""

"""Entropy coding of small integers and of zero masks, with constriction's ANS coder.

Every probability is a quotient of integers that are stored in the file or already decoded, so it is
the same number on every machine. A stream is the coder's words, least significant byte first,
without the zero bytes at the end.
"""

import math

import constriction
import numpy as np

from uecompress.storage.bytestream import DamagedFile, varint

AnsCoder = constriction.stream.stack.AnsCoder
BERNOULLI = constriction.stream.model.Bernoulli(perfect=False)
CHUNK = 1 << 20  # symbols handed to the coder at a time: it wants them as int32
STRENGTHS = (4, 1, 16)  # how many quarters of a line the average column of a mask counts for


def levels(bits):
    """The 256 integers that one byte stands for: floating point with ``bits`` bits of mantissa.

    For 3 bits 0, 1, … 15, 16, 18, … 30, 32, 36, …: the nearest is at most 1/17 of a number away.
    """
    one = 1 << bits
    table = [b if b < one else (one + b % one) << min(b // one - 1, 40) for b in range(256)]
    return np.array(table, np.int64)


FINE, COARSE = levels(3), levels(1)


def nearest_level(counts, table):
    """The bytes of the levels nearest to ``counts``, an array of integers."""
    table = np.unique(table)  # it repeats its largest number
    return np.searchsorted((table[:-1] + table[1:]) / 2, counts).astype(np.uint8)


def encode_symbols(symbols, alphabet, worth=math.inf):
    """Symbols 0 … alphabet − 1 (at least two of them) in a stream with one probability each.

    Returns:
        The bytes of the quantized counts (uint8 array), and the stream; None if the stream would
        have more than ``worth`` bytes, as their entropy tells.
    """
    counts = np.zeros(alphabet, np.int64)
    for start in range(0, len(symbols), CHUNK):
        counts += np.bincount(symbols[start : start + CHUNK], minlength=alphabet)
    some = counts[counts > 0]
    if (some * np.log2(some.sum() / some)).sum() > 8 * worth:
        return None
    counts = nearest_level(counts, FINE)
    coder, model = AnsCoder(), _categorical(FINE[counts])
    for start in reversed(range(0, len(symbols), CHUNK)):  # last in, first out
        coder.encode_reverse(symbols[start : start + CHUNK].astype(np.int32), model)
    return counts, _stream(coder)


def decode_symbols(reader, counts, n, dtype):
    """``n`` symbols of a stream, as an array of the unsigned ``dtype``."""
    reader.spend(n)
    model, coder = _categorical(FINE[counts]), _coder(reader)
    symbols = np.empty(n, dtype)
    for start in range(0, n, CHUNK):
        amount = min(CHUNK, n - start)
        symbols[start : start + amount] = coder.decode(model, amount)
    _finish(coder)
    return symbols


def encode_mask(mask):
    """The shortest stream found for a boolean matrix: mode byte, what the mode needs, stream.

    Mode 0 is one probability for all entries, which is the number of ones over that of entries.
    The other modes learn where ones are likely. The shorter side's lines are coded one after
    another; a line with r ones (stored, rounded to a level) has in column j a one with probability

        r w_j / Σ_k w_k,   w_j = 4 C c_j + s T,

    with C columns, c_j ones so far in column j, T = Σ c_j, and s one of ``STRENGTHS``: a column
    counts as much as it has shown, and as s/4 lines of the average column.
    """
    ones = int(np.count_nonzero(mask))
    symbols = mask.ravel().view(np.uint8)
    coder, model = AnsCoder(), _categorical(np.array([mask.size - ones, ones]))
    for start in reversed(range(0, mask.size, CHUNK)):
        coder.encode_reverse(symbols[start : start + CHUNK].astype(np.int32), model)
    best = b"\0" + varint(ones) + _stream(coder)
    mask = mask if mask.shape[0] <= mask.shape[1] else mask.T
    if len(mask) < 2:
        return best
    lines = nearest_level(mask.sum(1), COARSE)
    described = encode_bytes(lines)
    for mode, strength in enumerate(STRENGTHS, start=1):
        stream = _encode_lines(mask, COARSE[lines], strength)
        coded = bytes([mode]) + described + stream
        if mode == 1 and len(coded) >= len(best):
            break  # there is no structure to be learned
        best = min(best, coded, key=len)
    return best


def decode_mask(reader, shape):
    """The boolean matrix that ``encode_mask`` wrote."""
    reader.spend(shape[0] * shape[1])
    mode = reader.take(1)[0]
    if mode == 0:
        ones, n = reader.varint(), shape[0] * shape[1]
        if not 0 < ones < n:
            raise DamagedFile(f"a mask of {n} entries has {ones} ones")
        model, coder, mask = _categorical(np.array([n - ones, ones])), _coder(reader), []
        for start in range(0, n, CHUNK):
            mask.append(coder.decode(model, min(CHUNK, n - start)).astype(bool))
        _finish(coder)
        return np.concatenate(mask).reshape(shape)
    if mode > len(STRENGTHS):
        raise DamagedFile(f"a mask of unknown mode {mode}")
    transposed = shape[0] > shape[1]
    lines, columns = sorted(shape)
    ones, strength = COARSE[decode_bytes(reader, lines)], STRENGTHS[mode - 1]
    mask, seen = np.empty((lines, columns), bool), np.zeros(columns, np.int64)
    coder = _coder(reader)
    for i in range(lines):
        mask[i] = coder.decode(BERNOULLI, _probabilities(ones[i], seen, strength))
        seen += mask[i]
    _finish(coder)
    return mask.T if transposed else mask


def encode_bytes(values):
    """A short uint8 array: 0 and the values, or their largest, the bytes of counts, a stream."""
    plain = b"\0" + values.tobytes()
    largest = int(values.max())
    if not largest:
        return plain
    counts, stream = encode_symbols(values, largest + 1)
    return min(plain, bytes([largest]) + counts.tobytes() + stream, key=len)


def decode_bytes(reader, n):
    """The uint8 array of length ``n`` that ``encode_bytes`` wrote."""
    largest = reader.take(1)[0]
    if not largest:
        return np.frombuffer(reader.take(n), np.uint8)
    counts = np.frombuffer(reader.take(largest + 1), np.uint8)
    return decode_symbols(reader, counts, n, np.uint8)


def _encode_lines(mask, ones, strength):
    coder, seen = AnsCoder(), mask.sum(0)
    for i in reversed(range(len(mask))):
        seen -= mask[i]
        coder.encode_reverse(mask[i].astype(np.int32), BERNOULLI,
                             _probabilities(ones[i], seen, strength))  # fmt: skip
    return _stream(coder)


def _probabilities(ones, seen, strength):
    """The probability of a one in each column of a line with about ``ones`` of them."""
    total = int(seen.sum())
    weights = 4 * len(seen) * seen + max(strength * total, 1)  # integers, hence exact
    return np.minimum(ones * (weights / int(weights.sum())), 0.96875)


def _categorical(counts):
    if np.count_nonzero(counts) == 0 or len(counts) < 2:
        raise DamagedFile("a table of counts without two symbols")
    return constriction.stream.model.Categorical(counts.astype(np.float64), perfect=False)


def _stream(coder):
    words = coder.get_compressed().astype("<u4").tobytes().rstrip(b"\0")
    return varint(len(words)) + words


def _coder(reader):
    words = reader.take(reader.varint())
    if words[-1:] == b"\0":
        raise DamagedFile("an entropy-coded stream that ends in a zero byte")
    return AnsCoder(np.frombuffer(words + bytes(-len(words) % 4), "<u4").astype(np.uint32))


def _finish(coder):
    if not coder.is_empty():
        raise DamagedFile("an entropy-coded stream that does not end where it should")

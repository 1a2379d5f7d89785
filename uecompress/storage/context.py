"""Symbols of a matrix, coded with what their neighbours tell about them.

Weights have neighbours: the pixel to the left, the pixel above, the same input of another unit.
Each symbol stands for a number (a value of the codebook, an integer), and is coded by binary
decisions: is it zero, is it positive, in which half of the levels that are left, and so on. What
is expected of a decision follows from a logistic distribution around the mean that the neighbours
predict, with a scale that they predict as well; ``mixing.Mixer`` corrects it by what was seen in
four contexts.

The matrix is coded in waves: step t codes row r in column t − r, for all rows at once, so that
NumPy can work on whole arrays, the left neighbours and the one above are known to the decoder, and
so is the mean of each row and column so far.

A stream is: the distance to the pixel above, plus 128 if coefficients follow; five coefficients, a
signed byte each, 64ths; the byte of the mean magnitude's level (``entropy.FINE``); the share of
non-zeros in 255ths, where zero is a symbol; the words of constriction's ANS coder.
"""

import math

import numpy as np

from uecompress.storage import entropy, neighbours
from uecompress.storage.bytestream import DamagedFile, Reader
from uecompress.storage.decisions import Tree
from uecompress.storage.mixing import Mixer, squash

MOST, WAVES = 1 << 20, 1 << 13  # symbols in a tensor, and steps in which they are coded
UNIT = 1 << 14  # the largest magnitude of a symbol's number
_NEAR = np.array([2, 1, 1, 2, 1, 1])  # weights of the neighbours' magnitudes
# Limits between the values of a context: 16 times a quotient in steps of 2^(1/3), 64 times one.
_SCALES = np.array([5, 6, 8, 10, 13, 16, 20, 25, 32, 40, 51])
_SHARES = np.array([6, 8, 9, 12, 15, 18, 23, 29, 36, 46])
_MEANS = np.array([1, 9, 25, 49, 81, 121])
_CONTEXTS = (12, 13, 25, 121)


def positions(values):
    """Integers of at most ``UNIT`` in magnitude for the sorted values of a codebook."""
    if not np.isfinite(values).all() or not values.any():
        values = np.arange(len(values)) - len(values) // 2
    values = values.astype(np.float64)
    return np.rint(values / np.abs(values).max() * UNIT).astype(np.int64)


def encode(symbols, numbers):
    """The stream of some symbols.

    Args:
        symbols: array of 0 … K − 1, K ≥ 2, of any shape, 1 to ``MOST`` of them.
        numbers: what the K symbols stand for, ascending integers as ``positions`` makes them.
    """
    n, shape = symbols.size, neighbours.folded(symbols.shape)
    matrix, x = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    matrix.ravel()[:n] = symbols.ravel()
    x.ravel()[:n] = numbers[symbols.ravel()]
    distance, coefficients = neighbours.fit(x)
    mean = entropy.nearest_level(max(1, int(np.abs(x).sum()) // n), entropy.FINE)
    head = [distance + 128 * bool(coefficients), *(w % 256 for w in coefficients), int(mean)]
    if (numbers == 0).any():
        head.append(int(np.count_nonzero(x)) * 255 // n)
    decisions, chances = [], []

    def code(depth, p, row, column):
        bits = waves.tree.bits[matrix[row, column], depth]
        decisions.append(bits)
        chances.append(p)
        return bits

    waves = _Waves(shape, n, numbers, Reader(bytes(head)))
    waves.run(code)
    coder, p = entropy.AnsCoder(), np.concatenate(chances) / 65536
    coder.encode_reverse(np.concatenate(decisions).astype(np.int32), entropy.BERNOULLI, p)
    return bytes(head) + entropy.stream_of(coder)


def decode(reader, shape, numbers):
    """The symbols (integers of this shape) that ``encode`` wrote.

    Raises:
        DamagedFile: the bytes are no such stream, or not ``affordable``.
    """
    n, start = math.prod(shape), reader.position
    if not 0 < n <= MOST:
        raise DamagedFile(f"{n} symbols have no code with contexts")
    reader.spend(n)
    waves = _Waves(neighbours.folded(shape), n, numbers, reader)
    coder = entropy.coder_of(reader)
    if not affordable(shape, reader.position - start):
        raise DamagedFile(f"{reader.position - start} bytes for {n} symbols are too few")
    waves.run(lambda depth, p, *_: coder.decode(entropy.BERNOULLI, p / 65536).astype(np.int64))
    entropy.finish(coder)
    return waves.symbols.ravel()[:n].reshape(shape)


def affordable(shape, length):
    """Whether a stream of so many bytes may have so many waves and symbols.

    A wave costs a third of a millisecond whatever is in it, so a file that somebody has made up
    takes at most that time for each of its bytes.
    """
    rows, columns = neighbours.folded(shape)
    return rows + columns <= min(16 + length, WAVES) and rows * columns <= 256 + 128 * length


class _Waves:
    """The matrix as far as it is known, and what that tells about the next wave."""

    def __init__(self, shape, n, numbers, reader):
        self.n, self.numbers, self.tree = n, numbers, Tree(numbers)
        first = reader.take(1)[0]
        distance = first & 127
        if distance < 3:
            raise DamagedFile(f"no pixel is above another at a distance of {distance}")
        self.coefficients = np.zeros(5, np.int64)
        if first > 127:
            self.coefficients[:] = np.frombuffer(reader.take(5), np.int8)
        self.mean = max(1, int(entropy.FINE[reader.take(1)[0]]))
        if self.mean > UNIT:
            raise DamagedFile(f"a mean of {self.mean}, more than any number")
        self.share = reader.take(1)[0] if self.tree.zero else None
        rows, columns = shape
        # The numbers, with zeros above the first row and left of the first column.
        self.left, self.stride = distance + 1, columns + distance + 1
        self.x = np.zeros((rows + 1) * self.stride, np.int64)
        self.near = -np.array([*neighbours.lags(distance), self.stride])[:, None]
        self.symbols = np.zeros(shape, np.int64)
        self.row_sums, self.column_sums = np.zeros(rows, np.int64), np.zeros(columns, np.int64)
        self.mixer = Mixer(len(self.tree.children), _CONTEXTS, self.tree.weights)
        # Distances of numbers from their predicted mean, in 256ths of the predicted scale.
        usual = 512 if self.share is None else 512 * 255 // max(1, self.share)
        self.misses, self.number = np.full(_CONTEXTS[0], usual), np.full(_CONTEXTS[0], 2)

    def run(self, code):
        """Code all waves; ``code(depth, p, row, column)`` gives decisions for probabilities."""
        rows, columns = self.symbols.shape
        for step in range(rows + columns - 1):
            row = np.arange(max(0, step - columns + 1), min(rows, step + 1))
            if row[-1] * columns + step - row[-1] >= self.n:  # the last row may be shorter
                row = row[:-1]
            if len(row):
                self._wave(code, row, step - row)

    def _wave(self, code, row, column):
        at = (row + 1) * self.stride + self.left + column
        near = self.x[at + self.near]
        mean = (self.coefficients @ near[:5]) >> 6
        scale, context, chance = self._context(row, column, near, mean)
        kind = context[0]
        width = np.maximum(1, scale * (self.misses // self.number)[kind] >> 9)
        alive, node, symbol = np.arange(len(row)), np.zeros_like(row), np.zeros_like(row)
        rest = row, column, mean, width
        for depth in range(len(self.tree.weights)):
            expected = chance if self.tree.zero and not depth else self._expected(node, *rest[2:])
            p = self.mixer.predict(depth, node, context, expected)
            bits = code(depth, p, *rest[:2])
            self.mixer.learn(bits)
            node = self.tree.children[node, bits]
            ends = node < 0
            symbol[alive[ends]] = ~node[ends]
            on = ~ends
            alive, node, context = alive[on], node[on], context[:, on]
            rest = [a[on] for a in rest]
            if not len(alive):
                break
        x = self.numbers[symbol]
        self.x[at], self.symbols[row, column] = x, symbol
        self.row_sums[row] += np.abs(x)
        self.column_sums[column] += np.abs(x)
        on = x != 0
        np.add.at(self.misses, kind[on], (np.abs(x - mean) * 256 // scale)[on])
        np.add.at(self.number, kind[on], 1)

    def _context(self, row, column, near, mean):
        """The scale that a number probably has, the four contexts, the probability of no zero."""
        g, size = self.mean, np.abs(near)
        c, r = self.column_sums[column], self.row_sums[row]
        means = np.stack([(c + 2 * g) // (row + 2), (r + 2 * g) // (column + 2)])
        scale = (4 * means[0] + 3 * means[1] + 3 * np.abs(mean) + 3 * g) // 10 + 1
        sides = np.sign(near[[0, 3]]) * (1 + (5 * size[[0, 3]] > 6 * g)) + 2
        shares = np.searchsorted(_SHARES, 16 * means // g, "right")
        context = np.stack([
            np.searchsorted(_SCALES, 16 * scale // g, "right"),
            6 + np.sign(mean) * np.searchsorted(_MEANS, 64 * np.abs(mean) // g, "right"),
            5 * sides[0] + sides[1],
            11 * shares[0] + shares[1],
        ])  # fmt: skip
        if not self.tree.zero:
            return scale, context, None
        # The odds of a non-zero, as much higher as column, row and neighbours are above the mean.
        one = (c + 8 * g) // (row + 8) * ((r + 8 * g) // (column + 8))
        one *= (_NEAR @ size + 8 * g) // 16 * max(1, self.share)
        none = max(1, 255 - self.share) * g**3
        return scale, context, np.clip((one << 12) // (one + none) << 4, 128, 65408)

    def _expected(self, node, mean, width):
        """Probabilities of the upper part under a logistic distribution."""
        low, middle, high = squash((self.tree.cuts[:, node] - mean) * 256 // width)
        return np.clip((high - middle + 8 << 16) // (high - low + 16), 128, 65408)

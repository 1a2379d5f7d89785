"""Which symbols of a matrix are neighbours, and how far they predict one another."""

import math
from fractions import Fraction

import numpy as np


def folded(shape):
    """Rows and columns for a weight: outputs by inputs, but neither very long nor very narrow.

    A vector becomes a square: it may be a mask of the pixels of an image.
    """
    n = math.prod(shape)
    columns = n // shape[0] if len(shape) > 1 else math.isqrt(n)
    least, most = math.isqrt(n) // 4, max(1024, 4 * math.isqrt(n))
    if columns < least:
        columns *= -(-least // columns)
    if columns > most:
        columns = -(-columns // -(-columns // most))
    return -(-n // columns), columns


def fit(x):
    """The distance at which a row resembles itself most, and coefficients if they are worth it.

    The coefficients of the neighbours minimize the squared error of the mean. The equations are
    solved in rational numbers: the bytes of a file must not depend on a machine's rounding.
    """
    columns = x.shape[1]
    alike = {d: abs(int((x[:, d:] * x[:, :-d]).sum())) for d in range(3, min(64, columns // 2))}
    distance = max(alike, key=alike.get, default=3)
    earlier = [np.roll(np.pad(x, ((0, 0), (0, d))), d, 1)[:, :columns] for d in lags(distance)]
    terms = [*earlier, x]
    products = [[Fraction(int((a * b).sum())) for b in terms] for a in earlier]
    ridge = sum(row[i] for i, row in enumerate(products)) / 5000 + 1
    for i, row in enumerate(products):
        row[i] += ridge
    right = [row[-1] for row in products]
    solution = _solve(products)
    power = int((x * x).sum())
    explained = sum(w * r for w, r in zip(solution, right, strict=True)) / max(1, power)
    if explained * int(np.count_nonzero(x)) < 83:  # which is about 60 bits
        return distance, []
    return distance, [max(-127, min(127, round(64 * w))) for w in solution]


def lags(distance):
    """Left, further left; above: left of it, itself, right of it."""
    return 1, 2, distance - 1, distance, distance + 1


def _solve(rows):
    """The solution of linear equations, each a list of coefficients and the right side."""
    for i in range(len(rows)):
        rows[i] = [value / rows[i][i] for value in rows[i]]
        for j in range(len(rows)):
            if j != i:
                rows[j] = [a - rows[j][i] * b for a, b in zip(rows[j], rows[i], strict=True)]
    return [row[-1] for row in rows]

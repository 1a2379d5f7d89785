"""The exercises of chapter 5, beyond the SVD."""

import numpy as np

from uecompress.exercises.function import Function
from uecompress.exercises.number import Number


def missing():
    """The columns of largest volume, and the entry that they and two rows determine."""
    return Number(
        [2.0, 3.0, -5.0],
        {
            "the columns, counted from 1, are parallel: the volume of this block is 0": [
                1.0,
                2.0,
                -5.0,
            ],
            "the volume of this block is 5, and another one has more": [1.0, 3.0, -5.0],
            "row 3 is not the sum of rows 1 and 2: look at column 3": [2.0, 3.0, 5.0],
        },
    )


def square():
    """The matrix whose products give the square of a sum, at 3."""
    return Number(
        [[1, 3, 9], [0, 1, 6], [0, 0, 1]],
        {
            "then the corner of G(x)G(y) lacks a factor: expand (x + y)²": [
                [1, 3, 9],
                [0, 1, 3],
                [0, 0, 1],
            ],
            "the entry must be linear in x": [[1, 3, 9], [0, 1, 9], [0, 0, 1]],
            "this is the transpose": [[1, 0, 0], [3, 1, 0], [9, 6, 1]],
        },
    )


def dot():
    """The dot product of two trains, from their cores."""
    rng = np.random.default_rng(0)
    inputs = [
        (_cores(rng, (2, 3), (2,)), _cores(rng, (2, 3), (2,))),
        (_cores(rng, (3, 2, 4), (2, 3)), _cores(rng, (3, 2, 4), (3, 2))),
        (_cores(rng, (2,) * 30, (2,) * 29), _cores(rng, (2,) * 30, (3,) * 29)),
    ]
    return Function(
        _dot,
        inputs,
        {
            "both cores take the same value of the index: you summed over the two separately": (
                lambda a, b: _total(a) * _total(b)
            ),
            "this is the sum of all entries of A: B is missing": lambda a, b: _total(a),
            "this is the sum of all entries of A + B": lambda a, b: _total(a) + _total(b),
            "this is ⟨A, A⟩: B is missing": lambda a, b: _dot(a, a),
            "one core is left out": lambda a, b: _dot(a[:-1], b[:-1]),
        },
        show=lambda a, b: f"two trains of {len(a)} cores",
    )


def nodes():
    """The smallest number of nodes for an error below 1e-8."""
    return Number(
        4,
        {
            "with 3 nodes the error is about 2e-6": 3,
            "this is for the relative error: do not divide by the exact value": 5,
            "8 nodes are plenty: fewer do": 8,
        },
    )


def search():
    """Random draws that find one entry of 10¹⁰ with probability 1/2."""
    return Number(
        1e10 * np.log(2),
        {
            "that holds if no entry is drawn twice": 5e9,
            "that many draws find it once on average, with probability 0.63": 1e10,
            "use the natural logarithm": 1e10 * np.log10(2),
        },
    )


def _cores(rng, shape, ranks):
    sizes = zip((1, *ranks), shape, (*ranks, 1), strict=True)
    return [rng.standard_normal(size) / np.sqrt(size[0]) for size in sizes]


def _dot(a, b):
    carried = np.ones((1, 1))
    for g, h in zip(a, b, strict=True):
        carried = np.einsum("ab,aic,bid->cd", carried, g, h)
    return carried[0, 0]


def _total(cores):
    row = np.ones(1)
    for core in cores:
        row = row @ core.sum(1)
    return row[0]

"""The exercises of chapter 4, the tensor train."""

import numpy as np

from uecompress import tensors
from uecompress.exercises.function import Function
from uecompress.exercises.number import Number


def entry():
    """One entry, a product of three small matrices."""
    return Number(
        9,
        {
            "the middle matrix is transposed": 30,
            "this is the product of the indices: multiply the matrices": 24,
            "here indices count as written, not from 0": 6,
        },
    )


def error():
    """The relative error that the tails of four steps add up to."""
    return Number(
        0.5,
        {
            "the errors are orthogonal: their squares add up": 19 / 26,
            "all steps count, not the worst one": 12 / 26,
            "take the root of the sum of squares": 169 / 26,
            "this is the error: divide it by the norm": 13,
        },
    )


def backwards():
    """TT-SVD that splits off the last index first."""
    rng = np.random.default_rng(0)
    inputs = []
    for shape, share in [((3, 4, 5), 0.5), ((2, 3, 4, 3), 0.45), ((4, 4, 4), 1e-9)]:
        a = rng.standard_normal(shape)
        inputs.append((a, share * np.linalg.norm(a)))
    return Function(
        _backwards,
        inputs,
        {
            "this begins with the first index: the errors are made at other cuts": _forwards,
            "compare the tail with delta, not one singular value": lambda a, delta: _backwards(
                a, delta, _by_value
            ),
            "the singular values are lost: U·Σ goes on to the left, not U": lambda a, delta: (
                _backwards(a, delta, keep=False)
            ),
            "delta is the tail that each step may cut off: do not divide it again": (
                lambda a, delta: _backwards(a, delta / np.sqrt(a.ndim - 1))
            ),
            "nothing is cut off: use delta": lambda a, delta: a,
        },
        show=lambda a, delta: f"an array of shape {a.shape} and delta = {delta:.3g}",
    )


def wave():
    """The rank of x sin x at a cut in the middle."""
    return Number(
        4,
        {
            "this is sin x alone": 2,
            "a product of functions of x is not one of a function of y and one of z": 1,
            "this is x² sin x": 6,
        },
    )


def _by_tail(s, delta):
    tails = np.sqrt(np.cumsum(s[::-1] ** 2)[::-1])
    return max(1, np.sum(tails > delta))


def _by_value(s, delta):
    return max(1, np.sum(s > delta))


def _backwards(a, delta, rule=_by_tail, keep=True):
    cores, rest, r = [], a, 1
    for n in a.shape[:0:-1]:
        u, s, vh = np.linalg.svd(rest.reshape(-1, n * r), full_matrices=False)
        right, r = r, rule(s, delta)
        cores.insert(0, vh[:r].reshape(r, n, right))
        rest = u[:, :r] * s[:r] if keep else u[:, :r]
    return tensors.TensorTrain([rest.reshape(1, a.shape[0], r), *cores]).full()


def _forwards(a, delta):
    turned = np.transpose(a)
    return np.transpose(_backwards(turned, delta))

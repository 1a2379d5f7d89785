"""Structured multi-hashing (Eban et al. 2020): all weights of a network in one low-rank matrix.

Weight i of a network of n weights is the entry (⌊i / d⌋, i mod d) of a d × d matrix M = U V of rank
k, with d about √n. Each weight is then a sum over k products of one number of U and one of V, a
multi-hash whose "hash functions" are rows and columns: 2 d k numbers, and neighbours in memory stay
neighbours, so that a matrix product takes the place of random access.

Layers lie in M one after another, each multiplied by a scale of its own, which is learned. They
share the parameters ``u`` and ``v``, tied as weights are anywhere: copies and files keep the tie,
and store them once.

The entries of M start with the mean variance of all weights, and scales near 1. The authors give
them variance 1, and the scales the size of weights: the same network at the start, but one in which
Adam, whose steps have the size of the learning rate, moves U and V too slowly.
"""

import math

import torch
from torch import nn

from uecompress import checks
from uecompress.hashing.matrix_slice import MatrixSlice
from uecompress.hashing.replacing import check_alike, foreign_padding, replaced
from uecompress.networks import Conv2dLayer, LinearLayer, plain_layers
from uecompress.randomness import seeded


class StructuredLayer:
    """A slice of M, times a scale; what the Linear and the Conv2d layer share.

    Attributes:
        u: (d, k).
        v: (k, d).
        scale: ().
    """

    def start(self, *, dim, rank, start=0):
        """Draw U, V and torch's biases; the variance of the weights is torch's, and the scale 1."""
        dim, rank = checks.whole("dim", dim), checks.whole("rank", rank)
        start = checks.whole("start", start, 0)
        self.settings = {"dim": dim, "rank": rank, "start": start}
        self.shape = self.ordinary(device="meta").weight.shape
        stop = start + math.prod(self.shape)
        if stop > dim**2:
            raise ValueError(
                f"a matrix of {dim} × {dim} has {dim**2:,} entries, and none "
                f"for weights {max(start, dim**2):,} to {stop - 1:,}"
            )
        self.u = nn.Parameter(torch.empty(dim, rank))
        self.v = nn.Parameter(torch.empty(rank, dim))
        self.draw(self.variance)
        self.scale = nn.Parameter(torch.ones(()))
        self.register_parameter("bias", self.ordinary().bias)

    def draw(self, variance):
        """Draw U and V so that the entries of U V have this variance: a k-th of it each product."""
        std = (variance / self.settings["rank"]) ** 0.25  # of a factor: a product has std⁴
        nn.init.normal_(self.u, std=std)
        nn.init.normal_(self.v, std=std)

    @property
    def variance(self):
        """The variance of torch's first weights."""
        return 1 / (3 * math.prod(self.shape[1:]))

    @property
    def dense_weight(self):
        """The layer's slice of U V, scaled; the shape of torch's layer."""
        start, dim = self.settings["start"], self.settings["dim"]
        stop = start + math.prod(self.shape)
        rows = self.u[start // dim : -(-stop // dim)]  # those that the slice touches
        offset = start % dim
        entries = MatrixSlice.apply(self.scale * rows, self.v, offset, offset + stop - start)
        return entries.view(self.shape)


class StructuredLinear(StructuredLayer, LinearLayer):
    """A Linear layer whose weights are a slice of U V; biases are ordinary.

    Args:
        in_features: size of the input.
        out_features: size of the output.
        bias: whether there are biases.
        dim: rows and columns d of the matrix.
        rank: its rank k.
        start: the position of the layer's first weight in it, row by row.

    Raises:
        TypeError: an argument that is no number, a ``bias`` that is not True or False.
        ValueError: one that is out of range; more weights than the matrix has entries for.
    """


class StructuredConv2d(StructuredLayer, Conv2dLayer):
    """A Conv2d layer whose weights are a slice of U V, as in :class:`StructuredLinear`.

    The arguments are those of :class:`Conv2dLayer <uecompress.networks.Conv2dLayer>`, and ``dim``,
    ``rank`` and ``start`` as in :class:`StructuredLinear`.
    """


def structured(model, *, ratio, seed):
    """Draws new weights: a copy of a network whose weights are one low-rank matrix, from ``seed=``.

    The n weights of all Linear and Conv2d layers lie one after another in a d × d matrix, as the
    entries of U V of rank k = ⌊n / (2 d · ratio)⌋; every layer has a scale of its own. The side d
    is the smallest from ⌈√n⌉ on that shares no divisor with the length of a layer's row.

    U, V, scales and biases are drawn, and they are trained, also where the weights of ``model``
    were frozen. Layers that are not plain (see :func:`networks.plain_layers
    <uecompress.networks.plain_layers>`) are left alone with a warning.

    Args:
        model: a network or an ensemble, whose members then share U and V; it is not changed, and
            its weights are not used.
        ratio: weights for each number of U and V, at least 1.
        seed: of the first values, from 0 to 2⁶³ − 1.

    Raises:
        TypeError: an argument that is no number.
        ValueError: one that is out of range; a ratio that leaves no rank; a network without plain
            Linear or Conv2d layers, or with layers of several dtypes or on several devices.
    """
    ratio = checks.within("ratio", ratio, 1, math.inf, open_high=True)
    layers = plain_layers(model, unless=foreign_padding)
    check_alike(layers)
    weights = {name: layer.weight for name, layer in layers.items()}
    n = sum(weight.numel() for weight in weights.values())
    dim = side(n, [weight[0].numel() for weight in weights.values()])
    rank = math.floor(n / (2 * dim * ratio))
    if rank < 1:
        raise ValueError(
            f"ratio {ratio:g} leaves no rank: of {n:,} weights in a matrix of {dim} × {dim}, "
            f"rank 1 has {2 * dim:,} numbers, so it can be {n / (2 * dim):g} at most"
        )
    settings, start = {}, 0
    for name, weight in weights.items():
        settings[name] = {"dim": dim, "rank": rank, "start": start}
        start += weight.numel()
    with seeded(seed):
        result = replaced(model, settings, StructuredLinear, StructuredConv2d)
        _tie([result.get_submodule(name) for name in weights])
    return result


def _tie(layers):
    """Give all layers the first one's U and V, of the mean variance, and scales that fit."""
    sizes = [math.prod(layer.shape) for layer in layers]
    total = sum(size * layer.variance for size, layer in zip(sizes, layers, strict=True))
    mean = total / sum(sizes)
    layers[0].draw(mean)
    for layer in layers:
        layer.u, layer.v = layers[0].u, layers[0].v
        nn.init.constant_(layer.scale, math.sqrt(layer.variance / mean))


def side(n, row_lengths):
    """The side d of the matrix: the smallest from ⌈√n⌉ on that shares no divisor with a row length.

    Where the rows of a layer, its weights of one output, are as long as those of M, all of them
    start at the same column, and the layer has the rank of M, or twice that. With a common divisor
    the same happens, less: rows start at d / gcd different columns.

    Args:
        n: the number of weights.
        row_lengths: the weights of one output in each layer.
    """
    dim = math.isqrt(n - 1) + 1
    while any(math.gcd(dim, length) > 1 for length in row_lengths):
        dim += 1
    return dim

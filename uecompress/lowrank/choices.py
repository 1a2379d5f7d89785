"""What each method can make of one layer: ranks, weights and the new layer for a given budget."""

import math
from typing import NamedTuple

import torch
from torch import nn

from uecompress.lowrank.cp_conv import cp_conv2d
from uecompress.lowrank.svd import svd_linear
from uecompress.lowrank.svd_conv import svd_conv2d
from uecompress.lowrank.tt_conv import TTConv2d
from uecompress.lowrank.tt_linear import TTLinear, check_ranks, factor_shape
from uecompress.lowrank.tucker_conv import tucker_conv2d, tucker_ranks
from uecompress.tensors import unfold_mode


class Choice(NamedTuple):
    """One way to write a layer.

    Its ``ranks``, how many ``weights`` its factors hold, and a function ``build`` that makes them.
    """

    ranks: int | tuple
    weights: int
    build: object


def svd_choices(layer):
    """The choices for a matrix, or for a kernel unfolded to (S, C·kh·kw).

    Returns:
        A function of either ``rank``, which is capped, or ``energy``, that returns a
        :class:`Choice`. All functions of this file return one.
    """
    matrix = layer.weight.detach().flatten(1)
    s = torch.linalg.svdvals(matrix.double())

    def choose(rank=None, energy=None):
        r = _energy_rank(s, energy) if rank is None else min(rank, len(s))
        return Choice(r, r * sum(matrix.shape), lambda: _svd_factors(layer, r))

    return choose


def cp_choices(layer):
    """As :func:`svd_choices`; there is no spectrum, and ``energy`` is a share of the weights."""
    shape, build = layer.weight.shape, cp_conv2d
    if _is_matrix(layer):
        shape, build = shape[:2], _svd_factors
    largest = math.prod(shape) // max(shape)

    def choose(rank=None, energy=None):
        if rank is None:
            rank = int(energy * math.prod(shape) / sum(shape))
        r = min(max(rank, 1), largest)
        return Choice(r, r * sum(shape), lambda: build(layer, r))

    return choose


def tucker_choices(layer):
    """As :func:`svd_choices`, for the two channel modes of a kernel."""
    if _is_matrix(layer):
        return svd_choices(layer)
    kernel = layer.weight.detach().double()
    outputs, inputs, *size = kernel.shape
    spectra = [torch.linalg.svdvals(unfold_mode(kernel, mode)) for mode in (1, 0)]

    def choose(rank=None, energy=None):
        if rank is None:
            r_in, r_out = (_energy_rank(s, energy) for s in spectra)
        else:
            r_in, r_out = tucker_ranks(kernel.shape, min(rank, max(inputs, outputs)))
        weights = inputs * r_in + math.prod(size) * r_in * r_out + outputs * r_out
        return Choice((r_in, r_out), weights, lambda: tucker_conv2d(layer, (r_in, r_out)))

    return choose


def tt_choices(layer):
    """As :func:`svd_choices`; the relative error of the train is at most √(1 - ``energy``).

    Both widths are split into three balanced factors, and into four where the matrix of channels
    has a million entries or more. Linear layers become :class:`TTLinear`, convolutions
    :class:`TTConv2d`.
    """
    outputs, inputs = layer.weight.shape[:2]
    d = 3 if outputs * inputs < 1_000_000 else 4
    out_shape, in_shape = factor_shape(outputs, d), factor_shape(inputs, d)
    rows, columns = out_shape, in_shape
    if isinstance(layer, nn.Linear):

        def train(**budget):
            return TTLinear.from_linear(layer, out_shape, in_shape, **budget)
    else:
        rows, columns = (layer.weight[0, 0].numel(), *rows), (1, *columns)

        def train(**budget):
            return TTConv2d.from_conv2d(layer, in_shape, out_shape, **budget)

    def choose(rank=None, energy=None):
        if rank is None:
            new = train(eps=math.sqrt(1 - energy))
            ranks, build = new.ranks, lambda: new
        else:
            ranks, build = check_ranks(rank, rows, columns), lambda: train(rank=rank)
        cores = zip(ranks[:-1], rows, columns, ranks[1:], strict=True)
        return Choice(tuple(ranks[1:-1]), sum(math.prod(core) for core in cores), build)

    return choose


def _energy_rank(s, energy):
    """The smallest rank, at least 1, that keeps the share ``energy`` of the squared spectrum."""
    kept = (s / s[0]).square().cumsum(0)  # squares of very large or small weights are no floats
    return 1 + int((kept[:-1] < energy * kept[-1]).sum())


def _is_matrix(layer):
    """Whether the weight is a matrix: that of a Linear layer or of a 1×1 convolution."""
    return layer.weight.dim() == 2 or layer.weight[0, 0].numel() == 1


def _svd_factors(layer, rank):
    """The two factors of a Linear layer or of a convolution."""
    return (svd_linear if isinstance(layer, nn.Linear) else svd_conv2d)(layer, rank)

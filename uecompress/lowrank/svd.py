"""A Linear layer as two thin ones, by the singular value decomposition of its weight."""

from collections import OrderedDict

import torch
from torch import nn

from uecompress import checks
from uecompress.networks import plain_layers
from uecompress.tensors import truncated_svd


def svd_linear(linear, rank):
    """Two Linear layers in a row that compute the best rank-``rank`` version of ``linear``.

    With W = U Σ Vᵀ the first layer, ``vh``, holds Σ^½ Vᵀ and the second, ``u``, holds U Σ^½ and
    the bias. Sharing Σ evenly keeps the gradients of both factors on one scale. The pair holds
    rank·(m + n) weights instead of m·n; below the :func:`break_even_rank` it is also that much
    cheaper to run.

    Args:
        linear: ``nn.Linear`` with weight (m, n).
        rank: 1 to min(m, n).

    Returns:
        ``nn.Sequential`` with the children ``vh`` (n -> rank) and ``u`` (rank -> m).

    Raises:
        TypeError: not an ``nn.Linear``.
        ValueError: a layer that is not plain, a rank that is out of range, or weights that are not
            finite.
    """
    if not isinstance(linear, nn.Linear):
        raise TypeError(f"expected an nn.Linear, not {type(linear).__name__}")
    plain_layers(linear)
    weight = linear.weight.detach()
    u, s, vh = truncated_svd(weight, rank=rank)
    root = s.sqrt()
    bias = linear.bias is not None
    like = {"device": weight.device, "dtype": weight.dtype}
    first = nn.utils.skip_init(nn.Linear, linear.in_features, len(s), bias=False, **like)
    second = nn.utils.skip_init(nn.Linear, len(s), linear.out_features, bias=bias, **like)
    with torch.no_grad():
        first.weight.copy_(root[:, None] * vh)
        second.weight.copy_(u * root)
        if bias:
            second.bias.copy_(linear.bias)
            second.bias.requires_grad_(linear.bias.requires_grad)
    for factor in (first, second):
        factor.weight.requires_grad_(linear.weight.requires_grad)
    return nn.Sequential(OrderedDict(vh=first, u=second))


def break_even_rank(m, n):
    """The largest rank at which two factors of an m × n matrix hold fewer numbers than it.

    That is the largest r with r·(m + n) < m·n. It is 0 for a matrix with one row or one column,
    which no factorization makes smaller.

    Raises:
        TypeError: a size that is no number.
        ValueError: a size that is not a whole number of at least 1.
    """
    m, n = checks.whole("m", m), checks.whole("n", n)
    return (m * n - 1) // (m + n)

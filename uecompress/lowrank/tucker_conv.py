"""A convolution as three, by a Tucker decomposition of its channels (Kim et al., 2016)."""

from collections import OrderedDict

from torch import nn

from uecompress.lowrank.conv_chain import balanced, factor, kernel_of
from uecompress.tensors import mode_product, tucker
from uecompress.tensors.arrays import scaled
from uecompress.tensors.svd import check_rank


def tucker_conv2d(conv, rank):
    """A small convolution between two 1×1 convolutions: Tucker-2.

    K(s, c, x, y) = Σ_ab U(s, a) G(a, b, x, y) V(c, b) (Kim et al., 2016): the 1×1 convolution ``v``
    takes C channels to r_in, the ``core`` is a kh×kw convolution with the stride, padding and
    dilation of ``conv``, and ``u`` takes r_out channels to S and holds the bias. U and V start from
    the higher-order SVD and are refined by orthogonal iteration; the axes of the image are left
    whole. All three factors get the same norm. They hold C·r_in + kh·kw·r_in·r_out + S·r_out
    weights.

    Args:
        conv: ``nn.Conv2d`` with ``groups=1``; it is not changed.
        rank: (r_in, r_out), or one number for both, capped at what the channels allow.

    Returns:
        ``nn.Sequential`` with the children ``v`` (C -> r_in), ``core`` and ``u`` (r_out -> S).

    Raises:
        TypeError: not an ``nn.Conv2d``.
        ValueError: ranks that are out of range, a convolution in groups, or weights that are not
            finite.
    """
    kernel, exponent = scaled(kernel_of(conv))
    outputs, inputs, *size = kernel.shape
    r_in, r_out = tucker_ranks(kernel.shape, rank)
    points = kernel.flatten(2)  # (S, C, kh·kw)
    whole = min(points.shape[2], outputs * inputs)
    core, (u, v, spatial) = tucker(points, (r_out, r_in, whole), tol=1e-6)
    core = mode_product(core, spatial, 2)  # (r_out, r_in, kh·kw)
    u, core, v = balanced([u, core, v], exponent)
    return nn.Sequential(
        OrderedDict(
            v=factor(conv, v.T[:, :, None, None]),  # (r_in, C, 1, 1)
            core=factor(conv, core.reshape(r_out, r_in, *size), "hw"),
            u=factor(conv, u[:, :, None, None], bias=True),  # (S, r_out, 1, 1)
        )
    )


def tucker_ranks(shape, rank):
    """The ranks (r_in, r_out) that a kernel (S, C, kh, kw) takes, from a number or from two.

    No rank can use more than its channels, nor more than what the other rank and the points of
    the kernel leave: one number is lowered to that, and for two it is an error.
    """
    outputs, inputs, height, width = shape
    points = height * width
    if isinstance(rank, tuple | list) and len(rank) == 2:
        r_in, r_out = rank
        r_in = check_rank(r_in, min(inputs, outputs * points))
        return r_in, check_rank(r_out, min(outputs, inputs * points))
    rank = check_rank(rank, max(inputs, outputs))
    r_in = min(rank, inputs, outputs * points)
    r_out = min(rank, outputs, r_in * points)
    return min(r_in, r_out * points), r_out

"""A convolution as four, by the plain tensor train of its kernel's four indices."""

from collections import OrderedDict

from torch import nn

from uecompress.lowrank.conv_chain import balanced, factor, kernel_of
from uecompress.tensors import tt_svd
from uecompress.tensors.arrays import scaled


def naive_tt_conv2d(conv, rank=None, eps=0.0):
    """A chain 1×1, kh×1, 1×kw, 1×1: the train of the kernel's four indices as they are.

    K(s, c, x, y) = Σ V(c, a) H(a, x, b) W(b, y, e) U(e, s) is the naive train that Garipov et al.
    (2016) compare :class:`TTConv2d` with. ``v`` takes C channels to r₁, ``h`` takes those to r₂
    along the columns, ``w`` to r₃ along the rows, and ``u`` to S channels with the bias.

    Args:
        conv: ``nn.Conv2d`` with ``groups=1``; it is not changed.
        rank: the largest of the three ranks; None for no limit.
        eps: the relative error of the kernel to stay within, in the Frobenius norm.

    Returns:
        ``nn.Sequential`` with the children ``v``, ``h``, ``w`` and ``u``.

    Raises:
        TypeError: not an ``nn.Conv2d``.
        ValueError: a rank below 1, eps below 0, a convolution in groups, weights that are not
            finite.
    """
    kernel, exponent = scaled(kernel_of(conv))
    train = tt_svd(kernel.permute(1, 2, 3, 0), eps, rank)  # (C, kh, kw, S)
    v, h, w, u = balanced(train.cores, exponent)
    return nn.Sequential(
        OrderedDict(
            v=factor(conv, v[0].T[:, :, None, None]),  # (r₁, C, 1, 1)
            h=factor(conv, h.permute(2, 0, 1)[:, :, :, None], "h"),  # (r₂, r₁, kh, 1)
            w=factor(conv, w.permute(2, 0, 1)[:, :, None, :], "w"),  # (r₃, r₂, 1, kw)
            u=factor(conv, u[:, :, 0].T[:, :, None, None], bias=True),  # (S, r₃, 1, 1)
        )
    )

"""A convolution as two, by the singular value decomposition of its unfolded kernel."""

from collections import OrderedDict

from torch import nn

from uecompress.lowrank.conv_chain import factor, kernel_of
from uecompress.tensors import truncated_svd
from uecompress.tensors.arrays import scaled


def svd_conv2d(conv, rank):
    """A convolution with R kernels and a 1×1 convolution that mixes their outputs.

    The kernel K(s, c, x, y), unfolded to the matrix (S, C·kh·kw), is U Σ Vᵀ. The first factor,
    ``vh``, holds Σ^½ Vᵀ as R kernels kh×kw, with the stride, padding and dilation of ``conv``; the
    second, ``u``, holds U Σ^½ and the bias. No pair of this kind has a kernel closer to K. It holds
    R·(S + C·kh·kw) weights instead of S·C·kh·kw.

    Args:
        conv: ``nn.Conv2d`` with ``groups=1``; it is not changed.
        rank: R, 1 to min(S, C·kh·kw).

    Returns:
        ``nn.Sequential`` with the children ``vh`` (C -> R, kh×kw) and ``u`` (R -> S, 1×1).

    Raises:
        TypeError: not an ``nn.Conv2d``.
        ValueError: a rank that is out of range, a convolution in groups, or weights that are not
            finite.
    """
    kernel, exponent = scaled(kernel_of(conv))
    u, s, vh = truncated_svd(kernel.flatten(1), rank=rank)  # (S, R), (R,), (R, C·kh·kw)
    root = s.sqrt() * 2.0 ** (exponent // 2)
    first = (root[:, None] * vh).reshape(len(s), *kernel.shape[1:])  # (R, C, kh, kw)
    second = (u * root)[:, :, None, None]  # (S, R, 1, 1)
    return nn.Sequential(
        OrderedDict(vh=factor(conv, first, "hw"), u=factor(conv, second, bias=True))
    )

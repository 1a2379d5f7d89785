"""Convolutions in a row that do the work of one: how they are made, and the kernel they compute.

Stride, padding and dilation belong to the factors that look along an axis of the image; a 1×1
factor mixes channels only, so it may stand before or after the padding.
"""

import torch
from torch import nn
from torch.nn import functional as F

from uecompress import checks
from uecompress.networks import plain_layers


def chain_kernel(chain):
    """The kernel of the one convolution that convolutions in a row compute.

    Correlating with one kernel and then with another is correlating with the convolution of the
    two. Strides and dilations do not matter, as long as each axis of the image has one factor
    that looks along it; gradients flow through.

    Args:
        chain: an ``nn.Sequential`` of ``nn.Conv2d``, as the functions of this room return it.

    Returns:
        The kernel (S, C, kh, kw).

    Raises:
        TypeError: not convolutions in an ``nn.Sequential``.
        ValueError: weights that are not finite.
    """
    if not isinstance(chain, nn.Sequential) or not all(isinstance(c, nn.Conv2d) for c in chain):
        raise TypeError("expected an nn.Sequential of nn.Conv2d")
    for name, conv in chain.named_children():
        with checks.naming(name):
            checks.finite(weight=conv.weight)
    weight = chain[0].weight
    kernel = torch.eye(chain[0].in_channels, dtype=weight.dtype, device=weight.device)
    kernel = kernel[:, :, None, None]  # (C, C, 1, 1): each input channel as an image of one pixel
    for conv in chain:
        around = [k - 1 for k in conv.kernel_size]
        kernel = F.conv2d(kernel, conv.weight.flip(2, 3), padding=around, groups=conv.groups)
    return kernel.transpose(0, 1)  # (C, S, kh, kw) -> (S, C, kh, kw)


def kernel_of(conv):
    """The kernel (S, C, kh, kw) of a convolution that can be factorized.

    Raises:
        TypeError: not an ``nn.Conv2d``.
        ValueError: a convolution that is not plain, or in groups.
    """
    if not isinstance(conv, nn.Conv2d):
        raise TypeError(f"expected an nn.Conv2d, not {type(conv).__name__}")
    plain_layers(conv)
    if conv.groups != 1:
        raise ValueError(f"a convolution in {conv.groups} groups cannot be factorized")
    return conv.weight.detach()


def factor(conv, weight, axes="", *, groups=1, bias=False):
    """One factor of ``conv``: a convolution with this weight.

    Args:
        conv: the convolution that is factorized; the factor is of its type and on its device, and
            frozen where it is frozen.
        weight: (out, in / groups, kh, kw).
        axes: what the factor looks along and has the stride, padding and dilation for: "" for
            neither axis, "h" or "w" for one, "hw" for both.
        groups: as in ``nn.Conv2d``.
        bias: whether the factor carries the bias of ``conv``, if that has one.
    """
    chosen = [axis in axes for axis in "hw"]

    def along(values, otherwise):
        if isinstance(values, str):  # "same" and "valid" are right for every kernel size
            return values
        return tuple(v if c else otherwise for v, c in zip(values, chosen, strict=True))

    bias = bias and conv.bias is not None
    new = nn.utils.skip_init(
        nn.Conv2d,
        weight.shape[1] * groups,
        weight.shape[0],
        tuple(weight.shape[2:]),
        stride=along(conv.stride, 1),
        padding=along(conv.padding, 0) if axes else 0,
        dilation=along(conv.dilation, 1),
        groups=groups,
        bias=bias,
        padding_mode=conv.padding_mode if axes else "zeros",
        device=conv.weight.device,
        dtype=conv.weight.dtype,
    )
    with torch.no_grad():
        new.weight.copy_(weight)
        if bias:
            new.bias.copy_(conv.bias)
            new.bias.requires_grad_(conv.bias.requires_grad)
    new.weight.requires_grad_(conv.weight.requires_grad)
    return new


def balanced(tensors):
    """The same tensors, scaled to one common norm without changing their product.

    A decomposition leaves the norm of the whole in one factor. Shared evenly, the gradients of all
    factors are on one scale.
    """
    norms = torch.stack([torch.linalg.norm(t) for t in tensors])
    if not norms.all():
        return list(tensors)
    common = norms.log().mean().exp()
    return [t * (common / norm) for t, norm in zip(tensors, norms, strict=True)]

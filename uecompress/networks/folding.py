"""The affine map of a batch norm, taken over by the layer before or behind it.

In eval mode a batch norm is ``s x + t`` for each channel, with ``s = gamma / sqrt(var + eps)`` and
``t = beta - s mean``.
"""

import torch
from torch import nn

from uecompress.networks.padding import ChannelPad2d


def _scale_and_shift(norm: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    """s and t of ``norm(x) = s x + t``, in double precision, each (channels,)."""
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    return scale, norm.bias.double() - scale * norm.running_mean.double()


@torch.no_grad()
def fold_into_outputs(layer: nn.Module, norm: nn.Module) -> None:
    """norm(layer(x)): ``W' = s W`` and ``b' = s b + t``, a row for each output.

    Raises:
        ValueError: the norm has another number of channels than the layer has outputs.
    """
    if len(layer.weight) != norm.num_features:
        raise ValueError(
            f"before it are {len(layer.weight)} outputs for its {norm.num_features} channels"
        )
    scale, shift = _scale_and_shift(norm)
    bias = 0 if layer.bias is None else layer.bias.double()
    # (out,) -> (out, 1, ...)
    rows = scale.reshape(-1, *(1,) * (layer.weight.dim() - 1))
    _assign(layer, rows * layer.weight.double(), scale * bias + shift)


@torch.no_grad()
def fold_into_inputs(layer: nn.Module, norm: nn.Module) -> ChannelPad2d | None:
    """layer(norm(x)): ``W'_oi = W_oi s_i`` and ``b'_o = b_o + sum_i W_oi t_i``.

    Returns:
        The padding with ``-t / s`` that belongs before the layer, which gets padding 0; None for a
        layer that pads with no zeros.

    Raises:
        ValueError: the norm has another number of channels than the layer has inputs; or some
            ``-t / s`` is not finite where it is needed.
    """
    groups = getattr(layer, "groups", 1)
    outputs, group_inputs = layer.weight.shape[:2]
    if groups * group_inputs != norm.num_features:
        raise ValueError(
            f"behind it are {groups * group_inputs} inputs for its {norm.num_features} channels"
        )
    scale, shift = _scale_and_shift(norm)
    border = _zero_padding(layer)
    value = (-shift / scale).to(norm.weight.dtype)
    if any(border) and not value.isfinite().all():
        raise ValueError("no finite number stands before it for the zeros of the padding behind it")
    # (in,) -> (groups, in / groups) -> (out, in / groups): output o reads the inputs of its group
    scale, shift = (
        each.reshape(groups, -1).repeat_interleave(outputs // groups, dim=0)
        for each in (scale, shift)
    )
    # (out, in / groups, h, w) -> (out, in / groups, h * w); a Linear has h * w = 1
    weight = layer.weight.double().reshape(*scale.shape, -1)
    bias = 0 if layer.bias is None else layer.bias.double()
    bias = bias + (weight.sum(dim=2) * shift).sum(dim=1)
    _assign(layer, (weight * scale[:, :, None]).reshape(layer.weight.shape), bias)
    if not any(border):
        return None
    pad = ChannelPad2d(border, len(value)).to(layer.weight).train(layer.training)
    pad.value.copy_(value)
    layer.padding = (0, 0)
    return pad


def _zero_padding(layer: nn.Module) -> tuple[int, int, int, int]:
    """The zeros that a layer puts around its input: left, right, top, bottom."""
    if isinstance(layer, nn.Linear) or layer.padding_mode != "zeros" or layer.padding == "valid":
        return 0, 0, 0, 0
    if layer.padding == "same":
        (top, bottom), (left, right) = (
            (dilation * (size - 1) // 2, dilation * (size - 1) - dilation * (size - 1) // 2)
            for dilation, size in zip(layer.dilation, layer.kernel_size, strict=True)
        )
        return left, right, top, bottom
    height, width = layer.padding
    return width, width, height, height


def _assign(layer: nn.Module, weight: torch.Tensor, bias: torch.Tensor) -> None:
    """Gives a layer new numbers in the dtype of its weight; a bias is added if there is none."""
    frozen = not layer.weight.requires_grad
    bias_frozen = frozen if layer.bias is None else not layer.bias.requires_grad
    dtype = layer.weight.dtype
    layer.weight = nn.Parameter(weight.to(dtype), requires_grad=not frozen)
    layer.bias = nn.Parameter(bias.to(dtype), requires_grad=not bias_frozen)

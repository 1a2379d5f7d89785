"""Batch norms folded into the layers before or behind them.

In eval mode a batch norm is ``s x + t`` for each channel, with ``s = gamma / sqrt(var + eps)`` and
``t = beta - s mean``: an affine map, which an adjacent affine layer can take over.
"""

import copy
from collections import Counter

import torch
from torch import nn

from uecompress.networks.padding import ChannelPad2d
from uecompress.networks.tree import chains, is_plain

_LAYER_OF_NORM = {nn.BatchNorm1d: nn.Linear, nn.BatchNorm2d: nn.Conv2d}


def fuse_batch_norm(model: nn.Module) -> nn.Module:
    """A copy of a network in which batch norms have been folded into Linear and Conv2d layers.

    The copy computes what the network computes in eval mode, with the batch norms' running
    statistics. A batch norm is folded into the layer right before it in its (flattened)
    ``nn.Sequential``, by scaling the layer's outputs, or else into the layer right behind it, by
    scaling its inputs; then it is gone, and the other modules keep their names and their train or
    eval mode. Dropout is not folded across, so the copy also agrees with the network when dropout
    alone is active, as in MC dropout.

    A Conv2d behind a batch norm pads the norm's output with zeros, which stand for ``-t / s`` in
    its input. Such a layer, ``conv1`` say, gets padding 0 and a :class:`ChannelPad2d` before it,
    ``conv1_pad`` (``conv1_pad_`` where that name is taken). Reflecting, replicating and circular
    padding commute with the norm and stay.

    Left as they are: batch norms without a Linear (1d) or Conv2d (2d) beside them, without affine
    parameters, or without running statistics; those before a zero-padded convolution with a
    channel whose ``s`` is zero or whose ``-t / s`` is not finite, which no padding can express;
    and those where the norm or the layer is used at several places or is parametrized.

    A 1d batch norm is taken to see (N, features), as it does in the networks of the course.

    Args:
        model: a network; it is not changed.
    """
    model = copy.deepcopy(model)
    while _fold_one(model):
        pass
    return model


def _fold_one(model: nn.Module) -> bool:
    """Folds the first batch norm that can be folded; False if there is none."""
    stretches = chains(model)
    uses = Counter(step for _, steps in stretches for _, step in steps)
    for _, steps in stretches:
        for k, (name, norm) in enumerate(steps):
            if not _is_affine(norm) or uses[norm] > 1:
                continue
            before = steps[k - 1][1] if k > 0 else None
            behind_name, behind = steps[k + 1] if k + 1 < len(steps) else ("", None)
            folded = (_takes(before, norm, uses) and _fold_into_outputs(before, norm)) or (
                _takes(behind, norm, uses) and _fold_into_inputs(model, behind_name, behind, norm)
            )
            if folded:
                parent, child = _parent(model, name)
                delattr(parent, child)
                return True
    return False


def _is_affine(norm: nn.Module) -> bool:
    """Whether the module is a batch norm with gamma, beta and running statistics."""
    return (
        is_plain(norm, *_LAYER_OF_NORM)
        and norm.weight is not None
        and norm.bias is not None
        and norm.running_mean is not None
    )


def _takes(layer: nn.Module | None, norm: nn.Module, uses: Counter) -> bool:
    """Whether the layer is of the norm's kind, and may change."""
    return is_plain(layer, _LAYER_OF_NORM[type(norm)]) and uses[layer] == 1


def _scale_and_shift(norm: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    """s and t of ``norm(x) = s x + t``, in double precision, each (channels,)."""
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    return scale, norm.bias.double() - scale * norm.running_mean.double()


@torch.no_grad()
def _fold_into_outputs(layer: nn.Module, norm: nn.Module) -> bool:
    """norm(layer(x)): ``W' = s W`` and ``b' = s b + t``, a row for each output."""
    if len(layer.weight) != norm.num_features:
        return False
    scale, shift = _scale_and_shift(norm)
    bias = 0 if layer.bias is None else layer.bias.double()
    # (out,) -> (out, 1, ...)
    rows = scale.reshape(-1, *(1,) * (layer.weight.dim() - 1))
    _assign(layer, rows * layer.weight.double(), scale * bias + shift)
    return True


@torch.no_grad()
def _fold_into_inputs(model: nn.Module, name: str, layer: nn.Module, norm: nn.Module) -> bool:
    """layer(norm(x)): ``W'_oi = W_oi s_i`` and ``b'_o = b_o + sum_i W_oi t_i``."""
    groups = getattr(layer, "groups", 1)
    outputs, group_inputs = layer.weight.shape[:2]
    scale, shift = _scale_and_shift(norm)
    border = _zero_padding(layer)
    value = (-shift / scale).to(norm.weight.dtype)
    if groups * group_inputs != norm.num_features or (any(border) and not value.isfinite().all()):
        return False
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
    if any(border):
        pad = ChannelPad2d(border, len(value)).to(layer.weight).train(layer.training)
        pad.value.copy_(value)
        layer.padding = (0, 0)
        _insert_before(*_parent(model, name), pad)
    return True


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


def _parent(model: nn.Module, name: str) -> tuple[nn.Module, str]:
    """The module that holds a dotted name, and the name of the child in it."""
    path, _, child = name.rpartition(".")
    return model.get_submodule(path), child


def _insert_before(parent: nn.Sequential, child: str, pad: ChannelPad2d) -> None:
    """Puts ``pad`` before a child, as ``<child>_pad``; the other names stay as they are."""
    children, pad_name = list(parent._modules.items()), f"{child}_pad"
    while pad_name in parent._modules:
        pad_name += "_"
    parent._modules.clear()
    for name, module in children:
        if name == child:
            parent.add_module(pad_name, pad)
        parent.add_module(name, module)

"""Physical removal of units: a smaller layer, and smaller everything that its outputs pass."""

import copy
from collections import Counter

import numpy as np
import torch
from torch import nn

from uecompress.networks.containers import Residual
from uecompress.networks.kinds import KINDS, kind_of
from uecompress.networks.padding import ChannelPad2d
from uecompress.networks.tree import chains, is_plain, linear_and_conv_layers

# Modules that shrink, with the attribute that holds the number of their inputs.
_INPUTS = {kind: row.inputs for kind, row in KINDS.items() if row.inputs}


def keep_units(model: nn.Module, name: str, keep) -> nn.Module:
    """A copy of a network without some output units of a Linear or channels of a Conv2d layer.

    The layer loses the rows of its weight and bias that are not in ``keep``. Its outputs are
    followed through batch norms, element-wise modules, pooling and flattening, which shrink as
    needed, up to the next Linear or Conv2d, which loses the inputs. The result computes what the
    network would compute with those input weights of the next layer set to zero. After
    ``nn.Flatten`` a channel is H*W consecutive inputs of the next Linear.

    Args:
        model: a network; it is not changed.
        name: dotted name of an ``nn.Linear`` or ``nn.Conv2d``, such as ``"members.0.linear1"``.
        keep: what stays, one-dimensional: a bool for every unit, or the sorted indices.

    Raises:
        TypeError: if ``keep`` is neither bool nor integer.
        ValueError: naming the layer, if there is no such layer; if ``keep`` is not a valid choice;
            if the outputs are the network's (the classes) or are tied by a residual sum; or if the
            way to the next layer meets what cannot be shrunk: a grouped convolution, a
            parametrized or shared layer, a module of an unknown kind.
    """
    model = copy.deepcopy(model)
    owner, steps, uses = _from_layer_on(model, name)
    _check_shrinkable(name, *steps[0], uses)
    layer = steps[0][1]
    units = len(layer.weight)
    kept = _indices(name, keep, units)
    _select(layer, kept, axis=0, size=_INPUTS[type(layer)].replace("in_", "out_"))

    images = type(layer) is nn.Conv2d  # outputs are (N, units, H, W), not (N, units)
    flattened = False  # outputs are (N, units * H * W)
    for step_name, step in steps[1:]:
        kind = type(step)
        if kind_of(step).entrywise or (images and kind_of(step).channelwise):
            continue
        if kind is nn.Flatten and (step.start_dim, step.end_dim) == (1, -1):
            images, flattened = False, images or flattened
            continue
        if isinstance(step, Residual):
            raise ValueError(f"the outputs of {name!r} are tied by the residual sum {step_name!r}")
        _check_shrinkable(name, step_name, step, uses)
        if images != isinstance(step, nn.Conv2d | nn.BatchNorm2d | ChannelPad2d):
            raise ValueError(f"{name!r}: {step_name!r} ({kind.__name__}) cannot take its outputs")
        inputs = getattr(step, _INPUTS[kind])
        each = inputs // units if flattened else 1  # H * W inputs of this step for one unit
        if each * units != inputs:
            raise ValueError(f"{name!r}: {units} units do not fit the {inputs} of {step_name!r}")
        # (kept,) -> (kept, each) -> (kept * each,): unit u is inputs u * each, ..., + each - 1
        kept_inputs = (kept[:, None] * each + torch.arange(each)).flatten()
        is_next_layer = kind in (nn.Linear, nn.Conv2d)
        _select(step, kept_inputs, axis=1 if is_next_layer else 0, size=_INPUTS[kind])
        if is_next_layer:
            return model
    if isinstance(owner, Residual):
        raise ValueError(f"the outputs of {name!r} are tied by a residual sum")
    raise ValueError(f"no layer follows {name!r}, its outputs are the network's (the classes)")


def _from_layer_on(model: nn.Module, name: str) -> tuple[nn.Module | None, list, Counter]:
    """The owner of the layer's chain, its steps from the layer on, and uses of each module."""
    known = [known_name for known_name, _ in linear_and_conv_layers(model)]
    if name not in known:
        raise ValueError(f"no Linear or Conv2d layer {name!r}; there are {', '.join(known)}")
    stretches = chains(model)
    uses = Counter(step for _, steps in stretches for _, step in steps)
    return next(
        (owner, steps[k:], uses)
        for owner, steps in stretches
        for k, (step_name, _) in enumerate(steps)
        if step_name == name
    )


def _indices(name: str, keep, units: int) -> torch.Tensor:
    """``keep`` as indices on the CPU, checked."""
    if not isinstance(keep, torch.Tensor):
        keep = torch.tensor(np.array(keep))
    keep = keep.cpu()
    if keep.dim() != 1:
        raise ValueError(f"{name!r}: keep must be one-dimensional, got shape {tuple(keep.shape)}")
    if keep.dtype is torch.bool:
        if len(keep) != units:
            raise ValueError(f"{name!r} has {units} units, the mask {len(keep)}")
        keep = keep.nonzero().flatten()
    if len(keep) == 0:
        raise ValueError(f"{name!r}: keep is empty, at least one unit must stay")
    if keep.is_floating_point() or keep.is_complex():
        raise TypeError(f"{name!r}: keep must be bool or integer, got {keep.dtype}")
    keep = keep.long()
    wrong = keep[(keep < 0) | (keep >= units)].tolist()
    if wrong:
        raise ValueError(f"{name!r} has units 0, ..., {units - 1}, keep holds {wrong}")
    if (keep.diff() <= 0).any():
        raise ValueError(f"{name!r}: keep must be sorted without duplicates, got {keep.tolist()}")
    return keep


def _check_shrinkable(name: str, step_name: str, step: nn.Module, uses: Counter) -> None:
    """Refuses what cannot be shrunk, be it the layer itself or a step on the way to the next."""
    what = repr(name) if step_name == name else f"{name!r}: {step_name!r}, reached by its outputs,"
    if not isinstance(step, tuple(_INPUTS)):
        raise ValueError(f"{what} is of an unknown kind, {type(step).__name__}")
    if not is_plain(step, *_INPUTS) and type(step) is not ChannelPad2d:
        raise ValueError(
            f"{what} is not a plain layer but {type(step).__name__}; "
            "a parametrized layer must lose its parametrizations first"
        )
    if getattr(step, "groups", 1) != 1:
        raise ValueError(f"{what} is a convolution in {step.groups} groups")
    if uses[step] > 1:
        raise ValueError(f"{what} is shared, the network uses it at {uses[step]} places")


def _select(step: nn.Module, kept: torch.Tensor, *, axis: int, size: str) -> None:
    """Keeps these entries, along one axis, of every tensor of the module that has the axis."""
    tensors = {**step._parameters, **step._buffers}
    for name, tensor in tensors.items():
        if tensor is not None and tensor.dim() > axis:
            chosen = tensor.detach().index_select(axis, kept.to(tensor.device))
            if isinstance(tensor, nn.Parameter):
                chosen = nn.Parameter(chosen, requires_grad=tensor.requires_grad)
            setattr(step, name, chosen)
    setattr(step, size, len(kept))

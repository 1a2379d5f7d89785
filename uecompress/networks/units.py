"""Physical removal of units: smaller layers, and smaller everything that their outputs pass."""

import numpy as np
import torch
from torch import nn

from uecompress.networks.select import SelectFeatures
from uecompress.networks.ties import Paths, sizes
from uecompress.networks.tree import copied, linear_and_conv_layers


def keep_units(model: nn.Module, name: str, keep) -> nn.Module:
    """A copy of a network without some output units of a Linear or channels of a Conv2d layer.

    The layer loses the rows of its weight and bias that are not in ``keep``. Its outputs are
    followed, in any network that torch.fx can trace, up to the Linear and Conv2d layers that read
    them, which lose those inputs. On the way batch norms, depthwise convolutions and channel
    padding shrink along; element-wise modules and functions, pooling, flattening and the mean over
    an image are passed. After a flattening a channel is H*W consecutive inputs.

    Where outputs are added to others (a residual sum) or multiplied by others (squeeze and
    excitation), all layers that make the summands or factors lose the same units together: in a
    residual network the first layer, the last of every branch and the shortcuts of one width.

    The result computes what the network would compute if every Linear and Conv2d that reads the
    units, and is not depthwise, gave them zero weights; this is exact in real numbers. Batch norms
    in train mode included: channels do not see each other.

    Args:
        model: a network; it is not changed. It need not be a tree of ours.
        name: dotted name of an ``nn.Linear`` or ``nn.Conv2d``, such as ``"members.0.linear1"``.
        keep: what stays, one-dimensional: a bool for every unit, or the sorted indices.

    Raises:
        TypeError: if ``keep`` is neither bool nor integer.
        ValueError: naming the layer, if there is no such layer; if ``keep`` is not a valid choice;
            if the outputs are the network's (the classes), or are concatenated or rearranged; or
            if what would shrink cannot: a convolution in groups that is not depthwise, a layer that
            is parametrized, hooked, tied or called twice, one whose place in the order of execution
            torch.fx cannot tell, a module or function of an unknown kind. Layer and group norms are
            among those: they compare units, so that removing one changes the others.
    """
    known = [known_name for known_name, _ in linear_and_conv_layers(model)]
    if name not in known:
        raise ValueError(f"no Linear or Conv2d layer {name!r}; there are {', '.join(known)}")
    model = copied(model)
    ties = Paths(model).ties(name)
    remove_units(model, name, ties, _indices(name, keep, ties.units))
    return model


def remove_units(model, name, ties, kept):
    """Leaves these units (indices) alone of those that :class:`Ties` describes, in place.

    Raises:
        ValueError: naming the layer, a selection of features that would have none left.
    """
    stays = torch.zeros(ties.units, dtype=torch.bool).index_fill_(0, kept, True)
    entries = {cut: stays[unit_of].nonzero().flatten() for cut, unit_of in ties.cuts.items()}
    for (cut_name, _), left in entries.items():
        step = model.get_submodule(cut_name)
        if len(left) == 0 or (type(step) is SelectFeatures and not step.keep[left].any()):
            raise ValueError(f"{name!r}: none of the units to keep is selected by {cut_name!r}")
    for (cut_name, axis), left in entries.items():
        _select(model.get_submodule(cut_name), left, axis)


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


def _select(step: nn.Module, kept: torch.Tensor, axis: int) -> None:
    """Keeps these entries, along one axis, of every tensor of the module that has the axis."""
    tensors = {**step._parameters, **step._buffers}
    for name, tensor in tensors.items():
        if tensor is not None and tensor.dim() > axis:
            chosen = tensor.detach().index_select(axis, kept.to(tensor.device))
            if isinstance(tensor, nn.Parameter):
                chosen = nn.Parameter(chosen, requires_grad=tensor.requires_grad)
            setattr(step, name, chosen)
    for attribute in sizes(step, axis):
        setattr(step, attribute, len(kept))

"""Structured pruning: whole neurons and channels go, with all that sums tie to them.

A unit is an output of a Linear layer or a channel of a Conv2d. A network is pruned in two steps:
:func:`prune_units` silences units, which leaves shapes as they are and can be fine-tuned with
:func:`networks.hold_zeros <uecompress.networks.hold_zeros>`; :func:`networks.shrink
<uecompress.networks.shrink>` then makes the smaller network, whose outputs are equal.
"""

from typing import NamedTuple

import torch
from torch import nn

from uecompress.networks import plain, plain_layers
from uecompress.networks.ties import Paths
from uecompress.pruning.choosing import per_unit, scored_layers, top_units

_SIDES = {"in": ("makers",), "out": ("readers",), "both": ("makers", "readers")}
_LAYERS = (nn.Linear, nn.Conv2d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


class UnitGroup(NamedTuple):
    """Units that can only go together from several layers, because sums or products tie these.

    Each dict has for a module's dotted name the unit of each of its rows, columns or features,
    int64. Behind the flattening of images a unit has several columns.

    Attributes:
        units: how many there are.
        makers: Linear and Conv2d layers whose rows make them, depthwise convolutions among them.
        readers: layers whose columns read them.
        norms: batch norms on the way, before or behind a layer.
    """

    units: int
    makers: dict[str, torch.Tensor]
    readers: dict[str, torch.Tensor]
    norms: dict[str, torch.Tensor]


def unit_groups(model):
    """The units of a network that can be removed, in the groups that go together.

    Outputs of the network (the classes) are none, nor is what a layer norm or the heads of an
    attention tie; :func:`networks.keep_units <uecompress.networks.keep_units>` says of a layer why.
    Heads have :func:`prune_heads`.

    Args:
        model: a network that torch.fx can trace; it need not be a tree of ours.

    Returns:
        A dict: dotted name of the first layer that makes the units -> :class:`UnitGroup`.

    Raises:
        ValueError: no unit can be removed; the message says why.

    Warns:
        UserWarning: layers that are not plain, each with the reason.
    """
    model = plain(model)
    layers, paths = plain_layers(model), Paths(model)
    groups, tied, why = {}, set(), []
    for name in layers:
        if name not in tied:
            try:
                groups[name] = _group(paths, name)
            except ValueError as error:
                why.append(str(error))
            else:
                tied |= set(groups[name].makers)
    if not groups:
        raise ValueError(f"no units can be removed: {'; '.join(why)}")
    return groups


def unit_scores(model, scores, *, side="in", reduce="sum"):
    """Scores of units, of the scores of their weights.

    With absolute weights or their squares these are norms (Li et al., 2017, Section 3.1: the L1
    norm of a filter); with θ · ∂L/∂θ they are the saliency of the neuron, equal for both sides
    where there are no biases (Tanaka et al., 2020, Theorem 1).

    Args:
        model: a network.
        scores: a dict: dotted name of a layer -> tensor like its weight, higher = keep. Biases do
            not count. Units of which no layer is named get no score.
        side: which weights belong to a unit: "in", the rows that make it; "out", the columns that
            read it; "both".
        reduce: "sum", "mean" or "max" over them, and over the layers that a sum ties. A unit of
            which every weight must be superfluous goes by its "max".

    Returns:
        A dict: name of a group, as in :func:`unit_groups` -> scores (units,), float64.

    Raises:
        TypeError: scores that are no tensors of floating-point numbers.
        ValueError: another word for ``side`` or ``reduce``; scores of no plain layer, of another
            shape, or not finite; no score of a unit that can be removed, or scores for some of the
            layers of a group and not for others.
    """
    if side not in _SIDES:
        raise ValueError(f'side must be "in", "out" or "both", not {side!r}')
    model = plain(model)
    known, result = scored_layers(model, scores), {}
    for name, group in unit_groups(model).items():
        parts = [
            (layer, axis, unit_of)
            for axis, kind in enumerate(("makers", "readers"))
            if kind in _SIDES[side]
            for layer, unit_of in getattr(group, kind).items()
        ]
        missing = [layer for layer, _, _ in parts if layer not in known]
        if len(missing) == len(parts):
            continue
        if missing:
            raise ValueError(f"the units of {name!r} need scores of {', '.join(missing)} too")
        values = [(known[layer][1], axis, unit_of) for layer, axis, unit_of in parts]
        result[name] = per_unit(values, group.units, reduce)
    if not result:
        raise ValueError(f"{', '.join(scores)}: none of these scores is of units that can go")
    return result


def prune_units(model, scores, *, density, scope="global"):
    """A copy of a network without the units of the lowest scores, which are silent in it.

    ``shrink`` makes the smaller network of it.

    Args:
        model: a network; it is not changed.
        scores: a dict: name of a layer whose units may go -> scores (units,), higher = keep, of
            :func:`unit_scores`, :func:`gamma_scores` or your own. Layers that are not named stay
            whole. A name stands for all layers of its group.
        density: the share of the named units that stays, or a dict with one for each name.
        scope: "global" or "layer", as in :func:`top_units`.

    Raises:
        TypeError, ValueError: as in :func:`top_units` and :func:`silence_units`.

    Warns:
        UserWarning: layers that have lost all units but the one that must stay.
    """
    return silence_units(model, top_units(scores, density, scope))


@torch.no_grad()
def silence_units(model, keep):
    """A copy of a network in which only these units are made and read; the shapes stay.

    Rows of weights and biases that make the other units, the columns that read them, and γ and β of
    the batch norms between are zero. The columns alone make the outputs those of the smaller
    network, whatever the activation between makes of a zero; and no gradient comes through them, so
    that with zero weights held everything stays silent in training.

    Args:
        model: a network; it is not changed.
        keep: a dict: name of a layer whose units go -> (units,) bool. A name stands for all layers
            that a sum ties to it.

    Raises:
        TypeError: a mask that is no tensor of booleans.
        ValueError: a name that is no plain layer's, or whose units cannot go, and why; a mask of
            another length, or that keeps nothing; two names for the same units.
    """
    result = plain(model)
    layers, paths, done = plain_layers(result), Paths(result), {}
    for name, mask in keep.items():
        if name not in layers:
            raise ValueError(
                f"{name!r} is no plain Linear or Conv2d; there are {', '.join(layers)}"
            )
        group = _group(paths, name)
        if group.makers.keys() & done.keys():
            other = next(done[maker] for maker in group.makers if maker in done)
            raise ValueError(f"{name!r} and {other!r} have the same units, which one mask is for")
        done |= dict.fromkeys(group.makers, name)
        gone = ~check_mask(name, mask, group.units)
        for module_name, unit_of in (group.makers | group.norms).items():
            for parameter in result.get_submodule(module_name).parameters():
                parameter[gone[unit_of].to(parameter.device)] = 0
        for layer_name, unit_of in group.readers.items():
            weight = result.get_submodule(layer_name).weight
            weight[:, gone[unit_of].to(weight.device)] = 0
    return result


def check_mask(name, mask, units):
    """``mask`` on the CPU, where it is one of booleans that keeps at least one of the units.

    Raises:
        TypeError: it is no tensor of booleans.
        ValueError: it has another length, or keeps nothing.
    """
    if not isinstance(mask, torch.Tensor) or mask.dtype is not torch.bool:
        raise TypeError(f"the mask of {name!r} must be a tensor of booleans")
    if mask.shape != (units,):
        raise ValueError(f"{name!r} has {units} units, the mask is of shape {tuple(mask.shape)}")
    if not mask.any():
        raise ValueError(f"the mask of {name!r} keeps nothing: at least one unit must stay")
    return mask.cpu()


def _group(paths, name):
    """The group of a layer's units; a ValueError that names the layer where they cannot go."""
    ties, parts = paths.ties(name), {"makers": {}, "readers": {}, "norms": {}}
    for (module_name, axis), unit_of in ties.cuts.items():
        module = paths.model.get_submodule(module_name)
        if axis == 1:
            parts["readers"][module_name] = unit_of
        elif isinstance(module, _LAYERS):
            parts["makers"][module_name] = unit_of
        elif isinstance(module, _NORMS):
            parts["norms"][module_name] = unit_of
    return UnitGroup(ties.units, **parts)

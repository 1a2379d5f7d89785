"""The heads of an attention: a unit of four layers at once, of rows in three and columns in one.

A head goes as units do, in two steps: :func:`prune_heads` silences it, :func:`shrink_heads` makes
the smaller network.
"""

import warnings

import torch
from torch import nn

from uecompress.networks import Attention, obstacles, plain
from uecompress.networks.tree import copied
from uecompress.pruning.choosing import per_unit, scored_layers, top_units
from uecompress.pruning.structured import check_mask

_MAKERS = ("q", "k", "v")  # whose rows are a head's; the projection's columns are the others


def head_scores(model, scores, *, side="out", reduce="sum"):
    """Scores of heads, of the scores of their weights.

    With θ · ∂L/∂θ and the side "out" it is ∂L/∂ξ for a factor ξ = 1 on the output of the head
    (Michel et al., 2019, eq. 2, who take the absolute value of every example).

    Args:
        model: a network with :class:`networks.Attention <uecompress.networks.Attention>`.
        scores: a dict: dotted name of a layer -> tensor like its weight, higher = keep. An
            attention of which no layer is named gets no scores.
        side: "in", the rows of queries, keys and values; "out", the columns of the projection;
            "both".
        reduce: "sum", "mean" or "max" over them.

    Returns:
        A dict: dotted name of the attention -> scores (heads,), float64.

    Raises:
        TypeError: scores that are no tensors of floating-point numbers.
        ValueError: another word for ``side`` or ``reduce``; no attention of plain layers; scores of
            no plain layer, of another shape, or not finite; no scores of an attention, or scores
            for some of the layers needed and not for others.
    """
    sides = {"in": _MAKERS, "out": ("projection",), "both": (*_MAKERS, "projection")}
    if side not in sides:
        raise ValueError(f'side must be "in", "out" or "both", not {side!r}')
    model = plain(model)
    known, result = scored_layers(model, scores), {}
    for name, attention in _attentions(model).items():
        wanted = {part: f"{name}.{part}".lstrip(".") for part in sides[side]}
        missing = [layer for layer in wanted.values() if layer not in known]
        if len(missing) == len(wanted):
            continue
        if missing:
            raise ValueError(f"the heads of {name!r} need scores of {', '.join(missing)} too")
        parts = [
            (known[layer][1], int(part == "projection"), _head_of(attention, part))
            for part, layer in wanted.items()
        ]
        result[name] = per_unit(parts, attention.heads, reduce)
    if not result:
        raise ValueError(f"{', '.join(scores)}: none of these scores is of an attention's layers")
    return result


def prune_heads(model, scores, *, density, scope="global"):
    """A copy of a network without the heads of the lowest scores, which are silent in it.

    Every weight and bias of theirs is zero; :func:`shrink_heads` makes the smaller network.

    Args:
        model: a network; it is not changed.
        scores: a dict: dotted name of an attention -> scores (heads,), higher = keep. Attentions
            that are not named keep all heads.
        density: the share of the named heads that stays, or a dict with one for each name.
        scope: "global" or "layer", as in :func:`top_units`.

    Raises:
        TypeError, ValueError: as in :func:`top_units`; a name that is no attention of plain layers,
            scores for another number of heads.

    Warns:
        UserWarning: attentions that have lost all heads but the one that must stay.
    """
    result, chosen = plain(model), top_units(scores, density, scope)
    attentions = _attentions(result)
    for name, mask in chosen.items():
        if name not in attentions:
            raise ValueError(f"{name!r} is no attention; there are {', '.join(attentions)}")
        attention = attentions[name]
        gone = ~check_mask(name, mask, attention.heads)
        with torch.no_grad():
            for part in _MAKERS:
                for parameter in getattr(attention, part).parameters():
                    parameter[gone[_head_of(attention, part)].to(parameter.device)] = 0
            weight = attention.projection.weight
            weight[:, gone[_head_of(attention, "projection")].to(weight.device)] = 0
    return result


def shrink_heads(model):
    """A copy of a network without the heads whose outputs nothing reads; its outputs are equal.

    These are the heads whose columns in the projection are zero. An attention keeps one head at
    least. Use it before :func:`networks.shrink <uecompress.networks.shrink>`, which knows no heads
    and would have the projection choose among their outputs.

    Args:
        model: a network; it is not changed.

    Raises:
        ValueError: no attention of plain layers.

    Warns:
        UserWarning: attentions that are left alone, each with the reason.
    """
    result = copied(model)
    for attention in _attentions(result).values():
        head_of = _head_of(attention, "projection")
        used = (attention.projection.weight.detach() != 0).any(dim=0).cpu()
        keep = torch.zeros(attention.heads, dtype=torch.bool)
        keep[head_of[used]] = True
        keep[0] |= not keep.any()
        if keep.all():
            continue
        for part in _MAKERS:
            layer = getattr(attention, part)
            _select(layer, 0, keep[_head_of(attention, part)])
            layer.out_features = len(layer.weight)
        _select(attention.projection, 1, keep[head_of])
        attention.projection.in_features = attention.projection.weight.shape[1]
        attention.heads = int(keep.sum())
    return result


def _attentions(model):
    """The attentions of plain layers, by name; the others are reported."""
    found, left, reasons = {}, [], obstacles(model)
    for name, module in model.named_modules():
        if isinstance(module, Attention):
            inside = [name, *(f"{name}.{part}".lstrip(".") for part in (*_MAKERS, "projection"))]
            why = [f"{each!r} {reasons[each]}" for each in inside if each in reasons]
            why += [
                f"{each!r} is a {type(model.get_submodule(each)).__name__}"
                for each in inside[1:]
                if type(model.get_submodule(each)) is not nn.Linear
            ]
            if why:
                left.append(f"{name!r}: {why[0]}")
            else:
                found[name] = module
    if not found:
        raise ValueError(
            f"the network has no attention of plain layers{': ' * bool(left)}{'; '.join(left)}"
        )
    if left:
        warnings.warn(f"left as they are: {'; '.join(left)}", stacklevel=3)
    return found


def _head_of(attention, part):
    """The head of each output of a layer, or of each input of the projection."""
    layer = getattr(attention, part)
    size = layer.in_features if part == "projection" else layer.out_features
    return torch.arange(attention.heads).repeat_interleave(size // attention.heads)


def _select(layer, axis, keep):
    """Keeps these entries, along one axis, of every parameter of a layer that has the axis."""
    for name, parameter in list(layer.named_parameters()):
        if parameter.dim() > axis:
            rows = keep.nonzero().flatten().to(parameter.device)
            chosen = parameter.detach().index_select(axis, rows)
            setattr(layer, name, nn.Parameter(chosen, parameter.requires_grad))

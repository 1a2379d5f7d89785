"""Neuron saliency and its conservation (Tanaka et al., 2020): what flows in flows out again.

It does so where every activation is homogeneous, as ReLU is. What biases and batch norms add on the
way is known, and across a residual sum the units that it ties are taken together.
"""

from dataclasses import dataclass

import torch

from uecompress import checks
from uecompress.networks import ChannelPad2d, plain, plain_layers
from uecompress.networks.ties import Paths
from uecompress.pruning.saliency import gradients, only_weights


@dataclass(frozen=True)
class Neurons:
    """The neuron saliency of units that stand or fall together.

    ``layers`` make the units: one, or all those whose outputs are added up. ``incoming`` is S_in,
    the scores of a unit's incoming weights summed, and ``outgoing`` S_out, those of its outgoing
    weights: tensors (units,).
    """

    layers: tuple[str, ...]
    incoming: torch.Tensor
    outgoing: torch.Tensor


def neuron_saliency(model, scores):
    """What flows into and out of each unit, the lecture's eq. 7: its weights' scores, summed.

    Of a saliency, eq. 9, S_in is ∂R/∂x · x for a unit's value x before its activation φ and without
    its bias, and S_out is ∂R/∂φ · φ. After a flattening, a channel's outgoing weights are those of
    all its pixels. Units that a residual sum ties are taken together: conservation is theirs.

    Args:
        model: a network, of any kind that torch.fx can trace.
        scores: for each layer a tensor like its weight, see :mod:`uecompress.pruning.scores`.

    Returns:
        A dict: dotted name of a layer (of tied ones, the first) -> :class:`Neurons`. Layers whose
        outputs no layer reads, the last among them, or cannot be followed, are not in it.

    Raises:
        ValueError: scores that are not those of this network's layers.
    """
    network = plain(model)
    for name, layer in plain_layers(network).items():
        if name not in scores:
            raise ValueError(f"there are no scores of layer {name!r}")
        with checks.naming(name):
            checks.same_shape(scores=scores[name], weight=layer.weight)
    return {
        names[0]: Neurons(
            names, _summed(ties, scores, names, axis=0), _summed(ties, scores, readers, axis=1)
        )
        for names, readers, ties in _groups(network, scores)
    }


def bias_saliency(model, functional):
    """What biases and batch norms add to the flow through each unit: S_in + this = S_out.

    A bias b adds b ∂R/∂b. A batch norm in evaluation mode is a scale, which conserves, and a shift
    β − γ μ / √(σ² + ε) =: s, which adds s ∂R/∂β. The sum holds exactly for homogeneous activations.

    Args:
        model: a network; it is not changed.
        functional: R, as in :func:`~uecompress.pruning.saliency`.

    Returns:
        A dict with the keys of :func:`neuron_saliency`: name of a layer -> (units,).

    Raises:
        TypeError, ValueError: as in :func:`~uecompress.pruning.saliency`; and a batch norm without
            a bias, or without running statistics, on the way of the units.
    """
    network = plain(model)
    weights = only_weights(network)
    groups = list(_groups(network, weights))
    modules = {name: module for *_, ties in groups for name, module in _adding(network, ties)}
    sources = [_source(name, module).requires_grad_() for name, module in modules.items()]
    slopes = gradients(network, functional, sources) if sources else []
    added = {
        name: _shift(module).detach() * slope
        for (name, module), slope in zip(modules.items(), slopes, strict=True)
    }
    result = {}
    for names, _, ties in groups:
        result[names[0]] = weights[names[0]].new_zeros(ties.units).detach()
        for name, _ in _adding(network, ties):
            unit_of = ties.cuts[name, 0].to(added[name].device)
            result[names[0]].index_add_(0, unit_of, added[name])
    return result


def _groups(network, scores):
    """For each set of tied units: the layers that make them, those that read them, the ties."""
    paths, done = Paths(network), set()
    for name in scores:
        try:
            ties = paths.ties(name)
        except ValueError:  # the classes, or what torch.fx cannot follow
            continue
        # A depthwise convolution makes no units, it passes them on.
        axes = {layer for layer, axis in ties.cuts if axis == 0}
        makers = [
            layer for layer in scores if layer in axes and paths.is_layer(paths.makers[layer])
        ]
        if name in makers and name not in done:
            done.update(makers)
            yield tuple(makers), tuple(ties.readers), ties


def _summed(ties, scores, names, axis):
    """The scores of each unit's weights, along axis 0 of makers or 1 of readers: (units,)."""
    total = 0
    for name in names:
        score = scores[name]
        entries = score.transpose(0, axis).flatten(1).sum(dim=1)  # (outputs or inputs,)
        unit_of = ties.cuts[name, axis].to(score.device)
        total = total + entries.new_zeros(ties.units).index_add_(0, unit_of, entries)
    return total


def _adding(network, ties):
    """Names and modules on the units' way that add something to them."""
    for name in (name for name, axis in ties.cuts if axis == 0):
        module = network.get_submodule(name)
        biased = getattr(module, "bias", None) is not None
        if biased or hasattr(module, "running_mean") or type(module) is ChannelPad2d:
            yield name, module


def _source(name, module):
    """The tensor on which the numbers that a module adds depend with slope 1, (entries,)."""
    tensor = module.value if type(module) is ChannelPad2d else module.bias
    if tensor is None or getattr(module, "running_mean", tensor) is None:
        raise ValueError(f"{name!r} has no bias, or no running statistics, to tell its shift from")
    return tensor


def _shift(module):
    """What a module adds to each of its outputs, or at the border, whatever the input."""
    if type(module) is ChannelPad2d:
        return module.value
    if not hasattr(module, "running_mean"):
        return module.bias
    deviation = (module.running_var + module.eps).sqrt()
    return module.bias - module.weight * module.running_mean / deviation

"""The clip that lets groups learn before they are pruned (Louizos et al. 2017, code)."""

import math

from uecompress import checks
from uecompress.bayes.groups import GroupLayer, GroupLinear
from uecompress.networks import Ensemble


def clip_sigma(max_sigma=0.2, names=None):
    """An ``after_step`` that keeps the posterior standard deviations of weights and biases small.

    Without it the input layer, which has the most weights to gain, becomes noise before anything
    is learned. As in the authors' code, the standard deviation of w̃ stays below 0.2 in the first
    fully connected layer and is free elsewhere.

    Args:
        max_sigma: the largest standard deviation, positive.
        names: dotted names of the layers; None for the first fully connected group layer, in an
            ensemble that of each member.

    Returns:
        ``after_step(model, progress)`` for :func:`training.fit <uecompress.training.fit>`.

    Raises:
        ValueError: ``max_sigma`` is not positive; at the first step, a name that is not a group
            layer's, or a network without a fully connected one.
    """
    largest = 2 * math.log(checks.positive("max_sigma", max_sigma))

    def after_step(model, progress):
        layers = {n: m for n, m in model.named_modules() if isinstance(m, GroupLayer)}
        for name in names or ():
            if name not in layers:
                raise ValueError(f"{name!r} is not a group layer; there are {', '.join(layers)}")
        chosen = _first_linears(model) if names is None else [layers[name] for name in names]
        if names is None and not chosen:
            raise ValueError("the network has no fully connected group layer")
        for layer in chosen:
            for parameter in (layer.weight_log_sigma2, layer.bias_log_sigma2):
                if parameter is not None:
                    parameter.data.clamp_(max=largest)

    return after_step


def _first_linears(module):
    """The first fully connected group layer of a network; of each member, if it is an ensemble."""
    if isinstance(module, GroupLinear):
        return [module]
    ensemble = isinstance(module, Ensemble)
    parts = module.members if ensemble else module.children()
    found = [layers for part in parts if (layers := _first_linears(part))]
    return [layer for layers in (found if ensemble else found[:1]) for layer in layers]

"""Zeros where a posterior says that a weight, or a group of them, is noise."""

import math

import torch

from uecompress import checks
from uecompress.bayes.groups import GroupLayer
from uecompress.networks import plain_layers, replace_layers


def prune(model, threshold=3.0):
    """The ordinary network of posterior means, with zeros for weights of large alpha.

    alpha = sigma² / mu² is the squared ratio of noise to signal. What decides is alpha, not
    sigma²: a weight of large variance and larger mean is needed. Biases stay. If a layer loses all
    its weights, its outputs are its biases, whatever the input.

    Args:
        model: a network with "mean_field" or "sparse_vd" layers; it is not changed. Other
            layers are copied, those of them that are hooked or shared with a warning.
        threshold: weights with log alpha ≥ ``threshold`` become zero; 3 is the value of Molchanov
            et al. (2017), and ``math.inf`` keeps them all.

    Returns:
        A network with ``nn.Linear`` and ``nn.Conv2d`` in place of the variational layers.

    Raises:
        TypeError: a threshold that is no number.
        ValueError: no such layer; a parameter of one that is not finite; a threshold that is NaN,
            or leaves no weight in the whole network.
    """
    checks.within("threshold", threshold, -math.inf, math.inf)
    kinds = {type(module) for module in model.modules() if _prunable(module)}
    if not kinds:
        raise ValueError("the network has no layer with a log_alpha for every weight")
    layers = plain_layers(model, *kinds)
    kept = 0

    def replace(name, leaf):
        nonlocal kept
        if name not in layers:
            return None
        with torch.no_grad(), checks.naming(name):
            # The ratio itself: the log_alpha of a "sparse_vd" layer is clipped, for its KL.
            log_alpha = leaf.weight_log_sigma2 - leaf.weight_mu.square().log()
            keep = log_alpha < threshold
            kept += keep.sum().item()
            return leaf.plain_layer(torch.where(keep, leaf.weight_mu, 0))

    result = replace_layers(model, replace)
    if not kept:
        raise ValueError(f"log alpha is {threshold} or more for every weight: nothing would remain")
    return result


def _prunable(module):
    """Whether a module knows log alpha of every one of its weights."""
    return hasattr(module, "weight_mu") and (
        getattr(getattr(module, "log_alpha", None), "shape", None) == module.weight_mu.shape
    )


def group_scores(model):
    """How little each group carries: what :func:`prune_groups` compares with its threshold.

    It is a log α, the log of noise over signal: of the scale in a group normal-Jeffreys layer, of
    all the group's weights in a horseshoe layer. Both usually fall into two heaps, and the
    threshold is chosen between them.

    Args:
        model: a network with group layers.

    Returns:
        A dict: dotted name of the layer -> scores (groups,), of the input neurons of a Linear and
        the filters of a Conv2d.

    Raises:
        TypeError: a parameter of a group layer that is not of floating-point numbers.
        ValueError: no group layer, or a parameter of one that is not finite.
    """
    layers = {n: m for n, m in model.named_modules() if isinstance(m, GroupLayer)}
    if not layers:
        raise ValueError("the network has no group layer")
    for name, layer in layers.items():
        with checks.naming(name):
            checks.floating(**dict(layer.named_parameters()))
            checks.finite(**dict(layer.named_parameters()))
    return {name: layer.prune_score() for name, layer in layers.items()}


def prune_groups(model, threshold):
    """The ordinary network of posterior means (eq. 10) in which groups of high score are zero.

    It has the shapes of ``model``; :func:`networks.shrink <uecompress.networks.shrink>` makes it
    smaller. Layers of other kinds are copied, as are group layers that are hooked or shared, those
    with a warning.

    Args:
        model: a network with group layers; it is not changed.
        threshold: groups with scores (see :func:`group_scores`) of at least ``threshold`` become
            zero. A number, or a dict: dotted name of the layer -> number, without those that keep
            all groups.

    Raises:
        TypeError: a threshold that is no number.
        ValueError: no group layer, a name that is none, a threshold that is NaN, a parameter of a
            group layer that is not finite, or a layer that would lose all its groups and with them
            its input.
    """
    scores = group_scores(model)
    layers = plain_layers(model, GroupLayer)
    if not isinstance(threshold, dict):
        threshold = dict.fromkeys(scores, threshold)
    for name, limit in threshold.items():
        if name not in scores:
            raise ValueError(f"{name!r} is not a group layer; there are {', '.join(scores)}")
        checks.within(f"threshold of {name!r}", limit, -math.inf, math.inf)
        if (scores[name] >= limit).all():
            low, high = scores[name].min().item(), scores[name].max().item()
            raise ValueError(
                f"the threshold {limit} removes all {len(scores[name])} groups of {name!r}, whose "
                f"scores are from {low:.2f} to {high:.2f}"
            )

    def replace(name, leaf):
        if name not in layers:
            return None
        with checks.naming(name):
            return leaf.to_plain(scores[name] < threshold[name] if name in threshold else None)

    return replace_layers(model, replace)

"""Weights that share values: k-means clusters, the lecture's "maximum compression"."""

import copy

import torch
from sklearn.cluster import KMeans

from uecompress import checks
from uecompress.networks.shrinking import shrink
from uecompress.networks.tree import linear_and_conv_layers


def cluster_weights(pruned, clusters=32):
    """A copy in which each layer's non-zero weights are the centres of k-means clusters.

    The centres start evenly spaced from the smallest to the largest weight, as in Han et al.
    (2016). Zeros stay zeros; biases are rounded to half precision, unless one is too large for it.
    Parametrized weights and biases stay as they are.

    Args:
        pruned: an ordinary network; it is not changed.
        clusters: number of centres, at least 1. Layers with fewer distinct weights keep them.

    Raises:
        ValueError: ``clusters`` not a whole number of at least 1, no Linear or Conv2d layer,
            weights or biases that are not finite.
    """
    clusters = checks.whole("clusters", clusters)
    layers = dict(linear_and_conv_layers(pruned))
    if not layers:
        raise ValueError("the network has no Linear or Conv2d layer")

    def function(name, layer):
        return {"weight": to_centres(layer.weight, clusters), "bias": half(layer.bias)}

    return with_new_values(pruned, layers, function)


def maximum_compression(pruned, clusters=32):
    """The smaller network with clustered weights: the lecture's column of that name, as a network.

    Args:
        pruned: the ordinary network that pruning made; it is not changed.
        clusters: number of values a layer's non-zero weights take, parametrized ones apart.

    Raises:
        ValueError: as in :func:`cluster_weights`.
    """
    return shrink(cluster_weights(pruned, clusters))


def half(bias):
    """The bias, if any, as half precision can hold it; as it is where that ends, beyond 65504."""
    if bias is None:
        return None
    rounded = bias.half().to(bias.dtype)
    return rounded if torch.isfinite(rounded).all() else bias


def to_centres(weight, clusters):
    """The non-zero weights replaced by the centres of their clusters."""
    kept = weight != 0
    values = weight[kept].double().cpu().unsqueeze(1).numpy()  # (kept,) -> (kept, 1)
    distinct = len(set(values.ravel()))
    if distinct <= clusters:
        return weight
    low, high = values.min(), values.max()
    start = torch.linspace(low, high, clusters, dtype=torch.float64).unsqueeze(1).numpy()
    fit = KMeans(clusters, init=start, n_init=1).fit(values)
    result = torch.zeros_like(weight)
    result[kept] = torch.from_numpy(fit.cluster_centers_[fit.labels_, 0]).to(weight)
    return result


@torch.no_grad()
def with_new_values(network, names, function):
    """A copy in which the tensors of these layers are what ``function(name, layer)`` gives.

    Tensors that are computed from others, by a parametrization or a mask, stay as they are.

    Raises:
        ValueError: a weight or bias of these layers that is not finite.
    """
    result = copy.deepcopy(network)
    for name, layer in linear_and_conv_layers(result):
        if name not in names:
            continue
        for kind in ("weight", "bias"):
            values = getattr(layer, kind)
            if values is not None and not torch.isfinite(values).all():
                raise ValueError(f"the {kind} of {name!r} contains NaN or infinity")
        for kind, values in function(name, layer).items():
            if values is not None and kind in layer._parameters:
                layer._parameters[kind].copy_(values)
    return result

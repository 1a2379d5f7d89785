"""Weights that share values: k-means clusters, the lecture's "maximum compression"."""

import copy

import torch
from sklearn.cluster import KMeans

from uecompress.bayes.masks import shrink
from uecompress.networks import linear_and_conv_layers


def cluster_weights(pruned, clusters=32):
    """A copy in which each layer's non-zero weights are the centres of k-means clusters.

    The centres start evenly spaced from the smallest to the largest weight, as in Han et al.
    (2016). Zeros stay zeros; biases are rounded to half precision.

    Args:
        pruned: an ordinary network; it is not changed.
        clusters: number of centres, at least 1. Layers with fewer distinct weights keep them.

    Raises:
        ValueError: ``clusters`` below 1, no Linear or Conv2d layer, weights that are not finite.
    """
    if clusters != int(clusters) or clusters < 1:
        raise ValueError(f"clusters must be a whole number of at least 1, not {clusters}")
    layers = dict(linear_and_conv_layers(pruned))
    if not layers:
        raise ValueError("the network has no Linear or Conv2d layer")

    def function(name, layer):
        if not torch.isfinite(layer.weight).all():
            raise ValueError(f"the weight of {name!r} contains NaN or infinity")
        return {"weight": to_centres(layer.weight, clusters), "bias": half(layer.bias)}

    return with_new_values(pruned, layers, function)


def maximum_compression(pruned, clusters=32):
    """The smaller network with clustered weights: the lecture's column of that name, as a network.

    Args:
        pruned: the ordinary network that pruning made; it is not changed.
        clusters: number of values a layer's non-zero weights take.
    """
    return shrink(cluster_weights(pruned, clusters))


def half(bias):
    """The bias, if any, as half precision can hold it."""
    return None if bias is None else bias.half().to(bias.dtype)


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
    """A copy in which the tensors of these layers are what ``function(name, layer)`` gives."""
    result = copy.deepcopy(network)
    for name, layer in linear_and_conv_layers(result):
        if name in names:
            for tensor_name, values in function(name, layer).items():
                if values is not None:
                    getattr(layer, tensor_name).copy_(values)
    return result

"""Weights that share values: k-means clusters, the lecture's "maximum compression"."""

import torch
from sklearn.cluster import KMeans

from uecompress import checks
from uecompress.networks.plain import plain_layers
from uecompress.networks.shrinking import shrink
from uecompress.networks.tree import copied, linear_and_conv_layers


def cluster_weights(pruned, clusters=32):
    """A copy in which each layer's non-zero weights are the centres of k-means clusters.

    The centres start evenly spaced from the smallest to the largest weight, as in Han et al.
    (2016). Zeros stay zeros; biases are rounded to half precision, unless one is too large for it.
    Layers that are not plain are left alone with a warning.

    Args:
        pruned: an ordinary network; it is not changed.
        clusters: number of centres, at least 1. Layers with fewer distinct weights keep them.

    Raises:
        TypeError: ``clusters`` is no number.
        ValueError: ``clusters`` not a whole number of at least 1, no plain Linear or Conv2d layer,
            weights or biases that are not finite.
    """
    clusters = checks.whole("clusters", clusters)

    def function(name, layer):
        return {"weight": _to_centres(layer.weight, clusters), "bias": half(layer.bias)}

    return with_new_values(pruned, dict(linear_and_conv_layers(pruned)), function)


def maximum_compression(pruned, clusters=32):
    """The smaller network with clustered weights: the lecture's column of that name, as a network.

    Args:
        pruned: the ordinary network that pruning made; it is not changed.
        clusters: number of values that a plain layer's non-zero weights take.

    Raises:
        TypeError, ValueError: as in :func:`cluster_weights`.
    """
    return shrink(cluster_weights(pruned, clusters))


def half(bias):
    """The bias, if any, as half precision can hold it; as it is where that ends, beyond 65504."""
    if bias is None:
        return None
    rounded = bias.half().to(bias.dtype)
    return rounded if torch.isfinite(rounded).all() else bias


def _to_centres(weight, clusters):
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

    Args:
        network: it is not changed.
        names: dotted names; layers that are not plain stay as they are, with a warning.
        function: gives a dict of the new ``weight`` and ``bias``; what it leaves out, or gives as
            None, stays.

    Raises:
        ValueError: no plain layer at all; a weight or bias of these layers that is not finite.
    """
    layers = plain_layers(network)
    result = copied(network)
    for name in filter(layers.__contains__, names):
        layer = result.get_submodule(name)
        with checks.naming(name):
            checks.finite(weight=layer.weight, bias=layer.bias)
        for kind, values in function(name, layer).items():
            if values is not None:
                getattr(layer, kind).copy_(values)
    return result

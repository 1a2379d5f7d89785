"""Scores of weights: one function for each method, and in all of them the lowest scores go.

Each is ``f(model, batch, …)`` with a batch (x, y), or without one where it needs no data, and
gives a tensor like the weight for each plain Linear and Conv2d layer. The network is scored in
evaluation mode, on a copy. A weight that is zero has been removed, and stays so: see
:func:`uecompress.pruning.prune`. Biases and norms are not scored.
"""

from contextlib import contextmanager

import torch
from torch.nn import functional as F

from uecompress import checks, pinned, training
from uecompress.networks import dtype_and_device, plain, plain_layers
from uecompress.pruning.saliency import only_weights, saliency
from uecompress.pruning.synflow import absolute, synflow
from uecompress.training import cross_entropy
from uecompress.uncertainty.predict import evaluation_mode

__all__ = [
    "absolute",
    "grasp",
    "lamp",
    "magnitude",
    "random",
    "skeletonization",
    "snip",
    "synflow",
]


def random(model, batch=None, *, seed):
    """Random scores, no two of which are equal: the pinned permutation of all weights.

    Args:
        model: a network.
        batch: not used.
        seed: a whole number from 0 to 2⁶³ − 1.

    Raises:
        TypeError, ValueError: a seed that is none, a network without plain layers.
    """
    weights = _weights(model)
    order = pinned.permutation(seed, sum(weight.numel() for weight in weights.values()))
    parts = torch.from_numpy(order).double().split([w.numel() for w in weights.values()])
    return {
        name: part.view(weight.shape).to(weight.device)
        for (name, weight), part in zip(weights.items(), parts, strict=True)
    }


def magnitude(model, batch=None):
    """The size of each weight, ``|θ|``, which is no saliency: no function of the outputs gives it.

    Args:
        model: a network.
        batch: not used.

    Raises:
        ValueError: a network without plain layers.
    """
    return {name: weight.abs() for name, weight in _weights(model).items()}


def lamp(model, batch=None):
    """Layer-adaptive magnitude (Lee et al., 2021): a weight's share of what is left.

    θ² is divided by the sum of θ² over the weights of the layer that are not smaller. So the
    largest weight of every layer has the score 1, and no layer is emptied before all have one.

    Args:
        model: a network.
        batch: not used.

    Returns:
        A dict of float64 tensors.

    Raises:
        ValueError: a network without plain layers.
    """
    return {name: _lamp(weight) for name, weight in _weights(model).items()}


def _lamp(weight):
    squares = weight.double().square().flatten()
    # Of equal weights the first is the largest, as in prune().
    ordered, order = squares.sort(descending=True, stable=True)
    shares = torch.where(ordered > 0, ordered / ordered.cumsum(0), 0)
    return torch.empty_like(squares).scatter_(0, order, shares).view(weight.shape)


def snip(model, batch, *, loss=cross_entropy):
    """Connection sensitivity (Lee et al., 2019, "SNIP"; eq. 4 of the lecture): ``|θ ∂L/∂θ|``.

    The slope ``|∂L/∂θ|`` alone, the lecture's eq. 1, would be another score. The paper also divides
    by the sum of all, which changes no order; its code scores biases, too, and draws new weights
    for the network that it trains.

    Args:
        model: a network.
        batch: inputs (N, ...) and targets, all that the method sees of the data.
        loss: as in :func:`training.fit <uecompress.training.fit>`, where it is asked at progress 0.

    Raises:
        TypeError, ValueError: data that ``fit`` would not take, a network without plain layers, a
            loss that is not finite.
    """
    found = _saliency_of_loss(model, batch, loss)
    return {name: score.abs() for name, score in found.items()}


def skeletonization(model, batch, *, loss=cross_entropy):
    """Relevance (Mozer and Smolensky, 1989; eq. 3 of the lecture): −θ ∂L/∂θ, the loss it saves.

    A weight of negative relevance is one without which the loss would be lower, to first order;
    those go first. The relevance of a unit, −∂L/∂α for a factor α = 1 on its output, is the sum
    over its outgoing weights: see :func:`~uecompress.pruning.neuron_saliency`. The paper takes
    the sum of ``|target − output|`` for the loss, since the derivative of a squared error vanishes
    where the network is right.

    Args:
        model: a network.
        batch: inputs (N, ...) and targets, all that the method sees of the data.
        loss: as in :func:`snip`.

    Raises:
        TypeError, ValueError: as in :func:`snip`.
    """
    found = _saliency_of_loss(model, batch, loss)
    return {name: -score for name, score in found.items()}


def grasp(model, batch, *, temperature=200.0):
    """Gradient flow (Wang et al., 2020, "GraSP"): θ ⊙ Hg, with the logits divided by T.

    To make a weight smaller by the share ε changes ‖g‖², the rate at which training lowers the
    loss, by −2ε θ ⊙ Hg. The paper's score, the lecture's eq. 5, is −θ ⊙ Hg, and it removes the
    largest: the same weights. ‖g‖² is that of the weights that are not zero: if removed ones
    counted, pruning in rounds would soon empty layers. With T = 200 the softmax is nearly linear,
    and what is left of H is the curvature of the network, not that of the loss.

    Args:
        model: a network.
        batch: inputs (N, ...) and labels (N,), all that the method sees of the data.
        temperature: T, positive.

    Raises:
        TypeError, ValueError: a temperature that is none, and as in :func:`snip`.
    """
    temperature = checks.positive("temperature", temperature)
    x, y = _checked(model, batch)
    network = plain(model)
    weights = only_weights(network)
    with evaluation_mode(network), _labels_named(model, x, y):
        logits = network(x) / temperature
        labels = y.expand(logits.shape[:-1]).flatten()  # the same for every member
        value = F.cross_entropy(logits.flatten(0, -2), labels)
    tensors = list(weights.values())
    options = {"materialize_grads": True}
    gradient = torch.autograd.grad(value, tensors, create_graph=True, **options)
    left = [g.detach() * (weight != 0) for g, weight in zip(gradient, tensors, strict=True)]
    product = sum((a * b).sum() for a, b in zip(left, gradient, strict=True))
    curved = torch.autograd.grad(product, tensors, **options)  # Hg
    return {
        name: weight.detach() * hg
        for (name, weight), hg in zip(weights.items(), curved, strict=True)
    }


def _weights(model):
    """The weights of the plain layers, by name, which share no gradients with the network."""
    layers = plain_layers(plain(model)).items()
    return {name: layer.weight.detach() for name, layer in layers}


def _saliency_of_loss(model, batch, loss):
    """The saliency of the loss of one batch."""
    x, y = _checked(model, batch, labels=loss is cross_entropy)
    with _labels_named(model, x, y, loss is cross_entropy):
        return saliency(model, lambda network: loss(network, x, y, 0.0))


def _checked(model, batch, labels=True):
    """Inputs and targets where the network is."""
    x, y = training.check_data(model, batch)
    if labels and (isinstance(y, tuple) or y.dtype != torch.int64 or y.ndim != 1 or y.min() < 0):
        training.check_labels(model, x, y)  # which raises
    _, device = dtype_and_device(model, x)
    if isinstance(y, tuple):
        return x.to(device), tuple(target.to(device) for target in y)
    return x.to(device), y.to(device)


@contextmanager
def _labels_named(model, x, y, labels=True):
    """The error that says which labels there are, where torch finds one too large."""
    try:
        yield
    except IndexError:
        if labels:
            training.check_labels(model, x, y)
        raise

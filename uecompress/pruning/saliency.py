"""Synaptic and layer saliency (Tanaka et al., 2020): what a network owes to each of its weights.

Their paper is "Pruning neural networks without any data by iteratively conserving synaptic flow".
"""

import torch

from uecompress.networks import plain, plain_layers
from uecompress.uncertainty.predict import evaluation_mode


def saliency(model, functional):
    """Synaptic saliency, the lecture's eq. 2: S(θ) = ∂R/∂θ ⊙ θ, signed.

    It is what R loses, to first order and for each part removed, when a weight goes to zero.
    Neither the scale of a ReLU layer nor the scale that the next one gives back changes it.

    Args:
        model: a network; it is not changed.
        functional: R, a function of a network that returns a scalar; it is given a copy in
            evaluation mode.

    Returns:
        A dict: dotted name of each plain Linear and Conv2d layer -> a tensor like its weight.

    Raises:
        TypeError: ``functional`` returns no scalar tensor.
        ValueError: R is not finite; the network has no plain layer.
    """
    return saliency_of(plain(model), functional)


def saliency_of(network, functional):
    """:func:`saliency` of a network that is used up: its weights become the result."""
    weights = only_weights(network)
    pairs = zip(weights.items(), gradients(network, functional, weights.values()), strict=True)
    return {name: weight.detach().mul_(gradient) for (name, weight), gradient in pairs}


def only_weights(network):
    """The weights of the plain layers, by name; only these have gradients from now on."""
    layers = plain_layers(network.requires_grad_(False)).items()
    return {name: layer.weight.requires_grad_() for name, layer in layers}


def layer_saliency(scores):
    """The scores of each layer summed, the lecture's eq. 8: a dict of numbers.

    Of a saliency it is ⟨∂R/∂x, x⟩, where x are the layer's outputs without its biases. Without
    biases and with homogeneous activations it is the same for every layer that all of R passes.

    Args:
        scores: a dict: name -> tensor.
    """
    return {name: score.double().sum().item() for name, score in scores.items()}


def gradients(network, functional, tensors):
    """The gradients of R; zero for what it does not depend on."""
    with evaluation_mode(network):
        value = functional(network)
    if not isinstance(value, torch.Tensor) or value.numel() != 1 or not value.requires_grad:
        raise TypeError("the functional must return a tensor of one number, with a gradient")
    if not torch.isfinite(value):
        raise ValueError(f"the functional is {value.item()}")
    return torch.autograd.grad(value, list(tensors), materialize_grads=True)

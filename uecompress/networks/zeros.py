"""The zeros among a network's weights: how to count them, and how to keep them."""

from uecompress.networks.plain import plain, plain_layers
from uecompress.networks.tree import linear_and_conv_layers


def hold_zeros(model):
    """An ``after_step`` that keeps the zeros of a pruned network while it is fine-tuned.

    Args:
        model: the network whose zero weights in plain Linear and Conv2d layers shall stay zero in
            what :func:`training.fit <uecompress.training.fit>` makes of it.

    Returns:
        ``after_step(model, progress)``.

    Raises:
        ValueError: no plain layer; at the first step, a network without these layers: after
            :func:`~uecompress.networks.shrink` the zeros are those of the smaller network.
    """
    zeros = {name: layer.weight == 0 for name, layer in plain_layers(model).items()}

    def after_step(trained, progress):
        layers = dict(linear_and_conv_layers(trained))
        for name, zero in zeros.items():
            if name not in layers or layers[name].weight.shape != zero.shape:
                raise ValueError(f"the zeros of {name!r} are held, but no such layer is there")
            layers[name].weight.masked_fill_(zero.to(layers[name].weight.device), 0)

    return after_step


def nonzero_weights(model):
    """The number of weights that are not zero in the Linear and Conv2d layers, without biases.

    A parametrized or pruned weight counts with the value that it has, a shared one counts once.

    Raises:
        ValueError: no such layer; a variational layer, which has posteriors in place of weights.
    """
    for name, module in model.named_modules():
        if hasattr(module, "weight_mu"):
            raise ValueError(f"{name!r} is a variational layer: prune it, then count its weights")
    weights = {layer.weight for _, layer in linear_and_conv_layers(plain(model))}
    if not weights:
        raise ValueError("the network has no Linear or Conv2d layer, whose weights would count")
    return sum(int(weight.count_nonzero()) for weight in weights)

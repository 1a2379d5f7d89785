"""The zeros among a network's weights: how to count them, and how to keep them."""

from uecompress.networks.tree import linear_and_conv_layers


def hold_zeros(model):
    """An ``after_step`` that keeps the zeros of a pruned network while it is fine-tuned.

    Args:
        model: the network whose zero weights in Linear and Conv2d layers shall stay zero in what
            :func:`training.fit <uecompress.training.fit>` makes of it.

    Returns:
        ``after_step(model, progress)``.

    Raises:
        ValueError: at the first step, a network whose layers are not those of ``model``: after
            :func:`~uecompress.networks.shrink` the zeros are those of the smaller network.
    """
    zeros = {name: layer.weight == 0 for name, layer in linear_and_conv_layers(model)}

    def after_step(trained, progress):
        for name, layer in linear_and_conv_layers(trained):
            if name not in zeros or zeros[name].shape != layer.weight.shape:
                raise ValueError(f"{name!r} is not a layer of the network whose zeros are held")
            layer.weight.masked_fill_(zeros[name].to(layer.weight.device), 0)

    return after_step


def nonzero_weights(model):
    """The number of weights that are not zero in the Linear and Conv2d layers, without biases.

    Raises:
        ValueError: a variational layer, which has posteriors in place of weights.
    """
    for name, module in model.named_modules():
        if hasattr(module, "weight_mu"):
            raise ValueError(f"{name!r} is a variational layer: prune it, then count its weights")
    return sum(int(layer.weight.count_nonzero()) for _, layer in linear_and_conv_layers(model))

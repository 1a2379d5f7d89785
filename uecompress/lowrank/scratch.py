"""Low rank from the start: two thin layers with new weights, trained as they are."""

import torch
from torch import nn

from uecompress import checks
from uecompress.lowrank.compress import compress
from uecompress.networks import plain_layers
from uecompress.randomness import seeded


@torch.no_grad()
def new_low_rank(model, *, rank, seed):
    """Draws new weights: a copy of a network whose layers are pairs of thin ones, from ``seed=``.

    The layers are those that ``compress(model, "svd", rank=rank)`` makes. An entry of the product
    of two factors is a sum over r products, so with entries of variance v in both it has the
    variance r v²: they are drawn such that this is what torch's own weights have, 1 / (3 fan-in).
    With torch's way for each factor by itself the product would be too small.

    Args:
        model: a network; it is not changed, and its weights are not used.
        rank: of every layer; one that would not become smaller gets new weights as it is.
        seed: of the weights and biases.

    Raises:
        TypeError: numbers that are none.
        ValueError: a rank out of range, or that makes no layer smaller; as :func:`compress`.

    Warns:
        UserWarning: layers that are not plain, which stay.
    """
    seed, before = checks.seed(seed), plain_layers(model)
    result = compress(model, "svd", rank=rank)
    with seeded(seed):
        for name, layer in before.items():
            new = result.get_submodule(name)
            if not isinstance(new, nn.Sequential):
                new.reset_parameters()
                continue
            variance = 1 / (3 * layer.weight[0].numel())
            std = (variance / len(new.vh.weight)) ** 0.25  # r std⁴ = variance
            nn.init.normal_(new.vh.weight, std=std)
            nn.init.normal_(new.u.weight, std=std)
            if layer.bias is not None:
                nn.init.uniform_(new.u.bias, -((3 * variance) ** 0.5), (3 * variance) ** 0.5)
    return result

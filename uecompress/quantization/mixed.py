"""Bits where they are needed: mixed precision by sensitivity.

How much the loss rises when one layer alone is rounded is measured, and the rises are taken to add
up. Which bits of each layer keep their sum least within a budget is then an exact choice.
"""

from uecompress import checks, training, uncertainty
from uecompress.networks import plain, plain_layers
from uecompress.quantization.quantize import quantize


def sensitivity(model, data, choices=(2, 3, 4, 8), **grid):
    """The rise of the NLL when one layer alone is rounded.

    Args:
        model: a network; it is not changed.
        data: inputs (N, ...) and labels (N,): validation data.
        choices: bits to try.
        grid: ``kind``, ``per`` and ``threshold`` of :func:`quantize`.

    Returns:
        A dict: dotted name of each plain Linear and Conv2d layer -> {bits: rise in nats}.

    Raises:
        TypeError, ValueError: as :func:`quantize`; data that ``training.fit`` would not take.
    """
    x, y = training.check_data(model, data)
    if not choices:
        raise ValueError("there are no choices of bits")

    def loss(network):
        return uncertainty.nll(uncertainty.predict(network, x), y)

    model = plain(model)
    before = loss(model)
    return {
        name: {bits: loss(quantize(model, {name: bits}, **grid)) - before for bits in choices}
        for name in plain_layers(model)
    }


def choose_bits(rises, sizes, mean_bits):
    """The bits of each layer with the smallest sum of rises, on the average no more than given.

    All choices are compared, but those that cost more bits for no smaller a sum than another one of
    the same layers: the result is the best, not a greedy one.

    Args:
        rises: what :func:`sensitivity` returned.
        sizes: a dict: name of each layer -> number of its weights.
        mean_bits: bits that a weight may have on the average.

    Returns:
        A dict: name of the layer -> bits, as :func:`quantize` takes it.

    Raises:
        TypeError: a number that is none.
        ValueError: a budget that is not positive, or that not even the fewest bits meet.
    """
    budget = checks.positive("mean_bits", mean_bits) * sum(sizes[name] for name in rises)
    best = [(0, 0.0, {})]  # bits, sum of rises, choice: more bits, smaller sum
    for name, row in rises.items():
        longer = [
            (bits + sizes[name] * b, total + rise, choice | {name: b})
            for bits, total, choice in best
            for b, rise in row.items()
        ]
        best, least = [], float("inf")
        for entry in sorted(longer, key=lambda entry: entry[:2]):
            if entry[0] <= budget * (1 + 1e-12) and entry[1] < least:
                best.append(entry)
                least = entry[1]
        if not best:
            raise ValueError(f"no choice of bits keeps {mean_bits} on the average")
    return best[-1][2]


def mixed_precision(model, data, mean_bits, choices=(2, 3, 4, 8), **grid):
    """A copy of a network of integer codes, with more bits in the layers that need them.

    Args:
        model: a network; it is not changed.
        data: inputs (N, ...) and labels (N,): validation data.
        mean_bits: bits that a weight may have on the average.
        choices: bits that a layer may have.
        grid: ``kind``, ``per`` and ``threshold`` of :func:`quantize`.

    Raises:
        TypeError, ValueError: as :func:`sensitivity` and :func:`choose_bits`.
    """
    rises = sensitivity(model, data, choices, **grid)
    layers = plain_layers(plain(model))
    sizes = {name: layers[name].weight.numel() for name in rises}
    return quantize(model, choose_bits(rises, sizes, mean_bits), **grid)

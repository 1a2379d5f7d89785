"""The exercises of "What a byte buys"."""

import math

import torch

from uecompress import bench, data, networks, uncertainty
from uecompress.exercises.function import Function
from uecompress.exercises.number import Number


def positions():
    """The two ratios of a million weights, of which 1 % are left: any place, 8 values.

    They take 10,099.142 bytes for the positions and 3,750 for the values.
    """
    return Number(
        [100.0, 4e6 / 13849.142],
        {
            "the positions cost bits as well": [100.0, 4e6 / 3750],
            "these are the positions alone": [100.0, 4e6 / 10099.142],
            "the places without a weight cost bits too, log₂(1 / 0.99) each": [
                100.0,
                4e6 / 12054.82,
            ],
            "these are bits, not bytes": [100.0, 4e6 / 110793.136],
            "the ratio of bytes starts from 4 bytes per parameter": [100.0, 1e6 / 13849.142],
            "first the ratio of parameters, then that of bytes": [4e6 / 13849.142, 100.0],
        },
    )


def neighbours():
    """Bits a symbol, from shares and from the symbol before, which it equals in 9 cases of 10."""
    told = 0.9 * math.log2(1 / 0.9) + 0.1 * math.log2(1 / 0.1)
    return Number(
        [1.0, told],
        {
            "symbols that differ from the one before cost bits as well": [
                1.0,
                0.9 * math.log2(1 / 0.9),
            ],
            "this is what the neighbour saves": [1.0, 1 - told],
            "these are nats": [math.log(2), told * math.log(2)],
            "first without the neighbour, then with it": [told, 1.0],
        },
    )


def runs():
    """How many pairs of a run of zeros and a value a tensor takes, in Han's format."""
    tensors = [
        _weights((1, 60), [3, 4, 20]),
        _weights((1, 200), [7, 15, 16, 24, 121, 122]),  # runs of 7, 7, 0, 7, 96, 0
        _weights((4, 33), [0, 32, 65, 98, 130]),  # runs go on in the next row
        _weights((2, 40), []),
        _weights((2, 3, 5, 5), [149]),
    ]
    return Function(
        _pairs,
        [(tensor, bits) for tensor in tensors for bits in (3, 5)],
        {
            "long runs need fillers, and these are pairs as well": lambda w, bits: (
                w.count_nonzero()
            ),
            "a filler stands for a zero itself: with 5 bits for 32 zeros, not for 31": (
                lambda w, bits: _pairs(w, bits, filler=2**bits - 1)
            ),
            "zeros behind the last weight are not written": lambda w, bits: (
                _pairs(torch.cat([w.flatten(), torch.ones(1)]), bits) - 1
            ),
            "a run goes on in the next row": lambda w, bits: sum(
                _pairs(row, bits) for row in w.flatten(0, -2)
            ),
            "these are the fillers; the weights are pairs as well": lambda w, bits: (
                _pairs(w, bits) - w.count_nonzero()
            ),
        },
        show=lambda w, bits: (
            f"shape {tuple(w.shape)}, weights at {w.flatten().nonzero().flatten().tolist()} "
            f"and {bits} bits"
        ),
    )


def _weights(shape, places):
    """A tensor of this shape that is not zero at these places, counted row by row."""
    weight = torch.zeros(shape)
    weight.view(-1)[places] = torch.arange(1.0, len(places) + 1)
    return weight


def _pairs(weight, bits, filler=None):
    """The weights, and the fillers in front of them; each of these stands for ``filler`` zeros."""
    places = weight.flatten().nonzero().flatten()
    zeros = places.diff(prepend=torch.tensor([-1])) - 1
    return len(places) + int((zeros // (filler or 2**bits)).sum())


def thresholds(network):
    """Test accuracy of the bench's baseline, if each layer has a threshold of its own.

    Args:
        network: what ``bench.dense(0)`` returned.
    """
    cut = networks.plain(network)
    for layer in networks.plain_layers(cut).values():
        layer.weight.data = bench.cut(layer, bench.SHARE).weight.data
    how = bench.SETTINGS | {"epochs": bench.EPOCHS}
    tuned = bench.fit(cut, 0, after_step=networks.hold_zeros(cut), **how)
    return Number(
        _accuracy(networks.cluster_weights(tuned, bench.CLUSTERS)),
        {
            "this is the network that is only cut: tune it, while zeros stay zeros": _accuracy(cut),
            "this is the network before its weights were clustered": _accuracy(tuned),
            "this is the network that you began with": _accuracy(network),
            "this is what one threshold for all layers gives": _accuracy(bench.baseline(network)),
        },
    )


def _accuracy(network):
    images, labels = data.load("digits", "test")
    return uncertainty.accuracy(uncertainty.predict(network, images), labels)

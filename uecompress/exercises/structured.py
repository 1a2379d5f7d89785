"""Chapter 22, structured pruning."""

import torch

from uecompress import networks, pruning
from uecompress.exercises.function import Function
from uecompress.exercises.number import Number


def step():
    """The scales (0.20, −0.03, 0.01) after a proximal step of 0.05, and how many are silent.

    The shifts are (0.3, 0, 0.4).
    """
    return Number(
        [0.15, 0.0, 0.0, 1],
        {
            "γ = 0 does not silence a channel that still says its β": [0.15, 0, 0, 2],
            "what would pass 0 stays there": [0.15, 0.02, -0.04, 0],
            "the step is η λ, not λ alone": [0.1, 0, 0, 1],
            "the step is η λ, not η alone": [0, 0, 0, 1],
            "the large one moves, too": [0.2, 0, 0, 1],
            "a silent channel has γ and β at zero": [0.15, 0, 0, 0],
        },
    )


def price():
    """Multiplications of the bench with zeros and with fewer units, and the epochs of scratch-B."""
    return Number(
        [266_200, 60_925, 109],
        {
            "a zero is multiplied like any other number": [66_550, 60_925, 109],
            "a layer loses three quarters of its rows and of its columns": [266_200, 66_550, 100],
            "as much arithmetic, not as many epochs: that is scratch-E": [266_200, 60_925, 25],
            "the small network trains for longer, not for less": [266_200, 60_925, 6],
            "three quarters go, one quarter stays": [266_200, 194_025, 34],
        },
    )


def tied():
    """The norms of units that a sum ties, over all the weights that make or read them."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(shape, generator=generator)

    inputs = [
        ([draw(3, 5)], [draw(4, 3)]),
        ([draw(4, 1, 3, 3), draw(4, 4, 3, 3)], [draw(4, 4, 3, 3), draw(6, 4, 1, 1)]),
        ([draw(2, 2), draw(2, 7)], [draw(2, 2)]),
    ]
    return Function(
        _norms,
        inputs,
        {
            "the readers count as well": lambda makers, readers: _norms(makers, []),
            "the makers count as well": lambda makers, readers: _norms([], readers),
            "these are the squares of the norms": lambda makers, readers: (
                _norms(makers, readers).square()
            ),
            "one root of the sum of all squares, not a sum of roots": lambda makers, readers: (
                sum(_norms([m], []) for m in makers) + sum(_norms([], [r]) for r in readers)
            ),
            "this is the sum of absolute weights": lambda makers, readers: (
                sum(m.abs().flatten(1).sum(1) for m in makers)
                + sum(r.abs().transpose(0, 1).flatten(1).sum(1) for r in readers)
            ),
            "a unit has several weights in each kernel": lambda makers, readers: (
                _norms([m.flatten(2)[..., :1] if m.dim() > 2 else m for m in makers],
                       [r.flatten(2)[..., :1] if r.dim() > 2 else r for r in readers])
            ),
        },
        show=lambda makers, readers: (
            f"makers {[tuple(m.shape) for m in makers]} and "
            f"readers {[tuple(r.shape) for r in readers]}"
        ),
    )  # fmt: skip


def _norms(makers, readers):
    """The root of the sum of squares of each unit: rows of makers, columns of readers."""
    parts = [m.flatten(1) for m in makers]
    parts += [r.transpose(0, 1).flatten(1) for r in readers]
    return torch.cat(parts, 1).square().sum(1).sqrt()


def gauge(network):
    """Units of the second layer among the best half of all, before and after a rescaling.

    Args:
        network: what ``bench.dense(0)`` returned.
    """
    before, after = _second(network), _second(_rescaled(network))
    return Number(
        [before, after],
        {
            "first as it is, then rescaled": [after, before],
            "these are the units of the first layer": [200 - before, 200 - after],
            "these are the units that go": [100 - before, 100 - after],
            "the function stays, but the norms do not": [before, before],
            "half of each layer is 50 units; here all layers compete": [50, 50],
        },
    )


def _second(network):
    weights = {n: layer.weight.abs() for n, layer in networks.plain_layers(network).items()}
    kept = pruning.top_units(pruning.unit_scores(network, weights), 0.5)
    return int(kept["linear2"].sum())


def _rescaled(network):
    network = networks.plain(network)
    network.linear1.weight.data /= 10
    network.linear1.bias.data /= 10
    network.linear2.weight.data *= 10
    return network

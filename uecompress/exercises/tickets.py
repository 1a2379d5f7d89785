"""Chapter 18, magnitude and lottery tickets."""

import copy

import torch

from uecompress import networks
from uecompress.exercises.function import Function
from uecompress.exercises.number import Number
from uecompress.pruning.masks import keep_top

DENSITY = 0.1  # of the experiment


def account():
    """What a round removes, what values and places are worth, and what the control leaves."""
    return Number(
        [0.5, 2.0, 5.0, -0.02],
        {
            "(7/8)^(1/3) is the wrong rate: a round keeps (1/8)^(1/3)": [
                (7 / 8) ** (1 / 3),
                2,
                5,
                -0.02,
            ],
            "a round removes a share of what is left, not of what there was": [
                7 / 24,
                2,
                5,
                -0.02,
            ],
            "the values' worth is the error with new ones minus the ticket's, not the dense "
            "network's": [0.5, 3, 6, -0.02],
            "shuffled minus redrawn leaves the values out, which went along with the places": [
                0.5,
                2,
                3,
                -0.02,
            ],
            "compare with the control: it lost AUROC, too, with nothing cut": [0.5, 2, 5, -0.05],
            "this is what the control loses; you want what the ticket loses beside it": [
                0.5,
                2,
                5,
                -0.03,
            ],
            "the ticket's AUROC is below the control's: a minus": [0.5, 2, 5, 0.02],
        },
    )


def lamp():
    """The LAMP scores of one layer."""
    draw = torch.Generator().manual_seed(18)
    inputs = [
        (torch.tensor([3.0, -4.0, 1.0]),),
        (torch.tensor([0.1, 0.2, -0.3, 0.4, -0.5]),),
        (torch.randn(12, generator=draw),),
    ]
    return Function(
        _lamp,
        inputs,
        {
            "you sum over the weights that are not larger: the smallest then has the score 1": (
                lambda w: _shares(w**2, descending=False)
            ),
            "you sum over all weights of the layer: that changes no order within it, and the "
            "largest of a layer may go": lambda w: w**2 / (w**2).sum(),
            "the weight itself belongs to the sum: the largest has the score 1": (
                lambda w: _lamp(w) / (1 - _lamp(w))
            ),
            "squares, not sizes": lambda w: _shares(w.abs()),
            "these are the scores in the order of size: put them back where the weights were": (
                lambda w: _lamp(w.abs().sort(descending=True).values)
            ),
        },
        show=lambda w: f"w = {[round(v, 3) for v in w.tolist()]}",
    )


def balance(network, other):
    """The share of a magnitude mask that a balanced network has in common with another.

    Args:
        network: LeNet-300-100, as trained.
        other: the same function, with a factor on each unit of the first layer.
    """
    into = other.linear1.weight.detach().norm(dim=1)
    out = other.linear2.weight.detach().norm(dim=0)
    ratio = out / into
    share = {
        name: _shared(network, _rescaled(other, c.clamp(1e-4, 1e4)))
        for name, c in {
            "right": ratio.sqrt(),
            "nothing": torch.ones_like(ratio),
            "no root": ratio,
            "upside down": 1 / ratio.sqrt(),
        }.items()
    }
    return Number(
        share["right"],
        {
            "this is the network as it is, not yet rescaled": share["nothing"],
            "the factor acts on both norms: you need the root of their ratio": share["no root"],
            "upside down: a unit with a small norm into it needs a large factor": share[
                "upside down"
            ],
            "this is the share of all weights, not of those that are kept": share["right"]
            * DENSITY,
        },
    )


def _lamp(w):
    return _shares(w**2)


def _shares(values, descending=True):
    """Each value over the sum of those before it in the order, and itself."""
    ordered, order = values.sort(descending=descending)
    result = torch.empty_like(values)
    result[order] = ordered / ordered.cumsum(0)
    return result


@torch.no_grad()
def _rescaled(network, c):
    """The same function: the units of the first layer times c, which the second layer undoes."""
    result = copy.deepcopy(network)
    result.linear1.weight *= c[:, None]
    result.linear1.bias *= c
    result.linear2.weight /= c
    return result


@torch.no_grad()
def _shared(network, other):
    """The share of the places that magnitude keeps in one network that it keeps in another."""
    masks = []
    for model in (network, other):
        layers = networks.plain_layers(model).values()
        sizes = torch.cat([layer.weight.abs().flatten() for layer in layers])
        masks.append(keep_top(sizes, round(DENSITY * len(sizes))))
    return ((masks[0] & masks[1]).sum() / masks[0].sum()).item()

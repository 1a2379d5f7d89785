"""A smaller network without what its zeros make superfluous; its outputs are equal."""

from itertools import pairwise

import torch
from torch import nn

from uecompress import checks
from uecompress.networks.kinds import kind_of
from uecompress.networks.tree import chains, is_plain, replace_layers
from uecompress.networks.units import keep_units


def shrink(model):
    """An ordinary network without what its zero weights make superfluous; its outputs are equal.

    A unit goes if the next layer gives it zero weights only, or if it is silent itself: zero
    weights and bias, and nothing on the way that makes another number of a zero. What is removed
    makes more superfluous, in the layers before and after, until nothing is left to remove. Then
    each Linear whose weight still has zero columns (pixels, or entries of a flattened image) is
    replaced by a :class:`SelectFeatures` and a smaller Linear.

    Units that :func:`networks.keep_units <uecompress.networks.keep_units>` cannot remove, such as
    those tied by a residual sum, keep their zeros. A layer keeps one unit at least, hence a network
    that has lost everything predicts by its last biases alone.

    Args:
        model: a network; it is not changed.
    """
    while (smaller := _without_dead_units(model)) is not None:
        model = smaller
    return _merge_selections(replace_layers(model, _select_columns))


class SelectFeatures(nn.Module):
    """The entries of a vector that the next layer looks at; which ones is the buffer ``keep``.

    Args:
        features: size of the input.
    """

    def __init__(self, features):
        super().__init__()
        self.features = checks.whole("features", features)
        self.register_buffer("keep", torch.ones(self.features, dtype=torch.bool))

    def forward(self, x):
        """(..., features) -> (..., kept)."""
        return x[..., self.keep]

    def config(self):
        """The constructor's arguments."""
        return {"features": self.features}

    def extra_repr(self):
        """The size of the input and how many are kept."""
        kept = "" if self.keep.is_meta else f", kept={int(self.keep.sum())}"
        return f"features={self.features}{kept}"


def _without_dead_units(model):
    """A copy that has lost the dead units of one layer; None if there are none to remove."""
    for _, steps in chains(model):
        layers = [k for k, (_, step) in enumerate(steps) if isinstance(step, nn.Linear | nn.Conv2d)]
        for first, second in pairwise(layers):
            between = [step for _, step in steps[first + 1 : second]]
            dead = _dead_units(steps[first][1], between, steps[second][1])
            if dead is None or not dead.any():
                continue
            dead[0] &= not dead.all()  # one unit stays
            if not dead.any():
                continue
            try:
                return keep_units(model, steps[first][0], ~dead)
            except ValueError:  # its outputs go where units cannot be removed
                continue
    return None


def _dead_units(layer, between, following):
    """Which units of ``layer`` do not matter, (units,) bool; None where that cannot be told."""
    units, inputs = len(layer.weight), following.weight.shape[1]
    if inputs % units:
        return None
    # (outputs, units * each, ...) -> (outputs, units, the rest)
    onward = following.weight.detach().reshape(len(following.weight), units, -1)
    unused = (onward == 0).all(dim=2).all(dim=0)
    if not all(kind_of(step).keeps_zero for step in between):
        return unused
    silent = (layer.weight.detach().flatten(1) == 0).all(dim=1)
    if layer.bias is not None:
        silent &= layer.bias.detach() == 0
    return unused | silent


def _select_columns(name, leaf):
    """A Linear without its zero columns, after the choice of its inputs; None for the others."""
    if not is_plain(leaf, nn.Linear):
        return None
    keep = (leaf.weight.detach() != 0).any(dim=0)
    keep[0] |= not keep.any()  # one input stays
    if keep.all():
        return None
    select = SelectFeatures(leaf.in_features).to(leaf.weight.device)
    select.keep.copy_(keep)
    leaf.weight = nn.Parameter(leaf.weight.detach()[:, keep], leaf.weight.requires_grad)
    leaf.in_features = int(keep.sum())
    return nn.Sequential(select, leaf)


def _merge_selections(model):
    """``model`` with one SelectFeatures where a network shrunk twice has two in a row."""
    for module in list(model.modules()):
        while _selects(module) and _selects(module[1]):
            select, (further, leaf) = module
            select.keep[select.keep.clone()] = further.keep
            module[1] = leaf
    return model


def _selects(module):
    """Whether this is what :func:`_select_columns` returns."""
    return type(module) is nn.Sequential and len(module) == 2 and type(module[0]) is SelectFeatures

"""Random subspaces (Li et al. 2018, "Measuring the intrinsic dimension of objective landscapes").

All weights of a network move in a random subspace through their start: θ = θ₀ + P d, where only the
D coordinates d are trained, and a file holds nothing else of θ, since θ₀ and P are computed from a
seed. Here a row of P has s entries ±1 / √s at random places. With s = 1 that is a hash of all
weights into D buckets, with signs: a hashed network is a random subspace through 0. With larger s
the rows come closer to the dense, normal ones of the paper, which would take n · D numbers.
"""

import math

import numpy as np
import torch
from torch import nn

from uecompress import checks, pinned
from uecompress.hashing.layers import indices
from uecompress.hashing.replacing import check_alike, foreign_padding, replaced
from uecompress.hashing.xxh64 import xxh64
from uecompress.networks import Conv2dLayer, LinearLayer, plain_layers
from uecompress.randomness import seeded


class SubspaceLayer:
    """A start and a random map from the coordinates; what the Linear and the Conv2d layer share.

    Attributes:
        coordinates: (D,), what is trained, 0 at the start.
        index: (s, n) int32, not stored: where in (d, −d) the s coordinates of each weight are.
        origin: (n,) int16, not stored: θ₀ = (origin + ½) / 2¹⁵ · 1 / √fan_in, uniform as torch's.
    """

    def start(self, *, dim, nonzeros=1, seed=0):
        """Draw torch's biases, and compute the start and the map."""
        dim, nonzeros = checks.whole("dim", dim, 1, 2**30), checks.whole("nonzeros", nonzeros)
        seed = checks.seed(seed)
        self.settings = {"dim": dim, "nonzeros": nonzeros, "seed": seed}
        self.shape = self.ordinary(device="meta").weight.shape
        n = math.prod(self.shape)
        self.coordinates = nn.Parameter(torch.zeros(dim))
        self.register_parameter("bias", self.ordinary().bias)
        # On the device meta, where a file's network is first built, nothing is computed.
        index = torch.empty(nonzeros, n, dtype=torch.int32)
        origin = torch.empty(n, dtype=torch.int16)
        if not index.is_meta:
            found, negative = indices(n, [dim] * nonzeros, seed)
            index.copy_(torch.from_numpy(found % dim + dim * negative))
            upper = xxh64(np.arange(n) + nonzeros * n, seed) >> 48  # 16 bits
            origin.copy_(torch.from_numpy(upper.astype(np.int64) - 2**15))
        self.register_buffer("index", index, persistent=False)
        self.register_buffer("origin", origin, persistent=False)

    @property
    def dense_weight(self):
        """θ₀ + P d, in the shape of torch's layer."""
        signed = torch.cat([self.coordinates, -self.coordinates]) * len(self.index) ** -0.5
        # (s, n) positions -> (s·n,) values -> (s, n) -> (n,)
        moved = signed.index_select(0, self.index.flatten()).view(self.index.shape).sum(0)
        step = math.prod(self.shape[1:]) ** -0.5 / 2**15
        return (moved + step * (self.origin.to(moved.dtype) + 0.5)).view(self.shape)


class SubspaceLinear(SubspaceLayer, LinearLayer):
    """A Linear layer whose weights move in a random subspace; biases are ordinary.

    Args:
        in_features: size of the input.
        out_features: size of the output.
        bias: whether there are biases.
        dim: the number of coordinates D.
        nonzeros: coordinates s that move a weight.
        seed: of the start and the map.

    Raises:
        TypeError: an argument that is no number, a ``bias`` that is not True or False.
        ValueError: one that is out of range.
    """


class SubspaceConv2d(SubspaceLayer, Conv2dLayer):
    """A Conv2d layer whose weights move in a random subspace, as in :class:`SubspaceLinear`.

    The arguments are those of :class:`Conv2dLayer <uecompress.networks.Conv2dLayer>`, and ``dim``,
    ``nonzeros`` and ``seed`` as in :class:`SubspaceLinear`.
    """


def random_subspace(model, *, dim, nonzeros=1, seed):
    """Draws new weights: a copy of a network that moves in a random subspace, both from ``seed=``.

    The weights of all Linear and Conv2d layers share ``dim`` coordinates, which are trained, as are
    the biases, also where the weights of ``model`` were frozen. Layers that are not plain (see
    :func:`networks.plain_layers <uecompress.networks.plain_layers>`) are left alone with a warning.

    Args:
        model: a network or an ensemble, whose members then share the coordinates; it is not
            changed, and its weights are not used.
        dim: the number of coordinates D, at most that of weights.
        nonzeros: coordinates s that move a weight.
        seed: of the start and the map, from 0 to 2⁶³ − 1.

    Raises:
        TypeError: an argument that is no number.
        ValueError: one that is out of range; a network without plain Linear or Conv2d layers, or
            with layers of several dtypes or on several devices.
    """
    layers = plain_layers(model, unless=foreign_padding)
    check_alike(layers)
    dim = checks.whole("dim", dim, 1, sum(layer.weight.numel() for layer in layers.values()))
    seeds = pinned.integers(seed, len(layers), 2**32).tolist()
    settings = {
        name: {"dim": dim, "nonzeros": nonzeros, "seed": each}
        for name, each in zip(layers, seeds, strict=True)
    }
    with seeded(seed):
        result = replaced(model, settings, SubspaceLinear, SubspaceConv2d)
    first, *others = (result.get_submodule(name) for name in layers)
    for layer in others:
        layer.coordinates = first.coordinates
    return result

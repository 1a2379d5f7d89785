"""The first layer in a share of its bytes: a low rank, few entries, or both."""

import math
from collections import OrderedDict

import torch
from torch import nn

from uecompress import lowrank, networks
from uecompress.pruning.masks import keep_top
from uecompress.reproduce import bayesian

BYTES = 4  # of a number that is stored as it is
SPLITS = (0.25, 0.5, 0.75)  # shares of the bytes that go to the low rank, where both are there


@torch.no_grad()
def part(model, way, share, x=None):
    """A copy whose first layer takes at most a share of its bytes.

    Args:
        model: the LeNet-300-100; it is not changed.
        way: "low_rank", the SVD; "sparse", the entries of largest size; "both", their sum, with the
            split of the bytes, of :data:`SPLITS`, that comes closest.
        share: of the bytes of the layer's weights.
        x: images; with them "low_rank" and "both" fit the layer's responses to them.
    """
    model = networks.plain(model)
    layer, allowed = model.linear1, share * BYTES * model.linear1.weight.numel()
    if way == "sparse":
        layer.weight.copy_(entries(layer.weight, count_of(layer.weight, allowed)))
        return model
    before = nn.Sequential(OrderedDict(flatten=nn.Flatten(), layer=layer))
    if way == "low_rank":
        after = pair(before, rank_of(before, allowed, x), x)
    else:
        after = min(both(before, allowed, x), key=lambda found: distance(found, before, x))
    model.linear1 = after.layer
    return model


def pair(before, rank, x=None):
    """The layer with a low rank, for its weights or for its responses to images."""
    if x is None:
        return lowrank.compress(before, "svd", rank=rank)
    return lowrank.whitened_svd(before, x, rank=rank)


def both(before, allowed, x):
    """A low rank and few entries, for each split of the bytes."""
    weight = before.layer.weight
    for split in SPLITS:
        if (rank := rank_of(before, split * allowed)) == 0:
            continue
        low_rank = pair(before, rank).layer
        rest = weight - low_rank.u.weight @ low_rank.vh.weight
        count = count_of(rest, allowed - stored(*factors(low_rank)))
        size = allowed + 1
        while size > allowed:  # the places of the last round may take a little more
            found = lowrank.low_rank_plus_sparse(
                before, rank=rank, density=count / weight.numel(), x=x
            )
            size = stored(*factors(found.layer.branch), found.layer.shortcut.weight)
            count = math.floor(0.98 * count)
        yield found


def factors(low_rank):
    """The two factors of a layer of low rank."""
    return low_rank.u.weight, low_rank.vh.weight


def distance(after, before, x):
    """The squared error of the weights, or of the responses to images."""
    if x is not None:
        return (after(x) - before(x)).double().square().sum().item()
    pair, sparse = after.layer.branch, after.layer.shortcut.weight.double()
    low_rank = pair.u.weight.double() @ pair.vh.weight.double()
    return (low_rank + sparse - before.layer.weight.double()).square().sum().item()


def rank_of(before, allowed, x=None):
    """The largest rank whose two factors take no more bytes, fitted as :func:`pair` does."""
    rank = int(allowed // (BYTES * sum(before.layer.weight.shape)))

    def size(rank):
        return stored(*factors(pair(before, rank, x).layer))

    while size(rank + 1) <= allowed:  # columns of zeros take next to none
        rank += 1
    return rank


def entries(weight, count):
    """The ``count`` entries of largest size, and zeros."""
    keep = keep_top(weight.abs().flatten(), count).view(weight.shape)
    return weight.masked_fill(~keep, 0)


def count_of(weight, allowed):
    """The largest number of entries whose file takes no more bytes, places included."""
    low, high = 0, weight.numel()
    while low < high:
        middle = (low + high + 1) // 2
        fits = stored(entries(weight, middle)) <= allowed
        low, high = (middle, high) if fits else (low, middle - 1)
    return low


def stored(*tensors):
    """The bytes of tensors in a file."""
    return len(bayesian.as_bytes({str(k): tensor for k, tensor in enumerate(tensors)}))

"""Which weights share a scale: all of a layer, those of one output, or groups of neighbours."""

from torch.nn import functional as F

from uecompress import checks


def check_per(per):
    """``per`` as a layer keeps it: "tensor", "channel", or the size of groups.

    Raises:
        TypeError: no such word and no number.
        ValueError: a number that is not whole or below 1.
    """
    return per if per in ("tensor", "channel") else checks.whole("per", per)


def to_rows(weight, per):
    """The weights that share a scale as the rows of a matrix (scales, entries).

    Groups lie along the inputs of one output; a last one that is shorter is filled up with zeros.

    Args:
        weight: (out, in, ...).
        per: "tensor", "channel" (an output), or the size of groups.
    """
    if per == "tensor":
        return weight.reshape(1, -1)
    rows = weight.flatten(1)  # (out, in, ...) -> (out, d)
    if per == "channel":
        return rows
    rows = F.pad(rows, (0, -rows.shape[1] % per))
    return rows.reshape(-1, per)  # (out, groups · per) -> (out · groups, per)


def from_rows(rows, shape, per):
    """The tensor of this shape of which :func:`to_rows` made the rows."""
    if per in ("tensor", "channel"):
        return rows.reshape(shape)
    d = shape[1:].numel()
    # (out · groups, per) -> (out, groups · per) -> (out, d)
    return rows.reshape(shape[0], -1)[:, :d].reshape(shape)


def spread(scale, shape, per):
    """The scales (scales,) for every entry of a tensor of this shape."""
    if per == "tensor":
        return scale.reshape((1,) * len(shape))
    if per == "channel":
        return scale.reshape(-1, *(1,) * (len(shape) - 1))
    return from_rows(scale[:, None].expand(-1, per), shape, per)


def count(shape, per):
    """How many scales a tensor of this shape has."""
    if per == "tensor":
        return 1
    return shape[0] if per == "channel" else shape[0] * -(-shape[1:].numel() // per)

"""What every network asks of the examples that it is given, and where a batch keeps them.

One rule says whether a batch is one for all members of an ensemble or one for each of them, and
nothing outside this file counts dimensions: five dimensions are (M, N, channels, height, width),
member m sees ``x[m]``; anything else is (N, ...) and goes to every member as it is.
"""

import torch

from uecompress import checks


def example_axis(x):
    """The axis of the examples: 1 in (M, N, channels, height, width), 0 in any other (N, ...)."""
    return 1 if x.ndim == 5 else 0


def examples(x, rows):
    """The examples at these positions, of each member's batch if there is one for each.

    Args:
        x: inputs (N, ...), or one batch per member (M, N, ...).
        rows: positions, or a slice.
    """
    return x[:, rows] if example_axis(x) else x[rows]


def for_members(x, count):
    """One batch for each of ``count`` members, (M, N, ...), without a copy.

    Args:
        x: inputs (N, ...), which all members get, or one batch per member (M, N, ...).
        count: the number of members M.

    Raises:
        ValueError: five-dimensional input that does not bring one batch for each member.
    """
    if not example_axis(x):
        return x.expand(count, *x.shape)
    if len(x) != count:
        raise ValueError(
            f"five dimensions mean one batch per member, but the first is {len(x)} for "
            f"{count} members"
        )
    return x


def dtype_and_device(model, x):
    """The floating-point type that a network computes in, and where it is.

    They are those of its first floating-point parameter; without one, of its first floating-point
    buffer (the scales beside integer codes); without any, those of ``x``.
    """
    tensors = [*model.parameters(), *model.buffers(), x]
    first = next((tensor for tensor in tensors if tensor.is_floating_point()), x)
    return first.dtype, first.device


def check_inputs(model, x):
    """Raise an error that says what is wrong where ``x`` cannot be the input of ``model``.

    Args:
        model: a network.
        x: inputs (N, ...), or one batch per member (M, N, ...).

    Raises:
        TypeError: ``x`` is not a torch tensor, or not of the floating-point type of the network.
        ValueError: no examples, NaN or infinity.
    """
    if not isinstance(x, torch.Tensor):
        raise TypeError(f"x must be a torch tensor, not {type(x).__name__}")
    dtype, _ = dtype_and_device(model, x)
    if not x.is_floating_point() or x.dtype != dtype:
        raise TypeError(f"x is of {x.dtype}, but the network needs {dtype}")
    if x.ndim == 0 or x.shape[example_axis(x)] == 0:
        raise ValueError("the data are empty: x has no examples")
    checks.finite(x=x)

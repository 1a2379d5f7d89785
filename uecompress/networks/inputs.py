"""What every network asks of the examples that it is given."""

import torch


def check_inputs(model, x):
    """Raise an error that says what is wrong where ``x`` cannot be the input of ``model``.

    Args:
        model: a network.
        x: inputs (N, ...).

    Raises:
        TypeError: ``x`` is not a torch tensor, or not of the floating-point type of the network.
        ValueError: no examples, NaN or infinity.
    """
    if not isinstance(x, torch.Tensor):
        raise TypeError(f"x must be a torch tensor, not {type(x).__name__}")
    weights = next(model.parameters(), x)
    if not x.is_floating_point() or x.dtype != weights.dtype:
        raise TypeError(f"x is of {x.dtype}, but the network needs {weights.dtype}")
    if len(x) == 0:
        raise ValueError("the data are empty: x has no examples")
    if not torch.isfinite(x).all():
        raise ValueError("x contains NaN or infinity")

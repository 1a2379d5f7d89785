"""Bad input gets the same words in every room: numbers, shapes and tensors that a method can take.

Each function returns what it has checked, as the plain Python number that the rest of the code and
a file can hold, whatever kind of number came in (NumPy's and tensors of one entry among them).
"""

import math
import numbers
from contextlib import contextmanager

import numpy as np
import torch


def whole(name, value, low=1, high=None):
    """``value`` as an int, where it is a whole number of at least ``low`` and at most ``high``.

    Numbers of NumPy, tensors of one entry and floats without a fraction count; True does not.

    Args:
        name: of the argument, for the message.
        value: to be checked.
        low: the smallest number allowed; None for no limit.
        high: the largest number allowed; None for no limit.

    Raises:
        TypeError: ``value`` is no number.
        ValueError: it has a fraction, is not finite, or is out of range.
    """
    number = real(name, value)
    if math.isfinite(number) and number == int(number):
        number = int(number)
        if (low is None or low <= number) and (high is None or number <= high):
            return number
    limits = {
        (False, False): "",
        (True, False): f" of at least {low}",
        (False, True): f" of at most {high}",
        (True, True): f" from {low} to {high}",
    }[low is not None, high is not None]
    raise ValueError(f"{name} must be a whole number{limits}, not {value!r}")


def seed(value, name="seed"):
    """``value`` as an int that every generator takes: a whole number from 0 to 2⁶³ − 1.

    Raises:
        TypeError: it is no number, None among them: a result that cannot be repeated is none.
        ValueError: it is not in that range.
    """
    return whole(name, value, 0, 2**63 - 1)


def positive(name, value):
    """``value`` as a float, where it is positive and finite.

    Raises:
        TypeError: it is no number.
        ValueError: it is not positive, or not finite.
    """
    number = real(name, value)
    if not 0 < number < math.inf:
        raise ValueError(f"{name} must be positive and finite, not {value!r}")
    return float(number)


def within(name, value, low, high, *, open_low=False, open_high=False):
    """``value`` as a float, where it is in [low, high]; ``open_low`` and ``open_high`` shut out.

    Raises:
        TypeError: it is no number.
        ValueError: it is outside, or NaN.
    """
    number = real(name, value)
    above = low < number if open_low else low <= number
    below = number < high if open_high else number <= high
    if not (above and below):
        interval = f"in {'(' if open_low else '['}{low}, {high}{')' if open_high else ']'}"
        if high == math.inf and not open_low:
            words = "a number" if low == -math.inf else f"at least {low}"
            interval = words + (" and finite" if open_high else "")
        raise ValueError(f"{name} must be {interval}, not {value!r}")
    return float(number)


def real(name, value):
    """A real number of Python that equals ``value``: an int stays an int.

    Raises:
        TypeError: it is no real number.
    """
    if isinstance(value, torch.Tensor | np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, not {value!r}")
    return value


def flag(name, value):
    """``value``, where it is True or False.

    Raises:
        TypeError: it is neither.
    """
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {value!r}")
    return value


def finite(**tensors):
    """An error that names the first tensor that holds NaN or infinity; None is skipped."""
    for name, tensor in tensors.items():
        if tensor is None:
            continue
        if tensor.is_floating_point() and tensor.numel():
            tensor = torch.stack(tensor.detach().aminmax())  # one pass; NaN is both
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{name} contains NaN or infinity")


def floating(**tensors):
    """An error that names the first tensor that is not one of real floating-point numbers.

    Raises:
        TypeError: integers, booleans, complex numbers; no tensor at all.
    """
    for name, tensor in tensors.items():
        if not isinstance(tensor, torch.Tensor):
            raise TypeError(f"{name} must be a tensor, not {type(tensor).__name__}")
        if not tensor.is_floating_point():
            raise TypeError(f"{name} must be of floating-point numbers, not {tensor.dtype}")


def same_shape(**tensors):
    """An error that names the tensors, where their shapes differ."""
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if len(set(shapes.values())) > 1:
        raise ValueError(f"expected one shape, got {shapes}")


@contextmanager
def naming(name):
    """Make each error say which layer it is about."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise type(error)(f"layer {name!r}: {error}") from None

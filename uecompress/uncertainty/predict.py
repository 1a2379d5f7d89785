"""From any network to its predictive distribution, log-probabilities of every class."""

from contextlib import contextmanager

import torch

from uecompress import checks
from uecompress.networks import check_inputs, dtype_and_device, example_axis
from uecompress.randomness import LOCK, seeded


@torch.no_grad()
def predict(model, x, *, samples=None, seed=0, batch_size=1000):
    """The log-probabilities that a network gives to every class of every example.

    A module that can draw its weights or its noise at random carries a boolean attribute
    ``sampling``. Without ``samples`` it is left False and such a network predicts with its mean.

    Args:
        model: a network with logits (N, C), or an ensemble with logits (M, N, C). Its mode and its
            weights are left as they are; it predicts in evaluation mode.
        x: inputs (N, ...), or one batch per member (M, N, ...).
        samples: passes with random weights, each of which gives a row for every member.
        seed: of the random weights; the caller's random state is untouched, and threads wait for
            one another.
        batch_size: examples that go through the network at once.

    Returns:
        A float64 tensor (M, N, C) on the CPU, normalized over C. (In float32 the most confident
        predictions would all be exactly 1, and no score could rank them.) With ``samples=S`` it
        has M·S rows, the member slowest. A single network has M = 1.

    Raises:
        TypeError: inputs that are not a tensor of the network's type, numbers that are none.
        ValueError: empty or non-finite inputs, a network that returns NaN or no logits of each
            example, ``samples`` or ``batch_size`` below 1, ``samples`` asked of a network without
            random weights.
    """
    check_inputs(model, x)
    batch_size = checks.whole("batch_size", batch_size)
    if samples is not None:
        samples = checks.whole("samples", samples)
        if not _stochastic_modules(model):
            raise ValueError("samples was given, but the network has no random weights")

    with evaluation_mode(model, sampling=samples is not None), seeded(seed):
        rows = [_forward(model, x, batch_size) for _ in range(samples or 1)]  # S of (M, N, C)
    log_probs = torch.stack(rows, dim=1).flatten(0, 1)  # (M, S, N, C) -> (M·S, N, C)
    if log_probs.isnan().any():
        raise ValueError("the network returned NaN")
    return log_probs


def _forward(model, x, batch_size):
    """One pass over all of ``x``: log-probabilities (M, N, C)."""
    axis, (_, device) = example_axis(x), dtype_and_device(model, x)
    batches = x.split(batch_size, axis)
    logits = [_logits(model(batch.to(device)), batch.shape[axis]) for batch in batches]
    return torch.cat(logits, dim=1).double().log_softmax(-1)


def _logits(output, n):
    """What a network returned for ``n`` examples, as logits (M, n, C) on the CPU."""
    shape = type(output).__name__
    if isinstance(output, torch.Tensor):
        output = output[None] if output.ndim == 2 else output  # one member
        if output.ndim == 3 and output.shape[1] == n:
            return output.cpu()
        shape = f"shape {tuple(output.shape)}"
    raise ValueError(
        f"the network returned {shape} for {n} examples, where logits (N, C) or (M, N, C) are "
        "expected"
    )


def _stochastic_modules(model):
    """The modules of a network that can draw at random."""
    return [module for module in model.modules() if hasattr(module, "sampling")]


@contextmanager
def evaluation_mode(model, sampling=False):
    """Evaluation mode, with or without random weights; afterwards everything is as before.

    Other threads wait until then: the mode of a network that they share is one for all of them.
    """
    with LOCK:
        modes = [(module, module.training) for module in model.modules()]
        draws = [(module, module.sampling) for module in _stochastic_modules(model)]
        try:
            model.eval()
            for module, _ in draws:
                module.sampling = sampling
            yield
        finally:
            for module, mode in modes:
                module.training = mode
            for module, draw in draws:
                module.sampling = draw

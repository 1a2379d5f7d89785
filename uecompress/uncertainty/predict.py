"""From any network to its predictive distribution, log-probabilities of every class."""

from contextlib import contextmanager

import torch

from uecompress.networks import check_inputs


@torch.no_grad()
def predict(model, x, *, samples=None, seed=0, batch_size=1000):
    """The log-probabilities that a network gives to every class of every example.

    A module that can draw its weights or its noise at random carries a boolean attribute
    ``sampling``. Without ``samples`` it is left False and such a network predicts with its mean.

    Args:
        model: a network with logits (N, C), or an ensemble with logits (M, N, C). Its mode and its
            weights are left as they are; it predicts in evaluation mode.
        x: inputs (N, ...).
        samples: passes with random weights, each of which gives a row for every member.
        seed: of the random weights; the caller's random state is untouched.
        batch_size: examples that go through the network at once.

    Returns:
        A float64 tensor (M, N, C) on the CPU, normalized over C. (In float32 the most confident
        predictions would all be exactly 1, and no score could rank them.) With ``samples=S`` it
        has M·S rows, the member slowest. A single network has M = 1.

    Raises:
        TypeError: inputs that are not a tensor of the network's type.
        ValueError: empty or non-finite inputs, a network that returns NaN or no logits of each
            example, ``samples`` below 1 or asked of a network without random weights.
    """
    check_inputs(model, x)
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}")
    if samples is not None:
        if samples < 1:
            raise ValueError(f"samples must be at least 1, not {samples}")
        if not stochastic_modules(model):
            raise ValueError("samples was given, but the network has no random weights")

    with evaluation_mode(model, sampling=samples is not None), torch.random.fork_rng():
        torch.manual_seed(seed)
        rows = [forward(model, x, batch_size) for _ in range(samples or 1)]  # S of (M, N, C)
    per_member = x.ndim == 5  # one batch for each member, as networks.Ensemble takes it
    if rows[0].ndim != 3 or (rows[0].shape[1] != len(x) and not per_member):
        raise ValueError(
            f"the network returned shape {tuple(rows[0].shape)} for {len(x)} examples, where "
            "logits (N, C) or (M, N, C) are expected"
        )
    log_probs = torch.stack(rows, dim=1).flatten(0, 1)  # (M, S, N, C) -> (M·S, N, C)
    if log_probs.isnan().any():
        raise ValueError("the network returned NaN")
    return log_probs


def forward(model, x, batch_size):
    """One pass over all of ``x``: log-probabilities (M, N, C)."""
    device = next((p.device for p in model.parameters()), x.device)
    logits = torch.cat([model(batch.to(device)).cpu() for batch in x.split(batch_size)], dim=-2)
    if logits.ndim == 2:
        logits = logits[None]  # one member
    return logits.double().log_softmax(-1)


def stochastic_modules(model):
    """The modules of a network that can draw at random."""
    return [module for module in model.modules() if hasattr(module, "sampling")]


@contextmanager
def evaluation_mode(model, sampling=False):
    """Evaluation mode, with or without random weights; afterwards everything is as before."""
    modes = [(module, module.training) for module in model.modules()]
    draws = [(module, module.sampling) for module in stochastic_modules(model)]
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

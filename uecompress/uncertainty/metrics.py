"""Numbers and scores read off a predictive distribution.

Everything takes ``log_probs`` (M, N, C), as :func:`uecompress.uncertainty.predict` returns it, and
looks at the mean prediction: probabilities are averaged over members, not logits.
"""

import math

import numpy as np
import torch


def mean_log_probs(log_probs):
    """Log of the mean prediction: log p̄ = log (1/M) Σₘ pₘ, a tensor (N, C)."""
    log_probs = check_log_probs(log_probs)
    if len(log_probs) == 1:
        return log_probs[0]
    return log_probs.logsumexp(0) - math.log(len(log_probs))


def accuracy(log_probs, y):
    """The share of examples whose most probable class is the label, in [0, 1]."""
    log_p, y = mean_log_probs(log_probs), check_labels(log_probs, y)
    return (log_p.argmax(-1) == y).double().mean().item()


def nll(log_probs, y):
    """The negative log-likelihood −(1/N) Σ log p̄(y), in nats; infinite where p̄(y) = 0."""
    log_p, y = mean_log_probs(log_probs), check_labels(log_probs, y)
    return -log_p.double().gather(-1, y[:, None]).mean().item()


def brier(log_probs, y):
    """The Brier score (1/N) Σ ‖p̄ − onehot(y)‖², in [0, 2].

    It is summed over classes, as Brier (1950) defined it; some papers divide it by C.
    """
    p, y = mean_log_probs(log_probs).double().exp(), check_labels(log_probs, y)
    onehot = torch.nn.functional.one_hot(y, p.shape[-1])
    return (p - onehot).square().sum(-1).mean().item()


def entropy(log_probs):
    """The entropy of the mean prediction, H(p̄) = −Σ p̄ log p̄, in nats: a tensor (N,)."""
    return torch.special.entr(mean_log_probs(log_probs).exp()).sum(-1)


def expected_entropy(log_probs):
    """The mean over members of the entropy of each, (1/M) Σₘ H(pₘ), in nats: a tensor (N,)."""
    return torch.special.entr(check_log_probs(log_probs).exp()).sum(-1).mean(0)


def mutual_information(log_probs):
    """What the members disagree about, H(p̄) − (1/M) Σₘ H(pₘ) ≥ 0, in nats: a tensor (N,)."""
    return (entropy(log_probs) - expected_entropy(log_probs)).clamp(min=0)


def max_probability_score(log_probs):
    """One minus the probability of the most probable class: a tensor (N,).

    It is the sum over the other classes. The difference would be 0 wherever they have less than
    1e-16 together, and such predictions could not be ranked.
    """
    p = mean_log_probs(log_probs).exp()
    return p.scatter(-1, p.argmax(-1, keepdim=True), 0).sum(-1)


def check_log_probs(log_probs):
    """``log_probs`` as a tensor of floating-point numbers.

    Raises:
        TypeError: those of :func:`real_tensor`.
        ValueError: not a non-empty (M, N, C) of logs of distributions.
    """
    log_probs = real_tensor("log_probs", log_probs)
    if not log_probs.is_floating_point():
        log_probs = log_probs.double()
    if log_probs.ndim != 3 or 0 in log_probs.shape:
        raise ValueError(
            "log_probs must be a non-empty (members, examples, classes), "
            f"not shape {tuple(log_probs.shape)}"
        )
    totals = (part.exp().sum(-1) for part in log_probs.split(10_000, dim=1))  # fits the cache
    off = sum((~((total - 1).abs() < 1e-3)).sum().item() for total in totals)  # NaN included
    if off:
        raise ValueError(f"{off} rows of log_probs are not logs of probabilities that sum to 1")
    return log_probs


def check_labels(log_probs, y):
    """``y`` as a tensor of whole numbers.

    Raises:
        TypeError: those of :func:`real_tensor`.
        ValueError: it does not hold a class of ``log_probs`` for each example.
    """
    y = real_tensor("y", y)
    examples, classes = log_probs.shape[1:]
    if y.shape != (examples,):
        raise ValueError(f"y must have shape ({examples},), not {tuple(y.shape)}")
    if y.is_floating_point() or y.min() < 0 or y.max() >= classes:
        raise ValueError(f"labels must be whole numbers in 0..{classes - 1}")
    return y.long()


def real_tensor(name, values):
    """Numbers of any kind as a tensor.

    Raises:
        TypeError: no numbers, complex ones, or a masked array, whose mask would be lost.
    """
    if isinstance(values, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array: choose the entries that count first")
    try:
        tensor = torch.as_tensor(values)
    except (RuntimeError, TypeError, ValueError):
        raise TypeError(f"{name} must be numbers, not {type(values).__name__}") from None
    if tensor.is_complex():
        raise TypeError(f"{name} must be real numbers, not {tensor.dtype}")
    return tensor

"""Doubt from the size of the logits, which softmax forgets.

Source: Liu, Wang, Owens & Li, Energy-based Out-of-distribution Detection (NeurIPS 2020), at T = 1.
"""

from torch import nn
from torch.nn import functional as F

from uecompress.uncertainty.predict import predict


def energy(model, x, *, samples=None, seed=0, batch_size=1000):
    """The free energy −log Σ_c exp f_c(x) of each example (eq. 4), in nats: a tensor (N,).

    Higher = more uncertain, as for every score (the paper's detector looks at the negative energy).
    f are the logits, so that the score depends on the network and not on its prediction alone.
    The energies of the members, and of the samples, are averaged: each has logits on a scale of its
    own, and a mean of logits would be the energy of no member.

    Args:
        model: a network with logits (N, C) or an ensemble with (M, N, C); it is not changed.
        x: inputs (N, ...).
        samples, seed, batch_size: as in :func:`predict`.

    Raises:
        TypeError, ValueError: those of :func:`predict`.
    """
    log_probs = predict(
        _OneClassMore(model), x, samples=samples, seed=seed, batch_size=batch_size
    )  # (M·S, N, C + 1)
    logits = log_probs[..., :-1] - log_probs[..., -1:]
    return -logits.logsumexp(-1).mean(0)


class _OneClassMore(nn.Module):
    """A network with a further class whose logit is always 0: all others are relative to it."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return F.pad(self.network(x), (0, 1))  # (..., C) -> (..., C + 1)

"""Minimum description length: which network tells the data in the fewest bits."""

import math
from dataclasses import dataclass

from uecompress import checks, uncertainty


@dataclass(frozen=True)
class DescriptionLength:
    """The three parts of a message that carries the labels of a data set, each in bits.

    ``structure`` is L(f), ``weights`` is L(w* | f), ``data`` is L(D | w*, f), and ``total`` is
    their sum. The inputs x are known to both sides and cost nothing.

    Raises:
        TypeError: a part that is no number.
        ValueError: a part that is negative or not finite.
    """

    structure: float
    weights: float
    data: float

    def __post_init__(self):
        for name in ("structure", "weights", "data"):
            checks.within(name, getattr(self, name), 0, math.inf, open_high=True)

    @property
    def total(self):
        """L(f) + L(w* | f) + L(D | w*, f)."""
        return self.structure + self.weights + self.data


def description_length(log_probs, y, *, structure_bytes, weight_bytes):
    """The length of the two-part code: the network first, then the labels, given the network.

    An entropy coder that knows the network's probabilities spends −log₂ p(y | x) bits on a label,
    and two bits at most on the whole message beyond that. So the data's part is the negative
    log-likelihood of all examples in bits.

    For a variational network the bits-back argument replaces the weights' part: they cost
    KL(q ‖ p) / log 2 bits, and the total is −ELBO / log 2.

    Args:
        log_probs: of the data to be told, (M, N, C), from :func:`uncertainty.predict
            <uecompress.uncertainty.predict>`.
        y: labels (N,).
        structure_bytes: size of the description of the architecture.
        weight_bytes: size of the weights as they are stored.

    Raises:
        TypeError: a size that is no number, ``log_probs`` that are no floating-point numbers.
        ValueError: a size that is negative or not finite; labels that do not fit ``log_probs``, or
            have probability 0, so that no code tells them.
    """
    sizes = {"structure_bytes": structure_bytes, "weight_bytes": weight_bytes}
    for name, size in sizes.items():
        checks.within(name, size, 0, math.inf, open_high=True)
    checks.floating(log_probs=log_probs)
    nats = uncertainty.nll(log_probs, y) * len(y)
    return DescriptionLength(8 * structure_bytes, 8 * weight_bytes, nats / math.log(2))

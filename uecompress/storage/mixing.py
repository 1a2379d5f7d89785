"""Binary predictions from counts, mixed in the logistic domain; integers throughout.

This is the idea of PAQ (Mahoney, 2005): several models of the next binary decision, each a table of
how often it was 1 in some context, are averaged as logits with weights that learn online which of
the models to trust. A probability p is kept as p · 65536, a logit as 256 log(p / (1 − p)), a weight
as w · 65536. Sums and quotients of integers are the same on every machine, and so is a file.
"""

import functools
import math
from decimal import Decimal, localcontext

import numpy as np

LIMIT = 2047  # of a logit, 256 times 8: probabilities stay within 1/2980 and 1 − 1/2980
_FIRST, _OTHERS = 16, 3  # observations that what is expected counts for, in the contexts


@functools.cache
def _tables():
    """The logistic function on −LIMIT … LIMIT, and its inverse at (p + ½)/4096, as integers.

    ``decimal`` rounds correctly, whatever the machine.
    """
    with localcontext(prec=30):
        step, e, squash = (Decimal(1) / 256).exp(), Decimal(1), []
        for _ in range(LIMIT + 1):
            squash.append(int((65536 * e / (1 + e)).to_integral_value()))
            e *= step
    squash = np.array([65536 - p for p in squash[:0:-1]] + squash)
    stretch = np.searchsorted(squash, np.arange(8, 65536, 16)) - LIMIT
    return squash, np.minimum(stretch, LIMIT)


def squash(x):
    """65536 / (1 + exp(−x/256)), rounded, of an array of integers; those are clipped to ±LIMIT."""
    return _tables()[0].take(x + LIMIT, mode="clip")


class Mixer:
    """Predictions of binary decisions, which learn from what the decisions turn out to be.

    Args:
        nodes: number of kinds of decision; each has counts of its own in every context.
        contexts: how many values each of the contexts takes; the first refines the expectation
            that comes with a decision, the others refine the result.
        weights: integer array (sets of weights, 1 + number of contexts), those at the start.
    """

    def __init__(self, nodes, contexts, weights):
        sizes = np.array(contexts)
        self._sizes = sizes[:, None]
        self._starts = nodes * (np.cumsum(sizes) - sizes)[:, None]
        # What was seen in each context of each kind: decisions, and decisions that were 1.
        self._seen = np.zeros(nodes * sizes.sum(), np.int64)
        self._ones = np.zeros(nodes * sizes.sum(), np.int64)
        self._weights = np.array(weights, np.int64)

    def predict(self, which, node, context, expected):
        """Probabilities (n,) of 1 for n decisions at once, as integers below 65536.

        Args:
            which: the set of weights.
            node: (n,), the kind of each decision.
            context: (contexts, n), the values of its contexts.
            expected: (n,), the probability that is expected where nothing was seen yet.
        """
        at = self._starts + node * self._sizes + context
        seen, ones = self._seen.take(at), self._ones.take(at)
        p = np.empty((1 + len(at), len(node)), np.int64)
        p[0] = expected
        p[1] = ((ones[0] << 16) + _FIRST * expected) // (seen[0] + _FIRST)
        p[2:] = ((ones[1:] << 16) + _OTHERS * p[1]) // (seen[1:] + _OTHERS)
        logits = _tables()[1].take(p >> 4)
        mixed = squash(self._weights[which] @ logits >> 16)
        self._last = which, at, logits, mixed
        return mixed

    def learn(self, bits):
        """What the decisions of the last ``predict`` were: an array (n,) of 0 and 1.

        The weights follow the gradient of the code length, with a step of 1/64 for one decision
        and of 1/64 √n for n decisions together.
        """
        which, at, logits, mixed = self._last
        gradient = logits @ ((bits << 16) - mixed)
        self._weights[which] += gradient // (4096 * math.isqrt(16 * len(bits)))
        np.add.at(self._seen, at, 1)
        np.add.at(self._ones, at[:, bits > 0], 1)

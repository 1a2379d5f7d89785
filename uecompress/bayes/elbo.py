"""The evidence lower bound as a loss, and its Kullback-Leibler term."""

import math

from uecompress import checks
from uecompress.networks import Ensemble
from uecompress.training import cross_entropy


def kl(model):
    """KL(posterior ‖ prior) of a whole network in nats: the sum of ``kl()`` of its layers.

    Args:
        model: a network, or a single layer; each module with a method ``kl`` counts once.

    Raises:
        ValueError: no module has a ``kl``.
    """
    terms = [module.kl() for module in model.modules() if hasattr(module, "kl")]
    if not terms:
        raise ValueError("the network has no variational layer")
    return sum(terms)


def elbo_loss(num_examples, warm_up=None):
    """The loss −ELBO / N for :func:`training.fit <uecompress.training.fit>`.

    −ELBO = Σₙ E[−log p(yₙ | xₙ, w)] + KL(q ‖ p). A batch estimates the mean of the N first terms,
    hence the KL is divided by N too: not by the size of the batch, and not left whole. Of an
    ensemble it is the mean over the members of their −ELBO / N.

    Args:
        num_examples: N, the number of training examples.
        warm_up: the weight of the KL. None for 1 throughout; a pair (start, end) of training
            progress in [0, 1], between which it rises from 0 to 1; or a function of progress.

    Returns:
        ``loss(model, x, y, progress)``, a scalar in nats per example.

    Raises:
        TypeError: ``num_examples`` is no number, ``warm_up`` nothing of the above.
        ValueError: ``num_examples`` is not whole or below 1; a pair that is not
            0 ≤ start ≤ end ≤ 1; in training, a weight that is negative or not finite.
    """
    num_examples = checks.whole("num_examples", num_examples)
    weight = _warm_up_weight(warm_up)

    def loss(model, x, y, progress):
        ensembles = [module for module in model.modules() if isinstance(module, Ensemble)]
        members = len(ensembles[0].members) if ensembles else 1
        misfit = cross_entropy(model, x, y, progress)
        share = checks.within("weight of the KL", weight(progress), 0, math.inf, open_high=True)
        return misfit + share * kl(model) / (members * num_examples)

    return loss


def _warm_up_weight(warm_up):
    """The weight of the KL as a function of training progress."""
    if warm_up is None:
        return lambda progress: 1.0
    if callable(warm_up):
        return warm_up
    if not isinstance(warm_up, tuple | list) or len(warm_up) != 2:
        raise TypeError(f"warm_up must be None, a pair or a function, not {warm_up!r}")
    start = checks.within("the start of warm_up", warm_up[0], 0, 1)
    end = checks.within("the end of warm_up", warm_up[1], start, 1)
    if start == end:
        return lambda progress: float(progress >= start)
    return lambda progress: min(max((progress - start) / (end - start), 0.0), 1.0)

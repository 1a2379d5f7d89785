"""The exercises of "Compressed ensembles"."""

import numpy as np
from scipy import stats

from uecompress import data, lowrank, networks, uncertainty
from uecompress.exercises.function import Function
from uecompress.exercises.number import Number


def tucker():
    """The largest rank at which Tucker-2 is smaller than 128 × 128 kernels of 3 × 3."""
    return Number(
        114,
        {
            "this is the SVD of the unfolded kernel, 128 × 1152": 115,
            "the middle convolution has 3 · 3 · r · r weights, not r · r": 276,
            "the two 1 × 1 convolutions have weights too": 127,
        },
    )


def potential():
    """The smallest rank that a metric allows."""
    return Function(
        _potential,
        [
            ([100, 50, 25, 10, 5], _losses([0.0, 0.0010, 0.0018, 0.0040, 0.0100]), 0.002),
            ([100, 50, 25, 10, 5], _losses([0.0, 0.0010, 0.0014, 0.0040, 0.0100]), 0.002),
            ([100, 50, 25, 10], _losses([-0.001, 0.0005, 0.0040, 0.0001]), 0.002),
            ([10, 25, 50, 100], _losses([0.009, 0.0014, 0.0005, 0.0]), 0.002),
            ([100, 50, 25], _losses([0.0, 0.00145, 0.00165], seeds=3), 0.002),
            ([100, 50, 25], _losses([0.0, -0.0030, 0.0030]), 0.002),
            ([64, 32, 16], _losses([0.0, 0.0010, 0.0012]), 0.002),
        ],
        {
            "this compares the mean loss; take the upper end of its interval": _changed(t=0),
            "this is the two-sided interval, 0.975: a rank may well lose less": _changed(
                level=0.975
            ),
            "these are ranks that are allowed alone: the first that is not ends the search": (
                _changed(stop=False)
            ),
            "divide the standard deviation by √n: the mean has an interval, not a seed": (
                _changed(root=False)
            ),
            "with few seeds take Student's t, with n − 1 degrees of freedom, not 1.645": (
                _changed(t=1.645)
            ),
            "a gain is no loss: do not take absolute values": lambda ranks, losses, tolerance: (
                _potential(ranks, abs(losses), tolerance)
            ),
        },
        show=lambda ranks, losses, tolerance: (
            f"ranks {ranks}, mean losses {losses.mean(0).round(5).tolist()} over {len(losses)} "
            f"seeds and tolerance {tolerance}"
        ),
    )


def _losses(means, seeds=5):
    """Losses (seeds, ranks) with these means and a standard deviation of 0.0005."""
    spread = np.linspace(-1, 1, seeds)
    return np.array(means) + 0.0005 * (spread / spread.std(ddof=1))[:, None]


def _potential(ranks, losses, tolerance, t=None, level=0.95, stop=True, root=True):
    """From the highest rank down, until an upper end is above the tolerance."""
    n, best = len(losses), max(ranks)
    t = stats.t.ppf(level, n - 1) if t is None else t
    for rank, loss in sorted(zip(ranks, losses.T, strict=True), key=lambda pair: -pair[0]):
        half = t * loss.std(ddof=1) / (n**0.5 if root else 1)
        if loss.mean() + half <= tolerance:
            best = rank
        elif stop:
            break
    return best


def _changed(**settings):
    return lambda ranks, losses, tolerance: _potential(ranks, losses, tolerance, **settings)


def energy(model):
    """An ensemble cut by a share of energy to the size of rank 10: accuracy, share of own doubt.

    The second number is the share of the members' own entropies in what the entropy of the mean on
    the test digits has grown by.

    Args:
        model: the dense ensemble of the page.
    """
    same_rank = lowrank.compress(model, rank=10)
    ratio = networks.parameter_count(model) / networks.parameter_count(same_rank)
    same_share = lowrank.compress(model, ratio=ratio)
    own = _own_share(model, same_share)
    return Number(
        [_accuracy(same_share), own],
        {
            "this is the ensemble with rank 10 in every layer": [
                _accuracy(same_rank),
                _own_share(model, same_rank),
            ],
            "this is the ensemble that you began with": [_accuracy(model), own],
            "this is the first member alone; ask the ensemble": [
                _accuracy(same_share.members[0]),
                own,
            ],
            "first the accuracy, then the share": [own, _accuracy(same_share)],
        },
    )


def _own_share(dense, cut):
    """The share of the members' own doubt in the entropy that a cut adds on the test digits."""
    answers = [uncertainty.predict(model, data.load("digits", "test")[0]) for model in (dense, cut)]
    scores = uncertainty.entropy, uncertainty.mutual_information
    total, shared = (score(answers[1]).mean() - score(answers[0]).mean() for score in scores)
    return float(1 - shared / total)


def _accuracy(network):
    images, labels = data.load("digits", "test")
    return uncertainty.accuracy(uncertainty.predict(network, images), labels)

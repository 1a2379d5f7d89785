"""Iterative pruning without training: the scores of what is left, again and again."""

from uecompress import checks
from uecompress.networks import plain
from uecompress.pruning.budget import budget
from uecompress.pruning.masks import layers_of, remove, warn_of_empty
from uecompress.pruning.schedules import densities_at, exponential


def prune_in_rounds(model, score, *, density, rounds=100, schedule=exponential, scope="global"):
    """Score, prune a little, and score again what is left (Tanaka et al., 2020, algorithm 1).

    SynFlow needs it: ``prune_in_rounds(model, partial(scores.synflow, input_shape=(1, 28, 28)),
    density=0.01)``. After round k of n the density is that of the schedule at progress k/n, or what
    it was if that is less. Scores that do not depend on what was removed, such as magnitudes, give
    in n rounds what they give in one.

    Args:
        model: a network; it is not changed.
        score: a function network -> scores.
        density: the final one, as in :func:`prune`.
        rounds: n, at least 1.
        schedule: ``schedule(density, progress)``: :func:`exponential`, :func:`linear`,
            :func:`cubic`.
        scope: as in :func:`prune`.

    Raises:
        TypeError, ValueError: as in :func:`prune`; a number of rounds that is none.

    Warns:
        UserWarning: layers that have lost all their weights, by name.
    """
    final, rounds = budget(density), checks.whole("rounds", rounds)
    network = plain(model)
    for k in range(1, rounds + 1):
        found = score(network)
        layers = layers_of(network, found)
        remove(layers, found, densities_at(schedule, final, k / rounds), scope)
    warn_of_empty(layers)
    return network

"""Pruning after training, once or in rounds: magnitudes and lottery tickets.

A function ``train`` takes a network and gives back a trained copy in which zeros are still zeros:
``lambda network: training.fit(network, data, …, after_step=networks.hold_zeros(network))``.
"""

from uecompress import checks
from uecompress.networks import plain, plain_layers
from uecompress.pruning.budget import budget
from uecompress.pruning.masks import prune, with_zeros_of
from uecompress.pruning.schedules import densities_at, exponential
from uecompress.pruning.scores import magnitude


def one_shot(
    model,
    train,
    score=magnitude,
    *,
    density,
    scope="global",
    tune=None,
):
    """Train, prune once, train again. Before training it would be ``train(prune(model, …))``.

    Args:
        model: a network; it is not changed.
        train: network -> trained copy; zeros stay.
        score: network -> scores, asked of the trained network.
        density: as in :func:`prune`, and so is ``scope``.
        scope: see there.
        tune: what trains the pruned network, if it is not ``train``.

    Raises:
        TypeError, ValueError: as in :func:`prune`; training that loses zeros.
    """
    density = budget(density)
    trained = _trained(train, model)
    pruned = prune(trained, score(trained), density=density, scope=scope)
    return _trained(tune or train, pruned)


def lottery_tickets(
    model,
    train,
    *,
    rounds,
    density,
    scope="layer",
    score=magnitude,
    reset=True,
):
    """Iterative magnitude pruning (Frankle and Carbin, 2019): train, prune, reset, in rounds.

    Each of n rounds keeps the share d^(1/n) of the weights that are left, and the last leaves d.
    (To remove the share p^(1/n) in each would leave almost nothing.) The paper prunes layer by
    layer, 20 % in each round and 10 % of the last layer: ``density={"linear1": 0.8**n, …,
    "linear3": 0.9**n}``.

    The survivors go back to the weights of ``model``, with everything else that it holds, batch
    norms included. For rewinding (Frankle et al., 2020), ``model`` is what ``training.fit`` made of
    the first k steps. A fit of its own begins with a new optimizer and order of examples. For newly
    drawn weights, take :func:`with_zeros_of` of another network and the ticket.

    Args:
        model: a network; it is not changed.
        train: network -> trained copy; zeros stay.
        rounds: n, at least 1.
        density: of the last ticket, as in :func:`prune`, and so is ``scope``.
        scope: see there.
        score: network -> scores, asked of each round's trained network.
        reset: False leaves the survivors trained (Han et al., 2015).

    Yields:
        One pair for each round: the trained network, and the ticket that is left of it, which the
        next round trains.

    Raises:
        TypeError, ValueError: as in :func:`prune`; training that loses zeros.
    """
    final, rounds = budget(density), checks.whole("rounds", rounds)
    ticket = model
    for k in range(1, rounds + 1):
        trained = _trained(train, ticket)
        now = densities_at(exponential, final, k / rounds)
        ticket = prune(trained, score(trained), density=now, scope=scope)
        if reset:
            ticket = with_zeros_of(model, ticket)
        yield trained, ticket


def _trained(train, network):
    """What ``train`` makes of a network, where it has kept the zeros."""
    trained = train(network)
    layers = plain_layers(plain(trained))
    for name, layer in plain_layers(plain(network)).items():
        zero = layer.weight == 0
        if name not in layers or layers[name].weight[zero.to(layers[name].weight.device)].any():
            raise ValueError(
                f"training has lost zeros of {name!r}: train with "
                "after_step=networks.hold_zeros(network)"
            )
    return trained

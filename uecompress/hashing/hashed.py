"""A whole network hashed, and M hashed networks that share one set of buckets."""

from uecompress import checks, pinned
from uecompress.hashing.layers import HashedConv2d, HashedLinear
from uecompress.hashing.replacing import foreign_padding, replaced
from uecompress.networks import Ensemble, plain_layers
from uecompress.randomness import seeded


def hashed(model, *, ratio, folds=1, reduce="sum", sign=True, seed):
    """Draws new weights: a copy of a network whose weights share buckets, from ``seed=``.

    Every Linear and Conv2d layer becomes a :class:`HashedLinear` or :class:`HashedConv2d` with a
    hash function of its own. Its buckets and biases are drawn, and they are trained, also where the
    weights of ``model`` were frozen. Layers that are not plain (see :func:`networks.plain_layers
    <uecompress.networks.plain_layers>`) are left alone with a warning; batch norms and whatever
    else the network has keep what they hold.

    Args:
        model: a network or an ensemble; it is not changed, and its weights are not used.
        ratio: weights of each layer for each of its buckets, at least 1.
        folds: buckets that make a weight, each from a pool of its own; the pools of a layer have
            n / ratio buckets in all.
        reduce: "sum", "product", "max" or "min" of them.
        sign: whether weights have random signs.
        seed: of the hash functions and of the buckets' first values, from 0 to 2⁶³ − 1.

    Raises:
        TypeError: an argument that is no number, a ``sign`` that is not True or False.
        ValueError: one that is out of range; a ratio that leaves a layer fewer buckets than folds;
            an unknown ``reduce``; a network without plain Linear or Conv2d layers.
    """
    layers = plain_layers(model, unless=foreign_padding)
    settings = {"ratio": ratio, "folds": folds, "reduce": reduce, "sign": sign}
    return _members(model, layers, 1, settings, seed)[0]


def hashed_ensemble(model, *, ratio, num_estimators, folds=1, reduce="sum", sign=True, seed):
    """Draws new weights: M hashed networks from ``seed=`` that share their buckets, as an ensemble.

    The members read the buckets of each layer through hash functions of their own, so that M
    networks need the buckets of one. Biases, and whatever is not hashed, each member has for
    itself. They are trained jointly, by :func:`training.fit <uecompress.training.fit>` of the
    ensemble: the gradient of a bucket is the sum over all members. Member 0 starts as
    :func:`hashed` does with the same arguments.

    Args:
        model: one network; it is not changed, and its weights are not used.
        ratio: weights of a layer in one member for each bucket, at least 1.
        num_estimators: the number of members M.
        folds: as in :func:`hashed`.
        reduce: as in :func:`hashed`.
        sign: as in :func:`hashed`.
        seed: as in :func:`hashed`.

    Returns:
        A :class:`networks.Ensemble <uecompress.networks.Ensemble>`, whose forward gives logits
        (M, N, C).

    Raises:
        TypeError, ValueError: those of :func:`hashed`; ``num_estimators`` that is not a whole
            number of at least 1.
    """
    count = checks.whole("num_estimators", num_estimators)
    layers = plain_layers(model, unless=foreign_padding)
    settings = {"ratio": ratio, "folds": folds, "reduce": reduce, "sign": sign}
    members = _members(model, layers, count, settings, seed)
    for name in layers:
        first, *others = (member.get_submodule(name) for member in members)
        for layer in others:
            layer.buckets = first.buckets
    return Ensemble(members).train(model.training)


def _members(model, layers, count, settings, seed):
    """Hashed networks, each layer of each with a hash seed and with buckets of its own."""
    seeds = iter(pinned.integers(seed, count * len(layers), 2**32).tolist())
    members = []
    with seeded(seed):
        for _ in range(count):
            own = {name: settings | {"seed": next(seeds)} for name in layers}
            members.append(replaced(model, own, HashedLinear, HashedConv2d))
    return members

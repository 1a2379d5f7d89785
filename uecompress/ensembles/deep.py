"""Deep ensembles (Lakshminarayanan et al., 2017): the same network, trained M times from M starts.

The mean of their probabilities is the prediction. Averaging logits instead would be another model.
"""

from functools import partial

import torch
from torch.nn import functional as F

from uecompress import training
from uecompress.ensembles.stacked import Stacked, stackable
from uecompress.networks import Ensemble, dtype_and_device, example_axis

# Adam in one pass over the weights: stacked ones are too many for the cache, so passes cost time.
fused_adam = partial(torch.optim.Adam, fused=True)


def fit_ensemble(
    models,
    data,
    *,
    epochs,
    batch_size,
    lr,
    seeds,
    optimizer=fused_adam,
    progress=True,
):
    """Train M networks at once, each on all the data, and return their ensemble.

    Member m starts from the weights of ``models[m]`` and sees the examples in the order that
    ``seeds[m]`` gives it, so it becomes the network that :func:`uecompress.training.fit` makes of
    ``models[m]`` with that seed, up to rounding. Only the dropout masks are others: independent
    of one another, all drawn from ``seeds[0]``. Networks of convolutions, with weights used twice,
    or that differ in more than their numbers (see :func:`stackable`), are trained by ``fit`` one
    after another. One network may be given several times, as a common start.

    Args:
        models: the M networks to start from, which are not changed.
        data: inputs ``x`` (N, ...), the same for all, and labels ``y`` (N,) int64.
        epochs: passes over the data, at least 1.
        batch_size: examples per step of each member, at least 1.
        lr: the learning rate, a number or a function of training progress in [0, 1).
        seeds: M integers.
        optimizer: called as ``optimizer(parameters, lr=...)``; Adam if not given. It has to treat
            every number by itself, as Adam and SGD do, because it sees the stacked weights.
        progress: show a bar, on a terminal only.

    Returns:
        A :class:`networks.Ensemble <uecompress.networks.Ensemble>` of ordinary networks, in
        evaluation mode.

    Raises:
        ValueError: no models, not one seed for each, models that share weights with each other (a
            common trunk is trained by ``fit`` of their ``Ensemble``); and what ``fit`` raises.
        FloatingPointError: as ``fit``, here if any member's loss is not finite.
    """
    models, seeds = list(models), list(seeds)
    if not models or len(seeds) != len(models):
        raise ValueError(f"{len(models)} models need one seed each, and {len(seeds)} were given")
    settings = {"epochs": epochs, "batch_size": batch_size, "lr": lr}
    settings |= {"optimizer": optimizer, "progress": progress}
    x, y = training.check_data(models[0], data)
    training.check_labels(models[0], x, y)
    if example_axis(x):
        raise ValueError("x must hold the same examples for all members, (N, ...), not five axes")
    _refuse_ties(models)
    if not stackable(models, x):
        trained = [
            training.fit(model, data, seed=seed, **settings)
            for model, seed in zip(models, seeds, strict=True)
        ]
        return Ensemble(trained).eval()

    stacked = Stacked(models)
    batches = _own_batches(len(x), batch_size, epochs, seeds)
    _, device = dtype_and_device(stacked, x)
    inputs, labels = x.to(device), y.to(device)

    def loss(stacked, x, y, progress):  # the examples that fit() offers are the same for all
        rows = next(batches)  # (M, B)
        logits = stacked.layers(inputs[rows])  # (M, B, C)
        total = F.cross_entropy(logits.flatten(0, 1), labels[rows].flatten(), reduction="sum")
        return total / rows.shape[1]  # a sum over members: each has the gradient it has alone

    trained = training.fit(stacked, data, seed=seeds[0], loss=loss, **settings)
    return Ensemble(trained.members(models)).eval()


def _own_batches(n, batch_size, epochs, seeds):
    """The positions (M, B) of each member's examples, step by step, as ``fit`` would order them."""
    orders = [training.batches(n, batch_size, seed, epochs) for seed in seeds]
    for epoch in zip(*orders, strict=True):  # a tuple of batches for each member
        yield from map(torch.stack, zip(*epoch, strict=True))


def _refuse_ties(models):
    """An error where two of the networks share a tensor: trained apart, they would part."""
    owners = {}
    for m, model in enumerate(models):
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if owners.setdefault(id(tensor), model) is not model:
                raise ValueError(
                    f"models[{m}] shares {name!r} with another model, and members that are trained "
                    "each by itself cannot: train networks.Ensemble(models) with training.fit"
                )

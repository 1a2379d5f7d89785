"""Network Slimming (Liu et al., 2017): the scales of batch norms say which channels matter.

A batch norm is γ x̂ + β for each channel. Training with an L1 penalty on γ drives the scales of
superfluous channels to zero. A channel goes with its γ *and* its β: with γ alone it would still
give the constant β. The norm may stand behind the layer that makes the channel, as in the paper's
VGG, or before the one that reads it, as in ResNet-164 and in this course's MLP and CNN; it is the
same channel, with one norm on its way.

    trained = training.fit(model, data, loss=slimming_loss(model, 1e-4), ...)
    slim = networks.shrink(prune_units(trained, gamma_scores(trained), density=0.3))

After that the scale can be merged: :func:`networks.fuse_batch_norm
<uecompress.networks.fuse_batch_norm>`, which needs norms without zeros in γ, and so the smaller
network.
"""

import math

from uecompress import checks
from uecompress.pruning.choosing import per_unit
from uecompress.pruning.structured import unit_groups
from uecompress.training import cross_entropy


def slimming_loss(model, strength, *, loss=cross_entropy):
    """The loss with an L1 penalty on the scales, eq. (1): L + λ Σ ``|γ|``.

    The sum is over the batch norms that :func:`gamma_scores` asks, not over one before the first
    layer, whose channels are the pixels. Steps along the gradient bring a γ near zero and not to
    it; which channels go is a matter of rank. Weight decay, which the authors' code puts on γ too,
    is the optimizer's.

    Args:
        model: the network that will be trained.
        strength: λ, at least 0. The paper has 1e-4 and 1e-5.
        loss: the loss without the penalty, as in :func:`training.fit <uecompress.training.fit>`.

    Returns:
        ``penalized(model, x, y, progress)``, for ``training.fit``.

    Raises:
        TypeError: ``strength`` is no number.
        ValueError: it is negative or not finite; no batch norm whose channels could be removed.
    """
    strength = checks.within("strength", strength, 0, math.inf, open_high=True)
    norms = [norm for group in _slimmable(model).values() for norm in group.norms]

    def penalized(trained, x, y, progress):
        scales = [trained.get_submodule(norm).weight.abs().sum() for norm in norms]
        return loss(trained, x, y, progress) + strength * sum(scales)

    return penalized


def gamma_scores(model):
    """``|γ|`` of each channel, for :func:`~uecompress.pruning.prune_units`.

    Where a sum ties channels that have several norms, or images are flattened before the norm, a
    channel has several γ, and its score is their mean.

    γ is a matter of gauge: to multiply γ and β by a number, and divide the weights that read them,
    changes nothing but the ranks. So compare layers with one another only as they were trained, or
    choose within each (``scope="layer"``).

    Args:
        model: a network.

    Returns:
        A dict: name of a group, as in :func:`~uecompress.pruning.unit_groups` -> scores (units,).
        Groups without a norm have none.

    Raises:
        ValueError: no batch norm whose channels could be removed.
    """
    return {
        name: per_unit(
            [(model.get_submodule(norm).weight.abs(), 0, of) for norm, of in group.norms.items()],
            group.units,
            "mean",
        )
        for name, group in _slimmable(model).items()
    }


def _slimmable(model):
    """The groups of units that have batch norms with scales on their way."""
    found = {}
    for name, group in unit_groups(model).items():
        norms = {n: of for n, of in group.norms.items() if model.get_submodule(n).affine}
        if norms:
            found[name] = group._replace(norms=norms)
    if not found:
        raise ValueError("the network has no batch norm with scales whose channels could go")
    return found

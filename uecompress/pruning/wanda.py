"""Wanda (Sun et al., 2024): a weight counts as much as what it multiplies."""

import torch

from uecompress import checks, training
from uecompress.networks import plain
from uecompress.networks.given import input_sums
from uecompress.pruning.masks import layers_of


def wanda(model, batch):
    """Weights and activations, eq. (1): ``|W_ij| · ‖X_j‖₂``.

    X_j is what input j of the layer was over the batch, in a Conv2d the entry of the kernel over
    all patches. The paper compares weights of one output with one another: :func:`prune_rows`. It
    is what :func:`obs_scores` is for inputs that are not correlated. Weights of inputs that were
    zero in the whole batch have the score 0: pixels without ink go first, whatever they may show
    one day.

    Args:
        model: a network; it is not changed, and scored in evaluation mode.
        batch: inputs (N, ...) and targets, which are not used.

    Returns:
        A dict: dotted name of each plain Linear and Conv2d layer -> a tensor like its weight,
        float64.

    Raises:
        TypeError, ValueError: data that ``training.fit`` would not take; no plain layer, or one
            that the network does not call.
    """
    x, _ = training.check_data(model, batch)
    sums = input_sums(model, x, lambda given: given.square().sum(dim=-1))  # (groups, d)
    network, scores = plain(model), {}
    for name, (squares, _) in sums.items():
        weight = network.get_submodule(name).weight.detach().double()
        # (groups, d) -> (out, d) -> as the weight
        norms = squares.sqrt().repeat_interleave(len(weight) // len(squares), dim=0)
        scores[name] = weight.abs() * norms.view_as(weight)
    return scores


@torch.no_grad()
def prune_rows(model, scores, *, density):
    """A copy of a network in which each output of a layer keeps the same share of its weights.

    Of d weights of an output the round(density · d) with the highest scores stay; of equal scores
    the first.

    Args:
        model: a network; it is not changed.
        scores: a dict: dotted name of a layer -> tensor like its weight, higher = keep. Layers
            that are not named stay whole.
        density: the share that stays, in (0, 1].

    Raises:
        TypeError: a density that is no number, scores that are no tensors of floating-point
            numbers.
        ValueError: a density outside (0, 1], or so low that outputs keep no weight; scores of no
            plain layer, of another shape, or not finite.
    """
    density, result = checks.within("density", density, 0, 1, open_low=True), plain(model)
    for name, layer in layers_of(result, scores).items():
        rows = scores[name].flatten(1).to(layer.weight.device)  # (out, d)
        count = round(density * rows.shape[1])
        if not count:
            raise ValueError(f"{name!r}: of {rows.shape[1]} weights of an output none would stay")
        lowest = rows.sort(dim=1, descending=True, stable=True).indices[:, count:]
        gone = torch.zeros_like(rows, dtype=torch.bool).scatter_(1, lowest, True)
        layer.weight.masked_fill_(gone.view_as(layer.weight), 0)
    return result

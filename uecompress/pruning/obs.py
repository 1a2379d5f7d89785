"""Optimal brain surgery of one layer: a weight goes, and the others make up for it.

A layer W shall become Ŵ with zeros such that its outputs stay, ‖(W − Ŵ) X‖² small. That is a
quadratic function of each row w of W, with the Hessian H = 2 X Xᵀ for every row, and no gradient.
Without w_q the best the others can do (Hassibi and Stork, 1993, eq. 5) is

    δw = −w_q / [H⁻¹]_qq · H⁻¹ e_q,        at the loss        w_q² / (2 [H⁻¹]_qq).

What the batch shows no ink of has H_jj = 0, and its weights go for nothing: a digit's border.
"""

import torch

from uecompress import checks, training
from uecompress.networks import plain, plain_layers
from uecompress.networks.given import grams, hessian, inverse
from uecompress.pruning.masks import keep_top, warn_of_empty


def obs_scores(model, batch, *, damping=0.01):
    """The loss of each weight alone, the others making up for it: w_q² / (2 [H⁻¹]_qq).

    Args:
        model: a network; it is not changed, and scored in evaluation mode.
        batch: inputs (N, ...) and targets, which are not used.
        damping: as in :func:`hessian`.

    Returns:
        A dict: dotted name of each plain Linear and Conv2d layer -> a tensor like its weight,
        float64.

    Raises:
        TypeError, ValueError: as in :func:`hessian`; data that ``training.fit`` would not take; no
            plain layer, or one that the network does not call.
    """
    x, _ = training.check_data(model, batch)
    network, scores = plain(model), {}
    for name, (gram, columns) in grams(model, x).items():
        weight = network.get_submodule(name).weight.detach().double()
        with checks.naming(name):
            inverted = inverse(hessian(gram, columns, damping=damping))
        # (groups, d); an input that was always zero costs nothing, damped or not
        costs = 0.5 / inverted.diagonal(dim1=-2, dim2=-1)
        costs = costs.masked_fill(gram.diagonal(dim1=-2, dim2=-1) == 0, 0)
        rows = costs.repeat_interleave(len(weight) // len(costs), dim=0)
        scores[name] = weight.square() * rows.view_as(weight)
    return scores


@torch.no_grad()
def obs(weight, h, count):
    """Each row without ``count`` weights, of which the cheapest goes first, one after another.

    After each removal the row is the best one with these zeros, and H⁻¹ that of the weights left
    (Frantar and Alistarh, 2022, Algorithm 1). It takes count · d² operations a row.

    Args:
        weight: (rows, d), in float64.
        h: the positive definite Hessian (d, d) that all rows share.
        count: weights to be removed from each row, from 0 to d.

    Raises:
        TypeError: ``count`` is no number.
        ValueError: it is not whole or out of range; a Hessian that is not positive definite.
    """
    count = checks.whole("count", count, 0, weight.shape[1])
    result, start = weight.clone(), inverse(h)
    for w in result:  # a view of each row
        left, gone = start.clone(), torch.zeros(len(h), dtype=torch.bool, device=h.device)
        for _ in range(count):
            diagonal = left.diagonal().masked_fill(gone, 1)
            q = (w.square() / diagonal).masked_fill(gone, torch.inf).argmin()
            column = left[:, q] / left[q, q]
            w -= w[q] * column
            left = left - column[:, None] * left[q]
            gone[q] = True
            w[gone], left[q], left[:, q] = 0, 0, 0  # which they are but for rounding
    return result


@torch.no_grad()
def sparsegpt_rows(weight, h, density, *, block=128):
    """Zeros from left to right, each made up for by the weights to its right (SparseGPT).

    With H⁻¹ = Uᵀ U, U upper triangular, [U_jj]² is the inverse Hessian's entry of weight j among
    those from j on, and row j of U what they are moved along: one factorization serves all rows
    (Frantar and Alistarh, 2023, Algorithm 1). In each block of columns the weights of the lowest
    w²/U_jj² of all rows go, as the block is reached.

    Args:
        weight: (rows, d), in float64.
        h: the positive definite Hessian (d, d) that all rows share.
        density: the share of the weights that stays, in (0, 1].
        block: columns among whose weights the mask is chosen at once.

    Raises:
        TypeError: numbers that are none.
        ValueError: a density outside (0, 1], a block that is no whole number of at least 1, a
            Hessian that is not positive definite.
    """
    density = checks.within("density", density, 0, 1, open_low=True)
    block, w = checks.whole("block", block), weight.clone()
    u = torch.linalg.cholesky(inverse(h), upper=True)
    for start in range(0, w.shape[1], block):
        columns = range(start, min(start + block, w.shape[1]))
        part = slice(start, columns.stop)
        costs = (w[:, part] / u.diagonal()[part]).square()
        gone = ~keep_top(costs.flatten(), round(density * costs.numel())).view_as(costs)
        for j in columns:
            error = torch.where(gone[:, j - start], w[:, j] / u[j, j], 0)  # (rows,)
            w[:, j:] -= error[:, None] * u[j, j:]
            w[gone[:, j - start], j] = 0  # which it is but for rounding
    return w


@torch.no_grad()
def sparsegpt(model, batch, *, density, damping=0.01, block=128):
    """A copy of a network with zeros in every layer, and the other weights moved to make up.

    Layer after layer in the order of the tree, each with the inputs that the layers already pruned
    give it. Weights of inputs that are zero in the whole batch become zero, more than the density
    says where there are many of them.

    Args:
        model: a network; it is not changed.
        batch: inputs (N, ...) and targets, which are not used; no more of the data is seen.
        density: the share of the weights of each layer that stays, in (0, 1].
        damping: as in :func:`hessian`.
        block: as in :func:`sparsegpt_rows`.

    Raises:
        TypeError, ValueError: as in :func:`hessian`, :func:`sparsegpt_rows` and :func:`wanda`.

    Warns:
        UserWarning: layers that have lost all their weights, by name.
    """
    x, _ = training.check_data(model, batch)
    result = plain(model)
    layers = plain_layers(result)
    for name, layer in layers.items():
        gram, columns = grams(result, x, only=name)[name]
        with checks.naming(name):
            hessians = hessian(gram, columns, damping=damping)
            dead = gram.diagonal(dim1=-2, dim2=-1) == 0  # (groups, d)
            # (out, in, ...) -> (groups, out / groups, d)
            weights = layer.weight.double().view(len(gram), -1, gram.shape[-1])
            weights = weights.masked_fill(dead[:, None], 0)
            new = [
                sparsegpt_rows(weight, h, density, block=block)
                for weight, h in zip(weights, hessians, strict=True)
            ]
        layer.weight.copy_(torch.stack(new).view_as(layer.weight))
    warn_of_empty(layers)
    return result

"""Low rank for what a layer is given, and low rank plus a few weights of their own.

The SVD of a weight W is the best matrix of rank r for ‖W − Ŵ‖, which treats all inputs alike.
:func:`whitened_svd` finds the best for ‖(W − Ŵ) X‖, the responses to inputs X. A few weights that
fit no low rank are cheap to keep beside it: :func:`low_rank_plus_sparse`.
"""

from collections import OrderedDict

import torch
from torch import nn

from uecompress import checks
from uecompress.lowrank.svd import break_even_rank, svd_linear
from uecompress.networks import Residual, grams, hessian, plain, plain_layers, replace_layers
from uecompress.tensors import truncated_svd


def whitened(weight, h, rank):
    """The factors of the matrix of rank r that is best for the responses (Wang et al., 2025).

    With H = C Cᵀ, ‖(W − Ŵ) X‖² is ‖(W − Ŵ) C‖² up to a factor, so the SVD of W C, cut, is the
    optimum (Eckart and Young), and the last factor is multiplied by C⁻¹.

    Args:
        weight: (m, n), in float64.
        h: a positive definite H (n, n), X Xᵀ up to a factor.
        rank: from 1 to min(m, n).

    Returns:
        (m, r) and (r, n), whose product is Ŵ.

    Raises:
        ValueError: an H that is not positive definite; a rank out of range.
    """
    factor, failed = torch.linalg.cholesky_ex(h)
    if failed:
        raise ValueError("H must be positive definite: it needs more data, or damping above 0")
    u, s, vh = truncated_svd(weight @ factor, rank=rank)
    root = s.sqrt()
    # V C⁻¹: C is lower triangular, from the right
    last = torch.linalg.solve_triangular(factor, root[:, None] * vh, upper=False, left=False)
    return u * root, last


@torch.no_grad()
def whitened_svd(model, x, *, rank, damping=0.01):
    """A copy of a network whose Linear layers are low-rank for the inputs that they are given.

    Layer after layer in the order of the tree, each with the inputs that the layers already cut
    give it. Layers for which two factors of this rank hold no fewer numbers stay. Where inputs were
    zero in the whole batch, ``damping`` alone speaks: what the weights there do is nearly free.

    Args:
        model: a network; it is not changed.
        x: inputs (N, ...), without labels; no more of the data is seen.
        rank: of every layer.
        damping: as in :func:`~uecompress.networks.hessian`, above 0 unless every input varies.

    Raises:
        TypeError: numbers that are none.
        ValueError: a rank that makes no layer smaller; inputs that are not the network's.

    Warns:
        UserWarning: Linear layers that are not plain, which stay.
    """
    model = plain(model)
    for name in _smaller(model, rank):
        gram, columns = grams(model, x, only=name)[name]
        layer = model.get_submodule(name)
        with checks.naming(name):
            checks.finite(weight=layer.weight, bias=layer.bias)
            h = hessian(gram[0], columns, damping=damping)
            pair = _pair(layer, *whitened(layer.weight.double(), h, rank))
        model = replace_layers(model, lambda n, _, name=name, new=pair: new if n == name else None)
    return model


def godec(weight, rank, count, rounds=20):
    """W ≈ L + S: a matrix of low rank and one with few entries, in turn (Zhou and Tao, 2011).

    Each half of a round is the best for the other one as it is, an SVD and the entries of largest
    size, so ‖W − L − S‖ never grows.

    Args:
        weight: (m, n), in float64.
        rank: of L, from 1 to min(m, n).
        count: entries of S, exactly so many, from 0 to m n; of equal ones the first.
        rounds: how often.

    Returns:
        The factors (m, r) and (r, n) of L, and S (m, n).

    Raises:
        TypeError, ValueError: numbers that are none, or out of range.
    """
    count = checks.whole("count", count, 0, weight.numel())
    sparse = torch.zeros_like(weight)
    for _ in range(checks.whole("rounds", rounds)):
        u, s, vh = truncated_svd(weight - sparse, rank=rank)
        rest = weight - (u * s) @ vh
        places = rest.abs().flatten().argsort(descending=True, stable=True)[:count]
        sparse = torch.zeros_like(weight)
        sparse.view(-1)[places] = rest.reshape(-1)[places]
    root = s.sqrt()
    return u * root, root[:, None] * vh, sparse


@torch.no_grad()
def low_rank_plus_sparse(model, *, rank, density, x=None, rounds=20):
    """A copy of a network whose Linear layers are a low-rank pair and a sparse layer, summed.

    Each becomes a :class:`networks.Residual <uecompress.networks.Residual>`: the pair is its
    ``branch``, the sparse layer its ``shortcut``. Tune it with ``networks.hold_zeros`` as
    ``after_step``.

    Args:
        model: a network; it is not changed.
        rank: of every layer; layers for which two factors hold no fewer numbers stay.
        density: the share of the weights of a layer that S has, in (0, 1).
        x: inputs (N, ...). With them the columns of W are weighted by the root mean square of what
            they are given (OATS, Zhang and Papyan, 2025), and a column that is given nothing
            becomes zero.
        rounds: as in :func:`godec`.

    Raises:
        TypeError: numbers that are none.
        ValueError: numbers out of range, or a density that leaves S no entry; a rank that makes no
            layer smaller; inputs that are not the network's.

    Warns:
        UserWarning: Linear layers that are not plain, which stay.
    """
    density = checks.within("density", density, 0, 1, open_low=True, open_high=True)
    model, new = plain(model), {}
    given = {} if x is None else grams(model, x)
    for name, layer in _smaller(model, rank).items():
        with checks.naming(name):
            checks.finite(weight=layer.weight, bias=layer.bias)
            weight = layer.weight.double()
            scale = torch.ones(weight.shape[1], dtype=weight.dtype).to(weight.device)
            if name in given:
                gram, columns = given[name]
                scale = (gram[0].diagonal() / columns).sqrt()
            count = round(density * weight.numel())
            if count == 0:
                raise ValueError(f"density {density:g} leaves S no entry")
            left, right, sparse = godec(weight * scale, rank, count, rounds)
            back = torch.where(scale > 0, 1 / scale, 0)
            shortcut = nn.utils.skip_init(
                nn.Linear, layer.in_features, layer.out_features, bias=False,
                device=layer.weight.device, dtype=layer.weight.dtype,
            )  # fmt: skip
            shortcut.weight.copy_(sparse * back)
            shortcut.weight.requires_grad_(layer.weight.requires_grad)
            new[name] = Residual(_pair(layer, left, right * back), shortcut)
    return replace_layers(model, lambda name, _: new.get(name))


def _smaller(model, rank):
    """The Linear layers by name that two factors of this rank make smaller."""
    rank = checks.whole("rank", rank)
    layers = plain_layers(model, nn.Linear)
    found = {
        n: layer for n, layer in layers.items() if rank <= break_even_rank(*layer.weight.shape)
    }
    if not found:
        raise ValueError(f"two factors of rank {rank} make no Linear layer smaller")
    return found


def _pair(layer, left, right):
    """Two Linear layers in a row with these factors, and the bias, as of :func:`svd_linear`."""
    pair = svd_linear(layer, len(right))
    pair.vh.weight.copy_(right)
    pair.u.weight.copy_(left)
    return nn.Sequential(OrderedDict(vh=pair.vh, u=pair.u)).train(layer.training)

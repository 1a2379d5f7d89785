"""GPTQ (Frantar et al., 2023): the weights not yet rounded make up for those that are.

It is optimal brain surgery with the nearest code in place of 0. With H⁻¹ = Uᵀ U, U upper
triangular, column after column is rounded, and what that changes is taken from the columns to its
right along row j of U. Where inputs are not correlated U is diagonal, and it is rounding.
"""

import torch

from uecompress import checks
from uecompress.networks import check_inputs, plain, plain_layers, replace_layers
from uecompress.networks.given import grams, hessian, inverse
from uecompress.quantization.affine import code_range, to_codes
from uecompress.quantization.blocks import check_per, spread
from uecompress.quantization.layer import quantized
from uecompress.quantization.ranges import max_threshold
from uecompress.quantization.weights import code_weight


@torch.no_grad()
def gptq_rows(weight, h, scale, *, low, high):
    """The codes of the rows of a weight, from left to right, each column made up for by the next.

    Args:
        weight: (rows, d), in float64.
        h: the positive definite Hessian (d, d) that all rows share.
        scale: of each entry, a tensor that broadcasts with ``weight``.
        low: the smallest code.
        high: the largest code.

    Returns:
        Whole numbers (rows, d).

    Raises:
        ValueError: a Hessian that is not positive definite.
    """
    w, scale = weight.clone(), scale.expand_as(weight)
    u, codes = torch.linalg.cholesky(inverse(h), upper=True), torch.empty_like(weight)
    for j in range(w.shape[1]):
        codes[:, j] = to_codes(w[:, j], scale[:, j], low=low, high=high)
        error = (w[:, j] - codes[:, j] * scale[:, j]) / u[j, j]  # (rows,)
        w[:, j + 1 :] -= error[:, None] * u[j, j + 1 :]
    return codes


@torch.no_grad()
def gptq(
    model, x, bits=4, *, kind="symmetric", per="channel", threshold=max_threshold, damping=0.01
):
    """A copy of a network of integer codes that keep each layer's outputs on ``x``, not its weight.

    Layer after layer in the order of the tree, each with the inputs that the layers already rounded
    give it. The scales are those of the weight before. An input that was zero in the whole batch
    is correlated with no other: its weights are simply rounded.

    Args:
        model: a network; it is not changed.
        x: calibration inputs (N, ...), without labels; no more of the data is seen.
        bits: from 2 to 8.
        kind: "symmetric" or "full".
        per: as in :func:`quantize`.
        threshold: as in :func:`quantize`.
        damping: as in :func:`~uecompress.networks.hessian`.

    Raises:
        TypeError, ValueError: as :func:`quantize`, :func:`~uecompress.networks.grams` and
            :func:`~uecompress.networks.hessian`; another kind.

    Warns:
        UserWarning: layers that are not plain, which stay.
    """
    low, high = code_range(bits, kind)
    if low == 0:
        raise ValueError("kind must be symmetric or full: the grid has 0 in its middle")
    grid = {"bits": bits, "kind": kind, "per": check_per(per)}
    check_inputs(model, x)
    model = plain(model)
    for name in plain_layers(model):
        gram, columns = grams(model, x, only=name)[name]
        layer = model.get_submodule(name)
        with checks.naming(name):
            new, weight = quantized(layer, **grid), layer.weight.double()
            _, scale = code_weight(weight, **grid, threshold=threshold)
            new.scale.copy_(scale)
            scale = spread(new.scale.double(), weight.shape, grid["per"]).expand_as(weight)
            # (out, in, ...) -> (groups, out / groups, d)
            weight, scale = (t.reshape(len(gram), -1, gram.shape[-1]) for t in (weight, scale))
            hessians = hessian(gram, columns, damping=damping)
            rows = [
                gptq_rows(w, h, s, low=low, high=high)
                for w, h, s in zip(weight, hessians, scale, strict=True)
            ]
            new.keep(torch.stack(rows).view_as(layer.weight), new.scale)
        model = replace_layers(model, lambda n, _, name=name, new=new: new if n == name else None)
    return model

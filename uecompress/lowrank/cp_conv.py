"""A convolution as four thin ones, by a CP decomposition of its kernel (Lebedev et al., 2015)."""

import math
from collections import OrderedDict

import torch
from torch import nn

from uecompress import checks
from uecompress.lowrank.conv_chain import chain_kernel, factor, kernel_of
from uecompress.tensors import cp, cp_full


def cp_conv2d(conv, rank, *, seeds=(0, 1, 2), iterations=100, tol=1e-4):
    """A convolution that is separable in everything: 1×1, kh×1, 1×kw, 1×1.

    K(s, c, x, y) = Σ_r U(s, r) V(c, r) H(x, r) W(y, r) (Lebedev et al., 2015): the 1×1 convolution
    ``v`` takes C channels to R, ``h`` and ``w`` treat each of the R channels by itself, first along
    the columns of the image and then along its rows, and ``u`` takes R channels to S and holds the
    bias. Each component's norm is shared evenly by its four vectors. The factors hold
    R·(C + kh + kw + S) weights.

    Alternating least squares depends on its start, so the best of several is taken. A best
    approximation need not exist; then components grow and nearly cancel, and fine-tuning needs a
    small learning rate. :func:`component_growth` shows it.

    Args:
        conv: ``nn.Conv2d`` with ``groups=1``; it is not changed.
        rank: R, 1 to S·C·kh·kw / max(S, C, kh, kw).
        seeds: one start for each.
        iterations: at most so many sweeps of each start.
        tol: stop when a sweep changes the relative error by less.

    Returns:
        ``nn.Sequential`` with the children ``v``, ``h``, ``w`` and ``u``.

    Raises:
        TypeError: not an ``nn.Conv2d``; what is no number.
        ValueError: a rank that is out of range, no seeds, no iterations, a tolerance below 0, a
            convolution in groups or one that is not plain, weights that are not finite.
    """
    kernel = kernel_of(conv)
    iterations = checks.whole("iterations", iterations)
    tol = checks.within("tol", tol, 0, math.inf, open_high=True)
    seeds = list(seeds)
    if not seeds:
        raise ValueError("CP needs at least one seed")
    found = [cp(kernel, rank, iterations=iterations, tol=tol, seed=seed) for seed in seeds]
    weights, factors = min(found, key=lambda f: torch.dist(cp_full(*f), kernel).item())
    root = weights ** (1 / 4)
    u, v, h, w = (each * root for each in factors)  # (S, R), (C, R), (kh, R), (kw, R)
    return nn.Sequential(
        OrderedDict(
            v=factor(conv, v.T[:, :, None, None]),  # (R, C, 1, 1)
            h=factor(conv, h.T[:, None, :, None], "h", groups=len(root)),  # (R, 1, kh, 1)
            w=factor(conv, w.T[:, None, None, :], "w", groups=len(root)),  # (R, 1, 1, kw)
            u=factor(conv, u[:, :, None, None], bias=True),  # (S, R, 1, 1)
        )
    )


def component_growth(chain):
    """How much larger the components of a CP convolution are than their sum.

    That is √(Σ_r ‖component r‖²) / ‖K‖. It is 1 for orthogonal components; 10 means that of the
    components all but a tenth cancels, as in a degenerate decomposition (de Silva and Lim, 2008).

    Args:
        chain: what :func:`cp_conv2d` returns.

    Raises:
        TypeError: not convolutions in an ``nn.Sequential``.
        ValueError: not four of them, or weights that are not finite.
    """
    whole = float(chain_kernel(chain).detach().double().norm())
    if len(chain) != 4:
        raise ValueError(f"a CP convolution is of four convolutions, not of {len(chain)}")
    vectors = [conv.weight.detach().double().flatten(1) for conv in chain]
    norms = [v.norm(dim=1) for v in vectors[:3]] + [vectors[3].norm(dim=0)]  # four times (R,)
    components = float(math.prod(norms).norm())
    return components / whole if whole else 1.0

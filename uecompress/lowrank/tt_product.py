"""The product of a TT-matrix with a batch of vectors, in the cheapest order.

Contracting core after core is cheap for small ranks and batches; multiplying all cores out and
then using the dense matrix is cheap for large ones. Between the two, neighbouring cores are
multiplied into groups first and the groups contracted one after the other, from the first to the
last or back. :func:`plan` counts the operations and chooses; :func:`product` carries out.
"""

import math
from functools import lru_cache

import torch
from torch.nn import functional as F

# What it costs to write and read a number, in multiply-adds: memory is slower than arithmetic.
MOVE = 16


@lru_cache(maxsize=1024)
def plan(row_shape, column_shape, ranks, batch):
    """The cheapest way to multiply a TT-matrix with ``batch`` vectors.

    What a group of cores costs depends on where it begins and ends and on nothing else, so the
    best grouping up to core l extends the best one up to some k < l.

    Returns:
        ``ends``, the number of cores up to the end of each group, and ``forwards``, True to
        contract the first group first. One group, ``ends == (d,)``, is the dense matrix.
    """
    plans = []
    for forwards in (True, False):
        best = [(0, ())]  # (cost, ends) of the cores up to l
        for l in range(1, len(row_shape) + 1):
            costs = [
                contraction_cost(row_shape, column_shape, ranks, batch, k, l, forwards, MOVE)
                + merging_cost(row_shape, column_shape, ranks, k, l, MOVE)
                for k in range(l)
            ]
            best.append(min((best[k][0] + costs[k], (*best[k][1], l)) for k in range(l)))
        plans.append((*best[-1], forwards))
    return min(plans, key=lambda each: each[0])[1:]


def examples(x):
    """The number of examples (N, ...) to plan for; one in ``torch.export``, where N is any."""
    return 1 if torch.compiler.is_exporting() else len(x)


def multiply_adds(row_shape, column_shape, ranks, batch):
    """The multiply-adds of the plan for ``batch`` vectors, moves not counted."""
    shapes = row_shape, column_shape, ranks
    ends, forwards = plan(*shapes, batch)
    return sum(
        contraction_cost(*shapes, batch, k, l, forwards, 0) + merging_cost(*shapes, k, l, 0)
        for k, l in zip((0, *ends), ends, strict=False)
    )


def contraction_cost(row_shape, column_shape, ranks, batch, k, l, forwards, move):
    """Contracting with the product of the cores k + 1, …, l, in the order of ``forwards``."""
    m, n = math.prod(row_shape[k:l]), math.prod(column_shape[k:l])
    if forwards:
        slices = math.prod(row_shape[:k]) * math.prod(column_shape[l:]) * batch
        p, q = m * ranks[l], ranks[k] * n
    else:
        slices = math.prod(column_shape[:k]) * math.prod(row_shape[l:]) * batch
        p, q = ranks[k] * m, n * ranks[l]
    return slices * (p * q + move * (p + q))  # each is a (p, q) matrix times a vector


def merging_cost(row_shape, column_shape, ranks, k, l, move):
    """Multiplying out the cores k + 1, …, l, as :func:`_merge` does."""
    if l - k == 1:
        return 0
    size = ranks[k] * math.prod(row_shape[k:l]) * math.prod(column_shape[k:l]) * ranks[l]
    half = (k + l) // 2
    halves = ((k, half), (half, l))
    parts = sum(merging_cost(row_shape, column_shape, ranks, *part, move) for part in halves)
    return parts + size * (ranks[half] + 2 * move)  # the product is written, and permuted


def product(cores, x, bias, ends, forwards):
    """x Wᵀ + b for the plan (``ends``, ``forwards``).

    The batch runs fastest, (N, B), which makes few and long matrix products, and the shapes below
    follow one another without a permutation.

    Args:
        cores: torch tensors, core k of shape (rₖ₋₁, mₖ, nₖ, rₖ).
        x: (B, N).
        bias: (M,) or None.
        ends: see :func:`plan`.
        forwards: see :func:`plan`.

    Returns:
        (B, M).
    """
    starts = (0, *ends[:-1])
    groups = [_merge(cores[k:l]) for k, l in zip(starts, ends, strict=True)]
    if len(groups) == 1:
        return F.linear(x, full(groups), bias)
    y = (_first_to_last if forwards else _last_to_first)(groups, x.T)  # (M, B)
    return y.T if bias is None else (y + bias[:, None]).T


def _first_to_last(cores, y):
    """W y for y (N, B): after core k the numbers are y(i₁, …, iₖ, αₖ, jₖ₊₁, …, j_d, b)."""
    rows, after = 1, y.numel()
    for core in cores:
        r, m, n, q = core.shape
        after //= n  # nₖ₊₁⋯n_d B
        matrix = core.permute(1, 3, 0, 2).reshape(m * q, r * n)
        y = _batched(matrix, y.reshape(rows, r * n, after))  # (m₁⋯mₖ₋₁, mₖrₖ, nₖ₊₁⋯n_d B)
        rows *= m
    return y.reshape(rows, after)


def _last_to_first(cores, y):
    """W y for y (N, B): after core k the numbers are y(j₁, …, jₖ₋₁, αₖ₋₁, iₖ, …, i_d, b)."""
    before, batch = y.shape
    rows = 1  # mₖ₊₁⋯m_d
    for core in cores[::-1]:
        r, m, n, q = core.shape
        before //= n  # n₁⋯nₖ₋₁
        matrix = core.reshape(r * m, n * q)
        y = _batched(matrix, y.reshape(before, n * q, rows * batch))  # (…, rₖ₋₁mₖ, mₖ₊₁⋯m_d B)
        rows *= m
    return y.reshape(rows, batch)


def _batched(matrix, y):
    """``matrix`` (p, q) times each slice of ``y`` (c, q, w), as one product where c or w is 1.

    Squeezing in place of indexing spares the backward pass a tensor of zeros.
    """
    if len(y) == 1:
        return (matrix @ y.squeeze(0)).unsqueeze(0)
    if y.shape[2] == 1:
        return (y.squeeze(2) @ matrix.T).unsqueeze(2)
    return torch.bmm(matrix.expand(len(y), -1, -1), y)


def full(cores):
    """The matrix (M, N) of all cores."""
    return _merge(cores).flatten(2).squeeze(0)  # (1, M, N, 1) -> (M, N)


def _merge(cores):
    """Neighbouring cores multiplied into one, (r, m₁m₂⋯, n₁n₂⋯, r'), by halves."""
    if len(cores) == 1:
        return cores[0]
    half = len(cores) // 2
    g, h = _merge(cores[:half]), _merge(cores[half:])
    r, i, j, q = g.shape
    _, k, l, s = h.shape
    block = g.reshape(r * i * j, q) @ h.reshape(q, k * l * s)
    block = block.reshape(r, i, j, k, l * s).transpose(2, 3)  # (r, i, k, j, ls)
    return block.reshape(r, i * k, j * l, s)

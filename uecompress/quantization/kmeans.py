"""The best codebook: k-means of numbers on a line, solved exactly.

On a line clusters are intervals, so that k-means is a choice of k − 1 cuts among the sorted
numbers, and dynamic programming finds the best (Wang and Song, 2011). The cost of an interval obeys
the quadrangle inequality: the best last cut moves right with the end of the interval, and one
bisection of the ends serves them all (Grønlund et al., 2017). A million numbers are too many for
that. But if cuts are only known to lie in cells, what surely lies between two of them costs at
least so much, which is a bound from below; Lloyd's algorithm gives one from above. Cells that
cannot hold a cut of the best codebook go, the others are divided, until each cell is one place.
"""

from itertools import pairwise

import numpy as np
import torch

from uecompress import checks
from uecompress.networks import plain, plain_layers
from uecompress.networks.values import with_new_values

_CELLS, _PARTS = 64, 8  # for each cluster, at first; into which a cell is divided


def kmeans_1d(values, clusters):
    """The codebook of the smallest squared error, exactly.

    Args:
        values: numbers, a tensor of any shape.
        clusters: how many; with no more distinct values than that each is a centre of its own.

    Returns:
        The centres, ascending, (clusters,) float64, and the cluster of each number, int64 in the
        shape of ``values``.

    Raises:
        TypeError: not a tensor of floating-point numbers; ``clusters`` is no number.
        ValueError: no numbers, or not finite; ``clusters`` not whole or below 1.
    """
    clusters = checks.whole("clusters", clusters)
    checks.floating(values=values)
    checks.finite(values=values)
    if not values.numel():
        raise ValueError("there are no values")
    flat = values.detach().double().flatten().cpu().numpy()
    distinct, place, counts = np.unique(flat, return_inverse=True, return_counts=True)
    if len(distinct) <= clusters:
        centres, ends = distinct, np.arange(1, len(distinct) + 1)
    else:
        sums = _Sums(distinct, counts)
        ends = np.append(_best_cuts(sums, clusters), len(distinct))
        centres = sums.means(np.append(0, ends[:-1]), ends)
    label = np.searchsorted(ends, place, side="right").reshape(values.shape)
    return torch.from_numpy(centres), torch.from_numpy(label)


@torch.no_grad()
def codebooks(model, clusters):
    """A copy of a network in which each layer's non-zero weights have the best codebook there is.

    Zeros stay zeros, and are no cluster. :func:`~uecompress.networks.cluster_weights` starts
    Lloyd's algorithm from even spaces instead, as Han et al. (2016), and ends where that ends.

    Args:
        model: a network; it is not changed.
        clusters: values that the non-zero weights of a layer take, at least 1.

    Raises:
        TypeError, ValueError: as :func:`kmeans_1d`; no plain Linear or Conv2d layer.
    """
    clusters, model = checks.whole("clusters", clusters), plain(model)

    def function(name, layer):
        kept, weight = layer.weight != 0, layer.weight.detach().clone()
        if kept.any():
            centres, label = kmeans_1d(weight[kept], clusters)
            weight[kept] = centres[label].to(weight)
        return {"weight": weight}

    return with_new_values(model, list(plain_layers(model)), function)


class _Sums:
    """Sums over the sorted numbers before each place, from which intervals cost O(1)."""

    def __init__(self, values, counts):
        self.middle = np.average(values, weights=counts)
        values = values - self.middle  # or the difference of squares would lose its digits
        self.n = np.append(0.0, np.cumsum(counts))
        self.x = np.append(0.0, np.cumsum(counts * values))
        self.x2 = np.append(0.0, np.cumsum(counts * values**2))
        self.values = values

    def cost(self, start, stop):
        """Squared distances of the numbers from ``start`` to before ``stop`` to their mean."""
        stop = np.maximum(start, stop)
        n = np.maximum(self.n[stop] - self.n[start], 1)
        x = self.x[stop] - self.x[start]
        return np.maximum(self.x2[stop] - self.x2[start] - x * x / n, 0)

    def means(self, start, stop):
        """Of the numbers from ``start`` to before ``stop``."""
        return self.middle + (self.x[stop] - self.x[start]) / (self.n[stop] - self.n[start])


def _best_cuts(sums, clusters):
    """Where the clusters but the last end."""
    if clusters == 1:
        return np.zeros(0, int)
    n = len(sums.values)
    cells = [_cells(sums, _CELLS * clusters)] * (clusters - 1)  # of each cut: (first, last place)
    while True:
        left = _forward(sums, cells)
        ends = _trace(sums, cells, left)
        if all((first == last).all() for first, last in cells):
            return ends
        right, highest = _backward(sums, cells, n), _lloyd(sums, ends) * (1 + 1e-9)
        for k, (first, last) in enumerate(cells):
            possible = np.flatnonzero(left[k] + right[k] <= highest)
            cells[k] = _divided(first[possible[0] :], last[possible[0] : possible[-1] + 1])


def _cells(sums, count):
    """All places, 0 to n, in about as many cells, that a good codebook would fill evenly.

    Its centres are as dense as the cube root of the numbers' density.
    """
    share = np.cbrt(np.diff(sums.n)[1:] * np.diff(sums.values) ** 2).cumsum()
    first = np.searchsorted(share, np.linspace(0, share[-1], count), side="right")
    first = np.unique(np.append(0, first))
    return first, np.append(first[1:] - 1, len(sums.values))


def _divided(first, last):
    """Each cell in parts, or in single places."""
    first = first[: len(last)]
    parts = [first + (last + 1 - first) * p // _PARTS for p in range(_PARTS)]
    finer = np.unique(np.concatenate(parts))
    return finer, np.append(finer[1:] - 1, last[-1])


def _lloyd(sums, cuts):
    """The cost of the codebook to which Lloyd's algorithm comes from these cuts."""
    n, order, best = len(sums.values), np.arange(1, len(cuts) + 1), np.inf
    while True:
        # No cluster is left without numbers.
        cuts = np.maximum.accumulate(np.maximum(cuts, 1) - order) + order
        ends = np.concatenate([[0], np.minimum(cuts, n - order[::-1]), [n]])
        cost = sums.cost(ends[:-1], ends[1:]).sum()
        if not cost < best * (1 - 1e-9):
            return min(cost, best)
        best = cost
        centres = sums.means(ends[:-1], ends[1:]) - sums.middle
        cuts = np.searchsorted(sums.values, (centres[1:] + centres[:-1]) / 2)


def _forward(sums, cells):
    """For each cell of each cut, the least that everything left of it can cost."""
    found = [sums.cost(np.zeros_like(cells[0][0]), cells[0][0])]
    for (_, last), (first, _) in pairwise(cells):
        found.append(_least(sums, found[-1], last, first)[0])
    return found


def _backward(sums, cells, n):
    """For each cell of each cut, the least that everything right of it can cost."""
    last = cells[-1][1]
    found, mirrored = [sums.cost(last, np.full_like(last, n))], _Mirror(sums)
    for (first, _), (_, last) in pairwise(cells[::-1]):
        least, _ = _least(mirrored, found[-1][::-1], n - first[::-1], n - last[::-1])
        found.append(least[::-1])
    return found[::-1]


class _Mirror:
    """The numbers seen from the other end."""

    def __init__(self, sums):
        self.sums, self.size = sums, len(sums.values)

    def cost(self, start, stop):
        return self.sums.cost(self.size - np.maximum(start, stop), self.size - start)


def _least(sums, before, starts, stops):
    """min over i of before[i] + cost(starts[i], stops[j]), for each j, and that i.

    Both ascend, and the best i does not fall as j grows: bisection of the j, all of one depth at
    once, looks at each i but twice.
    """
    starts = np.minimum(starts, stops[-1])
    least, which = np.full(len(stops), np.inf), np.zeros(len(stops), int)
    first, last = np.array([0]), np.array([len(stops)])
    low, high = np.array([0]), np.array([len(starts) - 1])
    while len(first):
        middle = (first + last) // 2
        counts = high - low + 1
        offset = np.cumsum(counts) - counts
        i = np.arange(counts.sum()) - np.repeat(offset - low, counts)
        cost = before[i] + sums.cost(starts[i], np.repeat(stops[middle], counts))
        best = np.minimum.reduceat(cost, offset)
        hits = np.flatnonzero(cost == np.repeat(best, counts))
        segment = np.searchsorted(offset, hits, side="right") - 1
        where = np.empty(len(middle), int)
        where[segment[::-1]] = i[hits[::-1]]  # the first of each
        least[middle], which[middle] = best, where
        halves = [(first, middle, low, where), (middle + 1, last, where, high)]
        first, last, low, high = (np.concatenate(pair) for pair in zip(*halves, strict=True))
        some = first < last
        first, last, low, high = first[some], last[some], low[some], high[some]
        order = np.argsort(first)
        first, last, low, high = first[order], last[order], low[order], high[order]
    return least, which


def _trace(sums, cells, left):
    """Cuts, from the last to the first, as if each lay in the first place of its cell."""
    cuts, stop = [], len(sums.values)
    for (first, _), cost in zip(cells[::-1], left[::-1], strict=True):
        total = np.where(first <= stop, cost + sums.cost(np.minimum(first, stop), stop), np.inf)
        stop = first[total.argmin()]
        cuts.append(stop)
    return np.array(cuts[::-1])

"""The binary decisions that lead to a symbol: is it zero, is it positive, in which half is it."""

import numpy as np

# Weights at the start, in percent: of what is expected, then of the contexts scale, mean,
# neighbours, row and column.
_WEIGHTS = {
    "zero": (30, 20, 25, 25, 20), "sign": (25, 10, 35, 35, 10), "level": (40, 10, 10, 10, 10),
}  # fmt: skip


class Tree:
    """The binary decisions that lead to each of K symbols.

    Attributes:
        bits: (K, depth), the decisions that lead to a symbol.
        children: (nodes, 2), the node that follows a decision, or ~symbol.
        cuts: (3, nodes), where the numbers of a node begin, are divided, and end.
        zero: whether the first decision is between zero and the rest.
    """

    def __init__(self, numbers):
        zero = np.flatnonzero(numbers == 0)
        self.zero = len(zero) > 0
        middle = (numbers[1:] + numbers[:-1]) // 2
        self._edges = [-1 << 40, *middle.tolist(), 1 << 40]
        self._nodes, self._cuts, self._paths = [], [], [[] for _ in numbers]
        self._grow(list(range(len(numbers))), int(zero[0]) if self.zero else None)
        depth = max(map(len, self._paths))
        self.bits = np.array([path + [0] * (depth - len(path)) for path in self._paths])
        self.children, self.cuts = np.array(self._nodes), np.array(self._cuts).T
        kinds = ["zero"] * self.zero + ["sign"] + ["level"] * depth
        self.weights = [[65536 * w // 100 for w in _WEIGHTS[kind]] for kind in kinds[:depth]]

    def _grow(self, symbols, zero):
        if len(symbols) == 1:
            return ~symbols[0]
        cut = None
        if zero in symbols:
            low, high = [zero], [s for s in symbols if s != zero]
        elif zero is not None and symbols[0] < zero < symbols[-1]:
            low, high, cut = [s for s in symbols if s < zero], [s for s in symbols if s > zero], 0
        else:
            half = len(symbols) // 2
            low, high = symbols[:half], symbols[half:]
        cut = self._edges[high[0]] if cut is None else cut
        node = len(self._nodes)
        self._nodes.append(None)
        self._cuts.append((self._edges[symbols[0]], cut, self._edges[symbols[-1] + 1]))
        for bit, part in enumerate((low, high)):
            for symbol in part:
                self._paths[symbol].append(bit)
        self._nodes[node] = [self._grow(low, zero), self._grow(high, zero)]
        return node

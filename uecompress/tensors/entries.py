"""The entries of a tensor that is given as a function, and how many of them were asked for."""

import math

import numpy as np
import torch

from uecompress import checks
from uecompress.tensors.arrays import check_sizes, refuse_masked

NO_INDEX = np.zeros((1, 0), dtype=np.int64)  # the one multi-index of no dimensions
MOST = 10**7  # entries asked for at once
LARGEST = 1e300  # of an entry, so that what is interpolated between entries does not overflow


class Entries:
    """The entries of a tensor that is given as a function. None is asked for twice.

    Attributes:
        shape: (n₁, …, n_d), or (n_d, …, n₁) while turned.
        turned: whether multi-indices are now read from the last dimension to the first.

    Args:
        f: takes multi-indices (n, d), int64, counted from 0; returns n real numbers, as a NumPy
            array or torch tensor of shape (n,).
        shape: (n₁, …, n_d).

    Raises:
        TypeError: a shape that is no sequence of numbers.
        ValueError: a shape that does not consist of whole numbers from 1 to :data:`MOST`.
    """

    def __init__(self, f, shape):
        self.f = f
        self.shape = check_sizes("shape", shape)  # ints: small ones of NumPy overflow in products
        self.turned = False
        self.known = {}  # the bytes of a multi-index -> its entry
        if not self.shape:
            raise ValueError("a shape needs at least one dimension")
        for n in self.shape:
            checks.whole("each size of the shape", n, 1, MOST)

    @property
    def evaluations(self):
        """How many entries the function was asked for."""
        return len(self.known)

    @property
    def largest(self):
        """The largest absolute value of an entry asked for."""
        return max(abs(value) for value in self.known.values())

    def turn(self):
        """Reverse the order of the dimensions."""
        self.turned = not self.turned
        self.shape = self.shape[::-1]

    def block(self, *sets):
        """The entries at all combinations of sets of multi-indices, one axis for each set."""
        sizes = [len(indices) for indices in sets]
        check_count(math.prod(sizes))
        choice = np.indices(sizes).reshape(len(sets), -1)
        rows = [indices[i] for indices, i in zip(sets, choice, strict=True)]
        rows = np.concatenate(rows, axis=1)  # (the product of the sizes, d)
        return self.at(rows).reshape(sizes)

    def at(self, indices):
        """The entries (n,) at multi-indices (n, d)."""
        if self.turned:
            indices = indices[:, ::-1]
        keys = [row.tobytes() for row in indices]
        new = {key: i for i, key in enumerate(keys) if key not in self.known}
        if new:
            values = self.ask(indices[list(new.values())])
            self.known.update(zip(new, values.tolist(), strict=True))
        return np.array([self.known[key] for key in keys])

    def ask(self, indices):
        """Call the function, and check what it returns."""
        values = self.f(indices.copy())
        refuse_masked(values)
        if isinstance(values, torch.Tensor):
            values = values.detach().cpu()
            values = values.double() if values.is_floating_point() else values  # bfloat16 too
        values = np.asarray(values)
        if values.shape != (len(indices),):
            raise ValueError(
                f"the function must return one number for each row of its {indices.shape} "
                f"indices, not shape {values.shape}"
            )
        if values.dtype.kind not in "fiub":
            raise ValueError(f"the function must return real numbers, not {values.dtype}")
        wrong = np.flatnonzero(~(np.abs(values.astype(np.float64)) <= LARGEST))
        if wrong.size:
            index = tuple(indices[wrong[0]].tolist())
            raise ValueError(
                f"the function returned {values[wrong[0]]} at the index {index}, not a number "
                f"within ±{LARGEST:.0e}"
            )
        return values.astype(np.float64)


def check_count(count):
    """ValueError for more entries than can be asked for at once."""
    if count > MOST:
        raise ValueError(f"a cross of {count:,} entries is too large: the limit is {MOST:,}")


def all_indices(n):
    """The multi-indices of one dimension, (n, 1)."""
    return np.arange(n)[:, None]

"""Consecutive entries of a product of two matrices, with a fast backward pass."""

import torch


class MatrixSlice(torch.autograd.Function):
    """Entries ``start`` to ``stop`` of the product U V, row by row.

    Autograd would lay the gradient of the slice into a matrix of zeros first, which costs as much
    as the products themselves.
    """

    @staticmethod
    def forward(u, v, start, stop):
        """(rows, k), (k, d) -> (stop − start,)."""
        return (u @ v).flatten()[start:stop]

    @staticmethod
    def setup_context(ctx, inputs, output):
        """Keep what ``backward`` needs."""
        u, v, ctx.start, ctx.stop = inputs
        ctx.save_for_backward(u, v)

    @staticmethod
    def backward(ctx, gradient):
        """With respect to U and to V: the sum over the blocks that the slice is made of."""
        u, v = ctx.saved_tensors
        gradient = gradient.to(u.dtype)  # under torch.autocast the product has another
        by_u, by_v = torch.zeros_like(u), torch.zeros_like(v)
        done = 0
        for rows, columns in _blocks(ctx.start, ctx.stop, v.shape[1]):
            shape = rows.stop - rows.start, columns.stop - columns.start
            block = gradient[done : done + shape[0] * shape[1]].view(shape)
            by_u[rows] += block @ v[:, columns].mT
            by_v[:, columns] += u[rows].mT @ block
            done += block.numel()
        return by_u, by_v, None, None


def _blocks(start, stop, dim):
    """The rows and columns of at most three blocks: the end of a row, whole rows, its beginning."""
    while start < stop:
        row, column = divmod(start, dim)
        count = (stop - start) // dim if column == 0 else 0  # whole rows
        if count:
            yield slice(row, row + count), slice(0, dim)
            start += count * dim
        else:
            width = min(dim - column, stop - start)
            yield slice(row, row + 1), slice(column, column + width)
            start += width

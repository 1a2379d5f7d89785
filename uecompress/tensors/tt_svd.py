"""TT-SVD: the tensor train of a tensor that fits into memory (Oseledets 2011, algorithm 1)."""

import torch

from uecompress.tensors.arrays import check_tensor, like, scaled, to_torch, unscaled
from uecompress.tensors.rounding import check_truncation, kept_rank, tolerance
from uecompress.tensors.tensor_train import TensorTrain


@torch.no_grad()
def tt_svd(a, eps=0.0, max_rank=None):
    """The tensor train of a tensor, within a relative error or of limited rank, or both.

    One index after the other is split off by a truncated SVD. With the truncation errors εₖ,
    ‖A - B‖² ≤ Σ εₖ² (theorem 2.2), and without ``max_rank`` this is at most (ε‖A‖)². The result is
    quasi-optimal: no train of the same ranks is more than √(d-1) times closer.

    Args:
        a: a NumPy array or torch tensor (n₁, …, n_d) of float32 or float64.
        eps: the relative error in the Frobenius norm to stay within; 0 cuts off rounding errors
            only, 1e-12 in float64 and 1e-6 in float32.
        max_rank: the largest rank allowed, also where ``eps`` asks for more; None for no limit.

    Returns:
        A :class:`TensorTrain` of the kind and type of ``a``, with orthonormal columns in every
        core but the last, unfolded to (rₖ₋₁nₖ, rₖ). No gradient flows through it.

    Raises:
        TypeError: neither a NumPy array nor a dense torch tensor, or a masked array; eps or
            max_rank that is no number.
        ValueError: complex, integer, empty, NaN or infinite input; eps below 0 or not finite;
            max_rank below 1; a last core, which carries the norm, that the type cannot hold.
    """
    check_tensor(a)
    eps, max_rank = check_truncation(eps, max_rank)
    rest, exponent = scaled(to_torch(a))
    norm = float(torch.linalg.norm(rest))
    delta = tolerance(eps, norm, a.ndim, rest.dtype)
    cores, rank = [], 1
    for n in a.shape[:-1]:
        rest = rest.reshape(rank * n, -1)  # (rₖ₋₁nₖ, nₖ₊₁⋯n_d), the last index running fastest
        u, rest = _split(rest, delta, max_rank)  # rest becomes (rₖ, nₖ₊₁⋯n_d)
        cores.append(u.reshape(rank, n, -1))
        rank = len(rest)
    rest = unscaled(rest, exponent, "the norm of the tensor")
    cores.append(rest.reshape(rank, a.shape[-1], 1).clone())
    return TensorTrain([like(core, a) for core in cores])


def _split(matrix, delta, max_rank):
    """The truncated SVD as ``u`` (m, r), with orthonormal columns, and ``rest`` (r, n).

    Only the singular vectors of the short side are computed; the other factor is a product
    with the matrix. They come, for float32, from the Gram matrix in float64, which is fast and
    loses nothing, since squares of seven digits fit into sixteen; for float64 from the triangle of
    a QR decomposition.

    Args:
        matrix: (m, n).
        delta: the error to stay within, in the Frobenius norm.
        max_rank: cuts the rank that ``delta`` asks for; None for no limit.
    """
    wide = matrix.shape[0] <= matrix.shape[1]
    side = matrix if wide else matrix.T  # (short, long)
    if matrix.dtype == torch.float32:
        side = side.double()
        squares, vectors = torch.linalg.eigh(side @ side.T)  # ascending
        s, vectors = squares.clip(0).sqrt().flip(0), vectors.flip(1)
    else:
        r = torch.linalg.qr(side.T, mode="r").R  # (short, short)
        vectors, s, _ = torch.linalg.svd(r.T)  # side = rᵀqᵀ has the left singular vectors of rᵀ
    vectors = vectors[:, : kept_rank(s, delta, max_rank)].to(matrix.dtype)  # (short, r)
    if wide:
        return vectors, vectors.T @ matrix
    u, r = torch.linalg.qr(matrix @ vectors)  # (m, r), (r, r)
    return u, r @ vectors.T

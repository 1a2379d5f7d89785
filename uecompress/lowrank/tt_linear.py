"""A Linear layer whose weight is a TT-matrix (Novikov et al., 2015, "Tensorizing Neural Networks").

W(i, j) = G₁[i₁, j₁] G₂[i₂, j₂] ⋯ G_d[i_d, j_d] with the row i = (i₁, …, i_d) and the column
j = (j₁, …, j_d), the last index fastest, as in :class:`uecompress.tensors.TTMatrix` (equation 4).
The cores hold Σ rₖ₋₁ mₖ nₖ rₖ numbers in place of m₁⋯m_d n₁⋯n_d.
"""

import math
from functools import lru_cache

import torch
from torch import nn

from uecompress import checks
from uecompress.lowrank.tt_product import examples, full, multiply_adds, plan, product
from uecompress.tensors import tt_matrix

_MOST_FACTORS = 64  # of a shape; more than 64 factors of 2 multiply to more than a matrix can have


class TTLinear(nn.Module):
    """y = W x + b with W in the TT-format, to be trained from scratch or by :meth:`from_linear`.

    The entries of W are sums of products of d independent numbers. Cores drawn from N(0, s²) give
    them the variance s²ᵈ r₁⋯r_{d-1}; with s = (2 / (N r₁⋯r_{d-1}))^(1/2d) this is 2/N, as He et al.
    (2015) want it before a ReLU. Cores from N(0, 1) make the output explode, and cores from
    N(0, 2/N), the variance of a dense layer, make it vanish.

    Args:
        row_shape: (m₁, …, m_d), whose product M is the number of outputs.
        column_shape: (n₁, …, n_d), whose product N is the number of inputs.
        rank: the rank of all cores, lowered where the matrix cannot have it; or all ranks,
            (r₀, …, r_d) with 1 at both ends.
        bias: True for a vector (M,); "tt" for a train of the same ranks with cores (rₖ₋₁, mₖ, rₖ),
            which holds Σ rₖ₋₁ mₖ rₖ numbers; False for none. Both start at zero: of the train the
            last core is zero, and the others make entries of variance 1.
        seed: seed of the numbers drawn.

    Attributes:
        cores: ``nn.ParameterList``, core k of shape (rₖ₋₁, mₖ, nₖ, rₖ).
        ranks: (r₀, …, r_d).
        in_features: N.
        out_features: M.

    Raises:
        TypeError: a factor, rank or seed that is no number.
        ValueError: shapes that are empty, of different lengths or not of positive whole numbers;
            more than 64 factors; ranks below 1, or not d + 1 of them with 1 at both ends; an
            unknown ``bias``; in the forward pass, inputs that are not (..., N).
    """

    def __init__(self, row_shape, column_shape, rank, bias=True, *, seed=0):
        super().__init__()
        self.row_shape, self.column_shape = check_shapes(row_shape, column_shape)
        self.out_features, self.in_features = map(math.prod, (self.row_shape, self.column_shape))
        self.ranks = check_ranks(rank, self.row_shape, self.column_shape)
        if not isinstance(bias, bool) and not (isinstance(bias, str) and bias == "tt"):
            raise ValueError(f'bias must be True, False or "tt", not {bias!r}')
        generator, d = torch.Generator().manual_seed(checks.seed(seed)), len(self.row_shape)
        s = (2 / (self.in_features * math.prod(self.ranks))) ** (1 / (2 * d))
        ends = self.ranks[:-1], self.ranks[1:]
        shapes = list(zip(ends[0], self.row_shape, self.column_shape, ends[1], strict=True))
        self.cores = nn.ParameterList(draw(shape, s, generator) for shape in shapes)
        self.bias = self.bias_cores = None
        if bias == "tt":
            s = math.prod(self.ranks[:-2]) ** (-1 / (2 * max(d - 1, 1)))
            self.bias_cores = nn.ParameterList(
                draw((r, m, q), s if k < d else 0.0, generator)
                for k, (r, m, _, q) in enumerate(shapes, start=1)
            )
        elif bias:
            self.bias = nn.Parameter(torch.zeros(self.out_features))

    @classmethod
    def from_linear(cls, linear, row_shape=None, column_shape=None, rank=None, eps=0.0):
        """A layer with the weights of another, by TT-SVD; exact without ``rank`` and ``eps``.

        Args:
            linear: ``nn.Linear``, of float32 or float64; it is not changed. Type and device stay,
                and the bias is copied.
            row_shape: (m₁, …, m_d) with product M; by default :func:`factor_shape`, of the length
                of the other shape, or of three factors.
            column_shape: (n₁, …, n_d) with product N, likewise.
            rank: the largest rank allowed; None for no limit.
            eps: the relative error of the weight in the Frobenius norm to stay within, where
                ``rank`` allows it.

        Raises:
            TypeError: not an ``nn.Linear``.
            ValueError: shapes that do not fit the weight; a rank below 1; eps below 0; weights that
                are not finite.
        """
        if not isinstance(linear, nn.Linear):
            raise TypeError(f"expected an nn.Linear, not {type(linear).__name__}")
        checks.finite(weight=linear.weight, bias=linear.bias)
        d = len(row_shape or column_shape or (1, 1, 1))
        row_shape = factor_shape(linear.out_features, d) if row_shape is None else row_shape
        column_shape = factor_shape(linear.in_features, d) if column_shape is None else column_shape
        weight = linear.weight.detach()
        train = tt_matrix(weight, *check_shapes(row_shape, column_shape), eps, rank)
        layer = cls(row_shape, column_shape, train.ranks, linear.bias is not None)
        layer = layer.to(weight.device, weight.dtype).train(linear.training)
        with torch.no_grad():
            for core, value in zip(layer.cores, train.cores, strict=True):
                core.copy_(value).requires_grad_(linear.weight.requires_grad)
            if linear.bias is not None:
                layer.bias.copy_(linear.bias).requires_grad_(linear.bias.requires_grad)
        return layer

    def forward(self, x):
        """(..., N) to (..., M), in the order that takes the fewest operations for this batch."""
        if x.ndim == 0 or x.shape[-1] != self.in_features:
            raise ValueError(
                f"expected inputs (..., {self.in_features}), not of shape {tuple(x.shape)}"
            )
        rows = x.reshape(-1, self.in_features)  # (B, N)
        steps = plan(self.row_shape, self.column_shape, self.ranks, examples(rows))
        y = product(list(self.cores), rows, self.dense_bias, *steps)
        return y.reshape(*x.shape[:-1], self.out_features)

    def multiply_adds(self, batch):
        """How many multiply-adds the forward pass of ``batch`` examples takes, without the bias."""
        return multiply_adds(self.row_shape, self.column_shape, self.ranks, batch)

    @property
    def dense_weight(self):
        """The weight as a dense matrix (M, N), through which gradients flow to the cores."""
        return full(list(self.cores))

    @property
    def dense_bias(self):
        """The bias as a vector (M,), or None."""
        if self.bias_cores is None:
            return self.bias
        # a vector is a matrix of one column: (r, m, q) -> (r, m, 1, q)
        return full([core.unsqueeze(2) for core in self.bias_cores]).squeeze(1)

    def config(self):
        """The constructor's arguments but the seed: what it drew is in the parameters."""
        bias = "tt" if self.bias_cores is not None else self.bias is not None
        return {
            "row_shape": self.row_shape,
            "column_shape": self.column_shape,
            "rank": self.ranks,
            "bias": bias,
        }

    def extra_repr(self):
        """The shapes, the ranks and the kind of bias."""
        return ", ".join(f"{name}={value}" for name, value in self.config().items())


@lru_cache
def factor_shape(n, d):
    """``n`` as a product of ``d`` whole numbers, as balanced as can be, the largest first.

    Of all such products it is the one of the smallest sum. A prime number stays whole:
    ``factor_shape(7, 3)`` is (7, 1, 1).

    Raises:
        TypeError: n or d is no number.
        ValueError: n or d below 1, or not whole.
    """
    n, d = checks.whole("n", n), checks.whole("d", d)
    if d == 1:
        return (n,)
    most = round(n ** (1 / d)) + 1  # of d factors the smallest is at most the d-th root
    smallest = (m for m in range(1, most + 1) if n % m == 0 and m**d <= n)
    return min(((*factor_shape(n // m, d - 1), m) for m in smallest), key=sum)


def draw(shape, s, generator):
    """A parameter of numbers from N(0, s²)."""
    values = torch.randn(shape, generator=generator, dtype=torch.float64)
    return nn.Parameter((s * values).to(torch.get_default_dtype()))


def check_shapes(row_shape, column_shape):
    """Both shapes as tuples, if they can be those of one TT-matrix.

    Raises:
        TypeError: no sequences of numbers.
        ValueError: shapes that are empty, of different lengths or not of positive whole numbers;
            more than 64 factors.
    """
    shapes = []
    for name, shape in {"row": row_shape, "column": column_shape}.items():
        if not isinstance(shape, tuple | list):
            raise TypeError(f"the {name} shape must be a tuple of factors, not {shape!r}")
        shapes.append(tuple(checks.whole(f"each factor of the {name} shape", n) for n in shape))
    rows, columns = shapes
    if not rows or len(rows) != len(columns):
        raise ValueError(
            f"row and column shapes must be of one length, at least 1: {rows}, {columns}"
        )
    if len(rows) > _MOST_FACTORS:
        raise ValueError(f"shapes must have at most {_MOST_FACTORS} factors, not {len(rows)}")
    return rows, columns


def check_ranks(rank, row_shape, column_shape):
    """All ranks (r₀, …, r_d), of one number or of all; an error if they cannot be ranks."""
    sizes = [m * n for m, n in zip(row_shape, column_shape, strict=True)]
    d = len(sizes)
    if isinstance(rank, tuple | list):
        ranks = tuple(checks.whole("each rank", r) for r in rank)
        if len(ranks) != d + 1 or (ranks[0], ranks[-1]) != (1, 1):
            raise ValueError(f"ranks must be {d + 1} whole numbers from 1 to 1, not {ranks}")
        return ranks
    rank = checks.whole("rank", rank)
    return tuple(min(rank, math.prod(sizes[:k]), math.prod(sizes[k:])) for k in range(d + 1))

"""How m bucket values make one weight, and from where the buckets start.

A bucket starts uniform, as torch's weights do. With one fold a hashed weight has torch's
distribution; with more, its mean and its variance are torch's, 0 and 1 / (3 · fan_in).
"""

import math

# (m, n) values of the folds -> (n,) weights
REDUCTIONS = {
    "sum": lambda values: values.sum(0),
    "product": lambda values: values.prod(0),
    "max": lambda values: values.amax(0),
    "min": lambda values: values.amin(0),
}


def bounds(reduce, folds, variance):
    """Where buckets are drawn, so that a weight made of them has mean 0 and this variance.

    With b = 1 for one number that is uniform in (−1, 1), of variance 1/3:

    - a sum has m times the variance of a bucket, which is therefore variance / m;
    - a product has the m-th power of it: variance^(1/m), a standard deviation of σ^(1/m);
    - the largest of m has the mean (m − 1) / (m + 1) and the variance 4 m / ((m + 1)² (m + 2))
      (those of a beta distribution, stretched), so the interval is shifted down by that mean;
    - the smallest is the largest turned around.

    Args:
        reduce: "sum", "product", "max" or "min".
        folds: the number m of buckets that make a weight.
        variance: of the weight.

    Returns:
        The lower and the upper bound.
    """
    m = folds
    if reduce == "sum":
        half, centre = math.sqrt(3 * variance / m), 0.0
    elif reduce == "product":
        half, centre = math.sqrt(3 * variance ** (1 / m)), 0.0
    else:
        half = math.sqrt(variance * (m + 1) ** 2 * (m + 2) / (4 * m))
        centre = half * (m - 1) / (m + 1) * (-1 if reduce == "max" else 1)
    return centre - half, centre + half

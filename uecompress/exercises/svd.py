"""Exercises of the chapter on the singular value decomposition."""

import numpy as np

from uecompress import data, uncertainty
from uecompress.exercises.function import Function
from uecompress.exercises.number import Number


def break_even():
    """Parameters of LeNet-300-100 at rank 20: its last layer, 10 × 100, would grow and stays."""
    biases = 300 + 100 + 10
    return Number(
        20 * (784 + 300) + 20 * (300 + 100) + 10 * 100 + biases,
        {
            "the last layer would grow: it stays as it is": 20 * (1084 + 400 + 110) + biases,
            "the biases stay": 20 * (1084 + 400) + 1000,
            "a pair holds r(m + n) numbers, not 2rm": 40 * (300 + 100) + 1000 + biases,
        },
    )


def rank():
    """The smallest rank, at least 1, whose relative Frobenius error is at most eps."""

    def smallest(s, eps):
        tails = np.sqrt(np.cumsum(s[::-1] ** 2)[::-1])  # tails[r]: error of rank r
        return max(1, int((tails > eps * tails[0]).sum()))

    def by_one_value(s, eps):
        return max(1, int((s > eps * np.linalg.norm(s)).sum()))

    def by_largest(s, eps):
        return max(1, int((s > eps * s[0]).sum()))

    def by_energy(s, eps):
        shares = np.cumsum(s[::-1] ** 2)[::-1] / np.sum(s**2)
        return max(1, int((shares > eps).sum()))

    def one_too_few(s, eps):
        return max(1, smallest(s, eps) - 1)

    def from_zero(s, eps):
        tails = np.sqrt(np.cumsum(s[::-1] ** 2)[::-1])
        return int((tails > eps * tails[0]).sum())

    inputs = [
        (np.array([3.0, 2, 2, 2, 2]), 0.5),
        (np.array([3.0, 2, 2, 2, 2]), 0.95),
        (np.ones(30), 0.3),
        (np.arange(20.0, 0, -1), 0.2),
        (0.5 ** np.arange(12), 1e-2),
        (np.array([3.0, 2]), 1.5),
    ]
    return Function(
        smallest,
        inputs,
        {
            "their squares add up: the whole tail counts, not one value": by_one_value,
            "the error is relative to the norm, not to the largest value; and the tail counts": (
                by_largest
            ),
            "the tail's energy is the square of the error: take the root": by_energy,
            "one too few: the error at this rank is still above eps": one_too_few,
            "the smallest rank is 1, however large eps is": from_zero,
        },
        show=lambda s, eps: f"{len(s)} values, the largest {s[0]:g}, and eps = {eps}",
    )


def randomized():
    """Singular values from products of a matrix with random vectors."""

    def basis(matrix):
        return np.linalg.qr(matrix)[0]

    def values(a, omega, steps):
        q = basis(a @ omega)
        for _ in range(steps):
            q = basis(a @ (a.T @ q))
        return np.linalg.svd(q.T @ a, compute_uv=False)

    def without_basis(a, omega, steps):
        product = a @ omega
        for _ in range(steps):
            product = a @ (a.T @ product)
        return np.linalg.svd(product.T @ a, compute_uv=False)

    def without_power(a, omega, steps):
        return values(a, omega, 0)

    def of_the_product(a, omega, steps):
        q = basis(a @ omega)
        for _ in range(steps):
            q = basis(a @ (a.T @ q))
        return np.linalg.svd(a @ (a.T @ q), compute_uv=False)

    random = np.random.default_rng(7)
    matrices = [random.standard_normal(size) for size in ((12, 9), (9, 12), (20, 15))]
    return Function(
        values,
        [
            (a, random.standard_normal((a.shape[1], 4)), steps)
            for a, steps in zip(matrices, (0, 1, 3), strict=True)
        ],
        {
            "the columns of Q must be orthonormal: take the QR decomposition": without_basis,
            "right without power iterations: repeat step 2": without_power,
            "decompose QᵀA: these are the values of A Aᵀ Q": of_the_product,
        },
        show=lambda a, omega, steps: f"a {a.shape[0]} × {a.shape[1]} matrix with {steps} steps",
    )


def temperature(whole, cut):
    """The share of the validation NLL, added by truncation, that one temperature takes back."""
    x, y = data.load("digits", "validation")
    dense, truncated = (uncertainty.predict(model, x) for model in (whole, cut))
    best = uncertainty.temperature(truncated, y)
    before, after = uncertainty.nll(dense, y), uncertainty.nll(truncated, y)
    scaled = uncertainty.nll(uncertainty.scale(truncated, best), y)
    return Number(
        (after - scaled) / (after - before),
        {
            "this is the share that stays": (scaled - before) / (after - before),
            "divide by what truncation added, not by the whole NLL": (after - scaled) / after,
            "multiply the logits by 1/T: you multiplied by T": (
                after - uncertainty.nll(uncertainty.scale(truncated, 1 / best), y)
            )
            / (after - before),
        },
    )

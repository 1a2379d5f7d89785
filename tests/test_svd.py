import numpy as np
import pytest
import torch
from sklearn.utils.extmath import randomized_svd as sklearn_randomized_svd

from uecompress import tensors


def matrix(m=30, n=20, seed=0):
    return np.random.default_rng(seed).standard_normal((m, n))


def decaying(m=200, n=120, seed=0):
    """A matrix with singular values 1/i."""
    rng = np.random.default_rng(seed)
    u, v = (np.linalg.qr(rng.standard_normal((k, 100)))[0] for k in (m, n))
    return (u / np.arange(1, 101)) @ v.T


def product(u, s, vh):
    return (u * s) @ vh


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
@pytest.mark.parametrize("shape", [(30, 20), (20, 30), (7, 7), (1, 5), (5, 1)])
def test_eckart_young_errors(kind, shape):
    a = kind(matrix(*shape))
    s = np.linalg.svd(matrix(*shape), compute_uv=False)
    for rank in range(1, min(shape) + 1):
        u, kept, vh = tensors.truncated_svd(a, rank=rank)
        assert type(u) is type(a)
        off = np.asarray(a - product(u, kept, vh))
        frobenius, spectral = np.linalg.norm(off), np.linalg.norm(off, 2)
        assert frobenius == pytest.approx(tensors.truncation_error(s, rank), abs=1e-12)
        assert spectral == pytest.approx(s[rank] if rank < len(s) else 0, abs=1e-12)
        np.testing.assert_allclose(np.asarray(u.T @ u), np.eye(rank), atol=1e-12)


def test_no_other_matrix_of_that_rank_is_closer():
    a, rng = matrix(), np.random.default_rng(1)
    best = np.linalg.norm(a - product(*tensors.truncated_svd(a, rank=5)))
    for _ in range(100):  # the best fit within a random row space of dimension 5
        q = np.linalg.qr(rng.standard_normal((20, 5)))[0]
        assert np.linalg.norm(a - a @ q @ q.T) > best


@pytest.mark.parametrize("eps", [0.0, 0.01, 0.1, 0.5, 0.9, 2.0])
def test_eps_is_respected_with_the_smallest_rank(eps):
    a = decaying()
    u, s, vh = tensors.truncated_svd(a, eps=eps)
    assert np.linalg.norm(a - product(u, s, vh)) <= eps * np.linalg.norm(a) + 1e-12
    if len(s) > 1:
        worse = product(*tensors.truncated_svd(a, rank=len(s) - 1))
        assert np.linalg.norm(a - worse) > eps * np.linalg.norm(a)


def test_eps_does_not_depend_on_the_scale():
    a = decaying()
    ranks = [len(tensors.truncated_svd(a * scale, eps=0.1)[1]) for scale in (1e-200, 1, 1e150)]
    assert len(set(ranks)) == 1


def test_rank_counts_non_zero_singular_values():
    a = matrix(30, 4) @ matrix(4, 20)
    assert len(tensors.truncated_svd(a, eps=1e-12)[1]) == 4
    zero = tensors.truncated_svd(np.zeros((3, 2)), eps=0.0)
    assert len(zero[1]) == 1
    assert not product(*zero).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_kept(dtype):
    a = torch.from_numpy(matrix()).to(dtype)
    for part in (*tensors.truncated_svd(a, rank=3), *tensors.randomized_svd(a, 3)):
        assert part.dtype == dtype
    for part in tensors.randomized_svd(a.numpy(), 3):
        assert torch.from_numpy(part).dtype == dtype


def test_randomized_is_exact_on_low_rank():
    a = matrix(60, 5) @ matrix(5, 40)
    np.testing.assert_allclose(product(*tensors.randomized_svd(a, 5)), a, atol=1e-12)


@pytest.mark.parametrize("rank", [1, 5, 20])
def test_randomized_is_near_the_best_and_no_worse_than_scikit_learn(rank):
    a = decaying()
    s = np.linalg.svd(a, compute_uv=False)
    best = tensors.truncation_error(s, rank)
    for seed in range(5):
        ours = np.linalg.norm(a - product(*tensors.randomized_svd(a, rank, seed=seed)))
        theirs = sklearn_randomized_svd(a, rank, n_iter=4, random_state=seed)
        assert best <= ours * (1 + 1e-12)
        assert ours <= 1.001 * best
        assert ours <= 1.001 * np.linalg.norm(a - product(*theirs))


def test_randomized_repeats_with_its_seed_and_agrees_across_libraries():
    a = decaying()
    first, again = (tensors.randomized_svd(a, 5, seed=3) for _ in range(2))
    other = tensors.randomized_svd(torch.from_numpy(a), 5, seed=3)
    for x, y, z in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(x, y)
        np.testing.assert_allclose(np.abs(x), np.abs(z), atol=1e-9)


def test_power_iterations_help_on_a_flat_spectrum():
    a = matrix(200, 150)
    plain, powered = (
        np.linalg.norm(a - product(*tensors.randomized_svd(a, 10, iterations=i))) for i in (0, 4)
    )
    assert powered < 0.99 * plain


@pytest.mark.parametrize("function", [tensors.truncated_svd, tensors.randomized_svd])
@pytest.mark.parametrize("rank", [0, -1, 21, 2.5, 2.0, float("nan"), "2", True])
def test_bad_rank(function, rank):
    with pytest.raises(ValueError, match=r"whole number in 1\.\.20"):
        function(matrix(), rank=rank)


@pytest.mark.parametrize("function", [tensors.truncated_svd, tensors.randomized_svd])
@pytest.mark.parametrize(
    ("a", "message"),
    [
        (np.zeros((0, 3)), "must not be empty"),
        (np.zeros(3), "expected a matrix"),
        (np.zeros((2, 2, 2)), "expected a matrix"),
        (np.full((2, 2), np.nan), "NaN"),
        (torch.full((2, 2), torch.inf), "infinity"),
        (np.zeros((2, 2), dtype=int), "float32 or float64"),
        (np.zeros((2, 2), dtype=complex), "float32 or float64"),
    ],
)
def test_bad_matrix(function, a, message):
    with pytest.raises(ValueError, match=message):
        function(a, rank=1)
    with pytest.raises(TypeError, match="not list"):
        function([[1.0, 2.0]], rank=1)


def test_bad_budget():
    with pytest.raises(ValueError, match="either rank or eps"):
        tensors.truncated_svd(matrix())
    with pytest.raises(ValueError, match="either rank or eps"):
        tensors.truncated_svd(matrix(), rank=1, eps=0.1)
    for eps in (-0.1, np.nan, np.inf):
        with pytest.raises(ValueError, match="at least 0"):
            tensors.truncated_svd(matrix(), eps=eps)
    with pytest.raises(ValueError, match=r"0\.\.3"):
        tensors.truncation_error(np.ones(3), 4)
    for settings in ({"oversampling": -3}, {"iterations": -1}):
        with pytest.raises(ValueError, match=r"must be at least 0, not (-3 and 4|10 and -1)"):
            tensors.randomized_svd(matrix(), 5, **settings)
    for spectrum in ([], [np.nan, 1.0]):
        with pytest.raises(ValueError, match="singular values"):
            tensors.rank_for_error(np.array(spectrum), 0.1)


def test_tiny_and_huge_spectra():
    assert tensors.truncation_error(torch.full((3,), 1e-25), 0) == pytest.approx(3**0.5 * 1e-25)
    assert tensors.truncation_error(np.full(3, 1e200), 1) == pytest.approx(2**0.5 * 1e200)

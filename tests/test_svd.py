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
@pytest.mark.parametrize("rank", [0, -1, 21, 2.5, float("nan"), 10**30])
def test_bad_rank(function, rank):
    with pytest.raises(ValueError, match="rank must be a whole number from 1 to 20"):
        function(matrix(), rank=rank)


@pytest.mark.parametrize("function", [tensors.truncated_svd, tensors.randomized_svd])
@pytest.mark.parametrize("rank", ["2", True, 2j])
def test_a_rank_that_is_no_number(function, rank):
    with pytest.raises(TypeError, match="rank must be a number"):
        function(matrix(), rank=rank)


@pytest.mark.parametrize("rank", [np.uint8(4), np.int64(4), torch.tensor(4), np.array(4), 4.0])
def test_whole_numbers_of_any_kind_are_ranks(rank):
    a = matrix()
    for function in (tensors.truncated_svd, tensors.randomized_svd):
        for part, same in zip(function(a, rank=rank), function(a, rank=4), strict=True):
            np.testing.assert_array_equal(part, same)
    np.testing.assert_array_equal(
        tensors.randomized_svd(a, 4, seed=np.uint8(3), oversampling=np.int8(5))[1],
        tensors.randomized_svd(a, 4, seed=3, oversampling=5)[1],
    )


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
        with pytest.raises(ValueError, match="eps must be at least 0 and finite"):
            tensors.truncated_svd(matrix(), eps=eps)
    for name in ("oversampling", "iterations"):
        with pytest.raises(ValueError, match=f"{name} must be a whole number .*0"):
            tensors.randomized_svd(matrix(), 5, **{name: -3})
    with pytest.raises(ValueError, match="iterations must be a whole number from 0 to 1000"):
        tensors.randomized_svd(matrix(), 5, iterations=10**30)
    with pytest.raises(ValueError, match="at least one"):
        tensors.rank_for_error(np.ones(0), 0.1)
    with pytest.raises(ValueError, match="seed must be a whole number from 0"):
        tensors.randomized_svd(matrix(), 5, seed=-1)
    with pytest.raises(TypeError, match="seed must be a number, not None"):
        tensors.randomized_svd(matrix(), 5, seed=None)


SPECTRA = [
    (np.array([np.nan, 1.0]), ValueError, "finite"),
    (np.array([np.inf, 1.0]), ValueError, "finite"),
    (np.array([1.0, -np.inf]), ValueError, "finite"),
    (np.ones((2, 2)), ValueError, "finite numbers"),
    (np.float64(1.0), ValueError, "finite numbers"),
    (np.array([1.0, 2.0]), ValueError, "descend"),
    (np.array([1.0, -2.0]), ValueError, "descend"),
    (np.array([2 + 0j, 1]), TypeError, "real numbers"),
    (torch.ones(2, dtype=torch.bool), TypeError, "real numbers"),
    (np.array([2.0, None]), TypeError, "object"),
    (np.ma.array([2.0, 1.0], mask=[False, True]), TypeError, "masked"),
]


@pytest.mark.parametrize(("s", "error", "match"), SPECTRA)
def test_bad_spectra(s, error, match):
    for function in (tensors.truncation_error, tensors.rank_for_error):
        with pytest.raises(error, match=match):
            function(s, 1)


@pytest.mark.parametrize(
    ("rank", "error"),
    [(4, ValueError), (-1, ValueError), (0.5, ValueError), (np.nan, ValueError),
     (np.inf, ValueError), (True, TypeError), (None, TypeError), (1j, TypeError)],
)  # fmt: skip
def test_bad_ranks_of_a_truncation(rank, error):
    with pytest.raises(error, match="rank must be"):
        tensors.truncation_error(np.ones(3), rank)


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_largest_numbers_of_a_type(kind, dtype):
    largest = np.finfo(dtype).max
    a = kind(np.diag(np.array([largest * 0.6, largest * 0.3, 1, 1], dtype)))
    for parts in (tensors.truncated_svd(a, rank=2), tensors.randomized_svd(a, 2)):
        np.testing.assert_allclose(parts[1], np.diag(a)[:2], rtol=10 * np.finfo(dtype).eps)
        np.testing.assert_allclose(product(*parts), a, atol=largest * np.finfo(dtype).eps)
    full = kind(np.full((60, 40), largest / 4, dtype))
    for function in (tensors.truncated_svd, tensors.randomized_svd):
        with pytest.raises(ValueError, match="the largest singular value overflows"):
            function(full, rank=1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_small_numbers_of_a_type(dtype):
    scale = np.finfo(dtype).tiny * 64  # squares of it vanish
    a = matrix(12, 8).astype(dtype)
    for function in (tensors.truncated_svd, tensors.randomized_svd):
        small, ordinary = function(a * scale, rank=3), function(a, rank=3)
        np.testing.assert_allclose(small[1] / scale, ordinary[1], rtol=20 * np.finfo(dtype).eps)
        with pytest.raises(ValueError, match=r"the largest singular value underflows .*scale"):
            function((a * scale / 4096).astype(dtype), rank=3)


@pytest.mark.parametrize("function", [tensors.truncated_svd, tensors.randomized_svd])
def test_masked_sparse_and_meta_matrices_are_refused(function):
    masked = np.ma.masked_invalid(np.array([[1.0, np.nan], [3.0, 4.0]]))
    with pytest.raises(TypeError, match="masked arrays are not supported"):
        function(masked, rank=1)
    with pytest.raises(TypeError, match=r"dense torch tensor, not one of layout torch\.sparse_coo"):
        function(torch.eye(3).to_sparse(), rank=1)
    with pytest.raises(TypeError, match=r"not one without numbers \(meta\)"):
        function(torch.ones(2, 2, device="meta"), rank=1)


def test_tiny_and_huge_spectra():
    assert tensors.truncation_error(torch.full((3,), 1e-25), 0) == pytest.approx(3**0.5 * 1e-25)
    assert tensors.truncation_error(np.full(3, 1e200), 1) == pytest.approx(2**0.5 * 1e200)

import threading

import numpy as np
import pytest
import tensorly
import tensorly.decomposition
import torch

from uecompress import tensors

KINDS = [np.asarray, torch.from_numpy]
SHAPES = [(6, 7, 8), (4, 5, 3, 4), (5, 1, 4), (6, 5)]


def noise(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def planted_factors(shape, rank, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((n, rank)) for n in shape]


def relative(a, b):
    return np.linalg.norm(np.asarray(a) - np.asarray(b)) / np.linalg.norm(b)


def test_cp_full_is_the_sum_of_products():
    u, v, w = planted_factors((2, 3, 4), 3)
    weights = np.array([3.0, 2, 1])
    expected = np.einsum("r,ir,jr,kr->ijk", weights, u, v, w)
    np.testing.assert_allclose(tensors.cp_full(weights, [u, v, w]), expected, atol=1e-13)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("shape", "rank"), [((6, 7, 8), 3), ((4, 5, 3, 4), 4), ((5, 1, 4), 2)])
def test_cp_recovers_a_planted_tensor(shape, rank, kind):
    a = tensors.cp_full(np.ones(rank), planted_factors(shape, rank))
    weights, factors = tensors.cp(kind(a), rank)
    assert isinstance(weights, type(kind(a)))
    assert [tuple(f.shape) for f in factors] == [(n, rank) for n in shape]
    assert relative(tensors.cp_full(weights, factors), a) < 1e-6
    assert (np.diff(weights) <= 0).all()
    for factor in factors:
        np.testing.assert_allclose(np.linalg.norm(factor, axis=0), 1, atol=1e-12)


def test_the_planted_factors_are_found_up_to_order_and_sign():
    planted = planted_factors((8, 9, 10), 4)
    _, factors = tensors.cp(tensors.cp_full(np.ones(4), planted), 4)
    for found, true in zip(factors, planted, strict=True):
        cosines = np.abs(found.T @ (true / np.linalg.norm(true, axis=0)))
        assert sorted(cosines.argmax(1)) == [0, 1, 2, 3]
        np.testing.assert_allclose(cosines.max(1), 1, atol=1e-8)


def test_als_ends_where_the_normal_equations_hold():
    a = noise((5, 6, 4))
    weights, factors = tensors.cp(a, 3)
    scaled = [weights * factors[0], *factors[1:]]
    for mode in range(3):
        first, second = (scaled[k] for k in range(3) if k != mode)
        khatri_rao = (first[:, None] * second).reshape(-1, 3)  # the last index fastest
        left = tensors.unfold_mode(a, mode) @ khatri_rao
        right = scaled[mode] @ ((first.T @ first) * (second.T @ second))
        assert relative(left, right) < 1e-3


def test_of_a_matrix_it_is_the_best_approximation():
    a = noise((6, 5))
    for rank in (1, 3, 5):
        weights, factors = tensors.cp(a, rank)
        off = np.linalg.norm(a - tensors.cp_full(weights, factors))
        best = tensors.truncation_error(np.linalg.svd(a, compute_uv=False), rank)
        assert off == pytest.approx(best, abs=1e-4)


def test_a_degenerate_tensor_makes_weights_grow():
    x, y = np.eye(2)
    products = [(x, x, y), (x, y, x), (y, x, x)]
    a = sum(np.einsum("i,j,k->ijk", *p) for p in products)  # rank 3, but a limit of rank 2
    errors, largest = [], []
    for iterations in (30, 300, 3000):
        weights, factors = tensors.cp(a, 2, iterations=iterations, tol=0)
        errors.append(relative(tensors.cp_full(weights, factors), a))
        largest.append(weights[0])
        cosine = np.prod([factor[:, 0] @ factor[:, 1] for factor in factors])
    assert errors[0] > errors[1] > errors[2]
    assert largest[0] < largest[1] < largest[2]
    assert errors[2] < 0.05
    assert cosine < -0.9  # two large products that nearly cancel


ONE = np.zeros((3, 4, 5))
ONE[0, 1, 2] = 1
LOW_RANKS = {
    "ones": (np.ones((2, 3, 4)), 3),
    "ones, largest rank": (np.ones((2, 3, 4)), 6),
    "one entry": (ONE, 3),
    "two entries": (ONE - ONE[::-1, ::-1, ::-1], 5),
    "a constant matrix": (np.full((4, 6), 1 / 9), 4),
    "float32": (np.full((8, 8, 3, 3), 1 / 9, np.float32), 4),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("a", "rank"), LOW_RANKS.values(), ids=LOW_RANKS)
def test_more_components_than_the_tensor_has(a, rank, seed):
    weights, factors = tensors.cp(a, rank, seed=seed)
    assert len(weights) == rank
    tol = 1e-8 if a.dtype == np.float64 else 1e-4  # the components may be large and cancel
    assert relative(tensors.cp_full(weights, factors), a) < tol
    for factor in factors:
        np.testing.assert_allclose(np.linalg.norm(factor, axis=0), 1, atol=1e-6)


def test_the_seed_decides():
    a = noise((5, 6, 4))
    first, again = tensors.cp(a, 3, seed=1), tensors.cp(torch.from_numpy(a), 3, seed=1)
    np.testing.assert_array_equal(first[0], again[0])
    assert (first[0] != tensors.cp(a, 3, seed=2)[0]).any()


@pytest.mark.parametrize("kind", KINDS)
def test_type_is_kept_and_zero_is_zero(kind):
    a = kind(noise((4, 3, 5)).astype(np.float32))
    results = [tensors.cp(a, 2), tensors.hosvd(a, (2, 2, 2)), tensors.tucker(a, (2, 2, 2))]
    for first, rest in results:
        assert all(part.dtype == a.dtype for part in (first, *rest))
    assert not tensors.cp_full(*tensors.cp(0 * a, 2)).any()
    for factor in tensors.cp(np.zeros((3, 5)), 2)[1]:
        np.testing.assert_allclose(np.linalg.norm(factor, axis=0), 1, rtol=1e-15)
    assert not tensors.tucker_full(*tensors.tucker(0 * a, (2, 2, 2))).any()
    assert not tensors.tucker_full(*tensors.hosvd(0 * a, (2, 2, 2))).any()


def test_scale_does_not_matter():
    a = noise((4, 3, 5))
    for scale in (1e-300, 1e-60, 1e60, 1e300):
        weights, factors = tensors.cp(a * scale, 2)
        np.testing.assert_allclose(weights / scale, tensors.cp(a, 2)[0], rtol=1e-6)
        np.testing.assert_allclose(factors[0], tensors.cp(a, 2)[1][0], atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", [1e-36, 1e-23, 1e19, 1e36])
def test_the_whole_range_of_float32(scale, kind):
    ordinary = noise((4, 3, 5))
    a = kind((ordinary * scale).astype(np.float32))
    for method in (tensors.hosvd, tensors.tucker):
        core, factors = method(a, (2, 2, 2))
        expected = tensors.tucker_full(*method(ordinary, (2, 2, 2)))
        found = tensors.tucker_full(kind(np.asarray(core) / np.float32(scale)), factors)
        np.testing.assert_allclose(found, expected, atol=1e-4)
    weights, factors = tensors.cp(a, 2)
    np.testing.assert_allclose(np.asarray(weights) / scale, tensors.cp(ordinary, 2)[0], rtol=1e-3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_results_beyond_the_type_are_refused(dtype):
    huge = np.full((4, 3, 5), np.finfo(dtype).max / 2, dtype)
    tiny = np.full((4, 3, 5), np.finfo(dtype).tiny / 1024, dtype)
    for method in (tensors.hosvd, tensors.tucker):
        with pytest.raises(ValueError, match="the core overflows"):
            method(huge, (1, 1, 1))
        with pytest.raises(ValueError, match="the core underflows"):
            method(tiny, (1, 1, 1))
    with pytest.raises(ValueError, match="the largest weight overflows"):
        tensors.cp(huge, 1)
    with pytest.raises(ValueError, match="the largest weight underflows"):
        tensors.cp(tiny, 1)


def test_parameters_that_need_gradients():
    a = torch.nn.Parameter(torch.from_numpy(noise((4, 3, 5))))
    weights, _ = tensors.cp(a, 2)
    core, _ = tensors.tucker(a, (2, 2, 2))
    assert not weights.requires_grad
    assert not core.requires_grad


def test_mode_product():
    a, m = noise((2, 3, 4)), noise((5, 3), 1)
    expected = np.einsum("ijk,mj->imk", a, m)
    np.testing.assert_allclose(tensors.mode_product(a, m, 1), expected, atol=1e-14)


def test_a_vector_has_a_tucker_form():
    a = noise((5,))
    for method in (tensors.hosvd, tensors.tucker):
        core, factors = method(a, (1,))
        np.testing.assert_allclose(tensors.tucker_full(core, factors), a, atol=1e-15)


def ranks_of(shape):
    return tuple(min(2, n) for n in shape)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_hosvd_bounds(shape, kind):
    a, ranks = noise(shape), ranks_of(shape)
    core, factors = tensors.hosvd(kind(a), ranks)
    assert isinstance(core, type(kind(a)))
    assert tuple(core.shape) == ranks
    off = np.linalg.norm(a - np.asarray(tensors.tucker_full(core, factors)))
    singular = [np.linalg.svd(tensors.unfold_mode(a, k), compute_uv=False) for k in range(a.ndim)]
    tails = [np.linalg.norm(s[r:]) for s, r in zip(singular, ranks, strict=True)]
    assert off <= np.linalg.norm(tails) + 1e-12
    assert (
        off <= np.sqrt(a.ndim) * max(tails) + 1e-12
    )  # no tensor of these ranks is nearer than max
    core, factors = tensors.tucker(kind(a), ranks)
    better = np.linalg.norm(a - np.asarray(tensors.tucker_full(core, factors)))
    assert max(tails) - 1e-12 <= better <= off + 1e-12
    for factor in factors:
        np.testing.assert_allclose(factor.T @ factor, np.eye(factor.shape[1]), atol=1e-12)


def test_the_core_of_the_full_hosvd_is_all_orthogonal():
    a = noise((4, 5, 6))
    core, factors = tensors.hosvd(a, a.shape)
    np.testing.assert_allclose(tensors.tucker_full(core, factors), a, atol=1e-13)
    for mode in range(3):
        slices = tensors.unfold_mode(core, mode)
        singular = np.linalg.svd(tensors.unfold_mode(a, mode), compute_uv=False)
        np.testing.assert_allclose(slices @ slices.T, np.diag(singular**2), atol=1e-12)


def test_low_multilinear_rank_is_recovered():
    a = tensors.tucker_full(noise((2, 3, 2)), [noise((n, r)) for n, r in ((6, 2), (7, 3), (5, 2))])
    for method in (tensors.hosvd, tensors.tucker):
        assert relative(tensors.tucker_full(*method(a, (2, 3, 2))), a) < 1e-12


def test_tucker_is_that_of_tensorly():
    a = noise((6, 7, 8))
    ours = tensors.tucker_full(*tensors.tucker(a, (3, 2, 4)))
    theirs = tensorly.decomposition.tucker(a, (3, 2, 4), tol=1e-8).to_tensor()
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("backend", ["numpy", "pytorch"])
def test_the_backend_of_tensorly_stays_as_it_was(backend):
    a, seen = noise((4, 3, 5)), []

    def elsewhere():
        tensorly.set_backend("pytorch", local_threadsafe=True)
        tensors.cp(a, 2)
        seen.append(tensorly.get_backend())

    tensorly.set_backend(backend)
    try:
        tensors.cp(a, 2)
        tensors.tucker(torch.from_numpy(a), (2, 2, 2))
        assert tensorly.get_backend() == backend
        for function in (elsewhere, lambda: seen.append(tensorly.get_backend())):
            thread = threading.Thread(target=function)
            thread.start()
            thread.join()
        assert seen == ["pytorch", backend]
    finally:
        tensorly.set_backend("numpy")


@pytest.mark.parametrize(
    ("a", "match"),
    [
        (noise((2, 3)) * np.nan, "NaN"),
        (noise((2, 3)) * 1j, "not complex128"),
        (np.ones((2, 3), int), "not int64"),
        (np.ones((0, 3)), "empty"),
    ],
)
def test_bad_tensors(a, match):
    for method in (lambda: tensors.cp(a, 1), lambda: tensors.hosvd(a, (1, 1)),
                   lambda: tensors.tucker(a, (1, 1))):  # fmt: skip
        with pytest.raises(ValueError, match=match):
            method()


def test_bad_ranks():
    a = noise((3, 4, 2))
    for rank in (0, 7, 1.5, 10**30):
        with pytest.raises(ValueError, match="rank must be a whole number from 1 to 6"):
            tensors.cp(a, rank)
    with pytest.raises(ValueError, match="at least two dimensions"):
        tensors.cp(noise((3,)), 1)
    for method in (tensors.hosvd, tensors.tucker):
        with pytest.raises(ValueError, match="expected 3 ranks"):
            method(a, (1, 2))
        with pytest.raises(ValueError, match="of at least 1, not 0"):
            method(a, (0, 1, 1))
        with pytest.raises(ValueError, match="from 1 to 4, not 5"):
            method(a, (1, 5, 1))
        with pytest.raises(ValueError, match="from 1 to 2, not 3"):
            method(noise((9, 2)), (3, 2))


A = noise((3, 4, 2))
METHODS = {"cp": (tensors.cp, 2), "tucker": (tensors.tucker, (2, 2, 2))}


@pytest.mark.parametrize(("method", "rank"), METHODS.values(), ids=METHODS)
@pytest.mark.parametrize(("option", "value", "error"), [
    ("iterations", 0, ValueError), ("iterations", 10**30, ValueError),
    ("iterations", -3, ValueError), ("iterations", 1.5, ValueError),
    ("iterations", None, TypeError), ("iterations", True, TypeError), ("tol", np.nan, ValueError),
    ("tol", np.inf, ValueError), ("tol", -np.inf, ValueError), ("tol", -1, ValueError),
    ("tol", None, TypeError), ("tol", 1j, TypeError), ("tol", "0", TypeError),
])  # fmt: skip
def test_bad_options(method, rank, option, value, error):
    with pytest.raises(error, match=f"{option} must be"):
        method(A, rank, **{option: value})


def test_seeds():
    for seed in (np.uint8(3), np.int64(3), torch.tensor(3)):
        np.testing.assert_array_equal(tensors.cp(A, 2, seed=seed)[0], tensors.cp(A, 2, seed=3)[0])
    with pytest.raises(TypeError, match="seed must be a number, not None"):
        tensors.cp(A, 2, seed=None)
    with pytest.raises(ValueError, match="seed must be a whole number from 0"):
        tensors.cp(A, 2, seed=-1)


def test_numbers_of_numpy_are_ranks():
    for method, rank in METHODS.values():
        first, _ = method(
            A, np.array(rank, np.uint8) if method is tensors.tucker else np.int8(rank)
        )
        np.testing.assert_array_equal(first, method(A, rank)[0])


META = torch.ones(3, 4, 2, device="meta")
PARTS = planted_factors((3, 4, 2), 2)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: tensors.cp_full(np.float64(1), PARTS), TypeError, "not float64"),
        (lambda: tensors.cp_full(np.array(1.0), PARTS), ValueError, r"weights are \(\)"),
        (lambda: tensors.cp_full(np.ones(3), PARTS), ValueError, r"factor 0 is \(3, 2\)"),
        (lambda: tensors.cp_full(np.ones(2), PARTS[:1]), ValueError, "at least two factors, not 1"),
        (
            lambda: tensors.cp_full(np.ones(2), [PARTS[0], torch.ones(4, 2)]),
            ValueError,
            r"weights and factor 1 must be of one type, not numpy float64 and torch torch\.float32",
        ),
        (lambda: tensors.cp_full(torch.ones(2, device="meta"), PARTS), TypeError, "meta"),
        (lambda: tensors.tucker_full(META, PARTS), TypeError, "meta"),
        (lambda: tensors.tucker_full(A, []), ValueError, "3 dimensions has as many factors: 0"),
        (lambda: tensors.tucker_full(A, PARTS[:1]), ValueError, "as many factors: 1"),
        (lambda: tensors.tucker_full(A, PARTS), ValueError, r"expected a matrix \(m, 3\)"),
        (lambda: tensors.mode_product(META, torch.ones(2, 3), 0), TypeError, "meta"),
        (lambda: tensors.mode_product(A, META[0], 0), TypeError, "meta"),
        (lambda: tensors.mode_product(A, np.ones((2, 4)), 0), ValueError, r"\(m, 3\) for mode 0"),
        (lambda: tensors.mode_product(A, np.ones(3), 0), ValueError, r"not \(3,\)"),
        (lambda: tensors.mode_product(A, np.ones((2, 3), np.float32), 0), ValueError, "one type"),
        (lambda: tensors.mode_product(A, np.ones((2, 3)), 3), ValueError, "from 0 to 2"),
        (
            lambda: tensors.mode_product(A, np.ones((2, 3)), True),
            TypeError,
            "mode must be a number",
        ),
        (lambda: tensors.tucker(A, (2, None, 2)), TypeError, r"ranks\[1\] must be a number"),
        (lambda: tensors.tucker(A, 2), TypeError, "ranks must be a sequence of whole numbers"),
    ],
)
def test_parts_that_do_not_fit(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_masked_and_sparse_tensors_are_refused():
    masked = np.ma.array(np.ones((3, 4)), mask=np.eye(3, 4))
    for a, match in ((masked, "masked"), (torch.eye(3).to_sparse(), "dense")):
        for method, rank in ((tensors.cp, 1), (tensors.hosvd, (1, 1)), (tensors.tucker, (1, 1))):
            with pytest.raises(TypeError, match=match):
                method(a, rank)


def test_small_ranks_make_tensorly_warn_and_us_not():
    a = np.random.default_rng(0).standard_normal((2, 2, 2))
    core, factors = tensors.tucker(a, (1, 1, 2))  # a warning would fail this test
    assert core.shape == (1, 1, 2)
    assert np.linalg.norm(tensors.tucker_full(core, factors)) <= np.linalg.norm(a)

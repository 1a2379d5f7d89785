import numpy as np
import pytest
import torch

from uecompress.tensors import (
    TensorTrain,
    TTMatrix,
    exponential_sum,
    tt_laplacian,
    tt_reciprocal_of_sum,
    tt_sin_of_sum,
    tt_sum,
    tt_svd,
)

KINDS = [np.asarray, torch.from_numpy]
SHAPES = [(4,), (3, 5), (4, 1, 3), (3, 2, 4, 2, 3)]


def grids(shape, kind=np.asarray, seed=0):
    rng = np.random.default_rng(seed)
    return [kind(rng.uniform(0.5, 2, n)) for n in shape]


def total(vectors):
    return sum(np.meshgrid(*(np.asarray(x) for x in vectors), indexing="ij"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("build", "function"), [(tt_sum, lambda s: s), (tt_sin_of_sum, np.sin)])
def test_functions_of_rank_two(build, function, shape, kind):
    vectors = grids(shape, kind)
    train = build(vectors)
    assert train.shape == shape
    assert train.ranks == (1, *[2] * (len(shape) - 1), 1)
    assert isinstance(train.cores[0], type(vectors[0]))
    np.testing.assert_allclose(train.full(), function(total(vectors)), atol=1e-14)


def test_no_smaller_rank_would_do():
    vectors = grids((5, 5, 5, 5))
    for build in (tt_sum, tt_sin_of_sum):
        assert build(vectors).round(0).ranks == (1, 2, 2, 2, 1)


def test_the_sine_of_a_thousand_angles():
    angles = np.linspace(0, 1, 1000)
    train = tt_sin_of_sum([np.array([angle, -angle]) for angle in angles])
    signs = np.random.default_rng(0).integers(0, 2, (20, 1000))
    expected = np.sin(((1 - 2 * signs) * angles).sum(1))
    np.testing.assert_allclose(train.at(signs), expected, atol=1e-11)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("eps", [1e-1, 1e-4, 1e-8, 1e-12])
def test_reciprocal_of_a_sum(shape, kind, eps):
    vectors = grids(shape, kind)
    train, s = tt_reciprocal_of_sum(vectors, eps), total(vectors)
    terms = len(exponential_sum(s.min(), s.max(), eps)[0])
    assert train.ranks == (1, *[terms] * (len(shape) - 1), 1)
    assert isinstance(train.cores[0], type(vectors[0]))
    assert np.abs(np.asarray(train.full()) * s - 1).max() <= eps + 1e-14


@pytest.mark.parametrize("eps", [0.3, 1e-2, 1e-5, 1e-9, 1e-13])
@pytest.mark.parametrize(("smallest", "largest"), [(1, 1), (0.01, 5), (2, 2e6)])
def test_exponential_sum_keeps_its_promise_and_little_more(smallest, largest, eps):
    weights, rates = exponential_sum(smallest, largest, eps)
    s = np.geomspace(smallest, largest, 500)
    off = np.abs(s * (np.exp(-np.outer(s, rates)) @ weights) - 1).max()
    assert off <= eps + 1e-14
    assert off >= eps / 20 or eps < 1e-12
    assert (weights > 0).all()


def test_rounding_finds_the_small_ranks():
    vectors = [np.arange(1.0, 11)] * 6
    train = tt_reciprocal_of_sum(vectors, 1e-9).round(1e-8)
    s = total(vectors)
    assert np.linalg.norm(train.full() - 1 / s) <= 1.1e-8 * np.linalg.norm(1 / s)
    assert max(train.ranks) <= 8
    assert train.ranks == tt_svd(1 / s, 1e-8).ranks


def test_float32_is_kept():
    vectors = [x.astype(np.float32) for x in grids((3, 4, 5))]
    for train in (tt_sum(vectors), tt_sin_of_sum(vectors), tt_reciprocal_of_sum(vectors, 1e-4)):
        assert all(core.dtype == np.float32 for core in train.cores)
    np.testing.assert_allclose(train.full(), 1 / total(vectors), rtol=1e-4)


@pytest.mark.parametrize("shape", [(4,), (3, 5), (3, 1, 4), (2, 3, 2, 3)])
def test_laplacian_is_the_kronecker_sum(shape):
    h = 0.25
    dense = np.zeros((np.prod(shape),) * 2)
    for axis, n in enumerate(shape):
        second = (2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)) / h**2
        before, after = np.eye(int(np.prod(shape[:axis]))), np.eye(int(np.prod(shape[axis + 1 :])))
        dense += np.kron(before, np.kron(second, after))
    laplacian = tt_laplacian(shape, h)
    assert isinstance(laplacian, TTMatrix)
    assert laplacian.ranks == (1, *[2] * (len(shape) - 1), 1)
    assert laplacian.row_shape == laplacian.column_shape == shape
    np.testing.assert_allclose(laplacian.full(), dense, atol=1e-12)
    x = np.random.default_rng(0).standard_normal((3, len(dense)))
    np.testing.assert_allclose(laplacian @ x, x @ dense, atol=1e-11)


def test_laplacian_of_a_sine_wave_in_ten_dimensions():
    n, d = 20, 10
    h = 1 / (n + 1)
    wave = np.sin(np.pi * h * np.arange(1, n + 1))
    train = TensorTrain([wave[None, :, None]] * d)
    eigenvalue = d * (2 - 2 * np.cos(np.pi * h)) / h**2  # about d π²
    off = tt_laplacian((n,) * d, h) @ train - eigenvalue * train
    assert off.norm() <= 1e-10 * eigenvalue * train.norm()


@pytest.mark.parametrize("build", [tt_sum, tt_sin_of_sum, lambda v: tt_reciprocal_of_sum(v, 0.1)])
def test_bad_vectors(build):
    good = np.ones(3)
    for vectors, match in [
        ([], "at least one vector"),
        ([good, np.ones((2, 2))], r"vector 1 must be one-dimensional .*\(2, 2\)"),
        ([good, good.astype(np.float32)], "vector 1 must be .* of the type of vector 0"),
        ([good, torch.ones(3, dtype=torch.float64)], "vector 1 must be"),
        ([np.arange(3), good], "vector 0 must be of float32 or float64, not int64"),
        ([good, good * np.nan], "vector 1 contains NaN"),
        ([good, good[:0]], "vector 1 must not be empty"),
    ]:
        with pytest.raises(ValueError, match=match):
            build(vectors)
    with pytest.raises(TypeError, match="not list"):
        build([[1.0, 2.0]])


def test_a_reciprocal_needs_positive_sums_and_an_accuracy():
    with pytest.raises(ValueError, match=r"sums must be positive, but they are in 0\.0\.\.2\.0"):
        tt_reciprocal_of_sum([np.array([-1.0, 0]), np.array([1.0, 2])], 0.1)
    for eps in (0, 1, -0.1, np.nan):
        with pytest.raises(ValueError, match=r"eps must be in \[1e-15, 1\), not"):
            tt_reciprocal_of_sum([np.ones(2)] * 2, eps)
    for sums in ((1e-301, 1), (1, 1e301), (1, np.inf)):
        with pytest.raises(ValueError, match=r"must be in \[1e-300, 1e\+300\]"):
            exponential_sum(*sums, 0.1)
    for sums in ((None, 1), (1, "2"), (1j, 2)):
        with pytest.raises(TypeError, match="must be a number"):
            exponential_sum(*sums, 0.1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("dtype", "scales"), [
    (np.float32, (1e-36, 1e-20, 1e20, 1e36)), (np.float64, (1e-299, 1e-200, 1e200, 1e299))
])  # fmt: skip
def test_reciprocals_over_the_range_of_the_type(kind, dtype, scales):
    for scale in scales:
        vectors = [(x * scale).astype(dtype) for x in grids((3, 4, 2))]
        train = tt_reciprocal_of_sum([kind(x) for x in vectors], 1e-4)
        product = np.asarray(train.full(), np.longdouble) * total(vectors)
        np.testing.assert_allclose(product.astype(float), 1, atol=2e-4)
    far = [kind(np.array([1e-30, 1e30], np.float32))] * 2
    with pytest.raises(ValueError, match="the largest rate of the exponential sum overflows"):
        tt_reciprocal_of_sum(far, 1e-4)
    tiny = [kind(np.full(2, 1e-42, np.float32))] * 2
    with pytest.raises(ValueError, match="the reciprocal of the sum overflows"):
        tt_reciprocal_of_sum(tiny, 1e-4)


def test_bad_grids():
    with pytest.raises(ValueError, match="at least one direction"):
        tt_laplacian(())
    for n in (0, 1.5, 10**30):
        with pytest.raises(ValueError, match="must be a whole number"):
            tt_laplacian((3, n))
    for shape in (3, (None,), (True,), "3"):
        with pytest.raises(TypeError, match="shape"):
            tt_laplacian(shape)
    for spacing in (0, -1, np.nan, np.inf, 1e-200, 1e200):
        with pytest.raises(ValueError, match="spacing must be"):
            tt_laplacian((3,), spacing)
    with pytest.raises(TypeError, match="spacing must be a number"):
        tt_laplacian((3,), None)

import itertools
import re
import warnings
from functools import partial

import numpy as np
import pytest
import teneva
import torch
from threadpoolctl import threadpool_limits

from uecompress.tensors.amen_cross import amen_cross
from uecompress.tensors.cross import add_random, interpolate
from uecompress.tensors.dmrg_cross import dmrg_cross
from uecompress.tensors.tensor_train import TensorTrain
from uecompress.tensors.tt_cross import tt_cross

METHODS = {
    "tt": partial(tt_cross, rank=8),
    "dmrg": partial(dmrg_cross, eps=1e-10),
    "amen": partial(amen_cross, eps=1e-10),
}
each_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


def one_over_sum(indices):
    return 1 / (1 + indices.sum(axis=1))


def one_over_two_plus_sum(indices):
    return 1 / (2 + indices.sum(axis=1) / 20)


def wave_and_cone(indices):
    x = indices / 19
    return np.sin(x.sum(axis=1)) + np.exp(-np.sqrt(0.1 + (x**2).sum(axis=1)))


FUNCTIONS = {
    "1/(2 + sum), 20^5": (one_over_two_plus_sum, (20,) * 5),
    "sin + exp, 20^6": (wave_and_cone, (20,) * 6),
    "1/(1 + sum), 10^10": (one_over_sum, (10,) * 10),
}


def random_points(shape, count=20000, seed=123):
    return np.random.default_rng(seed).integers(0, shape, size=(count, len(shape)))


def error(f, shape, train):
    """The relative error, on points that no method has seen."""
    points = random_points(shape)
    return np.linalg.norm(train.at(points) - f(points)) / np.linalg.norm(f(points))


def random_train(shape, ranks, seed=0):
    rng = np.random.default_rng(seed)
    return TensorTrain(
        [
            rng.standard_normal((r, n, s))
            for r, n, s in zip((1, *ranks), shape, (*ranks, 1), strict=True)
        ]
    )


class Counted:
    """A function that records what it is asked for."""

    def __init__(self, f):
        self.f, self.asked = f, []

    def __call__(self, indices):
        assert indices.dtype == np.int64
        self.asked += map(tuple, indices.tolist())
        return self.f(indices)


EXACT = [
    ((6, 7, 5, 8), (2, 5, 3)),
    ((10,) * 6, (2, 3, 5, 4, 2)),
    ((4, 1, 5, 1, 6), (3, 3, 4, 4)),
    ((30, 20), (5,)),
    ((2,) * 10, (2, 4, 5, 5, 5, 5, 5, 4, 2)),
]


@each_method
@pytest.mark.parametrize(("shape", "ranks"), EXACT)
@pytest.mark.parametrize("seed", range(3))
def test_tensors_of_small_rank_are_recovered_with_their_ranks(method, shape, ranks, seed):
    exact = random_train(shape, ranks, seed)
    found = method(exact.at, shape, seed=seed)
    assert found.ranks == exact.ranks
    assert all(core.dtype == np.float64 for core in found.cores)
    difference = np.linalg.norm(found.full() - exact.full())
    assert difference <= 1e-10 * np.linalg.norm(exact.full())


@pytest.mark.parametrize(("shape", "ranks"), EXACT)
def test_tt_cross_with_the_right_ranks_for_each_unfolding(shape, ranks):
    exact = random_train(shape, ranks)
    found = tt_cross(exact.at, shape, ranks)
    assert found.ranks == exact.ranks
    np.testing.assert_allclose(found.full(), exact.full(), atol=1e-10)


def test_tt_cross_has_the_ranks_asked_for_where_they_are_possible():
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((3, 4, 2, 5))
    assert tt_cross(lambda i: noise[tuple(i.T)], noise.shape, 2).ranks == (1, 2, 2, 2, 1)
    assert tt_cross(lambda i: noise[tuple(i.T)], noise.shape, [1, 4, 3]).ranks == (1, 1, 4, 3, 1)
    everything = tt_cross(lambda i: noise[tuple(i.T)], noise.shape, 1000)
    assert everything.ranks == (1, 3, 10, 5, 1)
    assert everything.evaluations == noise.size
    np.testing.assert_allclose(everything.full(), noise, atol=1e-12)


@pytest.mark.parametrize("method", [dmrg_cross, amen_cross])
@pytest.mark.parametrize("eps", [1e-2, 1e-5, 1e-8, 1e-11, 0.0])
@pytest.mark.parametrize("name", list(FUNCTIONS)[:2])
def test_error_follows_eps(method, eps, name):
    f, shape = FUNCTIONS[name]
    if method is dmrg_cross:
        shape = shape[:4]
    train = method(f, shape, eps)
    assert error(f, shape, train) <= max(2 * eps, 1e-12)
    assert train.error_estimate <= max(eps, 1e-13)


@pytest.mark.parametrize("seed", range(3))
def test_ten_dimensions_from_a_millionth_of_the_entries(seed):
    f, shape = FUNCTIONS["1/(1 + sum), 10^10"]
    for train in (amen_cross(f, shape, 3e-7, seed=seed), tt_cross(f, shape, 9, seed=seed)):
        assert train.evaluations <= 25_000  # of 10¹⁰
        assert error(f, shape, train) < 1e-6
    train = dmrg_cross(f, shape, 1e-6, seed=seed)
    assert train.evaluations <= 100_000
    assert error(f, shape, train) < 1e-6


def test_larger_ranks_of_tt_cross_are_better():
    f, shape = FUNCTIONS["1/(2 + sum), 20^5"]
    errors = [error(f, shape, tt_cross(f, shape, rank)) for rank in (1, 2, 4, 6, 8)]
    assert all(b < a / 10 for a, b in itertools.pairwise(errors))


def test_evaluations_are_of_the_order_of_each_method():
    """Sweeps of d n r² and d n² r²: twice as large n costs twice and four times as much."""

    def cost(method, n, d):
        return method(random_train((n,) * d, (3,) * (d - 1)).at, (n,) * d).evaluations

    for name, growth in (("tt", 2), ("amen", 2), ("dmrg", 4)):
        method = METHODS[name]
        assert cost(method, 80, 4) / cost(method, 40, 4) == pytest.approx(growth, rel=0.15)
        assert cost(method, 20, 16) / cost(method, 20, 8) == pytest.approx(2, rel=0.35)


@each_method
def test_evaluations_are_counted_and_none_is_repeated(method):
    f = Counted(one_over_sum)
    train = method(f, (7,) * 5)
    assert train.evaluations + train.validations == len(f.asked) == len(set(f.asked))
    assert train.validations <= (100 if method is METHODS["tt"] else 0)
    assert all(0 <= i < 7 for index in f.asked for i in index)


@each_method
@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint64])
def test_shapes_of_numpy_are_those_of_python(method, dtype):
    def f(indices):
        assert indices.dtype == np.int64
        return 1 / (1.0 + indices.sum(axis=1))

    expected = method(f, (16, 4, 16, 4))  # 16·4·16·4 is 0 in eight bits
    found = method(f, tuple(np.array([16, 4, 16, 4], dtype)))
    assert found.ranks == expected.ranks
    for a, b in zip(found.cores, expected.cores, strict=True):
        np.testing.assert_array_equal(a, b)


@each_method
@pytest.mark.parametrize("shape", [(9,), (1,), (6, 8), (1, 1), (1, 6), (1, 1, 5, 1), (2, 3, 4, 5)])
def test_small_tensors_and_dimensions_of_size_one(method, shape):
    def f(indices):
        return np.cos(1 + indices @ np.arange(1.0, len(shape) + 1))

    train = method(f, shape)
    grid = np.indices(shape).reshape(len(shape), -1).T
    assert train.shape == shape
    np.testing.assert_allclose(train.full().ravel(), f(grid), atol=1e-12)
    assert train.evaluations <= len(grid)
    assert train.error_estimate <= 1e-10
    if len(shape) == 1:
        assert train.evaluations == shape[0]


@each_method
@pytest.mark.parametrize("value", [0.0, -3.0])
def test_constants(method, value):
    train = method(lambda i: np.full(len(i), value), (5, 4, 3, 6))
    assert train.ranks == (1, 1, 1, 1, 1)
    np.testing.assert_allclose(train.full(), value, atol=1e-14)


@each_method
@pytest.mark.parametrize("scale", [1e-300, 1e-250, 1e250, 1e299])
def test_scale_does_not_matter(method, scale):
    points = random_points((8,) * 5)
    train = method(lambda i: scale * one_over_sum(i), (8,) * 5)
    np.testing.assert_allclose(train.at(points) / scale, one_over_sum(points), atol=1e-6)


@pytest.mark.parametrize("name", ["dmrg", "amen"])
@pytest.mark.parametrize("seed", range(4))
def test_zeros_in_the_way_are_got_past(name, seed):
    """A product is zero on most crosses through random points."""
    train = METHODS[name](lambda i: i.prod(axis=1).astype(float), (9,) * 8, seed=seed)
    assert error(lambda i: i.prod(axis=1), (9,) * 8, train) < 1e-12
    periodic = METHODS[name](lambda i: i.sum(axis=1) % 3 == 0, (6,) * 5, seed=seed)
    assert error(lambda i: i.sum(axis=1) % 3 == 0, (6,) * 5, periodic) < 1e-12


@pytest.mark.parametrize(
    ("method", "option"), [(tt_cross, 8), (dmrg_cross, 1e-4), (amen_cross, 1e-4)]
)
@pytest.mark.parametrize("seed", range(2))
def test_a_narrow_peak_is_missed_and_no_estimate_says_so(method, option, seed):
    """What no cross method can do: a Gaussian peak that is nearly all of the tensor's norm."""
    shape, centre = (10,) * 10, np.array([6, 3, 7, 2, 5, 8, 4, 6, 3, 7])

    def f(indices):
        peak = 1e6 * np.exp(-5 * ((indices - centre) ** 2).sum(axis=1))
        return one_over_sum(indices) + peak

    train = method(f, shape, option, seed=seed)
    assert train.error_estimate <= 1e-4
    assert error(f, shape, train) <= 1e-4  # random points miss it too
    around = centre + np.array(list(itertools.product((-1, 0, 1), repeat=10)))
    off = np.linalg.norm(train.at(around) - f(around))
    assert off > 0.99 * np.linalg.norm(f(around))
    elsewhere = 10**5 * np.sqrt(np.mean(f(random_points(shape)) ** 2))  # of 10¹⁰ entries
    assert np.linalg.norm(f(around)) > 100 * elsewhere


@each_method
def test_same_seed_same_train_and_another_seed_another(method):
    first, second, other = (method(one_over_sum, (9,) * 5, seed=seed) for seed in (3, 3, 4))
    for a, b in zip(first.cores, second.cores, strict=True):
        np.testing.assert_array_equal(a, b)
    assert first.evaluations == second.evaluations
    assert first.error_estimate == second.error_estimate
    assert other.evaluations != first.evaluations


@each_method
def test_thread_count_does_not_matter(method):
    trains = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            trains.append(method(one_over_sum, (12,) * 5))
    points = random_points((12,) * 5)
    np.testing.assert_allclose(trains[0].at(points), trains[1].at(points), atol=1e-6)
    if method is not METHODS["tt"]:
        np.testing.assert_allclose(trains[0].at(points), trains[1].at(points), atol=1e-9)


@each_method
def test_functions_may_return_torch_tensors_and_other_types(method):
    shape = (6,) * 4
    exact = method(one_over_sum, shape)
    for f in (
        lambda i: torch.from_numpy(one_over_sum(i)).requires_grad_(),
        lambda i: one_over_sum(i).tolist(),
        lambda i: one_over_sum(i).astype(np.longdouble),
    ):
        for a, b in zip(method(f, shape).cores, exact.cores, strict=True):
            np.testing.assert_array_equal(a, b)
    half = method(lambda i: torch.ones(len(i), dtype=torch.bfloat16), shape)
    np.testing.assert_allclose(half.full(), 1, atol=1e-14)
    with pytest.raises(TypeError, match="masked arrays are not supported"):
        method(lambda i: np.ma.array(one_over_sum(i), mask=i[:, 0] == 0), shape)
    whole = method(lambda i: i.sum(axis=1), shape)  # integers
    np.testing.assert_allclose(whole.full(), np.indices(shape).sum(axis=0), atol=1e-12)


@each_method
def test_functions_that_change_their_argument(method):
    def f(indices):
        values = one_over_sum(indices)
        indices[:] = -1
        return values

    np.testing.assert_array_equal(method(f, (6,) * 4).full(), method(one_over_sum, (6,) * 4).full())


def not_finite(value):
    def f(indices):
        return np.where((indices == [2, 1, 0]).all(axis=1), value, 1.0 + indices.sum(axis=1) ** 3)

    return f


@each_method
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e301])
def test_entries_that_are_not_finite_are_named(method, value):
    named = re.escape(str(value))
    with pytest.raises(ValueError, match=rf"returned {named} at the index \(2, 1, 0\), not a"):
        method(not_finite(value), (3, 2, 1))


@each_method
@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda i: one_over_sum(i)[:, None], r"one number for each row .* not shape \(\d+, 1\)"),
        (lambda i: one_over_sum(i)[1:], r"one number for each row of its \(\d+, 3\) indices"),
        (lambda i: 1.0, r"not shape \(\)"),
        (lambda i: None, r"not shape \(\)"),
        (lambda i: one_over_sum(i) + 0j, "real numbers, not complex128"),
        (lambda i: torch.complex(*2 * [torch.from_numpy(one_over_sum(i))]), "not complex128"),
        (lambda i: np.full(len(i), "1"), "real numbers, not <U1"),
    ],
)
def test_functions_that_return_something_else(method, f, message):
    with pytest.raises(ValueError, match=message):
        method(f, (4, 5, 6))


@each_method
def test_exceptions_of_the_function_pass_through(method):
    class OwnError(Exception):
        pass

    def f(indices):
        raise OwnError("from within")

    with pytest.raises(OwnError, match="from within"):
        method(f, (4, 5, 6))


@each_method
@pytest.mark.parametrize("shape", [(3, 0, 2), (3, -1), (3, 2.5), (3, np.nan), (3, 10**30)])
def test_bad_shapes(method, shape):
    with pytest.raises(ValueError, match=r"shape.* must be a whole number"):
        method(one_over_sum, shape)
    with pytest.raises(ValueError, match="at least one dimension"):
        method(one_over_sum, ())


@each_method
@pytest.mark.parametrize("shape", [(3, True), (3, "4"), (3, None), 5])
def test_shapes_that_are_no_numbers(method, shape):
    with pytest.raises(TypeError, match="shape"):
        method(one_over_sum, shape)


@pytest.mark.parametrize("rank", [0, -1, 1.5, np.nan, [2, 0, 2], [2, 1.5, 2]])
def test_bad_ranks(rank):
    with pytest.raises(ValueError, match="must be a whole number of at least 1, not"):
        tt_cross(one_over_sum, (4, 5, 6, 7), rank)


@pytest.mark.parametrize("rank", [True, "2", None, [2, None, 2]])
def test_ranks_that_are_no_numbers(rank):
    with pytest.raises(TypeError, match="must be a number"):
        tt_cross(one_over_sum, (4, 5, 6, 7), rank)


def test_numbers_of_numpy_are_ranks_and_seeds():
    expected = tt_cross(one_over_sum, (6, 5, 4), 3, seed=2, sweeps=2)
    for rank in (np.int8(3), 3.0, np.array([3, 3], np.uint8)):
        found = tt_cross(one_over_sum, (6, 5, 4), rank, seed=np.uint8(2), sweeps=np.int16(2))
        for a, b in zip(found.cores, expected.cores, strict=True):
            np.testing.assert_array_equal(a, b)


@each_method
def test_an_unrepeatable_seed_is_refused(method):
    with pytest.raises(TypeError, match="seed must be a number, not None"):
        method(one_over_sum, (4, 5), seed=None)
    with pytest.raises(ValueError, match="seed must be a whole number from 0"):
        method(one_over_sum, (4, 5), seed=-1)


def test_sizes_are_checked_before_anything_is_asked_for():
    f = Counted(one_over_sum)
    with pytest.raises(ValueError, match="entries is too large: the limit is 10,000,000"):
        tt_cross(f, (1000,) * 6, 10**30)
    assert f.asked == []


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_error_at_too_small_a_rank_is_reported(name, rank):
    f, shape = FUNCTIONS[name]
    for method in (
        partial(tt_cross, rank=rank),
        partial(dmrg_cross, eps=1e-10, max_rank=rank, sweeps=3),
        partial(amen_cross, eps=1e-10, max_rank=rank, sweeps=3),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            train = method(f, shape)
        assert train.error_estimate > 0.3 * error(f, shape, train) > 1e-6
        assert 0 < train.validations <= 100


def test_a_train_that_no_longer_changes_need_not_be_right():
    train = tt_cross(one_over_sum, (9,) * 5, 1)
    assert 0.5 < train.error_estimate < 1.5  # the sweeps agree with each other to 2e-16
    zero = tt_cross(lambda i: (i == 3).all(axis=1), (20,) * 5, 2)
    assert zero.error_estimate <= 1e-12  # also where all that is seen is 0


def test_wrong_number_of_ranks():
    with pytest.raises(ValueError, match="a tensor of 3 dimensions has 2 ranks, not 4"):
        tt_cross(one_over_sum, (4, 5, 6), (1, 2, 2, 1))


@pytest.mark.parametrize("method", [partial(tt_cross, rank=2), dmrg_cross, amen_cross])
@pytest.mark.parametrize("eps", [-1e-3, np.nan, np.inf])
def test_bad_eps(method, eps):
    with pytest.raises(ValueError, match="eps must be at least 0 and finite, not"):
        method(one_over_sum, (4, 5), eps=eps)


@each_method
def test_bad_sweeps(method):
    with pytest.raises(ValueError, match="sweeps must be a whole number from 1 to 1000, not 0"):
        method(one_over_sum, (4, 5), sweeps=0)


@pytest.mark.parametrize("method", [dmrg_cross, amen_cross])
def test_max_rank_and_the_warning(method):
    with pytest.raises(ValueError, match="max_rank must be a whole number of at least 1, not 0"):
        method(one_over_sum, (4, 5), 1e-3, max_rank=0)
    with pytest.warns(
        RuntimeWarning, match="no more sweeps: the estimated error is .*eps = 1.0e-1"
    ):
        train = method(one_over_sum, (9,) * 4, 1e-10, max_rank=3, sweeps=5)
    assert train.ranks == (1, 3, 3, 3, 1)
    assert train.error_estimate > 1e-10
    assert error(one_over_sum, (9,) * 4, train) < 0.02


@each_method
@pytest.mark.parametrize("sweeps", [1, 2, 3])
def test_stopping_after_any_sweep_keeps_the_order_of_dimensions(method, sweeps):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        train = method(one_over_sum, (4, 5, 6, 7), sweeps=sweeps)
    assert train.shape == (4, 5, 6, 7)
    if sweeps > 1 or method is not METHODS["amen"]:  # whose first ranks are 2
        assert error(one_over_sum, (4, 5, 6, 7), train) < 0.1


def test_interpolation_is_as_accurate_as_its_rank_allows():
    rng = np.random.default_rng(0)
    a = (
        rng.standard_normal((40, 30))
        @ np.diag(0.3 ** np.arange(30))
        @ rng.standard_normal((30, 30))
    )
    s = np.linalg.svd(a, compute_uv=False)
    for rank in (1, 3, 6, 10):
        rows, c = interpolate(a, 0.0, rank)
        # C S, with S picking the rows, is a projection, so ‖A − C S A‖ ≤ ‖C‖ ‖A − Q Qᵀ A‖
        bound = 1.05 * np.sqrt(40 * rank) * np.linalg.norm(s[rank:])
        assert np.linalg.norm(a - c @ a[rows]) <= bound
    tails = np.sqrt(np.cumsum(s[::-1] ** 2))[::-1]
    assert len(interpolate(a, 1e-3)[0]) == (tails > 1e-3 * tails[0]).sum()


def test_random_multi_indices_are_different_and_all_of_them_where_few():
    rng = np.random.default_rng(0)
    start = np.array([[1, 2], [1, 2], [0, 0]])
    some = add_random(start, (2, 3), 4, rng)
    np.testing.assert_array_equal(some[:2], [[1, 2], [0, 0]])
    assert len(np.unique(some, axis=0)) == len(some) == 4
    assert len(np.unique(add_random(start, (2, 3), 99, rng), axis=0)) == 6


def run_teneva(f, shape, e):
    """Evaluations and error of teneva's cross, with its cache: the cheaper way."""
    info = {}
    start = teneva.rand(shape, 1, seed=0)
    cores = teneva.cross(f, start, e=e, nswp=20, info=info, cache={})
    return info["m"], error(f, shape, TensorTrain(cores))


def run_torchtt(f, shape, eps, method):
    """Evaluations and error of torchTT's interpolation of a function of indices."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that it has no compiled part
        torchtt = pytest.importorskip("torchtt")
    asked = []

    def g(indices):
        indices = np.rint(indices.numpy()).astype(np.int64)
        asked.append(len(indices))
        return torch.from_numpy(f(indices))

    torch.manual_seed(0)
    if method == "dmrg":
        train = torchtt.interpolate.dmrg_cross(g, list(shape), eps=eps)
    else:
        grid = torchtt.meshgrid([torch.arange(n, dtype=torch.float64) for n in shape])
        train = torchtt.interpolate.function_interpolate(g, grid, eps=eps, method="amen")
    return sum(asked), error(f, shape, TensorTrain([core.numpy() for core in train.cores]))


def cheapest(runs, target):
    """The fewest evaluations of the runs that reach an error."""
    return min((cost for cost, reached in runs if reached <= target), default=np.inf)


# torchTT 0.5.0: (evaluations, error) of its AMEn at eps 1e-2, 1e-4, 1e-6 and 1e-8, and of its DMRG
# at 1e-4 and 1e-6, as run_torchtt measures them. It has to be compiled, so it may be absent.
TORCHTT = {
    "1/(2 + sum), 20^5": {
        "amen": [(4280, 0.0015), (8060, 3.1e-05), (10320, 5.1e-07), (16920, 1.2e-08)],
        "dmrg": [(110400, 5.3e-07), (145600, 8.2e-09)],
    },
    "sin + exp, 20^6": {
        "amen": [(10260, 0.0064), (29660, 0.00013), (50560, 5.8e-07), (75000, 8.4e-09)],
        "dmrg": [(286800, 1.4e-05), (440000, 1.2e-07)],
    },
    "1/(1 + sum), 10^10": {
        "amen": [(19450, 0.045), (29800, 0.00043), (47300, 3.1e-06), (82790, 2.3e-08)],
        "dmrg": [(477800, 1.9e-05), (235100, 1.7e-07)],
    },
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_at_most_twice_the_evaluations_of_the_better_peer_at_equal_error(name):
    f, shape = FUNCTIONS[name]
    peers = [run_teneva(f, shape, e) for e in (1e-1, 1e-2, 1e-4)] + TORCHTT[name]["amen"]
    ours = {
        "tt": [tt_cross(f, shape, rank) for rank in range(2, 12)],
        "amen": [amen_cross(f, shape, 10.0**-k) for k in range(1, 11)],
    }
    for trains in ours.values():
        runs = [(train.evaluations, error(f, shape, train)) for train in trains]
        for cost, reached in peers:
            assert cheapest(runs, reached) <= 2 * cost


@pytest.mark.parametrize("name", FUNCTIONS)
def test_dmrg_cross_against_torchtt(name):
    f, shape = FUNCTIONS[name]
    trains = [dmrg_cross(f, shape, 10.0**-k) for k in range(2, 9)]
    runs = [(train.evaluations, error(f, shape, train)) for train in trains]
    for cost, reached in TORCHTT[name]["dmrg"]:
        assert cheapest(runs, reached) <= cost


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_figures_of_torchtt_are_current(name):
    for method, levels in {"amen": (1e-2, 1e-4, 1e-6, 1e-8), "dmrg": (1e-4, 1e-6)}.items():
        for eps, (cost, reached) in zip(levels, TORCHTT[name][method], strict=True):
            measured = run_torchtt(*FUNCTIONS[name], eps, method)
            assert measured[0] == pytest.approx(cost, rel=0.1)
            assert measured[1] == pytest.approx(reached, rel=0.5)

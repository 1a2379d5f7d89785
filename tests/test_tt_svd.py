import math
import warnings

import numpy as np
import pytest
import scipy.linalg
import tensorly.decomposition
import torch

from uecompress import tensors
from uecompress.tensors.cp import tensorly_backend

SHAPES = [(6, 5, 4, 7), (10, 12), (3, 4, 5, 2, 3), (8, 1, 9), (30, 3, 20), (2,) * 10]
EPS = [1e-8, 1e-3, 0.03, 0.1, 0.3, 0.9]


def noise(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def decaying(shape, seed=0):
    """Noise that falls by half with every step of every index: unfoldings of decaying spectra."""
    a = noise(shape, seed)
    for axis, n in enumerate(shape):
        a *= np.expand_dims(0.5 ** np.arange(n), [k for k in range(len(shape)) if k != axis])
    return a


def random_train(shape, rank, seed=0):
    ranks = [1, *[rank] * (len(shape) - 1), 1]
    rng = np.random.default_rng(seed)
    return tensors.TensorTrain(
        [rng.standard_normal((ranks[k], n, ranks[k + 1])) for k, n in enumerate(shape)]
    )


def error(train, a):
    return np.linalg.norm(np.asarray(train.full(), dtype=np.float64) - np.asarray(a))


def tails(a, ranks):
    """The error of the best approximation of each unfolding at those ranks."""
    unfoldings = (tensors.unfold(a, k) for k in range(1, a.ndim))
    singular = (np.linalg.svd(m, compute_uv=False) for m in unfoldings)
    return [np.linalg.norm(s[r:]) for s, r in zip(singular, ranks[1:-1], strict=True)]


@pytest.mark.parametrize("seed", range(50))
def test_eps_is_respected(seed):
    shape, eps = SHAPES[seed % len(SHAPES)], EPS[seed // len(SHAPES) % len(EPS)]
    for a in (noise(shape, seed), decaying(shape, seed)):
        train = tensors.tt_svd(a, eps)
        assert error(train, a) <= eps * np.linalg.norm(a)
        delta = eps / math.sqrt(len(shape) - 1) * np.linalg.norm(a)
        one_less = tails(a, [r - 1 for r in train.ranks])[0]
        assert one_less > delta or train.ranks[1] == 1  # the first rank is the smallest for δ


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rank", [1, 2, 5])
def test_bounds_of_the_error(shape, rank):
    for a in (noise(shape), decaying(shape)):
        train = tensors.tt_svd(a, max_rank=rank)
        assert max(train.ranks) <= rank
        dropped, off = tails(a, train.ranks), error(train, a)
        rounding = 1e-13 * np.linalg.norm(a)
        assert off <= np.linalg.norm(dropped) + rounding  # theorem 2.2
        best = max(dropped)  # no train of these ranks is closer
        assert best - rounding <= off <= math.sqrt(len(shape) - 1) * best + rounding


@pytest.mark.parametrize("shape", SHAPES)
def test_without_limits_it_is_exact(shape):
    a = noise(shape)
    train = tensors.tt_svd(a)
    assert error(train, a) <= 1e-12 * np.linalg.norm(a)
    rows, columns = np.cumprod(shape)[:-1], np.cumprod(shape[::-1])[-2::-1]
    assert train.ranks == (1, *np.minimum(rows, columns), 1)


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
@pytest.mark.parametrize(("shape", "rank"), [((9, 8, 7, 6), 3), ((6,) * 6, 2), ((40, 50), 7)])
def test_a_train_is_recovered(shape, rank, kind):
    for seed in range(10):
        planted = random_train(shape, rank, seed)
        a = planted.full()
        train = tensors.tt_svd(kind(a))
        assert train.ranks == planted.ranks
        assert isinstance(train.cores[0], type(kind(a)))
        assert error(train, a) <= 1e-12 * np.linalg.norm(a)


@pytest.mark.parametrize("shape", SHAPES)
def test_both_limits_hold(shape):
    a = decaying(shape)
    loose, tight = tensors.tt_svd(a, 0.1), tensors.tt_svd(a, 1e-6)
    both = tensors.tt_svd(a, 0.1, max_rank=2)
    assert both.ranks == tuple(min(r, 2) for r in loose.ranks)
    assert loose.parameters <= tight.parameters


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_all_cores_but_the_last_are_orthogonal(shape, dtype):
    for a in (noise(shape), decaying(shape), random_train(shape, 2).full()):
        train = tensors.tt_svd(a.astype(dtype), max_rank=6)
        for core in train.cores[:-1]:
            u = core.reshape(-1, core.shape[2]).astype(np.float64)
            np.testing.assert_allclose(u.T @ u, np.eye(u.shape[1]), atol=20 * np.finfo(dtype).eps)


@pytest.mark.parametrize("rank", [2, 4])
def test_the_cores_are_those_of_tensorly_up_to_signs(rank):
    a = noise((6, 5, 4, 7))
    ours = tensors.tt_svd(a, max_rank=rank)
    with tensorly_backend("numpy"):  # others may have set another one
        theirs = tensorly.decomposition.tensor_train(a, list(ours.ranks))
        off = np.linalg.norm(theirs.to_tensor() - a)
    assert error(ours, a) == pytest.approx(off, rel=1e-13)
    signs = np.ones(1)
    for g, h in zip(ours.cores, theirs.factors, strict=True):
        h = signs[:, None, None] * h
        signs = np.sign((g * h).sum((0, 1)))
        np.testing.assert_allclose(g, h * signs, atol=1e-12)


# torchTT 0.5.0: ranks and error of its TT-SVD of decaying((6, 5, 4, 7)) for each eps. It has to be
# compiled, so it may be absent.
TORCHTT = {
    0.3: ((1, 3, 5, 3, 1), 0.2350170424338108),
    0.1: ((1, 5, 8, 5, 1), 0.07452630403952266),
    1e-3: ((1, 6, 23, 7, 1), 0.00044987003850915745),
}


@pytest.mark.parametrize("eps", TORCHTT)
def test_torch_tt_finds_the_same_errors_and_ranks(eps):
    a = decaying((6, 5, 4, 7))
    train = tensors.tt_svd(a, eps)
    assert (train.ranks, error(train, a)) == (TORCHTT[eps][0], pytest.approx(TORCHTT[eps][1]))


def test_the_figures_of_torch_tt_are_current():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that it has no compiled part
        torchtt = pytest.importorskip("torchtt")
    a = torch.from_numpy(decaying((6, 5, 4, 7)))
    for eps, (ranks, off) in TORCHTT.items():
        theirs = torchtt.TT(a, eps=eps)
        assert (tuple(map(int, theirs.R)), (theirs.full() - a).norm()) == (
            ranks,
            pytest.approx(off),
        )


def test_float32_is_as_exact_as_its_digits():
    grid = np.arange(1, 9, dtype=np.float64)
    sums = sum(np.meshgrid(*[grid] * 5, indexing="ij"))
    a = (1 / sums).astype(np.float32)
    train = tensors.tt_svd(a, max_rank=16)
    assert all(core.dtype == np.float32 for core in train.cores)
    exact = tensors.TensorTrain([core.astype(np.float64) for core in train.cores])
    assert error(exact, a.astype(np.float64)) < 1e-6 * np.linalg.norm(a)


def test_known_ranks():
    i = np.arange(1, 11)
    total = sum(np.meshgrid(*[i] * 6, indexing="ij"))
    assert tensors.tt_svd(np.sin(total / 7)).ranks == (1, 2, 2, 2, 2, 2, 1)
    assert tensors.tt_svd(total * 1.0).ranks == (1, 2, 2, 2, 2, 2, 1)
    reciprocal = tensors.tt_svd(1 / total, 1e-8)
    assert max(reciprocal.ranks) <= 8
    assert error(reciprocal, 1 / total) <= 1e-8 * np.linalg.norm(1 / total)


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_small_shapes(kind, dtype):
    vector = tensors.tt_svd(kind(noise((5,)).astype(dtype)))
    assert vector.ranks == (1, 1)
    np.testing.assert_array_equal(vector.full(), noise((5,)).astype(dtype))
    ones = tensors.tt_svd(kind(np.full((1, 1, 1), 3, dtype)))
    assert (ones.ranks, float(ones[0, 0, 0])) == ((1, 1, 1, 1), pytest.approx(3))
    zero = tensors.tt_svd(kind(np.zeros((3, 1, 4), dtype)), 0.1)
    assert zero.ranks == (1, 1, 1, 1)
    assert not zero.full().any()
    assert zero.full().dtype == kind(np.zeros(1, dtype)).dtype


def test_tiny_and_huge_numbers():
    a = random_train((5, 6, 7), 2).full()
    for scale in (1e-140, 1e140):
        train = tensors.tt_svd(a * scale)
        assert train.ranks == (1, 2, 2, 1)
        assert error(train, a * scale) / scale < 1e-12 * np.linalg.norm(a)


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
@pytest.mark.parametrize(("dtype", "scales"), [
    (np.float32, (1e-36, 2.7e-23, 1e-13, 1e13, 1e19, 1e30, 1e36)),
    (np.float64, (1e-305, 1.6e-162, 1e160, 1e300)),
])  # fmt: skip
def test_eps_is_kept_over_the_whole_range_of_the_type(kind, dtype, scales):
    for ordinary in (scipy.linalg.hadamard(8), noise((4, 5, 6)), decaying((6, 5, 4))):
        ranks = tensors.tt_svd(kind(ordinary.astype(dtype)), 0.5).ranks
        for scale in scales:
            a = (ordinary * scale).astype(dtype)
            train = tensors.tt_svd(kind(a), 0.5)
            assert train.ranks == ranks or ordinary.ndim == 2  # whose singular values are equal
            off = np.asarray(train.full(), np.longdouble) - a
            assert np.linalg.norm(off / scale) <= 0.5 * np.linalg.norm(ordinary) * (1 + 1e-6)
            rounded = tensors.tt_svd(kind(a)).round(0.5)
            off = np.asarray(rounded.full(), np.longdouble) - a
            assert np.linalg.norm(off / scale) <= 0.5 * np.linalg.norm(ordinary) * (1 + 1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_norm_beyond_the_type_is_refused(dtype):
    limits = np.finfo(dtype)
    with pytest.raises(ValueError, match=r"norm of the tensor overflows .*scale the tensor down"):
        tensors.tt_svd(np.full((5, 6, 7), limits.max / 2, dtype))
    with pytest.raises(ValueError, match=r"norm of the tensor underflows .*scale the tensor up"):
        tensors.tt_svd(np.full((2, 3), limits.smallest_subnormal * 8, dtype))


def test_the_input_stays_as_it_was():
    a = noise((4, 5, 6))
    before = a.copy()
    tensors.tt_svd(a, max_rank=2).cores[0][:] = 0
    np.testing.assert_array_equal(a, before)
    vector = noise((4,))
    tensors.tt_svd(vector).cores[0][:] = 0
    assert vector.any()


def test_any_memory_layout():
    a = noise((4, 5, 6))
    expected = tensors.tt_svd(a, max_rank=2).full()
    a.flags.writeable = False
    for other in (a, np.asfortranarray(a), np.flip(np.flip(a, 1).copy(), 1)):
        np.testing.assert_array_equal(tensors.tt_svd(other, max_rank=2).full(), expected)
    parameter = torch.nn.Parameter(torch.from_numpy(a.T.copy()).permute(2, 1, 0))
    train = tensors.tt_svd(parameter, max_rank=2)
    np.testing.assert_allclose(train.full(), expected, rtol=0, atol=1e-14)  # another BLAS path
    assert not train.cores[0].requires_grad


@pytest.mark.parametrize(
    ("a", "match"),
    [
        (np.ones((2, 2), np.complex128), "float32 or float64, not complex128"),
        (torch.ones(2, 2, dtype=torch.complex64), "not torch.complex64"),
        (np.ones((2, 2), np.int64), "not int64"),
        (torch.ones(2, 2, dtype=torch.float16), "not torch.float16"),
        (np.array([1, np.nan]), "NaN or infinity"),
        (torch.tensor([[1.0, math.inf]]), "NaN or infinity"),
        (np.zeros((3, 0, 2)), "must not be empty"),
        (np.array(1.0), "must not be empty or a scalar"),
    ],
)
def test_bad_tensors(a, match):
    with pytest.raises(ValueError, match=match):
        tensors.tt_svd(a)


@pytest.mark.parametrize("eps", [-1e-3, math.nan, math.inf])
def test_bad_eps(eps):
    with pytest.raises(ValueError, match="eps must be at least 0 and finite"):
        tensors.tt_svd(noise((2, 3)), eps)
    with pytest.raises(ValueError, match="eps must be at least 0 and finite"):
        random_train((2, 3), 1).round(eps)


@pytest.mark.parametrize("rank", [0, -1, 1.5])
def test_bad_rank(rank):
    with pytest.raises(ValueError, match="rank must be a whole number of at least 1"):
        tensors.tt_svd(noise((2, 3)), max_rank=rank)
    with pytest.raises(ValueError, match="rank must be a whole number of at least 1"):
        random_train((2, 3), 1).round(0.0, max_rank=rank)


def test_numbers_of_any_kind_are_options_and_nothing_else():
    a = decaying((4, 5, 6))
    expected = tensors.tt_svd(a, 0.1, 3)
    found = tensors.tt_svd(a, np.array(0.1), np.uint8(3))
    for g, h in zip(found.cores, expected.cores, strict=True):
        np.testing.assert_array_equal(g, h)
    for options in ({"eps": None}, {"eps": "0"}, {"eps": 1j}, {"max_rank": True}):
        with pytest.raises(TypeError, match="must be a number"):
            tensors.tt_svd(a, **options)
        with pytest.raises(TypeError, match="must be a number"):
            expected.round(**options)


def test_what_is_no_dense_array_is_refused():
    for a, match in [
        ([[1.0, 2.0]], "not list"),
        (np.ma.array(np.ones((3, 4)), mask=np.eye(3, 4)), "masked"),
        (torch.eye(3).to_sparse(), "dense"),
        (torch.ones(2, 2, device="meta"), "meta"),
    ]:
        with pytest.raises(TypeError, match=match):
            tensors.tt_svd(a)

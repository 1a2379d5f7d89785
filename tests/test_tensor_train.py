import itertools
import math
import warnings

import numpy as np
import pytest
import torch
from trains import KINDS, close, cores, train

from uecompress.tensors import TensorTrain

SHAPES = [(5,), (4, 6), (3, 4, 2), (2, 1, 3, 1), (3, 2, 4, 2, 3)]


@pytest.mark.parametrize("kind", KINDS)
def test_an_entry_is_a_product_of_matrices(kind):
    g, h, k = cores((3, 4, 2), 3)
    t = train((3, 4, 2), 3, kind=kind)
    assert (t.shape, t.ranks, t.parameters) == ((3, 4, 2), (1, 3, 3, 1), 9 + 36 + 6)
    assert isinstance(t.full(), type(kind(g)))
    for i, j, l in itertools.product(range(3), range(4), range(2)):
        entry = (g[:, i] @ h[:, j] @ k[:, l]).item()
        assert float(t.full()[i, j, l]) == pytest.approx(entry, abs=1e-13)
        assert float(t[i, j, l]) == pytest.approx(entry, abs=1e-13)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_entries_by_index(shape, kind):
    t = train(shape, 3, kind=kind)
    rng = np.random.default_rng(1)
    indices = np.stack([rng.integers(-n, n, 50) for n in shape], 1)
    expected = np.asarray(t.full())[tuple(indices.T)]
    assert isinstance(t.at(indices), type(t.full()))
    assert close(t.at(indices), expected)
    assert close(t.at(torch.from_numpy(indices)), expected)
    assert t.at(np.empty((0, len(shape)), np.int64)).shape == (0,)
    for index, value in zip(indices.tolist(), expected, strict=True):
        assert float(t[tuple(index)]) == pytest.approx(value, abs=1e-12)
    assert float(t[(-1,) * len(shape)]) == pytest.approx(np.asarray(t.full()).flat[-1], abs=1e-12)


def test_bad_indices():
    t = train((3, 4), 2)
    for index in [(3, 0), (0, 4), (-4, 0), (0, -5)]:
        with pytest.raises(IndexError, match=r"out of range for \(3, 4\)"):
            t[index]
        with pytest.raises(IndexError, match=r"out of range for \(3, 4\)"):
            t.at([(0, 0), index])
    with pytest.raises(IndexError, match="expected 2 indices, not 1"):
        t[0]
    for indices in ([0, 1], [[0, 1, 2]], [[0.0, 1.0]], [[True, False]], 3, []):
        with pytest.raises(ValueError, match=r"whole numbers of shape \(n, 2\)"):
            t.at(indices)
    with pytest.raises(ValueError, match="whole numbers"):
        t[:, 0]
    with pytest.raises(TypeError, match="not iterable"):
        list(t)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_arithmetic_is_that_of_the_full_tensors(shape, kind):
    a, b = train(shape, 2, 0, kind), train(shape, 3, 1, kind)
    full_a, full_b = np.asarray(a.full()), np.asarray(b.full())
    inner = slice(1, len(shape))
    for result, expected, rank in [
        (a + b, full_a + full_b, 5),
        (a - b, full_a - full_b, 5),
        (a * b, full_a * full_b, 6),
        (2 * a, 2 * full_a, 2),
        (a * np.float64(-0.5), -0.5 * full_a, 2),
        (np.float64(3) * a, 3 * full_a, 2),
        (a * a.norm(), np.linalg.norm(full_a) * full_a, 2),
        (-a, -full_a, 2),
        (0 * a, 0 * full_a, 2),
    ]:
        assert close(result.full(), expected)
        assert result.ranks[inner] == (rank,) * (len(shape) - 1)
        assert isinstance(result.cores[0], type(a.cores[0]))
    assert float(a.dot(b)) == pytest.approx((full_a * full_b).sum(), abs=1e-12)
    assert float(a.norm()) == pytest.approx(np.linalg.norm(full_a), rel=1e-13)
    assert close(a.full(), full_a, 0)  # the operands are as they were


# torchTT 0.5.0: ranks, norm and entry (1, 2, 3, 1) of what it makes of the trains below, and two
# numbers. It has to be compiled, so it may be absent.
TORCHTT = {
    "sum": ((1, 5, 5, 5, 1), 34.45430957574139, 2.141445687881709),
    "product": ((1, 6, 6, 6, 1), 21.017698570677645, 0.3377258792807971),
    "rounded": ((1, 2, 2, 2, 1), 18.959938083444065, 0.3428667718972094),
}
TORCHTT_DOT, TORCHTT_NORM = 2.2808769589314277, 9.47996904172203


def results(a, b):
    return {
        "sum": a + b,
        "product": a * b,
        "rounded": (a + a).round(1e-10),
    }


@pytest.mark.parametrize("kind", KINDS)
def test_agreement_with_torch_tt(kind):
    a, b = train((3, 4, 5, 2), 2, 0, kind), train((3, 4, 5, 2), 3, 1, kind)
    for name, ours in results(a, b).items():
        numbers = float(ours.norm()), float(ours[1, 2, 3, 1])
        assert (ours.ranks, *numbers) == (
            TORCHTT[name][0],
            *(pytest.approx(value, rel=1e-10) for value in TORCHTT[name][1:]),
        )
    assert float(a.dot(b)) == pytest.approx(TORCHTT_DOT, rel=1e-12)
    assert float(a.norm()) == pytest.approx(TORCHTT_NORM, rel=1e-12)


def test_the_figures_of_torch_tt_are_current():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that it has no compiled part
        torchtt = pytest.importorskip("torchtt")
    a, b = train((3, 4, 5, 2), 2, 0, torch.from_numpy), train((3, 4, 5, 2), 3, 1, torch.from_numpy)
    p, q = torchtt.TT(a.cores), torchtt.TT(b.cores)
    for name, theirs in results(p, q).items():
        full = theirs.full()
        assert (tuple(map(int, theirs.R)), full.norm(), full[1, 2, 3, 1]) == (
            TORCHTT[name][0],
            *(pytest.approx(value, rel=1e-10) for value in TORCHTT[name][1:]),
        )
    assert torchtt.dot(p, q) == pytest.approx(TORCHTT_DOT, rel=1e-12)
    assert p.norm() == pytest.approx(TORCHTT_NORM, rel=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kind_and_type_are_kept(kind, dtype):
    t = train((3, 4, 5), 2, 0, kind, dtype)
    expected = kind(np.ones(1, dtype))
    for result in (t + t, t * t, t - t, 2 * t, np.float64(2) * t, t * np.float32(2), t.round(0.1)):
        for core in result.cores:
            assert (type(core), core.dtype) == (type(expected), expected.dtype)
    for value in (t.full(), t.dot(t), t.norm(), t[0, 0, 0], t.at([[0, 0, 0]])):
        assert value.dtype == expected.dtype


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("factor", [2, np.float64(2), np.array(2.0), np.array(2), torch.tensor(2.0),
                                    torch.tensor(2), np.int8(2)])  # fmt: skip
def test_any_number_times_a_train_keeps_its_type(kind, factor):
    t = train((3, 4), 2, 0, kind, np.float32)
    for result in (t * factor, factor * t if isinstance(factor, int | np.generic) else t * factor):
        assert result.cores[0].dtype == t.cores[0].dtype
        np.testing.assert_array_equal(result.full(), 2 * t.full())


@pytest.mark.parametrize("factor", [True, np.bool_(True), 1j, np.array(1j), "2", None, [2.0]])
def test_what_is_no_number_times_a_train(factor):
    with pytest.raises(TypeError, match="the factor of a train must be a number"):
        train((3, 4), 2) * factor


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("dtype", "large"), [(np.float32, 1e30), (np.float64, 1e250)])
def test_arithmetic_over_the_whole_range_of_the_type(kind, dtype, large):
    a, b = train((3, 4, 5), 2, 0, kind, dtype), train((3, 4, 5), 3, 1, kind, dtype)
    tol = {np.float32: 1e-5, np.float64: 1e-12}[dtype]
    huge, small = a * large, b * (1 / large)
    assert float(huge.norm()) / large == pytest.approx(float(a.norm()), rel=tol)
    assert float(small.norm()) * large == pytest.approx(float(b.norm()), rel=tol)
    assert float(huge.dot(small)) == pytest.approx(float(a.dot(b)), rel=100 * tol)
    assert close((huge * small).full(), (a * b).full(), tol)
    assert huge.round(0.5).ranks == a.round(0.5).ranks
    assert close((huge.round(0.5) * (1 / large)).full(), a.round(0.5).full(), tol)
    for bad in (lambda: huge.dot(huge), lambda: huge * huge, lambda: huge * large):
        with pytest.raises(ValueError, match="overflows"):
            bad()
    for bad in (lambda: small.dot(small), lambda: small * small, lambda: small * (1 / large)):
        with pytest.raises(ValueError, match="underflows"):
            bad()


@pytest.mark.parametrize("kind", KINDS)
def test_scales_that_are_hidden_in_the_cores(kind):
    g, h, k = (kind(core) for core in cores((3, 4, 2), 2))
    plain, hidden = TensorTrain([g, h, k]), TensorTrain([g * 1e200, h * 1e-250, k * 1e50])
    assert float(hidden.norm()) == pytest.approx(float(plain.norm()), rel=1e-12)
    assert float(hidden.dot(plain)) == pytest.approx(float(plain.dot(plain)), rel=1e-12)
    assert close(hidden.round(0.1).full(), plain.round(0.1).full())
    assert close(hidden.full(), plain.full())
    large = TensorTrain([g * 1e200, h * 1e200, k * 1e-300])
    for entries in (large.full, lambda: large.at([[0, 0, 0]])):
        with pytest.raises(ValueError, match="a product of the cores overflows"):
            entries()


def test_masked_indices_and_cores_are_refused():
    t = train((3, 4), 2)
    with pytest.raises(TypeError, match="masked"):
        t.at(np.ma.array([[0, 1]], mask=[[False, True]]))
    with pytest.raises(TypeError, match="masked"):
        TensorTrain([np.ma.array(core) for core in t.cores])


def test_a_hundred_dimensions():
    ones = TensorTrain([np.ones((1, 2, 1))] * 100)
    assert ones.dot(ones) == 2.0**100  # the number of entries
    assert ones.norm() == pytest.approx(2.0**50, rel=1e-12)
    assert (ones + ones).round(0).ranks == ones.ranks
    assert (ones + ones)[(1,) * 100] == 2


def test_the_norm_of_a_small_difference_is_exact():
    a = train((5, 6, 7), 3)
    off = a - (1 + 1e-11) * a
    assert off.norm() == pytest.approx(1e-11 * a.norm(), rel=1e-3)


def test_gradients_of_everything_but_rounding():
    first = [torch.from_numpy(core).requires_grad_() for core in cores((2, 3, 2), 2)]
    second = [torch.from_numpy(core).requires_grad_() for core in cores((2, 3, 2), 2, 1)]

    def results(*both):
        a, b = TensorTrain(both[:3]), TensorTrain(both[3:])
        return (a * b - 2 * a).full(), a.dot(b), a.norm(), b.at([[0, 1, 1], [1, 2, 0]])

    assert torch.autograd.gradcheck(results, (*first, *second))
    assert not TensorTrain(first).round(0).cores[0].requires_grad


def test_trains_that_do_not_match():
    a = train((3, 4), 2)
    for operation in ("__add__", "__sub__", "__mul__", "dot"):
        with pytest.raises(ValueError, match=r"different shapes: \(3, 4\) and \(3, 5\)"):
            getattr(a, operation)(train((3, 5), 2))
        with pytest.raises(ValueError, match=r"numpy float64 and torch torch\.float64"):
            getattr(a, operation)(train((3, 4), 2, kind=torch.from_numpy))
        with pytest.raises(ValueError, match="numpy float64 and numpy float32"):
            getattr(a, operation)(train((3, 4), 2, dtype=np.float32))
    with pytest.raises(TypeError, match="expected a TensorTrain, not ndarray"):
        a.dot(np.ones((3, 4)))
    for other in (np.ones((3, 4)), "x", None):
        with pytest.raises(TypeError):
            a * other
        with pytest.raises(TypeError):
            a + other
        with pytest.raises(TypeError):
            a - other
    with pytest.raises(ValueError, match="NaN"):
        a * math.nan


def test_bad_cores():
    good = cores((3, 4), 2)
    for bad, match in [
        ([], "at least one core"),
        ([good[0]], "ranks of the cores do not fit"),
        ([good[1]], "ranks of the cores do not fit"),
        ([good[0], good[1][:1]], r"do not fit.*\(1, 3, 2\), \(1, 4, 1\)"),
        ([good[0][0], good[1]], r"core 0 must have 3 dimensions, not shape \(3, 2\)"),
        ([good[0], good[1].astype(np.float32)], "core 1 is of float32, core 0 of float64"),
        ([good[0], torch.from_numpy(good[1])], "core 1 is of torch.float64, core 0 of float64"),
        ([good[0], good[1] * 1j], "core 1 must be of float32 or float64, not complex128"),
        ([good[0], good[1].astype(int)], "core 1 must be of float32 or float64, not int64"),
        ([good[0] * np.nan, good[1]], "core 0 contains NaN or infinity"),
        ([good[0][:, :0], good[1]], "core 0 must not be empty"),
    ]:
        with pytest.raises(ValueError, match=match):
            TensorTrain(bad)
    with pytest.raises(TypeError, match="not list"):
        TensorTrain([[[[1.0]]]])


def test_repr():
    assert repr(train((3, 4), 2)) == "TensorTrain(shape=(3, 4), ranks=(1, 2, 1))"

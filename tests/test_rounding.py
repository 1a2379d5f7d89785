import numpy as np
import pytest
from trains import KINDS, close, cores, train

from uecompress.tensors import TensorTrain, tt_svd


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rounding_a_sum_of_equals_gives_the_ranks_back(kind, dtype):
    a = train((6, 5, 7, 6), 3, 0, kind, dtype)
    twice = (a + a).round(0)
    assert twice.ranks == a.ranks
    tol = 1e-12 if dtype is np.float64 else 1e-5
    assert close(twice.full(), 2 * np.asarray(a.full()), tol)
    again = twice.round(0)
    assert again.ranks == twice.ranks
    assert close(again.full(), twice.full(), tol)
    square = (a * a).round(0)
    assert square.ranks == (1, 6, 6, 6, 1)  # r(r+1)/2 of the r² products differ
    assert close(square.full(), np.asarray(a.full()) ** 2, tol)


@pytest.mark.parametrize("eps", [0.9, 0.3, 0.05, 1e-3, 1e-8])
def test_rounding_respects_eps(eps):
    for seed, shape in enumerate([(9, 8), (7, 6, 5, 6), (3, 1, 4, 5), (2,) * 8]):
        a = train(shape, 2, seed)
        for k in range(2, 6):
            a = a + 10.0 ** (1 - k) * train(shape, 2, seed + 10 * k)
        full, b = a.full(), a.round(eps)
        assert close(b.full(), full, eps)
        assert all(r <= s for r, s in zip(b.ranks, a.ranks, strict=True))
        assert close(b.round(eps, max_rank=2).full(), tt_svd(b.full(), eps, 2).full(), 1e-9)


def test_rounding_finds_the_ranks_and_errors_of_tt_svd():
    a = train((6, 5, 4, 7), 6)
    for rank in (1, 2, 4):
        rounded, direct = a.round(0, max_rank=rank), tt_svd(a.full(), max_rank=rank)
        assert rounded.ranks == direct.ranks
        assert close(rounded.full(), direct.full(), 1e-11)
    for core in rounded.cores[:-1]:
        u = core.reshape(-1, core.shape[2])
        np.testing.assert_allclose(u.T @ u, np.eye(u.shape[1]), atol=1e-13)


def test_truncation_without_orthogonal_cores_would_be_wrong():
    g, h = cores((6, 6), 2)
    scales = np.array(
        [1e3, 1e-3]
    )  # the same tensor, with what is small in one core large in the next
    hidden = TensorTrain([g * scales, h / scales[:, None, None]])
    u, s, vh = np.linalg.svd(hidden.cores[0][0], full_matrices=False)
    assert s[1] < 0.01 * s[0]  # so it seems that rank 1 has an error below 1 %
    naive = (u[:, :1] * s[:1]) @ vh[:1] @ hidden.cores[1][:, :, 0]
    assert not close(naive, hidden.full(), 0.1)
    assert hidden.round(0.01).ranks == (1, 2, 1)
    assert close(hidden.round(0.01).full(), hidden.full(), 0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_small_and_zero_trains(kind):
    vector = train((5,), 1, 0, kind)
    assert close(vector.round(0.1).full(), vector.full())
    assert vector.round(0.1).ranks == (1, 1)
    zero = 0 * train((3, 1, 4), 2, 0, kind)
    assert zero.round(0.1).ranks == (1, 1, 1, 1)
    assert not zero.round(0).full().any()
    assert float(zero.norm()) == 0
    assert float(zero.dot(zero)) == 0


def test_rounding_leaves_the_operand_alone():
    a = train((3, 4, 5), 2)
    a.cores[1].flags.writeable = False
    before = [core.copy() for core in a.cores]
    rounded = (a + a).round(0.1), a.round(0.1)
    for core, old in zip(a.cores, before, strict=True):
        np.testing.assert_array_equal(core, old)
    assert rounded[0].ranks == rounded[1].ranks


def test_a_norm_beyond_all_numbers():
    ones = TensorTrain([np.ones((1, 1000, 1))] * 300)  # of norm 10^450
    with pytest.raises(ValueError, match="the norm of the tensor overflows"):
        ones.round(0.1)

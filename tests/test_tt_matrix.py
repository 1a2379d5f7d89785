import numpy as np
import pytest
import torch

from uecompress.tensors import TensorTrain, TTMatrix, tt_matrix, tt_svd

KINDS = [np.asarray, torch.from_numpy]
SIZES = [((3,), (4,)), ((2, 3), (4, 2)), ((4, 2, 3), (2, 5, 3)), ((1, 3, 2, 1), (2, 1, 2, 3))]


def cores(rows, columns, rank, seed=0, dtype=np.float64):
    ranks = [1, *[rank] * (len(rows) - 1), 1]
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((ranks[k], m, n, ranks[k + 1])).astype(dtype)
            for k, (m, n) in enumerate(zip(rows, columns, strict=True))]  # fmt: skip


def matrix(rows, columns, rank=2, seed=0, kind=np.asarray):
    return TTMatrix([kind(core) for core in cores(rows, columns, rank, seed)])


def test_an_entry_is_a_product_of_matrices_with_the_last_index_fastest():
    g, h = cores((2, 3), (4, 2), 2)
    w = TTMatrix([g, h])
    assert (w.shape, w.row_shape, w.column_shape) == ((6, 8), (2, 3), (4, 2))
    assert (w.ranks, w.parameters) == ((1, 2, 1), 16 + 12)
    assert repr(w) == "TTMatrix((2, 3) by (4, 2), ranks=(1, 2, 1))"
    for i1, i2, j1, j2 in np.ndindex(2, 3, 4, 2):
        entry = (g[:, i1, j1] @ h[:, i2, j2]).item()
        assert w.full()[3 * i1 + i2, 2 * j1 + j2] == pytest.approx(entry, abs=1e-14)


@pytest.mark.parametrize("kind", KINDS)
def test_rank_one_is_the_kronecker_product(kind):
    g, h, k = cores((2, 3, 2), (4, 2, 3), 1)
    expected = np.kron(g[0, ..., 0], np.kron(h[0, ..., 0], k[0, ..., 0]))
    full = TTMatrix([kind(g), kind(h), kind(k)]).full()
    np.testing.assert_allclose(full, expected, atol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("rows", "columns"), SIZES)
def test_tt_svd_of_a_matrix(rows, columns, kind):
    planted = matrix(rows, columns, kind=kind)
    a = planted.full()
    found = tt_matrix(a, rows, columns)
    assert isinstance(found.cores[0], type(a))
    assert (found.row_shape, found.column_shape) == (rows, columns)
    assert all(r <= s for r, s in zip(found.ranks, planted.ranks, strict=True))
    np.testing.assert_allclose(found.full(), a, atol=1e-12)


def test_accuracy_and_rank_limits():
    a = np.random.default_rng(0).standard_normal((24, 30))
    for eps in (0.1, 0.5):
        off = tt_matrix(a, (4, 2, 3), (2, 5, 3), eps).full() - a
        assert np.linalg.norm(off) <= eps * np.linalg.norm(a)
    assert max(tt_matrix(a, (4, 2, 3), (2, 5, 3), max_rank=3).ranks) == 3
    exact = tt_matrix(a, (4, 2, 3), (2, 5, 3))
    np.testing.assert_allclose(exact.full(), a, atol=1e-13)
    assert exact.ranks == (1, 8, 9, 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("rows", "columns"), SIZES)
@pytest.mark.parametrize("batch", [(), (1,), (5,), (2, 3), (0,)])
def test_product_with_vectors(rows, columns, batch, kind):
    w = matrix(rows, columns, 3, kind=kind)
    x = kind(np.random.default_rng(1).standard_normal((*batch, w.shape[1])))
    y = w @ x
    assert isinstance(y, type(x))
    assert tuple(y.shape) == (*batch, w.shape[0])
    np.testing.assert_allclose(y, x @ w.full().T, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("rows", "columns"), SIZES)
def test_product_with_a_train(rows, columns, kind):
    w = matrix(rows, columns, 3, kind=kind)
    x = tt_svd(kind(np.random.default_rng(1).standard_normal(columns)), max_rank=2)
    y = w @ x
    assert isinstance(y, TensorTrain)
    assert y.shape == rows
    assert y.ranks == tuple(r * s for r, s in zip(w.ranks, x.ranks, strict=True))
    np.testing.assert_allclose(y.full().reshape(-1), w @ x.full().reshape(-1), atol=1e-12)


def test_float32_is_kept():
    w = TTMatrix(cores((2, 3), (4, 2), 2, dtype=np.float32))
    x = np.ones((3, 8), np.float32)
    assert (w @ x).dtype == w.full().dtype == (w @ tt_svd(x[0].reshape(4, 2))).full().dtype
    assert w.full().dtype == np.float32


def test_gradients_with_respect_to_cores_and_vectors():
    parts = [torch.from_numpy(core) for core in cores((2, 3, 2), (3, 1, 2), 2)]
    x = torch.randn(3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    inputs = [part.requires_grad_() for part in (*parts, x)]

    def product(*inputs):
        return TTMatrix(inputs[:3]) @ inputs[3], TTMatrix(inputs[:3]).full()

    assert torch.autograd.gradcheck(product, inputs)


def test_bad_products():
    w = matrix((2, 3), (4, 2))
    for x, match in [
        (np.ones(6), r"expected vectors \(\.\.\., 8\), not shape \(6,\)"),
        (np.ones((8, 1)), r"expected vectors \(\.\.\., 8\)"),
        (np.array(1.0), "expected vectors"),
        (np.ones(8, np.float32), "numpy float64 cannot be multiplied with numpy float32"),
        (torch.ones(8, dtype=torch.float64), "cannot be multiplied with torch"),
        (tt_svd(np.ones((2, 3))), r"expected a train of shape \(4, 2\), not \(2, 3\)"),
        (tt_svd(torch.ones(4, 2)), "cannot be multiplied with torch"),
    ]:
        with pytest.raises(ValueError, match=match):
            w @ x
    with pytest.raises(TypeError, match="not list"):
        w @ [1.0] * 8


def test_bad_matrices():
    a = np.ones((6, 8))
    for rows, columns, match in [
        ((2, 3), (4, 3), r"shape \(6, 8\) is not \(2, 3\) by \(4, 3\)"),
        ((2, 3), (8,), "must be of one length"),
        ((), (), "must be of one length"),
    ]:
        with pytest.raises(ValueError, match=match):
            tt_matrix(a, rows, columns)
    with pytest.raises(ValueError, match="the matrix contains NaN"):
        tt_matrix(a * np.nan, (2, 3), (4, 2))
    with pytest.raises(ValueError, match="eps must be"):
        tt_matrix(a, (2, 3), (4, 2), eps=-1)
    with pytest.raises(ValueError, match="rank must be"):
        tt_matrix(a, (2, 3), (4, 2), max_rank=0)
    with pytest.raises(ValueError, match="core 0 must have 4 dimensions"):
        TTMatrix([np.ones((1, 2, 1))])
    with pytest.raises(ValueError, match="ranks of the cores do not fit"):
        TTMatrix([np.ones((1, 2, 2, 3))])

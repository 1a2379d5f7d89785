import itertools

import numpy as np
import pytest
import tensorly.base
import torch

from uecompress import tensors

SHAPES = [(3, 4), (2, 3, 4), (1, 3, 1), (4, 1, 2, 3), (2, 3, 1, 4, 2), (1, 1, 1, 1, 1)]
KINDS = [np.asarray, torch.as_tensor]


def counting(shape):
    return np.arange(np.prod(shape)).reshape(shape)


@pytest.mark.parametrize("kind", KINDS)
def test_the_example_of_the_slides(kind):
    a = np.empty((2, 2, 2), dtype=np.int64)
    for i, j, k in itertools.product((1, 2), repeat=3):
        a[i - 1, j - 1, k - 1] = 100 * i + 10 * j + k
    first = [[111, 121, 112, 122], [211, 221, 212, 222]]
    second = [[111, 112], [211, 212], [121, 122], [221, 222]]
    assert tensors.unfold(kind(a), 1).tolist() == first
    assert tensors.unfold(kind(a), 2).tolist() == second


@pytest.mark.parametrize("shape", SHAPES)
def test_unfold_is_the_reshape_in_fortran_order(shape):
    a = counting(shape)
    for k in range(1, len(shape)):
        expected = a.reshape((np.prod(shape[:k]), -1), order="F")
        np.testing.assert_array_equal(tensors.unfold(a, k), expected)
        np.testing.assert_array_equal(tensors.unfold(torch.from_numpy(a), k), expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_fold_undoes_unfold(shape, kind):
    a = kind(counting(shape))
    for k in range(1, len(shape)):
        back = tensors.fold(tensors.unfold(a, k), k, shape)
        assert type(back) is type(a)
        assert back.tolist() == a.tolist()
    for mode in range(len(shape)):
        back = tensors.fold_mode(tensors.unfold_mode(a, mode), mode, shape)
        assert type(back) is type(a)
        assert back.tolist() == a.tolist()


@pytest.mark.parametrize("shape", SHAPES)
def test_mode_unfolding_is_that_of_tensorly(shape):
    a = counting(shape)
    for mode in range(len(shape)):
        expected = tensorly.base.unfold(a, mode)
        np.testing.assert_array_equal(tensors.unfold_mode(a, mode), expected)
        np.testing.assert_array_equal(tensors.unfold_mode(torch.from_numpy(a), mode), expected)


def test_the_first_unfolding_has_the_columns_of_mode_0_in_another_order():
    a = counting((3, 4, 5, 2))
    ours, kolda = tensors.unfold_mode(a, 0), tensors.unfold(a, 1)
    assert (ours != kolda).any()
    assert sorted(ours.T.tolist()) == sorted(kolda.T.tolist())
    singular = [np.linalg.svd(m.astype(float), compute_uv=False) for m in (ours, kolda)]
    np.testing.assert_allclose(*singular, atol=1e-12)


def test_a_vector_has_one_mode_unfolding_and_no_other():
    assert tensors.unfold_mode(counting((4,)), 0).tolist() == [[0], [1], [2], [3]]
    with pytest.raises(ValueError, match="at least two dimensions, not 1"):
        tensors.unfold(counting((4,)), 1)


def test_gradients_pass_through():
    a = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(6, 4, dtype=torch.float64)
    (tensors.unfold(a, 2) * weights).sum().backward()
    assert torch.equal(a.grad, tensors.fold(weights, 2, (2, 3, 4)))


@pytest.mark.parametrize("k", [0, 3, -1, 1.5])
def test_k_out_of_range(k):
    with pytest.raises(ValueError, match="k must be a whole number from 1 to 2"):
        tensors.unfold(counting((2, 3, 4)), k)
    with pytest.raises(ValueError, match="k must be a whole number from 1 to 2"):
        tensors.fold(counting((2, 12)), k, (2, 3, 4))


@pytest.mark.parametrize("mode", [-1, 3])
def test_mode_out_of_range(mode):
    with pytest.raises(ValueError, match="mode must be a whole number from 0 to 2"):
        tensors.unfold_mode(counting((2, 3, 4)), mode)
    with pytest.raises(ValueError, match="mode must be a whole number from 0 to 2"):
        tensors.fold_mode(counting((2, 12)), mode, (2, 3, 4))


def test_a_matrix_of_another_shape_is_not_folded():
    with pytest.raises(ValueError, match=r"must have shape \(6, 4\), not \(4, 6\)"):
        tensors.fold(counting((4, 6)), 2, (2, 3, 4))
    with pytest.raises(ValueError, match=r"must have shape \(3, 8\), not \(8, 3\)"):
        tensors.fold_mode(counting((8, 3)), 1, (2, 3, 4))


def test_whole_numbers_of_any_kind_and_nothing_else():
    a = counting((2, 3, 4))
    for k in (np.int8(2), torch.tensor(2), 2.0):
        np.testing.assert_array_equal(tensors.unfold(a, k), tensors.unfold(a, 2))
        shape = tuple(np.array([2, 3, 4], np.uint8))
        np.testing.assert_array_equal(tensors.fold(tensors.unfold(a, k), k, shape), a)
        np.testing.assert_array_equal(tensors.fold_mode(tensors.unfold_mode(a, k), k, shape), a)
    for k in (True, None, "1"):
        with pytest.raises(TypeError, match="must be a number"):
            tensors.unfold(a, k)
        with pytest.raises(TypeError, match="must be a number"):
            tensors.unfold_mode(a, k)
    for shape, error in (((2, 3, -4), ValueError), ((2, 3, None), TypeError), (24, TypeError)):
        for fold in (tensors.fold, tensors.fold_mode):
            with pytest.raises(error, match="shape"):
                fold(counting((6, 4)), 1, shape)


def test_masked_and_sparse_tensors_are_refused():
    for unfold in (tensors.unfold, tensors.unfold_mode):
        with pytest.raises(TypeError, match="masked"):
            unfold(np.ma.array(np.ones((3, 4)), mask=np.eye(3, 4)), 1)
        with pytest.raises(TypeError, match="dense"):
            unfold(torch.eye(3).to_sparse(), 1)


def test_a_list_is_refused():
    with pytest.raises(TypeError, match="not list"):
        tensors.unfold([[1, 2]], 1)
    with pytest.raises(TypeError, match="not list"):
        tensors.unfold_mode([[1, 2]], 1)

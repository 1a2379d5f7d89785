import itertools
import warnings

import numpy as np
import pytest
import torch

from uecompress.tensors.maxvol import maxvol


def matrix(m, r, seed=0):
    return np.random.default_rng(seed).standard_normal((m, r))


def volume(a, rows):
    return abs(np.linalg.det(a[list(rows)]))


@pytest.mark.parametrize("shape", [(1, 1), (5, 1), (6, 6), (30, 4), (200, 20)])
@pytest.mark.parametrize("tolerance", [1.0, 1.05, 2.0])
def test_all_rows_are_small_combinations_of_the_chosen_ones(shape, tolerance):
    a = matrix(*shape)
    rows, c = maxvol(a, tolerance)
    assert rows.dtype == np.int64
    assert len(set(rows.tolist())) == shape[1]
    np.testing.assert_allclose(c @ a[rows], a, atol=1e-12)
    np.testing.assert_allclose(c[rows], np.eye(shape[1]), atol=1e-12)
    assert np.abs(c).max() <= tolerance + 1e-12


@pytest.mark.parametrize("seed", range(20))
def test_volume_is_near_the_largest_of_all(seed):
    a = matrix(9, 3, seed)
    largest = max(volume(a, rows) for rows in itertools.combinations(range(9), 3))
    found = volume(a, maxvol(a, 1.0)[0])
    # their ratio is |det| of three rows of C, at most 3^(3/2) by Hadamard's inequality
    assert largest / 3**1.5 <= found <= largest * (1 + 1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        start = volume(a, maxvol(a, 1.0, max_iterations=1)[0])
    assert start <= found * (1 + 1e-12)


def test_exchanges_are_needed():
    a = matrix(200, 20)
    with pytest.warns(RuntimeWarning, match=r"no more exchanges: an entry of C is 1\.\d+, above"):
        rows, c = maxvol(a, max_iterations=1)
    assert np.abs(c).max() > 1.2
    assert volume(a, maxvol(a)[0]) > 1.2 * volume(a, rows)


@pytest.mark.parametrize("seed", range(10))
def test_bound_holds_where_many_exchanges_are_needed(seed):
    shifts = np.random.default_rng(seed).uniform(0, 6, 12)
    waves = np.sin(np.linspace(0, 20, 400)[:, None] * np.arange(1, 13) + shifts)
    with pytest.warns(RuntimeWarning, match="no more exchanges"):
        early = maxvol(waves, 1.0, max_iterations=3)[1]
    assert np.abs(early).max() > 1.01
    assert np.abs(maxvol(waves, 1.0)[1]).max() <= 1 + 1e-12


def test_skeleton_decomposition_keeps_its_bound():
    """max |A − C Â⁻¹ R| ≤ (r + 1) σᵣ₊₁ for the submatrix of largest volume, by brute force."""
    for seed in range(10):
        a = matrix(6, 6, seed) * 3.0 ** -np.arange(6)
        s = np.linalg.svd(a, compute_uv=False)
        for r in (1, 2, 3):
            sets = list(itertools.combinations(range(6), r))
            rows, columns = max(
                itertools.product(sets, sets), key=lambda ij: abs(np.linalg.det(a[np.ix_(*ij)]))
            )
            middle = a[np.ix_(rows, columns)]
            skeleton = a[:, columns] @ np.linalg.solve(middle, a[list(rows)])
            assert np.abs(a - skeleton).max() <= (r + 1) * s[r]


def test_columns_of_any_scale_and_nearly_dependent_ones():
    a = matrix(40, 5)
    rows, c = maxvol(a)
    for other in (a * 10.0 ** np.array([200, -200, 0, 30, -30]), a @ matrix(5, 5, seed=1)):
        same_rows, same_c = maxvol(other)
        np.testing.assert_allclose(same_c @ other[same_rows], other, rtol=1e-9)
        assert np.abs(same_c).max() <= 1.05 + 1e-9
    np.testing.assert_array_equal(rows, maxvol(a * 1e-250)[0])
    edge = a * np.array([1e307, 1e-307, 1.0, 1e300, 1e-320])  # of every size that float64 has
    np.testing.assert_array_equal(rows, maxvol(edge)[0])
    np.testing.assert_allclose(maxvol(edge)[1][:, :4], c[:, :4], atol=1e-3)
    vandermonde = np.vander(np.linspace(0, 1, 50), 12)  # condition number 1e9
    rows, c = maxvol(vandermonde)
    np.testing.assert_allclose(c @ vandermonde[rows], vandermonde, atol=1e-7)
    assert np.abs(c).max() <= 1.05 + 1e-12


def test_other_kinds_of_input_and_input_unchanged():
    a = matrix(20, 3)
    copy = a.copy()
    rows, c = maxvol(a)
    np.testing.assert_array_equal(a, copy)
    np.testing.assert_array_equal(rows, maxvol(torch.from_numpy(a))[0])
    single = maxvol(a.astype(np.float32))
    np.testing.assert_array_equal(rows, single[0])
    np.testing.assert_allclose(c, single[1], atol=1e-5)


def test_teneva_chooses_as_good_rows():
    teneva = pytest.importorskip("teneva")
    for seed in range(10):
        a = matrix(100, 8, seed)
        theirs, c = teneva.maxvol(a, 1.05)
        ours, _ = maxvol(a, 1.05)
        assert volume(a, ours) >= 0.5 * volume(a, theirs)
        np.testing.assert_allclose(c @ a[theirs], a, atol=1e-10)


@pytest.mark.parametrize(
    ("a", "message"),
    [
        (np.ones((5, 2)), "singular: column 1"),
        (np.zeros((5, 2)), "singular: column 0"),
        (np.c_[matrix(5, 2), matrix(5, 2) @ [[1.0], [2.0]]], "singular: column 2"),
        (matrix(2, 3), r"as many rows as columns, not shape \(2, 3\)"),
        (np.array([[1.0], [np.nan]]), "NaN"),
        (np.ones((3, 1), dtype=complex), "float32 or float64"),
        (np.ones(3), "matrix"),
        (np.ones((3, 0)), "must not be empty"),
    ],
)
def test_bad_matrices(a, message):
    with pytest.raises(ValueError, match=message):
        maxvol(a)


@pytest.mark.parametrize("tolerance", [0.9, -1.0, np.nan, np.inf])
def test_bad_tolerance(tolerance):
    with pytest.raises(ValueError, match="tolerance must be at least 1 and finite"):
        maxvol(matrix(4, 2), tolerance)


@pytest.mark.parametrize("max_iterations", [0, -3, 1.5, np.inf, 10**30])
def test_bad_numbers_of_exchanges(max_iterations):
    with pytest.raises(ValueError, match="max_iterations must be a whole number from 1"):
        maxvol(matrix(4, 2), max_iterations=max_iterations)


def test_what_is_no_number_and_no_plain_array():
    for options in ({"tolerance": None}, {"tolerance": 1j}, {"max_iterations": True}):
        with pytest.raises(TypeError, match="must be a number"):
            maxvol(matrix(4, 2), **options)
    with pytest.raises(TypeError, match="masked"):
        maxvol(np.ma.array(matrix(4, 2), mask=matrix(4, 2) > 0))

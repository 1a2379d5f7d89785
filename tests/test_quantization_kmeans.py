"""The best codebook of numbers: kmeans1d's, brute force, and Lloyd's, which may be worse."""

import itertools

import numpy as np
import pytest
import torch
from foreign import images
from sklearn.cluster import KMeans

from uecompress import networks, quantization, storage


def cost(values, centres, label):
    return (values - centres[label]).square().sum().item()


def kinds(n, seed=0):
    """Normal, heavy tails, many ties, two far clumps."""
    x = images(n, seed=seed)
    return {
        "normal": x,
        "tails": x**5,
        "ties": (8 * x).round() / 8,
        "clumps": torch.cat([x, x + 99]),
    }


@pytest.mark.parametrize("kind", kinds(1))
@pytest.mark.parametrize("clusters", [1, 2, 3, 5])
def test_it_is_the_best_of_all_cuts_by_brute_force(kind, clusters):
    for seed in range(4):
        x = kinds(9, seed)[kind].sort().values
        best = min(
            sum(((x[a:b] - x[a:b].mean()) ** 2).sum().item() for a, b in itertools.pairwise(ends))
            for cuts in itertools.combinations(range(1, len(x)), clusters - 1)
            for ends in [(0, *cuts, len(x))]
        )
        centres, label = quantization.kmeans_1d(x, clusters)
        assert cost(x, centres, label) == pytest.approx(best, rel=1e-9, abs=1e-10)


@pytest.mark.parametrize("kind", kinds(1))
@pytest.mark.parametrize("clusters", [2, 7, 32])
def test_the_optimum_is_that_of_kmeans1d(kind, clusters):
    oracle = pytest.importorskip("kmeans1d")
    for n in (50, 3000, 20_000):
        x = kinds(n)[kind]
        centres, label = quantization.kmeans_1d(x, clusters)
        expected = oracle.cluster(x.tolist(), clusters)
        theirs = torch.tensor(expected.centroids)[torch.tensor(expected.clusters)].double()
        assert cost(x, centres, label) <= (x - theirs).square().sum() * (1 + 1e-9) + 1e-9


def test_lloyds_algorithm_is_never_better_and_may_be_worse():
    """3,000 normals, 16 centres: the optimum is 8.84e-3 in the notes, Lloyd's 10.1e-3."""
    worse = []
    for seed in range(3):
        x = images(3000, seed=seed)
        start = torch.linspace(x.min(), x.max(), 16, dtype=torch.float64)[:, None].numpy()
        lloyd = KMeans(16, init=start, n_init=1, max_iter=1000, tol=0).fit(x[:, None].numpy())
        centres, label = quantization.kmeans_1d(x, 16)
        found = cost(x, centres, label)
        assert found / 3000 == pytest.approx(0.0088, rel=0.07)
        worse.append(lloyd.inertia_ / found)
    assert min(worse) >= 1 - 1e-9
    assert max(worse) > 1.02


def test_each_number_has_its_nearest_centre_and_each_centre_is_a_mean():
    x = images(40, 50)
    centres, label = quantization.kmeans_1d(x, 6)
    assert label.shape == x.shape
    assert (centres.diff() > 0).all()
    nearest = (x[..., None] - centres).abs().argmin(-1)
    assert torch.equal(nearest, label)
    for k, centre in enumerate(centres):
        torch.testing.assert_close(x[label == k].mean(), centre, rtol=1e-9, atol=1e-12)


def test_few_values_are_centres_of_their_own():
    x = torch.tensor([3.0, -1.0, 3.0, 0.0])
    centres, label = quantization.kmeans_1d(x, 5)
    assert centres.tolist() == [-1, 0, 3]
    assert label.tolist() == [2, 0, 2, 1]
    centres, label = quantization.kmeans_1d(torch.full((3, 2), 0.5), 1)
    assert centres.tolist() == [0.5]
    assert not label.any()


def test_far_from_zero_no_digits_are_lost():
    x = images(2000)
    centres, label = quantization.kmeans_1d(x, 8)
    far, same = quantization.kmeans_1d(x + 2.0**20, 8)
    assert (label != same).double().mean() < 0.001  # x + 2²⁰ is rounded itself
    torch.testing.assert_close(far - 2.0**20, centres, rtol=0, atol=1e-6)


def test_codebooks_of_a_network_keep_zeros_and_are_better_than_clusters(tmp_path):
    model = networks.lenet300()
    model.linear1.weight.data[:, ::2] = 0
    model.linear3.weight.data[:] = 0
    best, lloyd = quantization.codebooks(model, 8), networks.cluster_weights(model, 8)
    for name in ("linear1", "linear2", "linear3"):
        weight, found = model.get_submodule(name).weight, best.get_submodule(name).weight
        assert torch.equal(weight == 0, found == 0)
        assert len(found[found != 0].unique()) == (8 if name != "linear3" else 0)
        errors = [
            (network.get_submodule(name).weight - weight).double().square().sum().item()
            for network in (best, lloyd)
        ]
        assert errors[0] <= errors[1] * (1 + 1e-6)
    assert storage.save(best, tmp_path / "file") < 266_610 * 3 / 8 * 0.8


NUMBERS = torch.ones(4)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: quantization.kmeans_1d(torch.zeros(0), 3), ValueError, "there are no values"),
        (lambda: quantization.kmeans_1d(NUMBERS / 0, 3), ValueError, "values contains NaN"),
        (lambda: quantization.kmeans_1d(NUMBERS, 0), ValueError, "clusters must be a whole number"),
        (lambda: quantization.kmeans_1d(NUMBERS, None), TypeError, "clusters must be a number"),
        (lambda: quantization.kmeans_1d(np.ones(4), 2), TypeError, "values must be a tensor"),
        (lambda: quantization.kmeans_1d(NUMBERS.int(), 2), TypeError, "floating-point numbers"),
        (lambda: quantization.codebooks(torch.nn.ReLU(), 2), ValueError, "no plain Linear"),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()

"""Whole hashed networks: what they promise, files, ensembles of hash seeds, and digits."""

import copy
import warnings

import pytest
import torch
from pruning_networks import digits
from torch import nn
from torch.nn.utils import parametrizations

from uecompress import data, hashing, networks, storage, training, uncertainty

METHODS = {
    "hashed": lambda model, ratio=4, seed=0: hashing.hashed(model, ratio=ratio, seed=seed),
    "max": lambda model, ratio=4, seed=0: hashing.hashed(
        model, ratio=ratio, folds=3, reduce="max", seed=seed
    ),
    "structured": lambda model, ratio=4, seed=0: hashing.structured(model, ratio=ratio, seed=seed),
    "subspace": lambda model, ratio=4, seed=0: hashing.random_subspace(
        model, dim=100 // ratio, nonzeros=2, seed=seed
    ),
    "ensemble": lambda model, ratio=4, seed=0: hashing.hashed_ensemble(
        model, ratio=ratio, num_estimators=3, seed=seed
    ),
}
every_method = pytest.mark.parametrize("method", METHODS)
OURS = (hashing.HashedLinear, hashing.HashedConv2d)
OURS += (hashing.StructuredLinear, hashing.StructuredConv2d)
OURS += (hashing.SubspaceLinear, hashing.SubspaceConv2d)


def our_layers(model):
    """The layers of this room, by name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, OURS)}


def fitted(model, seed, epochs=10):
    return training.fit(
        model, data.load("digits", "train"),
        epochs=epochs, batch_size=64, lr=1e-3, seed=seed, progress=False,
    )  # fmt: skip


# --- what all of them promise ---------------------------------------------------------------------


@every_method
def test_new_weights_come_from_the_seed_and_nothing_else_changes(method):
    model, x = networks.resnet_small(width=8).eval(), torch.rand(2, 1, 28, 28)
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    first, again, other = (METHODS[method](model, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    with torch.no_grad():
        assert torch.equal(first(x), again(x))
        assert not torch.equal(first(x), other(x))
    assert not any(module.training for module in first.modules())
    assert not any(isinstance(each, nn.Linear | nn.Conv2d) for each in first.modules())
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    copies = [module for module in first.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(copies) == len(norms) * (3 if method == "ensemble" else 1)
    assert not {id(norm.weight) for norm in norms} & {id(norm.weight) for norm in copies}


@every_method
def test_layers_keep_their_type_and_are_trained(method):
    model = networks.mlp(20, 12, 2).double()
    model.linear1.weight.requires_grad_(False)
    found = METHODS[method](model)
    assert {parameter.dtype for parameter in found.parameters()} == {torch.float64}
    assert all(p.requires_grad for each in our_layers(found).values() for p in each.parameters())
    assert len(our_layers(found)) == (9 if method == "ensemble" else 3)
    assert all(layer.training for layer in our_layers(found).values())


@every_method
def test_what_is_not_plain_is_left_alone_with_a_warning(method):
    parametrized = parametrizations.orthogonal(nn.Linear(16, 16))
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, padding_mode="reflect"), nn.Conv2d(4, 4, 3), nn.Flatten(),
        nn.Linear(16, 16), parametrized,
    )  # fmt: skip
    message = "left as they are: '0' pads with 'reflect', not with zeros; '4' is parametrized"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = METHODS[method](model)
    [warning] = caught
    assert str(warning.message).startswith(message)
    assert warning.filename == __file__
    prefix = "members.0." if method == "ensemble" else ""
    assert [n for n in our_layers(found) if n.startswith(prefix)] == [prefix + "1", prefix + "3"]
    with pytest.raises(ValueError, match="the network has no plain Linear or Conv2d layer"):
        METHODS[method](nn.Sequential(nn.ReLU()))


@every_method
def test_a_layer_used_twice_stays_one_layer(method):
    shared = nn.Linear(8, 8)
    found = METHODS[method](nn.Sequential(shared, nn.ReLU(), shared), ratio=2)
    members = found.members if method == "ensemble" else [found]
    assert all(member[0] is member[2] for member in members)


@every_method
def test_seeds_that_are_none(method):
    for seed, error in ((None, TypeError), ("1", TypeError), (-1, ValueError), (0.5, ValueError)):
        with pytest.raises(error, match="seed must be a"):
            METHODS[method](networks.mlp(20, 12, 2), seed=seed)


def test_a_ratio_that_leaves_no_bucket_names_the_layer():
    with pytest.raises(ValueError, match=r"layer 'conv1': ratio 600 leaves 0 buckets for 500"):
        hashing.hashed(networks.lenet5(), ratio=600, seed=0)
    with pytest.raises(ValueError, match="layer 'linear1': unknown reduce 'mean'"):
        hashing.hashed(networks.mlp(), ratio=8, reduce="mean", seed=0)
    with pytest.raises(ValueError, match="num_estimators must be a whole number of at least 1"):
        hashing.hashed_ensemble(networks.mlp(), ratio=8, num_estimators=0, seed=0)


def test_every_layer_has_a_hash_of_its_own():
    found = hashing.hashed_ensemble(networks.mlp(), ratio=8, num_estimators=4, seed=0)
    seeds = [layer.config()["seed"] for layer in our_layers(found).values()]
    assert len(set(seeds)) == len(seeds) == 16
    others = hashing.hashed(networks.mlp(), ratio=8, seed=1)
    assert not set(seeds) & {layer.config()["seed"] for layer in our_layers(others).values()}


# --- files ----------------------------------------------------------------------------------------


@every_method
def test_a_trained_network_comes_back_from_a_short_file(method, tmp_path):
    model = METHODS[method](networks.lenet5(), ratio=16)
    x, y = digits(40)
    model = training.fit(model, (x, y), epochs=1, batch_size=20, lr=1e-3, seed=0, progress=False)
    size = storage.save(model, tmp_path / "network")
    loaded = storage.load(tmp_path / "network")
    assert torch.equal(uncertainty.predict(loaded, x), uncertainty.predict(model, x))
    numbers = networks.parameter_count(model)
    assert networks.parameter_count(loaded) == numbers
    assert uncertainty.nonzero_count(loaded) == numbers
    # storage saves a few of 32 bits, and there is nothing else but the header
    assert 3 * numbers < size < 4 * numbers + 600
    # wrong: the indices in the file
    for layer in our_layers(model).values():
        layer._non_persistent_buffers_set.clear()
    kept = sum(tensor.nbytes for tensor in model.state_dict().values())
    if method != "structured":
        assert kept > 10 * size


def test_a_state_dict_brings_a_hashed_network_back(tmp_path):
    model = hashing.hashed_ensemble(networks.mlp(), ratio=8, num_estimators=2, seed=0).eval()
    storage.save(model.state_dict(), tmp_path / "state")
    other = hashing.hashed_ensemble(networks.mlp(), ratio=8, num_estimators=2, seed=0).eval()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    other.load_state_dict(storage.load(tmp_path / "state"))
    x = torch.rand(3, 784)
    assert torch.equal(uncertainty.predict(model, x), uncertainty.predict(other, x))


# --- one set of buckets, M hash seeds -------------------------------------------------------------


def test_members_share_buckets_and_nothing_else():
    model = networks.mlp(20, 12, 2)
    found = hashing.hashed_ensemble(model, ratio=4, num_estimators=3, seed=5)
    alone = hashing.hashed(model, ratio=4, seed=5)
    for a, b in zip(
        found.members[0].state_dict().values(), alone.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b)
    for name in our_layers(alone):
        layers = [member.get_submodule(name) for member in found.members]
        assert len({id(layer.buckets) for layer in layers}) == 1
        assert len({id(layer.bias) for layer in layers}) == 3
        assert not torch.equal(layers[0].dense_weight, layers[1].dense_weight)
        # the same numbers in another order, each about as often
        assert {*layers[1].dense_weight.abs().flatten().tolist()} <= {
            *layers[0].buckets.abs().tolist()
        }
    buckets = sum(len(layer.buckets) for layer in our_layers(alone).values())
    kept = networks.parameter_count(alone) - buckets  # biases and batch norms
    assert networks.parameter_count(found) == buckets + 3 * kept


def test_the_gradient_of_a_bucket_is_the_sum_over_members():
    model = nn.Sequential(nn.Linear(20, 12), nn.ReLU(), nn.Linear(12, 5)).double()
    found = hashing.hashed_ensemble(model, ratio=4, num_estimators=3, seed=0)
    x, y = torch.rand(30, 20).double(), torch.arange(30) % 5
    training.cross_entropy(found, x, y, 0.0).backward()
    for name in ("0", "2"):
        shared, expected = found.members[0].get_submodule(name).buckets, 0
        for member in found.members:
            weights = {n: layer.dense_weight.detach() for n, layer in our_layers(member).items()}
            plain = copy.deepcopy(model)
            for n, weight in weights.items():
                plain.get_submodule(n).weight.data = weight
                plain.get_submodule(n).bias.data = member.get_submodule(n).bias.detach()
            loss = training.cross_entropy(plain, x, y, 0.0) / 3  # the mean over members
            (gradient,) = torch.autograd.grad(loss, plain.get_submodule(name).weight)
            layer = member.get_submodule(name)
            signs = 1.0 - 2.0 * (layer.index[0] >= len(shared))
            expected = expected + torch.zeros_like(shared).index_add(
                0, layer.index[0] % len(shared), signs.double() * gradient.flatten()
            )
        torch.testing.assert_close(shared.grad, expected, rtol=1e-10, atol=1e-14)


def test_the_scorecard_counts_shared_buckets_once(tmp_path):
    model = networks.mlp(784, 20, 1)
    found = hashing.hashed_ensemble(model, ratio=8, num_estimators=4, seed=0).eval()
    x, y = data.load("digits", "test")
    assert found(x[:5]).shape == (4, 5, 10)
    assert found(x[:20].unflatten(0, (4, 5))).shape == (4, 5, 10)
    storage.save(found, tmp_path / "network")
    dense = networks.Ensemble([networks.mlp(784, 20, 1, seed=m) for m in range(4)])
    row = uncertainty.scorecard(
        found, (x[:50], y[:50]), 1 - x[:50], tmp_path / "network", uncompressed=dense
    )
    assert row["parameters"] == networks.parameter_count(dense)
    zeros = sum(int((parameter == 0).sum()) for parameter in found.parameters())
    assert row["nonzero"] == networks.parameter_count(found) - zeros
    assert row["bytes"] == (tmp_path / "network").stat().st_size
    assert row["multiply_adds"] == 4 * (784 * 20 + 20 * 10)


# --- digits ---------------------------------------------------------------------------------------


def test_a_64th_of_the_weights_reads_digits_that_a_narrow_network_of_equal_size_does_not():
    x, y = data.load("digits", "test")

    def error(model, seed):
        return 1 - uncertainty.accuracy(uncertainty.predict(fitted(model, seed), x), y)

    for seed in range(3):
        found = hashing.hashed(networks.lenet300(), ratio=64, seed=seed)
        torch.manual_seed(seed)
        narrow = nn.Sequential(
            nn.Flatten(),
            nn.Linear(784, 5),
            nn.ReLU(),
            nn.Linear(5, 60),
            nn.ReLU(),
            nn.Linear(60, 10),
        )
        assert networks.parameter_count(found) <= networks.parameter_count(narrow) < 4900
        hashed = error(found, seed)
        assert hashed < 0.13  # 0.10 in each of three seeds
        assert error(narrow, seed) > hashed + 0.03


def test_structured_hashing_reads_digits_from_a_64th_of_the_weights():
    x, y = data.load("digits", "test")
    for seed in range(3):
        model = fitted(hashing.structured(networks.lenet300(), ratio=64, seed=seed), seed, 15)
        assert uncertainty.accuracy(uncertainty.predict(model, x), y) > 0.88  # .91 to .93


def test_hash_seeds_as_members_doubt_letters_more_than_one_network():
    (x, _), (letters, _) = data.load("digits", "test"), data.load("glyphs", "test")

    def auroc(model):
        return uncertainty.auroc(
            *(uncertainty.entropy(uncertainty.predict(model, each)) for each in (x, letters))
        )

    settings = {"ratio": 64, "seed": 0}
    one = fitted(hashing.hashed(networks.lenet300(), **settings), 0)
    five = hashing.hashed_ensemble(networks.lenet300(), num_estimators=5, **settings)
    assert auroc(fitted(five, 0)) > auroc(one) + 0.04  # 0.09 to 0.12 for seeds 0 to 2

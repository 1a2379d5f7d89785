"""Low rank for responses, low rank plus sparse, and low rank from new weights."""

import pytest
import torch
from torch import nn

from uecompress import lowrank, networks, storage, training, uncertainty
from uecompress.lowrank import godec, low_rank_plus_sparse, new_low_rank, whitened, whitened_svd
from uecompress.networks import grams, hessian


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def given(n, count, seed=1):
    """Inputs whose coordinates are correlated and decay, (n, count)."""
    return drawn(n, n, seed=seed) @ (0.7 ** torch.arange(n)[:, None] * drawn(n, count, seed=seed))


def test_the_whitened_svd_is_the_best_of_its_rank_for_the_responses():
    w, x = drawn(20, 30), given(30, 200)
    left, right = whitened(w, x @ x.T, 5)
    error = ((w - left @ right) @ x).norm()
    tail = torch.linalg.svdvals(w @ x)[5:].norm()  # Eckart and Young, of the responses
    assert error.item() == pytest.approx(tail.item(), rel=1e-9)
    u, s, vh = torch.linalg.svd(w, full_matrices=False)
    usual = (u[:, :5] * s[:5]) @ vh[:5]
    assert error < 0.8 * ((w - usual) @ x).norm()
    assert (w - left @ right).norm() > (w - usual).norm()  # the weight is farther away


def test_with_inputs_that_are_not_correlated_it_is_the_svd():
    w = drawn(6, 8)
    left, right = whitened(w, 3 * torch.eye(8, dtype=torch.float64), 2)
    u, s, vh = torch.linalg.svd(w, full_matrices=False)
    assert torch.allclose(left @ right, (u[:, :2] * s[:2]) @ vh[:2], atol=1e-12)


def small(seed=0, bias=True):
    torch.manual_seed(seed)
    layers = [nn.Linear(30, 20, bias=bias), nn.ReLU(), nn.Linear(20, 10, bias=bias)]
    return nn.Sequential(*layers).double()


def test_each_layer_of_a_network_is_fitted_to_what_the_cut_ones_before_it_give():
    model, x = small(), given(30, 100).T
    found = whitened_svd(model, x, rank=3)
    assert isinstance(found[0], nn.Sequential)
    cut = nn.Sequential(found[0], found[1], model[2])  # the last is still whole
    for name, network in (("0", model), ("2", cut)):
        gram, columns = grams(network, x, only=name)[name]
        weight = model.get_submodule(name).weight
        left, right = whitened(weight, hessian(gram[0], columns), 3)
        new = found.get_submodule(name)
        assert torch.allclose(new.u.weight @ new.vh.weight, left @ right, atol=1e-9)
    assert torch.equal(found[2].u.bias, model[2].bias)


def test_inputs_that_are_always_zero_are_no_fault_with_damping_and_one_without():
    model, x = small(), given(30, 100).T
    x[:, :4] = 0
    assert torch.isfinite(uncertainty.predict(whitened_svd(model, x, rank=3), x)).all()
    with pytest.raises(ValueError, match="positive definite"):
        whitened_svd(model, x, rank=3, damping=0)


def test_a_sum_of_low_rank_and_few_entries_is_found_again():
    truth = drawn(30, 2) @ drawn(2, 40, seed=1)
    entries = torch.zeros(30, 40, dtype=torch.float64)
    places = torch.randperm(1200, generator=torch.Generator().manual_seed(0))[:24]
    entries.view(-1)[places] = 20.0
    left, right, sparse = godec(truth + entries, 2, 24, rounds=50)
    assert torch.allclose(left @ right, truth, atol=1e-6)
    assert torch.allclose(sparse, entries, atol=1e-6)


def test_no_round_makes_the_split_worse_and_exactly_so_many_entries_are_left():
    w, errors = drawn(12, 15), []
    for rounds in (1, 2, 5, 20):
        left, right, sparse = godec(w, 3, 20, rounds)
        errors.append((w - left @ right - sparse).norm().item())
        assert (sparse != 0).sum() == 20
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0]


def test_of_equal_entries_exactly_so_many_stay():
    w = torch.ones(4, 4, dtype=torch.float64) - 2 * torch.eye(4, dtype=torch.float64)
    *_, sparse = godec(w, 1, 3)
    assert (sparse != 0).sum() == 3


def test_the_network_is_the_sum_of_both_is_tuned_with_its_zeros_and_stored(tmp_path):
    model, x = small().float(), given(30, 100).T.float()
    found = low_rank_plus_sparse(model, rank=3, density=0.1)
    layer = found[0]
    left, right, sparse = godec(model[0].weight.detach().double(), 3, 60)
    weight = layer.branch.u.weight @ layer.branch.vh.weight + layer.shortcut.weight
    assert torch.allclose(weight.double(), left @ right + sparse, atol=1e-5)
    assert (layer.shortcut.weight != 0).sum() == 60
    y = torch.arange(100) % 10
    tuned = training.fit(
        found, (x, y), epochs=2, batch_size=20, lr=1e-2, seed=0,
        after_step=networks.hold_zeros(found), progress=False,
    )  # fmt: skip
    assert (tuned[0].shortcut.weight != 0).sum() == 60
    storage.save(tuned, tmp_path / "network")
    back = storage.load(tmp_path / "network")
    assert torch.equal(uncertainty.predict(back, x), uncertainty.predict(tuned, x))


def test_inputs_weigh_the_columns_and_what_is_never_given_becomes_zero():
    model, x = small(), given(30, 100).T
    x[:, 0] = 0
    layer = low_rank_plus_sparse(model, rank=3, density=0.1, x=x)[0]
    weight = layer.branch.u.weight @ layer.branch.vh.weight + layer.shortcut.weight
    assert not weight[:, 0].any()

    def response(found):
        return ((model[0].weight - found) @ x.T).norm()

    plain = low_rank_plus_sparse(model, rank=3, density=0.1)[0]
    blind = plain.branch.u.weight @ plain.branch.vh.weight + plain.shortcut.weight
    assert response(weight) < response(blind)


def test_new_factors_have_products_of_torchs_variance():
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 600), nn.ReLU(), nn.Linear(600, 500))
    found = new_low_rank(model, rank=16, seed=0)
    for layer, inputs in ((found[1], 784), (found[3], 600)):
        entries = (layer.u.weight @ layer.vh.weight).double()
        assert entries.var().item() == pytest.approx(1 / (3 * inputs), rel=0.1)
        assert layer.u.bias.abs().max() <= inputs**-0.5
    again = new_low_rank(model, rank=16, seed=0)
    assert torch.equal(again[1].u.weight, found[1].u.weight)
    other = new_low_rank(model, rank=16, seed=1)
    assert not torch.equal(other[1].u.weight, found[1].u.weight)


def test_new_factors_of_convolutions_have_it_too_and_small_layers_are_drawn_anew():
    model = networks.cnn(seed=0)
    found = new_low_rank(model, rank=8, seed=3)
    kernel = lowrank.chain_kernel(found.conv4)
    inputs = model.conv4.weight[0].numel()
    assert kernel.double().var().item() == pytest.approx(1 / (3 * inputs), rel=0.2)
    assert not torch.equal(found.conv1.weight, model.conv1.weight)


def test_bad_input_is_refused_by_name():
    model, x = small(), given(30, 100).T
    for function in (
        lambda: whitened_svd(model, x, rank=50),
        lambda: low_rank_plus_sparse(model, rank=50, density=0.1),
    ):
        with pytest.raises(ValueError, match="make no Linear layer smaller"):
            function()
    with pytest.raises(ValueError, match="density"):
        low_rank_plus_sparse(model, rank=3, density=1.0)
    with pytest.raises(ValueError, match="density"):
        low_rank_plus_sparse(model, rank=3, density=0.0)
    with pytest.raises(ValueError, match=r"'2'.*no entry"):
        low_rank_plus_sparse(model, rank=3, density=0.002)  # a half of one entry
    with pytest.raises(TypeError, match="rank"):
        whitened_svd(model, x, rank="3")
    with pytest.raises(ValueError, match="count"):
        godec(drawn(3, 3), 1, 10)
    with pytest.raises(ValueError, match="positive definite"):
        whitened(drawn(3, 4), torch.zeros(4, 4, dtype=torch.float64), 1)
    model[0].weight.data[0, 0] = torch.nan
    with pytest.raises(ValueError, match="'0'"):
        low_rank_plus_sparse(model, rank=3, density=0.1)

"""Variational networks, and what they become, as files."""

import numpy as np
import pytest
import torch

from uecompress import bayes, networks, storage, uncertainty
from uecompress.bayes.variational import METHODS


def images():
    return torch.rand(5, 1, 28, 28, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("method", METHODS)
def test_the_posterior_is_stored_and_draws_the_same(method, tmp_path):
    model = bayes.variational(networks.lenet5(), method)
    storage.save(model, tmp_path / "posterior")
    loaded = storage.load(tmp_path / "posterior")
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    for samples in (None, 3):
        before, after = (uncertainty.predict(m, images(), samples=samples) for m in (model, loaded))
        assert torch.equal(before, after)
    assert torch.equal(bayes.kl(model), bayes.kl(loaded))


@pytest.mark.parametrize("method", METHODS)
def test_numpy_settings_are_stored(method, tmp_path):
    settings = {"initial_log_sigma2": np.float64(-7.5)}
    settings |= {"mean_field": {"prior_sigma": np.float64(0.5)},
                 "group_horseshoe": {"tau_0": np.float32(0.25)},
                 "vnq": {"a": np.float64(0.5)}}.get(method, {})  # fmt: skip
    model = bayes.variational(networks.lenet5(), method, **settings)
    storage.save(model, tmp_path / "posterior")
    loaded = storage.load(tmp_path / "posterior")
    assert settings.items() <= loaded.conv1.config().items()
    assert settings.items() <= loaded.linear1.config().items()


def test_a_shrunken_network_is_stored_with_its_selection_of_pixels(tmp_path):
    model = bayes.variational(networks.lenet300(), "group_jeffreys")
    with torch.no_grad():  # every second pixel and unit carries nothing
        for layer in (model.linear1, model.linear2):
            layer.z_log_sigma2[::2] = 10.0
    pruned = bayes.prune_groups(model, 3.0)
    small = networks.shrink(pruned)
    assert storage.save(small, tmp_path / "small") < 0.6 * storage.save(pruned, tmp_path / "pruned")
    loaded = storage.load(tmp_path / "small")
    assert torch.equal(*(uncertainty.predict(m, images()) for m in (small, loaded)))


def test_a_pruned_network_pays_for_what_is_left(tmp_path):
    model = bayes.variational(networks.lenet300(), "sparse_vd", initial_log_sigma2=-40.0)
    with torch.no_grad():
        model.linear1.weight_log_sigma2[:, ::2] = 5.0
    whole, half = bayes.prune(model, float("inf")), bayes.prune(model)
    sizes = [storage.save(m, tmp_path / "network") for m in (whole, half)]
    kept = networks.nonzero_weights(half)
    assert kept == 300 * 392 + 30_000 + 1_000
    assert sizes[1] / sizes[0] == pytest.approx(kept / networks.nonzero_weights(whole), rel=0.02)

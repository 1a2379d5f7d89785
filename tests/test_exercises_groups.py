"""The exercises of "Group sparsity": right answers, and what wrong ones are told."""

import pytest
import torch

from uecompress import bayes, networks
from uecompress.exercises import check


@pytest.fixture
def says(capsys):
    def ask(label, answer, **page):
        check(f"ex-groups-{label}", answer, **page)
        return capsys.readouterr().out.strip()

    return ask


def test_lenet5(says):
    model = networks.lenet5()
    whole = sum(layer.weight.numel() for _, layer in networks.linear_and_conv_layers(model))
    with torch.no_grad():
        model.conv1.weight[8:], model.conv1.bias[8:] = 0, 0
        model.conv2.weight[13:], model.conv2.bias[13:] = 0, 0
        model.linear1.weight[:, 88:] = 0  # of 13 filters with 16 entries, the first 88 entries
        model.linear2.weight[:, 13:] = 0
    small = networks.shrink(model)
    first, second, third, fourth = networks.linear_and_conv_layers(small)
    left = first[1].weight.numel() + fourth[1].weight.numel() + 88 * third[1].weight.shape[0]
    left += 13 * second[1].weight[0].numel()
    assert left == 4074
    assert says("lenet5", whole / left) == "✓ correct"
    assert says("lenet5", 106) == "✓ close: to more digits it is 105.7"
    assert "single inputs" in says("lenet5", 430_500 / 21_234)
    assert "one channel for each" in says("lenet5", 430_500 / 1_799)
    assert "layer before" in says("lenet5", 8.471)
    assert "factor" in says("lenet5", 4074)


def test_kl(says):
    def price(z_mu, z_log_sigma2, mu, log_sigma2, repeat=1, prior=None, power=2):
        alpha = z_log_sigma2.exp() / z_mu.abs() ** power
        gate = torch.sigmoid(1.87320 + 1.48695 * alpha.log())
        scales = (0.63576 * (1 - gate) + torch.log1p(1 / alpha) / 2).sum()
        p = 1 if prior is None else prior  # variance of the prior of w̃
        square = (log_sigma2.exp() + mu**2) / p
        weights = (square - 1 - log_sigma2 + (torch.as_tensor(p) + 0.0).log()).sum() / 2
        return repeat * scales, weights

    assert says("kl", lambda *layer: sum(price(*layer))) == "✓ correct"
    assert says("kl", lambda *layer: ...).startswith("… waiting")
    assert "weights pay too" in says("kl", lambda *layer: price(*layer)[0])
    assert "scales pay too" in says("kl", lambda *layer: price(*layer)[1])
    assert "pays once" in says("kl", lambda *layer: sum(price(*layer, repeat=2)))
    assert "cancels" in says("kl", lambda z, *rest: sum(price(z, *rest, prior=z**2)))
    assert "log |μ_z|" in says("kl", lambda *layer: sum(price(*layer, power=1)))
    assert "minus" in says("kl", lambda *layer: -sum(price(*layer)))


def test_the_library_agrees_with_the_exercise(says):
    def by_layer(z_mu, z_log_sigma2, mu, log_sigma2):
        layer = bayes.GroupJeffreysLinear(mu.shape[1], mu.shape[0], bias=False).double()
        layer.z_mu.data, layer.z_log_sigma2.data = z_mu, z_log_sigma2
        layer.weight_mu.data, layer.weight_log_sigma2.data = mu, log_sigma2
        return layer.kl()

    assert says("kl", by_layer) == "✓ correct"


def test_norms(says):
    dense = networks.lenet300(seed=0)
    trained = bayes.variational(networks.lenet300(seed=1), "group_jeffreys")
    with torch.no_grad():  # 100 pixels are large after the training, 30 of them before
        trained.linear1.weight_mu[:, 100:200] *= 10
        trained.linear1.z_mu[150:200] = 0.9
        trained.linear1.z_log_sigma2[:100] = 5
        trained.linear1.z_log_sigma2[200:] = 5
        dense.linear1.weight[:, 170:270] *= 10
    page = {"models": [dense, trained, bayes.prune_groups(trained, 0.0)]}
    assert says("norms", [30, 100], **page) == "✓ correct"
    assert "not shared" in says("norms", [70, 0], **page)
    assert "comes first" in says("norms", [100, 30], **page)
    assert "not shares" in says("norms", [0.3, 1.0], **page)
    assert says("norms", [30, 99], **page).startswith("✗")

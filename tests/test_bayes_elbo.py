import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from uecompress import bayes, networks, training


def variational_net(seed=0):
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    return bayes.variational(net, "mean_field")


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(3)
    return torch.randn(7, 6, generator=generator), torch.arange(7) % 3


def test_kl_is_the_sum_over_layers():
    net = variational_net()
    torch.testing.assert_close(bayes.kl(net), net[1].kl() + net[3].kl())
    torch.testing.assert_close(bayes.kl(net[1]), net[1].kl())
    twice = nn.Sequential(net[1], net[3], net[1])
    torch.testing.assert_close(bayes.kl(twice), bayes.kl(net))  # a shared layer is drawn once
    with pytest.raises(ValueError, match="no variational layer"):
        bayes.kl(networks.lenet300())


def test_the_loss_is_mean_cross_entropy_plus_kl_over_n(batch):
    net = variational_net().eval()
    expected = F.cross_entropy(net(batch[0]), batch[1]) + bayes.kl(net) / 1000
    torch.testing.assert_close(bayes.elbo_loss(1000)(net, *batch, 0.0), expected)


def test_with_tiny_fixed_variances_it_is_weight_decay(batch):
    x, y = batch[0].double(), batch[1]
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).double()
    how = {"prior_sigma": 0.3, "initial_log_sigma2": -35.0}
    posterior = bayes.variational(net, "mean_field", **how).double().train()
    loss = bayes.elbo_loss(50)(posterior, x, y, 1.0)
    means = [posterior[0].weight_mu, posterior[2].weight_mu, posterior[0].bias_mu]
    weights = [net[0].weight, net[2].weight, net[0].bias]
    plain = torch.autograd.grad(F.cross_entropy(net(x), y), weights)
    for found, slope, weight in zip(torch.autograd.grad(loss, means), plain, weights, strict=True):
        expected = slope + weight / (0.3**2 * 50)  # PyTorch's weight_decay = 1 / (s² N)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_an_ensemble_averages_the_losses_of_its_members(batch):
    members = [variational_net(seed).eval() for seed in range(3)]
    loss = bayes.elbo_loss(1000)
    expected = sum(loss(m, *batch, 0.5) for m in members) / 3
    ensemble = networks.Ensemble(members).eval()
    torch.testing.assert_close(loss(ensemble, *batch, 0.5), expected)
    inside = nn.Sequential(nn.Identity(), nn.Sequential(ensemble)).eval()
    torch.testing.assert_close(loss(inside, *batch, 0.5), expected)


@pytest.mark.parametrize(
    ("warm_up", "weights"),
    [
        (None, [1, 1, 1, 1, 1]),
        ((0.25, 0.75), [0, 0, 0.5, 1, 1]),
        ((0, 1), [0, 0.25, 0.5, 0.75, 1]),
        ((0.5, 0.5), [0, 0, 1, 1, 1]),
        (lambda p: 0.3 * p, [0, 0.075, 0.15, 0.225, 0.3]),
    ],
)
def test_warm_up_goes_by_training_progress(batch, warm_up, weights):
    net = variational_net().eval()
    misfit = F.cross_entropy(net(batch[0]), batch[1])
    loss = bayes.elbo_loss(10, warm_up)
    found = [(loss(net, *batch, p) - misfit) * 10 / bayes.kl(net) for p in (0, 0.25, 0.5, 0.75, 1)]
    assert [w.item() for w in found] == pytest.approx(weights, abs=1e-5)


def test_bad_settings(batch):
    for wrong in (0, -5, 1.5, math.nan, math.inf):
        with pytest.raises(ValueError, match="num_examples must be a whole number of at least 1"):
            bayes.elbo_loss(wrong)
    with pytest.raises(TypeError, match="num_examples must be a number"):
        bayes.elbo_loss("3")
    for wrong in (0.5, (0.5,), "ab c"):
        with pytest.raises(TypeError, match="warm_up must be None, a pair or a function"):
            bayes.elbo_loss(10, wrong)
    for wrong in (math.nan, math.inf, -1.0):
        with pytest.raises(ValueError, match=r"weight of the KL must be .*, not"):
            bayes.elbo_loss(10, lambda progress, w=wrong: w)(variational_net(), *batch, 0.5)
    for wrong in ((0.5, 0.2), (-0.1, 1), (0, 1.5)):
        with pytest.raises(ValueError, match="warm_up"):
            bayes.elbo_loss(10, wrong)


@pytest.fixture(scope="module")
def logistic():
    """Forty examples with one feature, two classes, and the exact log evidence of N(0, 1)²."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, 1, generator=generator)
    y = (2 * x[:, 0] + torch.randn(40, generator=generator) > 0).long()
    w = torch.linspace(-8, 8, 801, dtype=torch.float64)
    w0, w1 = torch.meshgrid(w, w, indexing="ij")
    grid = torch.stack([w0, w1], dim=-1)  # (801, 801, 2): the weights of both classes
    log_joint = torch.distributions.Normal(0, 1).log_prob(grid).sum(-1)
    for features, label in zip(x, y, strict=True):
        log_joint += (features.double() * grid).log_softmax(-1)[..., label]
    evidence = log_joint.flatten().logsumexp(0) + 2 * (w[1] - w[0]).log()
    return x, y, evidence.item()


def elbo_after_training(x, y, loss):
    """The ELBO, in nats, of a layer trained with ``loss``: from 20,000 draws."""
    layer = bayes.MeanFieldLinear(1, 2, bias=False)
    layer = training.fit(
        layer, (x, y), epochs=150, batch_size=8, lr=lambda p: 0.05 * (1 - p), seed=0, loss=loss
    )
    with torch.no_grad():
        layer.train()
        torch.manual_seed(0)
        logits = layer(x.repeat(20_000, 1))  # every row has weights of its own
        misfit = F.cross_entropy(logits, y.repeat(20_000)) * len(x)
        return -(misfit + layer.kl()).item()


def test_the_elbo_is_below_the_evidence_by_little(logistic):
    x, y, evidence = logistic
    elbo = elbo_after_training(x, y, bayes.elbo_loss(len(x)))
    assert evidence - 0.6 < elbo < evidence


def test_other_scalings_of_the_kl_miss_it(logistic):
    x, y, evidence = logistic
    right = elbo_after_training(x, y, bayes.elbo_loss(len(x)))
    per_batch = elbo_after_training(x, y, bayes.elbo_loss(8))  # divided by the batch
    whole = elbo_after_training(x, y, bayes.elbo_loss(1))  # not divided
    assert whole < per_batch < right
    assert evidence - whole > 4

import copy
import math

import pytest
import torch
from torch import nn
from torch.distributions import Normal

from uecompress import bayes, data, networks, training, uncertainty


@pytest.fixture
def model():
    """A small network whose means and variances are all different."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 5, bias=False))
    net = bayes.variational(net.double(), "mean_field")
    for layer in (net[0], net[3]):
        layer.weight_log_sigma2.data = 2 * torch.randn_like(layer.weight_mu) - 5
    return net


# --- the prior -----------------------------------------------------------------------------------


def test_the_prior_minimizes_the_kl(model):
    bayes.graves_prior(model)
    layers = [model[0], model[3]]
    best = bayes.kl(model).item()
    mu, log_sigma2 = layers[0].prior_mu.item(), layers[0].prior_log_sigma2.item()
    assert all(layer.prior_mu.item() == mu for layer in layers)  # one prior for the network

    def kl_at(mu, log_sigma2):
        for layer in layers:
            layer.prior_mu.fill_(mu)
            layer.prior_log_sigma2.fill_(log_sigma2)
        return bayes.kl(model).item()

    assert kl_at(mu, log_sigma2) == pytest.approx(best, abs=1e-9)
    for shift in (-1e-3, 1e-3):
        assert kl_at(mu + shift, log_sigma2) > best
        assert kl_at(mu, log_sigma2 + shift) > best
    # The slopes vanish: central differences.
    assert kl_at(mu + 1e-5, log_sigma2) - kl_at(mu - 1e-5, log_sigma2) == pytest.approx(0, abs=1e-8)
    assert kl_at(mu, log_sigma2 + 1e-5) - kl_at(mu, log_sigma2 - 1e-5) == pytest.approx(0, abs=1e-8)

    # The variance of the means alone, without the posteriors' own, is not the minimum.
    means = torch.cat([layer.weight_mu.flatten() for layer in layers] + [model[0].bias_mu])
    assert kl_at(mu, means.var(correction=0).log().item()) > best + 10


def test_the_prior_is_the_moments_of_the_mixture_of_posteriors(model):
    bayes.graves_prior(model)
    parts = [(model[0].weight_mu, model[0].weight_log_sigma2),
             (model[0].bias_mu, model[0].bias_log_sigma2),
             (model[3].weight_mu, model[3].weight_log_sigma2)]  # fmt: skip
    mu = torch.cat([m.flatten() for m, _ in parts])
    variance = torch.cat([s.flatten() for _, s in parts]).exp()
    mixture = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(torch.ones_like(mu)), Normal(mu, variance.sqrt())
    )
    torch.testing.assert_close(model[0].prior_mu, mixture.mean)
    torch.testing.assert_close(model[3].prior_log_sigma2.exp(), mixture.variance)


# --- pruning -------------------------------------------------------------------------------------


@pytest.mark.parametrize("threshold", [1e-6, 0.1, 0.5, 0.9, 0.999])
def test_lambda_snr_and_log_alpha_prune_the_same_weights(model, threshold):
    before = copy.deepcopy(model.state_dict())
    pruned = bayes.graves_prune(model, threshold)
    for name in ("0", "3"):
        layer, plain = model.get_submodule(name), pruned.get_submodule(name)
        mu, sigma = layer.weight_mu.detach(), (layer.weight_log_sigma2.detach() / 2).exp()
        posterior = Normal(mu, sigma)
        lam = (posterior.log_prob(torch.zeros_like(mu)) - posterior.log_prob(mu)).exp()
        torch.testing.assert_close(lam, (-mu.square() / (2 * sigma.square())).exp())
        assert torch.equal(plain.weight != 0, lam <= threshold)
        assert torch.equal(
            plain.weight == 0, mu.abs() / sigma < math.sqrt(-2 * math.log(threshold))
        )
        assert torch.equal(plain.weight == 0, layer.log_alpha >= bayes.log_alpha_of(threshold))
        assert torch.equal(plain.weight[plain.weight != 0], mu[plain.weight != 0])
    assert torch.equal(pruned[0].bias, model[0].bias_mu)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_the_ratio_decides_and_not_the_variance():
    layer = bayes.MeanFieldLinear(2, 1, bias=False)
    with torch.no_grad():
        layer.weight_mu.copy_(torch.tensor([[3.0, 0.01]]))
        layer.weight_log_sigma2.copy_(torch.tensor([[0.0, -6.0]]))  # variances 1 and 0.0025
    weight = bayes.graves_prune(layer, 0.5).weight
    assert weight.tolist() == [[3.0, 0.0]]  # the one of the larger variance stays


def test_a_layer_without_weights_gives_its_biases_and_a_network_without_any_is_refused(model):
    model[3].weight_mu.data *= 1e-9
    pruned = bayes.graves_prune(model, 0.5)
    x = torch.randn(4, 1, 6, 6, dtype=torch.float64)
    log_probs = uncertainty.predict(pruned, x)
    assert torch.equal(log_probs, torch.full_like(log_probs, 1 / 5).log())  # no bias: uniform
    model[0].weight_mu.data.zero_()
    with pytest.raises(ValueError, match="nothing would remain"):
        bayes.graves_prune(model, 0.5)


def test_bad_input(model):
    for wrong in (0.0, 1.0, -0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match=r"must be in \(0, 1\)"):
            bayes.graves_prune(model, wrong)
    with pytest.raises(ValueError, match="no mean-field layer"):
        bayes.graves_prior(networks.lenet300())
    with pytest.raises(ValueError, match="no layer with a log_alpha"):
        bayes.prune(networks.lenet300())


@pytest.mark.parametrize("kind", ["mean_field", "sparse_vd"])
@pytest.mark.parametrize("parameter", ["weight_mu", "weight_log_sigma2", "bias_mu"])
@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_parameters_that_are_not_finite(kind, parameter, number):
    model = bayes.variational(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), kind)
    getattr(model[2], parameter).data.view(-1)[1] = number
    with pytest.raises(ValueError, match=f"layer '2': {parameter} contains NaN or infinity"):
        bayes.graves_prune(model, 0.5)


@pytest.mark.parametrize("kind", ["mean_field", "sparse_vd"])
@pytest.mark.parametrize("threshold", [1e-300, 0.5, 0.9998, 0.9999, 1 - 1e-7])
def test_lambda_close_to_one_or_to_zero(kind, threshold):
    # log alpha of the three: far above 8, 7 to 9, far below −8; a KL may be clipped, lambda not
    model = bayes.variational(nn.Sequential(nn.Linear(6, 1, bias=False)).double(), kind)
    mu = torch.tensor([[1e-9, 0.012, 0.016, 0.02, 0.5, 100.0]], dtype=torch.float64)
    model[0].weight_mu.data, model[0].weight_log_sigma2.data = mu, torch.zeros_like(mu)
    lam = (-mu.square() / 2).exp()
    assert torch.equal(bayes.graves_prune(model, threshold)[0].weight != 0, lam <= threshold)


@pytest.mark.parametrize("kind", ["mean_field", "sparse_vd"])
def test_a_weight_at_the_threshold_goes(kind):
    model = bayes.variational(nn.Sequential(nn.Linear(3, 1)), kind)
    model[0].weight_mu.data = torch.ones(1, 3)
    model[0].weight_log_sigma2.data = torch.tensor([[2.5, 3.0, 3.5]])  # log alpha, exactly
    assert bayes.prune(model, 3.0)[0].weight.tolist() == [[1, 0, 0]]


# --- on data -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_digits_need_few_weights(seed):
    images = data.load("digits", "train")
    x, y = data.load("digits", "test")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Flatten(), nn.Linear(784, 100), nn.ReLU(), nn.Linear(100, 10))
    trained = training.fit(
        bayes.variational(net, "mean_field", prior_sigma=0.05),
        images,
        epochs=50,
        batch_size=100,
        lr=lambda p: 0.02 * min(1, 2 * (1 - p)),
        seed=seed,
        loss=bayes.elbo_loss(len(images[0])),
        after_step=bayes.graves_prior,
        progress=False,
    )
    pruned = bayes.graves_prune(trained, 0.95)
    whole, sparse = (uncertainty.accuracy(uncertainty.predict(m, x), y) for m in (trained, pruned))
    print(f"Graves: {whole:.3f} -> {sparse:.3f}, {networks.nonzero_weights(pruned)} weights")
    assert whole > 0.7
    assert sparse > whole - 0.06
    assert networks.nonzero_weights(pruned) < 0.05 * 79_400

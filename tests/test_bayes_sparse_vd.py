import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from torch import nn

from uecompress import bayes, data, networks, training, uncertainty

RANGE = torch.linspace(-8, 8, 321, dtype=torch.float64)


def quadrature_kl(log_alpha):
    """E[log ``|1 + s e|``] − log s, less its limit as s grows: the KL by its definition.

    For w = theta (1 + s e), KL(q ‖ 1 / ``|w|``) = E[log q(w)] + E[log ``|w|``] + constant, which is
    −log s + E[log ``|1 + s e|``] + constant.
    """
    s = math.exp(log_alpha / 2)

    def integrand(e):
        return math.log(abs(1 + s * e)) * math.exp(-e * e / 2) / math.sqrt(2 * math.pi)

    middle = max(-1 / s, -12.0)  # where the logarithm is infinite
    value = sum(quad(integrand, *ends, limit=500)[0] for ends in [(-12, middle), (middle, 12)])
    limit = -(np.euler_gamma + math.log(2)) / 2  # E[log |e|]
    return value - math.log(s) - limit


# --- KL ------------------------------------------------------------------------------------------


def test_the_exact_kl_is_its_definition():
    values = [-8, -4, -2, -1, 0, 0.5, 1, 3, 6, 8]
    expected = torch.tensor([quadrature_kl(v) for v in values], dtype=torch.float64)
    ours = bayes.exact_log_uniform_kl(torch.tensor(values))
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-7)


def test_the_exact_kl_against_draws():
    torch.manual_seed(0)
    for log_alpha in (-2.0, 0.0, 2.0):
        s = math.exp(log_alpha / 2)
        draws = (1 + s * torch.randn(1_000_000, dtype=torch.float64)).abs().log()
        found = draws.mean() - math.log(s) + (np.euler_gamma + math.log(2)) / 2
        assert (bayes.exact_log_uniform_kl([log_alpha]) - found).abs() < 0.01


def test_deviation_of_molchanovs_approximation():
    deviation = bayes.log_uniform_kl(RANGE) - bayes.exact_log_uniform_kl(RANGE)
    assert deviation.abs().max().item() == pytest.approx(0.0095, abs=0.0002)
    assert deviation.abs().max() < 0.01
    formula = 0.63576 * (1 - torch.sigmoid(1.87320 + 1.48695 * RANGE))
    formula = formula + 0.5 * torch.log1p(torch.exp(-RANGE))
    torch.testing.assert_close(bayes.log_uniform_kl(RANGE), formula, rtol=0, atol=1e-12)
    single = bayes.log_uniform_kl(RANGE.float()).double()
    torch.testing.assert_close(single, formula, rtol=0, atol=1e-5)


def test_deviation_of_kingmas_polynomial():
    log_alpha = torch.linspace(-8, 0, 161, dtype=torch.float64)
    deviation = bayes.gaussian_dropout_kl(log_alpha.exp()) - bayes.exact_log_uniform_kl(log_alpha)
    middle = (deviation.max() + deviation.min()) / 2  # the constant is open
    assert (deviation - middle).abs().max().item() == pytest.approx(0.0201, abs=0.0005)
    for wrong in (0.0, -0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match=r"alpha in \(0, 1\]"):
            bayes.gaussian_dropout_kl(torch.tensor([0.5, wrong]))
    for wrong in (torch.tensor([1]), torch.tensor([True]), 0.5):
        with pytest.raises(TypeError, match="alpha must be"):
            bayes.gaussian_dropout_kl(wrong)


def test_the_kl_falls_to_zero():
    kl = bayes.log_uniform_kl(RANGE)
    assert (kl.diff() < 0).all()
    assert 0 < kl[-1] < 2e-4
    with pytest.raises(ValueError, match="at least -12"):
        bayes.exact_log_uniform_kl(torch.tensor([0.0, -20.0]))
    with pytest.raises(ValueError, match="at least -12"):
        bayes.exact_log_uniform_kl(torch.tensor([math.nan]))


@pytest.mark.parametrize("theta_scale", [1.0, 30.0])
def test_gradient_of_the_kl(theta_scale):
    assert torch.autograd.gradcheck(bayes.log_uniform_kl, RANGE[::20].clone().requires_grad_())
    torch.manual_seed(0)
    layer = bayes.SparseVDLinear(5, 4, initial_log_sigma2=-1.0).double()
    theta = theta_scale * torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    log_sigma2 = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)

    def kl(theta, log_sigma2):
        values = {"weight_mu": theta, "weight_log_sigma2": log_sigma2}
        return torch.func.functional_call(Kl(layer), {f"layer.{k}": v for k, v in values.items()})

    assert torch.autograd.gradcheck(kl, (theta.detach().requires_grad_(), log_sigma2))


class Kl(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self):
        return self.layer.kl()


def test_log_alpha_is_clipped():
    layer = bayes.SparseVDLinear(3, 1, bias=False, initial_log_sigma2=0.0)
    layer.weight_mu.data = torch.tensor([[0.0, 1.0, 1e6]])
    torch.testing.assert_close(layer.log_alpha, torch.tensor([[8.0, 0.0, -8.0]]))
    layer.kl().backward()
    assert layer.weight_mu.grad.isfinite().all()
    assert layer.weight_mu.grad[0, 0] == 0
    assert layer.weight_mu.grad[0, 1] > 0  # descent makes the mean smaller


# --- layers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["linear", "conv"])
def test_local_reparametrization_is_sampling_of_weights_in_mean_and_variance(kind):
    torch.manual_seed(0)
    if kind == "linear":
        layer, x, function = bayes.SparseVDLinear(6, 4), torch.randn(3, 6), nn.functional.linear
    else:
        layer, x = bayes.SparseVDConv2d(2, 3, 3, padding=1), torch.randn(2, 2, 4, 4)

        def function(x, w, b):
            return nn.functional.conv2d(x, w, b, padding=1)

    layer, x = layer.double(), x.double()
    layer.weight_log_sigma2.data.normal_().sub_(2)
    with torch.no_grad():
        mean, sigma = layer.eval()(x), (layer.weight_log_sigma2 / 2).exp()
        local = torch.stack([layer.train()(x) for _ in range(4000)])
        weights = [layer.weight_mu + sigma * torch.randn_like(sigma) for _ in range(4000)]
        sampled = torch.stack([function(x, w, layer.bias_mu) for w in weights])
        variance = function(x.square(), sigma.square(), None)
    for draws in (local, sampled):
        assert ((draws.mean(0) - mean) / (variance / 4000).sqrt()).abs().max() < 5
        assert (draws.var(0) / variance - 1).abs().max() < 5 * math.sqrt(2 / 4000)


def test_gradients_of_the_layers():
    torch.manual_seed(0)
    for layer, shape in [(bayes.SparseVDLinear(6, 4), (3, 6)),
                         (bayes.SparseVDConv2d(2, 3, 3, stride=2), (2, 2, 5, 5))]:  # fmt: skip
        layer.double().train()
        names = [name for name, _ in layer.named_parameters()]

        def forward(x, *values, layer=layer, names=names):
            torch.manual_seed(1)
            return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), x)

        values = [p.detach().clone().requires_grad_() for p in layer.parameters()]
        x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(forward, (x, *values))


def test_the_additive_form_has_less_gradient_noise_than_the_multiplicative():
    """d/dtheta of (theta + sigma e) is 1; of theta (1 + √alpha e) it is 1 + √alpha e."""
    torch.manual_seed(0)
    theta, alpha = torch.tensor([0.1]), torch.tensor([20.0])
    variances = {}
    for form in ("additive", "multiplicative"):
        gradients = []
        for _ in range(500):
            t = theta.clone().requires_grad_()
            sigma2 = alpha * theta**2 if form == "additive" else alpha * t**2
            bayes.draw(t, sigma2).backward()
            gradients.append(t.grad)
        variances[form] = torch.stack(gradients).var().item()
    assert variances["additive"] == 0
    assert variances["multiplicative"] == pytest.approx(20, rel=0.25)


def test_prune_where_log_alpha_is_three_or_more():
    layer = bayes.SparseVDConv2d(1, 1, (1, 3), initial_log_sigma2=0.0)
    thetas = [math.exp(-1.49), math.exp(-1.51), -2.0]  # log alpha 2.98, 3.02, −1.39
    layer.weight_mu.data = torch.tensor(thetas).reshape(1, 1, 1, 3)
    plain = bayes.prune(layer)
    assert type(plain) is nn.Conv2d
    assert plain.weight.flatten().tolist() == pytest.approx([thetas[0], 0, -2])
    assert networks.nonzero_weights(plain) == 2
    # alpha ≥ 3, not log alpha, would remove weights that carry signal.
    assert networks.nonzero_weights(bayes.prune(layer, math.log(3))) == 1
    with pytest.raises(ValueError, match="nothing would remain"):
        bayes.prune(layer, -8)


# --- on data -------------------------------------------------------------------------------------


def small_net(seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 100), nn.ReLU(), nn.Linear(100, 10))


def train(seed, loss, epochs=30):
    return training.fit(
        bayes.variational(small_net(seed), "sparse_vd"),
        data.load("digits", "train"),
        epochs=epochs,
        batch_size=100,
        lr=lambda p: 0.01 * min(1, 2 * (1 - p)),
        seed=seed,
        loss=loss,
        progress=False,
    )


def accuracy(model):
    x, y = data.load("digits", "test")
    return uncertainty.accuracy(uncertainty.predict(model, x), y)


@pytest.fixture(scope="module")
def trained():
    return train(0, bayes.elbo_loss(1000, (0.1, 0.5)))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_digits_need_one_weight_in_fifty(seed, trained):
    model = trained if seed == 0 else train(seed, bayes.elbo_loss(1000, (0.1, 0.5)))
    pruned = bayes.prune(model)
    print(f"sparse VD: {accuracy(model):.3f} -> {accuracy(pruned):.3f}, "
          f"{networks.nonzero_weights(pruned)} weights")  # fmt: skip
    assert accuracy(model) > 0.8
    assert accuracy(pruned) > accuracy(model) - 0.04
    assert networks.nonzero_weights(pruned) < 79_400 / 50


def test_fine_tuning_keeps_the_zeros(trained):
    pruned = bayes.prune(trained)
    settings = {"epochs": 2, "batch_size": 64, "lr": 1e-3, "seed": 0, "progress": False}
    images = data.load("digits", "train")
    tuned = training.fit(pruned, images, after_step=networks.hold_zeros(pruned), **settings)
    free = training.fit(pruned, images, **settings)
    assert networks.nonzero_weights(tuned) == networks.nonzero_weights(pruned)
    assert networks.nonzero_weights(free) > 10 * networks.nonzero_weights(pruned)
    assert not torch.equal(tuned[1].weight, pruned[1].weight)


def test_zeros_are_held_in_the_network_that_has_them():
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    model[0].weight.data[:, 1] = 0
    model[2].weight.data[0, 0] = 0
    small = networks.shrink(model)  # a choice of three inputs, and a smaller layer '0.1'
    after_step = networks.hold_zeros(small)
    with torch.no_grad():
        small[2].weight.fill_(1)
        after_step(small, 0.5)
        assert small[2].weight.tolist() == [[0, 1, 1], [1, 1, 1]]
        with pytest.raises(ValueError, match="the zeros of '0' are held, but no such layer"):
            networks.hold_zeros(model)(small, 0.5)
        with pytest.raises(ValueError, match="the zeros of '0' are held, but no such layer"):
            networks.hold_zeros(nn.Sequential(nn.Linear(4, 2)))(nn.Sequential(nn.Linear(4, 3)), 0.5)


@pytest.mark.parametrize("kind", ["mean_field", "sparse_vd", "group_jeffreys", "vnq"])
def test_posteriors_are_no_weights_to_count(kind):
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    assert networks.nonzero_weights(model) == 18
    model[2] = bayes.variational(model[2], kind)
    with pytest.raises(ValueError, match="'2' is a variational layer"):
        networks.nonzero_weights(model)


def test_wrong_versions_fail(trained):
    right = networks.nonzero_weights(bayes.prune(trained))
    # KL divided by the batch, not by N: it outweighs the data.
    with pytest.raises(ValueError, match="nothing would remain"):
        bayes.prune(train(0, bayes.elbo_loss(100), epochs=15))
    # The KL with the wrong sign: nothing is pruned.
    n = 1000

    def wrong_sign(model, x, y, progress):
        return training.cross_entropy(model, x, y, progress) - bayes.kl(model) / n

    assert networks.nonzero_weights(bayes.prune(train(0, wrong_sign, epochs=15))) > 20 * right

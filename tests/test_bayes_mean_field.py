import copy
import math
import re

import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence
from torch.nn import functional as F

from uecompress import bayes, networks, uncertainty
from uecompress.bayes.variational import METHODS

CONV = {"stride": 2, "padding": (1, 0), "dilation": (1, 2), "groups": 2}


def spread(layer, seed=0):
    """Give every posterior its own variance."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in layer.named_parameters():
        if name.endswith("log_sigma2"):
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.data.copy_(noise - 2)
    return layer


@pytest.fixture
def linear():
    torch.manual_seed(0)
    return spread(bayes.MeanFieldLinear(6, 4, prior_sigma=0.5).double())


@pytest.fixture
def conv():
    torch.manual_seed(0)
    return spread(bayes.MeanFieldConv2d(4, 6, (3, 2), **CONV, prior_sigma=0.5).double())


def images(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def normals(layer):
    pairs = [(layer.weight_mu, layer.weight_log_sigma2), (layer.bias_mu, layer.bias_log_sigma2)]
    return [Normal(mu, (log_sigma2 / 2).exp()) for mu, log_sigma2 in pairs]


# --- KL ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["linear", "conv"])
def test_kl_is_exact_and_agrees_with_draws(kind, request):
    layer = request.getfixturevalue(kind)
    layer.prior_mu.fill_(0.1)
    prior = Normal(torch.tensor(0.1).double(), torch.tensor(0.5).double())
    expected = sum(kl_divergence(q, prior).sum() for q in normals(layer))
    torch.testing.assert_close(layer.kl(), expected, rtol=1e-6, atol=0)
    torch.manual_seed(0)
    ratio = 0
    for q in normals(layer):
        w = q.sample((20_000,))
        ratio = ratio + (q.log_prob(w) - prior.log_prob(w)).flatten(1).sum(1)
    assert (ratio.mean() - layer.kl()).abs() < 0.01 * layer.kl()
    assert (ratio.mean() - layer.kl()).abs() < 4 * ratio.std() / math.sqrt(20_000)


def test_kl_vanishes_at_the_prior_only(linear):
    with torch.no_grad():
        for mu in (linear.weight_mu, linear.bias_mu):
            mu.zero_()
        for log_sigma2 in (linear.weight_log_sigma2, linear.bias_log_sigma2):
            log_sigma2.fill_(2 * math.log(0.5))
    assert linear.kl().abs() < 1e-5
    linear.weight_mu.data[0, 0] = 0.1
    assert linear.kl().item() == pytest.approx(0.1**2 / (2 * 0.5**2), rel=1e-3)


def test_log_alpha_is_exact_near_zero(linear):
    linear.weight_mu.data[0, :3] = torch.tensor([1e-6, -3.0, 0.0])
    linear.weight_log_sigma2.data[0, :3] = -2.0
    expected = [-2 - 2 * math.log(1e-6), -2 - 2 * math.log(3), math.inf]
    assert linear.log_alpha[0, :3].tolist() == pytest.approx(expected, rel=1e-6)


# --- forward -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["linear", "conv"])
def test_local_reparametrization_is_sampling_of_weights_in_mean_and_variance(kind, request):
    layer = request.getfixturevalue(kind)
    x = images(3, 6) if kind == "linear" else images(2, 4, 5, 6)
    torch.manual_seed(0)
    with torch.no_grad():
        mean = layer.eval()(x)
        layer.train()
        local = torch.stack([layer(x) for _ in range(4000)])
        weights, biases = normals(layer)
        function = F.linear if kind == "linear" else lambda *a: F.conv2d(*a, **layer.geometry)
        by_weights = torch.stack(
            [function(x, weights.sample(), biases.sample()) for _ in range(4000)]
        )
        squares = x.square(), weights.variance, biases.variance
    variance = function(*squares).detach()
    for draws in (local, by_weights):
        assert ((draws.mean(0) - mean) / (variance / 4000).sqrt()).abs().max() < 5
        assert (draws.var(0) / variance - 1).abs().max() < 5 * math.sqrt(2 / 4000)


def test_every_example_has_draws_of_its_own(linear):
    linear.train()
    torch.manual_seed(0)
    y = linear(images(1, 6).expand(2, 6))
    assert not torch.allclose(y[0], y[1])


@pytest.mark.parametrize("kind", ["linear", "conv"])
def test_gradients_of_forward_and_kl(kind, request):
    layer = request.getfixturevalue(kind)
    names = [name for name, _ in layer.named_parameters()]
    values = [p.detach().clone().requires_grad_() for p in layer.parameters()]
    x = (images(3, 6) if kind == "linear" else images(2, 4, 5, 6)).requires_grad_()

    def forward(x, *values):
        torch.manual_seed(0)
        return torch.func.functional_call(layer.train(), dict(zip(names, values, strict=True)), x)

    assert torch.autograd.gradcheck(forward, (x, *values))
    torch.autograd.backward(layer.kl())
    for parameter in layer.parameters():
        index = (0,) * parameter.ndim
        sides = []
        for step in (1e-5, -2e-5):
            parameter.data[index] += step
            sides.append(layer.kl().item())
        parameter.data[index] += 1e-5
        assert parameter.grad[index].item() == pytest.approx((sides[0] - sides[1]) / 2e-5, rel=1e-5)


def test_black_images_without_bias_have_a_gradient():
    layer = bayes.MeanFieldLinear(6, 4, bias=False).train()
    layer(torch.zeros(2, 6)).sum().backward()
    assert all(p.grad.isfinite().all() for p in layer.parameters())


@pytest.mark.parametrize("method", METHODS)
def test_black_images_have_a_gradient_under_float16_autocast(method):
    model = bayes.variational(nn.Linear(6, 4, bias=False), method).train()
    with torch.autocast("cpu", torch.float16):
        y = model(torch.zeros(2, 6))
        loss = y.float().sum() + model.kl()
    assert y.dtype == torch.float16
    loss.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


# --- from and to ordinary networks ---------------------------------------------------------------


@pytest.mark.parametrize("method", ["mean_field", "sparse_vd"])
@pytest.mark.parametrize("network", [networks.lenet5, networks.resnet_small, networks.mlp])
def test_there_and_back_computes_the_same(method, network):
    model = network()
    before = copy.deepcopy(model.state_dict())
    torch.manual_seed(5)
    state = torch.get_rng_state()
    changed = bayes.variational(model, method)
    assert torch.equal(torch.get_rng_state(), state)
    x = images(3, 1, 28, 28).float()
    expected = uncertainty.predict(model, x)
    assert torch.equal(uncertainty.predict(changed, x), expected)
    assert torch.equal(uncertainty.predict(bayes.prune(changed, math.inf), x), expected)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    back = bayes.prune(changed, math.inf)
    assert {k: v.shape for k, v in back.state_dict().items()} == {
        k: v.shape for k, v in before.items()
    }
    assert [type(m) for m in back.modules()] == [type(m) for m in model.modules()]


@pytest.mark.parametrize("method", ["mean_field", "sparse_vd"])
def test_geometry_dtype_and_missing_biases_survive(method):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(4, 6, (3, 2), **CONV, bias=False), nn.Flatten(),
                          nn.Linear(36, 3, bias=False)).double()  # fmt: skip
    x = images(2, 4, 5, 6)
    changed = bayes.variational(model, method)
    torch.testing.assert_close(changed(x).shape, model(x).shape)
    assert torch.equal(changed.eval()(x), model(x))
    assert torch.equal(bayes.prune(changed, math.inf)(x), model(x))
    assert bayes.kl(changed).dtype == torch.float64
    for layer in (changed[0], changed[2]):
        again = type(layer)(**layer.config()).double().eval()
        again.load_state_dict(layer.state_dict())
        assert again.config() == layer.config()
        entry = x if layer is changed[0] else changed[:2](x)
        assert torch.equal(again(entry), layer(entry))


def test_samples_and_mean_are_told_apart():
    model = bayes.variational(networks.lenet300(), "mean_field", initial_log_sigma2=-4.0)
    x = images(5, 1, 28, 28).float()
    mean = uncertainty.predict(model, x)
    draws = uncertainty.predict(model, x, samples=4, seed=1)
    assert draws.shape == (4, 5, 10)
    assert (draws.std(0) > 1e-3).all()
    assert torch.equal(uncertainty.predict(model, x), mean)
    assert torch.equal(uncertainty.predict(model, x, samples=4, seed=1), draws)
    assert not any(layer.sampling for layer in model.modules() if hasattr(layer, "sampling"))


def test_what_has_no_posterior_is_left_alone_and_listed():
    class Own(nn.Linear):
        pass

    model = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1, padding_mode="reflect"), nn.Flatten(),
        nn.BatchNorm1d(32), Own(32, 5), nn.utils.parametrizations.weight_norm(nn.Linear(5, 4)),
        nn.PReLU(), nn.Linear(4, 3),
    )  # fmt: skip
    left = re.escape(
        "left as they are: '0' pads with 'reflect', not with zeros; '3' is of the class Own, which "
        "may compute something else; '4' is parametrized: networks.plain(model) resolves that"
    )
    with pytest.warns(UserWarning, match=f"^{left}$"):
        changed = bayes.variational(model, "sparse_vd")
    listed = [(name, kind) for name, kind in bayes.deterministic_layers(changed) if "." not in name]
    assert listed == [("0", "Conv2d"), ("2", "BatchNorm1d"), ("3", "Own"),
                      ("4", "ParametrizedLinear"), ("5", "PReLU")]  # fmt: skip
    x = images(2, 1, 4, 4).float()
    assert torch.equal(changed.eval()(x), model.eval()(x))
    assert bayes.deterministic_layers(bayes.variational(networks.lenet5(), "mean_field")) == []


def test_an_ensemble_and_a_single_layer():
    ensemble = networks.Ensemble([networks.lenet300(seed=s) for s in range(2)])
    changed = bayes.variational(ensemble, "mean_field")
    x = images(3, 1, 28, 28).float()
    assert uncertainty.predict(changed, x, samples=3).shape == (6, 3, 10)
    assert isinstance(bayes.variational(nn.Linear(3, 2), "sparse_vd"), bayes.SparseVDLinear)


def test_bad_input():
    with pytest.raises(ValueError, match="unknown method 'vi'; known: mean_field"):
        bayes.variational(networks.lenet300(), "vi")
    with pytest.raises(ValueError, match="no plain Linear"):
        bayes.variational(nn.Sequential(nn.BatchNorm1d(3)), "mean_field")
    broken = networks.lenet300()
    broken.linear2.weight.data[3, 4] = math.nan
    with pytest.raises(ValueError, match="layer 'linear2': weight contains NaN"):
        bayes.variational(broken, "mean_field")
    for wrong in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="prior_sigma must be positive"):
            bayes.MeanFieldLinear(3, 2, prior_sigma=wrong)
    for method in METHODS:
        for wrong in (-math.inf, -1e6, -110, 89, 200, math.inf, math.nan):
            with pytest.raises(ValueError, match="layer 'linear1': initial_log_sigma2 must be fin"):
                bayes.variational(networks.lenet300(), method, initial_log_sigma2=wrong)
        # float32 holds e⁻¹⁰⁰ and e⁸⁸.
        for extreme in (-100, 88):
            bayes.variational(networks.lenet300(), method, initial_log_sigma2=extreme)
    reflecting = nn.Conv2d(1, 2, 3, padding=1, padding_mode="reflect")
    with pytest.raises(ValueError, match="padding_mode 'reflect'"):
        bayes.MeanFieldConv2d.from_conv2d(reflecting)

import copy
import math

import bayes_digits
import numpy as np
import pytest
import torch
from torch import nn

from uecompress import bayes, networks, training, uncertainty
from uecompress.bayes.log_uniform import exact_log_uniform_kl, log_uniform_kl
from uecompress.bayes.quantize import quantize
from uecompress.bayes.quantizing_prior import multi_spike_kl
from uecompress.bayes.vnq import VNQConv2d, VNQLinear, clip_vnq

MEAN_LOG = -(np.euler_gamma + math.log(2)) / 2  # E log|ε| for ε ~ N(0, 1)


def exact_kl(theta, log_sigma2, codebook):
    """KL(N(θ, σ²) ‖ (1/K) Σ 1/|w − c_k|), with the constant of the approximation: 1-D tensors.

    Σ_k 1/|w − c_k| = S(w) / Π_k |w − c_k| with S(w) = Σ_k Π_{j≠k} |w − c_j|, which is never 0. So
    the singular part is the exact E log|w − c_k|, and E log S is left for quadrature.
    """
    u = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    weights = (-u.square() / 2).exp()
    w = theta[:, None] + (0.5 * log_sigma2).exp()[:, None] * u
    distances = torch.stack([(w - c).abs() for c in codebook])  # (K, entries, nodes)
    K = len(codebook)
    products = [torch.cat([distances[:k], distances[k + 1 :]]).prod(dim=0) for k in range(K)]
    log_s = ((sum(products) / K).log() * weights).sum(dim=1) / weights.sum()
    each = [exact_log_uniform_kl(log_sigma2 - (theta - c + 1e-30).square().log()) for c in codebook]
    return (K - 1) * (0.5 * log_sigma2 + MEAN_LOG) + sum(each) - log_s


def grid():
    theta = torch.linspace(-0.5, 0.5, 101, dtype=torch.float64)
    for log_sigma2 in (-10.0, -8.0, -6.0, -4.0, -2.0, 0.0, 1.0):
        yield theta, torch.full_like(theta, log_sigma2)


def test_the_oracle_itself_against_draws():
    theta, log_sigma2 = (
        torch.tensor([0.05, 0.2, 0.33]).double(),
        torch.tensor([-5.0, -7, -2]).double(),
    )
    draws = np.random.default_rng(0).standard_normal(2_000_000)
    for t, l, ours in zip(
        theta, log_sigma2, exact_kl(theta, log_sigma2, (-0.2, 0, 0.2)), strict=True
    ):
        w = t.item() + math.exp(l / 2) * draws
        log_prior = np.log(sum(1 / abs(w - c) for c in (-0.2, 0, 0.2)) / 3)
        entropy = 0.5 * (l.item() + math.log(2 * math.pi) + 1)
        constant = -MEAN_LOG + 0.5 * (math.log(2 * math.pi) + 1)
        assert -entropy - log_prior.mean() + constant == pytest.approx(ours.item(), abs=1e-2)


def test_the_approximation_is_within_the_deviation_of_its_paper():
    gaps = torch.cat([multi_spike_kl(t, l) - exact_kl(t, l, (-0.2, 0.0, 0.2)) for t, l in grid()])
    assert gaps.abs().max().item() == pytest.approx(1.06, abs=0.02)  # the authors say 1.07 nats
    assert gaps.max() < 0.33  # above it by little; below by log 3 where a single spike rules


def test_one_spike_at_zero_is_sparse_variational_dropout():
    for theta, log_sigma2 in grid():
        theta = theta + 1e-3
        expected = log_uniform_kl(log_sigma2 - (theta.square() + 1e-8).log())
        assert torch.equal(multi_spike_kl(theta, log_sigma2, codebook=(0.0,)), expected)
        exact = exact_kl(theta, log_sigma2, (0.0,))
        assert (expected - exact)[expected < 4].abs().max() < 0.0096


def test_near_a_spike_the_kl_is_that_around_it_and_far_away_that_around_zero():
    log_sigma2 = torch.tensor([-9.0, -9.0, -9.0], dtype=torch.float64)
    at = torch.tensor([0.2, -0.2, 0.0], dtype=torch.float64)
    between = torch.tensor([0.1, -0.1, 0.1], dtype=torch.float64)
    assert (multi_spike_kl(at, log_sigma2) < multi_spike_kl(between, log_sigma2) - 1).all()
    far = torch.tensor([1.0, -1.0, 2.0], dtype=torch.float64)
    expected = log_uniform_kl(log_sigma2 - far.square().log())
    torch.testing.assert_close(multi_spike_kl(far, log_sigma2), expected, rtol=1e-6, atol=0)

    # Wrong versions: the local term not shifted, and the sign of F left as it is.
    center = log_uniform_kl(log_sigma2 - (at.square() + 1e-8).log())
    assert (center[:2] - multi_spike_kl(at, log_sigma2)[:2] > 2).all()
    assert (-multi_spike_kl(at, log_sigma2) > -multi_spike_kl(between, log_sigma2)).all()


def test_another_codebook_rescales_theta_and_sigma():
    layer = VNQLinear(6, 5, a=0.5).double()
    reference = VNQLinear(6, 5, a=0.2).double()
    with torch.no_grad():
        reference.weight_mu.copy_(layer.weight_mu / 2.5)
        reference.weight_log_sigma2.copy_(layer.weight_log_sigma2 - 2 * math.log(2.5))
    torch.testing.assert_close(layer.kl(), reference.kl())
    assert (
        abs(multi_spike_kl(layer.weight_mu / 2.5, layer.weight_log_sigma2).sum() - layer.kl()) > 1
    )


def test_gradients_against_finite_differences():
    torch.manual_seed(0)
    for layer, x in [
        (VNQLinear(4, 3), torch.randn(2, 4)),
        (VNQConv2d(2, 3, 2, padding=1), torch.randn(2, 2, 3, 3)),
    ]:
        layer.double().train()
        with torch.no_grad():
            layer.weight_log_sigma2.add_(torch.randn_like(layer.weight_log_sigma2) + 3)
        names, parameters = zip(*layer.named_parameters(), strict=True)
        inputs = [p.detach().clone().requires_grad_() for p in parameters]
        check(layer, names, inputs, x.double())


def check(layer, names, inputs, x):
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self):
            return self.layer(x), self.layer.kl()

    def functions(*values):
        torch.manual_seed(1)
        named = {f"layer.{n}": v for n, v in zip(names, values, strict=True)}
        return torch.func.functional_call(Both(), named, ())

    assert torch.autograd.gradcheck(functions, inputs)


@torch.no_grad()
@pytest.mark.parametrize("conv", [False, True])
def test_local_reparametrization_has_the_moments_of_drawn_weights(conv):
    torch.manual_seed(0)
    n = 100_000
    layer = VNQConv2d(2, 2, 2, padding=1, stride=2) if conv else VNQLinear(3, 2)
    layer = layer.double().train()
    layer.weight_log_sigma2.copy_(torch.randn_like(layer.weight_log_sigma2) - 2)
    sigma = (0.5 * layer.weight_log_sigma2).exp()
    weight = layer.weight_mu + sigma * torch.randn(n, *sigma.shape).double()
    if conv:
        x = 2 * torch.randn(2, 3, 3).double()
        patches = nn.functional.unfold(x[None], 2, padding=1, stride=2)[0]  # (8, positions)
        drawn = weight.flatten(2) @ patches + layer.bias_mu[:, None]  # (n, filters, positions)
    else:
        x = torch.tensor([1.0, -0.5, 2.0], dtype=torch.float64)
        drawn = weight @ x + layer.bias_mu
    y = layer(x.expand(n, *x.shape)).reshape(drawn.shape)
    gap = (y.mean(dim=0) - drawn.mean(dim=0)) / (2 * drawn.var(dim=0) / n).sqrt()
    assert gap.abs().max() < 5
    torch.testing.assert_close(y.var(dim=0), drawn.var(dim=0), rtol=0.03, atol=0)


@pytest.mark.parametrize(
    "make", [lambda: nn.Conv2d(2, 4, 3, stride=2, padding=1), lambda: nn.Linear(5, 4)]
)
def test_from_a_plain_layer_and_config(make):
    plain = make()
    before = copy.deepcopy(plain.state_dict())
    conv = isinstance(plain, nn.Conv2d)
    layer = VNQConv2d.from_conv2d(plain, a=0.3) if conv else VNQLinear.from_linear(plain, a=0.3)
    x = torch.randn(*((2, 2, 7, 7) if conv else (2, 5)))
    assert torch.equal(layer.eval()(x), plain(x))
    assert all(torch.equal(before[k], v) for k, v in plain.state_dict().items())
    twin = type(layer)(**layer.config())
    twin.load_state_dict(layer.state_dict())
    assert torch.equal(twin.eval()(x), layer(x))
    assert layer.a.item() == pytest.approx(0.3)


def test_clip_vnq():
    layer = VNQLinear(4, 1, a=0.001)
    with torch.no_grad():
        layer.weight_mu.copy_(torch.tensor([[-3.0, 3.0, 0.01, 0.06]]))
        layer.weight_log_sigma2.copy_(torch.tensor([[-20.0, 5.0, -4.0, -10.0]]))
        clip_vnq(nn.Sequential(layer), 0.5)
    assert layer.a.item() == pytest.approx(0.05)
    assert layer.weight_log_sigma2[0].tolist() == [-10, 1, -4, -10]
    # The edge is where log alpha around the outer spike is 3.
    edge = [
        -0.05 - 0.223 * math.exp(-5),
        0.05 + 0.223 * math.exp(0.5),
        0.01,
        0.05 + 0.223 * math.exp(-5),
    ]
    assert layer.weight_mu[0].tolist() == pytest.approx(edge)
    around = layer.weight_log_sigma2[0, 1] - (layer.weight_mu[0, 1] - layer.a).square().log()
    assert around.item() == pytest.approx(3, abs=0.01)


def test_a_moves_a_hundredth_of_the_learning_rate():
    layer = VNQLinear(20, 20)
    adam = torch.optim.Adam(layer.parameters(), lr=1e-2)
    layer.kl().backward()
    adam.step()
    assert abs(layer.a.item() - 0.2) == pytest.approx(1e-4, rel=0.01)


@torch.no_grad()
def test_quantize():
    layer = VNQLinear(6, 1, bias=False, a=0.3)
    layer.weight_mu.copy_(torch.tensor([[-0.31, -0.14, 0.0, 0.16, 0.2, 9.0]]))
    layer.weight_log_sigma2.copy_(torch.tensor([[-9.0, -9, -9, -9, 1, -9]]))
    model = nn.Sequential(layer, nn.ReLU())
    before = copy.deepcopy(model.state_dict())
    result = quantize(model, 3)
    assert type(result[0]) is nn.Linear
    torch.testing.assert_close(result[0].weight, torch.tensor([[-0.3, 0, 0, 0.3, 0, 0.3]]))
    assert not (result[0].weight.signbit() & (result[0].weight == 0)).any()  # no −0
    by_nearness = quantize(model, math.inf)[0].weight
    torch.testing.assert_close(by_nearness, torch.tensor([[-0.3, 0, 0, 0.3, 0.3, 0.3]]))
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


@torch.no_grad()
def test_a_weight_at_the_threshold_goes():
    layer = VNQLinear(3, 1, a=1.0)
    layer.weight_mu.fill_(1)
    layer.weight_log_sigma2.copy_(torch.tensor([[1.5, 2.0, 2.5]]))  # log alpha, in float32
    torch.testing.assert_close(quantize(layer, 2.0).weight, torch.tensor([[1.0, 0, 0]]))


def test_without_weights_a_network_predicts_by_its_biases():
    model = networks.lenet5()
    with pytest.raises(ValueError, match="nearest to 0, or has a log alpha of -inf"):
        quantize(bayes.variational(model, "vnq"), -math.inf)
    empty = quantize(bayes.variational(model, "vnq"))
    for _, layer in networks.linear_and_conv_layers(empty):
        layer.weight.data.zero_()
    x = torch.rand(3, 1, 28, 28)
    expected = model.linear2.bias.detach().double().log_softmax(dim=0).expand(1, 3, 10)
    for network in (empty, networks.shrink(empty)):
        torch.testing.assert_close(uncertainty.predict(network, x), expected)


@pytest.mark.parametrize("parameter", ["weight_mu", "weight_log_sigma2", "bias_mu", "hundred_a"])
@pytest.mark.parametrize("threshold", [3.0, math.inf, -math.inf])
def test_parameters_that_are_not_numbers(parameter, threshold):
    model = nn.Sequential(VNQLinear(4, 3), nn.ReLU(), VNQLinear(3, 2))
    getattr(model[2], parameter).data.view(-1)[0] = torch.nan
    with pytest.raises(ValueError, match=f"layer '2': {parameter} contains NaN"):
        quantize(model, threshold)


def test_bad_input():
    with pytest.raises(ValueError, match="no VNQ layer"):
        clip_vnq(bayes.variational(networks.lenet300(), "sparse_vd"))
    for a in (0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="a must be positive"):
            VNQLinear(3, 2, a=a)
    with pytest.raises(ValueError, match="no VNQ layer"):
        quantize(nn.Linear(3, 2))
    with pytest.raises(ValueError, match="threshold must be in"):
        quantize(VNQLinear(3, 2), float("nan"))
    with pytest.raises(ValueError, match="finite"):
        VNQLinear(3, 2, initial_log_sigma2=float("-inf"))
    with pytest.raises(ValueError, match="NaN"):
        VNQLinear.from_linear(broken(nn.Linear(3, 2)))


def broken(layer):
    layer.weight.data[0, 0] = torch.nan
    return layer


def test_digits_become_ternary():
    rows = []
    for seed in range(3):
        dense = training.fit(
            bayes_digits.mlp(seed),
            bayes_digits.digits("train"),
            epochs=8,
            batch_size=32,
            lr=2e-3,
            seed=seed,
            progress=False,
        )
        model = bayes_digits.train(
            bayes_digits.variational(dense, VNQLinear),
            seed=seed,
            epochs=20,
            lr=3e-3,
            after_step=clip_vnq,
            warm_up=(0, 0.5),
        )
        ternary = quantize(model, 2)
        layers = [layer for _, layer in networks.linear_and_conv_layers(ternary)]
        assert all(len(layer.weight.unique()) == 3 for layer in layers)
        nonzeros = sum(int(layer.weight.count_nonzero()) for layer in layers)
        accuracies = [bayes_digits.accuracy(m) for m in (dense, model, ternary)]
        crude = quantize(bayes_digits.variational(dense, VNQLinear), math.inf)
        rows.append([*accuracies, bayes_digits.accuracy(crude), nonzeros / 14_912])
    dense, mean, ternary, crude, nonzeros = np.array(rows).T
    assert (dense - ternary).max() < 0.04
    assert abs(mean - ternary).max() < 0.03
    assert (ternary - crude).min() > 0.1  # rounding alone, without training
    assert nonzeros.max() < 0.3

"""What the layers with group scales have in common: normal-Jeffreys and horseshoe."""

import copy

import pytest
import torch
from torch import nn

from uecompress import bayes, networks, uncertainty
from uecompress.bayes.clip_sigma import clip_sigma
from uecompress.bayes.group_jeffreys import GroupJeffreysConv2d, GroupJeffreysLinear
from uecompress.bayes.horseshoe import HorseshoeConv2d, HorseshoeLinear
from uecompress.divergences import standard_normal_kl

LINEAR = [GroupJeffreysLinear, HorseshoeLinear]
CONV = [GroupJeffreysConv2d, HorseshoeConv2d]
CLIPPED = GroupJeffreysLinear, GroupJeffreysConv2d
DRAWS = 200_000


def scatter(layer, seed=0):
    """The layer in float64 with every parameter away from its initial value."""
    generator = torch.Generator().manual_seed(seed)
    layer.double()
    with torch.no_grad():
        for name, p in layer.named_parameters():
            noise = torch.randn(p.shape, generator=generator, dtype=p.dtype)
            if name.endswith("log_sigma2"):
                p.copy_(-1.5 + 0.4 * noise)
            elif name in ("s_a_mu", "s_b_mu"):
                p.copy_(p + 0.3 * noise)
            else:
                p.add_(0.3 * noise)
    return layer


def draws_of_weights(layer, n, seed=0):
    """(n, *weight) and (n, *bias): draws of w = z w̃, by the definition."""
    torch.manual_seed(seed)
    z = layer.draw_scales(n)
    tensors = []
    for name in ("weight", "bias"):
        mu, sigma = getattr(layer, f"{name}_mu"), (0.5 * getattr(layer, f"{name}_log_sigma2")).exp()
        tensors.append(mu + sigma * torch.randn(n, *mu.shape, dtype=mu.dtype))
    weight, bias = tensors
    if weight.ndim == 3:  # (n, out, in): one scale for each input, none for the biases
        return weight * z[:, None, :], bias
    return weight * z[:, :, None, None, None], bias * z


@pytest.mark.parametrize("cls", LINEAR + CONV)
@torch.no_grad()
def test_marginal_moments_are_those_of_draws(cls):
    layer = scatter(cls(3, 4, 2) if cls in CONV else cls(3, 4))
    weight, bias = draws_of_weights(layer, DRAWS)
    variance = weight.var(dim=0)
    assert (weight.mean(dim=0) - layer.dense_weight).abs().max() < 0.01
    torch.testing.assert_close(layer.weight_variance(), variance, rtol=0.05, atol=0)
    if cls in CONV:
        assert (bias.mean(dim=0) - layer.dense_bias).abs().max() < 0.01
        torch.testing.assert_close(layer.bias_variance(), bias.var(dim=0), rtol=0.05, atol=0)
    # Without the product of the two variances, eq. 11 would be wrong by more than the tolerance.
    sigma2, z_variance = layer.weight_log_sigma2.exp(), layer.per_group(layer.scale_variance())
    wrong = layer.weight_variance() - sigma2 * z_variance
    assert (wrong / variance).mean() < 0.9


@pytest.mark.parametrize("cls", LINEAR)
@torch.no_grad()
def test_a_linear_layer_draws_what_its_weights_would_give(cls):
    layer = scatter(cls(3, 2)).train()
    x = torch.tensor([1.0, -0.5, 2.0], dtype=torch.float64)
    weight, bias = draws_of_weights(layer, DRAWS)
    expected = weight @ x + bias
    y = layer(x.expand(DRAWS, 3))
    assert (y.mean(dim=0) - expected.mean(dim=0)).abs().max() < 0.03
    # Also the covariance of the two outputs, which they have through their common scales.
    torch.testing.assert_close(y.T.cov(), expected.T.cov(), rtol=0.06, atol=0.03)


@pytest.mark.parametrize("cls", CONV)
@torch.no_grad()
def test_a_convolution_draws_what_its_weights_would_give(cls):
    layer = scatter(cls(2, 3, 2, stride=2, padding=1)).train()
    x = torch.randn(2, 3, 3, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    patches = nn.functional.unfold(x[None], 2, padding=1, stride=2)[0]  # (2 * 2 * 2, positions)
    weight, bias = draws_of_weights(layer, DRAWS // 4)
    expected = weight.flatten(2) @ patches + bias[:, :, None]  # (draws, filters, positions)
    y = layer(x.expand(DRAWS // 4, 2, 3, 3)).flatten(2)
    assert (y.mean(dim=0) - expected.mean(dim=0)).abs().max() < 0.04
    torch.testing.assert_close(y.var(dim=0), expected.var(dim=0), rtol=0.1, atol=0.01)


@pytest.mark.parametrize("cls", LINEAR)
@torch.no_grad()
def test_every_example_has_scales_of_its_own(cls):
    layer = scatter(cls(3, 1)).train()
    layer.weight_log_sigma2.fill_(-40)
    layer.bias_log_sigma2.fill_(-40)
    x = torch.ones(2, 3, dtype=torch.float64)
    torch.manual_seed(0)
    pairs = torch.stack([layer(x)[:, 0] for _ in range(4000)])  # (draws, 2 examples)
    assert abs(pairs.T.corrcoef()[0, 1]) < 0.06
    # The wrong version, one z for the whole batch: both examples move together.
    torch.manual_seed(0)
    wrong = [(x * layer.draw_scales(1)) @ layer.weight_mu.T for _ in range(200)]
    assert torch.stack(wrong)[:, :, 0].T.corrcoef()[0, 1] > 0.999


@pytest.mark.parametrize("cls", LINEAR + CONV)
def test_gradients_against_finite_differences(cls):
    layer = scatter(cls(2, 3, 2) if cls in CONV else cls(4, 3)).train()
    x = torch.randn(*((2, 2, 3, 3) if cls in CONV else (2, 4)), dtype=torch.float64)
    names, parameters = zip(*layer.named_parameters(), strict=True)
    inputs = [p.detach().clone().requires_grad_() for p in parameters]

    def functions(*values):
        torch.manual_seed(0)
        named = dict(zip(names, values, strict=True))
        return torch.func.functional_call(
            Both(layer), {f"layer.{n}": v for n, v in named.items()}, x
        )

    assert torch.autograd.gradcheck(functions, inputs)


class Both(nn.Module):
    """The two things a step differentiates: a drawn output and the KL."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x), self.layer.kl()


def test_the_weights_kl_is_that_of_torch_and_has_no_z():
    generator = torch.Generator().manual_seed(0)
    mu, log_sigma2, z = torch.randn(3, 5, 4, generator=generator, dtype=torch.float64)
    normal = torch.distributions.Normal
    ours = standard_normal_kl(mu, log_sigma2)
    sigma = (0.5 * log_sigma2).exp()
    for scale in (1.0, z.abs(), 100 * z.abs()):
        q, p = normal(scale * mu, scale * sigma), normal(torch.zeros_like(mu), scale)
        expected = torch.distributions.kl_divergence(q, p).sum()
        torch.testing.assert_close(ours, expected)
    # The wrong version, the log-variance taken for a log standard deviation, as in the
    # convolutions of the authors' code.
    wrong = (-log_sigma2 + 0.5 * (log_sigma2.exp().square() + mu.square()) - 0.5).sum()
    assert abs(wrong - ours) > 5


@pytest.mark.parametrize("cls", LINEAR + CONV)
def test_kl_counts_weights_biases_and_scales(cls):
    layer = scatter(cls(3, 4, 2) if cls in CONV else cls(3, 4))
    parts = layer.scale_kl() + sum(
        standard_normal_kl(getattr(layer, f"{n}_mu"), getattr(layer, f"{n}_log_sigma2"))
        for n in ("weight", "bias")
    )
    torch.testing.assert_close(layer.kl(), parts)
    torch.testing.assert_close(bayes.kl(nn.Sequential(layer, nn.ReLU())), parts)


@pytest.mark.parametrize("cls", LINEAR + CONV)
@pytest.mark.parametrize("bias", [True, False])
def test_from_a_plain_layer_and_back(cls, bias):
    if cls in CONV:
        plain = nn.Conv2d(4, 6, (3, 2), stride=2, padding=1, dilation=2, groups=2, bias=bias)
        layer, x = cls.from_conv2d(plain), torch.randn(2, 4, 9, 9)
    else:
        plain = nn.Linear(4, 6, bias=bias)
        layer, x = cls.from_linear(plain), torch.randn(3, 4)
    before = copy.deepcopy(plain.state_dict())
    torch.testing.assert_close(layer.eval()(x), plain(x))
    torch.testing.assert_close(layer.to_plain().weight, plain.weight)
    assert all(torch.equal(before[k], v) for k, v in plain.state_dict().items())

    twin = cls(**layer.config())
    twin.load_state_dict(layer.state_dict())
    assert torch.equal(twin.eval()(x), layer(x))
    assert twin.config() == layer.config()

    scatter(layer).float()  # now E[z] is not 1: the bias of a filter must be scaled as well
    torch.testing.assert_close(layer.to_plain()(x), layer(x))
    keep = torch.tensor([False, True, True, False, True, True][: 6 if cls in CONV else 4])
    masked = layer.to_plain(keep)
    weight = masked.weight if cls in CONV else masked.weight.T
    assert torch.equal((weight != 0).flatten(1).any(dim=1), keep)
    if cls in CONV and bias:
        assert torch.equal(masked.bias != 0, keep)


@pytest.mark.parametrize("cls", LINEAR + CONV)
def test_black_inputs_give_finite_gradients(cls):
    layer = (cls(2, 3, 2, bias=False) if cls in CONV else cls(4, 3, bias=False)).train()
    x = torch.zeros(*((2, 2, 3, 3) if cls in CONV else (2, 4)))
    (layer(x).square().sum() + layer.kl()).backward()
    assert all(p.grad.isfinite().all() for p in layer.parameters())


@pytest.mark.parametrize(
    "method", [(GroupJeffreysLinear, GroupJeffreysConv2d), (HorseshoeLinear, HorseshoeConv2d)]
)
def test_predictions_by_mean_and_by_samples(method):
    model = networks.replace_layers(networks.lenet5(), swap(*method))
    x = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    mean = uncertainty.predict(model, x)
    torch.testing.assert_close(
        mean, uncertainty.predict(networks.lenet5(), x), atol=1e-5, rtol=1e-5
    )
    drawn = uncertainty.predict(model, x, samples=3)
    assert drawn.shape == (3, 4, 10)
    assert (drawn[0] - drawn[1]).abs().max() > 1e-4
    assert torch.equal(drawn, uncertainty.predict(model, x, samples=3))


def swap(linear, conv):
    def replace(name, leaf):
        if isinstance(leaf, nn.Linear):
            return linear.from_linear(leaf)
        return conv.from_conv2d(leaf) if isinstance(leaf, nn.Conv2d) else None

    return replace


def test_clip_sigma():
    model = networks.replace_layers(
        networks.lenet5(), swap(GroupJeffreysLinear, GroupJeffreysConv2d)
    )
    for module in model.modules():
        if hasattr(module, "weight_log_sigma2"):
            module.weight_log_sigma2.data.fill_(0)
            module.bias_log_sigma2.data.fill_(0)
    with torch.no_grad():
        clip_sigma(0.2)(model, 0.5)
    sigmas = {n: (0.5 * getattr(model, n).weight_log_sigma2).exp().max().item()
              for n in ("conv1", "conv2", "linear1", "linear2")}  # fmt: skip
    assert sigmas == {"conv1": 1, "conv2": 1, "linear1": pytest.approx(0.2), "linear2": 1}
    assert model.linear1.bias_log_sigma2.exp().max().item() == pytest.approx(0.04)
    with torch.no_grad():
        clip_sigma(0.1, names=["conv2"])(model, 0.5)
    assert (0.5 * model.conv2.weight_log_sigma2).exp().max().item() == pytest.approx(0.1)
    with pytest.raises(ValueError, match="'relu1' is not a group layer"):
        clip_sigma(0.1, names=["relu1"])(model, 0.5)
    with pytest.raises(ValueError, match="max_sigma must be positive and finite, not 0"):
        clip_sigma(0)


def test_clip_sigma_in_an_ensemble():
    def member(seed):
        return networks.replace_layers(networks.lenet5(seed=seed), swap(*CLIPPED))

    def largest_variances(model):
        layers = [(n, m) for n, m in model.named_modules() if hasattr(m, "weight_log_sigma2")]
        return {name: layer.weight_log_sigma2.exp().max().item() for name, layer in layers}

    ensemble = networks.Ensemble([member(0), member(1)])
    for model in (ensemble, nn.Sequential(nn.Identity(), ensemble)):
        for module in model.modules():
            if hasattr(module, "weight_log_sigma2"):
                module.weight_log_sigma2.data.fill_(0)
        clip_sigma(0.2)(model, 0.5)
        for name, variance in largest_variances(model).items():
            assert variance == (pytest.approx(0.04) if name.endswith("linear1") else 1), name
    # A common input layer is the first one of every member.
    heads = networks.Ensemble([GroupJeffreysLinear(3, 2, initial_log_sigma2=0.0) for _ in range(2)])
    model = nn.Sequential(GroupJeffreysLinear(4, 3, initial_log_sigma2=0.0), nn.ReLU(), heads)
    clip_sigma(0.2)(model, 0.5)
    assert list(largest_variances(model).values()) == [pytest.approx(0.04), 1, 1]


def test_clip_sigma_needs_a_layer_to_clip():
    for model in (
        bayes.variational(networks.lenet300(), "sparse_vd"),
        nn.Sequential(GroupJeffreysConv2d(1, 2, 3)),
        networks.Ensemble([networks.lenet300()]),
    ):
        with pytest.raises(ValueError, match="no fully connected group layer"):
            clip_sigma(0.2)(model, 0.5)
    clip_sigma(0.2, names=["0"])(nn.Sequential(GroupJeffreysConv2d(1, 2, 3)), 0.5)


@pytest.mark.parametrize("cls", CONV)
def test_without_biases_they_have_no_moments(cls):
    layer = cls(1, 2, 3, bias=False)
    assert layer.dense_bias is None
    assert layer.bias_variance() is None


@pytest.mark.parametrize("cls", LINEAR + CONV)
def test_bad_layers(cls):
    plain = nn.Conv2d(2, 3, 2) if cls in CONV else nn.Linear(4, 3)
    make = cls.from_conv2d if cls in CONV else cls.from_linear
    with pytest.raises(ValueError, match="log_sigma2 must be finite"):
        make(plain, initial_log_sigma2=float("-inf"))
    plain.weight.data.view(-1)[0] = torch.nan
    with pytest.raises(ValueError, match="NaN"):
        make(plain)
    if cls in CONV:
        with pytest.raises(ValueError, match="padding_mode"):
            make(nn.Conv2d(2, 3, 2, padding=1, padding_mode="reflect"))

"""What variational layers draw while ``sampling``: moments, memory formats, shapes of inputs."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from uecompress import bayes, networks, uncertainty
from uecompress.bayes.variational import METHODS

KINDS = pytest.mark.parametrize("method", METHODS)


def sampling_layer(plain, method):
    """A layer in float64 and evaluation mode that draws, every posterior with its own variance."""
    layer = bayes.variational(plain.double(), method).eval()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, p in layer.named_parameters():
            noise = torch.randn(p.shape, generator=generator, dtype=p.dtype)
            if name.startswith("s_"):  # makes all scales one draw: almost fixed, s = 1
                p.copy_(p if name.endswith("mu") else torch.full_like(p, -30.0))
            elif name.endswith("log_sigma2"):
                p.copy_(0.5 * noise - 2)
    layer.sampling = True
    return layer


def images(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def bias_variance(layer):
    """(outputs,), zero where biases are not drawn."""
    log_sigma2 = getattr(layer, "bias_log_sigma2", None)
    return torch.zeros_like(layer.bias_mu) if log_sigma2 is None else log_sigma2.exp()


@KINDS
@torch.no_grad()
def test_draws_of_linear_layers_have_the_moments_of_the_posterior(method):
    torch.manual_seed(0)
    layer, x, n = sampling_layer(nn.Linear(5, 3), method), images(5), 100_000
    draws = layer(x.expand(n, 5))
    layer.sampling = False
    mean = layer(x)
    grouped = hasattr(layer, "weight_variance")
    weights = layer.weight_variance() if grouped else layer.weight_log_sigma2.exp()
    variance = F.linear(x.square(), weights, bias_variance(layer))
    assert ((draws.mean(0) - mean) / (variance / n).sqrt()).abs().max() < 4
    assert (draws.var(0) / variance - 1).abs().max() < 6 * math.sqrt(2 / n)
    assert variance.min() > 0.1


@KINDS
@pytest.mark.parametrize("geometry", [{}, {"stride": 2, "padding": (1, 0), "groups": 2}])
def test_draws_of_conv_layers_have_the_moments_of_drawn_weights(method, geometry):
    torch.manual_seed(0)
    layer = sampling_layer(nn.Conv2d(2, 2, (2, 3), **geometry), method)
    x, n = images(1, 2, 3, 5), 4000
    with torch.no_grad():
        torch.manual_seed(0)
        draws = torch.cat([layer(x) for _ in range(n)]).flatten(2)  # (n, filters, positions)
        layer.sampling = False
        mean = layer(x)[0].flatten(1)

    # Outputs are linear in the weights: covariance J diag(σ²) Jᵀ, of every filter, with its bias.
    def linear(weight):
        return F.conv2d(x, weight, **layer.geometry)[0].flatten(1)

    slopes = torch.autograd.functional.jacobian(linear, layer.weight_mu.detach()).flatten(2)
    sigma2 = layer.weight_log_sigma2.exp().flatten()
    covariance = slopes * sigma2 @ slopes.mT + bias_variance(layer)[:, None, None]
    if hasattr(layer, "scale_mean"):  # times a scale: E[z²] (C + m mᵀ) − E[z]² m mᵀ
        z, v = layer.scale_mean()[:, None], layer.scale_variance()[:, None, None]
        squares = (mean / z)[:, :, None] * (mean / z)[:, None]
        covariance = (v + z[:, None] ** 2) * (covariance + squares) - z[:, None] ** 2 * squares
    covariance = covariance.detach()

    variance = covariance.diagonal(dim1=1, dim2=2)
    assert ((draws.mean(0) - mean) / (variance / n).sqrt()).abs().max() < 4
    found = torch.stack([draws[:, f].T.cov() for f in range(2)])
    error = ((variance[:, :, None] * variance[:, None] + covariance.square()) / n).sqrt()
    assert ((found - covariance) / error).abs().max() < 6
    # Positions that drew for themselves would have the covariance 0.
    apart = ~torch.eye(mean.shape[1], dtype=torch.bool)
    assert (covariance / error)[:, apart].abs().max() > 15


@KINDS
def test_samples_do_not_depend_on_the_memory_format(method):
    model = bayes.variational(networks.lenet5(), method, initial_log_sigma2=-4.0)
    x = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    mean = uncertainty.predict(model, x)
    draws = uncertainty.predict(model, x, samples=3, seed=1)
    last = model.to(memory_format=torch.channels_last)
    x = x.to(memory_format=torch.channels_last)
    again = uncertainty.predict(last, x, samples=3, seed=1)
    torch.testing.assert_close(again, draws, rtol=1e-4, atol=1e-4)
    assert (draws - mean).abs().mean() > 0.01


@KINDS
@pytest.mark.parametrize("mode", ["training", "sampling"])
def test_rows_of_rows_are_rows(method, mode):
    torch.manual_seed(0)
    layer = sampling_layer(nn.Linear(5, 3), method)
    layer.training, layer.sampling = mode == "training", mode == "sampling"
    x = images(4, 6, 5)
    torch.manual_seed(2)
    y = layer(x)
    torch.manual_seed(2)
    torch.testing.assert_close(y, layer(x.flatten(0, 1)).unflatten(0, (4, 6)))
    assert y.shape == (4, 6, 3)

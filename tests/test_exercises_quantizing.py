"""The exercises of "Quantizing priors": the right answers, and what is said about wrong ones."""

import copy
import math

import pytest
import torch
from torch import nn

from uecompress import bayes, data, uncertainty
from uecompress.exercises import check, quantizing


@pytest.fixture
def says(capsys):
    def ask(label, answer, **page):
        check(f"ex-quantizing-{label}", answer, **page)
        return capsys.readouterr().out.strip()

    return ask


def test_spikes(says):
    assert says("spikes", 1.6094379) == "✓ correct"
    assert "in bits" in says("spikes", math.log2(5))
    assert "not a quarter" in says("spikes", math.log(4))
    assert "logarithm of the ratio" in says("spikes", 0.8)


def one_spike(delta, log_sigma2):
    return bayes.log_uniform_kl(log_sigma2 - (delta**2 + 1e-8).log())


def by_hand(mu, log_sigma2, a, tau, sigma_power=0):
    """The formula for the codes −a, 0, a and windows of width tau, without rescaling."""
    log_sigma2 = log_sigma2 + sigma_power * math.log(a / 0.2)
    total = local = one_spike(mu, log_sigma2)
    for c in (-a, a):
        window = (-((mu - c) ** 2) / (2 * tau**2)).exp()
        total = total + window * (one_spike(mu - c, log_sigma2) - local)
    return total


def test_rescaled(says):
    """Windows that grow with the codes are the same as μ and σ in a smaller unit."""

    def right(mu, logs, a):
        return by_hand(mu, logs, a, 0.075 * a / 0.2)

    assert says("rescaled", right) == "✓ correct"

    def kept(mu, logs, a):
        return by_hand(mu, logs, a, 0.075)

    assert "windows kept" in says("rescaled", kept)

    def rescaled(power):
        return lambda mu, logs, a: by_hand(mu, logs, a, 0.075 * a / 0.2, power)

    assert "rescale both" in says("rescaled", rescaled(2))
    assert "square" in says("rescaled", rescaled(1))
    assert "0.2 alone" in says("rescaled", lambda mu, logs, a: by_hand(mu, logs, 0.2, 0.075))
    assert "do not sum" in says("rescaled", lambda *given: right(*given).sum())


@pytest.fixture
def page():
    """A linear classifier of the digits by the means of its classes, ternary, with a posterior."""
    images, labels = (part.double() for part in data.load("digits", "train"))
    means = torch.stack([images[labels == k].mean(0).flatten() for k in range(10)])
    plain = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    plain[1].weight.data = (means - means.mean(0)).float()
    plain[1].bias.data.zero_()
    posterior = bayes.variational(plain, "vnq", a=0.1)
    noise = torch.rand(10, 784, generator=torch.Generator().manual_seed(0))
    posterior[1].weight_log_sigma2.data = -8 + noise - plain[1].weight.data.abs()
    return {"posterior": posterior, "ternary": bayes.quantize(posterior, math.inf)}


def remaining(page, largest):
    """Accuracy after the weights were sorted and a fifth of them cut, one by one."""
    model = copy.deepcopy(page["ternary"])
    weight = model[1].weight.data.view(-1)
    score = page["posterior"][1].weight_log_sigma2.detach().view(-1)
    left = sorted(torch.nonzero(weight)[:, 0].tolist(), key=lambda i: score[i], reverse=largest)
    weight[left[: math.floor(0.2 * (len(left) - 1)) + 1]] = 0
    images, labels = data.load("digits", "test")
    return uncertainty.accuracy(uncertainty.predict(model, images), labels)


def test_sigma(says, page):
    small, large = remaining(page, False), remaining(page, True)
    assert abs(small - large) > 0.01
    assert says("sigma", [small, large], **page) == "✓ correct"
    assert "other order" in says("sigma", [large, small], **page)
    assert "points in 100" in says("sigma", [100 * small, 100 * large], **page)
    expected = quantizing.sigma(**page)
    assert expected.right.tolist() == pytest.approx([small, large])
    whole = uncertainty.predict(page["ternary"], data.load("digits", "test")[0])
    whole = uncertainty.accuracy(whole, data.load("digits", "test")[1])
    assert "losses" in says("sigma", [whole - small, whole - large], **page)

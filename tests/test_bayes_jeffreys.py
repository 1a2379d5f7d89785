import math

import bayes_digits
import numpy as np
import pytest
import torch

from uecompress import networks
from uecompress.bayes.bits import fixed_point
from uecompress.bayes.clip_sigma import clip_sigma
from uecompress.bayes.group_jeffreys import GroupJeffreysConv2d, GroupJeffreysLinear
from uecompress.bayes.log_uniform import exact_log_uniform_kl
from uecompress.bayes.prune import prune_groups
from uecompress.networks import maximum_compression, shrink


@pytest.mark.parametrize("layer", [GroupJeffreysLinear(321, 2), GroupJeffreysConv2d(1, 321, 2)])
@torch.no_grad()
def test_scale_kl_is_within_a_hundredth_of_the_exact_one(layer):
    layer = layer.double()
    log_alpha = torch.linspace(-8, 8, 321, dtype=torch.float64)
    layer.z_mu.fill_(-0.7)  # its size and sign do not matter
    layer.z_log_sigma2.copy_(log_alpha + 2 * math.log(0.7))
    torch.testing.assert_close(layer.log_alpha, log_alpha, atol=1e-6, rtol=0)
    kls = []
    for i in range(0, 321, 20):  # one group alone: the others become pure noise, of KL 0
        layer.z_log_sigma2.copy_(torch.where(torch.arange(321) == i, log_alpha, 30.0))
        layer.z_mu.copy_(torch.where(torch.arange(321) == i, 1.0, 1e-9))
        kls.append(layer.scale_kl())
    errors = torch.stack(kls) - exact_log_uniform_kl(log_alpha[::20])
    assert errors.abs().max() < 0.0095


@torch.no_grad()
def test_scale_kl_against_draws():
    layer = GroupJeffreysLinear(1, 1).double()
    eps = np.random.default_rng(0).standard_normal(2_000_000)
    for mu, log_sigma2 in [(1.0, -3.0), (0.5, 1.0), (-2.0, 0.0)]:
        layer.z_mu.fill_(mu)
        layer.z_log_sigma2.fill_(log_sigma2)
        z = mu + math.exp(log_sigma2 / 2) * eps
        # E log q − E log p for p = 1/|z|; the same for mu = 0 is what the constant takes away.
        kl = (np.log(abs(z)) - np.log(math.exp(log_sigma2 / 2) * abs(eps))).mean()
        assert layer.scale_kl().item() == pytest.approx(kl, abs=1e-2)


@torch.no_grad()
def test_large_alpha_and_not_large_variance_is_noise():
    layer = GroupJeffreysLinear(2, 1)
    layer.z_mu.copy_(torch.tensor([10.0, 0.01]))
    layer.z_log_sigma2.copy_(torch.tensor([2.0, -4.0]))
    assert layer.scale_variance().argmax() == 0
    assert layer.prune_score().argmax() == 1
    layer.z_mu.zero_()
    assert layer.prune_score().isfinite().all()


def test_digits_prune_themselves():
    rows = []
    for seed in range(3):
        model = bayes_digits.variational(bayes_digits.mlp(seed), GroupJeffreysLinear)
        model = bayes_digits.train(
            model, seed=seed, epochs=20, lr=5e-3, after_step=clip_sigma(0.2, ["1"])
        )
        masked = prune_groups(model, -1.0)
        small = shrink(masked)
        rows.append([
            bayes_digits.accuracy(masked),
            bayes_digits.accuracy(small),
            bayes_digits.accuracy(fixed_point(model, masked, 0.5)),
            bayes_digits.accuracy(maximum_compression(masked)),
            networks.parameter_count(bayes_digits.mlp(0)) / networks.parameter_count(small),
        ])  # fmt: skip
    masked, small, fixed, clustered, ratios = np.array(rows).T
    assert (masked == small).all()
    assert masked.min() > 0.92
    assert (masked - fixed).max() < 0.04
    assert (masked - clustered).max() < 0.04
    assert ratios.min() > 2.5

"""The exercises of "The ELBO": the right answers, and what is said about wrong ones."""

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from uecompress import bayes, bench, data, training, uncertainty
from uecompress.exercises import check
from uecompress.exercises import elbo as elbo_


@pytest.fixture
def says(capsys):
    def ask(label, answer, **page):
        check(f"ex-elbo-{label}", answer, **page)
        return capsys.readouterr().out.strip()

    return ask


def test_decay(says):
    assert says("decay", 0.42640143) == "✓ correct"
    assert says("decay", 0.43).startswith("✓ close")
    assert "divided by N" in says("decay", 100)
    assert "variance" in says("decay", 1 / 5.5)
    assert "w itself" in says("decay", 0.3015)


def test_gap(says):
    posterior = torch.tensor([[1.0, 0.9], [0.9, 1.0]], dtype=torch.float64)
    assert says("gap", -0.5 * posterior.logdet()) == "✓ correct"
    assert says("gap", 0.833) == "✓ close: to more digits it is 0.8304"
    assert "squared" in says("gap", 1.151)
    assert "factor ½" in says("gap", 1.661)
    assert "bits" in says("gap", 1.198)
    assert "narrower" in says("gap", 3.433)


def by_torch(log_p, mu, log_sigma2, s, examples):
    q, p = Normal(mu, log_sigma2.exp().sqrt()), Normal(torch.zeros_like(mu), s)
    return kl_divergence(q, p).sum() / examples - log_p.mean()


def test_loss(says):
    assert says("loss", by_torch) == "✓ correct"
    assert says("loss", lambda *arguments: ...).startswith("… waiting")
    assert "not by the batch" in says("loss", lambda p, m, v, s, n: by_torch(p, m, v, s, len(p)))
    assert "divided by N" in says("loss", lambda p, m, v, s, n: by_torch(p, m, v, s, 1))
    assert "not a mean" in says("loss", lambda p, m, v, s, n: by_torch(p, m, v, s, n * len(m)))
    assert "of all N examples" in says("loss", lambda p, m, v, s, n: by_torch(p * n, m, v, s, 1))
    assert "mean over the batch" in says(
        "loss", lambda p, m, v, s, n: by_torch(p * len(p), m, v, s, n)
    )
    assert "a loss is minus it" in says("loss", lambda *arguments: -by_torch(*arguments))
    assert "unlikely" in says("loss", lambda p, m, v, s, n: by_torch(-p, m, v, s, n))
    assert "not of σ" in says("loss", lambda p, m, v, s, n: by_torch(p, m, 2 * v, s, n))
    assert "not s" in says("loss", lambda p, m, v, s, n: by_torch(p, m, v, s**0.5, n))
    assert "for a batch of 8, 5 weights, s = 1.0 and N = 40" in says("loss", lambda *arguments: 7.0)


def test_prior():
    start, images = bench.dense(0), data.load("digits", "train")
    right = bayes.variational(start, "mean_field", prior_sigma=0.2, initial_log_sigma2=-4.0)
    narrow = training.fit(
        bayes.variational(start, "mean_field", prior_sigma=0.1, initial_log_sigma2=-4.0),
        images,
        seed=0,
        loss=bayes.elbo_loss(1000, warm_up=(0, 0.5)),
        progress=False,
        epochs=20,
        batch_size=100,
        lr=lambda done: 0.03 * (1 - done),
    )
    bounds = []
    for model in (narrow, right):
        log_probs = uncertainty.predict(model, images[0], samples=20)
        bounds.append(log_probs[:, torch.arange(1000), images[1]].mean() - bayes.kl(model) / 1000)
    expected = elbo_.prior(right, start)
    answer = (bounds[0] - bounds[1]).item()
    assert expected.judge(answer) == (True, "correct")
    assert "all examples" in expected.judge(1000 * answer)[1]
    assert "turn the sign" in expected.judge(-answer)[1]
    price = (bayes.kl(narrow) - bayes.kl(right)).item() / 1000
    assert "divergence alone" in expected.judge(-price)[1]
    assert "likelihood alone" in expected.judge(answer + price)[1]

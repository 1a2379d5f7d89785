"""The exercises of "Pruning by posterior": the right answers, and what is said about wrong ones."""

import math

import pytest

from uecompress import bayes, bench, data, networks, uncertainty
from uecompress.exercises import check
from uecompress.exercises import posterior as posterior_


@pytest.fixture
def says(capsys):
    def ask(label, answer, **page):
        check(f"ex-posterior-{label}", answer, **page)
        return capsys.readouterr().out.strip()

    return ask


def test_prior(says):
    assert says("prior", "14/3") == "✓ correct"
    assert says("prior", 4.7) == "✓ close: to more digits it is 4.667"
    assert "own variances" in says("prior", 8 / 3)
    assert "spread of the means" in says("prior", 2)
    assert "not by W − 1" in says("prior", 7)
    assert "not around 0" in says("prior", 17 / 3)
    assert "its square" in says("prior", 2.16)


def test_keep(says):
    def by_ratio(log_alpha, limit):
        return (-log_alpha / 2).exp() >= math.sqrt(-2 * math.log(limit))

    assert says("keep", by_ratio) == "✓ correct"
    assert says("keep", lambda a, limit: a <= bayes.log_alpha_of(limit)) == "✓ correct"
    assert says("keep", lambda a, limit: ...).startswith("… waiting")
    assert "what should go" in says("keep", lambda a, limit: ~by_ratio(a, limit))
    assert "factor of 2" in says("keep", lambda a, limit: (-(-a).exp()).exp() <= limit)
    assert "exponentiate" in says("keep", lambda a, limit: (-0.5 / a).exp() <= limit)
    assert "denominator" in says("keep", lambda a, limit: (-a.exp() / 2).exp() <= limit)


def test_threshold(says):
    model = bayes.variational(bench.dense(0), "mean_field", initial_log_sigma2=-4.0)
    page = {"model": model, "images": data.load("digits", "validation")}
    stay = {
        limit: networks.nonzero_weights(bayes.graves_prune(model, limit))
        for limit in posterior_.LIMITS
    }
    for limit in posterior_.LIMITS:
        network = bayes.graves_prune(model, limit)
        wrong = [_wrong(answerer, page["images"]) for answerer in (network, model)]
        if wrong[0] - wrong[1] <= 2:  # of 200
            break
    assert 0.5 < limit < 0.99
    assert says("threshold", stay[limit], **page) == "✓ correct"
    assert "that went" in says("threshold", 266_200 - stay[limit], **page)
    assert "far more than a point" in says("threshold", stay[0.5], **page)
    assert "not the smallest" in says("threshold", stay[0.99], **page)


def _wrong(network, images):
    """How many images a network gets wrong."""
    return (uncertainty.predict(network, images[0])[0].argmax(1) != images[1]).sum()

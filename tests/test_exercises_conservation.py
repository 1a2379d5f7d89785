"""The exercises of "What flows in flows out": right answers, and what is said about wrong ones."""

import pytest
from pruning_networks import chain

from uecompress.exercises import check
from uecompress.exercises import conservation as exercises


@pytest.fixture
def says(capsys):
    def ask(label, answer, **page):
        check(f"ex-conservation-{label}", answer, **page)
        return capsys.readouterr().out.strip()

    return ask


def test_neurons(says):
    def answer(*sums):
        return [*sums, -0.02 * sum(sums)]

    assert says("neurons", answer(4, 0, -2)) == "✓ correct"
    assert "is silent" in says("neurons", answer(4, -5, -2))
    assert "has a sign" in says("neurons", answer(4, 0, 2))
    assert "activations" in says("neurons", answer(4, 0, 1))
    assert "slopes" in says("neurons", answer(1, 0, -2))
    assert "is missing" in says("neurons", [4, 0, -2])
    assert "logits smaller" in says("neurons", [4, 0, -2, 0.04])
    assert "do not add up" in says("neurons", [4, 0, -2, 2 * -0.04])
    assert "exact change" in says("neurons", [4, 0, -2, 2 / 1.02 - 2])


def loop(scores, bias_scores, next_scores):
    """Neuron after neuron."""
    return [
        (scores[i].sum() + bias_scores[i] - next_scores[:, i].sum()).item()
        for i in range(len(scores))
    ]


def test_leak(says):
    assert says("leak", loop) == "✓ correct"
    assert "biases is missing" in says("leak", lambda a, b, c: loop(a, 0 * b, c))
    assert "add it" in says("leak", lambda a, b, c: loop(a, -b, c))
    assert "minus what leaves" in says("leak", lambda a, b, c: [-s for s in loop(a, b, c)])
    assert "with their signs" in says("leak", lambda a, b, c: loop(a.abs(), b.abs(), c.abs()))
    assert "one sum" in says("leak", lambda a, b, c: a.sum() + b.sum() - c.sum())
    assert "for shapes (6, 4, 3, 3) and (4, 6, 3, 3)" in says(
        "leak", lambda a, b, c: a.sum(1) + b - c.sum(0)
    )


def test_rounds(says):
    network = chain(20, 16, 12, 8, 4)
    expected = exercises.rounds(network)
    assert expected.right > 1
    answer = says("rounds", expected.right, network=network)
    assert answer == "✓ correct"
    for explanation, mistake in expected.wrong.items():
        assert explanation in says("rounds", mistake, network=network)

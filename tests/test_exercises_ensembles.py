"""The exercises of "Ensembles and dropout": right answers, and what is said about wrong ones."""

import itertools
import math

import pytest
import torch

from uecompress import data, ensembles, networks, uncertainty
from uecompress.exercises import check
from uecompress.exercises import ensembles as exercises


@pytest.fixture
def says(capsys):
    def ask(label, answer, **page):
        check(f"ex-ensembles-{label}", answer, **page)
        return capsys.readouterr().out.strip()

    return ask


def test_pairs(says):
    answers = [9, 5, 5, 5, 9]
    differ = [a != b for a, b in itertools.combinations(answers, 2)]
    assert says("pairs", sum(differ) / len(differ)) == "✓ correct"
    assert says("pairs", "3/5") == "✓ correct"
    assert "agrees" in says("pairs", 0.4)
    assert "with itself" in says("pairs", 0.48)
    assert "on both sides" in says("pairs", 0.3)


def test_gap(says):
    p = torch.tensor([0.9, 0.5, 0.1]).double()
    assert says("gap", p.mean().log() - p.log().mean()) == "✓ correct"
    assert says("gap", 0.34) == "✓ close: to more digits it is 0.3406"
    assert "NLL of the ensemble" in says("gap", 0.693)
    assert "mean NLL of the members" in says("gap", 1.0337)
    assert "averaging helps" in says("gap", -0.3406)
    assert "in bits" in says("gap", 0.4913)


def test_masks(says):
    def entropy(votes):
        shares = [votes.count(c) / 3 for c in set(votes)]
        return -sum(p * math.log(p) for p in shares)

    outcomes = list(itertools.product("35", repeat=3))  # equally likely
    mean = sum(map(entropy, outcomes)) / len(outcomes)
    assert says("masks", mean) == "✓ correct"
    assert "probability 1/4" in says("masks", 4 / 3 * mean)
    assert "very many masks" in says("masks", math.log(2))
    assert "first term" in says("masks", 2 / 3 * math.log(2))
    assert "6 of the 8" in says("masks", mean / 2)


def parts(log_probs, members, fastest=False, logs=False):
    """Between and within, from their definitions, one row after another."""
    rows = [log_probs[m::members] if fastest else m for m in range(members)]
    size = len(log_probs) // members
    if not fastest:
        rows = [log_probs[m * size : (m + 1) * size] for m in range(members)]
    p = [r.log().mean(0).softmax(-1) if logs else r.mean(0) for r in (r.exp() for r in rows)]
    entropy = [-(q * q.log()).sum(-1) for q in p]
    mean = sum(p) / members
    between = -(mean * mean.log()).sum(-1) - sum(entropy) / members
    inner = [-(r.exp() * r).sum(-1).mean(0) for r in rows]
    return between, (sum(entropy) - sum(inner)) / members


def test_between(says):
    assert says("between", lambda p, m: parts(p, m)[0]) == "✓ correct"
    assert "masks of one member" in says("between", lambda p, m: parts(p, m)[1])
    assert "sum of both" in says("between", lambda p, m: sum(parts(p, m)))
    assert "slowest" in says("between", lambda p, m: parts(p, m, fastest=True)[0])
    assert "logarithms" in says("between", lambda p, m: parts(p, m, logs=True)[0])
    assert "do not average" in says("between", lambda p, m: parts(p, m)[0].mean())
    assert "share" in says("between", lambda p, m: parts(p, m)[0] / sum(parts(p, m)))
    assert "shape (6, 4, 3) and 2 members" in says("between", lambda p, m: 2 * parts(p, m)[0])


def test_rate():
    network = networks.mlp(seed=0).eval()
    digits = [part[:60] for part in data.load("digits", "test")]
    letters = data.load("glyphs", "test")[0][:60]
    expected = exercises.rate(network=network, digits=digits, letters=letters)

    masked = ensembles.mc_dropout(network)
    for name in ("dropout1", "dropout2", "dropout3"):
        masked.get_submodule(name).p = 0.5
    inside, outside = (uncertainty.predict(masked, i, samples=50) for i in (digits[0], letters))
    auroc = uncertainty.auroc(*map(uncertainty.mutual_information, (inside, outside)))
    confidence = inside.exp().mean(0).max(-1).values.mean()
    answer = [auroc, (confidence - uncertainty.accuracy(inside, digits[1])).item()]
    assert expected.judge(answer) == (True, "correct")

    training, of_entropy, *_ = expected.wrong.values()
    assert "rate of the training" in expected.judge(training)[1]
    assert "of the entropy" in expected.judge(of_entropy)[1]
    assert "digits come first" in expected.judge([1 - answer[0], answer[1]])[1]
    assert "minus the accuracy" in expected.judge([answer[0], -answer[1]])[1]
    assert "comes first" in expected.judge(answer[::-1])[1]

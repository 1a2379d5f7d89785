"""What only real data can show. These tests need MNIST and say so when they are skipped."""

import pytest

from uecompress import data, lowrank, networks, training, uncertainty

pytestmark = pytest.mark.mnist


@pytest.fixture(scope="module")
def trained():
    train = data.load("mnist", "train")
    settings = {"epochs": 2, "batch_size": 512, "lr": 3e-3, "progress": False}
    return [training.fit(networks.mlp(seed=s), train, seed=s, **settings) for s in range(2)]


def test_two_epochs_read_mnist(trained):
    x, y = data.load("mnist", "test")
    for model in trained:
        assert 0.02 <= 1 - uncertainty.accuracy(uncertainty.predict(model, x), y) <= 0.04


def test_two_members_are_better_than_one_and_doubt_letters_more(trained):
    x, y = data.load("mnist", "test")
    letters, _ = data.load("notmnist", "test")
    both = networks.Ensemble(trained)
    nlls = [uncertainty.nll(uncertainty.predict(m, x), y) for m in (*trained, both)]
    assert nlls[2] < min(nlls[:2])
    aurocs = [
        uncertainty.auroc(*(uncertainty.entropy(uncertainty.predict(m, i)) for i in (x, letters)))
        for m in (*trained, both)
    ]
    assert aurocs[2] > max(aurocs[:2])


def test_rank_25_keeps_what_rank_2_destroys(trained):
    x, y = data.load("mnist", "test")
    errors = [
        1 - uncertainty.accuracy(uncertainty.predict(lowrank.compress(trained[0], rank=r), x), y)
        for r in (25, 2)
    ]
    assert errors[0] < 0.10
    assert errors[1] > 0.40

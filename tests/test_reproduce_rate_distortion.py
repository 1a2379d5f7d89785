"""The rate-distortion experiment on a few digits: its warp, its search, its units."""

import pytest
import reproduced
import torch

from uecompress import networks
from uecompress.reproduce import bayesian, bayesian_settings
from uecompress.reproduce import rate_distortion as experiment
from uecompress.reproduce.__main__ import choice
from uecompress.reproduce.codes_training import perceptron
from uecompress.reproduce.rate_distortion import SETTINGS, search, warped


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Forty digits for MNIST, one small network, one epoch, two penalties."""
    reproduced.digits_for_mnist(monkeypatch, tmp_path, 40)
    monkeypatch.setattr(networks, "lenet300", lambda *, seed: perceptron([784, 12, 8, 10], seed))
    how = SETTINGS["networks"]["lenet300"] | {"seeds": [0, 1]}
    short = bayesian_settings.ordinary(1, 1e-3, batch_size=20)
    how |= {"float": short, "training": short}
    how |= {"search": {"epochs": 1, "penalty": [0.1, 1.0], "allowed": 100.0}}
    monkeypatch.setitem(SETTINGS, "networks", {"lenet300": how})


def test_units_are_independent_and_complete(small, monkeypatch):
    monkeypatch.setattr(bayesian, "quality", lambda *_: {"error": 1.0})
    reproduced.check(experiment)


def test_how_the_settings_were_chosen_is_said():
    assert choice(experiment).endswith(".")


def test_a_row_is_that_of_the_file_that_is_kept(small):
    row, files = experiment.row("lenet300", 1), experiment.artefacts()
    assert row["bytes"] == len(files["lenet300-1.uec"])
    assert row["penalty"] == 100.0  # all are allowed: the search went on


def test_a_warp_of_nothing_is_the_image_and_one_by_shifts_moves_it():
    x = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    still = {"degrees": 0, "scale": 0, "shear": 0, "shift": 0}
    assert torch.allclose(warped(x, **still), x, atol=1e-5)
    dot = torch.zeros(200, 1, 28, 28)
    dot[:, :, 14, 14] = 1.0
    torch.manual_seed(0)
    moved = warped(dot, **still | {"shift": 1.0})
    rows = torch.arange(28.0)
    centre = (moved.sum((1, 3)) * rows).sum(1) / moved.sum((1, 2, 3))
    assert (centre - 14).abs().max() <= 1 + 1e-4
    assert centre.std().item() == pytest.approx(1 / 3**0.5, abs=0.06)  # uniform in [−1, 1]


def test_the_search_takes_the_largest_penalty_within_the_allowed_error(monkeypatch):
    errors = dict(zip(SETTINGS["networks"]["lenet300"]["search"]["penalty"],
                      (1.2, 1.9, 1.5, 1.7, 2.4), strict=True))  # fmt: skip
    monkeypatch.setattr(
        "uecompress.reproduce.rate_distortion.tried",
        lambda name, seed, penalty, epochs: {"penalty": penalty, "error": errors[penalty]},
    )
    assert search("lenet300")["choice"] == {"penalty": 3.0}
    errors.update({4.0: 1.6, 5.3: 1.7, 7.0: 1.9})  # beyond the grid, each a third larger
    assert search("lenet300")["choice"] == {"penalty": 5.3}
    assert [each["penalty"] for each in search("lenet300")["grid"]][-2:] == [5.3, 7.0]
    errors.update(dict.fromkeys(errors, 5.0))
    with pytest.raises(ValueError, match="no penalty"):
        search("lenet300")

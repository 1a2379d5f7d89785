"""What the stored networks of MNIST must still say."""

import pytest

from uecompress import data, uncertainty


def same_error_and_doubt(model, row):
    """Whether a network has the error, the NLL and the AUROC on notMNIST of its row."""
    (x, y), (letters, _) = data.load("mnist", "test"), data.load("notmnist", "test")
    inside, outside = (uncertainty.predict(model, images) for images in (x, letters))
    error = 100 * (1 - uncertainty.accuracy(inside, y))
    assert error == pytest.approx(row["error"], abs=0.021)  # two images may be ties
    assert uncertainty.nll(inside, y) == pytest.approx(row["nll"], abs=1e-4)
    entropies = uncertainty.entropy(inside), uncertainty.entropy(outside)
    assert uncertainty.auroc(*entropies) == pytest.approx(row["auroc"], abs=1e-4)

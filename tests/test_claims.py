import math

import numpy as np
import pytest
import torch

from uecompress.claims import ClaimFailed, claim


@pytest.mark.parametrize(
    ("value", "band", "line"),
    [
        (0.51234, (0.5, 0.6), "✓ it holds [0.5 to 0.6]\n"),
        (3, (3, 3), "✓ it holds [exactly 3]\n"),
        (1e9, (2, math.inf), "✓ it holds [at least 2]\n"),
        (-1e9, (-math.inf, 2), "✓ it holds [at most 2]\n"),
        (1234567, (1234567, 1234567), "✓ it holds [exactly 1234567]\n"),
        (torch.tensor(0.5, requires_grad=True), (0.5, 0.6), "✓ it holds [0.5 to 0.6]\n"),
        (np.float32(0.5), (0.5, 0.6), "✓ it holds [0.5 to 0.6]\n"),
    ],
)
def test_a_claim_that_holds_prints_its_band_and_never_the_value(capsys, value, band, line):
    claim("it holds", value, *band)
    assert capsys.readouterr().out == line


@pytest.mark.parametrize("value", [0.4999, 0.6001, math.nan, math.inf])
def test_a_claim_that_fails_shows_the_value(capsys, value):
    with pytest.raises(ClaimFailed, match=r"it holds: measured .*, outside the band 0.5 to 0.6"):
        claim("it holds", value, 0.5, 0.6)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("band", [(), (2, 1), (math.nan, 1), (-math.inf, math.inf)])
def test_a_band_must_be_able_to_fail(band):
    with pytest.raises(ValueError, match="cannot fail"):
        claim("it holds", 1.0, *band)

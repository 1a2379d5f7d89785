import math

import numpy as np
import pytest
import torch

from uecompress.claims import ClaimFailed, claim

INF = math.inf


@pytest.mark.parametrize(
    ("value", "band", "line"),
    [
        (23.4123, (10, 45), "23.4 (10 to 45)"),
        (0.2871, (-INF, 0.45), "0.29 (at most 0.45)"),
        (3e-16, (-INF, 1e-12), "3e-16 (at most 1e-12)"),
        (0, (-INF, 1e-12), "0 (at most 1e-12)"),
        (3, (3, 3), "3 (exactly 3)"),
        (1234567, (1234567, 1234567), "1,234,567 (exactly 1,234,567)"),
        (59898.3, (50_000, 70_000), "59,898 (50,000 to 70,000)"),
        (146, (130, 160), "146 (130 to 160)"),
        (146.3, (130, 160), "146.3 (130 to 160)"),
        (-0.0231, (-0.05, 0.01), "-0.023 (-0.05 to 0.01)"),
        (99.613, (99, INF), "99.6 (at least 99)"),
        (0.5, (0, INF), "0.50 (at least 0)"),
        (1e9, (2, INF), "1,000,000,000 (at least 2)"),
        (torch.tensor(0.5, requires_grad=True), (0.25, 0.75), "0.50 (0.25 to 0.75)"),
        (np.float32(0.5), (0.25, 0.75), "0.50 (0.25 to 0.75)"),
    ],
)
def test_a_claim_prints_its_value_and_its_band(value, band, line, capsys):
    claim("it holds", value, *band)
    assert capsys.readouterr().out == f"✓ it holds: {line}\n"


@pytest.mark.parametrize("band", [(-INF, 0.45), (0.4499, 0.45), (0.4, 0.45), (0.44996, INF)])
def test_a_rounded_value_never_looks_as_if_it_were_outside(band, capsys):
    for value in (0.449961, 0.44996, 0.449999):
        claim("it holds", value, *band)
        shown = float(capsys.readouterr().out.split()[3])
        assert band[0] <= shown <= band[1]
        assert shown == pytest.approx(value, abs=0.005)


def test_a_value_is_one_token(capsys):
    for value in (1e-300, 1e300, -1e6, 0.1 + 0.2, 5e-324, 12345.678):
        claim("it holds", value, -INF, 1e301)
        assert len(capsys.readouterr().out.split("(")[0].split()) == 4


@pytest.mark.parametrize("value", [0.4999, 0.6001, math.nan, math.inf])
def test_a_claim_that_fails_shows_the_value(capsys, value):
    with pytest.raises(ClaimFailed, match=r"it holds: measured .*, outside the band 0.5 to 0.6"):
        claim("it holds", value, 0.5, 0.6)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("band", [(), (2, 1), (math.nan, 1), (-math.inf, math.inf)])
def test_a_band_must_be_able_to_fail(band):
    with pytest.raises(ValueError, match="cannot fail"):
        claim("it holds", 1.0, *band)

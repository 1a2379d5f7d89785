"""The kept networks of chapter 25 are what their rows say."""

import pytest
from kept import same_error_and_doubt

from uecompress import data, networks, storage

STORED = data.results("rate_distortion")
FOLDER = data.folder() / "results" / "rate_distortion"
KEPT = {f"{row['network']}-{row['seed']}.uec": row for row in STORED["results"]["rows"]}


def test_every_row_is_kept_and_no_other():
    assert {path.name for path in FOLDER.iterdir()} == KEPT.keys()


def test_the_penalty_is_the_largest_that_the_search_allows():
    for name, search in STORED["results"]["search"].items():
        allowed = STORED["settings"]["networks"][name]["search"]["allowed"]
        within = [each["penalty"] for each in search["grid"] if each["error"] <= allowed]
        assert search["choice"] == {"penalty": max(within)}
        assert max(within) < search["grid"][-1]["penalty"]  # not at the edge
        rows = [row for row in KEPT.values() if row["network"] == name]
        assert {row["penalty"] for row in rows} == {max(within)}


def test_the_records_are_kept():
    for name, length, error in (("lenet300", 3800, 1.8), ("lenet5", 2233, 1.0)):
        rows = [row for row in KEPT.values() if row["network"] == name]
        assert len(rows) == 3
        assert sum(row["bytes"] for row in rows) / 3 <= length
        assert sum(row["error"] for row in rows) / 3 <= error


@pytest.mark.parametrize("name", KEPT)
def test_a_kept_file_has_the_size_of_its_row_and_holds_codes(name):
    row, model = KEPT[name], storage.load(FOLDER / name)
    assert (FOLDER / name).stat().st_size == row["bytes"]
    codes = [module.codes for module in model.modules() if hasattr(module, "codes")]
    whole = getattr(networks, row["network"])(seed=0)
    shapes = [layer.weight.shape for _, layer in networks.linear_and_conv_layers(whole)]
    assert [each.shape for each in codes] == shapes


@pytest.mark.mnist
@pytest.mark.parametrize("name", KEPT)
def test_a_kept_file_has_the_error_and_the_doubt_of_its_row(name):
    same_error_and_doubt(storage.load(FOLDER / name), KEPT[name])

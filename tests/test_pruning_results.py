"""The kept networks of chapters 18 to 22 are what their rows say."""

import pytest
from kept import same_error_and_doubt

from uecompress import data, networks, storage
from uecompress.reproduce import foreign

STORED = data.results("pruning")
FOLDER = data.folder() / "results" / "pruning"


def rows_of_files():
    """The row of each file that is kept, by the file's name."""
    results, settings = STORED["results"], STORED["settings"]
    rows = {(row["method"], row["density"], row["seed"]): row for row in results["rows"]}
    kept = settings["kept_density"].items()
    found = {f"{method}-0.uec": rows[method, density, 0] for method, density in kept}
    last = [row for row in results["tickets"] if (row["method"], row["seed"]) == ("imp_reset", 0)]
    return found | {"imp-0.uec": min(last, key=lambda row: row["density"])}


KEPT = rows_of_files()


def test_every_network_with_a_row_is_kept_and_no_other():
    assert {path.name for path in FOLDER.iterdir()} == KEPT.keys()


@pytest.mark.parametrize("name", KEPT)
def test_a_kept_file_has_the_size_and_the_weights_of_its_row(name):
    row, model = KEPT[name], storage.load(FOLDER / name)
    layers = [layer for _, layer in networks.linear_and_conv_layers(model)]
    assert (FOLDER / name).stat().st_size == row["bytes"]
    assert [int((layer.weight != 0).sum()) for layer in layers] == row["nonzero_weights"]
    if name != "slimming_layers-0.uec":  # whose density is that of its channels
        left = sum(row["nonzero_weights"]) / sum(layer.weight.numel() for layer in layers)
        assert left == pytest.approx(row["density"], abs=2e-4)


@pytest.mark.mnist
@pytest.mark.parametrize("name", KEPT)
def test_a_kept_file_has_the_error_and_the_doubt_of_its_row(name):
    row, model = KEPT[name], storage.load(FOLDER / name)
    same_error_and_doubt(model, row)
    scores = {key: row[key] for key in foreign.KEYS}
    assert foreign.row(model) == pytest.approx(scores, abs=5e-4)

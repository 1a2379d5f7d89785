"""The page of predictions shows the table that the library reads."""

import csv
from pathlib import Path

from uecompress import data

PAGE = Path(__file__).parent.parent / "appendix" / "predictions.md"


def test_the_page_is_the_table():
    with (data.folder() / "predicted_signs.csv").open(encoding="utf-8", newline="") as file:
        _, *expected = csv.reader(file)
    table = PAGE.read_text("utf-8").replace("−", "-").split("|---|\n")[-1].splitlines()
    assert [[cell.strip() for cell in line.strip("|").split("|")] for line in table] == expected

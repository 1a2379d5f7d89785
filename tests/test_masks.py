"""What nbval compares of a claim: the sentence and the band, not the value."""

import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

ROOT = Path(__file__).parent.parent
PRINTED = "✓ Rank 5 (of 10): 0.97 (0.9 to 1)\\n✓ Bytes: 60 (exactly 60)\\nrank 5"


def compare(folder, stored):
    """What nbval says of a notebook that prints PRINTED where ``stored`` is stored."""
    (folder / "tools").mkdir()
    for name in ("conftest.py", "tools/masks.cfg"):
        shutil.copy(ROOT / name, folder / name)
    output = new_output("stream", name="stdout", text=stored.replace("\\n", "\n") + "\n")
    cell = new_code_cell(f"print({PRINTED!r})".replace("\\\\n", "\\n"), outputs=[output])
    cell.execution_count = 1
    nbformat.write(new_notebook(cells=[cell]), folder / "a.ipynb")
    command = [sys.executable, "-m", "pytest", "-q", "--nbval", "--nbval-current-env", "-p",
               "no:cacheprovider", folder / "a.ipynb"]  # fmt: skip
    return subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("stored", "passes"),
    [
        (PRINTED, True),
        (PRINTED.replace("0.97", "0.912"), True),
        (PRINTED.replace("Rank 5", "Rank 6"), False),
        (PRINTED.replace("0.9 to", "0.8 to"), False),
        (PRINTED.replace("rank 5", "rank 6"), False),
        (PRINTED.replace("✓ Bytes: 60 ", "✓ Bytes: 6 0 "), False),
    ],
    ids=["same", "other value", "other sentence", "other band", "other line", "two tokens"],
)
def test_a_value_is_masked_and_nothing_else(tmp_path, stored, passes):
    run = compare(tmp_path, stored)
    assert (run.returncode == 0) == passes, run.stdout + run.stderr
    assert "1 passed" in run.stdout or "1 failed" in run.stdout

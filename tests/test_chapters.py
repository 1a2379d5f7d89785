"""Every chapter has the form that CONTRIBUTING.md describes, as far as a program can tell."""

from pathlib import Path

import nbformat
import pytest
from lint_chapters import LINTS

# Chapters that do not have the new form yet, and the lints that they wait for.
PENDING = {
    "01_the_question",
    "02_svd",
    "03_tensors",
    "06_uncertainty",
    "07_ensembles",
    "08_bytes",
    "09_compressed_ensembles",
    "10_evidence",
    "11_elbo",
    "12_pruning_by_posterior",
    "13_sparse_variational_dropout",
    "14_group_sparsity",
    "17_quantizing_priors",
}
WAITING = {"exercises", "headings", "length", "claims"}
CHAPTERS = sorted(Path(__file__).parent.parent.glob("chapters/*.ipynb"))


def test_there_are_chapters():
    assert CHAPTERS


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
@pytest.mark.parametrize("lint", LINTS, ids=lambda lint: lint.__name__)
def test_chapter(lint, path):
    if path.stem in PENDING and lint.__name__ in WAITING:
        pytest.skip("is still in the old form")
    messages = list(lint(nbformat.read(path, as_version=4), path))
    assert not messages, "\n".join(messages)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_chapter_is_valid_and_listed(path):
    nbformat.validate(nbformat.read(path, as_version=4))
    contents = (path.parent.parent / "_toc.yml").read_text("utf-8")
    assert f"chapters/{path.stem}\n" in contents, f"add chapters/{path.stem} to _toc.yml"

"""Every chapter has the form that CONTRIBUTING.md describes, as far as a program can tell."""

from pathlib import Path

import lint_chapters
import nbformat
import pytest
from lint_chapters import LINTS

ROOT = Path(__file__).parent.parent
CHAPTERS = sorted(ROOT.glob("chapters/*.ipynb"))
WORKED = sorted(ROOT.glob("appendix/*.ipynb"))  # of the form of a chapter, without exercises
OF_CHAPTERS = (lint_chapters.headings, lint_chapters.exercises, lint_chapters.references)


def test_there_are_chapters():
    assert CHAPTERS


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
@pytest.mark.parametrize("lint", LINTS, ids=lambda lint: lint.__name__)
def test_chapter(lint, path):
    messages = list(lint(nbformat.read(path, as_version=4), path))
    assert not messages, "\n".join(messages)


@pytest.mark.parametrize("path", WORKED, ids=lambda path: path.stem)
@pytest.mark.parametrize("lint", LINTS, ids=lambda lint: lint.__name__)
def test_worked_page(lint, path):
    if lint not in OF_CHAPTERS:
        test_chapter(lint, path)


@pytest.mark.parametrize("path", [*CHAPTERS, *WORKED], ids=lambda path: path.stem)
def test_chapter_is_valid_and_listed(path):
    nbformat.validate(nbformat.read(path, as_version=4))
    contents = (path.parent.parent / "_toc.yml").read_text("utf-8")
    assert f"{path.parent.name}/{path.stem}\n" in contents, f"add {path.stem} to _toc.yml"

"""The plain copies for Colab show no MyST, keep the code, and lose no text, number or link."""

import ast
import re

import nbformat
import plain
import pytest
import setup_cell
from address import ROOT, address
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from sources import Sources

FOUND = {
    "ex-a-one": "Exercise 2.1",
    "a-thm": "Theorem 2.1",
    "fig-a": "2.3",
    "eq-a": "(2.4)",
    "sec-a": "A section",
    "chapters/03_tensors": "Tensors",
}


@pytest.fixture(scope="module")
def sources():
    return Sources(ROOT / "references.bib")


@pytest.fixture
def page(sources):
    return plain.Page("chapters/02_a", new_notebook(), FOUND, sources)


@pytest.fixture(scope="module")
def copies():
    return dict(plain.copies("v0"))


def test_no_copy_of_the_book_shows_myst(copies):
    originals = plain.pages()
    assert copies.keys() == originals.keys()
    for name, copy in copies.items():
        nbformat.validate(copy)
        assert plain.leftovers(copy) == [], name
        assert plain.leftovers(originals[name]) != [], name


def test_copies_keep_every_cell_of_code_and_every_caption(copies):
    for name, original in plain.pages().items():
        before = [cell for cell in original.cells if cell.cell_type == "code"]
        after = [cell for cell in copies[name].cells if cell.cell_type == "code"]
        assert len(before) == len(after)
        for old, new in zip(before, after, strict=True):
            if setup_cell.MARK in old.source:
                assert f"git+{address()}@v0" in new.source
                continue
            assert ast.dump(ast.parse(old.source)) == ast.dump(ast.parse(new.source)), name
        figures = [cell for cell in before if "figure" in cell.metadata.get("mystnb", {})]
        shown = re.findall(r"^\*Figure [\d.]+: ", plain.prose(copies[name]), re.MULTILINE)
        assert len(shown) == len(figures), name


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (":::{admonition} Know\n:class: tip\nThis.\n:::", "> **Know**\n>\n> This."),
        (":::{prf:theorem} T\n:label: a-thm\n\nSo.\n:::", "> **Theorem 2.1 (T).**\n>\n> So."),
        (":::{prf:proof}\nClear.\n:::", "> *Proof.* Clear. ∎"),
        (
            "::::{exercise} One\n:label: ex-a-one\n\nDo.\n\n"
            ":::{admonition} Hint\n:class: dropdown\nH\n:::\n::::",
            "#### Exercise 2.1: One\n\nDo.\n\n"
            "<details>\n<summary>Hint</summary>\n\nH\n\n</details>",
        ),
        (
            ":::{solution-start} ex-a-one\n:class: dropdown\n:::\n\nBecause.",
            "<details>\n<summary>Solution of exercise 2.1</summary>\n\nBecause.\n\n</details>",
        ),
        ("$$\nx\n$$ (eq-a)\n\nAfter {eq}`eq-a`.", "$$\nx\n\\tag{2.4}\n$$\n\nAfter (2.4)."),
        ("(sec-a)=\n## A section\n\nSee {ref}`sec-a`.", "## A section\n\nSee A section."),
        ("{numref}`fig-a`, {ref}`that <sec-a>`", "Figure 2.3, that"),
        ("{term}`odds <odd>` {py:func}`f <uecompress.f>`", "odds `f`"),
        (
            "{doc}`03_tensors`",
            f"[Tensors]({plain.hosted(address())}/chapters/03_tensors.html)",
        ),
        (
            "{cite:p}`ch02-eckart1936`",
            "([Eckart and Young, 1936](https://doi.org/10.1007/BF02288367))",
        ),
        (
            "{cite:t}`ch02-eckart1936`",
            "[Eckart and Young (1936)](https://doi.org/10.1007/BF02288367)",
        ),
    ],
)
def test_each_form_of_myst_becomes_plain(page, source, said):
    assert page.text(source) == said


@pytest.mark.parametrize("source", [":::{mermaid}\nx\n:::", "{kbd}`Enter`"])
def test_what_is_not_known_is_refused(page, source):
    with pytest.raises(ValueError, match=r"plain copies know no (directive|role) '(mermaid|kbd)'"):
        page.text(source)


def test_leftovers_are_found():
    seen = ":::{tip}\n:class: x\n(sec-a)=\n$$ (eq-a)\nSee {eq}`eq-a`."
    assert len(plain.leftovers(new_notebook(cells=[new_markdown_cell(seen)]))) == 5


def test_truths_and_solutions_are_folded_without_their_output(page):
    out = [new_output("stream", name="stdout", text="42\n")]
    truth = new_code_cell("1", outputs=out, metadata={"tags": ["hide-cell"]})
    folded = new_code_cell("2", outputs=out, metadata={"tags": ["hide-input"]})
    solved = new_code_cell("3", outputs=out)
    begin, end = (
        new_markdown_cell(":::{solution-start} ex-a-one\n:class: dropdown\n:::\n\nSo."),
        new_markdown_cell(":::{solution-end}\n:::"),
    )
    last = new_code_cell("4", outputs=out)
    cells = [new_markdown_cell("# T"), truth, folded, begin, solved, end, last]
    copy = plain.plain(new_notebook(cells=cells), page, "v0")
    code = [cell for cell in copy.cells if cell.cell_type == "code"]
    assert [cell.metadata.get("cellView") for cell in code] == ["form", "form", "form", None]
    assert [bool(cell.outputs) for cell in code] == [False, True, False, True]
    assert code[2].source.startswith("# @title Solution {")


def test_references_are_numbered_as_the_book_numbers_them():
    text = "# T\n\n$$ a $$ (eq-x)\n\n:::{prf:theorem} A\n:label: t-a\n:::\n\n$$ b $$ (eq-y)"
    text += "\n\n:::{prf:lemma} B\n:label: t-b\n:::\n\n(sec-q)=\n## Why"
    figure = new_code_cell("", metadata={"mystnb": {"figure": {"name": "fig-x"}}})
    found = plain.references(
        {"chapters/09_t": new_notebook(cells=[new_markdown_cell(text), figure])}
    )
    assert found == {
        "chapters/09_t": "T",
        "eq-x": "(9.1)",
        "eq-y": "(9.2)",
        "t-a": "Theorem 9.1",
        "t-b": "Lemma 9.1",
        "fig-x": "9.1",
        "sec-q": "Why",
    }


def test_every_source_of_the_book_can_be_cited(sources):
    for key in sources.entries:
        assert re.fullmatch(r"\[.+\]\(https?://\S+\)", sources.cited([key], "t"), re.DOTALL), key
    listed = sources.listed(["graves2011", "eckart1936"])
    assert listed.index("Eckart") < listed.index("Graves")

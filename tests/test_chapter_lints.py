"""Each lint accepts a good chapter and rejects one that is broken in the way it looks for."""

from pathlib import Path

import address
import lint_chapters
import nbformat
import pytest
import setup_cell
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

PATH = Path("chapters/07_sample.ipynb")
OPENING = """# A sample

:::{admonition} Objectives
:class: tip
After this chapter you can

- tell a good chapter from a bad one;
- mend the bad one.

**You need to know:** nothing.

**Minutes:** 45

**Hardware:** two CPU cores.
:::"""
EXERCISE = """:::{exercise} Two and two
:label: ex-sample-sum

**KIND** · **Difficulty:** 1 of 5 · **Minutes:** 2

How much is it?
:::"""
SOLUTION = ":::{solution-start} ex-sample-sum\n:class: dropdown\n:::\n\nCount."
CLAIM = "✓ It rises: 1 (0 to 2)\n"
FOLDED = {"tags": ["hide-input"], "mystnb": {"code_prompt_show": "Show the check"}}
REFERENCES = """## References

:::{bibliography}
:filter: docname in docnames
:keyprefix: ch07-
:::"""
FIGURE = {
    "tags": ["nbval-ignore-output"],
    "mystnb": {
        "image": {"alt": "A straight line that rises from left to right."},
        "figure": {"caption": "A line.", "name": "fig-sample-line"},
    },
}


def stdout(text):
    return new_output("stream", name="stdout", text=text)


def table():
    """An output that shows a data frame."""
    return new_output("execute_result", {"text/html": "<table></table>"}, execution_count=1)


def picture(sharp=True):
    metadata = {"image/png": {"width": 5, "height": 5}} if sharp else {}
    data = {"image/png": "aaaa", "text/plain": "<Figure>"}
    return new_output("display_data", data, metadata=metadata)


def exercise(kind, name):
    """Return the six cells of an exercise."""
    return [
        new_markdown_cell(EXERCISE.replace("KIND", kind).replace("-sum", f"-{name}")),
        new_code_cell(f'answer = ...\ncheck("ex-sample-{name}", answer)'),
        new_markdown_cell(SOLUTION.replace("-sum", f"-{name}")),
        new_code_cell("answer = 2 + 2"),
        new_code_cell(f'check("ex-sample-{name}", answer)', outputs=[stdout("✓ correct\n")]),
        new_markdown_cell(":::{solution-end}\n:::"),
    ]


def good():
    """Return a chapter without a fault; the numbers in `break_` below are its cells."""
    cells = [
        new_markdown_cell(OPENING),  # 0
        new_code_cell(setup_cell.source(address.address()), metadata={"tags": ["hide-cell"]}),  # 1
        new_code_cell("from uecompress.claims import claim"),  # 2
        new_markdown_cell("## A section\n\nAs {cite:t}`ch07-eckart1936` says."),  # 3
        new_code_cell("plt.show()", metadata=FIGURE, outputs=[picture()]),  # 4
        new_markdown_cell("The line rises."),  # 5
        new_code_cell("claim('It rises', 1, 0, 2)", metadata=FOLDED, outputs=[stdout(CLAIM)]),  # 6
        new_markdown_cell("## Summary\n\nIt rises."),  # 7
        new_markdown_cell("## Exercises"),  # 8
        *exercise("Pencil", "sum"),  # 9 to 14
        *exercise("Write it", "add"),  # 15 to 20
        *exercise("Experiment", "count"),  # 21 to 26
        new_markdown_cell("## What comes next\n\nThree."),  # 27
        new_markdown_cell(REFERENCES),  # 28
    ]
    notebook = new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = nbformat.from_dict({"name": "python3"})
    for count, cell in enumerate(lint_chapters.code_cells(notebook), start=1):
        cell.execution_count = count
    return notebook


def edit(number, old, new):
    """Return a fault that replaces `old` by `new` in one cell."""

    def apply(notebook):
        cell = notebook.cells[number]
        assert old in cell.source
        cell.source = cell.source.replace(old, new)

    return apply


def set_source(number, source):
    return lambda notebook: notebook.cells[number].update(source=source)


def set_tags(number, *tags):
    return lambda notebook: notebook.cells[number].metadata.update(tags=list(tags))


def add_output(number, output):
    return lambda notebook: notebook.cells[number].outputs.append(output)


def drop(number):
    return lambda notebook: notebook.cells.pop(number)


def not_run(notebook):
    notebook.cells[6].execution_count = None


def run_twice(notebook):
    notebook.cells[13].execution_count = 9


def long_cells(notebook):
    for number in (2, 6, 10):
        notebook.cells[number].source = "\n".join(["x = 1"] * 21)


def wordy_cells(notebook):
    for number in (2, 4, 6, 10, 12, 13, 16, 18):
        notebook.cells[number].source = "\n".join(["x = 1"] * 8)


def figure_metadata(key, value):
    def apply(notebook):
        figure = {"image": dict(FIGURE["mystnb"]["image"]), "figure": {"name": "fig-x"}}
        figure["figure"]["caption"] = "A line."
        (figure["image"] if key == "alt" else figure["figure"])[key] = value
        notebook.cells[4].metadata["mystnb"] = nbformat.from_dict(figure)

    return apply


def add_words(notebook, total):
    notebook.cells[5].source = "word $$ a + b $$ " * total


def add_cells(notebook):
    notebook.cells += [new_code_cell("x = 1") for _ in range(30)]


def ignore_most(notebook):
    for number in (2, 10, 12, 13, 16, 18):
        notebook.cells[number].metadata["tags"] = ["nbval-ignore-output"]


ERROR = new_output("error", ename="ValueError", evalue="no", traceback=[])
STDERR = new_output("stream", name="stderr", text="a warning")
BROKEN = [  # lint, what its message says, fault
    ("one_clean_run", "top to bottom", not_run),
    ("one_clean_run", "top to bottom", run_twice),
    ("one_clean_run", "is empty", set_source(6, " ")),
    ("cell_length", "31 lines", set_source(6, "\n".join(["x = 1"] * 31))),
    ("cell_length", "over 20 lines", long_cells),
    ("cell_length", "median", wordy_cells),
    ("opening", "title", edit(0, "# A sample", "A sample")),
    ("opening", "Objectives", edit(0, "Objectives", "Aims")),
    ("opening", "two objectives", edit(0, "- mend", "Mend")),
    ("opening", "need to know", edit(0, "**You need to know:**", "You need")),
    ("opening", "Minutes", edit(0, "45", "some")),
    ("opening", "Hardware", edit(0, "**Hardware:** two", "Two")),
    ("setup", "make address", drop(1)),
    ("setup", "make address", edit(1, "git+", "git+x")),
    ("setup", "hide-cell", set_tags(1)),
    ("headings", "first level", edit(5, "The", "# The")),
    ("headings", "skips a level", edit(5, "The line", "#### The line")),
    ("headings", "last sections", drop(7)),
    ("headings", "last sections", edit(8, "Exercises", "Problems")),
    ("headings", "last sections", edit(27, "What comes next", "Next")),
    ("exercises", "no exercise", drop(9)),
    ("exercises", "Difficulty", edit(9, "1 of 5", "easy")),
    ("exercises", "Difficulty", edit(9, "**Minutes:** 2", "")),
    ("exercises", "check", edit(10, 'check("ex-sample-sum", answer)', "answer")),
    ("exercises", "folded solution", edit(11, ":class: dropdown\n", "")),
    ("exercises", "folded solution", edit(11, "ex-sample-sum", "ex-sample-other")),
    ("exercises", "folded solution", drop(14)),
    ("exercises", "check", edit(10, "ex-sample-sum", "ex-sample-other")),
    ("exercises", "shows the answer", edit(10, "answer)", "answer, right=4)")),
    ("exercises", "of the kind 'Write it'", edit(15, "Write it", "Pencil")),
    ("exercises", "cell of its own", edit(9, ":::{exercise}", f"{EXERCISE}\n\n:::{{exercise}}")),
    ("references", "last cell", drop(28)),
    ("references", "last cell", edit(28, ":filter: docname in docnames\n", "")),
    ("references", "last cell", edit(28, "ch07-", "ch08-")),
    ("references", "nothing is cited", edit(3, "{cite:t}", "")),
    ("references", "instead of", edit(3, "ch07-", "")),
    ("figures", "one a cell", add_output(4, picture())),
    ("figures", "or tables", add_output(4, table())),
    ("figures", "describe", figure_metadata("alt", "line")),
    ("figures", "caption", figure_metadata("caption", "")),
    ("figures", "name", figure_metadata("name", "line")),
    ("figures", "describe", add_output(6, picture())),
    ("figures", "not sharp", add_output(6, picture(sharp=False))),
    ("clean_outputs", "raised ValueError", add_output(6, ERROR)),
    ("clean_outputs", "stderr", add_output(6, STDERR)),
    ("clean_outputs", "path", add_output(6, stdout("in /Users/someone/data"))),
    ("clean_outputs", "address", add_output(6, stdout("<Line2D at 0x7f00c0ffee>"))),
    ("tagging", "unknown tags", set_tags(6, "remove-cell")),
    ("tagging", "figure", set_tags(4)),
    ("tagging", "time", edit(6, "claim", "perf_counter(); claim")),
    ("compared", "not compared", ignore_most),
    ("compared", "claim must follow", edit(6, "claim(", "print(")),
    ("length", "2750 words", lambda notebook: add_words(notebook, 2600)),
    ("length", "42 code cells", add_cells),
    ("length", "73 characters", set_source(2, "x" * 73)),
    ("claims", "26 claims", lambda notebook: add_output(6, stdout(25 * CLAIM))(notebook)),
    ("claims", "without its value", add_output(6, stdout("✓ It falls [0 to 2]\n"))),
    ("claims", "only claims", set_tags(6)),
    ("claims", "only claims", lambda notebook: notebook.cells[6].metadata.pop("mystnb")),
    ("metadata", "widgets", lambda notebook: notebook.metadata.update(widgets={})),
    ("metadata", "python3", lambda notebook: notebook.metadata.pop("kernelspec")),
    ("metadata", "collapsed", lambda notebook: notebook.cells[6].metadata.update(collapsed=True)),
    ("plain_in_colab", "with colons", edit(5, "The", "```{note}\nThe\n```")),
    ("plain_in_colab", "myst_nb", edit(6, "claim", "from myst_nb import glue; claim")),
    ("plain_in_colab", "attached", lambda notebook: notebook.cells[5].update(attachments={})),
]


@pytest.mark.parametrize("lint", lint_chapters.LINTS, ids=lambda lint: lint.__name__)
def test_good_chapter_passes(lint):
    assert list(lint(good(), PATH)) == []


@pytest.mark.parametrize(("name", "message", "fault"), BROKEN)
def test_broken_chapter_is_rejected(name, message, fault):
    notebook = good()
    fault(notebook)
    messages = list(getattr(lint_chapters, name)(notebook, PATH))
    assert any(message in text for text in messages), messages


def test_every_lint_has_a_broken_sample():
    assert {name for name, _, _ in BROKEN} == {lint.__name__ for lint in lint_chapters.LINTS}


def test_lints_survive_an_empty_notebook():
    for lint in lint_chapters.LINTS:
        list(lint(new_notebook(), PATH))


def test_an_exercise_may_hold_a_folded_hint():
    notebook = good()
    hint = ":::{admonition} Hint\n:class: dropdown\nAdd.\n:::\n::::"
    notebook.cells[15].source = f":{notebook.cells[15].source[:-3]}{hint}"
    assert list(lint_chapters.exercises(notebook, PATH)) == []

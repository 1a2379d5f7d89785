"""What the pages share that are collected from the notebooks when the book is built."""

import re
from pathlib import Path

import nbformat
from myst_parser.mdit_to_docutils.base import default_slugify

ROOT = Path(__file__).parent.parent
HEADING = re.compile(r"^#{1,3} +(.+?) *$", re.MULTILINE)
FILE = re.compile(r"^ *- file: (\S+)$", re.MULTILINE)


def notebooks(root=ROOT):
    """Return (docname, notebook) of every notebook in the table of contents, chapters first."""
    names = FILE.findall((root / "_toc.yml").read_text("utf-8"))
    names = [name for name in names if (root / f"{name}.ipynb").is_file()]
    names.sort(key=lambda name: not name.startswith("chapters/"))  # stable
    return [(name, nbformat.read(root / f"{name}.ipynb", as_version=4)) for name in names]


def title(docname, notebook):
    """The title of a page, after the number that a chapter has."""
    number = re.match(r"chapters/0*(\d+)_", docname)
    return (f"{number[1]}. " if number else "") + HEADING.search(notebook.cells[0].source)[1]


def heading(docname, notebook):
    """A Markdown heading that is the title of a page and links to it."""
    return f"## [{title(docname, notebook)}](/{docname}.ipynb)"


def code_cells(notebook):
    """Yield each code cell with the anchor of the section that it stands in."""
    slugs, anchor = set(), ""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            yield cell, anchor
        elif cell.cell_type == "markdown":
            for title in HEADING.findall(cell.source):
                anchor = unique(default_slugify(re.sub(r"\$[^$]*\$|`", "", title)), slugs)
                slugs.add(anchor)


def unique(slug, slugs):
    """A slug that is not taken, as MyST finds it."""
    number = 1
    while slug in slugs:
        slug, number = f"{slug}-{number}", number + 1
    return slug


def literal(text):
    """Markdown that shows exactly this text, also in a table."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)


def table(head, rows, right=0):
    """A Markdown table whose last columns, as many as ``right``, are aligned to the right."""
    rule = ["---"] * (len(head) - right) + ["--:"] * right
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, rule, *rows])


def fill(app, page, markdown):
    """Let the page end with what the function ``markdown`` returns, each time the book is built."""

    def read(app, docname, source):
        if docname == page:
            source[0] += "\n" + markdown()

    app.connect("source-read", read)
    return {"parallel_read_safe": True, "version": "2"}

"""Sphinx extension: the index of figures, collected from the metadata of the notebooks' cells."""

import collected


def figures(notebook):
    """Return the (name, caption) of every figure, in order."""
    found = [cell.metadata.get("mystnb", {}).get("figure") for cell in notebook.cells]
    return [(figure["name"], figure["caption"]) for figure in found if figure]


def numbered(label):
    """The number of a figure, linked to it."""
    return f"{{numref}}`{{number}} <{label}>`"


def page():
    """Markdown: a table of figures for each page that has any."""
    blocks = []
    for name, notebook in collected.notebooks():
        if rows := figures(notebook):
            lines = [[numbered(label), caption.replace("|", r"\|")] for label, caption in rows]
            blocks += [collected.heading(name, notebook)]
            blocks += [collected.table(["figure", "caption"], lines)]
    if not blocks:
        raise ValueError("no notebook has a figure with a name")
    return "\n\n".join(blocks)


def setup(app):
    return collected.fill(app, "appendix/figures", page)

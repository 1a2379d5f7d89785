"""Sphinx extension: the directive `claims` lists every claim that the stored notebooks print."""

import re
from pathlib import Path

import nbformat
from docutils import nodes
from sphinx import addnodes
from sphinx.util.docutils import SphinxDirective

CLAIM = re.compile(r"^✓ (.+): (\S+) \(([^()]+)\)$", re.MULTILINE)


def claims(notebook):
    """Return the (sentence, value, band) of every claim in the notebook's outputs, in order."""
    texts = [
        output.text
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.output_type == "stream" and output.name == "stdout"
    ]
    return [found for text in texts for found in CLAIM.findall(text)]


class Claims(SphinxDirective):
    """A table of claims for each chapter, in the book's order, and for each worked page."""

    def run(self):
        blocks = []
        pages = sorted(self.env.found_docs, key=lambda doc: (not doc.startswith("chapters/"), doc))
        for docname in pages:
            path = Path(self.env.doc2path(docname))
            if path.suffix != ".ipynb":
                continue
            self.env.note_dependency(str(path))
            if found := claims(nbformat.read(path, as_version=4)):
                blocks += [self.link(docname), table(found)]
        if not blocks:
            raise self.error("no chapter has a claim in its stored outputs")
        return blocks

    def link(self, docname):
        """Return a line of its own with the chapter's title, linked to it."""
        reference = addnodes.pending_xref(
            "",
            nodes.inline("", docname),
            refdomain="std",
            reftype="doc",
            reftarget=f"/{docname}",
            refdoc=self.env.docname,
            refexplicit=False,
            refwarn=True,
        )
        return nodes.rubric("", "", reference)


def table(rows):
    """Return a docutils table of (sentence, value, band)."""
    group = nodes.tgroup("", cols=3)
    group += [nodes.colspec("", colwidth=width) for width in (70, 12, 18)]
    head = nodes.thead("", row(("Claim", "Value", "Band")))
    body = nodes.tbody("", *[row(texts) for texts in rows])
    group += [head, body]
    return nodes.table("", group, classes=["claims"])


def row(texts):
    """Return one table row of plain texts."""
    entries = [nodes.entry("", nodes.paragraph("", text)) for text in texts]
    return nodes.row("", *entries)


def setup(app):
    app.add_directive("claims", Claims)
    return {"parallel_read_safe": True, "version": "1"}

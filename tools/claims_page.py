"""Sphinx extension: the page of every claim that the stored notebooks print."""

import re

import collected

CLAIM = re.compile(r"^✓ (.+): (\S+) \(([^()]+)\)$", re.MULTILINE)


def claims(notebook):
    """Return the (anchor, sentence, value, band) of every claim in the outputs, in order."""
    return [
        (anchor, *found)
        for cell, anchor in collected.code_cells(notebook)
        for output in cell.get("outputs", [])
        if output.output_type == "stream" and output.name == "stdout"
        for found in CLAIM.findall(output.text)
    ]


def page():
    """Markdown: how many claims each page has, and then a table for each."""
    found = [(*each, claims(each[1])) for each in collected.notebooks()]
    found = [each for each in found if each[2]]
    if not found:
        raise ValueError("no notebook has a claim in its stored outputs")
    contents = [
        [f"{{ref}}`{collected.title(name, notebook)} <claims-{name}>`", str(len(rows))]
        for name, notebook, rows in found
    ]
    total = str(sum(len(rows) for _, _, rows in found))
    blocks = [collected.table(["page", "claims"], [*contents, ["all", total]], right=1)]
    for name, notebook, rows in found:
        lines = [
            [f"[{collected.literal(sentence)}](/{name}.ipynb#{anchor})", value, band]
            for anchor, sentence, value, band in rows
        ]
        blocks += [f"(claims-{name})=", collected.heading(name, notebook)]
        blocks += [collected.table(["claim", "value", "band"], lines, right=2)]
    return "\n\n".join(blocks)


def setup(app):
    return collected.fill(app, "appendix/claims", page)

"""Plain copies of the notebooks for Colab, which shows MyST raw: `python tools/plain.py FOLDER`.

Boxes become quotes with bold titles, what is folded stays folded, references become numbers and
citations links, captions become text. The library is installed from the commit that the copies
were made from (`--ref` names another), so that a copy and its code stay together.
"""

import argparse
import re
import subprocess
from pathlib import Path

import nbformat
import setup_cell
from address import ROOT, address, hosted
from nbformat.v4 import new_markdown_cell
from sources import Sources

OPEN = re.compile(r"^(:{3,})\{([\w:-]+)\} ?(.*)$")
OPTION = re.compile(r"^:(\w+): ?(.*)$")
ROLE = re.compile(r"\{([\w:]+)\}`([^`]+)`")
PLACE = re.compile(r"^\(([\w-]+)\)=\n", re.MULTILINE)
EQUATION = re.compile(r"\$\$ *\(([\w-]+)\)[ \t]*$", re.MULTILINE)
LABEL = re.compile(r"^:{3,}\{(prf:\w+|exercise)\}[^\n]*\n:label: (\S+)", re.MULTILINE)
HEADED = re.compile(r"^\(([\w-]+)\)=\n#+ (.+)$", re.MULTILINE)
LEFT = re.compile(
    r"\{[\w:-]+\}`|^:{3,}|^:\w+: |^\([\w-]+\)=$|\$\$ *\([\w-]+\)[ \t]*$", re.MULTILINE
)
FOLDED = {"hide-cell", "hide-input"}


def pages(root=ROOT):
    """Return {docname: notebook} of every notebook of the book."""
    paths = sorted([*root.glob("chapters/*.ipynb"), *root.glob("appendix/*.ipynb")])
    names = (path.relative_to(root).with_suffix("").as_posix() for path in paths)
    return {name: nbformat.read(path, 4) for name, path in zip(names, paths, strict=True)}


def prose(notebook):
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def references(notebooks):
    """Return {label: what a reference to it says}: "2.3", "Theorem 2.1", a section's title."""
    found = {}
    for name, notebook in notebooks.items():
        chapter = re.match(r"chapters/0*(\d+)", name)
        before = f"{chapter[1]}." if chapter else ""
        text = prose(notebook)
        figures = [cell.metadata.get("mystnb", {}).get("figure", {}) for cell in notebook.cells]
        names = [figure["name"] for figure in figures if "name" in figure]
        found |= {label: f"{before}{i}" for i, label in enumerate(names, 1)}
        found |= {label: f"({before}{i})" for i, label in enumerate(EQUATION.findall(text), 1)}
        found |= {name: text.split("\n")[0].removeprefix("# ")} | dict(HEADED.findall(text))
        boxes = LABEL.findall(text)
        for kind in {kind for kind, _ in boxes}:
            same = [label for other, label in boxes if other == kind]
            said = kind.removeprefix("prf:").capitalize()
            found |= {label: f"{said} {before}{i}" for i, label in enumerate(same, 1)}
    return found


class Page:
    """What converts the texts of one page."""

    def __init__(self, name, notebook, found, sources):
        self.found, self.sources = found, sources
        self.folder, self.url = name.partition("/")[0], f"{hosted(address())}/{name}.html"
        keys = re.findall(r"\{cite:\w+\}`([^`]+)`", prose(notebook) + str(notebook.cells))
        self.cited = {self.key(key) for group in keys for key in group.split(",")}

    def key(self, key):
        """A citation's key without the page's prefix."""
        return key.strip().partition("-")[2]

    def text(self, text):
        """Return Markdown without directives, roles and labels."""
        text = EQUATION.sub(lambda m: f"\\tag{{{self.found[m[1]].strip('()')}}}\n$$", text)
        text = self.boxes(PLACE.sub("", text))
        return ROLE.sub(lambda m: self.role(m[1], m[2]), text).strip()

    def boxes(self, text):
        lines, done = text.split("\n"), []
        while lines:
            line = lines.pop(0)
            opened = OPEN.match(line)
            if not opened:
                done.append(line)
                continue
            fence, kind, title = opened.groups()
            end = lines.index(fence)
            body, lines = lines[:end], lines[end + 1 :]
            options = {}
            while body and (option := OPTION.match(body[0])):
                options[option[1]] = option[2]
                body.pop(0)
            if kind == "solution-start":  # all that follows it in its cell
                body, lines = lines, []
            done += self.box(kind, title, options, self.boxes("\n".join(body)).strip())
        return "\n".join(done)

    def box(self, kind, title, options, body):
        """Return the lines that stand for one directive."""
        if kind == "bibliography":
            return [self.sources.listed(self.cited)]
        if kind == "solution-end":
            return []
        if kind == "solution-start":
            return details(f"Solution of {self.found[title].lower()}", body)
        if kind == "exercise":
            return [f"#### {self.found[options['label']]}: {title}", "", body]
        if kind == "admonition":
            if "dropdown" in options.get("class", ""):
                return details(title, body)
            return quote(f"**{title}**\n\n{body}")
        if kind == "prf:proof":
            return quote(f"*Proof.* {body} ∎")
        if kind.startswith("prf:"):
            return quote(f"**{self.found[options['label']]} ({title}).**\n\n{body}")
        raise ValueError(f"plain copies know no directive {kind!r}; teach tools/plain.py")

    def role(self, name, target):
        shown = re.fullmatch(r"(.+?)\s*<([^<>]+)>", target, re.DOTALL)
        if name.startswith("cite:"):
            return self.sources.cited([self.key(k) for k in target.split(",")], name[-1])
        if name == "numref":
            return f"Figure {self.found[target]}"
        if name in ("eq", "ref", "prf:ref"):
            return shown[1] if shown else self.found[target]
        if name == "term":
            return shown[1] if shown else target
        if name.startswith("py:"):
            return f"`{shown[1] if shown else target.lstrip('~')}`"
        if name == "doc":
            docname = (shown[2] if shown else target).removeprefix("../").removeprefix("/")
            docname = docname if "/" in docname else f"{self.folder}/{docname}"
            text = shown[1] if shown else self.found[docname]
            return f"[{text}]({hosted(address())}/{docname}.html)"
        raise ValueError(f"plain copies know no role {name!r}; teach tools/plain.py")


def quote(text):
    return ["\n".join(f"> {line}".rstrip() for line in text.split("\n")), ""]


def details(title, body):
    return ["<details>", f"<summary>{title}</summary>", "", body, "", "</details>", ""]


def form(cell, title):
    """Fold a cell's code under a title."""
    cell.source = f'# @title {title} {{ display-mode: "form" }}\n{cell.source}'
    cell.metadata = nbformat.from_dict({"cellView": "form"})


def plain(notebook, page, ref):
    """Return the notebook as Colab can show it."""
    cells, solution = [], False
    for cell in notebook.cells:
        meta, cell.metadata = cell.metadata, nbformat.from_dict({})
        if cell.cell_type == "markdown":
            solution = (solution or "{solution-start}" in cell.source) and (
                "{solution-end}" not in cell.source
            )
            cell.source = page.text(cell.source)
            cells += [cell] if cell.source else []
            continue
        mystnb, tags = meta.get("mystnb", {}), set(meta.get("tags", []))
        cell.source = cell.source.replace(f"git+{address()}", f"git+{address()}@{ref}")
        if setup_cell.MARK in cell.source:
            form(cell, "Set-up: run this first")
        elif solution or FOLDED & tags:
            form(cell, "Solution" if solution else mystnb.get("code_prompt_show", "Show the code"))
        if solution or "hide-cell" in tags:  # a truth shows when it is run
            cell.outputs, cell.execution_count = [], None
        cells.append(cell)
        if caption := mystnb.get("figure", {}).get("caption"):
            number = page.found[mystnb["figure"]["name"]]
            cells.append(new_markdown_cell(page.text(f"*Figure {number}: {caption}*")))
            cells[-1].id = f"{cell.id[:50]}-caption"
    title, gap, rest = cells[0].source.partition("\n")
    link = f"*A copy to run. With its links and its search, [the page]({page.url}) is in the book.*"
    cells[0].source = f"{title}\n\n{link}\n{gap}{rest}"
    notebook.cells = cells
    return notebook


def leftovers(notebook):
    """Return every directive, role, option or label that a reader of the copy would see."""
    return [found[0] for found in LEFT.finditer(prose(notebook))]


def copies(ref, root=ROOT):
    """Yield (docname, plain notebook) for every notebook of the book."""
    notebooks = pages(root)
    found, sources = references(notebooks), Sources(root / "references.bib")
    for name, notebook in notebooks.items():
        copy = plain(notebook, Page(name, notebook, found, sources), ref)
        if left := leftovers(copy):
            raise ValueError(f"{name}: the plain copy still shows {left}")
        yield name, copy


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--ref", help="commit or tag to install the library from")
    options = parser.parse_args(arguments)
    head = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    ref = options.ref or subprocess.check_output(head, text=True).strip()
    for name, notebook in copies(ref):
        path = options.folder / f"{name}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, path)
        print(path)


if __name__ == "__main__":
    main()

"""Copy the repository's address from pyproject.toml to every file that shows it.

`python tools/address.py` writes; `python tools/address.py --check` only reports differences.
"""

import re
import sys
import tomllib
from pathlib import Path

import nbformat
import setup_cell

ROOT = Path(__file__).resolve().parent.parent
PLACES = {  # file: what stands before the address on its lines
    "_config.yml": r"^  url: ",
    "README.md": r"(?:git clone |git\+|url     = \{)",
    "CITATION.cff": r"^repository-code: ",
}
BOOK = r"https://[\w-]+\.github\.io/[\w.-]+"  # the hosted book
COLAB = r"colab\.research\.google\.com/github/"  # before "owner/name" in a link to Colab


def address(root=ROOT):
    """Return the repository's address, which stands in pyproject.toml alone."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    return project["project"]["urls"]["Repository"]


def hosted(url):
    """Return where GitHub Pages shows the book of the repository at `url`."""
    owner, name = url.split("/")[-2:]
    return f"https://{owner}.github.io/{name}"


def updated_text(name, text, url):
    """Return `text` of the file `name` with `url` in its place or places."""
    owner_and_name = url.split("/", 3)[3]
    text = re.sub(rf"({COLAB})[^/\s]+/[^/\s]+", rf"\g<1>{owner_and_name}", text)
    text = re.sub(BOOK, hosted(url), text)
    text, count = re.subn(rf"({PLACES[name]})[^\s\"`}}]+", rf"\g<1>{url}", text, flags=re.MULTILINE)
    if count == 0:
        raise ValueError(f"{name} has no line for the repository's address ({PLACES[name]!r})")
    return text


def updated_notebook(text, url):
    """Return the JSON `text` of a chapter with the current set-up cell after its first cell."""
    notebook = nbformat.reads(text, as_version=4)
    source = setup_cell.source(url)
    old = [cell for cell in notebook.cells if setup_cell.MARK in cell.source]
    if len(old) == 1 and old[0].source == source:
        return text
    if not old:
        old = [nbformat.v4.new_code_cell(metadata={"tags": ["hide-cell"]})]
        notebook.cells.insert(1, old[0])
    old[0].source = source
    return nbformat.writes(notebook) + "\n"


def stale(root=ROOT):
    """Return {path: new text} for every file whose copy of the address is not current."""
    url = address(root)
    old = {root / name: (root / name).read_text("utf-8") for name in PLACES}
    new = {path: updated_text(path.name, text, url) for path, text in old.items()}
    for path in sorted([*root.glob("chapters/*.ipynb"), *root.glob("appendix/*.ipynb")]):
        old[path] = path.read_text("utf-8")
        new[path] = updated_notebook(old[path], url)
    return {path: text for path, text in new.items() if text != old[path]}


def main():
    check = "--check" in sys.argv[1:]
    changes = stale()
    for path, text in changes.items():
        if not check:
            path.write_text(text, "utf-8")
        print(f"{path.relative_to(ROOT)}: {'differs; run `make address`' if check else 'updated'}")
    return int(check and bool(changes))


if __name__ == "__main__":
    sys.exit(main())

"""Fail when a built page loads anything over the network: `python tools/offline.py _build/html`."""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path

LOADING_LINKS = {"stylesheet", "preload", "modulepreload", "icon", "shortcut", "manifest"}
EXTERNAL = re.compile(r"^\s*(https?:)?//", re.IGNORECASE)
CSS_LOAD = re.compile(r"""(?:url\(|@import)\s*['"]?((?:https?:)?//[^'")\s]+)""", re.IGNORECASE)
MODULE = re.compile(r"""\b(?:import|from)[\s(]*['"]((?:https?:)?//[^'"]+)""")


class Loads(HTMLParser):
    """Collects the external addresses that a browser fetches by itself when it opens the page."""

    def __init__(self):
        super().__init__()
        self.found = []
        self.inside = ""

    def handle_starttag(self, tag, attributes):
        values = {name: value or "" for name, value in attributes}
        self.inside = tag
        sources = [values.get("src", ""), values.get("poster", ""), values.get("data", "")]
        sources += [part.split()[0] for part in values.get("srcset", "").split(",") if part.strip()]
        if tag in ("image", "use"):  # of an SVG
            sources += [values.get("href", ""), values.get("xlink:href", "")]
        if tag == "link" and LOADING_LINKS & set(values.get("rel", "").lower().split()):
            sources.append(values.get("href", ""))
        self.found += [source for source in sources if EXTERNAL.match(source)]
        self.found += CSS_LOAD.findall(values.get("style", ""))

    def handle_data(self, data):
        if self.inside == "style":
            self.found += CSS_LOAD.findall(data)
        if self.inside == "script":
            self.found += MODULE.findall(data)

    def handle_endtag(self, tag):
        self.inside = ""


def external_loads(html):
    """Return the external scripts, styles, fonts and images that the page `html` loads."""
    parser = Loads()
    parser.feed(html)
    return parser.found


def check(folder):
    """Return one line for each external load of the built book in `folder`."""
    pages = sorted(folder.rglob("*.html"))
    if not pages:
        return [f"{folder}: no pages; build the book first"]
    found = []
    for page in pages:
        found += [f"{page}: loads {url}" for url in external_loads(page.read_text("utf-8"))]
    for sheet in sorted(folder.rglob("*.css")):
        found += [f"{sheet}: loads {url}" for url in CSS_LOAD.findall(sheet.read_text("utf-8"))]
    return found


def main():
    found = check(Path(sys.argv[1]))
    print("\n".join(found) or "The book reads completely without a network.")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())

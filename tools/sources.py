"""The entries of references.bib in running text and in lists, as Markdown."""

import re
from urllib.parse import quote_plus

from pybtex.backends.markdown import Backend
from pybtex.database import parse_file
from pybtex.plugin import find_plugin
from pybtex.richtext import Text


class Sources:
    """What a bibliography holds: `Sources(path).cited(["graves2011"], "t")`."""

    def __init__(self, path):
        self.entries = parse_file(path).entries
        self.style = find_plugin("pybtex.style.formatting", "plain")()

    def url(self, key):
        """The address of a source: its DOI, arXiv's, or a search for its title."""
        fields = self.entries[key].fields
        if "doi" in fields:
            return f"https://doi.org/{fields['doi']}"
        if arxiv := re.search(r"arXiv:([\d.]+)", str(fields)):
            return f"https://arxiv.org/abs/{arxiv[1]}"
        query = quote_plus(unbraced(fields["title"]))
        return fields.get("url") or f"https://scholar.google.com/scholar?q={query}"

    def author(self, key):
        entry = self.entries[key]
        if "author" not in entry.persons:
            return entry.fields["key"]
        names = [" ".join([*p.prelast_names, *p.last_names]) for p in entry.persons["author"]]
        names = [unbraced(name) for name in names]
        return f"{names[0]} et al." if len(names) > 2 else " and ".join(names)

    def cited(self, keys, form):
        """Return citations in running text ("t") or in parentheses ("p")."""
        said = []
        for key in keys:
            year = self.entries[key].fields.get("year")
            gap = " ({})" if form == "t" else ", {}"
            text = self.author(key) + (gap.format(year) if year else "")
            said.append(f"[{text}]({self.url(key)})")
        return ", ".join(said) if form == "t" else f"({'; '.join(said)})"

    def listed(self, keys):
        """Return a Markdown list of the entries."""
        entries = [self.entries[key] for key in sorted(keys, key=self.author)]
        done = self.style.format_entries(entries)
        texts = (entry.text.render(Backend()).replace("\n", " ") for entry in done)
        return "\n".join(f"- {text}" for text in texts)


def unbraced(text):
    """BibTeX's text without LaTeX's braces and accents."""
    return str(Text.from_latex(text))

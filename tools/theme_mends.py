"""Sphinx extension: what the theme writes into a page's head and bar, and we do not want."""


def mend(app, pagename, templatename, context, doctree):
    """Change the context of one page, after the theme has filled it."""
    # The theme loads Thebe twice, and the book does not use it.
    context["script_files"] = [
        file for file in context["script_files"] if "thebe" not in str(file).lower()
    ]
    # Colab cannot show MyST: the branch `colab` has the plain copies that tools/plain.py makes.
    for group in context.get("header_buttons", []):
        for button in group.get("buttons", []):
            if button.get("text") == "Colab":
                button["url"] = button["url"].replace("/blob/main/", "/blob/colab/")
    if pagename == app.config.root_doc:  # its title is the book's: say it once
        context["docstitle"] = ""


def setup(app):
    app.connect("html-page-context", mend, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True, "version": "1"}

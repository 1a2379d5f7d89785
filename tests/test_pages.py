"""Pages that are made from the notebooks and from stored results say what these say."""

import re
from pathlib import Path

import claims_page
import collected
import figures_page
import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from uecompress import bench, data

ROOT = Path(__file__).parent.parent
NOTEBOOKS = dict(collected.notebooks())
CHAPTERS = [name for name in NOTEBOOKS if name.startswith("chapters/")]
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")


def text_of(notebook):
    """All prose and all that the cells print."""
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", [])]
    printed = [o.get("text") or o.get("data", {}).get("text/plain", "") for o in outputs]
    return "\n".join([cell.source for cell in notebook.cells] + printed)


def numbers(text):
    return [float(found.replace(",", "")) for found in NUMBER.findall(text)]


def missing(statement, linked):
    """The bold numbers of a statement that none of the linked pages shows, to a last digit."""
    known = [number for name in linked for number in numbers(text_of(NOTEBOOKS[name]))]
    found = re.findall(rf"\*\*({NUMBER.pattern})\*\*", statement)
    steps = {number: 10.0 ** -len(number.partition(".")[2]) for number in found}
    return [
        number
        for number, step in steps.items()
        if not any(abs(numbers(number)[0] - other) <= 1.001 * step for other in known)
    ]


def statements():
    """Rows and list items of hand-written pages, with the notebooks that they link to."""
    intro = (ROOT / "intro.md").read_text("utf-8")
    museum = (ROOT / "appendix" / "museum.md").read_text("utf-8")
    items = re.findall(r"^\| \{doc\}.*$", intro, re.MULTILINE)
    items += re.findall(r"^- \*\*.*\n(?:  .*\n)*", museum, re.MULTILINE)
    for item in items:
        yield item, re.findall(r"(?:chapters|appendix)/\w+", item)


def test_numbers_of_intro_and_museum_stand_in_the_chapters_they_link():
    stale = {item: found for item, linked in statements() if (found := missing(item, linked))}
    assert stale == {}
    assert len(list(statements())) > 50


def test_a_number_that_no_chapter_shows_is_found():
    assert missing("AUROC **0.98765**, **0.98**", ["chapters/01_the_question"]) == ["0.98765"]


def test_every_chapter_has_its_question_in_the_intro():
    asked = [linked[0] for item, linked in statements() if item.startswith("| {doc}")]
    assert asked == CHAPTERS


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_with_a_wrong_version_is_in_the_museum(name):
    code = "\n".join(c.source for c in NOTEBOOKS[name].cells if c.cell_type == "code")
    if re.search(r"# wrong|\"\"\"Wrong|\"Wrong: |wrong = ", code):
        assert f"/{name}" in (ROOT / "appendix" / "museum.md").read_text("utf-8")


def hours(names, pattern):
    """Hours that pages declare in lines of this form."""
    cells = [cell for name in names for cell in NOTEBOOKS[name].cells]
    found = re.findall(pattern, "\n".join(cell.source for cell in cells), re.MULTILINE)
    return sum(map(int, found)) / 60


ROUTES = {
    "An afternoon": ([1, 7, 8], ["answers"]),
    "A week of evenings": ([1, 2, *range(6, 14)], ["primer", "answers"]),
    "Everything": (range(1, 23), ["primer", "answers", "your_network"]),
}


@pytest.mark.parametrize("route", ROUTES)
def test_routes_take_the_hours_that_their_pages_declare(route):
    intro = (ROOT / "intro.md").read_text("utf-8")
    stated = re.search(rf"^\| {route} \|.*\| (\d+) hours \| (\d+) hours \|$", intro, re.MULTILINE)
    numbered, others = ROUTES[route]
    names = [name for name in CHAPTERS if int(name[9:11]) in numbered]
    pages = [*names, *(f"appendix/{other}" for other in others)]
    reading = hours(pages, r"^\*\*Minutes:\*\* (\d+)$")
    exercises = hours(names, r"· \*\*Minutes:\*\* (\d+)$")
    assert abs(int(stated[1]) - reading) <= 0.75
    assert abs(int(stated[2]) - exercises) <= 0.75


def answers():
    """The tables of the answers page, as data frames of texts, in order."""
    outputs = [o for cell in NOTEBOOKS["appendix/answers"].cells for o in cell.get("outputs", [])]
    tables = [o.data["text/markdown"] for o in outputs if "text/markdown" in o.get("data", {})]
    texts = [re.sub(r"\[(.*?)\]\(.*?\)", r"\1", table) for table in tables]  # without links
    rows = [[line.strip("| ").split(" | ") for line in text.splitlines()] for text in texts]
    return [pd.DataFrame(each[2:], columns=each[0]).set_index("method") for each in rows]


def test_answers_show_the_stored_means():
    lenet300, lenet5, perceptrons, *_, on_bench = answers()
    rows = pd.DataFrame(data.results("bayesian")["results"]["rows"])
    for shown, network, line, method, way in [
        (lenet300, "lenet300", "dense, weight decay (*reference*)", "decay", "dense"),
        (lenet300, "lenet300", "Graves, 32 values", "graves", "compressed"),
        (lenet300, "lenet300", "group normal-Jeffreys, bits by the rule", "group_jeffreys", "fast"),
        (lenet5, "lenet5", "horseshoe, 32 values", "group_horseshoe", "compressed"),
        (lenet5, "lenet5", "VNQ, three values", "vnq", "compressed"),
    ]:
        of = (rows.network == network) & (rows.method == method) & (rows.way == way)
        mean = rows[of].mean(numeric_only=True)
        assert shown["bytes"][line] == f"{mean.bytes:,.0f}"
        assert shown["error, %"][line] == f"{mean.error:.2f}"
        assert shown.notMNIST[line].split()[0] == f"{mean.auroc:.3f}"
    five = pd.DataFrame(data.results("low_rank")["results"]["rows"])
    five = five[(five.family == "ensemble") & (five["rank"] == 50) & (five.when == "after")]
    assert perceptrons["bytes"]["five, rank 50, cut"] == f"{five.bytes.mean():,.0f}"
    small = pd.DataFrame(bench.rows()[1::2])
    assert on_bench.letters["cut and clustered"].startswith(f"{small.auroc_letters.mean():.3f}")


def test_answers_give_paired_intervals():
    (shown, *_) = answers()
    rows = pd.DataFrame(data.results("bayesian")["results"]["rows"]).query("network == 'lenet300'")
    vd = rows.query("method == 'sparse_vd' and way == 'compressed'").auroc.to_numpy()
    pairs = vd - rows.query("method == 'decay'").auroc.to_numpy()
    half = 2.776445 * pairs.std(ddof=1) / 5**0.5
    expected = f"(**{pairs.mean():+.3f}** ± {half:.3f})".replace(" ", "\u202f")
    assert shown.notMNIST["sparse VD, 32 values"].endswith(expected)


def test_what_was_not_measured_is_a_dash():
    for table in answers():
        assert not table.apply(lambda column: column.str.contains("nan|None")).any(axis=None)
    assert answers()[1].Omniglot["dense, no decay (*reference*)"] == "–"


def sample():
    text = "✓ Before: 1 (at most 2)\n✓ It is | so: 3 (1 to 4)\n✓ correct\n"
    cells = [
        new_markdown_cell("# Title $x$"),
        new_markdown_cell("text\n## At scale\nmore\n### Why $z^2$ is it?"),
        new_code_cell("f()", outputs=[new_output("stream", name="stdout", text=text)]),
        new_markdown_cell("## At scale"),
        new_code_cell("g()", metadata={"mystnb": {"figure": {"name": "fig-a", "caption": "A."}}}),
    ]
    return new_notebook(cells=cells)


def test_claims_know_their_section():
    assert claims_page.claims(sample()) == [
        ("why--is-it", "Before", "1", "at most 2"),
        ("why--is-it", "It is | so", "3", "1 to 4"),
    ]
    assert [anchor for _, anchor in collected.code_cells(sample())][-1] == "at-scale-1"


def test_figures_are_found_by_name():
    assert figures_page.figures(sample()) == [("fig-a", "A.")]


def test_pages_are_collected_in_the_order_of_the_book(tmp_path):
    toc = "chapters:\n  - file: appendix/z\n  - file: chapters/02_b\n  - file: chapters/01_a\n"
    (tmp_path / "_toc.yml").write_text(toc + "  - file: appendix/text\n")
    for name in ("appendix/z", "chapters/01_a", "chapters/02_b"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        nbformat.write(sample(), tmp_path / f"{name}.ipynb")
    names = [name for name, _ in collected.notebooks(tmp_path)]
    assert names == ["chapters/02_b", "chapters/01_a", "appendix/z"]
    assert collected.title("chapters/02_b", sample()) == "2. Title $x$"
    assert collected.title("appendix/z", sample()) == "Title $x$"


def test_every_claim_and_every_figure_is_on_its_page():
    claims, figures = claims_page.page(), figures_page.page()
    for name, notebook in NOTEBOOKS.items():
        for anchor, sentence, value, band in claims_page.claims(notebook):
            line = f"| [{collected.literal(sentence)}](/{name}.ipynb#{anchor}) | {value} | {band} |"
            assert line in claims
        for label, _ in figures_page.figures(notebook):
            assert f"| {{numref}}`{{number}} <{label}>` |" in figures


def test_a_sentence_is_shown_to_the_letter():
    assert collected.literal("|μ| of s_a: 1*2") == r"\|μ\| of s\_a\: 1\*2"

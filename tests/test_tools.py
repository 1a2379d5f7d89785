"""The repository's address stands in one place, and the tools do what the Makefile says of them."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import address
import execute
import nbformat
import offline
import pytest
import setup_cell
import theme_mends
import variants
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

import uecompress

ROOT = Path(__file__).parent.parent
MODULES = [
    path.relative_to(ROOT).with_suffix("").as_posix().removesuffix("/__init__").replace("/", ".")
    for path in sorted((ROOT / "uecompress").rglob("*.py"))
    if path.name != "__main__.py"
]


def test_address_is_current_everywhere():
    assert [str(path.relative_to(ROOT)) for path in address.stale()] == [], "run `make address`"


def test_address_is_copied_to_every_place(tmp_path):
    for name in [*address.PLACES, "pyproject.toml"]:
        (tmp_path / name).write_text((ROOT / name).read_text("utf-8"), "utf-8")
    project = tmp_path / "pyproject.toml"
    project.write_text(project.read_text().replace(address.address(), "https://host/me/book"))
    (tmp_path / "chapters").mkdir()
    chapter = tmp_path / "chapters" / "01_sample.ipynb"
    nbformat.write(new_notebook(cells=[new_markdown_cell("# Sample")]), chapter)

    for path, text in address.stale(tmp_path).items():
        path.write_text(text, "utf-8")
    assert address.stale(tmp_path) == {}
    for path in tmp_path.rglob("*.*"):
        if path.is_file():
            assert "https://host/me/book" in path.read_text("utf-8"), path
    readme = (tmp_path / "README.md").read_text("utf-8")
    assert "(https://colab.research.google.com/github/me/book/blob/colab/chapters/" in readme
    assert "(https://me.github.io/book)" in readme
    cell = nbformat.read(chapter, as_version=4).cells[1]
    assert cell.source == setup_cell.source("https://host/me/book")
    assert cell.metadata.tags == ["hide-cell"]


def test_the_hosted_book_has_one_address():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["urls"]["Documentation"] == address.hosted(address.address())


def test_the_version_is_the_same_everywhere():
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"\nversion: {uecompress.__version__}\n" in citation
    assert f"version = {{{uecompress.__version__}}}" in (ROOT / "README.md").read_text("utf-8")
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert re.search(r"^## (\d\S+)", changes, re.MULTILINE)[1] == uecompress.__version__


def test_workflows_and_forms_are_valid():
    github = ROOT / ".github"
    kinds = {
        "github-workflows": sorted((github / "workflows").glob("*.yml")),
        "github-issue-forms": sorted((github / "ISSUE_TEMPLATE").glob("[!c]*.yml")),
        "dependabot": [github / "dependabot.yml"],
    }
    for kind, paths in kinds.items():
        assert paths
        checker = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{kind}"]
        done = subprocess.run([*checker, *paths], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


def test_the_theme_is_mended():
    context = {
        "script_files": ["_static/a.js", "_static/sphinx-thebe.js"],
        "header_buttons": [{"buttons": [{"text": "Colab", "url": "c/o/n/blob/main/a.ipynb"}]}],
        "docstitle": "Book",
    }
    app = SimpleNamespace(config=SimpleNamespace(root_doc="intro"))
    theme_mends.mend(app, "chapters/a", "page.html", context, None)
    assert context["script_files"] == ["_static/a.js"]
    assert context["header_buttons"][0]["buttons"][0]["url"] == "c/o/n/blob/colab/a.ipynb"
    assert context["docstitle"] == "Book"
    theme_mends.mend(app, "intro", "page.html", context, None)
    assert context["docstitle"] == ""


def test_address_without_its_line_is_an_error():
    with pytest.raises(ValueError, match=r"_config\.yml has no line"):
        address.updated_text("_config.yml", "title: x\n", "https://host/me/book")


def test_setup_cell_is_short_and_reads_our_dependencies():
    lines = setup_cell.source(address.address()).splitlines()
    assert len(lines) <= 14
    assert max(map(len, lines)) <= 100
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    capped = "constriction"  # whose rounding a file's meaning depends on; nothing else is
    for dependency in project["dependencies"]:
        cap = r",<[\d.]+" if dependency.startswith(capped) else ""
        assert re.fullmatch(r"[a-z][a-z-]*>=[\d.]+" + cap, dependency), dependency


def notebook(*sources):
    return new_notebook(cells=[new_code_cell(source) for source in sources])


def test_execute_stores_one_clean_run(tmp_path):
    path = tmp_path / "a.ipynb"
    sample = notebook("print('a', flush=True)\nprint('b')", "6 * 7")
    sample.metadata["widgets"] = {}
    sample.cells[1].metadata = nbformat.from_dict({"tags": ["x"], "execution": {"started": "now"}})
    nbformat.write(sample, path)
    assert execute.main([str(path)]) == 0
    first = path.read_text("utf-8")
    assert execute.main([str(path)]) == 0
    assert path.read_text("utf-8") == first
    done = nbformat.reads(first, as_version=4)
    assert [cell.execution_count for cell in done.cells] == [1, 2]
    assert [output.text for output in done.cells[0].outputs] == ["a\nb\n"]
    assert done.cells[1].outputs[0].data["text/plain"] == "42"
    assert done.cells[1].metadata == {"tags": ["x"]}
    assert set(done.metadata) == {"kernelspec", "language_info"}


@pytest.mark.parametrize("source", ["1 / 0", "import sys; print('careful', file=sys.stderr)"])
def test_execute_keeps_the_file_of_a_failed_run(tmp_path, capsys, source):
    path = tmp_path / "a.ipynb"
    nbformat.write(notebook("1", source), path)
    before = path.read_bytes()
    assert execute.main([str(path)]) == 1
    assert "FAILED" in capsys.readouterr().err
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.ipynb"]


@pytest.mark.parametrize(
    "html",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<script defer src="//cdn.example/x.js"></script>',
        '<link rel="stylesheet" href="https://cdn.example/x.css">',
        '<link rel="preload" as="font" href="http://cdn.example/x.woff2">',
        '<img alt="" src="https://cdn.example/x.png">',
        '<img alt="" srcset="a.png 1x, https://cdn.example/x.png 2x">',
        "<style>@import 'https://cdn.example/x.css';</style>",
        '<p style="background: url(https://cdn.example/x.png)">',
        '<script src=" HTTPS://cdn.example/x.js"></script>',
        '<svg><image xlink:href="https://cdn.example/x.png" /></svg>',
        '<script type="module">import x from "https://cdn.example/x.mjs"</script>',
    ],
)
def test_external_load_is_found(tmp_path, html):
    (tmp_path / "page.html").write_text(f"<html><body>{html}</body></html>")
    (found,) = offline.check(tmp_path)
    assert "cdn.example/x." in found


def test_links_and_local_files_are_not_loads(tmp_path):
    (tmp_path / "page.html").write_text(
        '<a href="https://example.org">link</a><script src="_static/x.js"></script>'
        '<link rel="canonical" href="https://example.org/page.html"><style>p {}</style>'
    )
    (tmp_path / "x.css").write_text("@font-face { src: url(fonts/x.woff2) }")
    assert offline.check(tmp_path) == []
    (tmp_path / "x.css").write_text("@font-face { src: url('https://cdn.example/x.woff2') }")
    assert len(offline.check(tmp_path)) == 1


def test_an_unbuilt_book_is_not_offline_proof(tmp_path):
    assert "build the book" in offline.check(tmp_path)[0]


def test_only_instruction_sets_of_this_processor_are_tried():
    assert variants.supported("AVX512") == ("default", "avx2", "avx512")
    assert variants.supported("AVX2") == ("default", "avx2")
    assert variants.supported("DEFAULT") == ("default",)
    assert variants.supported("SVE256") == ("default",)


@pytest.mark.parametrize("module", MODULES)
def test_module_is_in_the_api_reference(module):
    page = (ROOT / "appendix" / "api.md").read_text("utf-8")
    package = module.rpartition(".")[0]  # a package's page shows what its modules offer
    names = re.findall(r"^\.\. automodule:: (\S+)$", page, re.MULTILINE)
    assert module in names or package in names or module == "uecompress", module

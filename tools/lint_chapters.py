"""What a program can decide about a chapter: `python tools/lint_chapters.py chapters/*.ipynb`.

Each lint takes a notebook and its path and yields messages that say what to do. CONTRIBUTING.md
describes the form of a chapter; this file holds a chapter to it.
"""

import re
import statistics
import sys
from itertools import pairwise
from pathlib import Path

import address
import nbformat
import setup_cell
from execute import CELL_METADATA, CHECK, complaints, only_claims

IGNORED = {"nbval-ignore-output", "nbval-skip"}
TAGS = IGNORED | {"hide-cell", "hide-input"}
EXERCISE = re.compile(r"^:{3,}\{exercise\}.*\n:label: (\S+)", re.MULTILINE)
KINDS = ("Pencil", "Write it", "Experiment")
EFFORT = re.compile(
    rf"^\*\*({'|'.join(KINDS)})\*\* · \*\*Difficulty:\*\* [1-5] of 5 · \*\*Minutes:\*\* \d+",
    re.MULTILINE,
)
CLAIM = re.compile(r"^✓ (?!correct$|close: )", re.MULTILINE)
VALUE = re.compile(r"^✓ .+: \S+ \([^()]+\)$", re.MULTILINE)
MATH = re.compile(r"\$\$.*?\$\$|\$[^$]*\$", re.DOTALL)
MOST_WORDS, MOST_CELLS, MOST_CLAIMS, WIDEST = 2500, 40, 25, 72
TIMING = re.compile(r"\b(perf_counter|timeit|benchmarks\.)")
LAST = ["Summary", "Exercises", "What comes next", "References"]
MACHINE = re.compile(r"(?<![\w.])/(?:home|root|Users|tmp|usr|opt|mnt|var)/\w|\b0x[0-9a-f]{6,}")


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags(cell):
    return set(cell.metadata.get("tags", []))


def text_outputs(cell):
    """Return every text that the cell shows, whatever its kind."""
    texts = []
    for output in cell.outputs:
        data = {"stream": output.get("text", "")} | output.get("data", {})
        texts += [str(text) for kind, text in data.items() if not kind.startswith("image/")]
    return texts


def images(cell):
    return [o for o in cell.outputs if any(k.startswith("image/") for k in o.get("data", {}))]


def one_clean_run(notebook, path):
    counts = [cell.execution_count for cell in code_cells(notebook)]
    if counts != list(range(1, len(counts) + 1)) or not counts:
        yield f"the cells were not run once from top to bottom; run `make chapters CHAPTERS={path}`"
    for number, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type == "code" and not cell.source.strip():
            yield f"cell {number} is empty; delete it"


def cell_length(notebook, path):
    lengths = [len(cell.source.splitlines()) for cell in code_cells(notebook)]
    if not lengths:
        return
    if (median := statistics.median(lengths)) > 7:
        yield f"the median code cell has {median:g} lines; split cells (7 at most)"
    if sum(length > 20 for length in lengths) > len(lengths) / 10:
        yield "more than 1 in 10 code cells has over 20 lines; split them or use the library"
    if max(lengths) > 30:
        yield f"a code cell has {max(lengths)} lines; split it (30 at most)"


def opening(notebook, path):
    first = notebook.cells[0] if notebook.cells else None
    if first is None or first.cell_type != "markdown" or not first.source.startswith("# "):
        yield "the first cell must be Markdown and start with the title, `# Title`"
        return
    for pattern, what in (
        (r"^:::\{admonition\} Objectives$", "a block `:::{admonition} Objectives`"),
        (r"^- .+\n- ", "at least two objectives, as a list"),
        (r"^\*\*You need to know:\*\* \S", "a line `**You need to know:** …`"),
        (r"^\*\*Minutes:\*\* \d+$", "a line `**Minutes:** 45`"),
        (r"^\*\*Hardware:\*\* \S", "a line `**Hardware:** …`"),
    ):
        if not re.search(pattern, first.source, re.MULTILINE):
            yield f"the first cell lacks {what}"


def setup(notebook, path):
    cells = code_cells(notebook)
    if not cells or cells[0].source != setup_cell.source(address.address()):
        yield "the first code cell is not the current set-up cell; run `make address`"
    elif tags(cells[0]) != {"hide-cell"}:
        yield "the set-up cell must carry the tag `hide-cell` and no other"


def headings(notebook, path):
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"^(#+) +(.+?) *$", text, re.MULTILINE)
    if sum(marks == "#" for marks, _ in found) != 1:
        yield "a chapter has exactly one heading of the first level, its title"
    for (above, _), (marks, title) in pairwise(found):
        if len(marks) > len(above) + 1:
            yield f"the heading {title!r} skips a level"
    last = [title for marks, title in found if marks == "##"][-4:]
    if last != LAST:
        yield f"the last sections must be {', '.join(LAST)}, not {last}"


def exercises(notebook, path):
    starts = [
        (number, EXERCISE.search(cell.source)[1])
        for number, cell in enumerate(notebook.cells)
        if cell.cell_type == "markdown" and EXERCISE.search(cell.source)
    ]
    if not starts:
        yield "there is no exercise; write `:::{exercise} Title` with a `:label:`"
    kinds = {found for cell in notebook.cells for found in EFFORT.findall(cell.source)}
    if missing := [kind for kind in KINDS if kind not in kinds]:
        yield f"no exercise is of the kind {missing[0]!r}"
    for (start, label), (end, _) in pairwise([*starts, (len(notebook.cells), "")]):
        yield from one_exercise(notebook.cells[start:end], label)


def one_exercise(cells, label):
    """Yield what the exercise lacks that `cells` begin with and that ends before the next one."""
    if len(EXERCISE.findall(cells[0].source)) > 1:
        yield f"{label}: begin each exercise in a cell of its own"
    if not EFFORT.search(cells[0].source):
        yield f"{label}: write `**Pencil** · **Difficulty:** 2 of 5 · **Minutes:** 10`"
    begin = f":::{{solution-start}} {label}\n:class: dropdown\n:::"
    kinds = ["code" if cell.cell_type == "code" else cell.source for cell in cells]
    starts = [i for i, text in enumerate(kinds) if begin in text]
    ends = [i for i, text in enumerate(kinds) if ":::{solution-end}\n:::" in text]
    if len(starts) != 1 or len(ends) != 1:
        yield f"{label}: needs one folded solution, `{begin!r}` … `:::{{solution-end}}`"
        return
    asked = [c.source for c in cells[: starts[0]] if c.cell_type == "code"]
    if not any(f'check("{label}"' in source for source in asked):
        yield f'{label}: needs a code cell with `check("{label}", answer)` before its solution'
    if any("right=" in source for source in asked):
        yield f"{label}: the page shows the answer; it belongs into uecompress/exercises"
    if "code" not in kinds[starts[0] : ends[0]]:
        yield f"{label}: the solution needs a code cell that runs"


def references(notebook, path):
    prefix = f"ch{path.name[:2]}-"
    last = notebook.cells[-1].source if notebook.cells else ""
    block = f":::{{bibliography}}\n:filter: docname in docnames\n:keyprefix: {prefix}\n:::"
    if block not in last or not last.startswith("## References"):
        yield f"the last cell must be `## References` with {block!r}"
    shown = "\n".join(cell.source + str(cell.metadata) for cell in notebook.cells)
    keys = re.findall(r"\{cite:\w+\}`([^`]+)`", shown)
    if not keys:
        yield "nothing is cited"
    for key in (key.strip() for group in keys for key in group.split(",")):
        if not key.startswith(prefix):
            yield f"cite `{prefix}{key}` instead of `{key}`"


def figures(notebook, path):
    for number, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type != "code" or not images(cell):
            continue
        mystnb = cell.metadata.get("mystnb", {})
        figure = mystnb.get("figure", {})
        if (shown := sum("data" in output for output in cell.outputs)) > 1:  # all get its name
            yield f"cell {number} shows {shown} figures or tables; show one a cell"
        if len(mystnb.get("image", {}).get("alt", "")) < 20:
            yield f"cell {number}: describe the figure in `mystnb.image.alt` of the cell's metadata"
        if not figure.get("caption"):
            yield f"cell {number}: give the figure a caption in `mystnb.figure.caption`"
        if not figure.get("name", "").startswith("fig-"):
            yield f"cell {number}: name the figure `fig-…` in `mystnb.figure.name`"
        if any("image/png" in o.data and not o.metadata.get("image/png") for o in images(cell)):
            yield f"cell {number}: the figure is not sharp; call `plotting.style()` before it"


def clean_outputs(notebook, path):
    yield from complaints(notebook)
    for number, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type == "code":
            for text in text_outputs(cell):
                if found := MACHINE.search(text):
                    yield f"cell {number} shows a path or an address of this machine: {found[0]!r}"


def tagging(notebook, path):
    for number, cell in enumerate(notebook.cells, start=1):
        if unknown := tags(cell) - TAGS:
            yield f"cell {number} has unknown tags {sorted(unknown)}; known are {sorted(TAGS)}"
        if cell.cell_type != "code" or not cell.outputs or tags(cell) & IGNORED:
            continue
        if images(cell):
            yield f"cell {number} shows a figure; tag it `nbval-ignore-output`"
        elif TIMING.search(cell.source):
            yield f"cell {number} measures time; tag it `nbval-ignore-output`"


def compared(notebook, path):
    cells = code_cells(notebook)
    free = [cell for cell in cells if tags(cell) & IGNORED]
    if len(free) > 0.4 * len(cells):
        yield f"{len(free)} of {len(cells)} code cells are not compared; 2 in 5 at most"
    last = max((i for i, cell in enumerate(cells) if tags(cell) & IGNORED), default=-1)
    later = [cell.source for cell in cells[last + 1 :]]
    if last >= 0 and not any("claim(" in source for source in later):
        yield "a claim must follow every cell whose output is not compared"


def length(notebook, path):
    words = sum(
        len(MATH.sub(" ", cell.source).split())
        for cell in notebook.cells
        if cell.cell_type == "markdown"
    )
    cells = [cell for cell in code_cells(notebook) if setup_cell.MARK not in cell.source]
    if words > MOST_WORDS:
        yield f"{words} words; {MOST_WORDS} at most: more is two chapters"
    if len(cells) > MOST_CELLS:
        yield f"{len(cells)} code cells; {MOST_CELLS} at most"
    for number, cell in enumerate(cells, start=2):
        for line in cell.source.splitlines():
            if len(line) > WIDEST:
                yield f"code cell {number}: {len(line)} characters in a line; {WIDEST} at most"


def claims(notebook, path):
    printed = [line for cell in code_cells(notebook) for line in claim_lines(cell)]
    if len(printed) > MOST_CLAIMS:
        yield f"{len(printed)} claims; {MOST_CLAIMS} at most"
    for line in printed:
        if not VALUE.search(line):
            yield f"a claim without its value: {line!r}"
    for number, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type == "code" and only_claims(cell.source):
            prompt = cell.metadata.get("mystnb", {}).get("code_prompt_show")
            if "hide-input" not in tags(cell) or prompt != CHECK:
                yield f"cell {number} only claims; run `make chapters CHAPTERS={path}` to fold it"


def claim_lines(cell):
    return [line for text in text_outputs(cell) for line in text.splitlines() if CLAIM.match(line)]


def metadata(notebook, path):
    if extra := set(notebook.metadata) - {"kernelspec", "language_info"}:
        yield f"the notebook's metadata hold {sorted(extra)}; run `make chapters CHAPTERS={path}`"
    if notebook.metadata.get("kernelspec", {}).get("name") != "python3":
        yield "the notebook's kernel must be `python3`"
    for number, cell in enumerate(notebook.cells, start=1):
        if extra := set(cell.metadata) - CELL_METADATA:
            yield f"cell {number} has metadata {sorted(extra)}; keep only {sorted(CELL_METADATA)}"


def plain_in_colab(notebook, path):
    for number, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type == "markdown" and re.search(r"^`{3,}\{", cell.source, re.MULTILINE):
            yield f"cell {number}: write the directive with colons, `:::{{name}}`"
        if cell.cell_type == "code" and "myst_nb" in cell.source:
            yield f"cell {number} imports myst_nb, which Colab lacks; use a claim"
        if "attachments" in cell:
            yield f"cell {number} carries an attached file; draw the picture in a code cell"


LINTS = (
    one_clean_run,
    cell_length,
    opening,
    setup,
    headings,
    exercises,
    references,
    figures,
    clean_outputs,
    tagging,
    compared,
    length,
    claims,
    metadata,
    plain_in_colab,
)


def main(paths):
    read = [(path, nbformat.read(path, as_version=4)) for path in map(Path, paths)]
    found = [f"{p}: {message}" for p, nb in read for lint in LINTS for message in lint(nb, p)]
    print("\n".join(found) or "Every chapter has its form.")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

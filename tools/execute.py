"""Run notebooks top to bottom in place: `python tools/execute.py chapters/02_svd.ipynb ...`."""

import argparse
import ast
import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
CELL_METADATA = {"tags", "mystnb"}  # all that a chapter's cells may carry
CHECK = "Show the check"  # the prompt above a folded cell that only claims


def clean(notebook):
    """Strip what differs from run to run or machine to machine; outputs and cell ids stay."""
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    )
    for cell in notebook.cells:
        kept = {key: value for key, value in cell.metadata.items() if key in CELL_METADATA}
        cell.metadata = nbformat.from_dict(kept)
        for output in cell.get("outputs", []):
            if "metadata" in output:  # a sharp figure's size on the page is part of it
                sizes = {k: v for k, v in output.metadata.items() if k == "image/png"}
                output.metadata = nbformat.from_dict(sizes)
    return notebook


def only_claims(source):
    """Whether code does nothing but claim."""
    try:
        statements = ast.parse(source).body
    except SyntaxError:  # a line of IPython
        return False
    calls = [getattr(statement, "value", None) for statement in statements]
    return bool(calls) and all(
        isinstance(call, ast.Call) and getattr(call.func, "id", "") == "claim" for call in calls
    )


def fold_claims(notebook):
    """Hide the code of cells that only claim; what they print is a sentence of the page."""
    for cell in notebook.cells:
        if cell.cell_type == "code" and only_claims(cell.source):
            tags = [*cell.metadata.get("tags", [])]
            cell.metadata["tags"] = tags if "hide-input" in tags else [*tags, "hide-input"]
            cell.metadata.setdefault("mystnb", {})["code_prompt_show"] = CHECK
    return notebook


def merge_streams(notebook):
    """Join neighbouring pieces of stdout, which arrive split by chance."""
    for cell in notebook.cells:
        merged = []
        for output in cell.get("outputs", []):
            if merged and output.get("name") == merged[-1].get("name") == "stdout":
                merged[-1].text += output.text
            else:
                merged.append(output)
        if cell.cell_type == "code":
            cell.outputs = merged
    return notebook


def complaints(notebook):
    """Return what a finished run printed on stderr or raised, one line per cell."""
    found = []
    for number, cell in enumerate(notebook.cells, start=1):
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                found.append(f"cell {number} raised {output.ename}: {output.evalue}")
            elif output.output_type == "stream" and output.name == "stderr":
                found.append(f"cell {number} wrote to stderr: {output.text.strip()}")
    return found


def run(notebook, folder, timeout=600):
    """Execute `notebook` in `folder` with a fresh kernel; raise on an error or on stderr output."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    client = NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        resources={"metadata": {"path": folder}},
        extra_arguments=["--log-level=ERROR"],
    )
    client.execute()
    if found := complaints(notebook):
        raise RuntimeError("\n".join(found))
    return clean(fold_claims(merge_streams(notebook)))


def execute(path):
    """Run the notebook at `path` and replace the file only when the whole run is clean."""
    notebook = run(nbformat.read(path, as_version=4), str(path.parent))
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        nbformat.write(notebook, temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebooks", nargs="+", type=Path)
    failed = False
    for path in parser.parse_args(arguments).notebooks:
        started = time.perf_counter()
        try:
            execute(path)
        except Exception as error:  # one broken chapter must not hide the others
            failed = True
            print(f"{path}: FAILED\n{error}", file=sys.stderr)
        else:
            print(f"{path}: {time.perf_counter() - started:.1f} s")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

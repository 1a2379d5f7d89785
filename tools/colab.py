"""Run every chapter as Colab would: outside the repository, beside what Colab preinstalls.

What runs are the plain copies that the book's button opens, with a wheel of this tree in place of
the repository's address. Each must install it by its own first cell, run without an error, and
leave torch and numpy bit for bit as they were.
"""

import hashlib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
import plain
import setup_cell
from address import ROOT, address

PREINSTALLED = (
    "torch",
    "torchvision",
    "numpy",
    "scikit-learn",
    "matplotlib",
    "seaborn",
    "pandas",
    "tqdm",
    "pillow",
)
RUNNER = ("ipykernel", "nbclient")


def pip(python, *arguments):
    environment = os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    subprocess.run([python, "-m", "pip", "--quiet", *arguments], check=True, env=environment)


def clean_environment(folder):
    """Make a virtual environment with what Colab preinstalls; return its Python."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    pip(python, "install", "--constraint", ROOT / "requirements.txt", *PREINSTALLED, *RUNNER)
    return python


def build_wheel(folder):
    """Build this tree's wheel in `folder` and return its path."""
    arguments = ("--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT)
    pip(sys.executable, "wheel", *arguments)
    (wheel,) = folder.glob("uecompress-*.whl")
    return wheel


def fingerprint(python):
    """Return a digest of every file of torch and numpy, and of the metadata of each version."""
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(subprocess.check_output([python, "-c", code], text=True).strip())
    digest = hashlib.sha256()
    for pattern in ("torch/**/*", "torch-*/**/*", "numpy/**/*", "numpy-*/**/*"):
        for path in sorted(packages.glob(pattern)):
            if path.is_file() and path.suffix != ".pyc":
                digest.update(str(path).encode() + path.read_bytes())
    return digest.hexdigest()


def installed(python):
    """Return the names of the distributions that `python` sees."""
    lines = subprocess.check_output([python, "-m", "pip", "list", "--format=freeze"], text=True)
    return {line.partition("==")[0].lower() for line in lines.splitlines()}


def with_wheel(notebook, wheel):
    """Return the notebook with the wheel in place of the repository's address."""
    for cell in notebook.cells:
        if setup_cell.MARK in cell.source:
            cell.source = re.sub(re.escape(f"git+{address()}") + r"\S*", str(wheel), cell.source)
    return notebook


def execute(python, path):
    """Run the notebook at `path` with the clean environment alone."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("UECOMPRESS", "PYTHON"))}
    clean["PATH"] = f"{python.parent}{os.pathsep}{clean['PATH']}"
    command = [python, ROOT / "tools" / "execute.py", path]
    subprocess.run(command, check=True, cwd=path.parent, env=clean)


def main():
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        python = clean_environment(folder / "environment")
        wheel = build_wheel(folder)
        before = fingerprint(python)
        for name, notebook in plain.copies("main"):
            assert "uecompress" not in installed(python)
            path = folder / f"{Path(name).name}.ipynb"
            nbformat.write(with_wheel(notebook, wheel), path)
            execute(python, path)
            pip(python, "uninstall", "--yes", "uecompress")

        # A dependency that Colab should one day lack comes with the set-up cell, alone.
        pip(python, "uninstall", "--yes", "seaborn")
        others = installed(python)
        cell = nbformat.v4.new_code_cell(setup_cell.source(address()))
        path = folder / "only_setup.ipynb"
        nbformat.write(with_wheel(nbformat.v4.new_notebook(cells=[cell]), wheel), path)
        execute(python, path)
        assert installed(python) - others == {"uecompress", "seaborn"}, installed(python) - others
        assert fingerprint(python) == before, "a chapter changed torch or numpy"
    print("Every chapter runs as in Colab; torch and numpy are bit for bit what they were.")


if __name__ == "__main__":
    main()

"""The first code cell of every chapter; `make address` puts it in.

As it stands, it makes the chapter run in Colab. Where `uecompress` can be imported it does nothing.
"""

MARK = "# Set-up:"
TEMPLATE = """\
# Set-up: installs the course's library where it is missing, as in Colab; nothing else changes.
import importlib.metadata
import importlib.util
import re

if importlib.util.find_spec("uecompress") is None:
    %pip install --quiet --no-deps git+ADDRESS
    lines = importlib.metadata.requires("uecompress")
    needed = {re.match("[a-z_-]+", line)[0]: f'"{line}"' for line in lines}
    present = {str(package.name).lower() for package in importlib.metadata.distributions()}
    missing = needed.keys() - present - {"torch", "numpy"}
    if specifiers := " ".join(needed[name] for name in missing):
        %pip install --quiet --no-deps {specifiers}
"""


def source(address):
    """Return the set-up cell's code for a repository at `address`."""
    return TEMPLATE.replace("ADDRESS", address).strip()

"""Files that appear at once and whole, or not at all."""

import os
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path):
    """Another name in the folder of ``path``; the file written there then becomes ``path``.

    After an error there is no such file, and one that was at ``path`` before is as it was.

    Raises:
        FileNotFoundError: the folder does not exist.
        IsADirectoryError: ``path`` is itself a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a directory: a network needs the name of a file")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no directory {path.parent} to write {path.name!r} into")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)

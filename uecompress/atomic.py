"""Files that appear at once and whole, or not at all; everything the library writes passes here."""

import os
import secrets
import stat
import time
from contextlib import contextmanager, suppress
from pathlib import Path

_DAY = 86_400  # seconds


@contextmanager
def replacing(path):
    """A new binary file to write into; when the block ends it is on disk, and becomes ``path``.

    Until then it lies in the same folder under a name of its own, so that any number of threads,
    processes and machines may write one path at a time: the last one wins, and whoever reads sees
    one of the files, whole. After an error the new file is gone, and one that was at ``path``
    before is as it was. Only a kill leaves something behind, ``.<name>.<16 digits>.part``: nothing
    reads it, and the next write of this path removes it once it is a day old.

    A file that is replaced keeps its permissions; a new one has those that the user's umask gives
    any file. Where ``path`` is a symbolic link, the link stays and what it points to is replaced.

    Args:
        path: where the file is to be.

    Raises:
        FileNotFoundError: the folder does not exist.
        IsADirectoryError: ``path`` is itself a folder.
        FileExistsError: it is a device, a pipe or a socket.
        OSError: the file cannot be written.
    """
    mode = _permissions(Path(path))
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"there is no directory {target.parent} to write {target.name!r} into"
        )
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}.part")
    try:
        # O_EXCL: neither another writer's file nor a link that someone left under this name.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        descriptor = os.open(temporary, flags, 0o666 if mode is None else mode)
        with open(descriptor, "wb") as file:
            if mode is not None:
                os.fchmod(descriptor, mode)  # the umask took its bits from it
            yield file
            file.flush()
            os.fsync(descriptor)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    _synchronize(target.parent)
    _sweep(target)


def _permissions(path):
    """The permissions of the file at ``path``, None where there is none."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(f"{path} is a directory, not the name of a file")
    if not stat.S_ISREG(mode):
        raise FileExistsError(f"{path} is a device, a pipe or a socket: it is not replaced")
    return stat.S_IMODE(mode)


def _synchronize(folder):
    """Put a folder's names on disk too, where the system lets one do that."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _sweep(target):
    """Remove what kills left behind of this file a day ago or longer."""
    with suppress(OSError):
        for name in os.listdir(target.parent):
            if name.startswith(f".{target.name}.") and name.endswith(".part"):
                left = target.with_name(name)
                if time.time() - left.stat().st_mtime > _DAY:
                    left.unlink()

"""Whatever the library writes appears at once and whole, whoever writes beside it."""

import errno
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time

import pytest

from uecompress import atomic
from uecompress.atomic import replacing


def write(path, content):
    with replacing(path) as file:
        file.write(content)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def umask():
    """Sets the umask, which is that of the process, and restores it."""
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


def test_threads_that_write_one_path_leave_one_of_the_files_whole(tmp_path):
    contents = [bytes([i]) * 300_000 for i in range(4)]
    write(tmp_path / "a", contents[0])
    found, running = [], True

    def read():
        while running:
            found.append((tmp_path / "a").read_bytes())

    def repeat(content):
        for _ in range(15):
            write(tmp_path / "a", content)

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=repeat, args=(content,)) for content in contents]
    reader.start()
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    running = False
    reader.join()
    assert set(found) <= set(contents)
    assert (tmp_path / "a").read_bytes() in contents
    assert os.listdir(tmp_path) == ["a"]


def test_the_last_of_two_writers_of_one_process_wins(tmp_path):
    with replacing(tmp_path / "a") as outer:
        write(tmp_path / "a", b"inner")
        outer.write(b"outer")
    assert (tmp_path / "a").read_bytes() == b"outer"
    assert os.listdir(tmp_path) == ["a"]


def test_a_file_left_under_the_temporary_name_is_not_written_through(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic.secrets, "token_hex", lambda n: "guessed")
    (tmp_path / "victim").write_bytes(b"precious")
    (tmp_path / ".a.guessed.part").symlink_to(tmp_path / "victim")
    with pytest.raises(FileExistsError):
        write(tmp_path / "a", b"new")
    assert (tmp_path / "victim").read_bytes() == b"precious"
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(("mask", "right"), [(0o022, 0o644), (0o007, 0o660), (0o077, 0o600)])
def test_a_new_file_has_the_permissions_of_any_new_file(tmp_path, umask, mask, right):
    umask(mask)
    write(tmp_path / "a", b"new")
    assert mode(tmp_path / "a") == right


@pytest.mark.parametrize("kept", [0o600, 0o666, 0o444])
def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path, umask, kept):
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "a").chmod(kept)
    with replacing(tmp_path / "a") as file:
        file.write(b"new")
        assert mode(next(tmp_path.glob(".a.*.part"))) == kept  # from the start
    assert (tmp_path / "a").read_bytes() == b"new"
    assert mode(tmp_path / "a") == kept


def test_a_symbolic_link_stays_and_what_it_points_to_is_replaced(tmp_path):
    (tmp_path / "data").mkdir()
    target = tmp_path / "data" / "target"
    for name, points in [("direct", target), ("relative", "data/target"), ("chain", "direct")]:
        (tmp_path / name).symlink_to(points)
        write(tmp_path / name, name.encode())
        assert (tmp_path / name).is_symlink()
        assert target.read_bytes() == name.encode()
    assert os.listdir(tmp_path / "data") == ["target"]
    (tmp_path / "dangling").symlink_to(tmp_path / "data" / "not yet")
    write(tmp_path / "dangling", b"now")
    assert (tmp_path / "data" / "not yet").read_bytes() == b"now"
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="symbolic links"):
        write(tmp_path / "loop", b"never")


def test_what_is_no_regular_file_is_refused_and_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket has a short name
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind("socket")
    (tmp_path / "link").symlink_to("pipe")
    for name in ("pipe", "socket", "link", os.devnull):
        before = os.lstat(tmp_path / name)
        with pytest.raises(FileExistsError, match=f"{name} is a device, a pipe or a socket"):
            write(tmp_path / name, b"new")
        assert os.lstat(tmp_path / name).st_ino == before.st_ino
    with pytest.raises(IsADirectoryError, match="is a directory, not the name of a file"):
        write(tmp_path, b"new")
    with pytest.raises(FileNotFoundError, match=r"no directory .*nowhere to write 'a' into"):
        write(tmp_path / "nowhere" / "a", b"new")
    assert sorted(os.listdir(tmp_path)) == ["link", "pipe", "socket"]


def test_the_bytes_are_on_disk_before_the_name_and_the_name_before_the_end(tmp_path, monkeypatch):
    calls = []

    def fsync(descriptor, real=os.fsync):
        size = os.fstat(descriptor).st_size
        calls.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else size)
        real(descriptor)

    def replace(*names, real=os.replace):
        calls.append("replace")
        real(*names)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    write(tmp_path / "a", b"12345")
    assert calls == [5, "replace", "folder"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, call):
    (tmp_path / "a").write_bytes(b"old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_a_folder_that_cannot_be_synchronized_does_not_lose_the_file(tmp_path, monkeypatch):
    def fsync(descriptor, real=os.fsync):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    write(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"


def test_what_a_kill_leaves_is_gone_a_day_later(tmp_path):
    code = """
import os, signal, sys
from uecompress.atomic import replacing
with replacing(sys.argv[1]) as file:
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    (tmp_path / "a").write_bytes(b"old")
    killed = subprocess.run([sys.executable, "-c", code, tmp_path / "a"], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / "a").read_bytes() == b"old"
    (left,) = tmp_path.glob(".a.*.part")
    other = tmp_path / ".b.0123456789abcdef.part"
    other.write_bytes(b"of another file")
    os.utime(other, (0, 0))
    write(tmp_path / "a", b"new")
    assert left.exists()  # it may be that of a writer on another machine
    yesterday = time.time() - 90_000
    os.utime(left, (yesterday, yesterday))
    write(tmp_path / "a", b"newer")
    assert sorted(os.listdir(tmp_path)) == [other.name, "a"]
    assert (tmp_path / "a").read_bytes() == b"newer"

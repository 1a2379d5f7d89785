"""A download is complete and proven or it is not there; every failure says what to do."""

import gzip
import hashlib
import http.server
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from uecompress import data
from uecompress.data import files, sets

CONTENT = np.random.default_rng(0).integers(0, 256, 500_000, dtype=np.uint8).tobytes()
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers by the first part of the path: good, good.gz, tampered, truncated, dropped, slow."""

    def do_GET(self):
        kind = self.path.lstrip("/")
        self.server.requests.append(kind)
        bodies = {
            "good": CONTENT,
            "good.gz": gzip.compress(CONTENT),
            "tampered": CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]),
            "tampered.gz": gzip.compress(CONTENT)[:-100] + bytes(100),
            "half.gz": gzip.compress(CONTENT)[:250_000],
            "truncated": CONTENT,
            "dropped": CONTENT,
            "slow": CONTENT,
        } | self.server.bodies
        if kind not in bodies:
            self.send_error(404)
            return
        body = bodies[kind]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if kind in ("truncated", "dropped", "slow"):
            self.wfile.write(body[: len(body) // 2])
            if kind == "slow":
                self.server.release.wait(60)
            if kind == "dropped":  # reset the connection instead of closing it
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        else:
            self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    """A server on this machine; no test needs a network."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.url = f"http://127.0.0.1:{running.server_port}/"
        running.release = threading.Event()
        running.requests, running.bodies = [], {}
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.release.set()
        running.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty user cache, and no UECOMPRESS_DATA."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("UECOMPRESS_DATA", raising=False)
    return tmp_path / "cache" / "uecompress"


def nowhere():
    """An address that refuses connections."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/"


# fetch


@pytest.mark.parametrize("kind", ["good", "good.gz"])
def test_a_good_download_is_complete_alone_and_silent(server, tmp_path, kind, capfd):
    path = tmp_path / "new" / "folder" / "file"
    files.fetch(server.url + kind, path, SHA256)
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]
    assert capfd.readouterr() == ("", "")  # the bar is for terminals


def test_a_gz_that_stays_one_is_not_decompressed(server, tmp_path):
    server.bodies["archive.tar.gz"] = CONTENT
    files.fetch(server.url + "archive.tar.gz", tmp_path / "archive.tar.gz", SHA256)
    assert (tmp_path / "archive.tar.gz").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("tampered", ValueError, "another SHA-256"),
        ("tampered.gz", ValueError, "gave a"),
        ("half.gz", ValueError, "another SHA-256"),
        ("truncated", ConnectionError, "try again"),
        ("dropped", ConnectionError, "try again"),
        ("missing", ConnectionError, "404.*try again"),
    ],
)
def test_a_bad_download_keeps_nothing(server, tmp_path, kind, error, message):
    with pytest.raises(error, match=f"{server.url}{kind} .*{message}"):
        files.fetch(server.url + kind, tmp_path / "file", SHA256)
    assert list(tmp_path.iterdir()) == []


def test_a_bad_download_leaves_an_older_file_as_it_was(server, tmp_path):
    (tmp_path / "file").write_bytes(b"older")
    with pytest.raises(ValueError, match="SHA-256"):
        files.fetch(server.url + "tampered", tmp_path / "file", SHA256)
    assert (tmp_path / "file").read_bytes() == b"older"


def test_no_connection_is_said_with_the_address(tmp_path):
    url = nowhere()
    with pytest.raises(ConnectionError, match=f"{url} could not be downloaded .*refused"):
        files.fetch(url, tmp_path / "file", SHA256)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_in_the_middle_leaves_nothing(server, tmp_path, monkeypatch):
    class Interrupted:
        def __init__(self, **kwargs):
            self.calls = 0

        def __enter__(self):
            return self

        def __exit__(self, *args):
            pass

        def update(self, n):
            self.calls += 1
            if self.calls == 3:
                assert [path.suffix for path in tmp_path.iterdir()] == [".part"]
                raise KeyboardInterrupt

    monkeypatch.setattr(files, "tqdm", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        files.fetch(server.url + "good", tmp_path / "file", SHA256)
    assert list(tmp_path.iterdir()) == []


def test_a_kill_in_the_middle_leaves_no_data_and_the_next_download_succeeds(server, cache):
    path = cache / "file"
    code = f"""
from pathlib import Path
from uecompress.data import files
files.fetch({server.url + "slow"!r}, Path({str(path)!r}), {SHA256!r})
"""
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        deadline = time.monotonic() + 60
        while not any(part.stat().st_size for part in cache.glob("*.part")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    (stale,) = cache.iterdir()
    assert stale.suffix == ".part"
    assert 0 < stale.stat().st_size < len(CONTENT)
    assert files.find("file") is None
    files.fetch(server.url + "good", path, SHA256)
    assert path.read_bytes() == files.find("file").read_bytes() == CONTENT


def test_nothing_is_renamed_before_it_is_on_disk(server, tmp_path, monkeypatch):
    calls = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        record = lambda *args, name=name, real=real: (calls.append(name), real(*args))[1]  # noqa: E731
        monkeypatch.setattr(os, name, record)
    files.fetch(server.url + "good", tmp_path / "file", SHA256)
    assert calls == ["fsync", "replace"]


def test_a_cache_that_cannot_be_written_says_the_ways_out(server, tmp_path, monkeypatch):
    ways = r"cannot write into the cache folder .*{}.*XDG_CACHE_HOME .* UECOMPRESS_DATA"
    (tmp_path / "occupied").write_text("a file, not a folder")
    with pytest.raises(OSError, match=ways.format("occupied/cache")):
        files.fetch(server.url + "good", tmp_path / "occupied" / "cache" / "file", SHA256)

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files.tempfile, "mkstemp", refuse)
    with pytest.raises(OSError, match=ways.format("locked.*Permission denied")):
        files.fetch(server.url + "good", tmp_path / "locked" / "file", SHA256)
    assert server.requests == []  # found out before anything was downloaded


def test_a_full_disk_leaves_nothing(server, tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=f"{tmp_path}.*No space left"):
        files.fetch(server.url + "good", tmp_path / "file", SHA256)
    assert list(tmp_path.iterdir()) == []


# Where a data set is looked for


@pytest.fixture
def small_mnist(server, cache, monkeypatch):
    """A served MNIST of 7 training and 3 test images, 2 held out: {name: content}."""
    draw = np.random.default_rng(1)
    contents = {}
    for part, n in (("train", 7), ("t10k", 3)):
        images = draw.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        header = b"\0\0\x08\x03" + struct.pack(">3I", n, 28, 28)
        contents[f"MNIST/raw/{part}-images-idx3-ubyte"] = header + images.tobytes()
        header = b"\0\0\x08\x01" + struct.pack(">I", n)
        contents[f"MNIST/raw/{part}-labels-idx1-ubyte"] = header + bytes(range(n))
    for name, content in contents.items():
        sha256 = hashlib.sha256(content).hexdigest()
        monkeypatch.setitem(files.SOURCES, name, (f"{server.url}{name}.gz", sha256))
        server.bodies[f"{name}.gz"] = gzip.compress(content)
    monkeypatch.setattr(sets, "HELD_OUT", 2)
    return contents


def pixels(content):
    return np.frombuffer(content, np.uint8, offset=16).reshape(-1, 1, 28, 28) / np.float32(255)


def test_mnist_is_downloaded_once(small_mnist, server, cache):
    images = pixels(small_mnist["MNIST/raw/train-images-idx3-ubyte"])
    for _ in range(2):
        x, y = data.load("mnist", "train")
        assert np.array_equal(x.numpy(), images[:5])
        assert y.tolist() == [0, 1, 2, 3, 4]
        x, y = data.load("mnist", "validation")
        assert np.array_equal(x.numpy(), images[5:])
        assert y.tolist() == [5, 6]
        x, y = data.load("mnist", "test")
        assert np.array_equal(x.numpy(), pixels(small_mnist["MNIST/raw/t10k-images-idx3-ubyte"]))
        assert y.tolist() == [0, 1, 2]
    assert sorted(server.requests) == sorted(f"{name}.gz" for name in small_mnist)
    for name, content in small_mnist.items():
        assert (cache / name).read_bytes() == content


@pytest.mark.parametrize("end", ["", ".gz"])
def test_uecompress_data_comes_before_the_cache(small_mnist, server, tmp_path, end, monkeypatch):
    monkeypatch.setenv("UECOMPRESS_DATA", str(tmp_path / "own"))
    (tmp_path / "own" / "MNIST" / "raw").mkdir(parents=True)
    for name, content in small_mnist.items():
        content = gzip.compress(content) if end else content
        (tmp_path / "own" / (name + end)).write_bytes(content)
        (tmp_path / "cache" / "uecompress" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "cache" / "uecompress" / name).write_bytes(b"not read")
    assert data.load("mnist", "test")[1].tolist() == [0, 1, 2]
    assert server.requests == []


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("harm", ["truncated", "changed", "empty"])
def test_a_damaged_file_is_named_and_not_replaced(small_mnist, server, cache, end, harm):
    name = "MNIST/raw/t10k-images-idx3-ubyte"
    content = gzip.compress(small_mnist[name]) if end else small_mnist[name]
    flipped = content[:100] + bytes([content[100] ^ 1]) + content[101:]
    path = cache / (name + end)
    path.parent.mkdir(parents=True)
    path.write_bytes({"truncated": content[:-1], "changed": flipped, "empty": b""}[harm])
    with pytest.raises(ValueError, match=f"{path} is damaged"):
        data.load("mnist", "test")
    assert path.exists()
    assert server.requests == []


def test_a_missing_uecompress_data_is_an_error(small_mnist, server, tmp_path, monkeypatch):
    monkeypatch.setenv("UECOMPRESS_DATA", str(tmp_path / "typo"))
    with pytest.raises(FileNotFoundError, match=f"UECOMPRESS_DATA is set to {tmp_path}/typo"):
        data.load("mnist", "test")
    assert server.requests == []


def test_what_uecompress_data_lacks_is_downloaded_into_the_cache(
    small_mnist, cache, tmp_path, monkeypatch
):
    (tmp_path / "own").mkdir()
    monkeypatch.setenv("UECOMPRESS_DATA", str(tmp_path / "own"))
    assert data.load("mnist", "test")[1].tolist() == [0, 1, 2]
    assert list((tmp_path / "own").iterdir()) == []
    assert len(list((cache / "MNIST" / "raw").iterdir())) == 2


def test_an_empty_uecompress_data_counts_as_unset(small_mnist, monkeypatch):
    monkeypatch.setenv("UECOMPRESS_DATA", "")
    assert data.load("mnist", "test")[1].tolist() == [0, 1, 2]


def test_without_files_and_network_the_error_says_what_to_do(cache, tmp_path, monkeypatch):
    name = "MNIST/raw/t10k-images-idx3-ubyte"
    monkeypatch.setitem(files.SOURCES, name, (nowhere(), SHA256))
    monkeypatch.setenv("UECOMPRESS_DATA", str(tmp_path))
    message = f"{name} is not in {tmp_path} or {cache}, .*refused.*set UECOMPRESS_DATA to a folder"
    with pytest.raises(FileNotFoundError, match=message):
        data.load("mnist", "test")


def test_cifar10_as_jpeg_is_never_a_substitute(cache, tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"cifar10-jpeg\.zip .*set UECOMPRESS_DATA"):
        data.load("cifar10-jpeg", "test")
    (tmp_path / "cifar10-jpeg.zip").write_bytes(b"never opened")
    monkeypatch.setenv("UECOMPRESS_DATA", str(tmp_path))
    monkeypatch.setitem(files.SOURCES, "cifar-10-binary.tar.gz", (nowhere(), SHA256))
    with pytest.raises(FileNotFoundError, match=r"cifar-10-binary\.tar\.gz is not in"):
        data.load("cifar10", "test")


def test_the_cache_is_where_the_desktop_standard_puts_it(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files.cache() == tmp_path / ".cache" / "uecompress"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    assert files.cache() == tmp_path / "elsewhere" / "uecompress"


def test_every_checksum_can_be_that_of_a_file():
    for name, (_, sha256) in files.SOURCES.items():
        assert len(bytes.fromhex(sha256)) == 32, name
    published = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
    assert files.SOURCES["cifar-10-binary.tar.gz"][1] == published

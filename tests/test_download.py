"""A download is complete and proven or it is not there; every failure says what to do."""

import contextlib
import gzip
import hashlib
import http.server
import os
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
import zlib
from types import SimpleNamespace

import numpy as np
import pytest

from uecompress import data
from uecompress.data import download, files, sets
from uecompress.reproduce.store import Store

CONTENT = np.random.default_rng(0).integers(0, 256, 500_000, dtype=np.uint8).tobytes()
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers by the path, which names what is wrong: tampered, truncated, dropped, slow, ..."""

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
            "drip": CONTENT,
            "endless": CONTENT,
        } | self.server.bodies
        if kind not in bodies or kind in self.server.refusals:
            self.send_error(self.server.refusals.pop(kind, 404))
            return
        body = bodies[kind]
        self.send_response(200)
        if kind != "endless":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if kind in ("drip", "endless"):
            with contextlib.suppress(ConnectionError):
                while not self.server.release.wait(0.01 if kind == "drip" else 0):
                    self.wfile.write(b"x" if kind == "drip" else bytes(1 << 16))
                    self.server.sent += 1
        elif kind in ("truncated", "dropped", "slow"):
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
        running.requests, running.bodies, running.refusals, running.sent = [], {}, {}, 0
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.release.set()
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def waits(monkeypatch):
    """The seconds waited between tries, of which no test spends any."""
    waited = []
    monkeypatch.setattr(download, "time", SimpleNamespace(
        sleep=waited.append, monotonic=time.monotonic
    ))  # fmt: skip
    return waited


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

    monkeypatch.setattr(download, "tqdm", Interrupted)
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
    assert calls == ["fsync", "replace", "fsync"]  # the second is of the folder


def test_a_cache_that_cannot_be_written_says_the_ways_out(server, tmp_path, monkeypatch):
    ways = r"cannot write into the cache folder .*{}.*XDG_CACHE_HOME .* UECOMPRESS_DATA"
    (tmp_path / "occupied").write_text("a file, not a folder")
    with pytest.raises(OSError, match=ways.format("occupied/cache")):
        files.fetch(server.url + "good", tmp_path / "occupied" / "cache" / "file", SHA256)

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
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


def test_a_download_has_the_permissions_of_any_new_file(server, tmp_path):
    before = os.umask(0o027)
    try:
        files.fetch(server.url + "good.gz", tmp_path / "new" / "file", SHA256)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new" / "file").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o750


# A server that is tired, slow or hostile


@pytest.mark.parametrize("code", [500, 503, 429])
def test_a_server_that_is_tired_is_asked_again(server, tmp_path, waits, code):
    server.refusals["good"] = code
    files.fetch(server.url + "good", tmp_path / "file", SHA256)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.requests == ["good", "good"]
    assert waits == [0.5]


@pytest.mark.parametrize(
    ("kind", "requests", "waited"),
    [("truncated", 4, [0.5, 1, 2]), ("dropped", 4, [0.5, 1, 2]), ("missing", 1, []),
     ("tampered", 1, [])],
)  # fmt: skip
def test_what_may_pass_is_tried_four_times_and_what_will_not_once(
    server, tmp_path, waits, kind, requests, waited
):
    with pytest.raises((ConnectionError, ValueError)):
        files.fetch(server.url + kind, tmp_path / "file", SHA256)
    assert len(server.requests) == requests
    assert waits == waited
    assert list(tmp_path.iterdir()) == []


def test_a_second_try_begins_the_file_again(server, tmp_path, monkeypatch):
    def receive(url, *args, real=download._receive):
        url = url if server.requests else server.url + "truncated"
        return real(url, *args)

    monkeypatch.setattr(download, "_receive", receive)
    files.fetch(server.url + "good", tmp_path / "file", SHA256)
    assert server.requests == ["truncated", "good"]
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_server_that_drips_is_left_when_patience_ends(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "_PATIENCE", 0.3)
    with pytest.raises(ConnectionError, match=r"drip .*more than 0\.3 seconds"):
        files.fetch(server.url + "drip", tmp_path / "file", SHA256)
    assert server.requests == ["drip"]
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_does_not_end_is_left_at_the_length(server, tmp_path):
    with pytest.raises(ValueError, match="endless gave more than the 500000 bytes expected"):
        files.fetch(server.url + "endless", tmp_path / "file", SHA256, len(CONTENT))
    assert server.requests == ["endless"]
    assert list(tmp_path.iterdir()) == []


def test_a_gzip_bomb_stops_at_the_length(server, tmp_path, monkeypatch):
    server.bodies["bomb.gz"] = gzip.compress(bytes(1 << 27))
    unpacked = []

    class Counting:
        def __init__(self, wbits, real=zlib.decompressobj):
            self.real = real(wbits=wbits)

        def decompress(self, block):
            content = self.real.decompress(block)
            unpacked.append(len(content))
            return content

    monkeypatch.setattr(download.zlib, "decompressobj", Counting)
    with pytest.raises(ValueError, match=r"bomb\.gz gave more than the 500000 bytes expected"):
        files.fetch(server.url + "bomb.gz", tmp_path / "file", SHA256, len(CONTENT))
    assert len(unpacked) == 1 or sum(unpacked[:-1]) <= len(CONTENT)
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
        source = f"{server.url}{name}.gz", hashlib.sha256(content).hexdigest(), len(content)
        monkeypatch.setitem(files.SOURCES, name, source)
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


@pytest.mark.parametrize("end", ["", ".gz"])
def test_of_a_file_that_is_too_long_no_more_is_read(small_mnist, cache, end):
    name = "MNIST/raw/t10k-images-idx3-ubyte"
    path = cache / (name + end)
    path.parent.mkdir(parents=True)
    with gzip.open(path, "wb") if end else open(path, "wb") as file:
        file.write(small_mnist[name] + bytes(1 << 24))
    with pytest.raises(ValueError, match=f"{path} is damaged"):
        data.load("mnist", "test")


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
    monkeypatch.setitem(files.SOURCES, name, (nowhere(), SHA256, 500_000))
    monkeypatch.setenv("UECOMPRESS_DATA", str(tmp_path))
    message = f"{name} is not in {tmp_path} or {cache}, .*refused.*set UECOMPRESS_DATA to a folder"
    with pytest.raises(FileNotFoundError, match=message):
        data.load("mnist", "test")


def test_cifar10_as_jpeg_is_never_a_substitute(cache, tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"cifar10-jpeg\.zip .*set UECOMPRESS_DATA"):
        data.load("cifar10-jpeg", "test")
    (tmp_path / "cifar10-jpeg.zip").write_bytes(b"never opened")
    monkeypatch.setenv("UECOMPRESS_DATA", str(tmp_path))
    monkeypatch.setitem(files.SOURCES, "cifar-10-binary.tar.gz", (nowhere(), SHA256, 500_000))
    with pytest.raises(FileNotFoundError, match=r"cifar-10-binary\.tar\.gz is not in"):
        data.load("cifar10", "test")


@pytest.fixture
def homeless(monkeypatch):
    """A container's user without HOME and without an entry: ``~`` stays ``~``."""
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])


def test_without_a_home_what_uecompress_data_has_is_read(
    small_mnist, server, tmp_path, homeless, monkeypatch
):
    monkeypatch.setenv("UECOMPRESS_DATA", str(tmp_path))
    for name, content in small_mnist.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert data.load("mnist", "test")[1].tolist() == [0, 1, 2]
    assert server.requests == []


def test_without_a_home_and_files_the_error_says_what_to_set(
    small_mnist, server, tmp_path, homeless, monkeypatch
):
    ways = "no home folder, hence no ~/.cache: set XDG_CACHE_HOME to a folder"
    with pytest.raises(FileNotFoundError, match=f"not in any folder, .*{ways}; or set UECOMPRESS_"):
        data.load("mnist", "test")
    monkeypatch.setenv("UECOMPRESS_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=f"is not in {tmp_path}, and there is {ways}"):
        data.load("mnist", "test")
    with pytest.raises(FileNotFoundError, match=ways):
        Store("demo", {}, 1)
    assert server.requests == []
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_cannot_be_read_says_the_ways_out(small_mnist, tmp_path, monkeypatch):
    def stat(path, *args, real=os.stat, **kwargs):
        if str(path).startswith(str(tmp_path / "closed")):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *args, **kwargs)

    def mkdir(path, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "closed"))
    monkeypatch.setattr(os, "stat", stat)
    monkeypatch.setattr(os, "mkdir", mkdir)
    with pytest.raises(OSError, match=r"cannot write into the cache folder .*set XDG_CACHE_HOME"):
        data.load("mnist", "test")
    monkeypatch.setenv("UECOMPRESS_DATA", str(tmp_path / "closed"))
    with pytest.raises(FileNotFoundError, match="closed, which is not a folder that can be read"):
        data.load("mnist", "test")


def test_the_cache_is_where_the_desktop_standard_puts_it(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files.cache() == tmp_path / ".cache" / "uecompress"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    assert files.cache() == tmp_path / "elsewhere" / "uecompress"
    monkeypatch.setenv("XDG_CACHE_HOME", "~/mine")
    assert files.cache() == tmp_path / "mine" / "uecompress"


def test_every_checksum_can_be_that_of_a_file():
    for name, (_, sha256, length) in files.SOURCES.items():
        assert len(bytes.fromhex(sha256)) == 32, name
        assert length > 10_000
    published = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
    assert files.SOURCES["cifar-10-binary.tar.gz"][1:] == (published, 170_052_171)

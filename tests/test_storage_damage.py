"""Damaged files are refused with one error, whatever happened to them."""

import json
import zlib

import numpy as np
import pytest
import torch
from torch import nn

from uecompress import networks, storage
from uecompress.ensembles import MCDropout
from uecompress.lowrank import TTConv2d, TTLinear
from uecompress.storage import bytestream, container

LIMIT = 1 << 20


def with_checksum(content):
    return content + zlib.crc32(content).to_bytes(4, "little")


def with_header(content, header):
    """The file with another header, a dict or the bytes of the JSON."""
    reader = bytestream.Reader(content[4:])
    reader.take(reader.varint())
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zdict=container.DICTIONARY)
    text = deflate.compress(text) + deflate.flush()
    rest = content[4 + reader.position : -4]
    return with_checksum(content[:4] + bytestream.varint(len(text)) + text + rest)


def json_of(content):
    reader = bytestream.Reader(content[4:])
    inflate = zlib.decompressobj(-15, zdict=container.DICTIONARY)
    return inflate.decompress(reader.take(reader.varint()))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Small networks whose tensors use every kind of code."""
    g = torch.Generator().manual_seed(0)

    def layer(weight):
        linear = nn.Linear(weight.shape[1], weight.shape[0])
        linear.weight.data = weight
        return linear

    dense = torch.randn(20, 30, generator=g)
    sparse = dense * (torch.rand(20, 30, generator=g) < 0.2 * torch.rand(30, generator=g))
    models = [
        nn.Sequential(layer(dense), nn.ReLU(), nn.BatchNorm1d(20), MCDropout(0.1)),
        nn.Sequential(layer(sparse + 0), layer(sparse.sign() / 3 + 0), layer(dense.half().float())),
        networks.Residual(nn.Conv2d(2, 2, 3, padding=1), networks.ChannelPad2d(0, 2)),
        networks.Ensemble([layer(dense.double().round()), layer(dense.bfloat16())]),
        nn.Sequential(TTLinear((2, 3), (4, 2), 2, "tt"), TTConv2d((2, 1), (2, 3), (3, 2), 2)),
    ]
    path = tmp_path_factory.mktemp("files") / "a"
    contents = []
    for model in models:
        storage.save(model, path)
        contents.append(path.read_bytes())
    return contents


def damaged(files, g):
    """One damaged file, and whether its checksum was made right again."""
    content = bytearray(files[g.integers(len(files))])
    kind = g.integers(6)
    if kind == 0:
        content = content[: g.integers(len(content))]
    elif kind == 1:
        content += g.bytes(g.integers(1, 9))
    elif kind == 2:  # the start of one file and the end of another
        other = files[g.integers(len(files))]
        content = content[: g.integers(len(content))] + other[g.integers(len(other)) :]
    elif kind == 3:
        text = bytearray(json_of(bytes(content)))
        text[g.integers(len(text))] = g.choice(list(b'0123459[]{}",:null.-aeE'))
        return with_header(bytes(content), bytes(text)), True
    else:
        for _ in range(g.integers(1, 4)):
            content[g.integers(len(content))] = g.integers(256)
    if g.random() < 0.4:
        return with_checksum(bytes(content[:-4])), True
    return bytes(content), False


def test_ten_thousand_damaged_files(files, tmp_path, monkeypatch):
    g, path, outcomes = np.random.default_rng(0), tmp_path / "a", {}
    for _ in range(12_000):
        content, right = damaged(files, g)
        if content in files:
            continue
        monkeypatch.setattr(container.Path, "read_bytes", lambda _: content)  # noqa: B023
        results = []
        for function in (storage.load, storage.decode_state):
            try:
                results.append(function(path, max_bytes=LIMIT))
            except storage.DamagedFile:
                results.append(None)
        network, state = results
        assert right or (network is None and state is None)
        if network is not None:  # then it is one, and all of it
            assert network.state_dict().keys() == state.keys()
            assert all(network.state_dict()[k].shape == a.shape for k, a in state.items())
        key = right, network is not None
        outcomes[key] = outcomes.get(key, 0) + 1
    assert sum(outcomes.values()) > 10_000
    assert outcomes[True, False] + outcomes[True, True] > 5000
    assert outcomes[True, True] > 100


def doubled(times):
    """A network of two equal halves, each of two equal halves, and so on."""
    model = {"ReLU": {}}
    for number in range(times, 0, -1):
        model = {"Sequential": {"0": model, "1": {"ref": number}}}
    return model


def train(**arguments):
    return {"lowrank.TTLinear": {"row_shape": [2], "column_shape": [2], "rank": 2} | arguments}


@pytest.mark.parametrize(
    ("model", "tensors", "message"),
    [
        ({"os.system": {}}, {}, "'os.system' is no layer"),
        ({"networks.containers.nn": {}}, {}, "no layer"),
        ({"storage.layers.OURS": {}}, {}, "no layer 'storage.layers.OURS'"),
        ({"networks.Nothing": {}}, {}, "has no layer 'networks.Nothing'"),
        ({"nothing.Here": {}}, {}, "has no layer"),
        ({"Bilinear": {}}, {}, "no layer"),
        ({"Linear": {"in_features": 10**15, "out_features": 10**15}}, {}, "cannot be built"),
        ({"Linear": {"in_features": 2, "out_features": 2}}, {}, "'bias' is in the network only"),
        ({"Linear": {"in_features": 2}}, {}, "cannot be built"),
        ({"Linear": {"device": "cuda"}}, {}, "Linear has no argument 'device'"),
        ({"BatchNorm1d": {"num_features": 10**9, "device": "cpu"}}, {}, "no argument 'device'"),
        ({"ReLU": {}}, {"a": ["float32", 2]}, "'a' is in the table of tensors only"),
        ({"ReLU": {}}, {"a": ["float32", 2**39]}, "announces .* max_bytes"),
        ({"ReLU": {}}, {"a": ["float32", -1]}, "has the shape"),
        ({"ReLU": {}}, {"a": ["float32", True]}, "has the shape"),
        ({"ReLU": {}}, {"a": ["float31", 2]}, "is described by"),
        ({"ReLU": {}}, {"a": [["float32"], 2]}, "is described by"),
        ({"ReLU": {}}, {"a": "b"}, "is described by"),
        ({"ReLU": {}}, [], "is no table"),
        ({"ref": 0}, {}, "refers to module 0"),
        ({"Sequential": {"a": {"ref": 0}}}, {}, "refers to module 0"),
        ({"Sequential": {"a.b": {"ReLU": {}}}}, {}, "cannot be built"),
        ({"Sequential": {"a": 3}}, {}, "'a' in a Sequential is no module"),
        ({"ReLU": [1]}, {}, "ReLU has the arguments"),
        ({"ReLU": {}, "Tanh": {}}, {}, "a module is described by"),
        (3, {}, "describes no network"),
        (doubled(80), {}, "more than 16384 modules"),
        ({"Sequential": {str(i): {"ReLU": {}} for i in range(20_000)}}, {}, "16384 modules"),
        (train(row_shape=[1] * 10**5, column_shape=[1] * 10**5), {}, "at most 64 factors"),
        (train(row_shape=[10**9], column_shape=[10**9]), {}, "'bias' is in the network only"),
        (train(rank=[1, 10**12, 1]), {}, "ranks must be 2 whole numbers"),
        ({"lowrank.TTConv2d": {"in_shape": [10**5], "out_shape": [10**5], "rank": 9,
                               "kernel_size": 10**5}}, {}, "'bias' is in the network only"),
        ({"networks.ChannelPad2d": {"padding": 1, "channels": 10**12}}, {}, "'value' is in the"),
    ],
    ids=range(33),
)  # fmt: skip
def test_headers_that_make_no_sense(files, tmp_path, model, tensors, message):
    path = tmp_path / "a"
    path.write_bytes(with_header(files[0], {"model": model, "tensors": tensors}))
    with pytest.raises(storage.DamagedFile, match=message) as error:
        storage.load(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    "header",
    [b"", b"[]", b"{}", b"null", b"[" * 10**5, b'{"model":' * 10**4, b"\xff\xff", b'"\\ud800"',
     b'{"model":1,"tensors":{},"more":1}', b'{"model":1,"tensors":{},"frozen":[[]]}',
     b'{"model":1,"tensors":{},"frozen":["a"]}', b" " * (2 * container.MAX_HEADER)],
    ids=range(12),
)  # fmt: skip
def test_headers_that_are_none(files, tmp_path, header):
    (tmp_path / "a").write_bytes(with_header(files[0], header))
    for function in (storage.load, storage.decode_state, storage.sizes):
        with pytest.raises(storage.DamagedFile, match=r"a is damaged: .*header"):
            function(tmp_path / "a")


def test_what_was_never_a_network(tmp_path):
    for content, message in (
        (b"", "starts with b''"),
        (b"UEC", "starts with b'UEC'"),
        (b"UEC\1", "checksum is another one"),
        (b"UEC\2", "checksum is another one"),
        (with_checksum(b"UEC\3" + bytes(50)), r"starts with b'UEC\\x03', not with b'UEC\\x02'"),
        (b"PK\3\4" + bytes(50), r"starts with b'PK\\x03\\x04'"),
    ):
        (tmp_path / "a").write_bytes(content)
        with pytest.raises(storage.DamagedFile, match=message):
            storage.load(tmp_path / "a")


def test_the_limit_is_on_decoded_bytes(tmp_path):
    size = storage.save(nn.Conv2d(100, 100, 5).requires_grad_(False), tmp_path / "a")
    zeros = nn.Conv2d(100, 100, 5)
    nn.init.zeros_(zeros.weight)
    nn.init.zeros_(zeros.bias)
    assert storage.save(zeros, tmp_path / "a") < 200 < size
    assert not storage.load(tmp_path / "a", max_bytes=1_000_400).weight.any()
    with pytest.raises(storage.DamagedFile, match="announces 1000400 bytes"):
        storage.load(tmp_path / "a", max_bytes=1_000_399)

"""Damaged files are refused with one error, whatever happened to them."""

import contextlib
import json
import math
import os
import sys
import zlib

import numpy as np
import pytest
import torch
from torch import nn

from uecompress import bayes, lowrank, networks, storage
from uecompress.ensembles import MCDropout
from uecompress.lowrank import TTConv2d, TTLinear
from uecompress.storage import building, bytestream, codes, container, entropy

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
        {"a": sparse, "b": dense.bfloat16(), "c": sparse, "d": torch.tensor(True)},
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
        monkeypatch.setattr(container, "_content", lambda _, limit: (content, limit))  # noqa: B023
        results = []
        for function in (storage.load, storage.decode_state):
            try:
                results.append(function(path, max_bytes=LIMIT))
            except storage.DamagedFile:
                results.append(None)
        network, state = results
        assert right or (network is None and state is None)
        if network is not None:  # then it is one, and all of it
            loaded = network if isinstance(network, dict) else network.state_dict()
            assert loaded.keys() == state.keys()
            for name, array in state.items():
                tensor = loaded[name].detach()
                tensor = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
                assert np.array_equal(array, tensor, equal_nan=True)
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
        ({"Linear": {"in_features": 2, "out_features": 2}}, {}, "more tensors than the file"),
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
        (train(row_shape=[1] * 10**4, column_shape=[1] * 10**4), {}, "at most 64 factors"),
        (train(row_shape=[10**9], column_shape=[10**9]), {}, "more tensors than the file"),
        (train(rank=[1, 10**12, 1]), {}, "ranks must be 2 whole numbers"),
        ({"lowrank.TTConv2d": {"in_shape": [10**5], "out_shape": [10**5], "rank": 9,
                               "kernel_size": 10**5}}, {}, "more tensors than the file"),
        ({"networks.ChannelPad2d": {"padding": 1, "channels": 10**12}}, {}, "more tensors than"),
        ({"Dropout": {"p": math.nan}}, {}, "NaN is no argument of a layer"),
        ({"ReLU": {}}, {str(i): ["float32", 0] for i in range(10**4)}, "10000 tensors in .* bytes"),
        (None, {"a": ["float32", 2**39]}, "announces .* max_bytes"),
        ({"hashing.HashedLinear": {"in_features": 10**6, "out_features": 10**6, "ratio": 1e12,
                                   "bias": False}},
         {"buckets": ["float32", 1]}, "makes more bytes of buffers than max_bytes"),
    ],
    ids=range(37),
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
     b'{"model":1,"tensors":{},"frozen":["a"]}', b" " * (2 * container.MAX_HEADER),
     b'{"model":null,"tensors":{},"tensors":{}}', b'{"model":{"ReLU":{},"ReLU":{}},"tensors":{}}',
     b'{"model":NaN,"tensors":{}}', b"[" + b"[]," * 10**5],
    ids=range(16),
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


def packed(model, tensors, body=b"", **more):
    """A whole file with this header, and these bytes for its tensors."""
    content = b"".join(container.pack({"model": model, "tensors": tensors, **more}, []))
    return with_checksum(content[:-4] + body)


def numbers(*shape):
    """The bytes of a float32 tensor of twos."""
    return codes.encode(np.full(shape, 2, np.float32))


def test_a_tensor_that_the_network_has_once_is_not_stored_twice(tmp_path):
    linear = {"Linear": {"in_features": 2, "out_features": 2, "bias": False}}
    model = {"Sequential": {"0": linear, "1": {"ref": 1}}}
    twice = {"0.weight": ["float32", 2, 2], "1.weight": ["float32", 2, 2]}
    (tmp_path / "a").write_bytes(packed(model, twice, 2 * numbers(2, 2)))
    with pytest.raises(storage.DamagedFile, match=r"'1.weight' and '0.weight' are one tensor"):
        storage.load(tmp_path / "a")
    once = {"0.weight": ["float32", 2, 2], "1.weight": "0.weight"}
    (tmp_path / "a").write_bytes(packed(model, once, numbers(2, 2)))
    loaded = storage.load(tmp_path / "a")
    assert loaded[0] is loaded[1]
    assert (loaded[0].weight == 2).all()


def test_a_state_dict_has_no_frozen_parameters(tmp_path):
    table = {"a": ["float32", 2]}
    (tmp_path / "a").write_bytes(packed(None, table, numbers(2), frozen=["a"]))
    with pytest.raises(storage.DamagedFile, match="a state dict has no frozen"):
        storage.load(tmp_path / "a")


# Work is known from the header and the length, before it is done


@pytest.fixture
def built(monkeypatch):
    """The names of the classes that were built so far."""
    names = []

    def construct(name, values, real=building._construct):
        names.append(name)
        return real(name, values)

    monkeypatch.setattr(building, "_construct", construct)
    return names


def test_no_more_is_built_than_the_file_has_tensors_for(tmp_path, built):
    one = {"row_shape": [1] * 64, "column_shape": [1] * 64, "rank": 1, "bias": "tt"}
    chain = {str(i): {"lowrank.TTLinear": one} for i in range(10_000)}
    (tmp_path / "a").write_bytes(packed({"Sequential": chain}, {}))
    with pytest.raises(storage.DamagedFile, match="more tensors than the file"):
        storage.load(tmp_path / "a")
    assert built == ["lowrank.TTLinear"]
    built.clear()
    table = {f"0.{name}.{k}": ["float32", *[1] * d] for name, d in (("cores", 4), ("bias_cores", 3))
             for k in range(64)}  # fmt: skip
    body = b"".join(numbers(*shape) for _, *shape in table.values())
    (tmp_path / "a").write_bytes(packed({"Sequential": chain}, table, body))
    with pytest.raises(storage.DamagedFile, match="more tensors than the file"):
        storage.load(tmp_path / "a")
    assert built == ["lowrank.TTLinear"] * 2


@pytest.mark.parametrize("kind", ["group_horseshoe", "tt"])
def test_a_skeleton_computes_nothing_where_torch_is_slow(kind, tmp_path, monkeypatch):
    """Arithmetic on the device meta needs torch's compiler, whose import takes seconds."""
    if kind == "tt":
        model = lowrank.compress(networks.lenet5(), "tt", rank=3)
    else:
        model = bayes.variational(networks.lenet5(), kind)
    storage.save(model, tmp_path / "a")
    monkeypatch.setitem(sys.modules, "torch._dynamo", None)  # now its import fails
    storage.load(tmp_path / "a")


def entropy_of(largest, counts):
    """An entropy-coded array whose stream is empty: it costs nothing to announce."""
    return bytes([codes.ENTROPY]) + bytestream.varint(largest) + bytes(counts) + b"\0"


NEARLY_ONE = entropy_of(1, [255, 1])  # symbols of 10⁻⁶ bits


def test_symbols_that_cost_no_bytes_are_limited_by_the_length(tmp_path, monkeypatch):
    drawn = []

    def decode_symbols(reader, counts, n, dtype, real=entropy.decode_symbols):
        drawn.append(n)
        return real(reader, counts, n, dtype)

    monkeypatch.setattr(entropy, "decode_symbols", decode_symbols)
    path, n = tmp_path / "a", 1 << 28
    path.write_bytes(packed(None, {"a": ["uint8", n]}, NEARLY_ONE))
    for function in (storage.load, storage.decode_state, storage.sizes):
        with pytest.raises(storage.DamagedFile, match=f"announces {n} bytes of tensors, and max"):
            function(path)
    assert not drawn
    limit = container.FREE + container.RATIO * path.stat().st_size
    path.write_bytes(packed(None, {"a": ["uint8", 1 << 16]}, NEARLY_ONE))
    assert not storage.load(path)["a"].any()
    assert drawn == [1 << 16]
    assert limit < 1 << 27


def test_codes_inside_codes_do_not_multiply_the_work(tmp_path, monkeypatch):
    drawn = []

    def spend(reader, n, real=bytestream.Reader.spend):
        drawn.append(n)
        real(reader, n)

    monkeypatch.setattr(bytestream.Reader, "spend", spend)
    n = 1000
    # A codebook whose 200 values are coded too, seven times over, for each of 8 planes.
    values = bytes([codes.RAW, *range(200)])
    nested = (bytes([codes.CODEBOOK]) + bytestream.varint(198) + values) * 5 + NEARLY_ONE
    sparse = bytes([codes.SPARSE, 0]) + bytestream.varint(n - 1) + b"\0"
    for body in (
        bytes([codes.PLANES]) + nested * 8,
        bytes([codes.PLANES]) + (sparse * 7) * 8,
    ):
        drawn.clear()
        (tmp_path / "a").write_bytes(packed(None, {"a": ["float64", n]}, body))
        with contextlib.suppress(storage.DamagedFile):
            storage.load(tmp_path / "a")
        assert sum(drawn) <= container.SYMBOLS * 8 * n + n
    reader = bytestream.Reader(b"")
    reader.symbols = 10
    reader.spend(10)
    with pytest.raises(storage.DamagedFile, match="more symbols are announced"):
        reader.spend(1)


def test_an_alphabet_is_no_larger_than_its_array(tmp_path):
    counts = bytes([1]) + bytes([255, 1]) + b"\0"  # 60,000 of them in four bytes
    body = bytes([codes.ENTROPY]) + bytestream.varint(59_999) + counts + b"\0"
    (tmp_path / "a").write_bytes(packed(None, {"a": ["uint16", 3]}, body))
    with pytest.raises(storage.DamagedFile, match="symbols up to 59999 cannot be 3 of uint16"):
        storage.load(tmp_path / "a")


def test_a_network_of_zeros_that_is_refused_loads_with_a_number(tmp_path):
    size = storage.save({"a": torch.zeros(1 << 25)}, tmp_path / "a")
    assert size < 50
    with pytest.raises(storage.DamagedFile, match="announces 134217728 bytes"):
        storage.load(tmp_path / "a")
    assert len(storage.load(tmp_path / "a", max_bytes=1 << 27)["a"]) == 1 << 25


def test_a_file_is_not_read_where_it_cannot_be_one_of_ours(tmp_path, monkeypatch):
    big = tmp_path / "big"
    with open(big, "wb") as file:
        file.write(container.MAGIC)
        file.truncate(1 << 40)  # a hole
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    monkeypatch.setattr(container.Path, "read_bytes", None)
    for function in (storage.load, storage.decode_state, storage.sizes):
        for limit in ({}, {"max_bytes": 1000}, {"max_bytes": 1 << 39}):
            with pytest.raises(storage.DamagedFile, match="it has 1099511627776 bytes, and max_b"):
                function(big, **limit)
        for name in ("pipe", "link"):
            with pytest.raises(storage.DamagedFile, match="is a device, a pipe or a socket"):
                function(tmp_path / name)


def test_a_limit_is_a_number(files, tmp_path):
    (tmp_path / "a").write_bytes(files[0])
    for function in (storage.load, storage.decode_state, storage.sizes):
        for wrong in (math.nan, -1, -math.inf, np.float32("nan")):
            with pytest.raises(ValueError, match="max_bytes must be a number of at least 0"):
                function(tmp_path / "a", max_bytes=wrong)
        for wrong in ("1000", [1]):
            with pytest.raises(TypeError, match="max_bytes must be a number"):
                function(tmp_path / "a", max_bytes=wrong)
        function(tmp_path / "a", max_bytes=np.int64(10**6))
        function(tmp_path / "a", max_bytes=math.inf)

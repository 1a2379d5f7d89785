"""Codes of arrays: exact, near the entropy, shorter than what one would use otherwise."""

import heapq
import lzma

import numpy as np
import pytest
import torch

from uecompress import data, networks, storage, training
from uecompress.storage import codes, entropy
from uecompress.storage.bytestream import DamagedFile, Reader, varint


def coded(array):
    """The names of the codes and the length, after a round trip that is exact."""
    content = codes.encode(array)
    reader = Reader(content)
    decoded, names = codes.decode(reader, array.shape, array.dtype)
    assert decoded.dtype == array.dtype
    assert decoded.shape == array.shape
    assert decoded.tobytes() == array.tobytes()
    assert reader.position == len(content) <= array.nbytes + 1
    return names, len(content)


def entropy_bytes(symbols):
    counts = np.unique(symbols, return_counts=True)[1]
    return -(counts * np.log2(counts / counts.sum())).sum() / 8


def draw(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("n", [100, 1000])
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("kind", ["ternary", "skewed ternary", "16 levels", "sparse", "sparse, 16"])
def test_length_is_near_the_entropy_beside_the_distinct_values(kind, n, seed):
    g, shape = draw(seed), (n, n)
    levels = g.standard_normal(16).astype(np.float32)
    if "ternary" in kind:
        p = [0.3, 0.4, 0.3] if kind == "ternary" else [0.02, 0.97, 0.01]
        symbols = g.choice(3, shape, p=p)
        array = np.array([-0.3, 0, 0.3], np.float32)[symbols]
    elif kind == "16 levels":
        symbols = np.clip(np.round(3 * g.standard_normal(shape) + 7.5), 0, 15).astype(int)
        array = levels[symbols]
    else:
        ones = g.random(shape) < 0.03
        symbols = ones * (1 if kind == "sparse" else g.integers(1, 17, shape))
        array = np.append(np.float32(0), levels)[symbols]
    codebook = 4 * len(np.unique(symbols))
    _, length = coded(array)
    # The entropy of the symbols, what the distinct values need as they are, and the rest.
    assert length <= 1.02 * entropy_bytes(symbols) + codebook + 64
    if "ternary" in kind:
        assert length <= 1.02 * entropy_bytes(symbols) + 64


@pytest.mark.parametrize(
    ("array", "names"),
    [
        (np.zeros((30, 4), np.float32), ("constant",)),
        (np.full(40, -0.0, np.float32), ("constant",)),
        (np.int64(12345), ("offset",)),
        (np.array([0.1, 0.2, 0.4], np.float32), ("raw",)),
        (np.arange(100, dtype=np.float32) / 8, ("half", "raw")),
        (np.float32(2) ** np.arange(-60, 60, dtype=np.float32), ("bfloat", "raw")),
        (np.float64(2.0) ** -np.arange(30, 70), ("single", "bfloat", "raw")),
        (draw().standard_normal(5000).astype(np.float32), ("planes",)),
        (np.round(9 * draw().standard_normal(5000)).astype(np.int64), ("context",)),
        (np.round(60 * draw().laplace(size=9000)).astype(np.int64), ("offset", "entropy")),
        (np.round(900 * draw().standard_normal(9000)).astype(np.int32), ("offset", "planes")),
        ((draw().random((90, 90)) < 0.05).astype(np.uint8), ("entropy",)),
        (np.where(draw().random(9000) < 0.05, draw(1).standard_normal(9000), 0.0),
         ("sparse", "planes")),
    ],
)  # fmt: skip
def test_each_code_where_it_is_the_shortest(array, names):
    found, length = coded(np.asarray(array))
    assert found == names
    assert length <= array.nbytes + 1


def test_bits_of_odd_floats_survive():
    g = draw()
    for kind in ("<f2", "<f4", "<f8"):
        size = np.dtype(kind).itemsize
        patterns = g.integers(0, 256, (40, size), dtype=np.uint8)
        few = patterns[g.integers(0, 5, 300)]
        for raw in (patterns, few, np.concatenate([few, np.zeros((3000, size), np.uint8)])):
            coded(np.ascontiguousarray(raw).view(kind).ravel())
    special = np.array([np.nan, -np.nan, np.inf, -np.inf, -0.0, 0.0, 5e-45, 65504], np.float32)
    coded(np.repeat(special, 100))
    coded(special.astype(np.float16))


@pytest.mark.parametrize("dtype", ["i1", "<i2", "<i4", "<i8", "u1", "<u2", "<u4", "<u8"])
def test_integers_at_their_limits(dtype):
    limits = np.iinfo(dtype)
    for low, high in [(limits.min, limits.max), (limits.max - 3, limits.max), (0, 1),
                      (limits.min, limits.min + 2), (limits.max, limits.max)]:  # fmt: skip
        coded(np.array([low, high] * 30, dtype))
    coded(np.zeros((0, 3), dtype))


def test_rows_and_columns_of_different_density_make_a_mask_shorter():
    """Against the entropy of the mask with its true probabilities, and with a single one."""
    for seed in range(3):
        g = draw(seed)
        rows, columns = g.gamma(0.5, 1, (300, 1)), g.gamma(0.3, 1, (1, 784))
        p = np.minimum(0.02 * rows * columns / (rows.mean() * columns.mean()), 0.9)
        mask = g.random(p.shape) < p
        for m in (mask, mask.T):
            content = entropy.encode_mask(m)
            assert np.array_equal(entropy.decode_mask(Reader(content), m.shape), m)
            flat = entropy_bytes(m)
            ideal = -np.log2(np.where(mask, p, 1 - p)).sum() / 8
            assert content[0] > 0
            assert ideal < len(content) < 0.85 * flat


def huffman_bits(counts):
    """The bits of a Huffman code of symbols with these counts."""
    heap, bits = [int(c) for c in counts if c], 0
    heapq.heapify(heap)
    while len(heap) > 1:
        pair = heapq.heappop(heap) + heapq.heappop(heap)
        bits += pair
        heapq.heappush(heap, pair)
    return bits


def han_bytes(weight, gap_bits=5):
    """What Han et al. (2016) need for a sparse weight: Huffman codes of values and of gaps.

    The gap before a non-zero value is stored in 5 bits; where it is 32 or longer, padding zeros are
    stored as values of their own. Counted are the two Huffman-coded streams, the codebook as
    float32, and one byte, a code's length, for each entry of both Huffman tables.
    """
    positions = np.flatnonzero(weight)
    gaps = np.diff(positions, prepend=-1) - 1
    span = 1 << gap_bits
    padding = int((gaps // span).sum())
    gaps = np.bincount(np.append(gaps % span, [span - 1] * padding), minlength=span)
    values = np.unique(weight.ravel()[positions], return_counts=True)[1]
    bits = huffman_bits(np.append(values, padding)) + huffman_bits(gaps)
    return bits / 8 + 4 * len(values) + len(values) + 1 + span


@pytest.fixture(scope="module")
def pruned():
    """LeNet-300-100 trained on the digits, its smallest 98 % set to zero, 32 levels a layer."""
    x, y = data.load("digits", "train")
    model = training.fit(networks.lenet300(), (x, y), epochs=10, batch_size=64, lr=1e-3, seed=0,
                         progress=False)  # fmt: skip
    for layer in (model.linear1, model.linear2, model.linear3):
        weight = layer.weight.detach().numpy()
        keep = np.abs(weight) > np.quantile(np.abs(weight), 0.98)
        values = weight[keep].astype(np.float64)
        levels = np.linspace(values.min(), values.max(), 32)  # Han's linear start, then Lloyd
        for _ in range(20):
            index = np.abs(values[:, None] - levels).argmin(1)
            count = np.bincount(index, minlength=32)
            levels = np.where(count, np.bincount(index, values, 32) / np.maximum(count, 1), levels)
        result = np.zeros_like(weight)
        result[keep] = levels[index]
        layer.weight.data = torch.from_numpy(result)
    return model


def test_a_pruned_lenet_is_smaller_than_in_other_formats(pruned, tmp_path):
    size = storage.save(pruned, tmp_path / "a")
    state = {name: tensor.numpy() for name, tensor in pruned.state_dict().items()}
    raw = b"".join(array.tobytes() for array in state.values())
    han = sum(han_bytes(a) if a.ndim == 2 else a.nbytes for a in state.values())
    assert size < 0.9 * han
    assert size < 0.65 * len(lzma.compress(raw, preset=9))


def test_a_pruned_lenet_is_smaller_than_with_zstd(pruned, tmp_path):
    zstandard = pytest.importorskip("zstandard")
    raw = b"".join(tensor.numpy().tobytes() for tensor in pruned.state_dict().values())
    assert storage.save(pruned, tmp_path / "a") < 0.65 * len(zstandard.compress(raw, 19))


def test_a_bad_network_is_never_much_longer_than_its_tensors(tmp_path):
    noise = torch.randint(-(2**31), 2**31, (300, 300)).int().view(torch.float32)
    layer = torch.nn.Linear(300, 300, bias=False)
    layer.weight.data = noise
    assert storage.save(layer, tmp_path / "a") <= 4 * 300 * 300 + 64


def test_what_was_written_once_stays_readable():
    """Bytes of version 1, half > codebook > entropy and a mask with learned columns."""
    i, j = np.indices((10, 12))
    n = 12 * i + j
    mask = (n * 7919 % 31 < 4) | ((j < 4) & ((4 * i + j) % 3 == 0))
    values = np.where(mask, np.where(n % 5 < 2, -0.5, 0.25), 0)
    content = bytes.fromhex("070401000000003400b80202230d0f12f6659c209e5619cf4f159ea5f386fa647b10")
    array, names = codes.decode(Reader(content), (10, 12), np.float32)
    assert names == ("half", "codebook", "entropy")
    assert np.array_equal(array, values)
    lines = b"\1\0" + bytes(entropy.nearest_level(mask.sum(1), entropy.COARSE))
    content = lines + bytes.fromhex("0fad6c0909e30d8cb3bfa4f942a0ef50")
    assert np.array_equal(entropy.decode_mask(Reader(content), (10, 12)), mask)


def test_quantized_counts():
    assert entropy.FINE[:20].tolist() == [*range(16), 16, 18, 20, 22]
    assert entropy.COARSE[:10].tolist() == [0, 1, 2, 3, 4, 6, 8, 12, 16, 24]
    counts = np.unique(np.geomspace(1, 1e9, 999).astype(np.int64))
    for table, error in ((entropy.FINE, 1 / 16), (entropy.COARSE, 1 / 4)):
        stored = table[entropy.nearest_level(counts, table)]
        assert (np.abs(stored - counts) <= error * counts).all()
        assert stored.min() == 1


def test_codes_that_are_never_written_are_refused():
    """Sparse without a value to place, and NaN in a narrower format."""
    for shape in ((0, 3), (3, 0), (0,)):
        content = bytes([codes.NAMES.index("sparse"), 0, 0, 0, 0])
        with pytest.raises(DamagedFile, match="mask of 0 entries"):
            codes.decode(Reader(content), shape, np.dtype("<f4"))
    nan = {"half": (np.float16, "<f4"), "single": (np.float32, "<f8")}
    for name, (narrow, wide) in nan.items():
        content = bytes([codes.NAMES.index(name)]) + codes.encode(np.array([1, np.nan], narrow))
        with pytest.raises(DamagedFile, match=f"NaN has no code {name}"):
            codes.decode(Reader(content), (2,), np.dtype(wide))


def test_varints():
    for value in (0, 1, 127, 128, 300, 2**63):
        content = varint(value)
        reader = Reader(content)
        assert reader.varint() == value
        assert reader.position == len(content)
    assert varint(300) == b"\xac\x02"
    with pytest.raises(DamagedFile, match="more than ten bytes"):
        Reader(b"\xff" * 20).varint()
    with pytest.raises(DamagedFile, match="1 bytes are announced where 0 are left"):
        Reader(b"\xff").varint()

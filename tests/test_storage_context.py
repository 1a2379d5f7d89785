"""The code that learns from neighbours: exact, the same everywhere, shorter than the entropy."""

import hashlib
import math
import os
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from uecompress.storage import codebooks, codes, context, dictionary, mixing, neighbours
from uecompress.storage.bytestream import DamagedFile, Reader


def draw(seed=0):
    return np.random.default_rng(seed)


def correlated(shape=(60, 80), levels=16, seed=0):
    """Symbols in which neighbours are alike."""
    x = draw(seed).standard_normal(shape)
    for axis in (0, 1):
        x = x + np.roll(x, 1, axis) + 0.5 * np.roll(x, 2, axis)
    return np.clip(np.round(x / x.std() * levels / 5 + levels / 2), 0, levels - 1).astype(int)


def numbers(levels, zero=None):
    return (np.arange(levels) - (levels // 2 if zero is None else zero)) * 100


def zero_order(symbols):
    counts = np.unique(symbols, return_counts=True)[1]
    return -(counts * np.log2(counts / counts.sum())).sum() / 8


@pytest.mark.parametrize(
    "shape",
    [(2,), (5,), (1, 7), (7, 1), (3, 40), (40, 3), (6, 5, 3, 3), (2, 2, 2, 2), (1, 1300), (1300, 1),
     (19, 23), (131,)],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize(("levels", "zero"), [(2, 0), (2, 1), (3, 1), (5, 9), (33, 16), (256, 100)])
def test_symbols_come_back(shape, levels, zero):
    symbols = draw().integers(0, levels, shape)
    symbols[draw(1).random(shape) < 0.5] = min(zero, levels - 1)
    stream = context.encode(symbols, numbers(levels, zero))
    reader = Reader(stream)
    if context.affordable(shape, len(stream) - 8):
        assert np.array_equal(context.decode(reader, shape, numbers(levels, zero)), symbols)
        assert reader.position == len(stream)


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", "|i1", "<i4", "<i8", "|u1", "<u2", "<u8"])
def test_arrays_come_back_to_the_bit(dtype):
    values = np.unique((40 * draw().standard_normal(20) + 120).astype(dtype))
    array = values[np.minimum(correlated(levels=len(values)), len(values) - 1)]
    code = codes.encode(array)
    decoded, names = codes.decode(Reader(code), array.shape, array.dtype)
    assert decoded.tobytes() == array.tobytes()
    assert names[-1] == "context"


def test_odd_floats_and_the_two_zeros_come_back():
    odd = np.array([np.nan, -np.inf, -3e38, -0.0, 0.0, 1e-45, 1e-38, 2.0], "<f4")
    odd.view("<u4")[0] = 0x7F800001  # a signalling NaN
    array = odd[correlated(levels=8)]
    decoded, names = codes.decode(Reader(codes.encode(array)), array.shape, array.dtype)
    assert decoded.tobytes() == array.tobytes()
    assert names == ("context",)


def test_neighbours_beat_the_entropy_and_cost_little_where_they_say_nothing():
    alike = correlated((100, 100))
    assert len(context.encode(alike, numbers(16))) < 0.9 * zero_order(alike)
    mixed = draw().permuted(alike.ravel()).reshape(alike.shape)
    assert zero_order(mixed) < len(context.encode(mixed, numbers(16))) < 1.02 * zero_order(mixed)


def test_the_length_is_that_of_the_probabilities(monkeypatch):
    """−log2 of each probability that was used, summed in float64, is the length of the stream."""
    bits = []

    class Witness(mixing.Mixer):
        def predict(self, *arguments):
            self.p = super().predict(*arguments)
            return self.p

        def learn(self, decisions):
            p = self.p / 65536
            bits.append(-np.log2(np.where(decisions, p, 1 - p)).sum())
            super().learn(decisions)

    monkeypatch.setattr(context, "Mixer", Witness)
    for symbols, levels in ((correlated(), 16), (draw().integers(0, 3, (9, 11)), 3)):
        bits.clear()
        head = 10  # distance, coefficients, mean, share, length; the coder itself takes 3
        length = len(context.encode(symbols, numbers(levels)))
        assert sum(bits) / 8 < length < sum(bits) / 8 + head + 3.5


def test_the_logistic_function_and_its_inverse_as_integers():
    x = np.arange(-2047, 2048)
    exact = 65536 / (1 + np.exp(-x / 256))
    assert (np.abs(mixing.squash(x) - exact) <= 0.5 + 1e-9).all()
    assert mixing.squash(np.array([-(10**6), 10**6])).tolist() == [22, 65514]
    table = mixing._tables()[1]
    p = (np.arange(4096) + 0.5) / 4096
    inside = (p > 1 / 1000) & (p < 999 / 1000)
    assert (np.abs(table - 256 * np.log(p / (1 - p)))[inside] <= 2).all()


def test_coefficients_are_those_of_least_squares():
    x = 500 * (correlated((40, 64)) - 8)
    distance, found = neighbours.fit(x)
    shifted = [np.pad(x, ((0, 0), (d, 0)))[:, :64].ravel() for d in neighbours.lags(distance)]
    expected = np.linalg.lstsq(np.array(shifted, float).T, x.ravel(), rcond=None)[0]
    assert np.allclose(np.array(found) / 64, expected, atol=0.02)
    assert neighbours.fit(draw().integers(-9, 10, (40, 64)))[1] == []


def test_the_distance_to_the_pixel_above_is_found():
    image = draw().standard_normal((30, 8, 19))
    for _ in range(2):
        image[:, 1:] += image[:, :-1]
    x = np.rint(100 * image).astype(int).reshape(30, -1)
    assert neighbours.fit(x)[0] == 19


@pytest.mark.parametrize("shape", [(10**6,), (1, 10**6), (10**6, 1), (4, 250_000), (1000, 1000)])
def test_waves_are_few(shape):
    rows, columns = neighbours.folded(shape)
    assert math.prod(shape) <= rows * columns < math.prod(shape) + columns
    assert rows + columns < 5100


def test_bytes_are_the_same_with_other_instructions_and_threads():
    program = (
        "import hashlib, sys; sys.path.insert(0, sys.argv[1]);"
        "import test_storage_context as t;"
        "print(hashlib.sha256(t.context.encode(t.correlated(), t.numbers(16))).hexdigest())"
    )
    here = hashlib.sha256(context.encode(correlated(), numbers(16))).hexdigest()
    features = " ".join(
        name for name, there in np._core._multiarray_umath.__cpu_features__.items()
        if there and name in np._core._multiarray_umath.__cpu_dispatch__
    )  # fmt: skip
    settings = {"NPY_DISABLE_CPU_FEATURES": features, "OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-c", program, str(Path(__file__).parent)]
    there = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True)
    assert there.stdout.strip() == here, there.stderr


def test_what_was_written_once_stays_readable():
    """Bytes of version 2, and the dictionaries of both versions."""
    array = np.array([-0.5, 0, 0.25, 1], np.float64)[correlated((12, 10), 4)]
    content = bytes.fromhex(
        "09070a02269c0900c000000357ce1b0f126374ac849b7b11e5ab788fcc39a98b83ff8d555cf2f407db11"
    )
    assert codes.encode(array) == content
    decoded, names = codes.decode(Reader(content), (12, 10), np.dtype("<f8"))
    assert names == ("single", "half", "context")
    assert np.array_equal(decoded, array)
    assert zlib.crc32(dictionary.VERSION_1) == 3228891921
    assert zlib.crc32(dictionary.VERSION_2) == 3989737660


def test_a_grid_is_two_numbers():
    scale = np.float32(0.0371)
    grid = (np.arange(-100, 101) * np.float64(scale)).astype("<f4")
    assert len(codebooks.encode(grid, codes.encode)) <= 12
    again = codebooks.decode(Reader(codebooks.encode(grid, codes.encode)), 201, grid.dtype, plain)
    assert again.tobytes() == grid.tobytes()


def plain(shape, dtype):
    return np.ones(shape, dtype)


def test_an_uneven_codebook_costs_23_bits_a_float():
    for seed in range(5):
        gaps = draw(seed).uniform(0.03, 0.09, 33)
        values = (np.cumsum(gaps) - 1).astype("<f4")
        code = codebooks.encode(values, codes.encode)
        assert len(code) < 33 * 23 / 8
        assert codebooks.decode(Reader(code), 33, values.dtype, plain).tobytes() == values.tobytes()


def test_damaged_streams_are_refused_or_are_symbols():
    array = (0.1 * draw().standard_normal(9)).astype("<f4")[correlated((20, 30), 9)]
    code, g, outcomes = codes.encode(array), draw(), []
    assert code[0] == codes.CONTEXT
    for _ in range(300):
        damaged = bytearray(code)
        for _ in range(g.integers(1, 4)):
            damaged[g.integers(len(code) if g.random() < 0.5 else 12)] = g.integers(256)
        if g.random() < 0.3:
            damaged = damaged[: g.integers(len(code))]
        try:
            outcomes.append(codes.decode(Reader(damaged), (20, 30), array.dtype)[0].shape)
        except DamagedFile:
            outcomes.append(None)
    assert set(outcomes) == {None, (20, 30)}


def test_few_bytes_cannot_cost_much_time():
    head = bytes([5, 20])
    for shape, message in (
        ((10**6,), "too few"), ((1000, 1000), "too few"), ((2, 500), "too few"),
        ((2000, 1000), "no code"), ((0, 3), "no code"),
    ):  # fmt: skip
        with pytest.raises(DamagedFile, match=message):
            context.decode(Reader(head + bytes([10, *range(1, 11)])), shape, np.array([-5, 5]))
    with pytest.raises(DamagedFile, match="above another"):
        context.decode(Reader(bytes([2, 20, 1, 1])), (3, 3), np.array([-5, 5]))
    with pytest.raises(DamagedFile, match="a mean of"):
        context.decode(Reader(bytes([5, 255, 1, 1])), (3, 3), np.array([-5, 5]))

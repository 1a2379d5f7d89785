"""The kept networks against DeepCABAC: lengths by NNCodec 2.1.3, as data/results/deepcabac.json has
them, of the indices; a value of a codebook counts two bytes unless a test says otherwise."""

import math
from dataclasses import dataclass

import numpy as np
import pytest

from uecompress import data, storage
from uecompress.storage import codebooks, codes, context, entropy, neighbours

RECORDED = data.results("deepcabac")["results"]
FOLDER = data.folder() / "results" / "bayesian"
# Small networks whose codebooks of float32 cost more than the streams gain.
ABOVE = {f"lenet5-group_horseshoe-{seed}" for seed in range(2)} | {
    f"lenet5-sparse_vd-{seed}" for seed in range(3)
}


@dataclass
class Lengths:
    """Bytes of the weights of a network: by our code, the codebooks' part, DeepCABAC's indices."""

    ours: int
    books: int
    indices: int
    values: int


@pytest.fixture(scope="module")
def lengths():
    """Read from the files; the symbols, which would take a minute, are not decoded."""
    counts, books, decode = [], [], codebooks.decode

    def book(reader, count, dtype, array):
        start, values = reader.position, decode(reader, count, dtype, array)
        if dtype.kind == "f":
            counts.append(count), books.append(reader.position - start)
        return values

    def skip(reader, shape, numbers):
        context._Waves(neighbours.folded(shape), math.prod(shape), numbers, reader)  # its head
        entropy.coder_of(reader)
        return np.zeros(shape, np.int64)

    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codebooks, "decode", book)
        patch.setattr(context, "decode", skip)
        for name, tensors in RECORDED.items():
            counts.clear(), books.clear()
            ours = storage.sizes(FOLDER / f"{name}.uec").set_index("tensor").bytes
            assert counts == [values for _, values in tensors.values()]
            indices = sum(length for length, _ in tensors.values())
            found[name] = Lengths(int(ours[[*tensors]].sum()), sum(books), indices, sum(counts))
    return found


def test_every_kept_network_has_its_record():
    assert RECORDED.keys() == {path.stem for path in FOLDER.iterdir()}


def test_all_together_are_a_fifteenth_shorter(lengths):
    ours = sum(each.ours for each in lengths.values())
    theirs = sum(each.indices + 2 * each.values for each in lengths.values())
    assert 0.93 < ours / theirs < 0.935


def test_each_is_shorter_but_five_small_ones_with_long_codebooks(lengths):
    ratios = {k: each.ours / (each.indices + 2 * each.values) for k, each in lengths.items()}
    assert {name for name, ratio in ratios.items() if ratio > 1} == ABOVE
    assert 1.005 < min(ratios[name] for name in ABOVE) < max(ratios.values()) < 1.024


def test_each_is_shorter_with_the_codebooks_of_both_coded_alike(lengths):
    ratios = {k: each.ours / (each.indices + each.books) for k, each in lengths.items()}
    assert max(ratios.values()) < 0.99
    assert 21 < 8 * lengths["lenet5-sparse_vd-1"].books / lengths["lenet5-sparse_vd-1"].values < 23


@pytest.mark.parametrize("name", sorted(ABOVE))
def test_the_five_are_shorter_once_a_value_has_the_16_bits_that_are_counted(name):
    state, ours, theirs = storage.decode_state(FOLDER / f"{name}.uec"), 0, 0
    for tensor, (indices, values) in RECORDED[name].items():
        rounded = state[tensor].astype("<f2").astype("<f4")
        assert len(np.unique(rounded)) == values
        ours += len(codes.encode(rounded))
        theirs += indices + 2 * values
    assert ours / theirs < (0.91 if "horseshoe" in name else 0.955)


@pytest.mark.parametrize("name", ["lenet300-sparse_vd-0", "lenet5-group_horseshoe-0"])
def test_a_kept_file_is_what_is_written_today(name, tmp_path):
    kept = FOLDER / f"{name}.uec"
    storage.save(storage.load(kept), tmp_path / "again.uec")
    assert (tmp_path / "again.uec").read_bytes() == kept.read_bytes()

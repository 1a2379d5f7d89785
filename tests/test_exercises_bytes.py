"""The exercises of "What a byte buys": the right answers, and what is said about wrong ones."""

import math

import pytest
import torch

from uecompress import bench
from uecompress.exercises import bytes as bytes_
from uecompress.exercises import check


@pytest.fixture
def says(capsys):
    def ask(label, answer, **page):
        check(f"ex-bytes-{label}", answer, **page)
        return capsys.readouterr().out.strip()

    return ask


def test_positions(says):
    p = 0.01
    h = -p * torch.tensor(p).log2() - (1 - p) * torch.tensor(1 - p).log2()
    assert says("positions", [100, 4e6 / ((1e6 * h.item() + 3e4) / 8)]) == "✓ correct"
    assert says("positions", [100, 290]) == "✓ close: to more digits it is [100, 288.8]"
    assert "positions cost" in says("positions", [100, 4e6 / 3750])
    assert "positions alone" in says("positions", [100, 4e6 / 10_099])
    assert "not bytes" in says("positions", [100, 4e6 / 110_793])
    assert "4 bytes per parameter" in says("positions", [100, 72.2])
    assert "first the ratio of parameters" in says("positions", [288.8, 100])


def test_neighbours(says):
    told = -0.9 * math.log2(0.9) - 0.1 * math.log2(0.1)
    assert says("neighbours", [1, told]) == "✓ correct"
    assert says("neighbours", (1, 0.47)) == "✓ close: to more digits it is [1, 0.469]"
    assert "that differ" in says("neighbours", [1, 0.1368])
    assert "saves" in says("neighbours", [1, 0.531])
    assert "nats" in says("neighbours", [0.6931, 0.3251])
    assert "first without" in says("neighbours", [told, 1])


def loop(weight, bits):
    """Counts as a reader would, weight after weight."""
    count = zeros = 0
    for value in weight.flatten().tolist():
        if value:
            count, zeros = count + 1, 0
        else:
            zeros += 1
            if zeros == 2**bits:  # only a filler if a weight follows, which the end does not know
                count, zeros = count + 1, 0
    places = weight.flatten().nonzero().flatten().tolist()
    behind = weight.numel() - 1 - places[-1] if places else weight.numel()
    return count - behind // 2**bits


def test_runs(says):
    assert says("runs", loop) == "✓ correct"
    assert "need fillers" in says("runs", lambda w, bits: (w != 0).sum())
    assert "behind the last weight" in says(
        "runs", lambda w, bits: loop(torch.cat([w.flatten(), torch.ones(1)]), bits) - 1
    )
    assert "next row" in says("runs", lambda w, bits: sum(loop(r, bits) for r in w.flatten(0, -2)))
    assert "not for 31" in says("runs", lambda w, bits: bytes_._pairs(w, bits, 2**bits - 1))
    assert "for shape (1, 60), weights at [3, 4, 20] and 3 bits: 7 is too large" in says(
        "runs", lambda w, bits: loop(w, bits) + 3
    )


def test_thresholds():
    network = bench.dense(0)
    expected = bytes_.thresholds(network)
    assert expected.judge(expected.right) == (True, "correct")
    assert expected.right < 0.7  # far below one threshold for all layers
    only_cut, _, dense, one_threshold = expected.wrong.values()
    assert 0.88 < one_threshold < dense
    assert "only cut" in expected.judge(only_cut)[1]
    assert "you began with" in expected.judge(dense)[1]
    assert "one threshold" in expected.judge(one_threshold)[1]

import base64
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest

from uecompress import plotting


@pytest.fixture
def axis():
    figure, axis = plt.subplots()
    yield axis
    plt.close(figure)


def test_a_spread_is_the_mean_and_the_range_of_the_runs(axis):
    plotting.spread(axis, [0, 1], [[0.0, 3.0], [2.0, 5.0]], "two runs")
    assert axis.lines[0].get_ydata().tolist() == [1, 4]
    low, high = axis.collections[0].get_paths()[0].get_extents().get_points()[:, 1]
    assert (low, high) == (0, 5)


def test_a_guess_is_a_line_where_the_reader_put_it(axis):
    plotting.guess(axis, y=...)
    assert not axis.lines  # nobody has guessed yet
    plotting.guess(axis, y=np.float64(0.25))
    assert axis.lines[0].get_ydata() == [0.25, 0.25]
    with pytest.raises(ValueError, match="either x or y"):
        plotting.guess(axis)
    with pytest.raises(TypeError, match="the guess must be a number, not 'half'"):
        plotting.guess(axis, x="half")


def test_only_real_numbers_are_drawn(axis):
    with pytest.raises(TypeError, match="runs must be real numbers, not complex"):
        plotting.spread(axis, [0, 1], [[0j, 1j]], "runs")
    with pytest.raises(TypeError, match="x must be real numbers, not complex"):
        plotting.spread(axis, [0j, 1j], [[0, 1]], "runs")
    row = {"name": "a", "bytes": 10, "accuracy": 0.9, "nll": "low", "auroc": 0.5}
    with pytest.raises(TypeError, match="nll must be real numbers"):
        plotting.against_bytes([row])
    with pytest.raises(ValueError, match="auroc was not measured for 'a'"):
        plotting.against_bytes([row | {"auroc": None}])
    plt.close("all")


def test_a_slider_holds_a_picture_for_each_value_and_shows_one():
    def draw(value):
        figure, axis = plt.subplots(figsize=(2, 1))
        axis.set_title(str(value))
        return figure

    drawn = plotting.slider(draw, [1, 2, 5], label="rank <r>", alt="A & B.", start=1)
    page = drawn._repr_html_()
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)"( hidden)?>', page)
    assert [hidden for _, hidden in pictures] == [" hidden", "", " hidden"]
    assert len({picture for picture, _ in pictures}) == 3
    assert all(base64.b64decode(p).startswith(b"\x89PNG") for p, _ in pictures)
    assert 'alt="A &amp; B. Here rank &lt;r&gt; is 5."' in page
    assert "<output>2</output>" in page
    assert "<script" not in page
    assert "http" not in page
    assert plt.get_fignums() == []
    assert repr(drawn) == "a slider: rank <r> from 1 to 5"


def test_a_slider_refuses_what_it_cannot_show():
    with pytest.raises(ValueError, match="at least two values"):
        plotting.slider(plt.figure, [1], label="rank", alt="A.")
    with pytest.raises(ValueError, match="start must be"):
        plotting.slider(plt.figure, [1, 2], label="rank", alt="A.", start=2)

import threading

import pytest
import torch

from uecompress.randomness import seeded


def draw(n=4):
    return torch.rand(n)


def test_inside_the_seed_decides_and_afterwards_all_is_as_before():
    torch.manual_seed(7)
    expected = torch.manual_seed(3) and draw()
    torch.manual_seed(7)
    state = torch.get_rng_state()
    with seeded(3):
        assert torch.equal(draw(), expected)
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(RuntimeError, match="negative"), seeded(3):
        torch.rand(draw().argmin() - 9)
    assert torch.equal(torch.get_rng_state(), state)


def test_one_inside_another_draws_on_where_it_was():
    with seeded(3):
        expected = draw(), draw()
    with seeded(3):
        first = draw()
        with seeded(4):
            draw()
        second = draw()
    assert torch.equal(first, expected[0])
    assert torch.equal(second, expected[1])


def test_threads_wait_for_one_another():
    drawn, inside = {}, threading.Event()

    def other():
        inside.wait()
        with seeded(4):
            drawn["other"] = draw()

    thread = threading.Thread(target=other)
    thread.start()
    with seeded(3):
        first = draw()
        inside.set()
        thread.join(0.05)
        assert not drawn
        second = draw()
    thread.join()
    with seeded(3):
        assert torch.equal(torch.cat([first, second]), torch.cat([draw(), draw()]))
    with seeded(4):
        assert torch.equal(drawn["other"], draw())


@pytest.mark.parametrize(
    ("seed", "error"), [(None, TypeError), (-1, ValueError), (0.5, ValueError)]
)
def test_what_is_no_seed(seed, error):
    with pytest.raises(error, match="seed must be"), seeded(seed):
        pass

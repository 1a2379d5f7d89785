"""Costs of a prediction against closed forms and torch's own counter."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize, prune
from torch.utils.flop_counter import FlopCounterMode

from uecompress import networks
from uecompress import uncertainty as u
from uecompress.ensembles import Stacked, mc_dropout
from uecompress.lowrank import svd_linear
from uecompress.uncertainty import cost


def mlp():
    return nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 5))


def images(n):
    return torch.rand(n, 1, 28, 28, generator=torch.Generator().manual_seed(0))


X = torch.rand(6, 10, generator=torch.Generator().manual_seed(0))

# --- multiply-adds -----------------------------------------------------------------------------

LENET5 = 24 * 24 * 20 * 25 + 8 * 8 * 50 * 20 * 25 + 800 * 500 + 500 * 10


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (networks.lenet300(), 784 * 300 + 300 * 100 + 100 * 10),
        (networks.lenet5(), LENET5),  # 2,293,000
        (networks.mlp(), 784 * 200 + 2 * 200 * 200 + 200 * 10),
        (networks.Ensemble([networks.lenet5(seed=s) for s in range(3)]), 3 * LENET5),
        (
            nn.Sequential(
                nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.Conv2d(4, 8, 3, groups=2), nn.Flatten()
            ),
            14 * 14 * 4 * 9 + 12 * 12 * 8 * 9 * 2,
        ),
    ],
)
def test_multiply_adds_in_closed_form(model, expected):
    assert u.multiply_adds(model, images(3)) == expected
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        copy.deepcopy(model).eval()(images(1))
    assert counter.get_total_flops() == 2 * expected


def test_multiply_adds_of_our_layers():
    factors = svd_linear(nn.Linear(10, 20), 3)
    assert u.multiply_adds(factors, X) == 3 * (10 + 20)
    models = [networks.mlp(width=7, seed=s) for s in range(2)]
    assert u.multiply_adds(Stacked(models), images(4)) == 2 * (784 * 7 + 2 * 49 + 70)


def test_every_weight_sample_counts():
    model = networks.mlp()
    once = u.multiply_adds(model, images(2))
    assert u.multiply_adds(mc_dropout(model), images(2)) == once
    assert u.multiply_adds(mc_dropout(model), images(2), samples=7) == 7 * once
    pair = mc_dropout(networks.Ensemble([model, networks.mlp(seed=1)]))
    assert u.multiply_adds(pair, images(2), samples=7) == 14 * once


def test_zeros_are_multiplied_too():
    model = mlp()
    nn.init.zeros_(model[0].weight)
    assert u.multiply_adds(model, X) == 300


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (lambda a, v: a @ v, 12),
        (lambda a, v: torch.addmv(torch.zeros(3), a, v), 12),
        (lambda a, v: v @ v, 4),
        (lambda a, v: torch.einsum("ij,kj->ik", a, a), 36),
        (lambda a, v: torch.tensordot(a, a, ([0], [0])), 48),
        (lambda a, v: torch.addbmm(torch.zeros(3, 2), a.expand(5, 3, 4), torch.ones(5, 4, 2)), 120),
        (lambda a, v: a * a, 0),
    ],
)
def test_products_in_other_forms(expression, expected):
    class Layer(nn.Module):
        def forward(self, x):
            expression(torch.ones(3, 4), torch.ones(4))
            return x

    assert u.multiply_adds(Layer(), X[:1]) == expected
    assert u.multiply_adds(Layer(), X) == expected / len(X)  # once for the whole batch


# --- memory ------------------------------------------------------------------------------------


def test_peak_memory_in_closed_form():
    weights, x = 10 * 20 + 20 + 20 * 5 + 5, 6 * 10
    assert u.peak_memory(mlp(), X) == 4 * (weights + x + 6 * 20 + 6 * 20)  # before and after ReLU
    assert u.peak_memory(mlp().double(), X.double()) == 8 * (weights + x + 6 * 20 + 6 * 20)
    in_place = mlp()
    in_place[1].inplace = True
    assert u.peak_memory(in_place, X) == 4 * (weights + x + 6 * 20 + 6 * 5)
    shared = nn.Sequential(layer := nn.Linear(10, 10), layer)
    assert u.peak_memory(shared, X) == 4 * (110 + 3 * 60)
    assert u.peak_memory(nn.Flatten(), X) == 4 * 60  # a view


def test_peak_memory_counts_buffers_and_every_member():
    one = nn.Sequential(nn.BatchNorm1d(10), nn.Linear(10, 5))
    tensors = 4 * (4 * 10 + 50 + 5) + 8  # num_batches_tracked is an int64
    assert u.peak_memory(one, X) == tensors + 4 * (60 + 60 + 30)
    pair = networks.Ensemble([one, copy.deepcopy(one)])
    # the logits of the first member wait while the second computes
    assert u.peak_memory(pair, X) == 2 * tensors + 4 * (60 + 30 + 60 + 30)


def test_peak_memory_is_of_the_batch_given_and_always_the_same():
    model, x = networks.cnn(), images(50)
    first = u.peak_memory(model, x[:1])
    assert u.peak_memory(model, x[:1]) == u.peak_memory(model, images(1)) == first
    steps = {n: u.peak_memory(model, x[:n]) for n in (2, 3)}
    assert steps[3] - steps[2] == steps[2] - first > 0
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert u.peak_memory(model, x[:1]) == first
    finally:
        torch.set_num_threads(threads)


# --- time --------------------------------------------------------------------------------------


@pytest.mark.parametrize("samples", [None, 2])
def test_latency(samples):
    model = mc_dropout(nn.Sequential(nn.Linear(10, 5), nn.Dropout(0.5))).train()
    seen, before = [], torch.get_num_threads()

    def watch(module, inputs):
        seen.append((len(inputs[0]), module.training))

    model.register_forward_pre_hook(watch)
    low, median, high = u.latency(model, X, batch_size=8, samples=samples, repeats=5, threads=2)
    assert 0 < low <= median <= high
    assert seen.count((8, False)) == (2 + 5) * (samples or 1)
    assert model.training
    assert torch.get_num_threads() == before


def test_threads_are_given_back_after_an_error():
    class Fragile(nn.Linear):
        def forward(self, x):
            if len(x) > 1:
                raise RuntimeError("too many")
            return super().forward(x)

    before = torch.get_num_threads()
    with pytest.raises(RuntimeError, match="too many"):
        u.latency(Fragile(10, 5), X, batch_size=2, threads=before + 1)
    assert torch.get_num_threads() == before


# --- non-zero numbers --------------------------------------------------------------------------


class Half(nn.Module):
    def forward(self, weight):
        return weight * (torch.arange(weight.shape[1]) % 2)


def test_nonzero_numbers():
    assert u.nonzero_count(nn.Linear(10, 5)) == 55
    layer = nn.Linear(10, 5)
    layer.weight.data[:, :4] = 0
    assert u.nonzero_count(layer) == 35
    shared = nn.Sequential(layer, layer)
    assert u.nonzero_count(shared) == 35
    tied = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    tied[1].weight = tied[0].weight
    assert u.nonzero_count(tied) == 16 + 4 + 4


def test_masked_weights_count_with_their_value():
    layer = parametrize.register_parametrization(nn.Linear(10, 5), "weight", Half())
    assert u.nonzero_count(layer) == 25 + 5
    assert u.nonzero_count(nn.Sequential(layer, nn.ReLU())) == 30
    layer = prune.l1_unstructured(nn.Linear(10, 5), "weight", amount=20)
    assert u.nonzero_count(layer) == 30 + 5


def test_buffers_that_are_weights_count_and_statistics_do_not():
    class Codes(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("codes", torch.tensor([0, 3, -1, 0], dtype=torch.int8))
            self.register_buffer("scale", torch.tensor(0.1))
            self.register_buffer("rebuilt", torch.ones(100), persistent=False)

    assert u.nonzero_count(Codes()) == 3
    norm = nn.BatchNorm1d(7)
    nn.init.ones_(norm.bias)
    assert u.nonzero_count(norm) == networks.parameter_count(norm) == 14


def test_what_a_parametrization_is_made_of_does_not_count_beside_the_value():
    class Mask(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("mask", torch.arange(50).reshape(5, 10) % 2)
            self.gain = nn.Linear(3, 3)

        def forward(self, weight):
            return weight * self.mask

    layer = parametrize.register_parametrization(nn.Linear(10, 5), "weight", Mask())
    assert u.nonzero_count(nn.Sequential(layer, nn.Linear(5, 2))) == 25 + 5 + 12


def test_a_masked_batch_norm_counts_with_its_value():
    norm = prune.l1_unstructured(nn.BatchNorm1d(7), "weight", amount=3)
    nn.init.ones_(norm.bias)
    assert u.nonzero_count(norm) == 4 + 7


# --- what all of them share --------------------------------------------------------------------

MEASURES = [u.multiply_adds, u.peak_memory, u.latency]


@pytest.mark.parametrize("measure", MEASURES)
def test_nothing_changes(measure):
    model = mc_dropout(networks.mlp()).train()
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    measure(model, images(3), samples=2)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert not any(getattr(module, "sampling", False) for module in model.modules())


@pytest.mark.parametrize("measure", MEASURES)
def test_bad_input(measure):
    with pytest.raises(ValueError, match="empty"):
        measure(mlp(), X[:0])
    with pytest.raises(TypeError, match="not list"):
        measure(mlp(), [1.0])
    with pytest.raises(TypeError, match=r"torch\.float64, but the network needs torch\.float32"):
        measure(mlp(), X.double())
    with pytest.raises(ValueError, match="NaN"):
        measure(mlp(), X[:1] * torch.nan)
    with pytest.raises(ValueError, match="no random weights"):
        measure(mlp(), X, samples=3)
    with pytest.raises(ValueError, match="at least 1, not 0"):
        measure(mc_dropout(networks.mlp()), images(1), samples=0)


@pytest.mark.parametrize("name", ["batch_size", "repeats", "threads"])
def test_bad_settings_of_latency(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, not 0"):
        u.latency(mlp(), X, **{name: 0})


def test_live_bytes_see_what_is_freed():
    held = torch.ones(10)
    with cost.LiveBytes([held]) as live:
        a = torch.ones(100) + 1  # two tensors of 400 bytes for a moment
        assert live.now == 40 + 400
        view = a[:50]
        del a
        assert live.now == 40 + 400
        del view
        assert (live.now, live.peak) == (40, 40 + 800)

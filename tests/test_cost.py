"""Costs of a prediction against closed forms and torch's own counter."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize, prune
from torch.utils.flop_counter import FlopCounterMode

from uecompress import bayes, networks, storage
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


def test_an_input_that_requires_a_gradient():
    x = X.clone().requires_grad_()
    assert u.multiply_adds(mlp(), x) == 300
    assert u.peak_memory(mlp(), x) == u.peak_memory(mlp(), X)
    assert x.grad is None


def ensemble_on_a_trunk(members=4):
    """Members that share their first layer, as an ordinary ensemble of ordinary networks."""
    trunk = nn.Linear(784, 200)
    return networks.Ensemble(
        nn.Sequential(nn.Flatten(), trunk, nn.ReLU(), nn.Linear(200, 10)) for _ in range(members)
    )


def test_a_trunk_that_members_share_counts_once():
    model = ensemble_on_a_trunk()
    assert u.multiply_adds(model, images(3)) == 784 * 200 + 4 * 200 * 10  # 164,800
    assert u.multiply_adds(model, images(3), batch_size=2) == 164_800
    deep = nn.Sequential(nn.Flatten(), nn.Linear(784, 8), nn.ReLU(inplace=True), nn.Linear(8, 8))
    model = networks.Ensemble([nn.Sequential(deep, nn.Linear(8, 10)) for _ in range(3)])
    assert u.multiply_adds(model, images(3)) == 784 * 8 + 8 * 8 + 3 * 80  # nested ones too
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_shared_layer_counts_for_every_input():
    model = ensemble_on_a_trunk(members=2)
    x = images(6).view(2, 3, 1, 28, 28)  # a batch for each member
    assert u.multiply_adds(model, x) == 2 * (784 * 200 + 200 * 10)
    twice = nn.Sequential(layer := nn.Linear(10, 10), layer)
    assert u.multiply_adds(twice, X) == 200


def test_a_shared_layer_that_draws_counts_for_every_draw():
    layer = bayes.variational(nn.Sequential(nn.Linear(10, 20)), "mean_field")[0]
    model = networks.Ensemble([nn.Sequential(layer, nn.Linear(20, 5)) for _ in range(2)])
    means = u.multiply_adds(model, X)
    assert means == 10 * 20 + 2 * 20 * 5
    drawn = u.multiply_adds(model, X, samples=1)
    assert drawn == 2 * (2 * 10 * 20 + 20 * 5)  # mean and variance of every output


class Halting(nn.Module):
    """Examples with a positive first entry leave early; the others go through a second layer."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(10, 10), nn.Linear(10, 10)

    def forward(self, x):
        y = self.first(x)
        stay = x[:, 0] <= 0
        return y.index_put((stay,), self.second(y[stay])) if stay.any() else y


def test_the_expected_multiply_adds_of_examples_that_differ():
    x = torch.ones(8, 10)
    x[:3, 0] = -1
    for batch_size in (None, 1, 3):
        assert u.multiply_adds(Halting(), x, batch_size=batch_size) == 100 + 100 * 3 / 8


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
    assert seen.count((8, False)) == (2 + 5) * 4 * (samples or 1)  # 32 examples in each repeat
    assert model.training
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(("n", "expected"), [(64, range(0, 64, 2)), (32, range(32))])
def test_latency_asks_different_examples(n, expected):
    seen = []
    model = nn.Flatten()
    model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0][0, 0].item()))
    u.latency(model, torch.arange(float(n))[:, None] + torch.zeros(3), repeats=2)
    assert seen[-64:] == 2 * list(map(float, expected))
    seen.clear()
    u.latency(model, torch.arange(3.0)[:, None] + torch.zeros(3), repeats=1)
    assert {seen[-32:].count(k) for k in (0, 1, 2)} == {10, 11}


def test_latency_is_a_mean_over_the_examples(monkeypatch):
    clock = [0.0]

    class Slow(nn.Module):
        def forward(self, x):
            clock[0] += x[0, 0].item()
            return x

    monkeypatch.setattr(cost.time, "perf_counter", lambda: clock[0])
    x = torch.tensor([[0.007, 0.0]] * 8 + [[0.056, 0.0]] * 24)
    times = u.latency(Slow(), x)
    assert times == pytest.approx([(8 * 7 + 24 * 56) / 32] * 3, rel=1e-6)  # ms, whatever is first


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
            self.register_buffer("input_zero_point", torch.tensor(3))
            self.register_buffer("rebuilt", torch.ones(100), persistent=False)

    assert u.nonzero_count(Codes()) == 2
    norm = nn.BatchNorm1d(7)
    nn.init.ones_(norm.bias)
    assert u.nonzero_count(norm) == networks.parameter_count(norm) == 14


class FourBits(nn.Module):
    """A Linear layer of 4-bit codes: unsigned ones with zero points, or signed ones, q − z."""

    def __init__(self, inputs, outputs, signed):
        super().__init__()
        codes = torch.zeros(outputs, inputs, dtype=torch.int8 if signed else torch.uint8)
        self.register_buffer("codes", codes)
        self.register_buffer("scale", torch.zeros(outputs))
        if not signed:
            self.register_buffer("zero_point", torch.zeros(outputs, dtype=torch.uint8))
        self.bias = nn.Parameter(torch.zeros(outputs))

    @classmethod
    def of(cls, linear, signed):
        layer = cls(linear.in_features, linear.out_features, signed)
        weight = linear.weight.detach()
        low, high = weight.amin(1).clamp(max=0), weight.amax(1).clamp(min=0)
        layer.scale.copy_((high - low) / 15)
        zero = (-low / layer.scale).round()
        codes = ((weight / layer.scale[:, None]).round() + zero[:, None]).clamp(0, 15)
        layer.codes.copy_(codes - zero[:, None] if signed else codes)
        if not signed:
            layer.zero_point.copy_(zero)
        layer.bias = linear.bias
        return layer

    def forward(self, x):
        zero = getattr(self, "zero_point", self.scale * 0)
        weight = (self.codes - zero.float()[:, None]) * self.scale[:, None]
        return nn.functional.linear(x, weight, self.bias)

    def config(self):
        outputs, inputs = self.codes.shape
        return {"inputs": inputs, "outputs": outputs, "signed": not hasattr(self, "zero_point")}


def test_signed_codes_keep_the_zeros_that_unsigned_ones_lose(tmp_path, monkeypatch):
    monkeypatch.setattr(FourBits, "__module__", "uecompress.networks")
    monkeypatch.setattr(networks, "FourBits", FourBits, raising=False)
    pruned = networks.lenet300(seed=0)
    for layer in (m for m in pruned if isinstance(m, nn.Linear)):
        sizes = layer.weight.data.abs()
        layer.weight.data[sizes <= sizes.flatten().kthvalue(sizes.numel() * 9 // 10).values] = 0
    parts, path = {}, tmp_path / "network"
    for signed in (False, True):
        model = networks.replace_layers(
            pruned, lambda _, m, s=signed: FourBits.of(m, s) if isinstance(m, nn.Linear) else None
        )
        written = storage.save(model, path)
        parts[signed] = written, u.nonzero_count(model), u.predict(storage.load(path), images(20))
    assert torch.equal(parts[True][2], parts[False][2])
    assert parts[True][1] == u.nonzero_count(pruned) == 266_200 // 10 + 410  # without the scales
    assert parts[False][1] > 7 * parts[True][1]  # a zero's code is 7 or 8 in most rows
    assert parts[False][0] > 1.8 * parts[True][0]  # format 2 shortens the unsigned ones too
    assert 2.4 * parts[True][0] < 55_164  # that is what the unsigned ones took in format 1


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
    with pytest.raises(ValueError, match=f"{name} must be a whole number of at least 1, not 0"):
        u.latency(mlp(), X, **{name: 0})
    with pytest.raises(ValueError, match=f"{name} must be a whole number of at least 1, not 1.5"):
        u.latency(mlp(), X, **{name: 1.5})
    with pytest.raises(TypeError, match=f"{name} must be a number, not None"):
        u.latency(mlp(), X, **{name: None})


def test_a_fraction_of_a_sample_is_refused():
    for measure in MEASURES:
        with pytest.raises(ValueError, match="samples must be a whole number"):
            measure(mc_dropout(networks.mlp()), images(1), samples=1.5)


def test_live_bytes_see_what_is_freed():
    held = torch.ones(10)
    with cost._LiveBytes([held]) as live:
        a = torch.ones(100) + 1  # two tensors of 400 bytes for a moment
        assert live.now == 40 + 400
        view = a[:50]
        del a
        assert live.now == 40 + 400
        del view
        assert (live.now, live.peak) == (40, 40 + 800)

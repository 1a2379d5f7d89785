import copy
import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from uecompress import data, ensembles, networks, training, uncertainty
from uecompress.lowrank import TTLinear, factor_shape, tt_product
from uecompress.tensors import TTMatrix

SHAPES = [((6,), (4,)), ((4, 2), (2, 3)), ((2, 3, 2), (3, 1, 4)), ((2, 1, 3, 2), (2, 3, 1, 2))]


def noise(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def tt_layer(rows, columns, rank=3, bias=True):
    """A layer in float64 whose biases are not zero."""
    layer = TTLinear(rows, columns, rank, bias).double()
    with torch.no_grad():
        for k, parameter in enumerate([] if layer.bias is None else [layer.bias]):
            parameter.copy_(noise(*parameter.shape, seed=k))
        for k, core in enumerate(layer.bias_cores or []):
            core.copy_(noise(*core.shape, seed=k))
    return layer


def groupings(d):
    """All ways to cut d cores into groups, by the number of cores up to the end of each."""
    return [(*cuts, d) for c in range(d) for cuts in itertools.combinations(range(1, d), c)]


# --- the product -------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, "tt", False])
@pytest.mark.parametrize(("rows", "columns"), SHAPES)
@pytest.mark.parametrize("batch", [(), (1,), (5,), (2, 3), (0,), (400,)])
def test_forward_is_the_dense_layer(rows, columns, batch, bias):
    layer = tt_layer(rows, columns, bias=bias)
    weight = torch.from_numpy(TTMatrix([c.detach().numpy() for c in layer.cores]).full())
    torch.testing.assert_close(layer.dense_weight.detach(), weight, rtol=0, atol=1e-13)
    x = noise(*batch, layer.in_features)
    expected = x @ weight.T + (layer.dense_bias if bias else 0)
    torch.testing.assert_close(layer(x), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("rows", "columns"), SHAPES)
@pytest.mark.parametrize("batch", [0, 1, 5])
def test_every_order_gives_the_same_values_and_gradients(rows, columns, batch):
    layer = tt_layer(rows, columns)
    x, up = noise(batch, layer.in_features).requires_grad_(), noise(batch, layer.out_features)
    inputs = [x, *layer.cores, layer.bias]
    y = x @ layer.dense_weight.T + layer.bias
    expected = y, *torch.autograd.grad(y, inputs, up)
    for ends, forwards in itertools.product(groupings(len(rows)), (True, False)):
        y = tt_product.product(list(layer.cores), x, layer.bias, ends, forwards)
        got = y, *torch.autograd.grad(y, inputs, up)
        for a, b in zip(got, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("bias", [True, "tt"])
@pytest.mark.parametrize("batch", [1, 4])
def test_gradients(batch, bias):
    layer = tt_layer((2, 3, 2), (3, 1, 2), 2, bias)
    names, values = zip(*layer.named_parameters(), strict=True)

    def output(x, *values):
        return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (x,))

    x = noise(batch, 6).requires_grad_()
    assert torch.autograd.gradcheck(output, (x, *values))
    assert torch.autograd.gradcheck(lambda *_: layer.dense_weight, tuple(layer.cores))


def test_the_plan_is_the_cheapest_of_all_groupings():
    rows, columns, ranks = (4, 2, 8, 3), (2, 9, 3, 5), (1, 5, 7, 4, 1)

    def cost(batch, ends, forwards):
        args = rows, columns, ranks
        return sum(
            tt_product.contraction_cost(*args, batch, k, l, forwards, tt_product.MOVE)
            + tt_product.merging_cost(*args, k, l, tt_product.MOVE)
            for k, l in zip((0, *ends), ends, strict=False)
        )

    orders = list(itertools.product(groupings(4), (True, False)))
    found = [tt_product.plan(rows, columns, ranks, batch) for batch in (1, 8, 64, 4096)]
    for batch, order in zip((1, 8, 64, 4096), found, strict=True):
        assert cost(batch, *order) == min(cost(batch, *each) for each in orders)
    assert len(set(found)) > 1


def test_multiply_adds_are_counted_by_hand():
    one = TTLinear((4, 8, 8, 4), (4, 8, 8, 4), 4)  # core after core: 2 · 1024·4·4 + 2 · 1024·8·4²
    assert tt_product.plan(one.row_shape, one.column_shape, one.ranks, 1)[0] == (1, 2, 3, 4)
    assert one.multiply_adds(1) == 2 * 1024 * 4 * 4 + 2 * 1024 * 8 * 4 * 4
    pairs = 2 * 16 * 4 * 64 * 4  # the first two cores multiplied out, and the last two
    assert one.multiply_adds(256) == pairs + 256 * 2 * 4 * 32 * 1024
    many = TTLinear((32, 32), (32, 32), 16)  # multiplied out: 2²⁰ entries of 16 each
    assert many.multiply_adds(256) == 16 * 2**20 + 256 * 2**20


def test_tensorly_torch_agrees():
    tltorch = pytest.importorskip("tltorch")
    theirs = tltorch.FactorizedLinear(
        (2, 3, 4), (3, 2, 2), factorization="blocktt", rank=[1, 3, 4, 1]
    )
    ours = TTLinear((3, 2, 2), (2, 3, 4), (1, 3, 4, 1))
    with torch.no_grad():
        for core, other in zip(ours.cores, theirs.weight.factors, strict=True):
            core.copy_(other)
        ours.bias.copy_(theirs.bias)
    x = noise(7, 24).float()
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-6)


# --- from a dense layer ------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("rows", "columns"), [((3, 4), (5, 6)), ((2, 3, 2), (5, 2, 3)), (None, None)]
)
def test_from_linear_is_exact_at_full_rank(rows, columns, bias):
    torch.manual_seed(0)
    linear = nn.Linear(30, 12, bias).double().eval()
    before = copy.deepcopy(linear.state_dict())
    layer = TTLinear.from_linear(linear, rows, columns)
    x = noise(9, 30)
    torch.testing.assert_close(layer(x), linear(x), rtol=0, atol=1e-12)
    assert layer.cores[0].dtype == torch.float64
    assert not layer.training
    assert (layer.bias is not None) == bias
    assert all(torch.equal(before[k], v) for k, v in linear.state_dict().items())
    if bias:
        assert layer.bias.data_ptr() != linear.bias.data_ptr()


def test_from_linear_respects_rank_and_eps():
    linear = nn.Linear(60, 24).double()
    norm = torch.linalg.norm(linear.weight)
    errors = []
    for rank in (1, 2, 4, 8, 16):
        layer = TTLinear.from_linear(linear, (4, 3, 2), (5, 4, 3), rank=rank)
        assert max(layer.ranks) <= rank
        errors.append((torch.linalg.norm(layer.dense_weight - linear.weight) / norm).item())
    assert errors == sorted(errors, reverse=True)
    for eps in (0.1, 0.5):
        layer = TTLinear.from_linear(linear, (4, 3, 2), (5, 4, 3), eps=eps)
        assert torch.linalg.norm(layer.dense_weight - linear.weight) <= eps * norm
    two = TTLinear.from_linear(linear, (4, 6), (5, 12), rank=3)  # the best rank 3 of one unfolding
    unfolded = linear.weight.reshape(4, 6, 5, 12).permute(0, 2, 1, 3).reshape(20, 72)
    tail = torch.linalg.svdvals(unfolded)[3:].norm()
    torch.testing.assert_close(torch.linalg.norm(two.dense_weight - linear.weight), tail)


def test_from_linear_keeps_what_is_frozen_and_needs_one_shape_only():
    linear = nn.Linear(30, 12).requires_grad_(False)
    layer = TTLinear.from_linear(linear, row_shape=(4, 3))
    assert (layer.row_shape, layer.column_shape) == ((4, 3), (6, 5))
    assert not any(p.requires_grad for p in layer.parameters())
    assert TTLinear.from_linear(linear).column_shape == (5, 3, 2)


def test_factor_shape():
    known = {(1024, 2): (32, 32),
             (1024, 4): (8, 8, 4, 4), (784, 4): (7, 7, 4, 4), (7, 3): (7, 1, 1),
             (10**9 + 7, 2): (10**9 + 7, 1), (2**30, 3): (2**10,) * 3,
             (400, 4): (5, 5, 4, 4), (10, 2): (5, 2), (1, 2): (1, 1), (300, 1): (300,)}  # fmt: skip
    for (n, d), shape in known.items():
        assert factor_shape(n, d) == shape
    for n, d in itertools.product(range(1, 200), (1, 2, 3)):
        shape = factor_shape(n, d)
        assert math.prod(shape) == n
        if d == 2:
            assert max(shape) == min(m for m in range(1, n + 1) if n % m == 0 and m * m >= n)
    assert all(type(m) is int for m in factor_shape(np.int64(286), 3))


# --- initialization ----------------------------------------------------------------------------


def second_moment(layers):
    """E W² over the entries of the weights."""
    return torch.stack([layer.dense_weight.detach().square().mean() for layer in layers]).mean()


@pytest.mark.parametrize(
    ("rows", "columns", "rank"), [((8, 8), (7, 14), 4), ((5, 5, 4, 4), (4, 7, 4, 7), 6)]
)
def test_the_weight_starts_with_the_variance_of_he(rows, columns, rank):
    layers = [TTLinear(rows, columns, rank, seed=seed) for seed in range(200)]
    assert second_moment(layers) * layers[0].in_features / 2 == pytest.approx(1, abs=0.15)
    assert torch.stack([layer.dense_weight.mean() for layer in layers]).mean().abs() < 1e-3
    assert not layers[0].bias.any()


def wrong(layer, s):
    """A copy of the layer, with cores from N(0, s²); s may depend on the core."""
    layer, generator = copy.deepcopy(layer), torch.Generator().manual_seed(0)
    for core in layer.cores:
        scale = s(core) if callable(s) else s
        core.data = scale * torch.randn(core.shape, generator=generator)
    return layer


def test_wrong_starts_explode_or_vanish():
    layers = [TTLinear((5, 5, 4, 4), (4, 7, 4, 7), 6, seed=seed) for seed in range(20)]
    x = noise(50, 784).float()
    right = torch.stack([layer(x).std() for layer in layers]).mean()
    assert 1 < right < 2  # √2 for inputs of variance 1
    assert wrong(layers[0], 1.0)(x).std() > 100 * right
    assert wrong(layers[0], math.sqrt(2 / 784))(x).std() < 0.01 * right  # as for a dense layer
    # as for dense layers of rₖ₋₁nₖ inputs: the variance is 2^d/N, 2^(d-1) times too large
    assert wrong(layers[0], lambda c: math.sqrt(2 / (len(c) * c.shape[2])))(x).std() > 1.8 * right


def test_the_train_of_the_bias_starts_at_zero_and_can_leave_it():
    layer = TTLinear((4, 3, 2), (2, 3, 4), 3, "tt")
    assert not layer.dense_bias.any()
    (layer(noise(5, 24).float()) ** 3).sum().backward()
    assert layer.bias_cores[-1].grad.abs().min() > 0
    assert sum(core.numel() for core in layer.bias_cores) == 4 * 3 + 3 * 3 * 3 + 3 * 2
    parts = [TTLinear((4, 3, 2), (2, 3, 4), 3, "tt", seed=s).bias_cores for s in range(400)]
    entries = torch.stack([torch.einsum("rma,anb->mnb", g, h) for g, h, _ in parts])
    assert entries.detach().square().mean() == pytest.approx(1, abs=0.15)


def test_seeds_and_ranks():
    a, b, c = (TTLinear((4, 2), (2, 3), 3, seed=seed) for seed in (0, 0, 1))
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
    assert not torch.equal(a.cores[0], c.cores[0])
    assert TTLinear((4, 2, 2), (1, 3, 2), 100).ranks == (1, 4, 4, 1)  # what unfoldings can have
    assert TTLinear((4, 2), (1, 3), (1, 2, 1)).ranks == (1, 2, 1)
    state = torch.get_rng_state()
    TTLinear((4, 2), (2, 3), 3)
    assert torch.equal(torch.get_rng_state(), state)


# --- bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (((2, 3), (2, 3, 4), 2), "must be of one length"),
        (((), (), 2), "must be of one length, at least 1"),
        (((2, 0), (2, 3), 2), "factor of the row shape must be a whole number of at least 1"),
        (((2, 3), (2, 1.5), 2), "factor of the column shape must be a whole number"),
        (((1,) * 65, (1,) * 65, 1), "at most 64 factors, not 65"),
        (((2, 3), (2, 3), 0), "rank must be a whole number of at least 1, not 0"),
        (((2, 3), (2, 3), 1.5), "rank must be a whole number"),
        (((2, 3), (2, 3), (1, 2)), "3 whole numbers from 1 to 1"),
        (((2, 3), (2, 3), (1, 0, 1)), "each rank must be a whole number of at least 1"),
        (((2, 3), (2, 3), (2, 2, 1)), "3 whole numbers from 1 to 1"),
        (((2, 3), (2, 3), 2, "dense"), "bias must be True, False"),
    ],
)
def test_bad_arguments(arguments, match):
    with pytest.raises(ValueError, match=match):
        TTLinear(*arguments)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((6, (2, 3), 2), "the row shape must be a tuple of factors, not 6"),
        (((2, 3), "23", 2), "the column shape must be a tuple of factors, not '23'"),
        (((2, "3"), (2, 3), 2), "factor of the row shape must be a number"),
        (((2, 3), (2, 3), True), "rank must be a number, not True"),
        (((2, 3), (2, 3), None), "rank must be a number, not None"),
        (((2, 3), (2, 3), (1, None, 1)), "each rank must be a number"),
    ],
)
def test_arguments_that_are_no_numbers(arguments, match):
    with pytest.raises(TypeError, match=match):
        TTLinear(*arguments)


def test_bad_inputs_and_layers():
    layer = TTLinear((2, 3), (2, 4), 2)
    for x in (torch.ones(5, 6), torch.ones(8, 5), torch.tensor(1.0)):
        with pytest.raises(ValueError, match=r"expected inputs \(\.\.\., 8\), not of shape"):
            layer(x)
    linear = nn.Linear(8, 6)
    for arguments, match in [
        (((2, 3), (2, 5)), r"shape \(6, 8\) is not"),
        (((2, 3), (8,)), "must be of one length"),
        (((), ()), "must be of one length"),
        (((2, 3), (2, 4), 0), "rank must be"),
        (((2, 3), (2, 4), 2, -1.0), "eps must be"),
    ]:
        with pytest.raises(ValueError, match=match):
            TTLinear.from_linear(linear, *arguments)
    with torch.no_grad():
        linear.weight[0, 0] = math.nan
    with pytest.raises(ValueError, match="contains NaN"):
        TTLinear.from_linear(linear)
    with pytest.raises(TypeError, match=r"expected an nn\.Linear, not Conv2d"):
        TTLinear.from_linear(nn.Conv2d(1, 1, 3))
    for n, d, name in ((0, 2, "n"), (6, 0, "d"), (6.5, 1, "n"), (math.nan, 2, "n")):
        with pytest.raises(ValueError, match=f"{name} must be a whole number of at least 1"):
            factor_shape(n, d)


# --- as a layer of a network -------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, "tt", False])
def test_config_rebuilds_the_layer(bias):
    layer = tt_layer((4, 2), (2, 3), 3, bias)
    again = TTLinear(**layer.config()).double()
    again.load_state_dict(layer.state_dict())
    x = noise(5, 6)
    assert torch.equal(again(x), layer(x))
    assert torch.equal(copy.deepcopy(layer)(x), layer(x))
    assert repr(layer).startswith(
        "TTLinear(\n  row_shape=(4, 2), column_shape=(2, 3), rank=(1, 3, 1)"
    )


def tt_mlp(seed, bias=True):
    return nn.Sequential(
        nn.Flatten(),
        TTLinear((5, 5, 4, 4), (4, 7, 4, 7), 6, bias, seed=seed),
        nn.ReLU(),
        TTLinear((5, 5, 4, 4), (5, 5, 4, 4), 6, bias, seed=seed + 1000),
        nn.ReLU(),
        nn.Linear(400, 10),
    )


def test_in_networks_and_ensembles():
    def to_train(name, leaf):
        return TTLinear.from_linear(leaf) if isinstance(leaf, nn.Linear) else None

    torch.manual_seed(0)
    dense = networks.Ensemble([networks.lenet300(seed=s) for s in range(2)]).double()
    tensorized = networks.replace_layers(dense, to_train)
    x = noise(3, 1, 28, 28)
    torch.testing.assert_close(tensorized(x), dense(x), rtol=0, atol=1e-10)
    assert isinstance(tensorized.members[1].linear2, TTLinear)

    torch.manual_seed(0)
    models = [tt_mlp(seed) for seed in range(2)]
    images, labels = torch.rand(40, 1, 28, 28), torch.arange(40) % 10
    settings = {"epochs": 1, "batch_size": 20, "lr": 1e-3, "progress": False}
    together = ensembles.fit_ensemble(models, (images, labels), seeds=(3, 4), **settings)
    for m, model in enumerate(models):  # they cannot be stacked, and are trained one by one
        alone = training.fit(model, (images, labels), seed=3 + m, **settings)
        torch.testing.assert_close(together.members[m](images), alone(images), rtol=1e-3, atol=1e-4)
    assert uncertainty.predict(together, images).shape == (2, 40, 10)


def digits(model, seed, epochs):
    """Accuracy and NLL on the test images."""
    settings = {"epochs": epochs, "batch_size": 64, "lr": 3e-3, "seed": seed, "progress": False}
    model = training.fit(model, data.load("digits", "train"), **settings)
    x, y = data.load("digits", "test")
    log_probs = uncertainty.predict(model, x)
    return uncertainty.accuracy(log_probs, y), uncertainty.nll(log_probs, y)


@pytest.mark.parametrize(("seed", "bias"), [(0, True), (1, "tt")])
def test_trains_from_scratch_on_digits(seed, bias):
    accuracy, nll = digits(tt_mlp(seed, bias), seed, 8)  # seeds 0 to 3: 0.91 to 0.93, 0.29 to 0.36
    assert 0.88 < accuracy < 0.97
    assert 0.15 < nll < 0.45


def test_wrong_starts_do_not_get_there():
    # after two epochs, seeds 0 to 4: 1,240 to 1,580 for N(0, 1), 2.29 (chance) for N(0, 2/N), and
    # 0.45 to 0.52 for the right start
    assert digits(tt_mlp(2), 2, 2)[1] < 0.8
    for s, least in ((1.0, 50), (math.sqrt(2 / 784), 2.0)):
        model = tt_mlp(2)
        for k in (1, 3):
            model[k] = wrong(model[k], s)
        assert digits(model, 2, 2)[1] > least

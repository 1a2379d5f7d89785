import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from uecompress import data, lowrank, networks, tensors, training, uncertainty

GEOMETRIES = [
    {"kernel_size": (3, 5), "padding": (1, 2), "dilation": (2, 1)},
    {"kernel_size": (3, 2), "stride": (2, 1), "padding": (0, 1)},
    {"kernel_size": 3, "stride": 2, "padding": 1, "padding_mode": "reflect"},
    {"kernel_size": (5, 3), "padding": "same", "dilation": (1, 2), "padding_mode": "circular"},
    {"kernel_size": (1, 3), "padding": "valid", "bias": False},
    {"kernel_size": 1, "stride": 3, "padding": 1},
    {"kernel_size": (3, 3), "padding": "same", "padding_mode": "replicate"},
]
CHAINS = {
    "svd": lambda conv: lowrank.svd_conv2d(conv, 3),
    "cp": lambda conv: lowrank.cp_conv2d(conv, 3, iterations=20),
    "tucker": lambda conv: lowrank.tucker_conv2d(conv, (3, 4)),
    "naive tt": lambda conv: lowrank.naive_tt_conv2d(conv, 4),
}


def convolution(c=6, s=8, seed=0, **geometry):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Conv2d(c, s, **({"kernel_size": 3} | geometry)).double()


def pictures(*shape, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def with_kernel(conv, kernel):
    """A copy of ``conv`` with another kernel."""
    new = copy.deepcopy(conv)
    new.weight = nn.Parameter(kernel)
    return new


def error(conv, new):
    """The relative error of the kernel that ``new`` computes."""
    kernel = lowrank.chain_kernel(new) if isinstance(new, nn.Sequential) else new.dense_weight
    return (torch.linalg.norm(kernel - conv.weight) / torch.linalg.norm(conv.weight)).item()


def spectrum(conv, mode):
    return torch.linalg.svdvals(tensors.unfold_mode(conv.weight.detach(), mode))


# --- chains of convolutions ----------------------------------------------------------------------


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("make", CHAINS.values(), ids=CHAINS)
def test_a_chain_is_the_convolution_with_its_kernel(make, geometry):
    conv, x = convolution(**geometry), pictures(2, 6, 9, 11)
    before = copy.deepcopy(conv.state_dict())
    chain = make(conv)
    dense = with_kernel(conv, lowrank.chain_kernel(chain).detach())
    torch.testing.assert_close(chain(x), dense(x), rtol=0, atol=1e-10)
    assert error(conv, chain) > 0.1 or conv.weight[0, 0].numel() == 1  # a true truncation
    assert all(torch.equal(before[k], v) for k, v in conv.state_dict().items())
    assert (chain.u.bias is None) == (conv.bias is None)


def test_the_kernels_are_the_sums_of_the_definitions():
    conv = convolution(kernel_size=(3, 2))
    chain = lowrank.cp_conv2d(conv, 3, iterations=20)
    u, v, h, w = (getattr(chain, name).weight.squeeze() for name in "uvhw")
    expected = torch.einsum("sr,rc,rx,ry->scxy", u, v, h, w)
    torch.testing.assert_close(lowrank.chain_kernel(chain), expected)
    chain = lowrank.tucker_conv2d(conv, (3, 4))
    parts = chain.u.weight[..., 0, 0], chain.core.weight, chain.v.weight[..., 0, 0]
    expected = torch.einsum("sa,abxy,bc->scxy", *parts)
    torch.testing.assert_close(lowrank.chain_kernel(chain), expected)
    chain = lowrank.naive_tt_conv2d(conv, 4)
    u, v = (chain.get_submodule(name).weight[..., 0, 0] for name in "uv")
    expected = torch.einsum("se,eby,bax,ac->scxy", u, chain.w.weight[:, :, 0],
                            chain.h.weight[..., 0], v)  # fmt: skip
    torch.testing.assert_close(lowrank.chain_kernel(chain), expected)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_full_rank_is_the_same_layer(geometry):
    conv, x = convolution(**geometry), pictures(2, 6, 9, 11)
    points = conv.weight[0, 0].numel()
    for new in (
        lowrank.svd_conv2d(conv, min(8, 6 * points)),
        lowrank.tucker_conv2d(conv, 8),
        lowrank.naive_tt_conv2d(conv),
        lowrank.TTConv2d.from_conv2d(conv, (2, 3), (4, 2)),
    ):
        torch.testing.assert_close(new(x), conv(x), rtol=0, atol=1e-10)


@pytest.mark.parametrize("rank", range(1, 9))
def test_svd_is_the_best_of_its_rank(rank):
    conv = convolution(kernel_size=(3, 2))
    s = torch.linalg.svdvals(conv.weight.detach().flatten(1))
    pair = lowrank.svd_conv2d(conv, rank)
    assert error(conv, pair) == pytest.approx((s[rank:].norm() / s.norm()).item(), abs=1e-12)
    u, vh = pair.u.weight.flatten(1), pair.vh.weight.flatten(1)
    torch.testing.assert_close(u.T @ u, vh @ vh.T)  # both are diag(σ)
    assert u.numel() + vh.numel() == rank * (8 + 6 * 3 * 2)


@pytest.mark.parametrize("ranks", [(1, 1), (2, 3), (4, 2), (5, 8), (6, 1)])
def test_tucker_is_between_its_bounds(ranks):
    conv = convolution()
    spectra = spectrum(conv, 1), spectrum(conv, 0)
    tails = [(s[r:].norm() / s.norm()).item() for s, r in zip(spectra, ranks, strict=True)]
    points = conv.weight.detach().flatten(2)
    higher = tensors.tucker_full(*tensors.hosvd(points, (ranks[1], ranks[0], 9)))
    hosvd = (torch.linalg.norm(higher - points) / points.norm()).item()
    off = error(conv, lowrank.tucker_conv2d(conv, ranks))
    assert max(tails) - 1e-12 <= off <= hosvd + 1e-12
    assert hosvd <= math.hypot(*tails) + 1e-12  # so at most √2 times the best


def test_tucker_finds_planted_ranks():
    core, u, v = pictures(3, 2, 9), pictures(8, 3, seed=2), pictures(6, 2, seed=3)
    kernel = torch.einsum("abp,sa,cb->scp", core, u, v).reshape(8, 6, 3, 3)
    conv = with_kernel(convolution(), kernel)
    assert error(conv, lowrank.tucker_conv2d(conv, (2, 3))) < 1e-10
    assert error(conv, lowrank.tucker_conv2d(conv, (2, 2))) > 1e-2
    [row] = lowrank.plan(nn.Sequential(conv), "tucker", energy=1 - 1e-9)
    assert row.rank == (2, 3)


def test_cp_finds_a_planted_kernel():
    for seed in range(3):
        factors = [pictures(n, 3, seed=10 * seed + n) for n in (8, 6, 3, 4)]
        kernel = torch.einsum("sr,cr,xr,yr->scxy", *factors)
        conv = with_kernel(convolution(kernel_size=(3, 4)), kernel)
        chain = lowrank.cp_conv2d(conv, 3, iterations=1000, tol=1e-10)
        assert error(conv, chain) < 1e-5
        norms = [layer.weight.norm().item() for layer in chain]
        components = math.prod(f.norm(dim=0) for f in factors).norm() / kernel.norm()
        assert lowrank.component_growth(chain) == pytest.approx(components.item(), rel=1e-3)
        assert max(norms) == pytest.approx(min(norms), rel=1e-9)  # evenly spread


def test_more_starts_are_never_worse_for_cp():
    conv = convolution()
    errors = [error(conv, lowrank.cp_conv2d(conv, 4, seeds=[seed])) for seed in range(3)]
    assert max(errors) - min(errors) > 1e-6  # the start matters
    assert error(conv, lowrank.cp_conv2d(conv, 4)) == pytest.approx(min(errors), abs=1e-12)


def test_the_components_of_a_degenerate_kernel_grow():
    x, y = torch.eye(2, dtype=torch.float64)
    products = [(x, x, y), (x, y, x), (y, x, x)]
    kernel = sum(torch.einsum("i,j,k->ijk", *p) for p in products)[..., None]  # (2, 2, 2, 1)
    conv = with_kernel(convolution(2, 2, kernel_size=(2, 1)), kernel)
    growth = [
        lowrank.component_growth(lowrank.cp_conv2d(conv, 2, iterations=n, tol=0, seeds=[0]))
        for n in (30, 100, 300)
    ]
    # seeds 0 to 4: 1.5 to 1.8, 2.2 to 2.3, 2.9
    assert 1.3 < growth[0] < 2 < growth[1] < 2.6 < growth[2] < 3.2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("make", CHAINS.values(), ids=CHAINS)
def test_weights_over_the_whole_range_of_the_type(make, dtype):
    conv = convolution().to(dtype)
    conv.weight.data *= 2 / conv.weight.abs().max()
    ordinary = make(conv)
    for exponent in {torch.float32: (-120, -72, 60, 120), torch.float64: (-1020, 540, 1020)}[dtype]:
        kernel = (conv.weight.detach().double() * 2.0**exponent).to(dtype)
        chain = make(with_kernel(conv, kernel))
        share = 2.0 ** (exponent / len(chain))  # evenly over the factors
        for new, old in zip(chain, ordinary, strict=True):
            torch.testing.assert_close(new.weight / share, old.weight, rtol=1e-4, atol=1e-4)
        scaled_kernel = lowrank.chain_kernel(chain) / kernel.abs().max()
        expected = lowrank.chain_kernel(ordinary) / 2
        torch.testing.assert_close(scaled_kernel, expected, rtol=1e-4, atol=1e-4)


def test_growth_of_components_of_any_size():
    chain = lowrank.cp_conv2d(convolution(), 3)
    growth = lowrank.component_growth(chain)
    for layer in chain:
        layer.weight.data *= 1e75  # the kernel is of size 1e300
    assert lowrank.component_growth(chain) == pytest.approx(growth, rel=1e-9)


@pytest.mark.parametrize("method", ["svd", "cp", "tucker", "tt"])
@pytest.mark.parametrize("size", [1e-30, 1e20])
def test_networks_of_large_and_small_weights(method, size):
    conv = convolution(4, 4).float()
    small = lowrank.compress(nn.Sequential(conv), method, rank=4)
    [row] = lowrank.plan(nn.Sequential(conv), method, rank=4)
    net = nn.Sequential(with_kernel(conv, conv.weight.detach() * size))
    assert lowrank.plan(net, method, rank=4)[0].error == pytest.approx(row.error, rel=1e-3)
    for new, old in zip(
        lowrank.compress(net, method, rank=4).parameters(), small.parameters(), strict=True
    ):
        assert new.isfinite().all()
        assert new.shape == old.shape


def test_kernels_of_fewer_components_than_the_rank():
    kernel = torch.zeros(50, 20, 5, 5)
    kernel[3, 4, 1, 1] = 0.37  # pruned but for one weight
    net = networks.lenet5()
    net.conv2.weight.data.copy_(kernel)
    small = lowrank.compress(net, "cp", rank=4)
    torch.testing.assert_close(lowrank.chain_kernel(small.conv2), kernel, rtol=1e-5, atol=1e-7)
    mean = nn.Conv2d(8, 8, 3, bias=False)
    nn.init.constant_(mean.weight, 1 / 9)
    assert error(mean, lowrank.cp_conv2d(mean, 4)) < 1e-5


def test_kind_and_freezing_are_kept():
    conv = nn.Conv2d(4, 6, 3).requires_grad_(False)
    for new in (*(make(conv) for make in CHAINS.values()),
                lowrank.TTConv2d.from_conv2d(conv, (2, 2), (2, 3), rank=2)):  # fmt: skip
        assert all(p.dtype == torch.float32 and not p.requires_grad for p in new.parameters())
    zero = with_kernel(convolution(), torch.zeros(8, 6, 3, 3, dtype=torch.float64))
    for make in CHAINS.values():
        assert not lowrank.chain_kernel(make(zero)).any()


# --- the train with paired channels --------------------------------------------------------------


def tt(geometry, rank=3, **others):
    return lowrank.TTConv2d((2, 3), (4, 2), rank=rank, **geometry, **others).double()


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_both_routes_are_the_convolution_with_the_kernel(geometry):
    layer, x = tt(geometry, seed=1), pictures(2, 6, 9, 11)
    if layer.bias is not None:
        nn.init.normal_(layer.bias)
    dense = nn.Conv2d(6, 8, **(geometry | {"bias": False}), dtype=torch.float64)
    dense.weight = nn.Parameter(layer.dense_weight.detach())
    expected = dense(x) if layer.bias is None else dense(x) + layer.bias[:, None, None]
    for y in (layer(x), layer.by_factors(x), layer.by_kernel(x)):
        torch.testing.assert_close(y, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("rank", [1, 3, (1, 1, 5, 1)])
def test_operations_are_those_that_torch_counts(geometry, rank):
    layer, x = tt(geometry, rank), pictures(2, 6, 9, 11)
    for route, count in layer.operations(x.shape).items():
        with FlopCounterMode(display=False) as counter:
            getattr(layer, f"by_{route}")(x)
        assert counter.get_total_flops() == 2 * count


def test_the_cheaper_route_is_taken():
    taken = set()
    for rank, size in ((1, 9), (30, 9), (30, 1)):
        layer = lowrank.TTConv2d((8, 8), (8, 8), 1, rank)
        x = torch.zeros(1, 64, size, size)
        with FlopCounterMode(display=False) as counter:
            layer(x)
        operations = layer.operations(x.shape)
        assert counter.get_total_flops() == 2 * min(operations.values())
        taken.add(min(operations, key=operations.get))
    assert taken == {"factors", "kernel"}


@pytest.mark.parametrize("route", ["by_factors", "by_kernel"])
def test_gradients(route):
    layer = lowrank.TTConv2d((2, 1), (1, 3), (2, 2), 2, stride=2, padding=1).double()
    names, parameters = zip(*layer.named_parameters(), strict=True)
    x = pictures(2, 2, 4, 3).requires_grad_()

    def output(x, *parameters):
        values = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(_Route(layer, route), {
            f"layer.{n}": v for n, v in values.items()
        }, (x,))  # fmt: skip

    assert torch.autograd.gradcheck(output, (x, *parameters))


class _Route(nn.Module):
    def __init__(self, layer, route):
        super().__init__()
        self.layer, self.route = layer, route

    def forward(self, x):
        return getattr(self.layer, self.route)(x)


def test_the_kernel_is_the_product_of_the_cores():
    layer = tt({"kernel_size": (3, 2)})
    g0, g1, g2 = layer.cores
    assert layer.ranks == (1, 3, 3, 1)
    assert [tuple(g.shape) for g in layer.cores] == [(1, 6, 3), (3, 4, 2, 3), (3, 2, 3, 1)]
    for s, c, x, y in [(0, 0, 0, 0), (7, 5, 2, 1), (4, 2, 1, 0), (3, 4, 0, 1)]:
        first = g0[:, x * 2 + y]
        product = first @ g1[:, s // 2, c // 3] @ g2[:, s % 2, c % 3]
        torch.testing.assert_close(layer.dense_weight[s, c, x, y], product[0, 0])


@pytest.mark.parametrize("eps", [0.3, 0.45, 0.6])
def test_the_error_of_the_train_is_within_eps(eps):
    conv = convolution(12, 16)
    layer = lowrank.TTConv2d.from_conv2d(conv, (3, 4), (4, 4), eps=eps)
    assert 0.3 * eps < error(conv, layer) <= eps
    norms = [core.norm().item() for core in layer.cores]
    assert max(norms) == pytest.approx(min(norms), rel=1e-9)


def test_paired_channels_hold_fewer_numbers_than_the_naive_train():
    conv = convolution(64, 64, padding=1)
    for rank in (4, 8, 16):
        paired = lowrank.TTConv2d.from_conv2d(conv, (4, 4, 4), (4, 4, 4), rank)
        naive = lowrank.naive_tt_conv2d(conv, rank)
        numbers = 9 * min(rank, 9) + 16 * rank * (min(rank, 9) + rank) + 16 * rank
        assert networks.parameter_count(paired) == numbers + 64
        assert networks.parameter_count(naive) == 2 * 64 * rank + 6 * rank**2 + 64
    planted = lowrank.TTConv2d((4, 4, 4), (4, 4, 4), 3, 4, seed=3).double()  # 604 numbers
    conv = with_kernel(conv, planted.dense_weight.detach())
    again = lowrank.TTConv2d.from_conv2d(conv, (4, 4, 4), (4, 4, 4), rank=4)
    assert error(conv, again) < 1e-10
    naive = lowrank.naive_tt_conv2d(conv, rank=5)  # 790 numbers
    assert error(conv, naive) > 0.3


def test_random_kernels_have_the_variance_of_he():
    for rank in (1, 4, 16):
        variances = [
            lowrank.TTConv2d((4, 4), (4, 8), 3, rank, seed=seed).dense_weight.var().item()
            for seed in range(40)
        ]
        assert sum(variances) / 40 == pytest.approx(2 / (16 * 9), rel=0.5)
    first, again = (lowrank.TTConv2d((2, 2), (2, 2), 3, 2, seed=5) for _ in range(2))
    assert torch.equal(first.cores[1], again.cores[1])
    assert not torch.equal(first.cores[1], lowrank.TTConv2d((2, 2), (2, 2), 3, 2).cores[1])


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_config_makes_the_same_layer(geometry):
    layer = tt(geometry, seed=1)
    again = lowrank.TTConv2d(**layer.config()).double()
    again.load_state_dict(layer.state_dict())
    x = pictures(1, 6, 9, 9)
    assert torch.equal(again(x), layer(x))
    assert str(layer.ranks) in repr(layer)


# --- bad input -----------------------------------------------------------------------------------


MAKERS = [*CHAINS.values(), lambda conv: lowrank.TTConv2d.from_conv2d(conv, (2, 3), (4, 2), 3)]


@pytest.mark.parametrize("make", MAKERS, ids=[*CHAINS, "tt"])
def test_bad_convolutions(make):
    with pytest.raises(TypeError, match=r"expected an nn\.Conv2d, not Linear"):
        make(nn.Linear(6, 8))
    with pytest.raises(ValueError, match="in 2 groups"):
        make(nn.Conv2d(6, 8, 3, groups=2))
    conv = convolution()
    conv.weight.data[0, 0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="NaN"):
        make(conv)


def test_a_chain_is_of_convolutions_with_finite_weights():
    for other in (nn.Conv2d(1, 1, 1), nn.Sequential(nn.Linear(2, 2))):
        with pytest.raises(TypeError, match=r"expected an nn\.Sequential of nn\.Conv2d"):
            lowrank.chain_kernel(other)
    chain = lowrank.svd_conv2d(convolution(), 2)
    chain.u.weight.data[0, 0] = math.nan
    with pytest.raises(ValueError, match="layer 'u': weight contains NaN"):
        lowrank.chain_kernel(chain)
    with pytest.raises(ValueError, match="a chain of four, not of 2"):
        lowrank.component_growth(lowrank.svd_conv2d(convolution(), 2))


def test_bad_ranks_and_shapes():
    conv = convolution()
    for make in (lowrank.svd_conv2d, lowrank.cp_conv2d, lowrank.tucker_conv2d,
                 lowrank.naive_tt_conv2d):  # fmt: skip
        for rank in (0, 1.5):
            with pytest.raises(ValueError, match="rank must be a whole number"):
                make(conv, rank)
        with pytest.raises(TypeError, match="rank must be a number"):
            make(conv, True)
        chain = make(conv, np.int8(2))
        assert torch.equal(chain[0].weight, make(conv, 2)[0].weight)
    with pytest.raises(ValueError, match="from 1 to 8, not 9"):
        lowrank.svd_conv2d(conv, 9)
    with pytest.raises(ValueError, match="from 1 to 6, not 7"):
        lowrank.tucker_conv2d(conv, (7, 3))
    with pytest.raises(ValueError, match="at least one seed"):
        lowrank.cp_conv2d(conv, 2, seeds=[])
    for iterations in (0, -3):
        with pytest.raises(ValueError, match="iterations must be a whole number from 1 to 1000000"):
            lowrank.cp_conv2d(conv, 2, iterations=iterations)
    for tol in (math.nan, math.inf, -math.inf, -1):
        with pytest.raises(ValueError, match=r"tol must be at least 0 and finite"):
            lowrank.cp_conv2d(conv, 2, tol=tol)
    with pytest.raises(TypeError, match="tol must be a number, not None"):
        lowrank.cp_conv2d(conv, 2, tol=None)
    for in_shape, out_shape, match in (
        ((2, 2), (4, 2), r"\(2, 2\) does not multiply to 6 channels"),
        ((2, 3), (4, 3), r"\(4, 3\) does not multiply to 8 channels"),
        ((6,), (4, 2), "of one length"),
        ((), (), "of one length"),
        ((6, 0), (4, 2), "factor of the column shape must be a whole number"),
    ):
        with pytest.raises(ValueError, match=match):
            lowrank.TTConv2d.from_conv2d(conv, in_shape, out_shape, rank=2)
    with pytest.raises(ValueError, match="rank must be a whole number"):
        lowrank.TTConv2d.from_conv2d(conv, (2, 3), (4, 2), rank=0)
    with pytest.raises(ValueError, match="eps"):
        lowrank.TTConv2d.from_conv2d(conv, (2, 3), (4, 2), eps=-1)
    with pytest.raises(ValueError, match=r"expected \(N, 6, H, W\)"):
        tt({"kernel_size": 3})(pictures(2, 5, 9, 9))


@pytest.mark.parametrize(("option", "value", "wrong"), [
    ("iterations", 0, ValueError), ("iterations", -3, ValueError), ("iterations", None, TypeError),
    ("tol", math.nan, ValueError), ("tol", math.inf, ValueError), ("tol", -math.inf, ValueError),
    ("tol", -1, ValueError), ("tol", None, TypeError), ("seeds", [None], TypeError),
])  # fmt: skip
def test_bad_options_of_cp(option, value, wrong):
    with pytest.raises(
        wrong, match=f"{option.removesuffix('s') if option == 'seeds' else option} must be"
    ):
        lowrank.cp_conv2d(convolution(), 2, **{option: value})


def test_bad_chains():
    chain = lowrank.svd_conv2d(convolution(), 3)
    with pytest.raises(ValueError, match="a chain of four, not of 2"):
        lowrank.component_growth(chain)
    for value in (math.nan, math.inf):
        chain.u.weight.data[0, 0] = value
        with pytest.raises(ValueError, match="layer 'u': weight contains NaN or infinity"):
            lowrank.chain_kernel(chain)
    with pytest.raises(ValueError, match="no convolutions"):
        lowrank.chain_kernel(nn.Sequential())
    for other in (convolution(), nn.Sequential(nn.Linear(2, 2)), None):
        with pytest.raises(TypeError, match=r"expected an nn\.Sequential of nn\.Conv2d"):
            lowrank.chain_kernel(other)


# --- a whole network -----------------------------------------------------------------------------


def small_net(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 8, 5, stride=2, padding=2), nn.ReLU(),
            nn.Conv2d(8, 24, 3, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(24, 24, 1), nn.ReLU(),
            nn.Conv2d(24, 24, 3, groups=4), nn.ReLU(),
            nn.Flatten(), nn.Linear(24 * 25, 10),
        )  # fmt: skip


@pytest.mark.parametrize("method", ["svd", "cp", "tucker", "tt"])
def test_every_method_compresses_a_network(method):
    model, x = small_net(), torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    before = copy.deepcopy(model.state_dict())
    for budget in ({"rank": 3}, {"ratio": 2}):
        small = lowrank.compress(model, method, **budget)
        rows = lowrank.plan(model, method, **budget)
        assert [row.name for row in rows] == ["0", "2", "4", "6", "9"]
        assert (rows[3].rank, rows[3].break_even) == (None, 0)  # in groups
        assert isinstance(small[6], nn.Conv2d)
        for row in rows:
            new = small.get_submodule(row.name)
            assert networks.parameter_count(new) == row.parameters_after
            assert row.parameters_after <= row.parameters_before
            plain = type(new) is type(model.get_submodule(row.name))
            assert plain == (row.rank is None)
            if method != "tt" and row.rank is not None and len(row.shape) == 2:
                weight = new.u.weight @ new.vh.weight
                old = model.get_submodule(row.name).weight
                off = torch.linalg.norm(weight - old) / old.norm()
                assert row.error == pytest.approx(off.item(), rel=1e-4)
        assert small(x).shape == (3, 10)
    assert networks.parameter_count(model) / networks.parameter_count(small) >= 2
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_a_matrix_has_one_low_rank_form():
    model = small_net()
    svd, cp, tucker = (lowrank.compress(model, m, rank=3) for m in ("svd", "cp", "tucker"))
    for name in ("4", "9"):
        parts = [m.get_submodule(name).state_dict() for m in (svd, cp, tucker)]
        for other in parts[1:]:
            assert all(torch.equal(parts[0][k], other[k]) for k in parts[0])
            assert parts[0].keys() == other.keys()


@pytest.mark.parametrize("energy", [0.5, 0.8, 0.95])
def test_energy_is_kept(energy):
    model = small_net()
    for row in lowrank.plan(model, "tt", energy=energy):
        assert row.error <= math.sqrt(1 - energy) + 1e-6
    for row in lowrank.plan(model, "svd", energy=energy):
        assert row.error <= math.sqrt(1 - energy) + 1e-6
    for row in lowrank.plan(model, "tucker", energy=energy):
        assert row.error <= math.sqrt(2 * (1 - energy)) + 1e-6
        if row.rank is not None and len(row.shape) == 4 and row.shape[2] > 1:
            for mode, rank in zip((1, 0), row.rank, strict=True):
                s = spectrum(model.get_submodule(row.name).double(), mode).square()
                assert s[:rank].sum() >= energy * s.sum()
                assert s[: rank - 1].sum() < energy * s.sum()


@pytest.mark.parametrize("method", ["svd", "cp", "tucker", "tt"])
def test_break_even_is_the_largest_rank_that_pays(method):
    model = nn.Sequential(nn.Conv2d(8, 12, 3, padding=1))
    [row] = lowrank.plan(model, method, rank=1)
    [pays] = lowrank.plan(model, method, rank=row.break_even)
    [grows] = lowrank.plan(model, method, rank=row.break_even + 1)
    assert pays.rank is not None
    assert pays.parameters_after < pays.parameters_before
    assert grows.rank is None


@pytest.mark.parametrize("method", ["svd", "tucker", "tt"])
@pytest.mark.parametrize("ratio", [1.5, 3, 8])
def test_the_ratio_is_reached_and_no_more_than_needed(method, ratio):
    model = networks.resnet_small(width=8)
    size = networks.parameter_count(lowrank.compress(model, method, ratio=ratio))
    reached = networks.parameter_count(model) / size
    assert ratio <= reached <= 1.25 * ratio + 0.1  # the largest layer's next rank


def test_ensembles():
    ensemble = networks.Ensemble([small_net(s) for s in range(2)])
    x = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    for method in ("cp", "tucker", "tt"):
        both = lowrank.compress(ensemble, method, rank=4)
        alone = lowrank.compress(ensemble.members[1], method, rank=4)
        torch.testing.assert_close(both(x)[1], alone(x))


def digits_net(seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.AvgPool2d(2), nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.BatchNorm2d(16), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(32 * 9, 10),
        )  # fmt: skip


SETTINGS = {"batch_size": 64, "lr": 3e-3, "progress": False}


@pytest.fixture(scope="module")
def dense_nets():
    train = data.load("digits", "train")
    return [training.fit(digits_net(s), train, epochs=4, seed=s, **SETTINGS) for s in range(3)]


@pytest.mark.parametrize("method", ["svd", "cp", "tucker", "tt"])
def test_fine_tuning_recovers_accuracy_on_digits(method, dense_nets):
    train, (x, y) = data.load("digits", "train"), data.load("digits", "validation")
    accuracies = []
    for seed, dense in enumerate(dense_nets):
        crude = lowrank.compress(dense, method, ratio=4)
        tuned = training.fit(crude, train, epochs=4, seed=seed, **SETTINGS)
        steps = dense, crude, tuned
        accuracies.append([uncertainty.accuracy(uncertainty.predict(m, x), y) for m in steps])
    before, after, recovered = torch.tensor(accuracies).mean(0).tolist()
    assert before > 0.95
    assert after < 0.7
    assert recovered > max(after + 0.2, 0.55)

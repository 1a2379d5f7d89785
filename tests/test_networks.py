"""The networks, their sizes and seeds, and the two containers."""

import numpy as np
import pytest
import torch
from torch import nn

from uecompress import ensembles, networks, storage

SEEDED = [
    networks.mlp,
    networks.cnn,
    networks.cnn_as_printed,
    networks.lenet300,
    networks.lenet5,
    networks.resnet_small,
    networks.vit_tiny,
]


def images(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("make", "count"),
    [
        (networks.mlp, 242_178),
        (networks.cnn, 410_540),
        (networks.cnn_as_printed, 410_540),
        (networks.lenet300, 266_610),
        (networks.lenet5, 431_080),
        (networks.resnet_small, 77_754),
        (networks.vit_tiny, 71_946),
    ],
)
def test_parameter_counts(make, count):
    assert networks.parameter_count(make()) == count


def test_mlp_parameters_by_formula_for_other_sizes():
    # d inputs, h units, k hidden layers, c classes; batch norm 2 n, linear n m + m
    d, h, k, c = 7, 5, 4, 3
    expected = (2 * d + d * h + h) + (k - 1) * (2 * h + h * h + h) + (2 * h + h * c + c)
    assert networks.parameter_count(networks.mlp(d, h, k, c)) == expected


@pytest.mark.parametrize("make", SEEDED)
def test_seed_decides_the_weights_and_leaves_the_generator_alone(make):
    torch.manual_seed(123)
    before = torch.get_rng_state()
    first, second, other = make(seed=7), make(seed=7), make(seed=8)
    assert torch.equal(torch.get_rng_state(), before)
    for (name, a), b, c in zip(
        first.state_dict().items(),
        second.state_dict().values(),
        other.state_dict().values(),
        strict=True,
    ):
        assert torch.equal(a, b), name
        layer = first.get_submodule(name.rpartition(".")[0])
        if isinstance(layer, nn.Linear | nn.Conv2d):
            assert not torch.equal(a, c), name


def test_seed_gives_torch_default_initialisation():
    model = networks.lenet300(seed=3)
    torch.manual_seed(3)
    assert torch.equal(model.linear1.weight, nn.Linear(784, 300).weight)


def test_mlp_is_the_printed_one():
    kinds = [(name, type(module)) for name, module in networks.mlp(depth=2).named_children()]
    assert kinds == [
        ("flatten", nn.Flatten),
        *(("norm1", nn.BatchNorm1d), ("linear1", nn.Linear)),
        *(("relu1", nn.ReLU), ("dropout1", nn.Dropout)),
        *(("norm2", nn.BatchNorm1d), ("linear2", nn.Linear)),
        *(("relu2", nn.ReLU), ("dropout2", nn.Dropout)),
        *(("norm3", nn.BatchNorm1d), ("linear3", nn.Linear)),
    ]
    model = networks.mlp(dropout=0.25)
    assert {m.p for m in model.modules() if isinstance(m, nn.Dropout)} == {0.25}
    x = images(4, 1, 28, 28)
    assert torch.equal(model.eval()(x), model(x.reshape(4, 784)))


def test_printed_cnn_does_not_survive_28_pixels():
    printed = networks.cnn_as_printed().eval()
    with pytest.raises(RuntimeError, match="Output size is too small"):
        printed(images(2, 1, 28, 28))
    assert printed(images(2, 1, 32, 32)).min() >= 0


def test_cnn_differs_from_the_printed_one_by_padding_and_plain_logits():
    x = images(16, 1, 28, 28)
    fixed, printed = networks.cnn(seed=4).eval(), networks.cnn_as_printed(seed=4).eval()
    logits = fixed(x)
    assert logits.min() < 0
    x32 = torch.zeros(16, 1, 32, 32)
    x32[:, :, 2:30, 2:30] = x
    assert torch.equal(logits.clamp(min=0), printed(x32))


def test_printed_cnn_drops_logits_when_training():
    printed = networks.cnn_as_printed(dropout=0.5)
    assert list(printed._modules)[-2:] == ["relu7", "dropout2"]
    assert list(networks.cnn()._modules) == ["pad", *list(printed._modules)[:-2]]


def test_lenet5_against_functional_form():
    import torch.nn.functional as F

    net, x = networks.lenet5(seed=1), images(3, 1, 28, 28)
    h = F.max_pool2d(F.relu(F.conv2d(x, net.conv1.weight, net.conv1.bias)), 2)
    h = F.max_pool2d(F.relu(F.conv2d(h, net.conv2.weight, net.conv2.bias)), 2)
    assert h.shape == (3, 50, 4, 4)
    h = F.relu(F.linear(h.flatten(1), net.linear1.weight, net.linear1.bias))
    assert torch.equal(net(x), F.linear(h, net.linear2.weight, net.linear2.bias))


@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 32)])
@pytest.mark.parametrize("make", [networks.cnn, networks.resnet_small])
def test_convolutional_networks_take_both_image_sizes(make, channels, size):
    logits = make(channels, 7).eval()(images(2, channels, size, size))
    assert logits.shape == (2, 7)


def test_resnet_small_halves_the_image_twice_and_doubles_the_channels():
    net = networks.resnet_small(width=4).eval()
    x = net.relu(net.norm(net.conv(images(1, 1, 28, 28))))
    shapes = []
    for block in (net.block1, net.block2, net.block3):
        x = block(x)
        shapes.append(tuple(x.shape[1:]))
    assert shapes == [(4, 28, 28), (8, 14, 14), (16, 7, 7)]
    assert type(net.block1.shortcut) is nn.Identity


@pytest.mark.parametrize(
    ("make", "sizes", "message"),
    [
        (networks.mlp, {"width": 0}, "width must be a whole number of at least 1, not 0"),
        (networks.mlp, {"depth": 0}, "depth must be a whole number of at least 1, not 0"),
        (
            networks.cnn,
            {"in_channels": -1},
            "in_channels must be a whole number of at least 1",
        ),
        (networks.cnn_as_printed, {"num_classes": 0}, "num_classes must be a whole number"),
        (networks.resnet_small, {"width": 0}, "width must be a whole number"),
        (networks.mlp, {"width": 1.5}, "width must be a whole number"),
        (networks.mlp, {"dropout": 1.5}, r"dropout must be in \[0, 1\], not 1\.5"),
        (networks.mlp, {"dropout": float("nan")}, r"dropout must be in \[0, 1\], not nan"),
        (networks.cnn, {"dropout": float("nan")}, r"dropout must be in \[0, 1\], not nan"),
        (networks.cnn_as_printed, {"dropout": float("nan")}, r"dropout must be in \[0, 1\]"),
    ],
)
def test_impossible_sizes(make, sizes, message):
    with pytest.raises(ValueError, match=message):
        make(**sizes)


def test_sizes_of_numpy_are_those_of_python(tmp_path):
    sizes = {"in_features": np.prod((28, 28)), "width": np.int32(6), "dropout": np.float64(0.1)}
    model = networks.mlp(**sizes, seed=np.arange(3)[2])
    same = networks.mlp(width=6, seed=2)
    assert torch.equal(model.linear1.weight, same.linear1.weight)
    stochastic = ensembles.mc_dropout(model)
    assert storage.save(stochastic, tmp_path / "numpy") == storage.save(
        ensembles.mc_dropout(same), tmp_path / "python"
    )
    pad = networks.ChannelPad2d(np.int64(1), np.int64(2))
    assert pad.config() == {"padding": (1, 1, 1, 1), "channels": 2}
    assert {type(value) for value in (*pad.padding, pad.channels)} == {int}


def test_residual_is_the_sum():
    branch, shortcut, x = nn.Linear(3, 3), nn.Linear(3, 3), images(5, 3)
    assert torch.equal(networks.Residual(branch)(x), branch(x) + x)
    block = networks.Residual(branch, shortcut)
    assert torch.equal(block(x), branch(x) + shortcut(x))
    assert block.config() == {"branch": branch, "shortcut": shortcut}
    assert torch.equal(networks.Residual(**block.config())(x), block(x))


def test_residual_does_not_broadcast():
    with pytest.raises(ValueError, match=r"branch gives shape \(5, 1\), the shortcut \(5, 3\)"):
        networks.Residual(nn.Linear(3, 1))(images(5, 3))


def test_ensemble_gives_one_batch_to_all_or_one_to_each():
    members = [networks.lenet5(seed=seed) for seed in range(3)]
    ensemble = networks.Ensemble(members)
    shared, own = images(4, 1, 28, 28), images(3, 4, 1, 28, 28)
    assert torch.equal(ensemble(shared), torch.stack([member(shared) for member in members]))
    expected = torch.stack([member(own[m]) for m, member in enumerate(members)])
    assert torch.equal(ensemble(own), expected)
    # a batch of M vectors is one batch for everyone
    flat = networks.Ensemble([networks.lenet300(seed=seed) for seed in range(2)])
    assert flat(images(2, 784)).shape == (2, 2, 10)


def test_ensemble_config_rebuilds_it():
    ensemble = networks.Ensemble([networks.lenet300(seed=seed) for seed in range(2)])
    again, x = networks.Ensemble(**ensemble.config()), images(2, 1, 28, 28)
    assert list(ensemble.config()) == ["members"]
    assert torch.equal(again(x), ensemble(x))


def test_ensemble_refuses():
    with pytest.raises(ValueError, match="at least one member"):
        networks.Ensemble([])
    ensemble = networks.Ensemble([networks.lenet300(seed=seed) for seed in range(3)])
    with pytest.raises(ValueError, match="the first is 2 for 3 members"):
        ensemble(images(2, 4, 1, 28, 28))
    with pytest.raises(ValueError, match=r"members.0 returns shape \(4, 28, 28, 28\)"):
        networks.Ensemble([nn.Conv2d(1, 28, 1)])(images(4, 1, 28, 28))
    with pytest.raises(ValueError, match=r"members.0 returns shape \(5, 4, 3\)"):  # no ensemble
        networks.Ensemble([nn.Linear(6, 3)])(images(5, 4, 6))
    with pytest.raises(ValueError, match=r"members.1 returns shape \(4, 2\), members.0 \(4, 3\)"):
        networks.Ensemble([nn.Linear(6, 3), nn.Linear(6, 2)])(images(4, 6))
    with pytest.raises(TypeError, match=r"members.1 must be a module, not None"):
        networks.Ensemble([nn.ReLU(), None])
    with pytest.raises(TypeError, match="branch must be a module"):
        networks.Residual(nn.Linear)
    with pytest.raises(TypeError, match="shortcut must be a module"):
        networks.Residual(nn.ReLU(), torch.relu)


# --- the axis of members -----------------------------------------------------------------------


def lines(count, seed=0):
    torch.manual_seed(seed)
    return [nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).double() for _ in range(count)]


def test_an_ensemble_of_ensembles_has_the_product_of_members_the_outer_slowest():
    members, x = lines(6), images(5, 1, 2, 2).double()
    inner = [networks.Ensemble(members[k : k + 2]) for k in (0, 2, 4)]
    nested, flat = networks.Ensemble(inner), networks.Ensemble(members)
    assert torch.equal(nested(x), flat(x))
    batches = images(3, 5, 1, 2, 2).double()  # one for each of the three, who hand it on
    expected = torch.stack([m(batches[k // 2]) for k, m in enumerate(members)])
    assert torch.equal(nested(batches), expected)


def test_members_may_be_networks_and_ensembles():
    members, x = lines(3), images(5, 1, 2, 2).double()
    mixed = networks.Ensemble([members[0], networks.Ensemble(members[1:])])
    assert torch.equal(mixed(x), networks.Ensemble(members)(x))


class Shift(nn.Module):
    """Adds its own number to each member, whose rows lie in the batch."""

    def __init__(self, count):
        super().__init__()
        self.shift = nn.Parameter(torch.arange(1.0, 1 + count).double())

    def forward(self, x):
        rows = x.unflatten(0, (len(self.shift), -1))
        return (rows + self.shift.view(-1, *[1] * (rows.ndim - 1))).flatten(0, 1)


def test_members_that_share_layers_lie_in_the_batch_member_slowest():
    (line,), x = lines(1), images(5, 1, 2, 2).double()
    shared = networks.SharedEnsemble(nn.Sequential(Shift(3), line), 3)
    expected = torch.stack([line(x + m) for m in (1, 2, 3)])
    torch.testing.assert_close(shared(x), expected, rtol=0, atol=1e-14)
    batches = images(3, 5, 1, 2, 2).double()  # one batch for each member
    expected = torch.stack([line(batch + m) for m, batch in enumerate(batches, start=1)])
    torch.testing.assert_close(shared(batches), expected, rtol=0, atol=1e-14)
    assert networks.parameter_count(shared) == 4 * 3 + 3 + 3


def test_an_ensemble_inside_shared_layers_and_around_them():
    heads, x = lines(2), images(5, 1, 2, 2).double()
    shared = networks.SharedEnsemble(nn.Sequential(Shift(3), networks.Ensemble(heads)), 3)
    rows = torch.stack([head(x + m) for m in (1, 2, 3) for head in heads])
    torch.testing.assert_close(shared(x), rows, rtol=0, atol=1e-14)
    both = networks.Ensemble([shared, heads[1]])
    torch.testing.assert_close(both(x), torch.cat([rows, heads[1](x)[None]]), rtol=0, atol=1e-14)


def test_shared_ensemble_is_built_again_and_refuses():
    shared = networks.SharedEnsemble(nn.Flatten(), np.int64(3))
    assert type(shared.num_estimators) is int
    assert "num_estimators=3" in str(shared)
    again = networks.SharedEnsemble(**shared.config())
    x = images(5, 1, 2, 2)
    assert torch.equal(again(x), x.flatten(1).expand(3, 5, 4))
    with pytest.raises(ValueError, match="num_estimators must be a whole number of at least 1"):
        networks.SharedEnsemble(nn.Flatten(), 0)
    with pytest.raises(TypeError, match="network must be a module"):
        networks.SharedEnsemble(None, 3)
    with pytest.raises(ValueError, match="the first is 2 for 3 members"):
        shared(images(2, 4, 1, 2, 2))
    with pytest.raises(ValueError, match=r"returns shape \(60,\) for 3 × 5 rows"):
        networks.SharedEnsemble(nn.Flatten(0), 3)(x)


def test_examples_of_a_batch_and_of_a_batch_for_each_member():
    x, each = images(5, 1, 2, 2), images(3, 5, 1, 2, 2)
    rows = torch.tensor([4, 0])
    assert torch.equal(networks.examples(x, rows), x[[4, 0]])
    assert torch.equal(networks.examples(each, rows), each[:, [4, 0]])
    assert [networks.example_axis(t) for t in (x[0, 0], x[0], x, each)] == [0, 0, 0, 1]
    assert networks.for_members(x, 3).untyped_storage()._cdata == x.untyped_storage()._cdata


def test_the_type_of_a_network_is_that_of_its_first_floating_point_tensor():
    x = images(2, 3)
    layer = nn.Linear(3, 2, bias=False)
    layer.weight = nn.Parameter(torch.ones(2, 3, dtype=torch.int8), requires_grad=False)
    assert networks.dtype_and_device(layer, x)[0] == torch.float32  # that of x: there is no other
    layer.register_buffer("codes", torch.ones(2, dtype=torch.int8))
    layer.register_buffer("scale", torch.ones((), dtype=torch.float64))
    assert networks.dtype_and_device(layer, x)[0] == torch.float64
    layer.bias = nn.Parameter(torch.ones(2, dtype=torch.bfloat16))
    assert networks.dtype_and_device(layer, x)[0] == torch.bfloat16
    with pytest.raises(TypeError, match=r"the network needs torch.bfloat16"):
        networks.check_inputs(layer, x)


def test_channel_pad_surrounds_each_channel_with_its_value():
    pad, x = networks.ChannelPad2d((1, 2, 3, 0), 2), images(4, 2, 5, 6)
    assert torch.equal(pad(x), nn.ZeroPad2d((1, 2, 3, 0))(x))
    pad.value.copy_(torch.tensor([0.5, -7.0]))
    for c in range(2):
        channel = nn.functional.pad(x[:, c], (1, 2, 3, 0), value=pad.value[c].item())
        assert torch.equal(pad(x)[:, c], channel)
    again = networks.ChannelPad2d(**pad.config())
    again.load_state_dict(pad.state_dict())
    assert torch.equal(again(x), pad(x))


def test_channel_pad_passes_gradients_and_vectorises():
    pad, x = networks.ChannelPad2d(1, 2), images(3, 4, 2, 5, 5).requires_grad_()
    weights = images(3, 4, 2, 7, 7, seed=1)
    (gradient,) = torch.autograd.grad((pad(x) * weights).sum(), x)
    assert torch.equal(gradient, weights[..., 1:-1, 1:-1])
    assert torch.equal(torch.vmap(pad)(x), pad(x))


def test_channel_pad_refuses():
    for padding in (-1, (0, 0, 0, -1), (0.5, 1, 1, 1)):
        with pytest.raises(ValueError, match="padding must be a whole number of at least 0"):
            networks.ChannelPad2d(padding, 1)
    with pytest.raises(ValueError, match="padding must be one number or four"):
        networks.ChannelPad2d((1, 1), 1)
    with pytest.raises(TypeError, match="padding must be a number, not None"):
        networks.ChannelPad2d(None, 1)
    with pytest.raises(ValueError, match="channels must be a whole number of at least 1, not 0"):
        networks.ChannelPad2d(1, 0)
    with pytest.raises(ValueError, match="input has 1 channels, the padding 2"):
        networks.ChannelPad2d(1, 2)(images(1, 1, 4, 4))

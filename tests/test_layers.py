"""What every layer of ours promises, of every class with ``config()`` that the library has.

The classes are found, not listed: a new layer is covered the moment it exists. One whose
constructor takes other arguments than those of Linear or Conv2d needs an example in ``EXAMPLES``.
"""

import copy
import importlib
import inspect
import math
import pkgutil

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import uecompress
from uecompress import lowrank, networks, quantization, storage
from uecompress.networks import Conv2dLayer, LinearLayer

LINEAR = [
    {"in_features": 6, "out_features": 5},
    {"in_features": 3, "out_features": 4, "bias": False},
]
CONV2D = [
    {"in_channels": 4, "out_channels": 6, "kernel_size": (3, 2), "stride": (2, 1)}
    | {"padding": (1, 0), "dilation": (1, 2), "groups": 2},
    {"in_channels": 2, "out_channels": 3, "kernel_size": 3, "padding": "same", "bias": False},
]
# What Linear and Conv2d layers need beside their sizes.
NEEDED = {name: {"dim": 11, "rank": 2} for name in ("StructuredLinear", "StructuredConv2d")}
NEEDED |= {name: {"dim": 7} for name in ("SubspaceLinear", "SubspaceConv2d")}
TT_CONV2D = {"in_shape": (2, 2), "out_shape": (3, 2), "kernel_size": (3, 2), "rank": 3}


def examples():
    """Arguments of constructors whose signature is not that of Linear or Conv2d, and an input."""
    linear = nn.Linear(6, 5)
    images = torch.rand(3, 4, 9, 8)
    return {
        "Attention": [
            ((*(nn.Linear(6, 6) for _ in range(4)), 3), torch.rand(3, 5, 6)),
            ((linear, linear, nn.Linear(6, 10), nn.Linear(10, 6), 5), torch.rand(3, 7, 6)),
        ],
        "ChannelPad2d": [(((1, 2, 0, 1), 4), images)],
        "Ensemble": [(([nn.Linear(6, 5), nn.Linear(6, 5)],), torch.rand(3, 6))],
        "PositionEmbedding": [((6, 4), torch.rand(3, 4, 2, 3))],
        "Residual": [((nn.Linear(6, 5), linear), torch.rand(3, 6))],
        "SelectFeatures": [((6,), torch.rand(3, 6))],
        "SharedEnsemble": [((linear, 2), torch.rand(3, 6))],
        "TokenMean": [((), torch.rand(3, 5, 6))],
        "DuplicateChannels": [((6, (2, 2, 5)), torch.rand(3, 6)), ((4, (0,)), images)],
        "DynamicFakeQuantize": [((4,), torch.rand(3, 6)), ((8,), images)],
        "FakeQuantize": [((3, False), 5 * torch.rand(3, 6)), ((4,), 9 - 9 * torch.rand(3, 6))],
        "Int8Linear": [((quantization.QuantizedLinear(6, 5),), torch.rand(3, 6))],
        "LearnedFakeQuantize": [((3,), 5 * torch.rand(3, 6)), ((4, False), torch.rand(3, 6))],
        "MCDropout": [((0.5,), torch.rand(3, 6))],
        "TTLinear": [(((2, 3), (4, 2), 2, bias), torch.rand(3, 8)) for bias in (True, False, "tt")],
        "TTConv2d": [
            (TT_CONV2D | {"stride": 2, "padding": (1, 0), "dilation": 2}, images),
            (TT_CONV2D | {"padding": 1, "padding_mode": "reflect", "bias": False}, images),
        ],
    }


def classes():
    """All classes of modules with ``config()`` that are not abstract, by name."""
    found = {}
    for module in pkgutil.walk_packages(uecompress.__path__, "uecompress."):
        if module.name.endswith("__main__"):
            continue
        for value in vars(importlib.import_module(module.name)).values():
            if (
                inspect.isclass(value)
                and issubclass(value, nn.Module)
                and hasattr(value, "config")
                and not inspect.isabstract(value)
                and value.__module__.startswith("uecompress.")
            ):
                assert found.setdefault(value.__name__, value) is value
    return found


CLASSES = classes()
DENSE = {name: cls for name, cls in CLASSES.items() if hasattr(cls, "dense_weight")}
CONVERTED = [cls for cls in CLASSES.values() if issubclass(cls, LinearLayer | Conv2dLayer)]


def instances(name):
    """Examples of a layer, each with an input; all with numbers of their own."""
    cls = CLASSES[name]
    torch.manual_seed(0)
    if issubclass(cls, LinearLayer):
        cases = [(a, torch.rand(3, a["in_features"])) for a in LINEAR]
    elif issubclass(cls, Conv2dLayer):
        cases = [(a, torch.rand(3, a["in_channels"], 9, 8)) for a in CONV2D]
    else:
        cases = examples().get(name)
        if cases is None:
            pytest.fail(f"{cls} has a constructor of its own: give an example of its arguments")
    made = []
    for arguments, x in cases:
        needed = NEEDED.get(name, {})
        layer = cls(**arguments, **needed) if isinstance(arguments, dict) else cls(*arguments)
        with torch.no_grad():
            for parameter in layer.parameters():  # whose start may be zero
                parameter.add_(0.1 * torch.randn_like(parameter))
            for key, buffer in layer.named_buffers():
                if key.endswith("codes"):  # which start at zero
                    buffer.random_(-1, 2)
        made.append((layer.eval(), x))
    return made


every_class = pytest.mark.parametrize("name", sorted(CLASSES))
every_dense_one = pytest.mark.parametrize("name", sorted(DENSE))


def same_state(a, b):
    a, b = a.state_dict(), b.state_dict()
    assert list(a) == list(b)
    for name in a:
        assert a[name].dtype == b[name].dtype
        assert torch.equal(a[name], b[name]), name


def test_the_walk_finds_the_layers():
    assert {"MeanFieldLinear", "VNQConv2d", "TTConv2d"} <= DENSE.keys()
    assert {"Ensemble", "ChannelPad2d"} <= CLASSES.keys() - DENSE.keys()


# --- files --------------------------------------------------------------------------------------


@every_class
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "half"])
def test_a_layer_comes_back_from_a_file(name, dtype, tmp_path):
    for layer, x in instances(name):
        layer = layer.half() if dtype == "half" else layer.to(getattr(torch, dtype))
        x = x.to(torch.float16 if dtype == "half" else getattr(torch, dtype))
        storage.save(layer, tmp_path / "layer")
        loaded = storage.load(tmp_path / "layer")
        assert type(loaded) is type(layer)
        same_state(layer, loaded)
        for a, b in zip(layer.buffers(), loaded.buffers(), strict=True):  # those not stored too
            assert a.dtype == b.dtype
            assert torch.equal(a, b)
        with torch.no_grad():
            assert torch.equal(layer(x), loaded(x))
        if hasattr(layer, "sampling"):
            layer.sampling = loaded.sampling = True
            with torch.no_grad():
                drawn = []
                for each in (layer, loaded):
                    torch.manual_seed(1)
                    drawn.append(each(x))
            assert torch.equal(*drawn)


@every_class
def test_a_file_holds_what_is_frozen(name, tmp_path):
    for layer, _ in instances(name):
        for k, parameter in enumerate(layer.parameters()):
            parameter.requires_grad_(k % 2 == 0)
        storage.save(layer, tmp_path / "layer")
        loaded = storage.load(tmp_path / "layer")
        assert [p.requires_grad for p in loaded.parameters()] == [
            p.requires_grad for p in layer.parameters()
        ]


@every_class
def test_config_makes_the_layer_again(name):
    for layer, x in instances(name):
        again = type(layer)(**copy.deepcopy(layer.config())).eval()
        assert str(again.config()) == str(layer.config())
        again.load_state_dict(layer.state_dict())
        same_state(layer, again)
        with torch.no_grad():
            assert torch.equal(layer(x), again(x))


# --- as a module ----------------------------------------------------------------------------------


@every_class
def test_a_copy_is_equal_and_independent(name):
    for layer, x in instances(name):
        twin = copy.deepcopy(layer)
        same_state(layer, twin)
        with torch.no_grad():
            before = layer(x)
            assert torch.equal(before, twin(x))
            for parameter in twin.parameters():
                parameter.add_(1.0)
            assert torch.equal(before, layer(x))
        assert not {p.data_ptr() for p in layer.parameters() if p.numel()} & {
            p.data_ptr() for p in twin.parameters()
        }


@every_class
def test_print_shows_the_sizes(name):
    for layer, _ in instances(name):
        shown = repr(layer)
        for argument, value in layer.config().items():
            numbers = value if isinstance(value, tuple) else (value,)
            if all(type(number) in (int, float) for number in numbers):
                assert str(value) in shown, f"{argument} is not in {shown}"


@every_dense_one
def test_forward_and_gradients_are_those_of_the_dense_weight(name):
    for layer, x in instances(name):
        layer, x = layer.double(), x.double().requires_grad_()
        weight, bias = layer.dense_weight, layer.dense_bias
        config = layer.config()
        if weight.ndim == 2:
            expected = F.linear(x, weight, bias)
        else:
            conv = nn.utils.skip_init(
                nn.Conv2d, x.shape[1], len(weight), config["kernel_size"],
                bias=bias is not None, dtype=torch.float64,
                **{k: config[k] for k in ("stride", "padding", "dilation", "groups",
                                          "padding_mode") if k in config},
            )  # fmt: skip
            tensors = {"weight": weight} | ({} if bias is None else {"bias": bias})
            expected = torch.func.functional_call(conv, tensors, (x,))
        found = layer(x)
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-12)
        towards = torch.randn_like(found)
        inputs = [x, *(p for p in layer.parameters() if p.requires_grad)]
        gradients = [
            torch.autograd.grad((out * towards).sum(), inputs, retain_graph=True, allow_unused=True)
            for out in (found, expected)
        ]
        for a, b in zip(*gradients, strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-11)


# --- from torch's layers --------------------------------------------------------------------------


def converters():
    """(id, torch's layer with a bias, function to ours), of all that keep weights."""
    cases = []
    for cls in CONVERTED:
        if cls.take is not LinearLayer.take:
            if issubclass(cls, LinearLayer):
                cases.append((cls.__name__, lambda: nn.Linear(6, 5), cls.from_linear))
            else:
                cases.append((cls.__name__, lambda: nn.Conv2d(4, 6, (3, 2), 2, 1), cls.from_conv2d))
    cases.append(("TTLinear", lambda: nn.Linear(6, 5), lowrank.TTLinear.from_linear))
    tt = lambda conv: lowrank.TTConv2d.from_conv2d(conv, (2, 2), (3, 2))  # noqa: E731
    return [*cases, ("TTConv2d", lambda: nn.Conv2d(4, 6, (3, 2), 2, 1), tt)]


@pytest.mark.parametrize(("make", "convert"), [pytest.param(*c[1:], id=c[0]) for c in converters()])
class TestConversion:
    def test_it_keeps_what_the_layer_was(self, make, convert):
        for training in (True, False):
            for weight, bias in ((True, True), (False, True), (True, False), (False, False)):
                plain = make().double().train(training)
                plain.weight.requires_grad_(weight)
                plain.bias.requires_grad_(bias)
                before = copy.deepcopy(plain.state_dict())
                state = torch.get_rng_state()
                layer = convert(plain)
                assert torch.equal(torch.get_rng_state(), state)
                assert all(torch.equal(before[k], v) for k, v in plain.state_dict().items())
                assert layer.training == training
                # half a step
                rounded = {"Quantized": 1 / 254, "LSQ": 1 / 16, "Ternary": 1, "Rate": 1 / 2}
                share = sum(s for name, s in rounded.items() if repr(layer).startswith(name))
                close = {"rtol": 0, "atol": 1e-12 + share * plain.weight.abs().max().item()}
                torch.testing.assert_close(layer.dense_weight, plain.weight, **close)
                assert layer.dense_weight.dtype == torch.float64
                share = share if repr(layer).startswith("Rate") else 0  # others keep the bias
                close = {"rtol": 0, "atol": 1e-12 + share * plain.bias.abs().max().item()}
                torch.testing.assert_close(layer.dense_bias, plain.bias, **close)
                trained = {n: p.requires_grad for n, p in layer.named_parameters()}
                for name, found in trained.items():
                    assert found == (bias if name.startswith("bias") else weight), name

    def test_it_refuses_other_layers(self, make, convert):
        for wrong in (nn.ReLU(), nn.Conv1d(4, 6, 3), nn.LazyLinear(3)):
            if not isinstance(wrong, type(make())):
                with pytest.raises(TypeError, match=r"expected an nn\.(Linear|Conv2d), not"):
                    convert(wrong)
        for number in (math.nan, math.inf):
            for tensor in ("weight", "bias"):
                plain = make()
                getattr(plain, tensor).data.view(-1)[0] = number
                with pytest.raises(ValueError, match=f"{tensor} contains NaN or infinity"):
                    convert(plain)


def test_padding_with_other_numbers_than_zero_is_refused_or_kept():
    conv = nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect")
    for cls in CONVERTED:
        if issubclass(cls, Conv2dLayer):
            with pytest.raises(ValueError, match="padding_mode 'reflect' is not supported"):
                cls.from_conv2d(conv)
    x = torch.rand(2, 4, 7, 7)
    kept = lowrank.TTConv2d.from_conv2d(conv, (2, 2), (3, 2))
    torch.testing.assert_close(kept(x), conv(x), rtol=1e-4, atol=1e-5)


class Drawn(LinearLayer):
    """A layer that cannot keep weights, as a hashed one."""

    def start(self):
        self.bias = nn.Parameter(torch.zeros(self.out_features)) if self.has_bias else None
        self.bucket = nn.Parameter(torch.ones(1))

    @property
    def dense_weight(self):
        return self.bucket.expand(self.out_features, self.in_features)


def test_a_layer_that_draws_its_weights_needs_only_start_and_dense_weight():
    layer = Drawn(3, 2)
    assert layer(torch.ones(4, 3)).tolist() == [[3.0, 3.0]] * 4
    assert repr(layer) == "Drawn(in_features=3, out_features=2, bias=True)"
    with pytest.raises(TypeError, match="a Drawn cannot keep the weights of another layer"):
        Drawn.from_linear(nn.Linear(3, 2))
    with pytest.raises(TypeError, match="unexpected keyword argument 'ratio'"):
        Drawn(3, 2, ratio=8)


# --- bad arguments --------------------------------------------------------------------------------

NO_NUMBERS = [None, "3", 1j, object()]
WRONG = {
    "in_features": (0, -3, 1.5, math.nan, math.inf),
    "stride": (0, -3, 1.5, math.nan, math.inf, (1,), (1, 2, 3), (1, 0)),
    "padding": (-3, 1.5, math.nan, math.inf, (1,), (0, -1)),
    "rank": (0, -3, 1.5, math.nan, math.inf),
}
WRONG |= dict.fromkeys(("out_features", "in_channels", "out_channels", "groups"), WRONG["rank"])
WRONG |= dict.fromkeys(("kernel_size", "dilation"), WRONG["stride"])


@every_class
def test_bad_sizes_are_refused_by_name(name):
    """Whatever the argument, None, strings, NaN and the like never make a layer."""
    layer, _ = instances(name)[0]
    config = layer.config()
    for argument in config:
        for wrong in WRONG.get(argument, ()):
            with pytest.raises(ValueError, match=argument):
                type(layer)(**config | {argument: wrong})
        if argument in WRONG:
            for wrong in NO_NUMBERS if argument != "padding" else [None, 1j, object()]:
                with pytest.raises(TypeError, match=f"{argument} must be a number"):
                    type(layer)(**config | {argument: wrong})


@every_class
def test_numbers_of_every_kind_are_refused_where_they_make_no_sense(name):
    layer, _ = instances(name)[0]
    config = layer.config()
    for argument, value in config.items():
        if type(value) in (int, float):
            for wrong in (math.nan, math.inf, None, "3", 1j):
                with pytest.raises((TypeError, ValueError), match=argument):
                    type(layer)(**config | {argument: wrong})
        if type(value) is bool:
            for wrong in (None, 2, "no", math.nan):
                with pytest.raises((TypeError, ValueError), match=argument):
                    type(layer)(**config | {argument: wrong})
    with pytest.raises(TypeError, match="argument 'colour'"):
        type(layer)(**config, colour=3)


@pytest.mark.parametrize("cls", [c for c in CONVERTED if issubclass(c, Conv2dLayer)])
def test_geometries_that_no_convolution_has(cls):
    for name, sizes in {"in_channels": (3, 4), "out_channels": (4, 3)}.items():
        with pytest.raises(ValueError, match=f"{name} must be a multiple of groups, 2, not 3"):
            cls(*sizes, 3, groups=2)
    with pytest.raises(ValueError, match='padding must be numbers, "same" or "valid"'):
        cls(2, 2, 3, padding="full")
    with pytest.raises(ValueError, match='padding "same" needs stride 1'):
        cls(2, 2, 3, stride=2, padding="same")
    layer = cls(2, 3, 3, **NEEDED.get(cls.__name__, {})).eval()
    for x in (torch.rand(2, 8, 8), torch.rand(1, 1, 2, 8, 8)):
        for layer.sampling in (False, True):
            with pytest.raises(ValueError, match=r"expected \(N, 2, H, W\), not"):
                layer(x)


def test_whole_numbers_of_other_libraries_become_ints(tmp_path):
    import numpy as np

    arguments = {"in_channels": np.int64(2), "out_channels": torch.tensor(4), "kernel_size": 3.0}
    arguments |= {"padding": [np.int32(1), 0], "groups": np.uint8(2)}
    layer = networks.replace_layers(
        nn.Conv2d(2, 4, 3), lambda name, leaf: CLASSES["MeanFieldConv2d"](**arguments)
    )
    assert layer.config()["padding"] == (1, 0)
    storage.save(layer, tmp_path / "layer")
    assert storage.load(tmp_path / "layer").config() == layer.config()

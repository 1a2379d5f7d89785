"""A network comes back from its file bit for bit, and what a file cannot hold is refused."""

import math
import os
import stat
import subprocess
import sys
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize, prune

from uecompress import bayes, ensembles, lowrank, networks, storage
from uecompress.networks import ChannelPad2d, Ensemble, Residual

IMAGES = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
DTYPES = (
    torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.bool, torch.int8,
    torch.int16, torch.int32, torch.int64, torch.uint8, torch.uint16, torch.uint32, torch.uint64,
)  # fmt: skip


def bits(tensor):
    return tensor.detach().contiguous().flatten().view(torch.uint8).tolist()


def assert_same_state(a, b):
    a, b = a.state_dict(), b.state_dict()
    assert a.keys() == b.keys()
    for name, tensor in a.items():
        assert tensor.dtype == b[name].dtype
        assert tensor.shape == b[name].shape
        assert bits(tensor) == bits(b[name]), name


def there_and_back(model, tmp_path):
    path = tmp_path / "network.uec"
    size = storage.save(model, path)
    assert size == os.path.getsize(path) == storage.sizes(path)["bytes"].sum()
    state, decoded = model.state_dict(), storage.decode_state(path)
    loaded = storage.load(path)
    if loaded.state_dict().keys() == state.keys():
        assert decoded.keys() == state.keys()
        for name, tensor in state.items():
            if tensor.dtype == torch.bfloat16:
                tensor = (tensor.view(torch.int16).int() << 16).view(torch.float32)
            assert bits(torch.from_numpy(decoded[name].copy())) == bits(tensor)
    assert not any(module.training for module in loaded.modules())
    return loaded


def perturbed(model, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator))
    return model


NAMES = {dtype: str(dtype).removeprefix("torch.") for dtype in DTYPES}
LAYERS = [
    nn.Linear(5, 3), nn.Linear(5, 3, bias=False), nn.Conv1d(2, 4, 3, stride=2, groups=2),
    nn.Conv2d(2, 4, (3, 2), padding=1, dilation=2, padding_mode="reflect", bias=False),
    nn.Conv2d(2, 3, 3, padding="same"), nn.BatchNorm1d(4, eps=1e-3, momentum=None),
    nn.BatchNorm2d(4, affine=False), nn.BatchNorm2d(3, track_running_stats=False),
    nn.LayerNorm((4, 5), bias=False), nn.LayerNorm(4, elementwise_affine=False),
    nn.GroupNorm(2, 4), nn.Embedding(7, 3, padding_idx=1), nn.Flatten(0), nn.Unflatten(1, (2, 3)),
    nn.Identity(), nn.ReLU(inplace=True), nn.LeakyReLU(0.3),
    nn.GELU("tanh"), nn.SiLU(), nn.Tanh(), nn.Sigmoid(), nn.Softplus(2.0), nn.Softmax(1),
    nn.LogSoftmax(-1), nn.Dropout(0.3), nn.Dropout2d(0.2), nn.MaxPool2d(3, stride=1, padding=1),
    nn.AvgPool2d(2, count_include_pad=False), nn.AdaptiveAvgPool2d((None, 2)),
    nn.ZeroPad2d((1, 2, 0, 3)), nn.Upsample(scale_factor=2.5, mode="bilinear"),
    nn.Upsample(size=(4, 5)), nn.ModuleList([nn.Tanh(), nn.Linear(2, 2)]),
    ensembles.MCDropout(0.25), ChannelPad2d((1, 0, 2, 1), 3), nn.Sequential(),
    lowrank.TTLinear((2, 3), (4, 2), 3), lowrank.TTLinear((2, 3, 2), (1, 4, 2), (1, 2, 3, 1), "tt"),
    lowrank.TTLinear((6,), (4,), 3, bias=False), lowrank.TTConv2d((2, 1), (2, 3), (3, 2), 2),
    lowrank.TTConv2d((3,), (2,), 3, 5, (2, 1), "valid", (1, 2), False, "reflect"),
]  # fmt: skip


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
def test_every_layer_comes_back(layer, tmp_path):
    loaded = there_and_back(perturbed(layer), tmp_path)
    assert type(loaded) is type(layer)
    assert str(loaded) == str(layer)
    assert_same_state(loaded, layer)


NETWORKS = {
    "mlp": networks.mlp,
    "cnn": networks.cnn,
    "cnn_as_printed": networks.cnn_as_printed,
    "lenet300": networks.lenet300,
    "lenet5": networks.lenet5,
    "resnet_small": networks.resnet_small,
    "ensemble": lambda: Ensemble([networks.lenet5(seed=m) for m in range(2)]),
    "mc_dropout": lambda: ensembles.mc_dropout(networks.mlp()),
    "svd": lambda: lowrank.compress(networks.lenet5(), "svd", rank=3),
    "cp": lambda: lowrank.compress(networks.lenet5(), "cp", rank=3),
    "tucker": lambda: lowrank.compress(networks.lenet5(), "tucker", rank=3),
    "tt": lambda: lowrank.compress(networks.lenet5(), "tt", rank=3),
    "frozen tt, half": lambda: (
        lowrank.compress(networks.lenet5(), "tt", rank=3).to(torch.bfloat16).requires_grad_(False)
    ),
    "ensemble of trains with dropout": lambda: ensembles.mc_dropout(
        lowrank.compress(Ensemble([networks.cnn(seed=m) for m in range(2)]), "tt", rank=3)
    ),
    "fused": lambda: networks.fuse_batch_norm(perturbed(networks.cnn()).eval()),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_predict_the_same(name, tmp_path):
    model = NETWORKS[name]().eval()
    x = IMAGES if name != "cnn_as_printed" else torch.rand(3, 1, 32, 32)
    x = x.to(next(model.parameters()).dtype)
    state = torch.get_rng_state()
    loaded = there_and_back(model, tmp_path)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(loaded(x), model(x))
    assert str(loaded) == str(model)
    assert_same_state(loaded, model)
    trained, again = ([p.requires_grad for p in m.parameters()] for m in (model, loaded))
    assert trained == again


def test_the_structure_of_lenet5_takes_at_most_140_bytes(tmp_path):
    storage.save(networks.lenet5(), tmp_path / "a")
    sizes = storage.sizes(tmp_path / "a")
    assert sizes.tensor[0] == "(structure)"
    assert sizes.bytes[0] <= 140
    assert list(sizes.iloc[1][["tensor", "shape", "dtype"]]) == [
        "conv1.weight",
        "20×1×5×5",
        "float32",
    ]


class Codes(nn.Module):
    """A layer as the library has them: a stored buffer of any dtype, and one that is rebuilt."""

    def __init__(self, shape, dtype, inner=(), extra=None):
        super().__init__()
        self.shape, self.dtype, self.inner = shape, dtype, nn.ModuleList(inner)
        self.register_buffer("value", torch.zeros(shape, dtype=getattr(torch, dtype)))
        self.register_buffer("index", torch.arange(5), persistent=False)
        self.extra = extra

    def config(self):
        inner = list(self.inner)
        return {"shape": self.shape, "dtype": self.dtype, "inner": inner, "extra": self.extra}


@pytest.fixture
def codes_layer(monkeypatch):
    monkeypatch.setattr(Codes, "__module__", "uecompress.networks")
    monkeypatch.setattr(networks, "Codes", Codes, raising=False)
    return Codes


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype_and_odd_shapes(dtype, tmp_path, codes_layer):
    raw = torch.randint(0, 256, (4, 30, 8), generator=torch.Generator().manual_seed(0))
    raw = raw.to(torch.uint8)
    values = raw % 2 == 1 if dtype == torch.bool else raw.view(dtype)
    model = nn.Sequential()
    for tensor in (values, values[0, 0, 0], values[:, :0], values[:, ::3].mT, values[:1]):
        layer = codes_layer(tuple(tensor.shape), NAMES[dtype], [nn.Tanh()], [1, None, "a", 0.5])
        layer.value = tensor
        model.append(layer)
    loaded = there_and_back(model, tmp_path)
    assert_same_state(loaded, model)
    for layer in loaded:
        assert layer.index.tolist() == [0, 1, 2, 3, 4]
        assert layer.extra == [1, None, "a", 0.5]


def test_special_values_and_flags(tmp_path):
    special = torch.tensor(
        [0x7FC00000, 0x7F800001, -0x3FFFFF, 0x7F800000, -0x800000, -(2**31), 0, 1]
    )
    model = nn.Sequential(nn.Linear(8, 2), nn.Linear(2, 2)).train()
    model[0].weight.data = torch.stack([special, special.flip(0)]).int().view(torch.float32)
    model[1] = model[1].half().requires_grad_(False)
    model[1].bias.requires_grad_(True)
    loaded = there_and_back(model, tmp_path)
    assert_same_state(loaded, model)
    assert [p.requires_grad for p in loaded.parameters()] == [True, True, False, True]
    assert model.training
    assert isinstance(loaded[0].weight, nn.Parameter)


def test_what_is_shared_is_stored_once_and_shared_again(tmp_path):
    layer = nn.Linear(64, 64)
    model = nn.Sequential(OrderedDict(a=layer, act=nn.ReLU(), again=layer, tied=nn.Linear(64, 64)))
    model.tied.weight = layer.weight
    alone = storage.save(layer, tmp_path / "alone")
    loaded = there_and_back(model, tmp_path)
    assert_same_state(loaded, model)
    assert loaded.again is loaded.a
    assert loaded.tied.weight is loaded.a.weight
    assert loaded.tied.bias is not loaded.a.bias
    assert os.path.getsize(tmp_path / "network.uec") < alone + 64 * 4 + 100
    body = networks.cnn()
    shared = there_and_back(
        Ensemble([nn.Sequential(body, nn.Linear(10, 2)) for _ in range(2)]), tmp_path
    )
    assert shared.members[0][0] is shared.members[1][0]


def test_sizes_and_flags_may_be_numbers_of_numpy(tmp_path):
    size, rate = np.prod((28, 28)), np.float64(0.1)
    for model in (
        networks.mlp(in_features=size),
        nn.Linear(np.int64(4), np.int32(3)),
        bayes.SparseVDLinear(np.int64(4), 3),
        ensembles.mc_dropout(networks.mlp(in_features=8, dropout=rate)),
        nn.Sequential(
            nn.Dropout(np.float32(0.25)), nn.ReLU(np.bool_(True)), nn.Flatten(np.int8(1))
        ),
    ):
        loaded = there_and_back(model, tmp_path)
        assert_same_state(loaded, model)
    assert (loaded[0].p, loaded[1].inplace, loaded[2].start_dim) == (0.25, True, 1)
    assert [type(v) for v in (loaded[0].p, loaded[1].inplace, loaded[2].start_dim)] == [
        float, bool, int
    ]  # fmt: skip
    plain = storage.size(nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.25)))
    assert storage.size(nn.Sequential(nn.Linear(np.int64(4), 3), nn.Dropout(np.float16(0.25)))) == (
        plain
    )


class Rotary(nn.Module):
    """Makes a floating table again that is not stored, beside a weight or without one."""

    def __init__(self, weight=True):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3)) if weight else None
        self.register_buffer("table", torch.arange(1.0, 4) / 3, persistent=False)
        self.register_buffer("exact", torch.arange(3).double() / 3, persistent=False)
        self.register_buffer("index", torch.arange(3), persistent=False)

    def config(self):
        return {"weight": self.weight is not None}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_buffers_that_are_rebuilt_follow_the_stored_dtype(dtype, tmp_path, monkeypatch):
    monkeypatch.setattr(Rotary, "__module__", "uecompress.networks")
    monkeypatch.setattr(networks, "Rotary", Rotary, raising=False)
    model = nn.Sequential(Rotary(), nn.Sequential(Rotary(False), nn.Linear(3, 3)), Rotary())
    for changed in (None, "all", "inner"):
        if changed:
            (model if changed == "all" else model[1]).to(dtype)
        loaded = there_and_back(model, tmp_path)
        for (name, left), (_, right) in zip(
            loaded.named_buffers(), model.named_buffers(), strict=True
        ):
            assert left.dtype == right.dtype, name
            assert bits(left) == bits(right), name
        model = nn.Sequential(Rotary(), nn.Sequential(Rotary(False), nn.Linear(3, 3)), Rotary())


def test_the_size_without_a_file_is_that_of_the_file(tmp_path):
    for model in (networks.lenet5(), networks.mlp().state_dict(), nn.Sequential(), {}):
        assert storage.size(model) == storage.save(model, tmp_path / "a")
        assert storage.size(model) == os.path.getsize(tmp_path / "a")


def test_a_network_keeps_the_permissions_and_the_link_of_its_file(tmp_path):
    (tmp_path / "real").write_bytes(b"")
    (tmp_path / "real").chmod(0o640)
    (tmp_path / "link").symlink_to("real")
    storage.save(nn.Linear(2, 2), tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert stat.S_IMODE((tmp_path / "real").stat().st_mode) == 0o640
    with pytest.raises(FileExistsError, match="null is a device"):
        storage.save(nn.Linear(2, 2), os.devnull)


class Doubled(nn.Module):
    def forward(self, x):
        return 2 * x


def test_computed_weights_become_plain_ones(tmp_path):
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 20), nn.ReLU(), nn.Linear(20, 10))
    parametrize.register_parametrization(model[1], "weight", Doubled())
    prune.l1_unstructured(model[3], "weight", amount=0.7)
    model[3].weight_orig.data *= 3  # the attribute `weight` is now out of date
    loaded = there_and_back(model, tmp_path)
    assert type(loaded[1]) is nn.Linear
    assert set(loaded.state_dict()) == {"1.weight", "1.bias", "3.weight", "3.bias"}
    assert torch.equal(loaded(IMAGES), model(IMAGES))
    assert not (loaded[3].weight.signbit() & (loaded[3].weight == 0)).any()
    assert parametrize.is_parametrized(model[1])
    code = storage.sizes(tmp_path / "network.uec").set_index("tensor").code
    assert "sparse" in code["3.weight"]


def test_a_weight_computed_in_training_is_stored_as_in_evaluation_and_the_network_stays(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(5, 4))).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    loaded = there_and_back(model, tmp_path)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert model[0].parametrizations.weight.training
    assert torch.equal(loaded[0].weight, model.eval()[0].weight)


class Foreign(nn.Linear):
    pass


def test_what_a_file_cannot_hold_is_named_and_nothing_is_written(tmp_path):
    path = tmp_path / "network.uec"
    storage.save(nn.Linear(2, 2), path)
    before = path.read_bytes()
    hooked, extra, wide, own = (nn.Linear(2, 2) for _ in range(4))
    own.forward = lambda x: 2 * x
    hooked.register_forward_hook(lambda *_: None)
    extra.register_buffer("more", torch.zeros(2))
    wide.in_features = 3
    sparse = nn.Linear(2, 2)
    sparse.weight = nn.Parameter(torch.eye(2).to_sparse())
    odd = ChannelPad2d(1, 2)
    odd.channels = 2j
    for layer, message in [
        (Foreign(2, 2), r"'block\.branch\.0' is a .*Foreign"),
        (nn.Bilinear(2, 2, 2), r"'block\.branch\.0' is a torch.*Bilinear"),
        (hooked, r"'block\.branch\.0' has a hook"),
        (own, r"'block\.branch\.0' has a forward of its own"),
        (extra, r"'block\.branch\.0\.more' is in the table"),
        (wide, r"'block\.branch\.0\.weight' has shape \(2, 2\) for a \(2, 3\)"),
        (odd, r"block\.branch\.0\.channels is a complex"),
        (nn.Dropout(math.nan), r"block\.branch\.0\.p is NaN"),
        (nn.Linear(2, 2, dtype=torch.complex64), r"'block\.branch\.0\.weight' is torch\.complex64"),
        (nn.Linear(2, 2, device="meta"), r"'block\.branch\.0\.weight' is on the device meta"),
        (sparse, r"'block\.branch\.0\.weight' is torch\.sparse_coo"),
    ]:
        model = nn.Sequential(OrderedDict(block=Residual(nn.Sequential(layer))))
        with pytest.raises(TypeError, match=message):
            storage.save(model, path)
        assert path.read_bytes() == before
    with pytest.raises(IsADirectoryError, match="is a directory"):
        storage.save(nn.Linear(2, 2), tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no directory .*nowhere to write 'a' into"):
        storage.save(nn.Linear(2, 2), tmp_path / "nowhere" / "a")
    assert os.listdir(tmp_path) == ["network.uec"]


def test_what_is_no_network_or_has_no_end_is_refused(tmp_path):
    for thing in ([nn.Linear(2, 2)], None, torch.eye(2), "a"):
        with pytest.raises(TypeError, match=r"expected a network, .*, or its state dict, not"):
            storage.save(thing, tmp_path / "a")
        with pytest.raises(TypeError, match=r"expected a network, .*, or its state dict, not"):
            storage.size(thing)
    itself = nn.Sequential(nn.Linear(2, 2))
    itself.append(itself)
    doubled = nn.Sequential(nn.Linear(2, 2))
    for _ in range(60):
        doubled = nn.Sequential(doubled, doubled)
    for model in (itself, doubled):
        with pytest.raises(TypeError, match="contains itself, or more than 16384 modules"):
            storage.save(model, tmp_path / "a")
    assert not os.listdir(tmp_path)


def test_an_error_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "network.uec"
    storage.save(nn.Linear(2, 2), path)
    before = path.read_bytes()

    def fail(array):
        raise OSError("no space left")

    monkeypatch.setattr("uecompress.storage.codes.encode", fail)
    with pytest.raises(OSError, match="no space"):
        storage.save(nn.Linear(3, 3), path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["network.uec"]


def test_missing_files_and_directories(tmp_path):
    for function in (storage.load, storage.decode_state, storage.sizes):
        with pytest.raises(FileNotFoundError):
            function(tmp_path / "nothing")
        with pytest.raises(IsADirectoryError, match="is a directory"):
            function(tmp_path)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = storage.nothing


def test_decoding_does_not_import_torch(tmp_path):
    model = networks.lenet300().to(torch.bfloat16)
    storage.save(model, tmp_path / "a")
    program = (
        "import sys; from uecompress import storage; s = storage.decode_state(sys.argv[1]); "
        "storage.sizes(sys.argv[1]); assert 'torch' not in sys.modules; "
        "print(s['linear1.weight'].dtype, repr(float(s['linear1.weight'].sum(dtype='f8'))))"
    )
    run = [sys.executable, "-c", program, tmp_path / "a"]
    decoded = model.linear1.weight.float().numpy(force=True)
    out = subprocess.run(run, check=True, capture_output=True, text=True).stdout.split()
    assert out == ["float32", repr(float(decoded.sum(dtype="f8")))]


def test_a_network_of_100_mb_needs_less_than_1_gb(tmp_path):
    program = """
import resource, sys, torch
from torch import nn
from uecompress import storage
storage.save(nn.Linear(2, 2), sys.argv[1]); storage.load(sys.argv[1])
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
base = peak()
model = nn.Linear(5000, 5000, bias=False)
size = storage.save(model, sys.argv[1])
assert torch.equal(storage.load(sys.argv[1]).weight, model.weight)
print(size, peak() - base)
"""
    run = [sys.executable, "-c", program, tmp_path / "a"]
    size, kilobytes = subprocess.run(run, check=True, capture_output=True).stdout.split()
    assert int(size) < 100e6
    assert int(kilobytes) < 1e6


def test_safetensors(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    model = networks.cnn()
    model.linear1.to(torch.bfloat16)
    model.norm7.bias = model.norm7.weight
    storage.save(model, tmp_path / "a")
    storage.export_safetensors(tmp_path / "a", tmp_path / "b")
    loaded = safetensors.load_file(tmp_path / "b")
    state = model.state_dict()
    assert loaded.keys() == state.keys()
    for name, tensor in state.items():
        assert loaded[name].dtype == tensor.dtype
        assert torch.equal(loaded[name], tensor)


def test_an_error_in_an_export_leaves_the_old_file(tmp_path, monkeypatch):
    pytest.importorskip("safetensors.torch")

    def fail(*_, **__):
        raise OSError("no space left")

    storage.save(nn.Linear(2, 2), tmp_path / "a")
    monkeypatch.setattr("safetensors.torch.save", fail)
    monkeypatch.setattr("torch.onnx.export", fail)
    (tmp_path / "b").write_bytes(b"old")
    for export in (
        lambda: storage.export_safetensors(tmp_path / "a", tmp_path / "b"),
        lambda: storage.export_onnx(networks.mlp(), IMAGES, tmp_path / "b"),
    ):
        with pytest.raises(OSError, match="no space"):
            export()
        assert (tmp_path / "b").read_bytes() == b"old"
        assert sorted(os.listdir(tmp_path)) == ["a", "b"]


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_onnx(tmp_path):
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    model = perturbed(nn.Sequential(*networks.resnet_small(width=4))).train()
    storage.export_onnx(model, IMAGES, tmp_path / "a.onnx")
    assert model.training
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx")
    x = torch.rand(5, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    y = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
    torch.testing.assert_close(torch.from_numpy(y), model.eval()(x), rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_onnx_of_trains_takes_any_batch(tmp_path):
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    model = lowrank.compress(networks.cnn(), "tt", rank=4).eval()
    storage.export_onnx(model, IMAGES, tmp_path / "a.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx")
    for n in (1, 7):
        x = torch.rand(n, 1, 28, 28, generator=torch.Generator().manual_seed(1))
        y = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
        torch.testing.assert_close(torch.from_numpy(y), model(x), rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_onnx_refuses_what_works_for_one_size_of_batch(tmp_path):
    pytest.importorskip("onnxscript")
    model = nn.Sequential(nn.Unflatten(0, (4, 1)), nn.Flatten(0, 1))
    with pytest.raises(ValueError, match="depends on the size 4 of the batch"):
        storage.export_onnx(model, torch.rand(4, 3), tmp_path / "a")
    assert not os.listdir(tmp_path)


def test_onnx_refuses_what_can_be_sampled(tmp_path):
    with pytest.raises(ValueError, match="'dropout1' can be sampled"):
        storage.export_onnx(ensembles.mc_dropout(networks.mlp()), IMAGES, tmp_path / "a")
    for x in (IMAGES[:0], IMAGES[:1], IMAGES[:, :, :0], torch.tensor(1.0)):
        with pytest.raises(ValueError, match=r"x must hold at least two inputs, not shape \("):
            storage.export_onnx(networks.mlp(), x, tmp_path / "a")
    assert not os.listdir(tmp_path)

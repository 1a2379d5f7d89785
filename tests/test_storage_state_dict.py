"""The state dict of any network becomes a small file and comes back as it was."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from uecompress import networks, storage
from uecompress.storage import container

DTYPES = [getattr(torch, name) for name in container.DTYPES]


def bits(tensor):
    return tensor.detach().contiguous().flatten().view(torch.uint8).tolist()


def there_and_back(state, path):
    size = storage.save(state, path)
    assert size == path.stat().st_size == storage.sizes(path)["bytes"].sum()
    assert size == storage.size(state)
    loaded, decoded = storage.load(path), storage.decode_state(path)
    assert type(loaded) is dict
    assert list(loaded) == list(decoded) == list(state)
    for name, tensor in state.items():
        assert loaded[name].dtype == tensor.dtype
        assert loaded[name].shape == tensor.shape
        assert loaded[name].device.type == "cpu"
        assert bits(loaded[name]) == bits(tensor), name
        if tensor.dtype == torch.bfloat16:
            tensor = tensor.float()
        assert bits(torch.from_numpy(decoded[name].copy())) == bits(tensor), name
    return loaded


class Foreign(nn.Module):
    """A network that is no tree: a file cannot name its class."""

    def __init__(self, seed=0):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.embed = nn.Embedding(20, 6)
            self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
            self.norm = nn.BatchNorm1d(6)
            self.head = nn.Linear(6, 20, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("steps", torch.tensor(3))

    def forward(self, tokens):
        x = self.embed(tokens)
        x = x + self.attention(x, x, x)[0]
        return self.head(self.norm(x.mT).mT)


def test_a_foreign_network_predicts_the_same(tmp_path):
    model = Foreign().train()
    tokens = torch.randint(0, 20, (5, 7), generator=torch.Generator().manual_seed(0))
    model(tokens)  # moves the statistics
    with pytest.raises(TypeError, match=r"'the network itself' is a .*Foreign"):
        storage.save(model, tmp_path / "a")
    loaded = there_and_back(model.state_dict(), tmp_path / "a")
    again = Foreign(seed=1)
    assert str(again.load_state_dict(loaded)) == "<All keys matched successfully>"
    assert torch.equal(again.eval()(tokens), model.eval()(tokens))
    table = storage.sizes(tmp_path / "a")
    assert list(table.tensor)[1:] == [n for n in model.state_dict() if n != "head.weight"]


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small"])
def test_a_pruned_and_clustered_network_of_torchvision_becomes_small(name, tmp_path):
    models = pytest.importorskip("uecompress.vision").torchvision.models
    model = getattr(models, name)(num_classes=10).eval()
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            size = module.weight.detach().abs()
            keep = size > size.flatten().sort().values[int(0.9 * size.numel())]
            module.weight.data = torch.where(keep, module.weight.sign() * size.max(), 0)
    bytes_written = storage.save(model.state_dict(), tmp_path / "a")
    assert bytes_written < 4 * sum(p.numel() for p in model.parameters()) / 25
    again = getattr(models, name)(num_classes=10)
    again.load_state_dict(storage.load(tmp_path / "a"))
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again.eval()(x), model(x))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype_every_code_and_odd_shapes(dtype, tmp_path):
    raw = torch.randint(0, 256, (40, 30, 8), generator=torch.Generator().manual_seed(0))
    raw = raw.to(torch.uint8)
    values = raw % 2 == 1 if dtype == torch.bool else raw.view(dtype)
    few = torch.cat([values[:1], values[:1], torch.zeros_like(values[:5])])
    state = {
        "noise": values,
        "constant": torch.zeros_like(values),
        "sparse": few.clone(),
        "codebook": values[:1].repeat(9, 1, 1),
        "0-d": values[0, 0, 0].clone(),
        "empty": values[:, :0],
        "strided": values[:, ::3].mT,
        "slice": values[1:],  # of the same memory as "noise", but no other name of it
        "ünïcode.名 with space": values[2].clone(),
        "": values[3].clone(),
    }
    loaded = there_and_back(state, tmp_path / "a")
    assert loaded["slice"].data_ptr() != loaded["noise"].data_ptr()


def test_special_values_survive(tmp_path):
    special = torch.tensor([np.nan, -np.nan, np.inf, -np.inf, -0.0, 0.0, 5e-45, 65504.0])
    there_and_back({"a": special, "b": special.double(), "c": special.half()}, tmp_path / "a")


def test_what_is_shared_is_stored_once_and_is_one_again(tmp_path):
    a = torch.rand(50, 50, generator=torch.Generator().manual_seed(0))
    state = OrderedDict(first=a, other=a[0].clone(), again=a, view=a[:], flat=a.flatten(), row=a[0])
    loaded = there_and_back(state, tmp_path / "a")
    assert loaded["again"] is loaded["first"]
    assert loaded["view"] is loaded["first"]  # the same view of the same memory
    for name in ("flat", "row", "other"):  # other shapes of it are tensors of their own
        assert loaded[name].data_ptr() != loaded["first"].data_ptr()
    decoded = storage.decode_state(tmp_path / "a")
    assert decoded["again"] is decoded["first"]
    assert len(storage.sizes(tmp_path / "a")) == 1 + 4
    empty = {"a": torch.empty(0, 3), "b": torch.empty(0, 3)}
    loaded = there_and_back(empty, tmp_path / "a")
    assert loaded["a"] is not loaded["b"]


def test_parameters_and_masks_of_prune_are_tensors_like_others(tmp_path):
    layer = nn.Linear(30, 20)
    prune.l1_unstructured(layer, "weight", amount=0.9)
    loaded = there_and_back(layer.state_dict(keep_vars=True), tmp_path / "a")
    assert sorted(loaded) == ["bias", "weight_mask", "weight_orig"]
    assert not any(t.requires_grad or isinstance(t, nn.Parameter) for t in loaded.values())


def test_what_is_no_tensor_is_refused_by_name(tmp_path):
    fine = torch.eye(2)
    for state, message in [
        ({"a": fine, "epoch": 3}, "entry 'epoch' is a int; a state dict has only tensors"),
        ({"model": {"a": fine}}, "entry 'model' is a dict"),
        ({"a": fine.numpy()}, "entry 'a' is a ndarray"),
        ({"a._extra_state": None}, "entry 'a._extra_state' is a NoneType"),
        ({1: fine}, "strings as names, not 1"),
        ({"a": fine.to_sparse()}, "'a' is torch.sparse_coo, which a file cannot hold"),
        ({"a": fine.to(torch.complex64)}, "'a' is torch.complex64, which a file cannot hold"),
        ({"a": fine.to("meta")}, "'a' is on the device meta, which a file cannot hold"),
    ]:
        with pytest.raises(TypeError, match=message):
            storage.save(state, tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_a_state_dict_as_safetensors(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    state = Foreign().state_dict()
    storage.save(state, tmp_path / "a")
    storage.export_safetensors(tmp_path / "a", tmp_path / "b")
    loaded = safetensors.load_file(tmp_path / "b")
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())


def test_a_network_costs_more_than_its_state_only_by_its_structure(tmp_path):
    model = networks.mlp(width=37)  # sizes that the preset dictionary does not hold
    storage.save(model, tmp_path / "a")
    storage.save(model.state_dict(), tmp_path / "b")
    a, b = (storage.sizes(tmp_path / name) for name in "ab")
    assert a[1:].equals(b[1:])
    assert 0 < a.bytes[0] - b.bytes[0] < 100

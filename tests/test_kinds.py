"""The table of kinds says what modules do: each row is held against the module itself."""

import pytest
import torch
from torch import nn

from uecompress import ensembles, networks, storage
from uecompress.networks.kinds import KINDS, Kind, kind_of

# One module of each kind that is built with arguments.
EXAMPLES = {
    nn.Linear: nn.Linear(3, 3), nn.Conv1d: nn.Conv1d(3, 3, 1), nn.Conv2d: nn.Conv2d(3, 3, 1),
    nn.Embedding: nn.Embedding(3, 2), nn.BatchNorm1d: nn.BatchNorm1d(3),
    nn.BatchNorm2d: nn.BatchNorm2d(3), nn.LayerNorm: nn.LayerNorm(4),
    nn.GroupNorm: nn.GroupNorm(1, 3), nn.Unflatten: nn.Unflatten(1, (3, 1)),
    nn.MaxPool2d: nn.MaxPool2d(2, padding=1), nn.AvgPool2d: nn.AvgPool2d(2, padding=1),
    nn.AdaptiveMaxPool2d: nn.AdaptiveMaxPool2d((2, 1)),
    nn.AdaptiveAvgPool2d: nn.AdaptiveAvgPool2d((None, 2)), nn.ZeroPad2d: nn.ZeroPad2d((1, 0, 2, 1)),
    nn.Upsample: nn.Upsample(scale_factor=2.0, mode="bicubic"), nn.ELU: nn.ELU(0.5, inplace=True),
    nn.Softmax: nn.Softmax(1), nn.LogSoftmax: nn.LogSoftmax(1),
    networks.ChannelPad2d: networks.ChannelPad2d(1, 3),
}  # fmt: skip


def each_kind(where):
    """Run a test for every kind whose row fulfils this."""
    found = [kind for kind, row in KINDS.items() if where(row)]
    return pytest.mark.parametrize("kind", found, ids=lambda kind: kind.__name__)


def example(kind):
    return EXAMPLES[kind] if kind in EXAMPLES else kind()


def outputs(module, x):
    """Of a clone, since some work in place, with the same random numbers each time."""
    torch.manual_seed(0)
    return module(x.clone())


def images():
    return torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))


@each_kind(lambda row: row.entrywise)
def test_entrywise_kinds_do_the_same_to_every_shape(kind):
    x, module = images(), example(kind)
    assert torch.equal(outputs(module, x).flatten(), outputs(module, x.flatten()))
    changed = x.clone()
    changed[1, 2, 3, 0] += 1.5
    other = outputs(module, changed) != outputs(module, x)
    other[1, 2, 3, 0] = False
    assert not other.any()


@each_kind(lambda row: row.channelwise)
def test_channelwise_kinds_keep_channels_apart(kind):
    x, module = images(), example(kind).train()
    y = outputs(module, x)
    assert y.shape[:2] == (2, 3)
    changed = x.clone()
    changed[:, 1] += 1.5
    assert torch.equal(outputs(module, changed)[:, ::2], y[:, ::2])


@each_kind(lambda row: row.keeps_zero or row.entrywise)
def test_kinds_that_keep_zeros_are_those_that_say_so(kind):
    y = outputs(example(kind), torch.zeros(2, 3, 4, 4))
    assert KINDS[kind].keeps_zero == bool((y == 0).all())


@each_kind(lambda row: row.arguments is not None)
def test_every_kind_of_torch_can_be_stored(kind, tmp_path):
    module = example(kind)
    storage.save(nn.Sequential(module), tmp_path / "network")
    loaded = storage.load(tmp_path / "network")[0]
    assert type(loaded) is kind
    for name in KINDS[kind].arguments:
        assert isinstance(getattr(module, name), nn.Parameter) or (
            getattr(loaded, name) == getattr(module, name)
        ), name


@each_kind(lambda row: row.inputs)
def test_the_attribute_of_inputs_holds_their_number(kind):
    assert getattr(example(kind), KINDS[kind].inputs) == 3


def test_a_subclass_is_of_no_kind_unless_it_says_so():
    class Clipped(nn.ReLU):
        pass

    class Louder(ensembles.MCDropout):
        pass

    assert kind_of(ensembles.MCDropout(0.1)) == KINDS[nn.Dropout]
    assert kind_of(Clipped()) == kind_of(Louder(0.1)) == kind_of(networks.mlp()) == Kind()


def test_monte_carlo_dropout_shrinks_as_dropout_does():
    model = networks.mlp().eval()
    with torch.no_grad():
        model.linear2.weight[:, 50:] = 0
    sampled = ensembles.mc_dropout(model)
    small = [networks.shrink(network) for network in (model, sampled)]
    assert [networks.parameter_count(network) for network in small] == [94_128, 94_128]
    x = torch.rand(4, 1, 28, 28)
    torch.testing.assert_close(small[1](x), model(x))
    assert isinstance(small[1].dropout1, ensembles.MCDropout)

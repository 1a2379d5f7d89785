"""Units that sums and products tie together are removed together, in any network."""

import pytest
from foreign import (
    BasicBlock,
    ConcatNet,
    Gated,
    MobileNet,
    ResNet,
    assert_same_state,
    images,
    randomised,
    state_of,
    without_inputs,
)
from torch import nn

from uecompress import networks


def without_readings(model, readers, keep, units):
    """The oracle: what reads the units gives those that go zero weights, nothing else changes."""
    for reader in readers:
        model = without_inputs(model, reader, keep, units)
    return model


RESNET = (networks.resnet_small, (3, 1, 12, 12))
FOREIGN = (ResNet, (3, 1, 20, 20))
MOBILE = (MobileNet, (3, 1, 20, 20))
STREAM = ("layer1.0.conv1", "layer1.1.conv1", "layer2.0.conv1", "layer2.0.shortcut.0")
TIED = {  # layers that lose units together -> network, those that read them, number of units
    ("conv", "block1.branch.conv2"): (
        RESNET,
        ("block1.branch.conv1", "block2.branch.conv1", "block2.shortcut.conv"),
        16,
    ),
    ("block2.branch.conv2", "block2.shortcut.conv"): (
        RESNET,
        ("block3.branch.conv1", "block3.shortcut.conv"),
        32,
    ),
    ("block3.branch.conv2", "block3.shortcut.conv"): (RESNET, ("linear",), 64),
    ("conv1", "layer1.0.conv2", "layer1.1.conv2"): (FOREIGN, STREAM, 4),
    ("layer1.0.conv1",): (FOREIGN, ("layer1.0.conv2",), 4),
    ("layer2.0.conv2", "layer2.0.shortcut.0"): (FOREIGN, ("fc",), 6),
    ("stem", "project"): (MOBILE, ("expand", "classifier"), 4),
    ("expand", "depthwise", "squeeze.fc2"): (MOBILE, ("squeeze.fc1", "project"), 8),
    ("squeeze.fc1",): (MOBILE, ("squeeze.fc2",), 4),
}


@pytest.mark.parametrize("tied", TIED)
def test_units_go_together_from_all_that_a_sum_ties(tied):
    (make, shape), readers, units = TIED[tied]
    model = randomised(make())
    before, x = state_of(model), images(*shape)
    keep = [unit for unit in range(units) if unit % 2 == 0]
    reduced = [networks.keep_units(model, name, keep) for name in tied]
    for name in tied:
        assert len(reduced[0].get_submodule(name).weight) == len(keep)
    for other in reduced[1:]:  # whichever is named
        assert_same_state(other, reduced[0].state_dict())
    expected = without_readings(model, readers, keep, units)(x)
    difference = (reduced[0](x) - expected).abs().max()
    assert difference <= 1e-12 * expected.abs().max().clamp(min=1)
    assert (expected - model(x)).abs().max() > 1e-6  # the units did matter
    assert_same_state(model, before)


@pytest.mark.parametrize("make", [networks.resnet_small, ResNet, MobileNet])
def test_every_layer_but_the_last_can_lose_units(make):
    model = randomised(make())
    *layers, last = [name for name, _ in networks.linear_and_conv_layers(model)]
    for name in layers:
        smaller = networks.keep_units(model, name, range(1, len(model.get_submodule(name).weight)))
        assert networks.parameter_count(smaller) < networks.parameter_count(model)
        assert smaller(images(2, 1, 20, 20)).isfinite().all()
    with pytest.raises(ValueError, match=f"'{last}': no layer follows"):
        networks.keep_units(model, last, [0])


def test_removal_is_exact_in_train_mode_too():
    model = randomised(networks.resnet_small()).train()
    keep, x = [0, 3, 7], images(4, 1, 12, 12)
    readers = TIED["conv", "block1.branch.conv2"][1]
    expected = without_readings(model, readers, keep, 16)(x)
    reduced = networks.keep_units(model, "conv", keep)
    assert (reduced(x) - expected).abs().max() <= 1e-12 * expected.abs().max()


def test_a_layer_beside_the_identity_loses_rows_and_columns():
    layers = [nn.Linear(3, 5), networks.Residual(nn.Linear(5, 5)), nn.Linear(5, 2)]
    model, x = randomised(nn.Sequential(*layers)), images(4, 3)
    for name in ("0", "1.branch"):
        reduced = networks.keep_units(model, name, [1, 2])
        assert reduced[1].branch.weight.shape == (2, 2)
        expected = without_readings(model, ("1.branch", "2"), [1, 2], 5)(x)
        assert (reduced(x) - expected).abs().max() <= 1e-12


def test_members_of_an_ensemble_lose_tied_units_each_by_itself():
    model = randomised(
        networks.Ensemble([networks.resnet_small(width=4, seed=seed) for seed in range(2)])
    )
    reduced = networks.keep_units(model, "members.1.block1.branch.conv2", [0, 2])
    assert_same_state(reduced.members[0], model.members[0].state_dict())
    readers = [f"members.1.{name}" for name in TIED["conv", "block1.branch.conv2"][1]]
    x = images(2, 1, 12, 12)
    expected = without_readings(model, readers, [0, 2], 4)(x)
    assert (reduced(x) - expected).abs().max() <= 1e-12 * expected.abs().max()


@pytest.mark.parametrize("flatten", ["flatten", "view", "reshape"])
def test_flattening_by_a_method_keeps_a_units_entries_together(flatten):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm, self.fc = nn.Conv2d(1, 4, 3), nn.BatchNorm1d(36), nn.Linear(36, 2)

        def forward(self, x):
            x = self.conv(x).sigmoid()
            shape = {"flatten": (1,), "view": (x.size(0), -1), "reshape": (x.shape[0], -1)}
            return self.fc(self.norm(getattr(x, flatten)(*shape[flatten])))

    model, x = randomised(Net()), images(3, 1, 5, 5)
    reduced = networks.keep_units(model, "conv", [1, 3])
    expected = without_inputs(model, "fc", [1, 3], 4)(x)
    assert (reduced(x) - expected).abs().max() <= 1e-12


class Attention(nn.Module):
    """One head that cuts its features by a view."""

    def __init__(self):
        super().__init__()
        self.query, self.out = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        return self.out(self.query(x).view(x.shape[0], 2, 2).transpose(1, 2).flatten(1))


class Repeated(nn.Module):
    """Calls one layer of its ``nn.Sequential`` once more."""

    def __init__(self):
        super().__init__()
        self.block, self.last = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU()), nn.Conv2d(4, 1, 3)

    def forward(self, x):
        return self.last(self.block(x) + self.block[0](x))


class Reader(nn.Module):
    """Reads the weight of a layer instead of calling it."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x):
        return nn.functional.linear(self.first(x), self.second.weight)


class OwnForward(nn.Linear):
    """A layer that is no plain one."""

    def forward(self, x):
        return super().forward(x).flip(-1)


def hooked(model, name):
    """The network, with a hook that turns the units of a module around."""
    model.get_submodule(name).register_forward_hook(lambda module, inputs, output: output.flip(1))
    return model


def tied(model):
    model[2].weight = model[0].weight
    return model


@pytest.mark.parametrize(
    ("model", "name", "message"),
    [
        (ConcatNet(), "conv1", "'conv1': its outputs are concatenated with others, by 'cat'"),
        (Attention(), "query", "'query': 'view' .* not known to treat each unit by itself"),
        (Repeated(), "block.0", "'block.0' is called 2 times"),
        (Reader(), "first", "'first': 'linear' .* not known to treat each unit by itself"),
        (Reader(), "second", "'second' has a tensor that the module around it reads"),
        (
            nn.Sequential(networks.Residual(nn.Linear(4, 4)), nn.Linear(4, 2)),
            "0.branch",
            "'0.branch': its outputs are added to the network's input",
        ),
        (
            nn.Sequential(Gated(nn.Linear(4, 4)), nn.Linear(4, 2)),
            "0.body",
            "'0.body' is inside '0', which torch.fx cannot trace .TraceError: .* control flow",
        ),
        (
            nn.Sequential(nn.Linear(4, 4), Gated(nn.ReLU()), nn.Linear(4, 2)),
            "0",
            "'0': '1' is not known to treat each unit by itself",
        ),
        (
            Gated(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))),
            "body.0",
            "'body.0' is inside the network, which torch.fx cannot trace",
        ),
        (hooked(networks.lenet300(), "linear1"), "linear1", "'linear1' has a hook"),
        (hooked(networks.lenet300(), "relu1"), "linear1", "'linear1': 'relu1' has a hook"),
        (hooked(networks.lenet300(), "linear2"), "linear1", "'linear1': 'linear2' has a hook"),
        (
            hooked(ResNet(), "layer1"),
            "conv1",
            "'conv1': a hook of a container takes its outputs",
        ),
        (
            nn.Sequential(OwnForward(4, 4), nn.Linear(4, 2)),
            "0",
            "'0' is of the class OwnForward",
        ),
        (
            tied(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.Linear(4, 2))),
            "0",
            "'0' shares a tensor with '2'",
        ),
        (
            nn.Sequential(
                networks.Residual(nn.Conv2d(1, 4, 1), nn.Conv2d(1, 1, 1)), BasicBlock(4, 4)
            ),
            "0.branch",
            "'0.branch': 4 units do not fit the 1 of '0.shortcut'",
        ),
    ],
)
def test_what_cannot_lose_units_says_why(model, name, message):
    before = state_of(model)
    with pytest.raises(ValueError, match=message):
        networks.keep_units(model, name, [0])
    assert_same_state(model, before)


def test_a_hook_of_a_container_hides_only_what_passes_through_it():
    model = randomised(hooked(ResNet(), "layer1"))
    reduced = networks.keep_units(model, "layer1.0.conv1", [0, 2])
    expected = without_inputs(model, "layer1.0.conv2", [0, 2], 4)
    x = images(2, 1, 20, 20)
    assert (reduced(x) - expected(x)).abs().max() <= 1e-12


def test_what_a_forward_leaves_on_its_module_is_not_left_by_looking():
    class Remembers(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.seen = nn.Linear(3, 4), nn.Linear(4, 2), None

        def forward(self, x):
            self.seen = self.first(x)
            return self.second(self.seen)

    model = Remembers()
    assert networks.keep_units(model, "first", [0, 1]).seen is None
    assert model.seen is None

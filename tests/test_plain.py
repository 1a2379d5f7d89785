"""What a method may not replace or change: it is left alone and reported, in one way by all."""

import copy
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, parametrize, prune

from uecompress import bayes, ensembles, lowrank, networks, training, uncertainty
from uecompress.networks.reads import tensors_read


def images(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


class Adapted(nn.Linear):
    """W x + b + B A x, as adapters compute it."""

    def __init__(self, inputs, outputs):
        super().__init__(inputs, outputs)
        self.a = nn.Parameter(torch.randn(2, inputs))
        self.b = nn.Parameter(torch.randn(outputs, 2))

    def forward(self, x):
        return super().forward(x) + x @ self.a.T @ self.b.T


class Standardized(nn.Conv2d):
    def forward(self, x):
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(x, weight / weight.std(), self.bias)


class Reader(nn.Module):
    """Reads the weight of its layer instead of calling it."""

    def __init__(self):
        super().__init__()
        self.layer, self.other = nn.Linear(8, 8), nn.Linear(8, 8)
        self.shift = nn.Parameter(torch.zeros(8))  # what it has itself, it may read

    def forward(self, x):
        self.seen = x  # a trace must not leave its symbols here
        return self.other(F.linear(x, self.layer.weight, self.shift).relu())


class Tied(nn.Module):
    """A language model in small: the last layer has the weight of the embedding."""

    def __init__(self):
        super().__init__()
        self.embedding, self.middle = nn.Embedding(64, 32), nn.Linear(32, 32)
        self.out = nn.Linear(32, 64, bias=False)
        self.out.weight = self.embedding.weight

    def forward(self, x):
        return self.out(self.middle(self.embedding(x)))


def with_gradient_hook(layer):
    layer.weight.register_hook(lambda gradient: 0 * gradient)
    return layer


def with_forward(layer):
    layer.forward = lambda x: 2 * F.linear(x, layer.weight, layer.bias)
    return layer


def with_computed_weight(layer):
    weight = layer.weight.detach()
    del layer.weight
    layer.weight = weight
    return layer


def with_buffer(layer):
    layer.register_buffer("mask", torch.ones(8, 8))
    return layer


def hooked(kind):
    def make(layer):
        getattr(layer, f"register_{kind}")(lambda *_: None)
        return layer

    return make


# What is done to a Linear, and why it is then no longer plain.
REASONS = {
    "subclass": (lambda _: Adapted(8, 8), "is of the class Adapted"),
    "forward hook": (hooked("forward_hook"), "has a hook"),
    "forward pre-hook": (hooked("forward_pre_hook"), "has a hook"),
    "backward hook": (hooked("full_backward_hook"), "has a hook"),
    "backward pre-hook": (hooked("full_backward_pre_hook"), "has a hook"),
    "gradient hook": (with_gradient_hook, "has a hook on the gradient of a tensor"),
    "forward": (with_forward, "has a forward of its own"),
    "computed": (with_computed_weight, "has a weight that is computed elsewhere"),
    "buffer": (with_buffer, "holds more than a weight and a bias"),
    "lazy": (lambda _: nn.LazyLinear(8), "has no weights before its first input"),
    "pruned": (
        lambda m: prune.l1_unstructured(m, "weight", 0.5),
        "is parametrized: networks.plain",
    ),
    "weight norm": (parametrizations.weight_norm, "is parametrized"),
    "old spectral norm": (nn.utils.spectral_norm, "is parametrized"),
}
METHODS = {
    "compress": lambda model: lowrank.compress(model, rank=2),
    "variational": lambda model: bayes.variational(model, "sparse_vd"),
    "cluster_weights": lambda model: networks.cluster_weights(model, 4),
}


def treated(layer):
    """Whether one of these methods has been at work."""
    if type(layer) is nn.Linear:
        return len(layer.weight.unique()) == 4
    return isinstance(layer, nn.Sequential | bayes.SparseVDLinear)


def changed(model, method):
    """The network that a method makes, and the warnings that it gives."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = METHODS[method](model)
    return result, [str(each.message) for each in caught]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", REASONS)
def test_what_is_not_plain_is_left_alone_and_reported(method, case):
    make, reason = REASONS[case]
    model = nn.Sequential(make(nn.Linear(8, 8)), nn.Linear(8, 8)).eval()
    result, warned = changed(model, method)
    assert len(warned) == 1
    assert warned[0].startswith(f"left as they are: '0' {reason}")
    assert type(result[0]) is type(model[0])
    assert treated(result[1])
    if case != "lazy":
        x = images(3, 8)
        torch.testing.assert_close(result[0](x), model[0](x), rtol=0, atol=0)
    with pytest.raises(ValueError, match=f"no plain Linear or Conv2d layer: '0' {reason}"):
        METHODS[method](nn.Sequential(make(nn.Linear(8, 8)), nn.ReLU()))
    with pytest.raises(ValueError, match=f"layer: the network {reason}"):
        METHODS[method](make(nn.Linear(8, 8)))


@pytest.mark.parametrize("method", METHODS)
def test_a_convolution_with_a_forward_of_its_own_keeps_it(method):
    model = nn.Sequential(Standardized(3, 3, 3), nn.Conv2d(3, 4, 3)).eval()
    result, warned = changed(model, method)
    assert "'0' is of the class Standardized" in warned[0]
    assert torch.equal(result[0](images(2, 3, 6, 6)), model[0](images(2, 3, 6, 6)))


@pytest.mark.parametrize("method", METHODS)
def test_tied_weights_stay_tied(method):
    result, warned = changed(Tied(), method)
    assert warned == ["left as they are: 'out' shares a tensor with 'embedding'"]
    assert result.out.weight is result.embedding.weight
    two = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    two[1].bias = two[0].bias
    with pytest.raises(
        ValueError, match="'0' shares a tensor with '1'; '1' shares a tensor with '0'"
    ):
        METHODS[method](two)


def test_compress_never_makes_a_tied_network_larger():
    model = Tied()
    assert networks.parameter_count(model) == 64 * 32 + 32 * 33
    with pytest.warns(UserWarning, match="'out' shares"):
        small = lowrank.compress(model, energy=0.5)
    assert networks.parameter_count(small) < networks.parameter_count(model)
    with pytest.warns(UserWarning, match="'out' shares"):
        small = lowrank.compress(model, ratio=1.2)
    assert networks.parameter_count(model) / networks.parameter_count(small) >= 1.2
    with (
        pytest.warns(UserWarning, match="'out' shares"),
        pytest.raises(ValueError, match=r"ratio 1\.5 is out of reach: rank 1 everywhere gives"),
    ):
        lowrank.compress(model, ratio=1.5)


@pytest.mark.parametrize("method", METHODS)
def test_a_layer_whose_weight_its_parent_reads_is_left_alone(method):
    model = nn.Sequential(Reader(), nn.ReLU()).eval()
    assert tensors_read(model) == {"0.layer.weight"}
    assert list(networks.obstacles(model)) == ["0.layer"]
    result, warned = changed(model, method)
    assert warned == ["left as they are: '0.layer' has a tensor that the module around it reads"]
    assert torch.equal(result[0].layer.weight, model[0].layer.weight)
    assert result(images(3, 8)).shape == (3, 8)
    assert "seen" not in vars(model[0])


def test_of_a_module_that_cannot_be_traced_nothing_is_known():
    class Decides(nn.Module):
        def __init__(self):
            super().__init__()
            self.reader = Reader()

        def forward(self, x):
            return self.reader(x) if x.sum() > 0 else x

    assert tensors_read(Decides()) == {"reader.layer.weight"}  # its child can be traced


TRANSFORMERS = {
    "attention": lambda: nn.MultiheadAttention(8, 2),
    "encoder layer": lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
    "decoder layer": lambda: nn.TransformerDecoderLayer(8, 2, 16, batch_first=True),
    "encoder": lambda: nn.TransformerEncoder(
        nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2, enable_nested_tensor=False
    ),
    "transformer": lambda: nn.Transformer(8, 2, 1, 1, 16, batch_first=True),
}


@pytest.mark.parametrize("method", [*METHODS, "mc_dropout"])
@pytest.mark.parametrize("kind", TRANSFORMERS)
def test_the_transformers_of_torch_are_refused_with_advice(kind, method):
    if (kind, method) == ("attention", "mc_dropout"):
        return  # it has no module for its dropout
    act = METHODS.get(method, ensembles.mc_dropout)
    with pytest.raises(ValueError, match=r"part of a torch\.nn\..*as networks\.vit_tiny\(\) does"):
        act(TRANSFORMERS[kind]())


def test_a_layer_beside_attention_is_compressed_and_the_network_runs():
    model = nn.Sequential(TRANSFORMERS["encoder layer"](), nn.Linear(8, 8)).eval()
    x = images(2, 5, 8)
    with pytest.warns(
        UserWarning, match=r"each of '0\.self_attn\.out_proj', '0\.linear1', '0\.linear2'"
    ):
        small = lowrank.compress(model, rank=8 // 3)
    assert torch.equal(small[0](x), model[0](x))
    assert isinstance(small[1], nn.Sequential)


def test_dropout_with_a_hook_keeps_it():
    model = nn.Sequential(nn.Dropout(0.1), nn.Linear(8, 3), nn.Dropout(0.2)).eval()
    model[0].register_forward_hook(lambda module, inputs, output: 2 * output)
    with pytest.warns(UserWarning, match="'0' has a hook"):
        sampled = ensembles.mc_dropout(model)
    assert torch.equal(sampled(images(4, 8)), model(images(4, 8)))
    assert [type(sampled[k]) for k in (0, 2)] == [nn.Dropout, ensembles.MCDropout]


@pytest.mark.parametrize(
    ("kind", "act"),
    [
        ("sparse_vd", lambda model: bayes.prune(model, 3.0)),
        ("group_jeffreys", lambda model: bayes.prune_groups(model, {})),
        ("vnq", bayes.quantize),
    ],
)
def test_a_posterior_with_a_hook_stays_a_posterior(kind, act):
    model = bayes.variational(nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8)), kind)
    model[0].register_forward_hook(lambda *_: None)
    with pytest.warns(UserWarning, match="'0' has a hook"):
        result = act(model)
    assert type(result[0]) is type(model[0])
    assert type(result[1]) is nn.Linear
    model[1].register_forward_hook(lambda *_: None)
    with pytest.raises(ValueError, match="each of '0', '1' has a hook"):
        act(model)


# ---------------------------------------------------------------- networks.plain


COMPUTED = {
    "prune": lambda layer: prune.l1_unstructured(layer, "weight", 0.5),
    "parametrized weight norm": parametrizations.weight_norm,
    "parametrized spectral norm": parametrizations.spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "weight norm": nn.utils.weight_norm,
    "spectral norm": nn.utils.spectral_norm,
}


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("kind", COMPUTED)
def test_plain_gives_values_and_leaves_its_input(kind, frozen):
    torch.manual_seed(0)
    model = nn.Sequential(COMPUTED[kind](nn.Linear(8, 8)), nn.ReLU(), nn.Linear(8, 3))
    model.requires_grad_(not frozen)
    x = images(5, 8)
    model(x)  # leaves a weight with a graph behind
    before, cached = copy.deepcopy(model.state_dict()), vars(model[0]).get("weight")
    result = networks.plain(model)
    assert vars(model[0]).get("weight") is cached
    assert type(result[0]) is nn.Linear
    assert [n for n, _ in result.named_parameters()] == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert {p.requires_grad for p in result.parameters()} == {not frozen}
    assert not networks.obstacles(result)
    assert result.training
    after = model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert torch.equal(result.eval()(x), model.eval()(x))
    model.train()(x)  # and it works on


def test_plain_does_not_change_what_a_pruned_layer_shares():
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    model[1].weight = model[0].weight
    prune.l1_unstructured(model[0], "weight", 0.5)
    result = networks.plain(model)
    assert torch.equal(result[0].weight == 0, model[0].weight_mask == 0)
    assert torch.equal(result[1].weight, model[1].weight)


def test_plain_keeps_buffers_buffers_and_hooks_hooks():
    class Half(nn.Module):
        def forward(self, x):
            return x / 2

    norm = parametrize.register_parametrization(nn.BatchNorm1d(3), "running_mean", Half())
    norm.register_forward_hook(lambda module, inputs, output: output + 1)
    result = networks.plain(norm)
    assert "running_mean" in result._buffers
    assert torch.equal(result.eval()(images(4, 3)), norm.eval()(images(4, 3)))


PRUNED = {
    "mc_dropout": ensembles.mc_dropout,
    "replace_layers": lambda model: networks.replace_layers(model, lambda name, leaf: None),
    **METHODS,
}


@pytest.mark.filterwarnings("ignore:left as they are")
@pytest.mark.parametrize("method", PRUNED)
def test_methods_work_on_a_network_that_torch_has_pruned(method):
    model = nn.Sequential(nn.Linear(8, 16), nn.Dropout(0.2), nn.Linear(16, 3)).eval()
    prune.l1_unstructured(model[0], "weight", 0.5)
    model(images(2, 8))
    result = PRUNED[method](model)
    assert torch.equal(result[0].weight_mask, model[0].weight_mask)
    assert torch.equal(result[0](images(2, 8)), model[0](images(2, 8)))


def test_a_pruned_network_is_trained_once_it_is_plain():
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    prune.l1_unstructured(model[0], "weight", 0.5)
    assert networks.nonzero_weights(model) == 64 + 48
    ordinary = networks.plain(model)
    data = images(20, 8), torch.arange(20) % 3
    settings = {"epochs": 2, "batch_size": 5, "lr": 0.01, "seed": 0, "progress": False}
    held = networks.hold_zeros(ordinary)
    tuned = training.fit(ordinary, data, after_step=held, **settings)
    assert networks.nonzero_weights(tuned) == 64 + 48
    assert networks.nonzero_weights(training.fit(ordinary, data, **settings)) == 128 + 48


def test_zeros_are_counted_in_the_value_of_a_weight_and_once():
    class Mask(nn.Module):
        def forward(self, weight):
            return weight.tril()

    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8))
    model[2].weight = model[1].weight
    parametrize.register_parametrization(model[0], "weight", Mask())
    assert networks.nonzero_weights(model) == 36 + 64
    with pytest.raises(ValueError, match="no Linear or Conv2d layer, whose weights"):
        networks.nonzero_weights(nn.Sequential(lowrank.TTLinear((2, 2), (2, 2), 2)))
    with pytest.raises(ValueError, match="'0' is parametrized"):
        networks.hold_zeros(model[:1])


def test_the_error_of_a_plan_is_that_of_the_network():
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))
    model[0].weight.data = images(8, 2) @ images(2, 8)  # rank 2 is exact, up to rounding
    row = lowrank.plan(model, rank=2)[0]
    small = lowrank.compress(model, rank=2)
    weight = small[0].u.weight.double() @ small[0].vh.weight.double()
    expected = torch.dist(weight, model[0].weight.double()) / model[0].weight.double().norm()
    assert row.error == pytest.approx(expected.item(), rel=1e-12)
    assert 0 < row.error < 1e-6
    assert uncertainty.predict(small, images(3, 8)).shape == (1, 3, 8)

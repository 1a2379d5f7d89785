"""Heads of an attention go as units do: silent first, then removed."""

import pytest
import torch
from foreign import assert_same_state, images, randomised, state_of
from torch import nn
from torch.nn import functional as F

from uecompress import networks, pruning, storage, uncertainty


def vit(**sizes):
    return networks.vit_tiny(**({"width": 24, "depth": 2, "heads": 4} | sizes))


def absolute(model):
    return {name: layer.weight.abs() for name, layer in networks.plain_layers(model).items()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_silent_and_shrunken_heads_are_equal(dtype, tmp_path):
    model, x = randomised(vit(), dtype), images(4, 1, 28, 28, dtype=dtype)
    before, scores = state_of(model), pruning.head_scores(model, absolute(model))
    silent = pruning.prune_heads(model, scores, density=0.5)
    small = pruning.shrink_heads(silent)
    assert_same_state(model, before)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    assert (small(x) - silent(x)).abs().max() <= tolerance * silent(x).abs().max()
    assert (model(x) - silent(x)).abs().max() > 1e-2
    blocks = [small.attention1.branch.attention, small.attention2.branch.attention]
    assert sum(block.heads for block in blocks) == 4
    for block in blocks:
        assert block.q.out_features == block.projection.in_features == 6 * block.heads
    storage.save(small.float(), tmp_path / "small")
    predicted = uncertainty.predict(small, x.float())
    assert torch.equal(uncertainty.predict(storage.load(tmp_path / "small"), x.float()), predicted)


def test_heads_and_hidden_units_go_from_one_network():
    model, x = randomised(vit()), images(4, 1, 28, 28)
    scores = absolute(model)
    silent = pruning.prune_units(model, pruning.unit_scores(model, scores), density=0.5)
    silent = pruning.prune_heads(silent, pruning.head_scores(model, scores), density=0.5)
    small = networks.shrink(pruning.shrink_heads(silent))
    assert (small(x) - silent(x)).abs().max() <= 1e-12 * silent(x).abs().max()
    assert not any(isinstance(module, networks.SelectFeatures) for module in small.modules())
    hidden = [small.mlp1.branch.linear1, small.mlp2.branch.linear1]
    assert sum(layer.out_features for layer in hidden) == 48
    blocks = [small.attention1.branch.attention, small.attention2.branch.attention]
    assert sum(block.heads for block in blocks) == 4


def test_a_head_by_hand():
    torch.manual_seed(0)
    layers = [nn.Linear(6, 4), nn.Linear(6, 4), nn.Linear(6, 10), nn.Linear(10, 6)]
    attention, x = networks.Attention(*layers, heads=2).double(), images(3, 5, 6)
    scores = {"": torch.tensor([0.0, 1.0])}
    small = pruning.shrink_heads(pruning.prune_heads(attention, scores, density=0.5))
    q, k, v = (layer(x).unflatten(-1, (2, -1))[:, :, 1] for layer in layers[:3])
    mixed = F.scaled_dot_product_attention(q, k, v)
    expected = mixed @ layers[3].weight[:, 5:].mT + layers[3].bias
    torch.testing.assert_close(small(x), expected, rtol=0, atol=1e-14)
    assert [each.out_features for each in (small.q, small.k, small.v)] == [2, 2, 5]


def test_the_saliency_of_a_head_is_the_derivative_by_a_factor_on_it():
    torch.manual_seed(0)
    layers = [nn.Linear(6, 4), nn.Linear(6, 4), nn.Linear(6, 10), nn.Linear(10, 6)]
    attention, x = networks.Attention(*layers, heads=2).double(), images(3, 5, 6)
    attention(x).square().sum().backward()
    saliency = {
        name: layer.weight * layer.weight.grad
        for name, layer in networks.plain_layers(attention).items()
    }
    found = pruning.head_scores(attention, saliency)[""]
    factor = torch.ones(2, dtype=torch.float64, requires_grad=True)
    q, k, v = (layer(x).unflatten(-1, (2, -1)).transpose(1, 2) for layer in layers[:3])
    mixed = F.scaled_dot_product_attention(q, k, v) * factor[:, None, None]
    layers[3](mixed.transpose(1, 2).flatten(2)).square().sum().backward()
    torch.testing.assert_close(found, factor.grad)


def test_scores_of_heads_by_hand():
    model = vit()
    scores, name = absolute(model), "attention1.branch.attention"
    rows = [scores[f"{name}.{part}"].view(4, -1).double() for part in "qkv"]
    columns = scores[f"{name}.projection"].view(24, 4, 6).double()
    rows_of = pruning.head_scores(model, scores, side="in")[name]
    torch.testing.assert_close(rows_of, sum(each.sum(1) for each in rows))
    both = pruning.head_scores(model, scores, side="both", reduce="max")[name]
    largest = torch.stack([*(each.amax(1) for each in rows), columns.amax((0, 2))]).amax(0)
    torch.testing.assert_close(both, largest)


def test_an_attention_keeps_its_best_head_and_the_warning_names_it():
    model = vit(depth=1)
    scores = {"attention1.branch.attention": torch.tensor([1.0, 3, 2, 0])}
    with pytest.warns(UserWarning, match=r"gone from 'attention1.branch.attention'"):
        silent = pruning.prune_heads(model, scores, density=0.1, scope="layer")
    used = silent.attention1.branch.attention.projection.weight.view(24, 4, 6).abs().sum((0, 2)) > 0
    assert used.tolist() == [False, True, False, False]


def test_an_attention_without_any_head_is_a_constant_and_keeps_one():
    model, x = randomised(vit(depth=1)), images(2, 1, 28, 28)
    model.attention1.branch.attention.projection.weight.data.zero_()
    small = pruning.shrink_heads(model)
    assert small.attention1.branch.attention.heads == 1
    assert (small(x) - model(x)).abs().max() <= 1e-13


def test_what_has_no_heads_to_go_is_refused_or_reported():
    model = vit()
    scores = absolute(model)
    name = "attention1.branch.attention"
    with pytest.raises(ValueError, match="no attention of plain layers"):
        pruning.shrink_heads(networks.lenet300())
    with pytest.raises(ValueError, match="'linear' is no attention; there are attention1"):
        pruning.prune_heads(model, {"linear": torch.ones(4)}, density=0.5)
    with pytest.raises(ValueError, match=r"has 4 units, the mask is of shape \(8,\)"):
        pruning.prune_heads(model, {name: torch.ones(8)}, density=0.5)
    some = {key: value for key, value in scores.items() if not key.endswith(".k")}
    with pytest.raises(ValueError, match=r"need scores of attention1\.branch\.attention\.k too"):
        pruning.head_scores(model, some, side="in")
    with pytest.raises(ValueError, match="none of these scores is of an attention's layers"):
        pruning.head_scores(model, {"linear": scores["linear"]})
    with pytest.raises(ValueError, match='side must be "in", "out" or "both"'):
        pruning.head_scores(model, scores, side="left")
    model.attention1.branch.attention.q.register_forward_hook(lambda *_: None)
    with pytest.warns(UserWarning, match=r"left as they are: 'attention1.*q' has a hook"):
        small = pruning.shrink_heads(model)
    assert small.attention1.branch.attention.heads == 4

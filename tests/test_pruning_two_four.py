"""Two of each four weights along the inputs are zero."""

import itertools

import pytest
import torch
from foreign import images
from torch import nn

from uecompress import networks, pruning


def absolute(model):
    return {name: layer.weight.abs() for name, layer in networks.plain_layers(model).items()}


def test_the_two_largest_of_each_four_stay():
    model = networks.lenet300()
    result = pruning.two_four(model, absolute(model))
    for name, layer in networks.plain_layers(result).items():
        before = model.get_submodule(name).weight
        fours, old = layer.weight.view(-1, 4), before.view(-1, 4)
        assert ((fours != 0).sum(1) == 2).all()
        assert torch.equal(fours[fours != 0], old[fours != 0])
        kept = fours.abs().masked_fill(fours == 0, torch.inf).amin(1)
        lost = old.abs().masked_fill(fours != 0, 0).amax(1)
        assert (kept >= lost).all()
        assert torch.equal(before, networks.lenet300().get_submodule(name).weight)


def test_it_is_the_best_of_the_six_patterns():
    model = nn.Sequential(nn.Linear(8, 3)).double()
    scores = {"0": images(3, 8).abs()}
    result = pruning.two_four(model, scores)[0].weight != 0
    kept = (scores["0"] * result).view(-1, 4).sum(1)
    pairs = [list(pair) for pair in itertools.combinations(range(4), 2)]
    best = torch.stack([scores["0"].view(-1, 4)[:, pair].sum(1) for pair in pairs]).amax(0)
    assert len(pairs) == 6
    torch.testing.assert_close(kept, best)


def test_in_a_convolution_the_four_are_channels_at_one_place():
    model = nn.Sequential(nn.Conv2d(8, 3, (2, 3)))
    weight = pruning.two_four(model, absolute(model))[0].weight
    assert ((weight.unflatten(1, (2, 4)) != 0).sum(2) == 2).all()
    grouped = nn.Sequential(nn.Conv2d(8, 4, 3, groups=2))
    weight = pruning.two_four(grouped, absolute(grouped))[0].weight
    assert ((weight != 0).sum(1) == 2).all()


def test_of_equal_scores_the_first_stay():
    model = nn.Sequential(nn.Linear(4, 1))
    result = pruning.two_four(model, {"0": torch.tensor([[1.0, 2.0, 1.0, 1.0]])})
    assert (result[0].weight != 0).tolist() == [[True, True, False, False]]


def test_layers_that_four_does_not_divide_are_reported():
    model = networks.lenet5()
    with pytest.warns(UserWarning, match="not divisible by four: 'conv1' has 1 inputs$"):
        result = pruning.two_four(model, absolute(model))
    assert torch.equal(result.conv1.weight, model.conv1.weight)
    assert 2 * int((result.conv2.weight != 0).sum()) == model.conv2.weight.numel()
    with pytest.raises(ValueError, match="not divisible by four: '0' has 3 inputs"):
        pruning.two_four(nn.Sequential(nn.Linear(3, 2)), {"0": torch.ones(2, 3)})
    with pytest.raises(ValueError, match="layer '0': expected one shape"):
        pruning.two_four(nn.Sequential(nn.Linear(4, 2)), {"0": torch.ones(2, 3)})

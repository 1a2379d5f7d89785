"""The controls of structured pruning, and the examples about which pruned networks disagree."""

import pytest
import torch
from foreign import assert_same_state, images, randomised, state_of
from torch import nn

from uecompress import networks, pruning, uncertainty

MAKE = {
    "mlp": networks.mlp,
    "cnn": networks.cnn,
    "lenet300": networks.lenet300,
    "lenet5": networks.lenet5,
    "resnet_small": networks.resnet_small,
    "vit_tiny": networks.vit_tiny,
}


def slim(model, density=0.5):
    weights = {name: layer.weight.abs() for name, layer in networks.plain_layers(model).items()}
    scores = pruning.unit_scores(model, weights)
    silent = pruning.prune_units(model, scores, density=density, scope="layer")
    return networks.shrink(silent)


# --- new weights --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MAKE)
def test_new_weights_are_those_of_a_new_network(name):
    model = randomised(MAKE[name](seed=3), torch.float32)
    before = state_of(model)
    assert_same_state(pruning.reinitialized(model, seed=7), MAKE[name](seed=7).state_dict())
    assert_same_state(model, before)


def test_zeros_are_structure_and_stay():
    model = networks.lenet300(seed=1)
    mask = images(300, 784) > 1
    model.linear1.weight.data[mask] = 0
    new = pruning.reinitialized(model, seed=2)
    assert torch.equal(new.linear1.weight, networks.lenet300(seed=2).linear1.weight * ~mask)
    assert torch.equal(new.linear2.weight, networks.lenet300(seed=2).linear2.weight)


def test_a_module_that_cannot_draw_its_parameters_is_refused():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.scale = nn.Linear(3, 2), nn.Parameter(torch.ones(2))

    with pytest.raises(ValueError, match=r"'0' has parameters, but no reset_parameters\(\)"):
        pruning.reinitialized(nn.Sequential(Scaled()), seed=0)
    with pytest.raises(ValueError, match="seed must be a whole number"):
        pruning.reinitialized(networks.lenet300(), seed=-1)


# --- scratch-E, scratch-B -----------------------------------------------------------------------


def test_scratch_e_has_the_epochs_and_scratch_b_the_arithmetic_of_the_dense_network():
    dense, x = networks.lenet300(), images(1, 1, 28, 28).float()
    small = slim(dense)
    network, epochs = pruning.scratch_e(small, 20, seed=4)
    other, longer = pruning.scratch_b(small, 20, dense=dense, x=x, seed=4)
    assert epochs == 20
    products = 784 * 300 + 300 * 100 + 100 * 10, 784 * 150 + 150 * 50 + 50 * 10
    assert longer == int(20 * products[0] / products[1]) == 42
    assert_same_state(network, other.state_dict())
    assert_same_state(network, pruning.reinitialized(small, seed=4).state_dict())
    assert network.linear1.weight.shape == (150, 784)


def test_zeros_alone_save_no_arithmetic():
    dense, x = networks.lenet5(), images(1, 1, 28, 28).float()
    silent = pruning.silence_units(dense, {"conv2": torch.arange(50) < 25})
    assert pruning.scratch_b(silent, 12, dense=dense, x=x, seed=0)[1] == 12


def test_epochs_that_are_none_are_refused():
    with pytest.raises(ValueError, match="epochs must be a whole number of at least 1, not 0"):
        pruning.scratch_e(networks.lenet300(), 0, seed=0)


# --- uniform widths -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lenet300", "lenet5", "cnn", "resnet_small", "vit_tiny"])
def test_widths_are_one_share_and_the_next_share_is_too_large(name):
    model = MAKE[name]()
    groups = pruning.unit_groups(model)
    budget = networks.parameter_count(slim(model, 0.4)) + 13
    uniform = pruning.uniform_width(model, budget)
    count = networks.parameter_count(uniform)
    assert count <= budget
    kept = {group: len(uniform.get_submodule(group).weight) for group in groups}
    shares = sorted(
        {k / group.units for group in groups.values() for k in range(1, group.units + 1)}
    )
    fitting = [
        share
        for share in shares
        if kept == {n: max(1, int(g.units * share + 1e-9)) for n, g in groups.items()}
    ]
    assert fitting
    wider = shares[shares.index(fitting[-1]) + 1]
    masks = {
        n: torch.arange(g.units) < max(1, int(g.units * wider + 1e-9)) for n, g in groups.items()
    }
    above = networks.parameter_count(networks.shrink(pruning.silence_units(model, masks)))
    assert above > budget


def test_a_budget_for_all_is_the_network_and_one_for_too_little_is_refused():
    model = networks.lenet300()
    assert_same_state(pruning.uniform_width(model, 266_610), model.state_dict())
    smallest = 785 + 2 + 20  # 784-1-1-10
    assert networks.parameter_count(pruning.uniform_width(model, smallest)) == smallest
    with pytest.raises(ValueError, match=f"has more than {smallest - 1} parameters"):
        pruning.uniform_width(model, smallest - 1)
    with pytest.raises(ValueError, match="parameters must be a whole number"):
        pruning.uniform_width(model, 0)


def test_discovered_and_uniform_widths_differ_at_equal_parameters():
    model = networks.lenet5()
    scores = {
        name: torch.linspace(0, 1, group.units)
        for name, group in pruning.unit_groups(model).items()
    }
    scores["linear1"] = scores["linear1"] - 0.5  # of which most go
    found = networks.shrink(pruning.prune_units(model, scores, density=0.5))
    uniform = pruning.uniform_width(model, networks.parameter_count(found))
    counts = [networks.parameter_count(each) for each in (found, uniform)]
    assert 0.97 * counts[0] < counts[1] <= counts[0]
    assert len(uniform.linear1.weight) > len(found.linear1.weight)
    x = images(2, 1, 28, 28).float()
    assert uncertainty.multiply_adds(uniform, x) < uncertainty.multiply_adds(found, x)


# --- exemplars ----------------------------------------------------------------------------------


def predictions(labels, classes=4):
    """Members (M, N) that are sure of these labels."""
    return (10.0 * nn.functional.one_hot(torch.tensor(labels), classes).double()).log_softmax(-1)


def test_an_example_is_identified_where_the_modal_labels_differ():
    dense = predictions([[0, 1, 2, 3, 1], [0, 1, 2, 2, 0], [0, 3, 2, 1, 0]])
    pruned = predictions([[0, 1, 3, 1, 1], [0, 3, 3, 1, 0], [1, 1, 2, 1, 1], [1, 0, 2, 3, 1]])
    # Modal labels 0 1 2 1 0, where 1, 2 and 3 have a vote each, and 0 1 2 1 1, with two draws.
    assert pruning.exemplars(dense, pruned).tolist() == [False, False, False, False, True]
    assert not pruning.exemplars(dense, dense).any()


def test_it_is_a_vote_and_not_the_mean_prediction():
    sure = predictions([[0], [1], [1]])
    sure[0] = torch.tensor([100.0, 0, 0, 0]).log_softmax(-1)
    unsure = sure.clone()
    unsure[1:] = torch.tensor([0.0, 0.1, 0, 0]).log_softmax(-1)
    assert uncertainty.metrics.mean_log_probs(unsure).argmax(-1).item() == 0
    assert not pruning.exemplars(sure, unsure).any()


def test_predictions_of_other_examples_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 4\) and \(1, 4\) examples and classes"):
        pruning.exemplars(predictions([[0, 1]]), predictions([[0]]))

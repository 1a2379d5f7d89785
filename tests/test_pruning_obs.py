"""Wanda and optimal brain surgery: closed forms in float64 against brute force."""

import itertools

import pytest
import torch
from foreign import assert_same_state, images, randomised, state_of
from torch import nn
from torch.nn import functional as F

from uecompress import data, networks, pruning, training, uncertainty

LABELS = torch.arange(100) % 10


def layer_and_inputs(rows=3, d=6, columns=40, seed=0):
    """W (rows, d), correlated X (d, columns), and the Hessian of the outputs' squared error."""
    weight = images(rows, d, seed=seed)
    x = images(d, d, seed=seed + 1) @ images(d, columns, seed=seed + 2)
    return weight, x, 2 * x @ x.mT


def loss(weight, other, h):
    """½ ‖(W − Ŵ) X‖² · 2 of each row, as the quadratic function that H says it is."""
    change = other - weight
    return 0.5 * ((change @ h) * change).sum(-1)


def best_with(row, gone, h):
    """The row with zeros at these places that changes the outputs least, by solving for the others.

    ∂/∂ŵ_F of ½ (ŵ − w)ᵀ H (ŵ − w) = 0 for the free F: H_FF ŵ_F = H_F: w.
    """
    free, result = ~gone, torch.zeros_like(row)
    result[free] = torch.linalg.solve(h[free][:, free], h[free] @ row)
    return result


# --- one layer ----------------------------------------------------------------------------------


def test_the_hessian_is_that_of_the_outputs_squared_error():
    weight, x, _ = layer_and_inputs()
    h = pruning.hessian(x @ x.mT, damping=0)
    row = weight[0].clone().requires_grad_()
    exact = torch.autograd.functional.hessian(lambda w: ((w @ x) ** 2).sum(), row)
    torch.testing.assert_close(h, exact)
    damped = pruning.hessian(x @ x.mT, 40, damping=0.01) - h / 40
    mean = (h / 40).diagonal().mean()
    torch.testing.assert_close(damped, 0.01 * mean * torch.eye(6, dtype=torch.float64))


def test_one_removal_is_the_best_of_all_by_brute_force():
    weight, x, h = layer_and_inputs()
    result = pruning.obs(weight, h, 1)
    for row, found in zip(weight, result, strict=True):
        rivals = [best_with(row, F.one_hot(torch.tensor(q), 6).bool(), h) for q in range(6)]
        losses = torch.stack([((rival - row) @ x).square().sum() for rival in rivals])
        closed = row.square() / (2 * torch.linalg.inv(h).diagonal())  # eq. (5)
        torch.testing.assert_close(closed, losses, rtol=1e-9, atol=0)
        torch.testing.assert_close(found, rivals[losses.argmin()], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("count", [0, 2, 4, 6])
def test_after_many_removals_the_others_are_the_best_there_are(count):
    weight, _, h = layer_and_inputs()
    result = pruning.obs(weight, h, count)
    assert ((result == 0).sum(1) == count).all()
    for row, found in zip(weight, result, strict=True):
        torch.testing.assert_close(found, best_with(row, found == 0, h), rtol=1e-8, atol=1e-10)


def test_the_greedy_choice_is_seldom_far_from_the_best_of_all_masks():
    weight, _, h = layer_and_inputs(rows=12, d=8)
    found = loss(weight, pruning.obs(weight, h, 4), h)
    masks = torch.tensor(
        [[i in chosen for i in range(8)] for chosen in itertools.combinations(range(8), 4)]
    )
    best = torch.stack(
        [
            torch.stack([loss(row, best_with(row, mask, h), h) for mask in masks]).min()
            for row in weight
        ]
    )
    assert (found >= best * (1 - 1e-9)).all()
    assert found.sum() < 1.5 * best.sum()


def test_the_factor_holds_the_inverses_of_what_is_left():
    _, _, h = layer_and_inputs()
    u = torch.linalg.cholesky(torch.linalg.inv(h), upper=True)
    for j in range(6):
        left = torch.linalg.inv(h[j:, j:])
        torch.testing.assert_close(u[j:, j:].mT @ u[j:, j:], left, rtol=1e-8, atol=1e-12)
        torch.testing.assert_close(u[j, j].square(), left[0, 0], rtol=1e-8, atol=0)


@pytest.mark.parametrize("block", [1, 2, 6])
def test_sparsegpt_moves_what_is_to_the_right_as_brute_force_does(block):
    weight, _, h = layer_and_inputs()
    result = pruning.sparsegpt_rows(weight, h, 0.5, block=block)
    gone = result == 0
    # Column after column: those left of it are fixed, it becomes 0 or stays, the others follow.
    for row, found, zeros in zip(weight, result, gone, strict=True):
        w = row.clone()
        for j in range(6):
            if zeros[j]:
                first = torch.arange(6 - j) == 0
                w[j:] = best_with(w[j:], first, h[j:, j:])
        torch.testing.assert_close(found, w, rtol=1e-8, atol=1e-10)


def test_sparsegpt_chooses_in_each_block_exactly_the_cheapest():
    weight, _, h = layer_and_inputs(rows=5, d=8)
    result = pruning.sparsegpt_rows(weight, h, 0.5, block=4)
    assert int((result[:, :4] == 0).sum()) == int((result[:, 4:] == 0).sum()) == 10
    u = torch.linalg.cholesky(torch.linalg.inv(h), upper=True).diagonal()
    costs = (weight[:, :4] / u[:4]).square()
    gone = result[:, :4] == 0
    assert costs[gone].max() < costs[~gone].min()
    assert torch.equal(pruning.sparsegpt_rows(weight, h, 1.0), weight)


def test_with_inputs_that_are_not_correlated_it_is_magnitude_by_input_and_nothing_moves():
    weight = images(4, 6)
    sizes = torch.tensor([1.0, 2, 3, 4, 5, 6], dtype=torch.float64)
    h = sizes.square().diag()
    scores = (weight.abs() * sizes).flatten()
    lowest = (
        torch.zeros(24, dtype=torch.bool).index_fill_(0, scores.argsort()[:12], True).view(4, 6)
    )
    result = pruning.sparsegpt_rows(weight, h, 0.5)
    assert torch.equal(result, weight.masked_fill(lowest, 0))
    exact = pruning.obs(weight, h, 3)
    assert torch.equal(exact[exact != 0], weight[exact != 0])


def test_what_moves_makes_smaller_errors_than_a_cut_where_inputs_are_correlated():
    weight, x = images(20, 30), images(30, 400, seed=1)
    for j in range(1, 30):  # correlation 0.9 between neighbours
        x[j] = 0.9 * x[j - 1] + (1 - 0.9**2) ** 0.5 * x[j]
    h, sizes = 2 * x @ x.mT, x.square().sum(1).sqrt()

    def rows_without(scores):
        order = scores.argsort(1)[:, :15]
        return weight.scatter(1, order, 0.0)

    wanda, sparsegpt, obs = (
        loss(weight, other, h).sum()
        for other in (
            rows_without(weight.abs() * sizes),
            pruning.sparsegpt_rows(weight, h, 0.5),
            pruning.obs(weight, h, 15),
        )
    )
    assert obs < 0.7 * sparsegpt
    assert sparsegpt < 0.5 * wanda


# --- what layers are given ----------------------------------------------------------------------


def test_wanda_by_hand():
    model, x = randomised(networks.lenet300()), images(100, 1, 28, 28)
    scores = pruning.wanda(model, (x, LABELS))
    hidden = model.relu1(model.linear1(x.flatten(1)))
    for name, given in (("linear1", x.flatten(1)), ("linear2", hidden)):
        expected = model.get_submodule(name).weight.abs() * given.square().sum(0).sqrt()
        torch.testing.assert_close(scores[name], expected, rtol=1e-12, atol=0)


CONVOLUTIONS = {
    "padded, strided": nn.Conv2d(4, 6, (2, 3), stride=2, padding=(1, 2)),
    "dilated": nn.Conv2d(4, 6, 3, dilation=2),
    "same": nn.Conv2d(4, 6, (3, 5), padding="same"),
    "circular": nn.Conv2d(4, 6, 3, padding=1, padding_mode="circular"),
    "grouped": nn.Conv2d(4, 6, 3, padding=1, groups=2),
    "depthwise": nn.Conv2d(4, 8, 3, groups=4),
}


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_the_hessian_of_a_convolution_is_that_of_its_outputs(kind):
    conv = CONVOLUTIONS[kind].double()
    model, x = nn.Sequential(conv, nn.Flatten()), images(140, 4, 7, 8)  # more than go at once
    y = torch.zeros(140, dtype=torch.int64)
    scores = pruning.obs_scores(model, (x, y), damping=0)
    bias = conv.bias.detach()

    def outputs(weight):
        return conv._conv_forward(x, weight, bias)

    expected = outputs(conv.weight.detach())
    count = expected[:, 0].numel()
    size = conv.weight[0].numel()
    for filter_number, place in ((0, 0), (3, size - 1), (5, size // 2)):
        # all outputs of one filter are linear in its weights: the columns of A
        zero = torch.zeros_like(conv.weight).flatten(1)
        columns = []
        for q in range(size):
            one = zero.clone()
            one[filter_number, q] = 1
            columns.append((outputs(one.view_as(conv.weight)) - outputs(zero.view_as(conv.weight)))
                           [:, filter_number].flatten())  # fmt: skip
        a, w = torch.stack(columns, 1), conv.weight[filter_number].detach().flatten()
        others = torch.arange(size) != place
        rest = torch.linalg.lstsq(a[:, others], (a @ w)[:, None]).solution[:, 0]
        least = (a @ w - a[:, others] @ rest).square().sum() / count
        found = scores["0"].flatten(1)[filter_number, place]
        torch.testing.assert_close(found, least, rtol=1e-7, atol=0)


def test_wanda_is_what_surgery_costs_without_correlation():
    model = nn.Sequential(nn.Linear(6, 4)).double()
    x = torch.tensor([1.0, 2, 3, 4, 5, 6], dtype=torch.float64).diag()  # inputs one at a time
    batch = x, torch.zeros(6, dtype=torch.int64)
    surgery = pruning.obs_scores(model, batch, damping=0)["0"]
    torch.testing.assert_close(surgery, pruning.wanda(model, batch)["0"].square() / 6)


def test_inputs_are_those_of_evaluation_mode_and_the_network_stays():
    model = randomised(networks.cnn()).train()
    before, x = state_of(model), images(20, 1, 28, 28)
    scores = pruning.wanda(model, (x, LABELS[:20]))
    assert_same_state(model, before)
    assert model.training
    for name, score in pruning.wanda(model.eval(), (x, LABELS[:20])).items():
        assert torch.equal(scores[name], score)


@pytest.mark.parametrize("method", ["wanda", "obs_scores"])
def test_no_ink_means_no_score_whatever_the_weight(method):
    model, x = networks.lenet300().double(), images(50, 1, 28, 28).abs()
    x[:, :, :, :4] = 0
    scores = getattr(pruning, method)(model, (x, LABELS[:50]))["linear1"].view(300, 28, 28)
    assert (scores[:, :, :4] == 0).all()
    assert (scores[:, :, 4:] > 0).all()


# --- whole networks -----------------------------------------------------------------------------


def digits():
    x, y = data.load("digits", "train")
    return x[:400, :, ::2, ::2].contiguous(), y[:400]


def test_every_output_keeps_the_same_number_of_weights():
    model, batch = networks.lenet5(), (images(8, 1, 28, 28).float(), LABELS[:8])
    scores = pruning.wanda(model, batch)
    result = pruning.prune_rows(model, scores, density=0.3)
    for name, layer in networks.plain_layers(result).items():
        rows, kept = layer.weight.flatten(1), (layer.weight != 0).flatten(1)
        assert (kept.sum(1) == round(0.3 * rows.shape[1])).all()
        low = scores[name].flatten(1).masked_fill(~kept, torch.inf).amin(1)
        assert (scores[name].flatten(1).masked_fill(kept, 0).amax(1) <= low).all()
        assert torch.equal(rows[kept], model.get_submodule(name).weight.flatten(1)[kept])


def test_wanda_gives_two_of_four():
    model, batch = networks.lenet300(), (images(8, 1, 28, 28).float(), LABELS[:8])
    result = pruning.two_four(model, pruning.wanda(model, batch))
    assert 2 * networks.nonzero_weights(result) == networks.nonzero_weights(model)


def test_surgery_on_a_trained_network_costs_less_than_cuts():
    x, y = digits()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(196, 40), nn.ReLU(), nn.Linear(40, 10))
    settings = {"epochs": 15, "batch_size": 50, "lr": 3e-3, "seed": 0, "progress": False}
    model = training.fit(model, (x, y), **settings)
    before = state_of(model)
    expected = uncertainty.predict(model, x)

    def changed(other):
        return (uncertainty.predict(other, x).exp() - expected.exp()).square().sum(-1).mean().item()

    magnitude = {n: layer.weight.abs() for n, layer in networks.plain_layers(model).items()}
    results = [
        pruning.prune_rows(model, magnitude, density=0.2),
        pruning.prune_rows(model, pruning.wanda(model, (x, y)), density=0.2),
        pruning.sparsegpt(model, (x, y), density=0.2),
    ]
    assert_same_state(model, before)
    magnitude, wanda, surgery = map(changed, results)
    assert surgery < 0.5 * min(magnitude, wanda)
    total = networks.nonzero_weights(model)
    assert networks.nonzero_weights(results[2]) <= round(0.2 * total)  # dead pixels beside
    again = pruning.sparsegpt(model, (x, y), density=0.2)
    assert_same_state(again, results[2].state_dict())


def test_sparsegpt_gives_each_layer_the_inputs_of_the_pruned_network():
    model = randomised(nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3)))
    x, y = images(80, 5), LABELS[:80] % 3
    result = pruning.sparsegpt(model, (x, y), density=0.5)
    hidden = torch.relu(result[0](x)).mT
    h = pruning.hessian(hidden @ hidden.mT, 80)
    expected = pruning.sparsegpt_rows(model[2].weight.detach(), h, 0.5)
    torch.testing.assert_close(result[2].weight, expected, rtol=1e-9, atol=1e-12)


def test_sparsegpt_on_convolutions_in_groups():
    model = randomised(nn.Sequential(nn.Conv2d(4, 6, 3, groups=2), nn.Flatten()))
    result = pruning.sparsegpt(model, (images(30, 4, 5, 5), LABELS[:30]), density=0.5)
    groups = (result[0].weight != 0).view(2, -1).sum(1)
    assert groups.tolist() == [27, 27]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda m, b: pruning.sparsegpt(m, b, density=0),
            ValueError,
            r"density must be in \(0, 1\]",
        ),
        (lambda m, b: pruning.sparsegpt(m, b, density=0.5, block=0), ValueError, "block must be a"),
        (lambda m, b: pruning.sparsegpt(m, b, density=0.5, damping=-1), ValueError, "damping must"),
        (lambda m, b: pruning.sparsegpt(m, b[0], density=0.5), TypeError, "data must be a pair"),
        (lambda m, b: pruning.wanda(m, (b[0].double(), b[1])), TypeError, "x is of torch.float64"),
        (
            lambda m, b: pruning.obs_scores(m, (0 * b[0], b[1])),
            ValueError,
            "layer '1': the inputs of the layer were all zero",
        ),
        (
            lambda m, b: pruning.obs_scores(m, b, damping=0),
            ValueError,
            "layer '1': the Hessian has no inverse: it needs more data, or damping above 0",
        ),
        (
            lambda m, b: pruning.prune_rows(m, pruning.wanda(m, b), density=0.001),
            ValueError,
            "'1': of 196 weights of an output none would stay",
        ),
        (
            lambda m, b: pruning.prune_rows(m, {"7": torch.ones(2)}, density=0.5),
            ValueError,
            "'7' is no plain Linear or Conv2d; there are 1, 3",
        ),
    ],
)
def test_bad_input_is_refused(call, error, message):
    x, y = digits()
    model = nn.Sequential(nn.Flatten(), nn.Linear(196, 8), nn.ReLU(), nn.Linear(8, 10))
    with pytest.raises(error, match=message):
        call(model, (x, y))


def test_a_count_that_is_none_is_refused():
    weight, _, h = layer_and_inputs()
    with pytest.raises(ValueError, match="count must be a whole number from 0 to 6, not 7"):
        pruning.obs(weight, h, 7)


def test_a_layer_that_is_not_called_is_refused():
    class Idle(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.idle = nn.Linear(3, 2), nn.Linear(3, 2)

        def forward(self, x):
            return self.used(x)

    with pytest.raises(ValueError, match="the network does not call 'idle'"):
        pruning.wanda(Idle(), (torch.ones(2, 3), torch.tensor([0, 1])))

"""The vision transformer: its attention is torch's, and every method of the library acts on it."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from uecompress import bayes, data, ensembles, lowrank, networks, storage, training, uncertainty


def images(n=6, dtype=torch.float32):
    return torch.rand(n, 1, 28, 28, generator=torch.Generator().manual_seed(0)).to(dtype)


def small(seed=0):
    """4,282 parameters: 16 tokens of 16 features, one attention of two heads."""
    return networks.vit_tiny(width=16, depth=1, heads=2, seed=seed)


def attention(width=12, heads=3):
    torch.manual_seed(1)
    return networks.Attention(*(nn.Linear(width, width) for _ in range(4)), heads).double()


# --- attention ----------------------------------------------------------------------------------


def test_attention_is_that_of_torch_with_the_same_weights():
    ours, theirs = attention(), nn.MultiheadAttention(12, 3, batch_first=True).double()
    stacked = [ours.q, ours.k, ours.v]
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([layer.weight for layer in stacked]))
        theirs.in_proj_bias.copy_(torch.cat([layer.bias for layer in stacked]))
        theirs.out_proj.weight.copy_(ours.projection.weight)
        theirs.out_proj.bias.copy_(ours.projection.bias)
    x = torch.randn(4, 7, 12, dtype=torch.float64)
    mine, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    y, expected = ours(mine), theirs(other, other, other, need_weights=False)[0]
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-14)
    y.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(mine.grad, other.grad, rtol=0, atol=1e-13)


def test_values_may_have_another_width_than_queries():
    q, k = nn.Linear(12, 6), nn.Linear(12, 6)
    v, projection = nn.Linear(12, 15), nn.Linear(15, 12)
    x = torch.randn(2, 5, 12)
    split = [layer(x).reshape(2, 5, 3, -1).permute(0, 2, 1, 3) for layer in (q, k, v)]
    mixed = F.scaled_dot_product_attention(*split).permute(0, 2, 1, 3).reshape(2, 5, 15)
    torch.testing.assert_close(networks.Attention(q, k, v, projection, 3)(x), projection(mixed))


def test_attention_does_not_know_the_order_of_tokens():
    layer, x = attention(), torch.randn(3, 8, 12, dtype=torch.float64)
    order = torch.randperm(8)
    torch.testing.assert_close(layer(x[:, order]), layer(x)[:, order], rtol=0, atol=1e-14)


def test_a_picture_of_moved_patches_is_another_one_only_for_the_positions():
    model, x = networks.vit_tiny().double().eval(), images(dtype=torch.float64)
    moved = x.roll(14, -1)  # two patches to the right
    assert (model(moved) - model(x)).abs().max() > 0.01
    nn.init.zeros_(model.positions.weight)
    torch.testing.assert_close(model(moved), model(x), rtol=0, atol=1e-13)


def test_positions_are_added_row_by_row():
    layer = networks.PositionEmbedding(6, 4)
    x = torch.randn(2, 4, 2, 3)
    y = layer(x)
    for row in range(2):
        for column in range(3):
            place = 3 * row + column
            assert torch.equal(y[:, place], x[:, :, row, column] + layer.weight[place])


def test_bad_sizes_are_refused():
    with pytest.raises(ValueError, match="patches of 5 pixels do not fill an image of 28"):
        networks.vit_tiny(patch_size=5)
    with pytest.raises(ValueError, match="3 heads cannot share 64 features"):
        networks.vit_tiny(heads=3)
    with pytest.raises(ValueError, match="depth must be a whole number of at least 1, not 0"):
        networks.vit_tiny(depth=0)
    with pytest.raises(TypeError, match="width must be a number"):
        networks.vit_tiny(width="64")
    with pytest.raises(ValueError, match=r"dropout must be in \[0, 1\]"):
        networks.vit_tiny(dropout=1.5)
    with pytest.raises(ValueError, match=r"16 tokens of 64 .* has 20 of 64"):
        networks.vit_tiny()(torch.zeros(1, 1, 28, 35))
    with pytest.raises(RuntimeError, match="unflatten"):
        networks.Attention(*(nn.Linear(6, 6) for _ in range(4)), 4)(torch.zeros(1, 2, 6))


# --- the network --------------------------------------------------------------------------------


def test_parameters_and_multiply_adds_by_formula():
    # width w, patches of p x p pixels, T tokens, c classes; a pair of blocks has four w x w layers,
    # two of w x 2 w, two norms
    w, p, tokens, depth, c = 24, 4, 49, 3, 5
    model = networks.vit_tiny(num_classes=c, width=w, depth=depth, patch_size=p)
    pair = 4 * (w * w + w) + (2 * w * w + 2 * w) + (2 * w * w + w) + 2 * 2 * w
    count = (p * p * w + w) + tokens * w + depth * pair + 2 * w + (w * c + c)
    assert networks.parameter_count(model) == count
    products = tokens * (4 * w * w + 4 * w * w) + 2 * tokens * tokens * w  # q k^T, and times v
    expected = tokens * p * p * w + depth * products + w * c
    assert uncertainty.multiply_adds(model, images(4)) == expected


def test_predictions_do_not_depend_on_the_batches():
    model, x = networks.vit_tiny().double(), images(23, torch.float64)
    whole = uncertainty.predict(model, x)
    torch.testing.assert_close(
        uncertainty.predict(model, x, batch_size=5), whole, atol=1e-13, rtol=0
    )


def moved(model, x, y, progress):
    """Cross-entropy of images moved by up to two pixels each way, each by its own amount."""
    padded, pixels = F.pad(x, [2] * 4)[:, 0], torch.arange(28)
    down, right = torch.randint(0, 5, (2, len(x), 1, 1))
    rows, columns = pixels[:, None] + down, pixels + right  # (N, 28, 1) and (N, 1, 28)
    x = padded[torch.arange(len(x))[:, None, None], rows, columns]
    return F.cross_entropy(model(x[:, None]), y)


def warm(progress):
    """A rate that rises for a tenth of the training and falls along a cosine."""
    return 3e-3 * min(1, 10 * progress) * (1 + math.cos(math.pi * progress)) / 2


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_reads_unseen_hands(seed):
    # Rate, epochs and dropout were chosen on the validation split. The test is of other writers.
    model, digits = networks.vit_tiny(dropout=0, seed=seed), data.load("digits", "train")
    settings = {"epochs": 40, "batch_size": 64, "lr": warm, "loss": moved, "progress": False}
    trained = training.fit(model, digits, seed=seed, **settings)
    x, y = data.load("digits", "test")
    assert 0.945 < uncertainty.accuracy(uncertainty.predict(trained, x), y) < 0.985


# --- what every method does to it ---------------------------------------------------------------


def noisy(model, kind):
    """The variational network, at a signal-to-noise ratio that differs from weight to weight."""
    model = bayes.variational(model, kind)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "log_sigma2" in name or "log_variance" in name:
                parameter.add_(8 * torch.rand(parameter.shape, generator=generator) - 1)
    return model


def with_zeros(model):
    model = copy.deepcopy(model)
    with torch.no_grad():
        for layer in networks.plain_layers(model).values():
            layer.weight[layer.weight.abs() < layer.weight.abs().median()] = 0
        layers = model.mlp1.branch
        layers.linear1.weight[:5], layers.linear1.bias[:5] = 0, 0  # five silent units
    return model


def few(n=32):
    return images(n), torch.arange(n) % 10


SETTINGS = {"epochs": 1, "batch_size": 16, "lr": 1e-3, "progress": False}
KINDS = ("mean_field", "sparse_vd", "group_jeffreys", "group_horseshoe", "vnq")
METHODS = {
    **{
        f"compress {method}": lambda model, method=method: lowrank.compress(
            model, method, ratio=1.3
        )
        for method in ("svd", "cp", "tucker", "tt")
    },
    **{kind: lambda model, kind=kind: bayes.variational(model, kind) for kind in KINDS},
    "prune": lambda model: bayes.prune(noisy(model, "sparse_vd"), 1.0),
    "graves_prune": lambda model: bayes.graves_prune(noisy(model, "mean_field"), 0.9),
    "prune_groups": lambda model: pruned_groups(model),
    "quantize": lambda model: bayes.quantize(bayes.variational(model, "vnq")),
    "with zeros": with_zeros,
    "shrink": lambda model: networks.shrink(with_zeros(model)),
    "cluster_weights": lambda model: networks.cluster_weights(model, 8),
    "maximum_compression": lambda model: networks.maximum_compression(with_zeros(model), 8),
    "keep_units": lambda model: networks.keep_units(model, "mlp1.branch.linear1", range(20)),
    "mc_dropout": ensembles.mc_dropout,
    "fit_ensemble": lambda model: ensembles.fit_ensemble(
        [model, small(seed=1)], few(), seeds=[0, 1], **SETTINGS
    ),
}


def pruned_groups(model):
    model = noisy(model, "group_jeffreys")
    scores = torch.cat([scores.flatten() for scores in bayes.group_scores(model).values()])
    return bayes.prune_groups(model, scores.median().item())


def description(model):
    """All that a method can change: the classes, and the numbers."""
    kinds = [(name, type(module)) for name, module in model.named_modules()]
    return kinds, {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(a, b):
    return a[0] == b[0] and all(torch.equal(t, b[1][name]) for name, t in a[1].items())


@pytest.mark.parametrize("method", METHODS)
def test_every_method_acts_and_its_result_predicts_trains_and_is_stored(method, tmp_path):
    model = small()
    before = description(model)
    result = METHODS[method](model)
    assert same(description(model), before)  # the input is not changed
    after = description(result)
    assert not (after[0] == before[0] and same(after, before))  # something was done

    log_probs = uncertainty.predict(result, images())
    assert torch.equal(uncertainty.predict(copy.deepcopy(result), images()), log_probs)
    storage.save(result, tmp_path / "vit")
    loaded = storage.load(tmp_path / "vit")
    assert torch.equal(uncertainty.predict(loaded, images()), log_probs)
    trained = training.fit(result, few(), seed=0, **SETTINGS)
    assert not same(description(trained), after)
    assert uncertainty.predict(trained, images()).isfinite().all()


ATTENTION = [f"attention1.branch.attention.{name}" for name in ("q", "k", "v", "projection")]


@pytest.mark.parametrize("method", [*KINDS, "compress svd", "compress tt"])
def test_the_layers_of_attention_are_treated_like_any_other(method):
    result = METHODS[method](small())
    for name in ATTENTION:
        assert type(result.get_submodule(name)) is not nn.Linear, name


def test_at_full_energy_nothing_is_lost():
    model = networks.vit_tiny().double()
    for name in ATTENTION:  # of rank 4, so that two factors are smaller
        layer = model.get_submodule(name)
        u, s, vh = torch.linalg.svd(layer.weight.detach())
        layer.weight.data.copy_((u[:, :4] * s[:4]) @ vh[:4])
    result = lowrank.compress(model, "svd", energy=1 - 1e-12)
    replaced = {name for name, m in model.named_modules() if isinstance(m, nn.Linear)} - {
        name for name, m in result.named_modules() if isinstance(m, nn.Linear)
    }
    assert replaced == set(ATTENTION)
    x = images(dtype=torch.float64)
    torch.testing.assert_close(
        uncertainty.predict(result, x), uncertainty.predict(model, x), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_variational_transformer_has_the_mean_of_the_network_and_doubts_when_sampled(kind):
    model = small()
    result = bayes.variational(model, kind)
    expected = uncertainty.predict(model, images())
    torch.testing.assert_close(uncertainty.predict(result, images()), expected, rtol=0, atol=1e-5)
    drawn = uncertainty.predict(result, images(), samples=3)
    assert (drawn - expected).abs().amax((1, 2)).min() > 1e-4
    assert bayes.kl(result).isfinite()
    assert bayes.deterministic_layers(result) == [
        ("positions", "PositionEmbedding"),
        ("attention1.branch.norm", "LayerNorm"),
        ("mlp1.branch.norm", "LayerNorm"),
        ("norm", "LayerNorm"),
    ]


def test_shrink_removes_the_silent_units_and_changes_no_prediction():
    model = with_zeros(small()).double()
    result = networks.shrink(model)
    assert result.mlp1.branch.linear2.in_features == 32 - 5
    x = images(dtype=torch.float64)
    expected = uncertainty.predict(model, x)
    torch.testing.assert_close(uncertainty.predict(result, x), expected, rtol=0, atol=1e-13)


def test_keep_units_removes_hidden_units_as_zero_weights_would():
    model, keep = small().double(), torch.arange(32) % 3 > 0
    smaller = networks.keep_units(model, "mlp1.branch.linear1", keep)
    model.mlp1.branch.linear2.weight.data[:, ~keep] = 0
    x = images(dtype=torch.float64)
    expected = uncertainty.predict(model, x)
    torch.testing.assert_close(uncertainty.predict(smaller, x), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("attention1.branch.attention.q", "unflatten"),
        ("attention1.branch.attention.v", "unflatten"),
        ("attention1.branch.attention.projection", "'mlp1.branch.norm'"),
        ("mlp1.branch.linear2", "'norm'"),
        ("patches", "'positions'"),
        ("linear", "classes"),
    ],
)
def test_units_that_heads_or_norms_tie_stay_and_the_message_says_why(name, words):
    with pytest.raises(ValueError, match=f"'{name}'.*{words}"):
        networks.keep_units(small(), name, [0, 1, 2, 3])


def test_held_zeros_stay_zero_in_training():
    model = with_zeros(small())
    hold = networks.hold_zeros(model)
    trained = training.fit(model, few(), seed=0, after_step=hold, **SETTINGS)
    free = training.fit(model, few(), seed=0, **SETTINGS)
    assert networks.nonzero_weights(trained) <= networks.nonzero_weights(model)
    assert networks.nonzero_weights(free) > networks.nonzero_weights(model)


def test_dropped_units_make_samples_differ():
    model = ensembles.mc_dropout(networks.vit_tiny(dropout=0.3))
    drawn = uncertainty.predict(model, images(), samples=4)
    assert uncertainty.mutual_information(drawn).min() > 1e-5


def test_there_is_no_batch_norm_to_fold():
    model = small()
    assert same(description(networks.fuse_batch_norm(model)), description(model))

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

from uecompress import pinned
from uecompress import uncertainty as u


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def calibrated(n, members=1, classes=4, seed=0, over=1.0):
    """Predictions and labels drawn from their mean; ``over`` > 1 makes them overconfident."""
    logits = 2 * torch.randn(members, n, classes, generator=generator(seed), dtype=torch.double)
    y = logits.softmax(-1).mean(0).multinomial(1, generator=generator(seed + 1))[:, 0]
    return (over * logits).log_softmax(-1), y


def binary(confidence, correct):
    """Two-class predictions with these confidences, at least one half, of class 0."""
    p = torch.tensor(confidence, dtype=torch.double)
    return torch.stack([p, 1 - p], -1).log()[None], 1 - torch.tensor(correct)


def plain_ece(log_probs, y, edges):
    """The definition, bin by bin."""
    p = log_probs.exp().mean(0).numpy()
    confidence, correct = p.max(-1), p.argmax(-1) == y.numpy()
    total = 0.0
    for low, high in itertools.pairwise(edges):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            total += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    return total


# --- expected calibration error ----------------------------------------------------------------


@pytest.mark.parametrize("bins", [1, 7, 15])
@pytest.mark.parametrize("members", [1, 3])
def test_ece_is_its_definition(bins, members):
    log_probs, y = calibrated(300, members)
    edges = np.linspace(0, 1, bins + 1)
    assert u.ece(log_probs, y, bins=bins) == pytest.approx(
        plain_ece(log_probs, y, edges), abs=1e-12
    )
    confidence = log_probs.exp().mean(0).amax(-1).numpy()
    edges = np.quantile(confidence, edges)
    edges[0] = 0
    assert u.ece(log_probs, y, bins=bins, mass=True) == pytest.approx(
        plain_ece(log_probs, y, edges), abs=1e-12
    )


# netcal 1.4.0, whose installation brings pyro, gpytorch and tensorboard: what
# ECE(bins=15, equal_intervals=not mass).measure(probabilities, y) gives, for bins of equal width
# and of equal mass.
@pytest.mark.parametrize(
    ("n", "width", "mass"),  # no quantile falls on a prediction, see below
    [
        (7, 0.32041718255659984, 0.32041718255659984),
        (200, 0.0589030180282045, 0.0756286014573547),
        (500, 0.06535689024728907, 0.06336571357025736),
    ],
)
def test_ece_agrees_with_netcal(n, width, mass):
    logits = 2 * torch.from_numpy(pinned.normals(n, (1, n, 4))).double()
    log_probs = logits.log_softmax(-1)
    drawn = pinned.integers(n + 1, (n, 1), 2**30) / 2**30
    y = torch.from_numpy((log_probs[0].exp().cumsum(-1).numpy() < drawn).sum(-1))
    assert u.ece(log_probs, y) == pytest.approx(width, abs=1e-12)
    assert u.ece(log_probs, y, mass=True) == pytest.approx(mass, abs=1e-12)


def test_by_hand():
    log_probs, y = binary([0.6, 0.7, 0.9, 0.95], [1, 0, 1, 1])  # bins (.5, .75] and (.75, 1]
    assert u.ece(log_probs, y, bins=4) == pytest.approx(
        (2 * abs(0.5 - 0.65) + 2 * abs(1 - 0.925)) / 4
    )
    confidence, accuracy, count = u.reliability(log_probs, y, bins=4)
    np.testing.assert_allclose(confidence, [math.nan, math.nan, 0.65, 0.925])
    np.testing.assert_allclose(accuracy, [math.nan, math.nan, 0.5, 1])
    assert count.tolist() == [0, 0, 2, 2]


def test_a_confidence_of_one_belongs_to_the_last_bin():
    log_probs, y = binary([0.95] * 5 + [1.0] * 5, [1] * 5 + [1, 1, 1, 1, 0])
    assert u.ece(log_probs, y) == pytest.approx(abs(0.9 - 0.975))  # a bin of its own gives .125
    assert u.reliability(log_probs, y)[2].tolist() == [0] * 14 + [10]


def test_the_upper_edge_belongs_to_the_bin():
    log_probs, y = binary([0.5, 0.75, 1.0], [1, 1, 1])
    assert u.reliability(log_probs, y, bins=4)[2].tolist() == [0, 1, 1, 1]
    log_probs, y = binary([0.6, 0.7, 0.8], [1, 0, 1])  # the median is the edge of two bins
    assert u.reliability(log_probs, y, bins=2, mass=True)[2].tolist() == [2, 1]


def votes(*shares, members=5, each=10):
    """Members that are certain, of whom so many vote for class 0, for ten examples each."""
    parts = []
    for count in shares:
        part = torch.full((members, each, 2), -math.inf, dtype=torch.double)
        part[:count, :, 0] = part[count:, :, 1] = 0
        parts.append(part)
    return torch.cat(parts, 1)


@pytest.mark.parametrize("mass", [False, True])
def test_a_vote_lies_on_the_edge_of_its_bin(mass):
    log_probs = votes(3, 4)  # confidences 3/5 and 4/5, of which rounding makes a little more
    y = torch.tensor([0] * 10 + [0] * 6 + [1] * 4)  # accuracies 1 and 6/10
    counts = [10, 0, 10, 0, 0] if mass else [0, 0, 10, 10, 0]
    assert u.reliability(log_probs, y, bins=5, mass=mass)[2].tolist() == counts
    assert u.ece(log_probs, y, bins=5, mass=mass) == pytest.approx((0.4 + 0.2) / 2)
    if not mass:
        low, high = u.ece_interval(log_probs, y, bins=5, samples=500)
        assert low < 0.3 < high
        # with both in one bin it would be |0.8 - 0.7|, and the floor of 20 examples, not of 10
        chance = [
            sum(math.comb(10, k) * p**k * (1 - p) ** (10 - k) * abs(k / 10 - p) for k in range(11))
            for p in (0.6, 0.8)
        ]
        floor = u.ece_floor(log_probs, bins=5, samples=20_000)
        assert floor == pytest.approx(np.mean(chance), rel=0.02)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bins", [3, 5, 15, 25, 50, 100])
def test_a_probability_on_an_edge_belongs_to_the_bin_below(bins, dtype):
    k = torch.arange(bins // 2 + 1, bins)
    p = torch.stack([k, bins - k], -1).double() / bins
    for shift, belongs_to in ((0, k - 1), (1e-5, k), (-1e-5, k - 1)):  # k lies above edge k
        log_probs = (p + torch.tensor([shift, -shift])).log()[None].to(dtype)
        counts = u.reliability(log_probs, torch.zeros(len(k)).long(), bins=bins)[2]
        assert counts.nonzero()[:, 0].tolist() == belongs_to.tolist()


@pytest.mark.parametrize("members", range(2, 21))
def test_votes_of_any_number_of_members(members):
    above = range(members // 2 + 1, members + 1)
    log_probs = votes(*above, members=members, each=1)
    counts = u.reliability(log_probs, torch.zeros(len(above)).long(), bins=members)[2]
    assert counts.tolist() == [0] * (members // 2) + [1] * len(above)


def test_bins_of_equal_mass():
    log_probs, y = calibrated(1000)
    assert u.reliability(log_probs, y, bins=8, mass=True)[2].tolist() == [125] * 8
    few, labels = log_probs[:, :3], y[:3]  # fewer examples than bins: each has its own
    confidence, correct = few[0].exp().max(-1)[0], few[0].argmax(-1) == labels
    assert u.ece(few, labels, mass=True) == pytest.approx(
        (confidence - correct.double()).abs().mean().item()
    )
    same, labels = binary([0.75] * 4, [1, 1, 1, 0])  # equal confidences share a bin
    assert u.ece(same, labels, mass=True) == 0


@pytest.mark.parametrize("mass", [False, True])
def test_order_of_members_and_examples_does_not_matter(mass):
    log_probs, y = calibrated(200, members=3)
    order = torch.randperm(200, generator=generator())
    expected = u.ece(log_probs, y, mass=mass)
    assert u.ece(log_probs[[2, 0, 1]], y, mass=mass) == pytest.approx(expected, abs=1e-14)
    assert u.ece(log_probs[:, order], y[order], mass=mass) == pytest.approx(expected, abs=1e-14)


def test_two_batches_add_up():
    log_probs, y = calibrated(200, members=2)
    whole = u.reliability(log_probs, y)
    parts = [u.reliability(log_probs[:, i], y[i]) for i in (slice(50), slice(50, 200))]
    assert torch.equal(whole[2], parts[0][2] + parts[1][2])
    for k in (0, 1):
        sums = sum((part[k] * part[2]).nan_to_num() for part in parts)
        torch.testing.assert_close((whole[k] * whole[2]).nan_to_num(), sums)


@pytest.mark.parametrize("mass", [False, True])
def test_certain_alone_and_one_class(mass):
    certain = torch.tensor([[[1.0, 0.0]], [[1.0, 0.0]], [[1.0, 0.0]]]).log()  # holds −inf
    assert u.ece(certain, torch.tensor([0]), mass=mass) == pytest.approx(0, abs=1e-6)
    assert u.ece(certain, torch.tensor([1]), mass=mass) == pytest.approx(1, abs=1e-6)
    alone, y = torch.zeros(1, 1, 1), torch.tensor([0])
    assert u.ece(alone, y, mass=mass) == 0
    assert u.ece_floor(certain, samples=3) == pytest.approx(0, abs=1e-6)
    assert u.ece_interval(alone, y, samples=3) == (0, 0)


# --- how sure is it ----------------------------------------------------------------------------


def test_the_floor_is_what_a_calibrated_network_measures():
    runs = [calibrated(1000, seed=seed) for seed in range(0, 40, 2)]
    measured = np.mean([u.ece(*run) for run in runs])
    floors = [u.ece_floor(log_probs, samples=100) for log_probs, _ in runs]
    assert min(floors) > 0
    assert np.mean(floors) == pytest.approx(measured, rel=0.2)
    over = [u.ece(*calibrated(1000, seed=seed, over=2)) for seed in range(3)]
    assert min(over) > 3 * max(floors)


def test_the_floor_of_one_bin_is_a_binomial_deviation():
    log_probs, _ = binary([0.75] * 16, [1] * 16)
    k = np.arange(17)
    chance = [math.comb(16, i) * 0.75**i * 0.25 ** (16 - i) for i in k]
    expected = np.sum(chance * np.abs(k / 16 - 0.75))
    assert u.ece_floor(log_probs, samples=20_000) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("over", [1.0, 1.5])
def test_the_interval_holds_the_estimate(over):
    for seed in range(5):
        log_probs, y = calibrated(400, seed=seed, over=over)
        low, high = u.ece_interval(log_probs, y, samples=200)
        assert 0 <= low < u.ece(log_probs, y) < high <= 1
    wide = u.ece_interval(log_probs, y, samples=200, level=0.99)
    assert wide[0] <= low
    assert high < wide[1]
    log_probs, y = calibrated(6400, seed=1, over=over)  # sixteen times as many
    narrow = np.diff(u.ece_interval(log_probs, y, samples=200))[0]
    assert (high - low) / 6 < narrow < (high - low) / 2.5


def test_the_interval_of_one_bin_is_that_of_a_mean():
    log_probs, y = binary([0.9] * 400, [1, 0] * 200)
    low, high = u.ece_interval(log_probs, y, samples=4000)
    half = 1.96 * 0.5 / 20
    assert [low, high] == pytest.approx([0.4 - half, 0.4 + half], abs=0.004)


def test_draws_follow_the_seed_alone():
    log_probs, y = calibrated(100)
    state = torch.get_rng_state()
    for function in (
        lambda seed: u.ece_floor(log_probs, samples=5, seed=seed),
        lambda seed: u.ece_interval(log_probs, y, samples=5, seed=seed),
    ):
        assert function(1) == function(1) != function(2)
    assert torch.equal(torch.get_rng_state(), state)


# --- temperature -------------------------------------------------------------------------------


@pytest.mark.parametrize("planted", [0.3, 1.0, 2.5, 12.0])
def test_a_planted_temperature_is_found(planted):
    counts = torch.randint(1, 30, (200, 4), generator=generator())
    counts[:, 0] = 100 - counts[:, 1:].sum(-1)  # labels as frequent as their probabilities say
    y = torch.arange(4).repeat(200).repeat_interleave(counts.flatten())
    log_probs = (planted * (counts.double() / 100).log()).log_softmax(-1)
    log_probs = log_probs.repeat_interleave(100, 0)[None]  # (1, 20000, 4)
    assert u.temperature(log_probs, y) == pytest.approx(planted, abs=1e-3)


@pytest.mark.parametrize("members", [1, 4])
@pytest.mark.parametrize("over", [0.4, 2.0])
def test_temperature_minimises_the_likelihood(members, over):
    log_probs, y = calibrated(500, members, over=over)
    found = u.temperature(log_probs, y)
    best = minimize_scalar(
        lambda log_t: u.nll(u.scale(log_probs, math.exp(log_t)), y),
        bounds=(-3, 3), method="bounded", options={"xatol": 1e-9},
    )  # fmt: skip
    assert found == pytest.approx(math.exp(best.x), rel=1e-4)
    assert u.nll(u.scale(log_probs, found), y) == pytest.approx(best.fun, abs=1e-12)
    assert u.nll(u.scale(log_probs, found), y) < u.nll(log_probs, y) - 1e-3


def test_a_temperature_from_validation_repairs_other_data():
    log_probs, y = calibrated(4000, over=2.0)
    found = u.temperature(log_probs[:, :2000], y[:2000])
    test, y_test = log_probs[:, 2000:], y[2000:]
    assert found == pytest.approx(2, rel=0.1)
    assert u.nll(u.scale(test, found), y_test) < u.nll(test, y_test)
    assert u.ece(u.scale(test, found), y_test) < u.ece(test, y_test) / 2


def test_scale():
    log_probs, y = calibrated(200, members=3)
    torch.testing.assert_close(u.scale(log_probs, 1), log_probs, rtol=0, atol=1e-14)
    powers = log_probs.exp() ** (1 / 2.5)
    expected = (powers / powers.sum(-1, keepdim=True)).log()
    torch.testing.assert_close(u.scale(log_probs, 2.5), expected)
    for t in (0.05, 0.5, 20.0):
        single = log_probs[:1]
        assert torch.equal(u.scale(single, t).argmax(-1), single.argmax(-1))
        assert u.accuracy(u.scale(single, t), y) == u.accuracy(single, y)
    mean = u.mean_log_probs(log_probs)[None]  # averaging first is another choice
    assert u.nll(u.scale(mean, 2.5), y) != pytest.approx(
        u.nll(u.scale(log_probs, 2.5), y), abs=1e-3
    )


def test_extremes_of_scale_are_safe():
    log_probs = torch.tensor([[[0.75, 0.25, 0.0], [1.0, 0.0, 0.0]]]).log()  # holds −inf
    hot = u.scale(log_probs, 1e30).exp()
    torch.testing.assert_close(hot, torch.tensor([[[0.5, 0.5, 0], [1, 0, 0]]]))
    cold = u.scale(log_probs, 1e-40).exp()
    torch.testing.assert_close(cold, torch.tensor([[[1.0, 0, 0], [1, 0, 0]]]))


def test_temperature_where_it_says_little():
    never_wrong, y = binary([0.75] * 4, [1] * 4)
    assert u.temperature(never_wrong, y) == pytest.approx(0.05, rel=1e-4)
    assert u.temperature(never_wrong, 1 - y) == pytest.approx(20, rel=1e-4)
    uniform = torch.full((2, 3, 10), 0.1).log()
    assert u.temperature(uniform, torch.tensor([0, 1, 2])) == 1
    assert u.temperature(torch.zeros(1, 1, 1), torch.tensor([0])) == 1
    certain, y = binary([1.0, 1.0], [1, 0])  # one right, one impossible
    assert u.temperature(certain, y) == 1
    assert u.temperature(certain[:, 1:], y[1:]) == 1


def test_an_impossible_label_has_no_say():
    log_probs, y = calibrated(300, members=2, over=2.0)
    impossible = torch.full((2, 1, 4), -math.inf, dtype=torch.double)
    impossible[..., 0] = 0
    more, labels = torch.cat([log_probs, impossible], 1), torch.cat([y, torch.tensor([1])])
    assert u.temperature(more, labels) == u.temperature(log_probs, y)
    half = more.clone()
    half[0, -1] = torch.tensor([0.97, 0.01, 0.01, 0.01]).log()  # possible to one, so it counts
    assert u.temperature(half, labels) > u.temperature(log_probs, y) + 1e-3


def test_temperature_ignores_the_order_of_members_and_examples():
    log_probs, y = calibrated(200, members=3, over=1.5)
    order = torch.randperm(200, generator=generator())
    assert u.temperature(log_probs[[2, 0, 1]][:, order], y[order]) == pytest.approx(
        u.temperature(log_probs, y), abs=1e-5
    )


# --- bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"bins": 0}, "bins .* not 0"), ({"bins": 1.5}, "not 1.5"), ({"bins": "ten"}, "not 'ten'")],
)
def test_bad_bins(arguments, message):
    log_probs, y = calibrated(5)
    error = TypeError if arguments["bins"] == "ten" else ValueError
    for function in (u.ece, u.reliability, u.ece_interval):
        with pytest.raises(error, match=message):
            function(log_probs, y, **arguments)
    with pytest.raises(error, match=message):
        u.ece_floor(log_probs, **arguments)


@pytest.mark.parametrize("samples", [0, -1, 2.5])
def test_bad_samples(samples):
    log_probs, y = calibrated(5)
    with pytest.raises(ValueError, match=f"samples .* not {samples}"):
        u.ece_floor(log_probs, samples=samples)
    with pytest.raises(ValueError, match=f"samples .* not {samples}"):
        u.ece_interval(log_probs, y, samples=samples)


@pytest.mark.parametrize("level", [0, 1, 95, math.nan])
def test_bad_level(level):
    with pytest.raises(ValueError, match=f"level .* not {level}"):
        u.ece_interval(*calibrated(5), level=level)


@pytest.mark.parametrize("t", [0, -1.0, math.inf, math.nan])
def test_bad_temperature(t):
    with pytest.raises(ValueError, match=f"positive and finite, not {t}"):
        u.scale(calibrated(5)[0], t)


@pytest.mark.parametrize("function", [u.ece, u.reliability, u.ece_interval, u.temperature])
def test_bad_predictions_and_labels(function):
    log_probs, y = calibrated(5)
    with pytest.raises(ValueError, match="non-empty"):
        function(log_probs[0], y)
    with pytest.raises(ValueError, match="sum to 1"):
        function(log_probs + 1, y)
    with pytest.raises(ValueError, match=r"shape \(5,\)"):
        function(log_probs, y[:-1])
    with pytest.raises(ValueError, match=r"0\.\.3"):
        function(log_probs, y + 4)


@pytest.mark.parametrize(
    "function", [u.ece, u.reliability, u.ece_interval, u.temperature, u.conformal_quantile]
)
def test_what_is_no_real_number_is_refused(function):
    log_probs, y = calibrated(5)
    with pytest.raises(TypeError, match=r"log_probs must be real numbers, not torch\.complex128"):
        function(log_probs.cdouble(), y)
    with pytest.raises(TypeError, match="y must be numbers, not NoneType"):
        function(log_probs, None)
    with pytest.raises(TypeError, match="log_probs is a masked array"):
        function(np.ma.array(log_probs.numpy(), mask=False), y)
    with pytest.raises(TypeError, match="y is a masked array"):
        function(log_probs, np.ma.array(y.numpy(), mask=[1, 0, 0, 0, 0]))


@pytest.mark.parametrize("seed", [None, -1, 1.5, "one"])
def test_a_seed_is_a_whole_number(seed):
    log_probs, y = calibrated(5)
    for draw in (
        lambda: u.ece_floor(log_probs, samples=3, seed=seed),
        lambda: u.ece_interval(log_probs, y, samples=3, seed=seed),
    ):
        with pytest.raises((TypeError, ValueError), match="seed must be a"):
            draw()


def test_whole_numbers_of_numpy_are_whole_numbers():
    log_probs, y = calibrated(50)
    seven = np.int64(7)
    assert u.ece(log_probs, y, bins=seven) == u.ece(log_probs, y, bins=7)
    assert u.ece(log_probs, y, bins=seven, mass=True) == u.ece(log_probs, y, bins=7, mass=True)
    interval = u.ece_interval(log_probs, y, bins=seven, samples=seven)
    assert interval == u.ece_interval(log_probs, y, bins=7, samples=7)
    assert interval == u.ece_interval(log_probs, y, bins=7.0, samples=7, seed=np.uint8(0))

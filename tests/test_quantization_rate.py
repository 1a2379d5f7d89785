"""Rate-distortion training: its steps, its penalty, its codes, and the file that it ends in."""

import math

import pytest
import torch
from torch import nn

from uecompress import networks, quantization, storage, training, uncertainty
from uecompress.quantization import RateLinear, code_length, rate_distortion, rate_loss


def layer(weight, step, bias=None, bias_step=1.0):
    """A layer in float64 with these numbers."""
    weight = torch.tensor(weight, dtype=torch.float64)
    linear = RateLinear(weight.shape[1], weight.shape[0], bias=bias is not None).double()
    with torch.no_grad():
        linear.weight.copy_(weight)
        linear.log_step.fill_(math.log(step))
        if bias is not None:
            linear.bias.copy_(torch.tensor(bias))
            linear.bias_log_step.fill_(math.log(bias_step))
    return linear


def blobs(seed=0, count=300):
    draw = torch.Generator().manual_seed(seed)
    y = torch.arange(count) % 3
    x = torch.randn(count, 8, generator=draw) + 2 * nn.functional.one_hot(y, 8)
    return x, y


def small(seed=0):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    return training.fit(model, blobs(), epochs=10, batch_size=50, lr=1e-2, seed=0, progress=False)


def test_the_network_predicts_with_whole_multiples_of_its_steps():
    found = layer([[0.9, -0.24, 0.26], [5.1, 0.0, -0.75]], 0.5, bias=[0.3, 1.6], bias_step=0.25)
    expected = torch.tensor([[1.0, 0.0, 0.5], [5.0, 0.0, -1.0]], dtype=torch.float64)
    assert torch.allclose(found.dense_weight, expected, atol=1e-12, rtol=0)
    assert torch.allclose(found.dense_bias, torch.tensor([0.25, 1.5]).double(), atol=1e-12)


def test_gradients_pass_the_rounding_and_the_step_feels_its_error():
    found = layer([[0.9, -0.24]], 0.5)
    (found.dense_weight * torch.tensor([[1.0, 10.0]])).sum().backward()
    assert torch.equal(found.weight.grad, torch.tensor([[1.0, 10.0]]).double())
    # d ŵ / d log s = s · (round(w / s) − w / s), eq. 3 of LSQ times s
    expected = 0.5 * ((2 - 1.8) * 1 + (0 + 0.48) * 10)
    assert found.log_step.grad.item() == pytest.approx(expected)


def test_a_code_beyond_the_largest_is_clipped_and_its_weight_gets_no_gradient():
    found = layer([[100.0, 1.0]], 0.5)
    found.dense_weight.sum().backward()
    assert found.dense_weight[0, 0].item() == pytest.approx(127 * 0.5)
    assert found.weight.grad.tolist() == [[0.0, 1.0]]


def test_the_code_length_is_the_mean_over_all_weights_and_biases():
    first, second = layer([[0.5, 0.0]], 0.5, bias=[1.0]), layer([[2.0]], 1.0)
    expected = (math.log(101) + 0 + math.log(101) + math.log(201)) / 4
    assert code_length(nn.Sequential(first, second)).item() == pytest.approx(expected, abs=1e-12)


def test_its_gradient_is_that_of_finite_differences():
    model = nn.Sequential(layer([[0.3, -0.7], [1.2, 0.01]], 0.4, bias=[0.2, -0.1]))
    code_length(model).backward()
    for parameter in model.parameters():
        for place in range(parameter.numel()):
            values = []
            for sign in (1, -1):
                with torch.no_grad():
                    parameter.view(-1)[place] += sign * 1e-6
                values.append(code_length(model).item())
                with torch.no_grad():
                    parameter.view(-1)[place] -= sign * 1e-6
            slope = (values[0] - values[1]) / 2e-6
            assert parameter.grad.view(-1)[place].item() == pytest.approx(slope, rel=1e-4)


def test_the_penalty_rises_over_the_ramp():
    model, (x, y) = nn.Sequential(layer(torch.eye(3).tolist(), 0.3)), blobs()
    x = x[:, :3].double()
    error = training.cross_entropy(model, x, y, 0.0)
    length = code_length(model)
    for progress, share in ((0.0, 0.0), (0.1, 0.5), (0.2, 1.0), (0.9, 1.0)):
        found = rate_loss(3.0, ramp=0.2)(model, x, y, progress)
        assert found.item() == pytest.approx((error + share * 3 * length).item())
    assert rate_loss(3.0, ramp=0)(model, x, y, 0.0).item() > error.item()


def test_the_codes_predict_what_was_trained_bit_for_bit_and_so_does_their_file(tmp_path):
    x, y = blobs()
    model = training.fit(
        rate_distortion(small()), (x, y), epochs=5, batch_size=50, lr=1e-2, seed=0,
        loss=rate_loss(0.1), progress=False,
    )  # fmt: skip
    coded = quantization.finish(model)
    storage.save(coded, tmp_path / "network")
    found = uncertainty.predict(storage.load(tmp_path / "network"), x)
    assert torch.equal(found, uncertainty.predict(model, x))


def test_convolutions_are_rounded_too(tmp_path):
    model = rate_distortion(networks.cnn(seed=0))
    x = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    found = uncertainty.predict(quantization.finish(model), x)
    assert torch.equal(found, uncertainty.predict(model, x))


def test_a_larger_penalty_makes_a_smaller_file_of_fewer_weights(tmp_path):
    data, sizes, zeros = blobs(), [], []
    for penalty in (0.0, 0.1, 1.0):
        model = training.fit(
            rate_distortion(small()), data, epochs=30, batch_size=50, lr=1e-2, seed=0,
            loss=rate_loss(penalty), progress=False,
        )  # fmt: skip
        coded = quantization.finish(model)
        sizes.append(storage.save(coded, tmp_path / "network"))
        zeros.append(sum(int((m.codes == 0).sum()) for m in coded if hasattr(m, "codes")))
    assert sizes[0] > sizes[1] > sizes[2]
    assert zeros[0] < zeros[1] < zeros[2]


def test_the_start_is_the_mean_size_and_weights_of_zero_have_one():
    model = nn.Linear(3, 2)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, -2.0, 0.0], [3.0, 0.0, 0.0]]))
        model.bias.zero_()
    found = RateLinear.from_linear(model)
    assert found.log_step.exp().item() == pytest.approx(1.0)
    assert torch.isfinite(found.dense_bias).all()


def test_networks_without_such_layers_and_bad_numbers_are_refused():
    with pytest.raises(ValueError, match="no layer that rate_distortion made"):
        code_length(small())
    with pytest.raises(ValueError, match="no plain Linear or Conv2d"):
        rate_distortion(nn.Sequential(nn.ReLU()))
    with pytest.raises(ValueError, match="penalty"):
        rate_loss(-1.0)
    with pytest.raises(ValueError, match="ramp"):
        rate_loss(1.0, ramp=1.5)
    broken = nn.Sequential(nn.Linear(2, 2))
    with torch.no_grad():
        broken[0].weight[0, 0] = math.inf
    with pytest.raises(ValueError, match="'0'"):
        rate_distortion(broken)


def test_a_network_in_training_is_stored_and_goes_on_where_it_was(tmp_path):
    model, (x, _) = rate_distortion(small()), blobs()
    storage.save(model, tmp_path / "network")
    back = storage.load(tmp_path / "network")
    assert torch.equal(uncertainty.predict(back, x), uncertainty.predict(model, x))
    assert code_length(back) == code_length(model)

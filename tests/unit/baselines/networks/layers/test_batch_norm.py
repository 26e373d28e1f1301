"""The batch norm for few channels equals torch's: outputs, gradients and running statistics."""

import pytest
import torch
from torch import nn

from baselines.networks.layers import batch_norm
from baselines.networks.layers.batch_norm import BatchNorm2d
from baselines.networks.layers.conditional import ConditionalBatchNorm
from baselines.networks.layers.memory_format import channels_last, contiguous_format
from tests.support.layers_alike import assert_same


def pair(channels, **settings):
    torch.manual_seed(0)
    ours, torchs = BatchNorm2d(channels, **settings), nn.BatchNorm2d(channels, **settings)
    for parameter in ours.parameters():
        nn.init.normal_(parameter)
    torchs.load_state_dict(ours.state_dict())
    return ours, torchs


@pytest.fixture
def lane_calls(monkeypatch):
    """One entry for each use of our own gradients; torch uses two threads."""
    calls, lane_gradients = [], batch_norm._lane_gradients
    monkeypatch.setattr(batch_norm, "_lane_gradients", lambda *args: calls.append(1) or lane_gradients(*args))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield calls
    torch.set_num_threads(before)


def gradients(norm, x):
    """Gradients of a fixed function of the output: of the maps, and of the weight and bias if there are any."""
    x = x.detach().requires_grad_()
    output = norm(x)
    weights = torch.linspace(-1, 1, output.numel()).view(output.shape).to(output.dtype)
    return torch.autograd.grad((weights * output**2).sum(), (x, *norm.parameters()))


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize("settings", [{}, {"eps": 0.1, "momentum": 0.3}])
@pytest.mark.parametrize(("channels", "side"), [(8, 4), (2, 8), (1, 8), (4, 8)])
def test_outputs_gradients_and_statistics_equal_torchs(channels, side, settings, lane_calls):
    ours, torchs = pair(channels, **settings)
    x = channels_last(torch.randn(3, channels, side, side) * 2 + 5)
    for gradient, expected in zip(gradients(ours, x), gradients(torchs, x), strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-10)
    assert len(lane_calls) == 1
    assert_same(ours, x, lambda x: torch.func.functional_call(torchs, dict(ours.named_parameters()), x))
    assert torch.equal(ours(x), torchs(x))
    for name, buffer in torchs.named_buffers():
        torch.testing.assert_close(ours.get_buffer(name), buffer, msg=name)


@pytest.mark.usefixtures("double_precision")
def test_without_affine_parameters_it_serves_conditional_batch_norm(lane_calls):
    ours, torchs = (ConditionalBatchNorm(kind(8, affine=False), 3) for kind in (BatchNorm2d, nn.BatchNorm2d))
    torchs.load_state_dict(ours.state_dict())
    condition = torch.tensor([2, 0])
    x = torch.randn(2, 8, 4, 4, requires_grad=True)
    gradient, expected = (torch.autograd.grad(norm(x, condition).pow(3).sum(), x) for norm in (ours, torchs))
    torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-10)
    assert lane_calls


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("mean", [0, 30])
def test_gradients_are_as_accurate_as_torchs(mean, dtype, lane_calls):
    ours, torchs = pair(8)
    exact = pair(8)[1].double()
    exact.load_state_dict(ours.state_dict())
    x = channels_last(torch.randn(16, 8, 14, 14, generator=torch.Generator().manual_seed(0)) + mean).to(dtype)
    expected = gradients(exact, x.double())
    errors = [
        [(g.double() - e).abs().max() / e.abs().max() for g, e in zip(computed, expected, strict=True)]
        for computed in (gradients(ours, x), gradients(torchs, x))
    ]
    assert lane_calls
    for error, torchs_error in zip(*errors, strict=True):
        assert error <= 10 * torchs_error, errors  # the sums run in another order


@pytest.mark.parametrize("shape", [(3, 16, 4, 4), (3, 3, 4, 4), (3, 8, 1, 1)])
def test_unsuitable_maps_use_torchs_gradients(shape, lane_calls):
    ours, torchs = pair(shape[1])
    x = torch.randn(shape)
    assert torch.equal(ours(x), torchs(x))
    for gradient, expected in zip(gradients(ours, x), gradients(torchs, x), strict=True):
        assert torch.equal(gradient, expected)
    assert not lane_calls


@pytest.mark.parametrize("situation", ["one thread", "evaluation"])
def test_one_thread_and_evaluation_mode_use_torchs_gradients(situation, lane_calls):
    ours, torchs = pair(8)
    if situation == "one thread":
        torch.set_num_threads(1)
    else:
        ours.eval(), torchs.eval()
    x = torch.ones(2, 8, 4, 4)
    for gradient, expected in zip(gradients(ours, x), gradients(torchs, x), strict=True):
        assert torch.equal(gradient, expected)
    assert not lane_calls


def test_vmapped_models_use_torchs_gradients(lane_calls):
    ours = BatchNorm2d(8)
    with contiguous_format():
        gradients(ours, torch.randn(2, 8, 4, 4))
    assert not lane_calls


def test_outputs_are_in_channels_last_format(lane_calls):
    maps = BatchNorm2d(8)(torch.randn(2, 8, 4, 4))
    assert maps.is_contiguous(memory_format=torch.channels_last)

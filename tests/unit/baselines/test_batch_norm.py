"""The batch norm of few maps is torch's, gradients, running statistics and all."""

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
def lanes(monkeypatch):
    """How often gradients were ours, on two threads."""
    used, gradients = [], batch_norm._lane_gradients
    monkeypatch.setattr(batch_norm, "_lane_gradients", lambda *args: used.append(1) or gradients(*args))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield used
    torch.set_num_threads(before)


def slopes(norm, x):
    """Of the maps, the weight and the bias, where there are."""
    x = x.detach().requires_grad_()
    made = norm(x)
    weights = torch.linspace(-1, 1, made.numel()).view(made.shape).to(made.dtype)
    return torch.autograd.grad((weights * made**2).sum(), (x, *norm.parameters()))


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize("settings", [{}, {"eps": 0.1, "momentum": 0.3}])
@pytest.mark.parametrize(("channels", "side"), [(8, 4), (2, 8), (1, 8), (4, 8)])
def test_it_is_torchs(channels, side, settings, lanes):
    ours, torchs = pair(channels, **settings)
    x = channels_last(torch.randn(3, channels, side, side) * 2 + 5)
    for one, other in zip(slopes(ours, x), slopes(torchs, x), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
    assert len(lanes) == 1
    assert_same(ours, x, lambda x: torch.func.functional_call(torchs, dict(ours.named_parameters()), x))
    assert torch.equal(ours(x), torchs(x))
    for name, buffer in torchs.named_buffers():
        torch.testing.assert_close(ours.get_buffer(name), buffer, msg=name)


@pytest.mark.usefixtures("double_precision")
def test_without_weights_of_its_own_it_is_conditional(lanes):
    ours, torchs = (ConditionalBatchNorm(kind(8, affine=False), 3) for kind in (BatchNorm2d, nn.BatchNorm2d))
    torchs.load_state_dict(ours.state_dict())
    condition = torch.tensor([2, 0])
    x = torch.randn(2, 8, 4, 4, requires_grad=True)
    of_ours, of_torchs = (torch.autograd.grad(norm(x, condition).pow(3).sum(), x) for norm in (ours, torchs))
    torch.testing.assert_close(of_ours, of_torchs, rtol=1e-10, atol=1e-10)
    assert lanes


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("mean", [0, 30])
def test_gradients_are_as_accurate_as_torchs(mean, dtype, lanes):
    ours, torchs = pair(8)
    exact = pair(8)[1].double()
    exact.load_state_dict(ours.state_dict())
    x = channels_last(torch.randn(16, 8, 14, 14, generator=torch.Generator().manual_seed(0)) + mean).to(dtype)
    expected = slopes(exact, x.double())
    errors = [
        [(one.double() - other).abs().max() / other.abs().max() for one, other in zip(found, expected, strict=True)]
        for found in (slopes(ours, x), slopes(torchs, x))
    ]
    assert lanes
    for error, torchs_error in zip(*errors, strict=True):
        assert error <= 10 * torchs_error, errors  # sums in another order


@pytest.mark.parametrize("shape", [(3, 16, 4, 4), (3, 3, 4, 4), (3, 8, 1, 1)])
def test_other_maps_are_left_to_torch(shape, lanes):
    ours, torchs = pair(shape[1])
    x = torch.randn(shape)
    assert torch.equal(ours(x), torchs(x))
    for one, other in zip(slopes(ours, x), slopes(torchs, x), strict=True):
        assert torch.equal(one, other)
    assert not lanes


@pytest.mark.parametrize("why", ["one thread", "evaluation"])
def test_where_nothing_is_gained_it_is_left_to_torch(why, lanes):
    ours, torchs = pair(8)
    if why == "one thread":
        torch.set_num_threads(1)
    else:
        ours.eval(), torchs.eval()
    for one, other in zip(slopes(ours, torch.ones(2, 8, 4, 4)), slopes(torchs, torch.ones(2, 8, 4, 4)), strict=True):
        assert torch.equal(one, other)
    assert not lanes


def test_models_stacked_into_one_are_left_to_torch(lanes):
    ours = BatchNorm2d(8)
    with contiguous_format():
        slopes(ours, torch.randn(2, 8, 4, 4))
    assert not lanes


def test_maps_keep_their_channels_last(lanes):
    maps = BatchNorm2d(8)(torch.randn(2, 8, 4, 4))
    assert maps.is_contiguous(memory_format=torch.channels_last)

"""TensorFlow's Adam, compared with a NumPy restatement, and with torch's Adam in the limits where both agree."""

from copy import deepcopy

import numpy as np
import pytest
import torch

from benchmark.training import checkpoint
from benchmark.training.adam import TensorFlowAdam
from tests.support.examples import CPU, advance, assert_equal, spec_of, trainer_of
from tests.support.recorded_graph import with_graphs

BETAS = [(0.0, 0.9), (0.5, 0.9), (0.5, 0.999), (0.9, 0.999), (0.0, 0.0)]
TENSORFLOW = {"lr": 2e-3, "betas": [0.5, 0.999], "epsilon": "tensorflow"}


def gradients(steps, scale, size=7):
    """(steps, size) gradients with entries of the given scale, and a few that are exactly 0."""
    values = scale * np.random.default_rng(0).standard_normal((steps, size))
    values[::3, 0] = 0.0
    return values


def in_tensorflow(start, grads, lr, betas, eps):
    """The weights after each update: training_ops.cc, `ApplyAdam`, with the powers of the betas kept as variables."""
    w, m, v = start.copy(), np.zeros_like(start), np.zeros_like(start)
    beta1_power, beta2_power, path = betas[0], betas[1], []
    for g, rate in zip(grads, lr, strict=True):
        m += (1 - betas[0]) * (g - m)
        v += (1 - betas[1]) * (g * g - v)
        w = w - rate * np.sqrt(1 - beta2_power) / (1 - beta1_power) * m / (np.sqrt(v) + eps)
        beta1_power, beta2_power = beta1_power * betas[0], beta2_power * betas[1]
        path.append(w)
    return np.stack(path)


def path_of(kind, start, grads, lr, betas, eps=1e-8):
    """The weights after each update of a torch optimiser. `lr`: the rate of every update."""
    weights = torch.tensor(start, requires_grad=True)
    adam, path = kind([weights], lr=lr[0], betas=betas, eps=eps, fused=True), []
    for g, rate in zip(grads, lr, strict=True):
        adam.param_groups[0]["lr"], weights.grad = rate, torch.tensor(g)
        adam.step()
        path.append(weights.detach().numpy().copy())
    return np.stack(path)


@pytest.mark.parametrize("scale", [1e-8, 1e-7, 1e-3, 1.0, 1e4])
@pytest.mark.parametrize("betas", BETAS)
def test_updates_equal_a_restatement_in_numpy(betas, scale):
    start, grads, lr = np.linspace(-1, 1, 7), gradients(300, scale), np.linspace(2e-3, 1e-3, 300)
    theirs = in_tensorflow(start, grads, lr, betas, 1e-8)
    ours = path_of(TensorFlowAdam, start, grads, lr, betas)
    np.testing.assert_allclose(ours - start, theirs - start, rtol=1e-9, atol=1e-14)


def test_tiny_gradients_move_the_weights_less_than_with_torchs_adam():
    """A first gradient as large as eps: lr / 2 with torch, lr sqrt(0.001) / (sqrt(0.001) + 1) with TensorFlow."""
    start, grads = np.zeros(1), np.full((1, 1), 1e-8)
    torchs, ours = (path_of(kind, start, grads, [1.0], (0.0, 0.999)) for kind in (torch.optim.Adam, TensorFlowAdam))
    assert torchs.item() == pytest.approx(-0.5, rel=1e-6)
    assert ours.item() == pytest.approx(-np.sqrt(0.001) / (1 + np.sqrt(0.001)), rel=1e-6)


@pytest.mark.parametrize("betas", BETAS)
def test_both_agree_where_epsilon_does_not_matter(betas):
    start, grads, lr = np.linspace(-1, 1, 7), gradients(50, 1.0) + 3.0, np.full(50, 2e-3)
    ours, torchs = (path_of(kind, start, grads, lr, betas, 1e-16) for kind in (TensorFlowAdam, torch.optim.Adam))
    np.testing.assert_allclose(ours, torchs, rtol=1e-12)


def test_both_agree_after_many_updates_even_on_tiny_gradients():
    """The last of 400 updates, with b2^t < 1e-18; the first ones differ by more than a tenth."""
    start, grads, lr = np.zeros(7), gradients(400, 1e-8), np.full(400, 1.0)
    ours, torchs = (path_of(kind, start, grads, lr, (0.5, 0.9)) for kind in (TensorFlowAdam, torch.optim.Adam))
    np.testing.assert_allclose(np.diff(ours, axis=0)[-1], np.diff(torchs, axis=0)[-1], rtol=1e-9)
    assert np.abs(ours[0, 1:] / torchs[0, 1:] - 1).min() > 0.1


def test_a_parameter_without_a_gradient_stays():
    weights, other = (torch.ones(2, requires_grad=True) for _ in range(2))
    adam = TensorFlowAdam([weights, other], lr=0.1, fused=True)
    adam.step()
    weights.grad = torch.ones(2)
    adam.step()
    assert torch.equal(other, torch.ones(2))
    torch.testing.assert_close(weights.detach(), torch.full((2,), 0.9))


def test_a_state_has_the_entries_of_torchs_adam():
    """So that checkpoints and seeds that are trained as one need no special case."""
    kinds = (TensorFlowAdam, torch.optim.Adam)
    ours, torchs = (advance(trainer_of(spec(kind)), 2).players[0].optimizer for kind in ("tensorflow", "pytorch"))
    assert tuple(type(optimizer) for optimizer in (ours, torchs)) == kinds
    for one, other in zip(ours.state.values(), torchs.state.values(), strict=True):
        assert {key: (value.shape, value.dtype) for key, value in one.items()} == {
            key: (value.shape, value.dtype) for key, value in other.items()
        }
        assert one["step"] == other["step"] == 2


# --- in a training; tests/contract/test_vmapped.py trains several seeds as one ------------------


def spec(epsilon="tensorflow", **changes):
    changes = {"discriminator_steps": 2, "optimizer": TENSORFLOW | {"epsilon": epsilon, "schedule": "linear"}} | changes
    return spec_of("dist_gan_ms", "mlp", "stacked_digits", **changes)


def state(trainer):
    """Without the settings of the optimisers: captured updates keep the rate in a tensor."""
    whole = trainer.state()
    return whole | {"optimizers": [optimizer["state"] for optimizer in whole["optimizers"]]}


def test_captured_updates_are_bit_identical():
    captured, eager = advance(with_graphs(trainer_of(spec())), 8), advance(trainer_of(spec()), 8)
    assert captured.graph_failures == {}
    assert captured.graphs.backend.replays
    assert_equal(state(captured), state(eager))


def test_a_resumed_training_is_bit_identical(tmp_path):
    checkpoint.save(tmp_path / "state.pt", deepcopy(advance(trainer_of(spec()), 3).state()))
    resumed = trainer_of(spec())
    resumed.restore(checkpoint.load(tmp_path / "state.pt", CPU))
    assert_equal(state(advance(resumed, 5)), state(advance(trainer_of(spec()), 8)))

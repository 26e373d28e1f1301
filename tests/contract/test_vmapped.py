"""Several trials as one model, for every method and every network, compared with the same trials trained alone.

In float64, so that only rounding remains: a wrong weight, stream, batch or statistic is larger.
"""

import pytest
import torch
from torch.nn.utils.parametrize import is_parametrized

from benchmark.training import trainer as trainer_module
from benchmark.training import vmapped
from benchmark.training.vmapped import VmappedTrainer
from tests.support.examples import combinations, register_stand_ins, spec_of, trainer_of

STEPS = 2  # in the second, the optimisers have a state
SEEDS = (3, 0)
FIRST = {(method, network): (method, network, dataset) for method, network, dataset in reversed(combinations())}


@pytest.fixture(autouse=True)
def _double(monkeypatch):
    def to_range(images, image_range):
        if image_range is None:
            return images.double()
        low, high = image_range
        return images.double() * ((high - low) / 255) + low

    monkeypatch.setattr(trainer_module, "to_range", to_range)
    monkeypatch.setattr(vmapped, "to_range", to_range)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def cannot_vmap(method):
    """Whether the method has what torch.func.vmap cannot train: spectral norm, whose vectors torch changes in place, or
    a gradient penalty on a discriminator with batch norm, whose statistics cannot change inside torch.func.grad.
    """
    has_spectral_norm = any(map(is_parametrized, method.modules()))
    return has_spectral_norm or (method.uses_gradient_penalty and method.has_batch_norm)


def trainers(*case, **changes):
    found = [trainer_of(spec) for spec in spec_of(*case, steps=STEPS, **changes).with_seeds(SEEDS)]
    for trainer in found:
        trainer.method.double()
    return found


def states(trainer):
    """Everything that a trial resumes from, as a flat list of tensors."""
    state = trainer.state()
    tensors = [*state["method"].values(), state["rng"], state["data_rng"]]
    for optimizer in state["optimizers"]:
        tensors += [value for entry in optimizer["state"].values() for value in entry.values()]
    return tensors


def assert_close(one, other):
    for a, b in zip(states(one), states(other), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-7)
    assert one.step == other.step
    one, other = one.mean_losses(), other.mean_losses()
    assert one == pytest.approx(other, rel=1e-7, abs=1e-7)


@pytest.mark.parametrize("case", FIRST.values(), ids="-".join)
def test_vmapped_trials_equal_trials_trained_alone(case, monkeypatch):
    register_stand_ins(monkeypatch)
    alone, grouped = trainers(*case), trainers(*case)
    vmapped_trainer = VmappedTrainer(grouped)
    try:
        vmapped_trainer.dry_run()
    except Exception:
        assert cannot_vmap(grouped[0].method)
        step = [trainer.train_step for trainer in grouped]  # the failed dry run has changed nothing
    else:
        assert not cannot_vmap(grouped[0].method)
        step = [vmapped_trainer.train_step]
    for _ in range(STEPS if len(step) == 1 else 1):
        for advance in [trainer.train_step for trainer in alone] + step:
            advance()
    for one, other in zip(alone, grouped, strict=True):
        assert_close(one, other)


def test_vmapped_trials_with_the_teacher_of_the_self_labelling_paper_equal_trials_trained_alone():
    """ResNet18, RandAugment and Nesterov's momentum."""
    changes = {
        "options": {"teacher": "resnet18", "teacher_width": 2, "augmentation": "randaugment", "other_losses": 0.5},
        "optimizer": {"lr": 2e-3, "betas": [0.5, 0.9], "nesterov": {"classifier": 0.9}},
    }
    assert_vmapped_equal_alone("self_labelling", **changes)


def test_vmapped_trials_equal_trials_trained_alone_with_tensorflows_adam_and_in_epochs():
    changes = {"optimizer": {"lr": 2e-3, "betas": [0.5, 0.9], "epsilon": "tensorflow"}, "sampling": "epochs"}
    assert_vmapped_equal_alone("dist_gan_ms", **changes)


def assert_vmapped_equal_alone(method, **changes):
    """Trials of a method that can be vmapped, on the smallest network and images."""
    alone, grouped = (trainers(method, "mlp", "stacked_digits", **changes) for _ in range(2))
    vmapped_trainer = VmappedTrainer(grouped)
    vmapped_trainer.dry_run()
    for _ in range(STEPS):
        for advance in [trainer.train_step for trainer in alone] + [vmapped_trainer.train_step]:
            advance()
    for one, other in zip(alone, grouped, strict=True):
        assert_close(one, other)

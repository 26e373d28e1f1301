"""The moving average of the generator: its values, its use for samples, and that it does not affect the training."""

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from baselines.common.ema import EMA
from benchmark.training import checkpoint
from tests.support.examples import CPU, advance, assert_equal, spec_of, trainer_of


def averaging(**average):
    return spec_of("gan", "mlp", "stacked_digits", average=average)


@pytest.mark.parametrize("start", [0, 1, 3])
def test_the_average_follows_the_generator_from_its_start(start):
    t = trainer_of(averaging(decay=0.75, start=start))
    expected = {}
    for step in t.train_until(5):
        for name, value in t.method.generator.state_dict().items():
            first = step <= max(start - 1, 1)  # before its start it copies, and the very first time
            expected[name] = value.clone() if first else 0.75 * expected[name] + 0.25 * value
            if value.is_floating_point():
                torch.testing.assert_close(t.ema.module.state_dict()[name], expected[name])
    ours, average = t.method.generator.state_dict(), t.ema.module.state_dict()
    assert not torch.equal(ours["0.weight"], average["0.weight"])


def test_samples_come_from_the_average():
    t = advance(trainer_of(averaging(decay=0.5)), 4)
    before = torch.cat(list(t.samples(8)))
    with torch.no_grad():
        for parameter in t.method.generator.parameters():
            parameter.zero_()
    assert torch.equal(torch.cat(list(t.samples(8))), before)
    with torch.no_grad():
        t.ema.module[0].weight.mul_(-3)
    assert not torch.equal(torch.cat(list(t.samples(8))), before)


def test_a_training_with_an_average_resumes_exactly(tmp_path):
    spec = averaging(decay=0.9, start=1)
    whole = advance(trainer_of(spec), 4)
    checkpoint.save(tmp_path / "state.pt", advance(trainer_of(spec), 2).state())
    resumed = trainer_of(spec)
    resumed.restore(checkpoint.load(tmp_path / "state.pt", CPU))
    assert_equal(advance(resumed, 2).state(), whole.state())


def test_the_average_changes_samples_and_not_the_training():
    plain = advance(trainer_of(spec_of("gan", "mlp", "stacked_digits")), 3)
    average = advance(trainer_of(averaging(decay=0.9)), 3)
    assert_equal(plain.method.state_dict(), average.method.state_dict())
    assert not torch.equal(torch.cat(list(plain.samples(8))), torch.cat(list(average.samples(8))))


def moved(model):
    """The network after another step, which changes weights, statistics and a count of batches."""
    model(torch.rand(3, 4))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))
    return model


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.999])
def test_the_average_is_bit_identical_to_torchs_including_integers(decay):
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5))
    ours = EMA(model, decay)
    theirs = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
    for reset in (False, False, False, True, False, False):
        moved(model)
        if reset:
            theirs.n_averaged.zero_()
        ours.update_parameters(model, reset)
        theirs.update_parameters(model)
        assert_equal(ours.module.state_dict(), theirs.module.state_dict())
        assert torch.equal(ours(torch.eye(4)), theirs(torch.eye(4)))
    assert not any(parameter.requires_grad for parameter in ours.parameters())


def test_the_state_of_an_average_holds_whether_it_is_initialised():
    model = nn.Linear(4, 2)
    begun, other = EMA(model, 0.5), EMA(model, 0.5)
    begun.update_parameters(moved(model))
    other.load_state_dict(begun.state_dict())
    for average in (begun, other):
        average.update_parameters(model if average is other else moved(model))
    assert_equal(other.module.state_dict(), begun.module.state_dict())
    assert not torch.equal(begun.module.weight, model.weight), "it copies no more"
    other.load_state_dict(EMA(model, 0.5).state_dict())
    other.update_parameters(moved(model))
    assert torch.equal(other.module.weight, model.weight), "it has not begun: it copies"

"""What the precision of a training changes and what it leaves unchanged."""

import pytest
import torch

from benchmark.core.precision import autocast, tf32_mode
from benchmark.training import checkpoint
from tests.support.examples import CPU, advance, assert_equal, spec_of, trainer_of

CASES = [("ssgan", "mlp"), ("dist_gan_ms", "msgan_stacked_mnist"), ("wgan_gp", "pacgan_stacked_mnist")]


def spec(precision, method="dist_gan_ms", network="msgan_stacked_mnist", **changes):
    return spec_of(method, network, "stacked_mnist", precision=precision, **changes)


def state_of(trainer):
    return trainer.state() | {"trial_id": ""}  # which names the precision


@pytest.mark.parametrize("names", CASES, ids="-".join)
def test_bfloat16_trains_near_float32_and_keeps_its_state_in_float32(names):
    reference, trainer = (advance(trainer_of(spec(precision, *names)), 1) for precision in ("float32", "bfloat16"))
    expected, found = reference.mean_losses(), trainer.mean_losses()
    assert found == pytest.approx(expected, rel=0.1, abs=0.05)
    assert found != expected
    state = trainer.state()
    kinds = {value.dtype for value in state["method"].values() if value.is_floating_point()}
    kinds |= {v.dtype for o in state["optimizers"] for s in o["state"].values() for v in s.values()}
    assert kinds == {torch.float32}
    assert {p.grad.dtype for player in trainer.players for p in player.parameters} == {torch.float32}


@pytest.mark.parametrize("names", CASES, ids="-".join)
def test_losses_and_discriminator_outputs_are_float32(names):
    trainer = trainer_of(spec("bfloat16", *names))
    images = torch.rand(4, 3, 28, 28)
    with autocast("bfloat16", CPU):
        assert {part.dtype for part in trainer.method.discriminate(images)} == {torch.float32}
    advance(trainer, 1)
    assert {total.dtype for total in trainer.loss_sums.values()} == {torch.float32}


def test_a_repeated_and_a_resumed_trial_are_bit_identical(tmp_path):
    whole = advance(trainer_of(spec("bfloat16")), 4)
    assert_equal(advance(trainer_of(spec("bfloat16")), 4).state(), whole.state())
    checkpoint.save(tmp_path / "state.pt", advance(trainer_of(spec("bfloat16")), 2).state())
    resumed = trainer_of(spec("bfloat16"))
    resumed.restore(checkpoint.load(tmp_path / "state.pt", CPU))
    assert_equal(advance(resumed, 2).state(), whole.state())


def test_tf32_is_float32_without_a_gpu():
    assert_equal(state_of(advance(trainer_of(spec("tf32")), 2)), state_of(advance(trainer_of(spec("float32")), 2)))


def test_samples_are_float32_in_every_precision():
    batches = [next(trainer_of(spec(precision)).samples(4)) for precision in ("float32", "bfloat16")]
    assert torch.equal(*batches)


def test_on_a_gpu_the_precision_decides_whether_tf32_is_allowed():
    """Torch has these settings without a GPU too; they are restored at the end."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    for precision in ("float32", "tf32", "bfloat16"):
        with tf32_mode(precision, torch.device("cuda")):
            found = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
            assert found == (precision == "tf32",) * 2
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32) == before

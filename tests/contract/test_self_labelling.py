"""The self-labelling GAN with its paper's teacher: ResNet18, RandAugment, Nesterov's momentum, and two batch sizes."""

import pytest
import torch

from benchmark.training import checkpoint, graphs
from tests.support.examples import CPU, advance, assert_equal, spec_of, trainer_of
from tests.support.recorded_graph import with_graphs

OPTIONS = {"teacher": "resnet18", "teacher_width": 2, "augmentation": "randaugment", "other_losses": 0.5}
OPTIMIZER = {"lr": 2e-3, "betas": [0.0, 0.9], "player_lr": {"classifier": 0.03}, "nesterov": {"classifier": 0.9}}


def spec(**options):
    options = OPTIONS | {"labelled": 0.5, "prototypes": 1000, "threshold": 0.01} | options
    return spec_of("self_labelling", "mlp", "stacked_digits", options=options, optimizer=OPTIMIZER, batch_size=8)


def state(trainer):
    """Without settings of optimisers: captured updates keep the learning rate in a tensor."""
    whole = trainer.state()
    return whole | {"optimizers": [optimizer["state"] for optimizer in whole["optimizers"]]}


def test_all_players_train_and_real_images_get_labels():
    trainer = trainer_of(spec(labelled=0.0, prototypes=4))
    before = {
        name: tensor.clone() for name, tensor in trainer.method.state_dict().items() if tensor.is_floating_point()
    }
    losses = advance(trainer, 3).mean_losses()
    assert losses["discriminator/accepted"] > 0
    assert losses["discriminator/penalty"] > 0
    after = trainer.method.state_dict()
    for player in ("classifier", "teacher.module", "discriminator", "generator"):
        assert any(not torch.equal(value, after[name]) for name, value in before.items() if name.startswith(player))
    kinds = [type(player.optimizer) for player in trainer.players]
    assert kinds == [torch.optim.SGD, torch.optim.Adam, torch.optim.Adam]


def test_a_resumed_training_is_bit_identical(tmp_path):
    whole = advance(trainer_of(spec()), 4)
    checkpoint.save(tmp_path / "state.pt", advance(trainer_of(spec()), 2).state())
    resumed = trainer_of(spec())
    resumed.restore(checkpoint.load(tmp_path / "state.pt", CPU))
    advance(resumed, 2)
    assert_equal(resumed.state(), whole.state())


def test_captured_training_is_bit_identical(monkeypatch):
    monkeypatch.setattr(graphs, "EAGER_UPDATES", 1)
    captured = advance(with_graphs(trainer_of(spec())), 4)
    assert captured.graph_failures == {}
    assert_equal(state(captured), state(advance(trainer_of(spec()), 4)))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_captured_training_on_a_gpu_is_bit_identical(monkeypatch):
    from benchmark.trials.build import build_trainer
    from tests.support.examples import random_images

    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    prepared, gpu = random_images("stacked_digits"), torch.device("cuda")
    captured, eager = (advance(build_trainer(spec(), prepared, gpu, graphs), 8) for graphs in (True, False))
    assert captured.graph_failures == {}
    assert_equal(state(captured), state(eager))

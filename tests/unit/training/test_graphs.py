"""Captured updates: replays are bit-identical to eager updates, and what cannot be captured trains eagerly."""

from functools import partial
from unittest.mock import create_autospec

import pytest
import torch
from torch import nn

from baselines.common.ema import EMA
from baselines.methods.dist_gan import DistGAN
from benchmark.core import registry
from benchmark.training import checkpoint, graphs
from benchmark.training.cuda_graphs import CudaGraphs
from benchmark.training.graphs import EAGER_UPDATES, GraphedStepInputs
from benchmark.training.player import Player
from benchmark.training.recorded_graphs import RecordedGraphs, RefusedError
from benchmark.training.vmapped import VmappedTrainer
from benchmark.trials import runner
from benchmark.trials.build import build_trainer
from tests.support.examples import (
    CPU,
    advance,
    assert_equal,
    random_images,
    register_stand_ins,
    smallest_options,
    spec_of,
    stand_in_combinations,
    switches,
    trainer_of,
)
from tests.support.recorded_graph import CountingGraphs, with_graphs
from tests.support.trials import job_in

ALL = [(name, {}) for name in registry.methods]
SWITCHED = [
    (name, {option: value}) for name in registry.methods for option, value in switches(registry.methods[name].Options)
]
LABELLED = [("self_labelling", {"labelled": 0.5, "prototypes": 1000, "weight_classifier": 0.7, "threshold": 0.1})]
DECAYING = [(name, {"loss": "hinge_sigmoid"}) for name in ("dist_gan", "dist_gan_ss", "dist_gan_ms")]
CHANGES = {
    "network_options": {"generator_width": 4, "discriminator_width": 3, "spectral_norm": True},
    "optimizer": {"lr": 2e-3, "betas": [0.5, 0.9], "schedule": "linear"},
    "average": {"decay": 0.9, "start": 2},
    "discriminator_steps": 2,
}
EVERY = 8  # steps of a whole training


def spec(case=("ssgan", {}), **changes):
    method, options = case
    options = smallest_options(registry.methods[method].Options) | options
    return spec_of(method, "mlp", "stacked_digits", **CHANGES | {"options": options} | changes)


def called(case):
    return "-".join([case[0], *(f"{key}={value}" for key, value in case[1].items())])


def captured(of, steps):
    return advance(with_graphs(trainer_of(of)), steps)


def numbers(trainer):
    """A trainer's state. Settings of Adam are compared as floats: captured updates keep the rate in a tensor."""
    state = trainer.state()
    rates = [float(group["lr"]) for o in state["optimizers"] for group in o["param_groups"]]
    return state | {"optimizers": [o["state"] for o in state["optimizers"]], "rates": rates}


def assert_same(ours, eager):
    assert_equal(numbers(ours), numbers(eager))
    assert ours.mean_losses() == eager.mean_losses()


# --- bit-identical -------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ALL + LABELLED + DECAYING, ids=called)
def test_captured_training_is_bit_identical(case):
    """Over a whole training, with a falling learning rate, a moving average, and scheduled weights."""
    ours, eager = captured(spec(case), EVERY), advance(trainer_of(spec(case)), EVERY)
    assert ours.graph_failures == {}
    updates = [EVERY * player.updates_per_step for player in ours.players]
    backend = ours.graphs.backend
    assert (backend.captures, backend.replays) == (len(updates), sum(updates) - EAGER_UPDATES * len(updates))
    assert_same(ours, eager)


@pytest.mark.parametrize("case", ALL + DECAYING, ids=called)
def test_captured_training_of_vmapped_seeds_is_bit_identical(case):
    plain = CHANGES["network_options"] | {"spectral_norm": False}  # which cannot be done for several
    specs = spec(case, network_options=plain).with_seeds((3, 5))
    alike = [[trainer_of(one) for one in specs] for _ in range(2)]
    captured = VmappedTrainer([with_graphs(trainer) for trainer in alike[0]])
    eager = VmappedTrainer(alike[1])
    for _ in range(EVERY):
        captured.train_step()
        eager.train_step()
    assert captured.graphs.failures == {}
    assert captured.graphs.backend.replays
    for one, other in zip(captured.trainers, eager.trainers, strict=True):
        assert one.graph_failures == {}
        assert_same(one, other)


@pytest.mark.parametrize("case", SWITCHED, ids=called)
def test_captured_training_with_every_switch_is_bit_identical(case, monkeypatch):
    monkeypatch.setattr(graphs, "EAGER_UPDATES", 1)
    ours = captured(spec(case, discriminator_steps=1), 3)
    assert ours.graph_failures == {}
    assert_same(ours, advance(trainer_of(spec(case, discriminator_steps=1)), 3))


@pytest.mark.parametrize("combination", stand_in_combinations(every_size=False), ids="-".join)
def test_captured_training_of_every_network_is_bit_identical(combination, monkeypatch):
    register_stand_ins(monkeypatch)
    monkeypatch.setattr(graphs, "EAGER_UPDATES", 1)
    ours = captured(spec_of(*combination), 3)
    assert ours.graph_failures == {}
    assert_same(ours, advance(trainer_of(spec_of(*combination)), 3))


@pytest.mark.parametrize("method", ["ssgan", "dist_gan_ms", "self_labelling"])
def test_captured_training_in_bfloat16_is_bit_identical(method, monkeypatch):
    monkeypatch.setattr(graphs, "EAGER_UPDATES", 1)
    of = spec((method, {}), precision="bfloat16")
    ours = captured(of, 3)
    assert ours.graph_failures == {}
    assert_same(ours, advance(trainer_of(of), 3))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("case", ALL + LABELLED + DECAYING, ids=called)
def test_captured_training_on_a_gpu_is_bit_identical(case, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    prepared, gpu = random_images("stacked_digits"), torch.device("cuda")
    ours, eager = (advance(build_trainer(spec(case), prepared, gpu, graphed), EVERY) for graphed in (True, False))
    assert ours.graph_failures == {}
    assert set(ours.graphs.graphs) == {player.name for player in ours.players}
    assert_same(ours, eager)


def test_mean_losses_are_equal_at_any_time():
    ours, eager = with_graphs(trainer_of(spec())), trainer_of(spec())
    for steps in (1, 2, 1, 3):
        assert advance(ours, steps).mean_losses() == advance(eager, steps).mean_losses()
    assert ours.mean_losses() == {}


def test_sampling_between_replays_does_not_disturb_training():
    ours, eager = with_graphs(trainer_of(spec())), trainer_of(spec())
    for steps in (5, 3):
        advance(ours, steps), advance(eager, steps)
        assert torch.equal(torch.cat(list(ours.samples(8))), torch.cat(list(eager.samples(8))))
    assert_same(ours, eager)


# --- the tests above notice mistakes -------------------------------------------------------------------


def test_a_stale_weight_is_noticed(monkeypatch):
    """Dist-GAN's weights change from the middle of a training on."""
    monkeypatch.setattr(GraphedStepInputs, "schedule_weight", lambda turn, weight: weight(0.5))
    ours, eager = captured(spec(DECAYING[0]), EVERY), advance(trainer_of(spec(DECAYING[0])), EVERY)
    assert ours.graph_failures == {}
    assert ours.mean_losses() != eager.mean_losses()


def test_a_stale_learning_rate_is_noticed(monkeypatch):
    ours = captured(spec(), EAGER_UPDATES + 1)
    monkeypatch.setattr(Player, "set_lr", lambda player, rate: None)
    eager = advance(trainer_of(spec()), EVERY)
    monkeypatch.undo()
    assert advance(ours, EVERY - ours.step).mean_losses() != eager.mean_losses()


def test_stale_images_are_noticed(monkeypatch):
    monkeypatch.setattr(graphs.GraphedUpdate, "__call__", lambda self, drawn, progress: self.replay() or self.terms)
    ours, eager = captured(spec(), EVERY), advance(trainer_of(spec()), EVERY)
    assert ours.mean_losses() != eager.mean_losses()


def test_weights_have_the_progress_of_each_update():
    ours = captured(spec(DECAYING[0], discriminator_steps=1), 6)
    scalars = [scalar.item() for _, scalar in ours.graphs.graphs["discriminator"].weights]
    assert scalars == pytest.approx(DistGAN.real_weights(ours.method, 5 / EVERY))
    assert scalars != pytest.approx([0.95, 0.05])


# --- what cannot be captured ---------------------------------------------------------------------------


def reads_progress(loss, player, turn):
    terms = loss(player, turn)
    return {name: value * (1 + turn.progress) for name, value in terms.items()} if player == "generator" else terms


def asks(question):
    """A loss that, for the generator, ends with an operation that needs the host."""

    def asking(loss, player, turn):
        terms = loss(player, turn)
        if player == "generator":
            question(next(iter(terms.values())), turn)
        return terms

    return asking


QUESTIONS = {
    "progress": (reads_progress, "reads `progress`"),
    "item": (asks(lambda term, turn: term.item()), "needs the host"),
    "truth": (asks(lambda term, turn: bool(term > 0)), "needs the host"),
    "equal": (asks(lambda term, turn: torch.equal(turn.real, turn.real)), "needs the host"),
    "places": (asks(lambda term, turn: turn.real.nonzero()), "needs the host"),
    "mask": (asks(lambda term, turn: turn.real[turn.real > 0.5]), "needs the host"),
    "number": (asks(lambda term, turn: torch.tensor([1.0])), "needs the host"),
    "stream": (asks(lambda term, turn: torch.rand(2)), "another stream"),
}


def with_losses(trainer, changed):
    trainer.method.loss = partial(changed, trainer.method.loss)
    return trainer


@pytest.mark.parametrize("name", QUESTIONS)
def test_an_update_that_cannot_be_captured_runs_eagerly(name):
    changed, reason = QUESTIONS[name]
    ours = advance(with_losses(with_graphs(trainer_of(spec())), changed), EVERY)
    assert set(ours.graph_failures) == {"generator"}, "the discriminator's updates are captured"
    assert reason in ours.graph_failures["generator"]
    assert "\n" not in ours.graph_failures["generator"]
    assert set(ours.graphs.graphs) == {"discriminator"}
    assert_same(ours, advance(with_losses(trainer_of(spec()), changed), EVERY))


def test_the_reason_is_the_first_error():
    """A GPU then raises a second error, because it cannot end the capture."""

    class Spoilt(CountingGraphs):
        def capture(self, work):
            try:
                return super().capture(work)
            finally:
                raise RuntimeError("the capture was spoilt")

    trainer = with_losses(with_graphs(trainer_of(spec()), Spoilt), reads_progress)
    assert "reads `progress`" in advance(trainer, EVERY).graph_failures["generator"]


def test_graphs_of_a_gpu_share_their_pool_until_a_capture_fails(monkeypatch):
    """Against mocks with torch's signatures, not on a GPU."""
    cuda = create_autospec(torch.cuda)
    cuda.graph_pool_handle.side_effect = [(0, 1), (0, 2)]
    monkeypatch.setattr(torch, "cuda", cuda)
    rng = torch.Generator()
    backend = CudaGraphs(rng)
    with backend.warmup_stream():
        pass
    graph = cuda.CUDAGraph.return_value
    assert backend.capture(lambda: {}) == ({}, graph.replay)
    graph.register_generator_state.assert_called_once_with(rng)
    cuda.graph.return_value.__exit__.return_value = None
    with pytest.raises(ZeroDivisionError):
        backend.capture(lambda: 1 / 0)
    backend.capture(lambda: {})
    assert [call.args for call in cuda.graph.call_args_list] == [(graph, (0, n), backend.stream) for n in (1, 1, 2)]


def test_on_a_cpu_a_trial_with_graphs_records_them_and_is_bit_identical():
    eager, ours = (build_trainer(spec(), random_images("stacked_digits"), CPU, graphed) for graphed in (False, True))
    assert eager.graphs is None
    assert all(type(group["lr"]) is float for player in eager.players for group in player.optimizer.param_groups)
    advance(ours, EVERY)
    assert isinstance(ours.graphs.backend, RecordedGraphs)
    assert set(ours.graphs.graphs) == {player.name for player in ours.players}
    assert_same(ours, advance(eager, EVERY))


# --- resuming ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [("ssgan", {}), DECAYING[2], *LABELLED], ids=called)
@pytest.mark.parametrize("first", [1, EAGER_UPDATES, EAGER_UPDATES + 2])
@pytest.mark.parametrize("kinds", ["cc", "ec", "ce"])
def test_captured_and_eager_training_resume_from_each_others_checkpoints(case, first, kinds, tmp_path):
    before, after = (with_graphs(trainer_of(spec(case))) if kind == "c" else trainer_of(spec(case)) for kind in kinds)
    checkpoint.save(tmp_path / "state.pt", advance(before, first).state())
    after.restore(checkpoint.load(tmp_path / "state.pt", CPU))
    assert_same(advance(after, EVERY - first), advance(trainer_of(spec(case)), EVERY))
    assert after.graph_failures == {}


def test_restoring_a_state_discards_the_graphs(tmp_path):
    ours = captured(spec(), 2)
    checkpoint.save(tmp_path / "state.pt", ours.state())
    advance(ours, 4)
    assert ours.graphs.graphs
    ours.restore(checkpoint.load(tmp_path / "state.pt", CPU))
    assert not ours.graphs.graphs
    assert_same(advance(ours, EVERY - 2), advance(trainer_of(spec()), EVERY))


# --- in a trial ----------------------------------------------------------------------------------------


class NoEvaluator:
    metadata, identities = {}, {}

    def __init__(self, protocol, instruments, device):
        pass


def test_a_trial_reports_once_that_updates_are_not_captured(monkeypatch, tmp_path):
    of = spec(steps=9, protocol={"measures": {"rotation_accuracy": {}}, "evaluations": 1})
    prepared, build = random_images(of.dataset), build_trainer
    monkeypatch.setattr(runner, "open_prepared", lambda *_: prepared)
    monkeypatch.setattr(runner, "PROGRESS_SECONDS", 0.0)
    asked = []

    def with_backend(*arguments):
        asked.append(arguments[3])
        return with_losses(with_graphs(build(*arguments)), reads_progress)

    monkeypatch.setattr(runner, "build_trainer", with_backend)
    job = job_in(tmp_path, of, graphs=True)
    notes = []
    record = runner.run_trial(job, lambda progress: notes.append(progress.note))
    assert record.status == "finished", record.error
    assert asked == [True]
    (event,) = record.events
    assert event.what.startswith("updates of the generator are not captured as a graph: RuntimeError: the loss reads")
    assert (event.step, event.times) == (EAGER_UPDATES + 1, 1)
    assert [note for note in notes if note] == [event.what]


# --- the stand-in for a GPU ----------------------------------------------------------------------------


def test_a_capture_does_nothing_and_a_replay_does_it():
    rng, norm, x = torch.Generator().manual_seed(1), nn.BatchNorm1d(3), torch.rand(4, 3)
    before, state = {name: value.clone() for name, value in norm.state_dict().items()}, rng.get_state()
    terms, replay = CountingGraphs(rng).capture(lambda: {"x": (norm(x) + torch.rand(4, 3, generator=rng)).sum()})
    assert_equal(dict(norm.state_dict()), before)
    assert torch.equal(rng.get_state(), state)
    for _ in range(2):
        x.copy_(torch.rand(4, 3))
        ahead, other = torch.Generator(), nn.BatchNorm1d(3)
        ahead.set_state(rng.get_state())
        other.load_state_dict(norm.state_dict())
        expected = (other(x) + torch.rand(4, 3, generator=ahead)).sum()
        replay()
        assert torch.equal(terms["x"], expected)
        assert_equal(dict(norm.state_dict()), dict(other.state_dict()))
        assert torch.equal(rng.get_state(), ahead.get_state())


def test_a_replay_keeps_the_hosts_numbers():
    times, x = [2.0], torch.ones(3)
    terms, replay = CountingGraphs(torch.Generator()).capture(lambda: {"x": x * times[0]})
    times[0] = 5.0
    replay()
    assert torch.equal(terms["x"], 2 * x)


def test_a_failed_capture_changes_nothing():
    x, rng = torch.ones(3), torch.Generator()
    state = rng.get_state()

    def work():
        x.add_(torch.rand(3, generator=rng))
        return {"x": x.sum().item()}

    with pytest.raises(RefusedError):
        CountingGraphs(rng).capture(work)
    assert torch.equal(x, torch.ones(3))
    assert torch.equal(rng.get_state(), state)


def test_our_moving_average_can_be_captured_and_torchs_cannot():
    model, backend = nn.BatchNorm1d(2), CountingGraphs(torch.Generator())
    ours, theirs = EMA(model, 0.9), torch.optim.swa_utils.AveragedModel(model, use_buffers=True)
    for average in (ours, theirs):
        average.update_parameters(model)
    backend.capture(lambda: ours.update_parameters(model) or {})
    with pytest.raises(RefusedError):
        backend.capture(lambda: theirs.update_parameters(model) or {})

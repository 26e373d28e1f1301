"""The training loop: the order of updates, their inputs, the loss sums, and divergence."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from baselines.common.method import Method
from benchmark.core.spec import TrialSpec
from benchmark.data.sampler import ImageSampler, to_range, to_stored
from benchmark.training.trainer import Trainer, TrainingDiverged, stream_seed

CPU = torch.device("cpu")
RANGES = [(0.0, 1.0), (-1.0, 1.0)]


# --- bytes and floats ----------------------------------------------------------------------------------


@pytest.mark.parametrize("image_range", RANGES)
def test_every_byte_survives_conversion_to_floats_and_back(image_range):
    bytes_ = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    floats = to_range(bytes_, image_range)
    assert floats.dtype is torch.float32
    assert (floats.min(), floats.max()) == image_range
    assert torch.equal(to_stored(floats, image_range), bytes_)
    assert torch.equal(bytes_.flatten(), torch.arange(256, dtype=torch.uint8)), "the input is left alone"


@pytest.mark.parametrize(("low", "high"), RANGES)
def test_floats_become_bytes_by_clamp_and_round(low, high):
    width = high - low
    floats = torch.tensor([low - 9, low, low + 0.4 / 255 * width, low + 0.6 / 255 * width, high, high + 9])
    before = floats.clone()
    assert to_stored(floats, (low, high)).tolist() == [0, 0, 0, 1, 255, 255]
    assert torch.equal(floats, before)


@given(value=st.floats(-3, 3, width=32))
def test_bytes_are_the_nearest_of_256_levels(value):
    found = to_stored(torch.tensor([value]), (-1.0, 1.0)).item()
    levels = np.linspace(-1, 1, 256)
    assert abs(levels[found] - value) <= np.abs(levels - value).min() + 1e-6


# --- a method that records its calls -------------------------------------------------------------------


class RecordingMethod(Method):
    """Three players with one weight each; the loss is the weight times the mean of the batch."""

    players = ("encoder", "discriminator", "generator")

    def __init__(self):
        nn.Module.__init__(self)
        for name in self.players:
            self.add_module(name, Scale())
        self.entries = []
        self.updated = []

    def loss(self, player, turn):
        self.entries.append((player, turn))
        weight = getattr(self, player).weight
        turn.logged["weight"] = weight.detach().clone()
        return {"first": weight * turn.real.mean(), "second": weight * 0 + 2.0}

    def after_update(self, player):
        self.updated.append((player, getattr(self, player).weight.item()))

    def order(self):
        return [player for player, _ in self.entries]


class Scale(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))


def trainer(**changes):
    fields = {
        "method": "diary",
        "network": "none",
        "dataset": "none",
        "latent": {"dim": 1, "distribution": "uniform"},
        "steps": 10,
        "batch_size": 4,
        "optimizer": {"lr": 0.01, "betas": [0.3, 0.8]},
        "protocol": {"measures": {"none": {"n_fake": 1}}},
        "seed": 1,
    }
    spec = TrialSpec.model_validate(fields | changes)
    pixels = np.random.default_rng(0).integers(0, 256, (30, 1, 2, 2), dtype=np.uint8)
    return Trainer(spec, RecordingMethod(), images=ImageSampler(pixels, 3, CPU), image_range=(0.0, 1.0), device=CPU)


def run(of, until):
    return list(of.train_until(until))


@pytest.mark.parametrize("n_dis", [1, 2, 5])
def test_players_update_in_order_and_the_discriminator_n_times(n_dis):
    t = trainer(discriminator_steps=n_dis)
    assert run(t, 2) == [1, 2]
    assert t.method.order() == (["encoder"] + ["discriminator"] * n_dis + ["generator"]) * 2


def test_after_update_is_called_after_every_update():
    t = trainer()
    run(t, 1)
    assert [player for player, _ in t.method.updated] == t.method.order()
    assert all(weight != 1 for _, weight in t.method.updated)


def test_logged_scalars_are_recorded_and_not_minimised():
    t = trainer()
    run(t, 1)
    means = t.mean_losses()
    assert means["generator/weight"] == 1, "its value in the update"
    assert t.method.generator.weight.item() == pytest.approx(1 - 0.01, rel=1e-4), "one step of Adam on `first` alone"


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [("constant", [1, 1, 1, 1]), ("linear", [1, 0.75, 0.5, 0.25]), ("capped_linear", [0.5, 0.5, 0.5, 0.25])],
)
def test_learning_rates_follow_the_schedule(schedule, factors):
    """MS-04: capped_linear is lr min(1 - t, 1/2)."""
    optimizer = {"lr": 0.01, "betas": [0.3, 0.8], "schedule": schedule, "player_lr": {"generator": 0.1}}
    t = trainer(optimizer=optimizer, steps=4)
    seen = []
    for _ in t.train_until(4):
        seen.append([player.optimizer.param_groups[0]["lr"] for player in t.players])
    expected = [[0.01 * factor, 0.01 * factor, 0.1 * factor] for factor in factors]
    np.testing.assert_allclose(seen, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("counted", "every", "exponents"),
    [("updates", 10, [0, 0, 1, 2, 2]), ("steps", 2, [0, 0, 1, 1, 2]), ("updates", 7, [0, 1, 2, 3, 4])],
)
def test_a_staircase_counts_steps_or_the_updates_of_all_players(counted, every, exponents):
    """DG-03: with one update of the encoder, five of the discriminator and one of the generator a step counts seven."""
    schedule = {"factor": 0.9, "every": every, "counted": counted}
    optimizer = {"lr": 0.01, "betas": [0.3, 0.8], "schedule": schedule, "player_lr": {"generator": 0.1}}
    t = trainer(optimizer=optimizer, steps=5, discriminator_steps=5)
    seen = []
    for _ in t.train_until(5):
        seen.append([player.optimizer.param_groups[0]["lr"] for player in t.players])
    np.testing.assert_allclose(seen, [[0.01 * 0.9**e, 0.01 * 0.9**e, 0.1 * 0.9**e] for e in exponents], rtol=1e-12)


@pytest.mark.parametrize(("schedule", "moved"), [("constant", 4.0), ("linear", 2.5), ("capped_linear", 1.75)])
def test_updates_follow_the_schedule(schedule, moved):
    """The gradient's sign never changes, and Adam without memory moves by the learning rate: the sum over 4 steps."""
    t = trainer(optimizer={"lr": 0.01, "betas": [0.0, 0.0], "schedule": schedule}, steps=4)
    run(t, 4)
    assert 1 - t.method.generator.weight.item() == pytest.approx(0.01 * moved, rel=1e-4)


def test_training_goes_up_to_a_step_and_no_further():
    t = trainer()
    run(t, 3)
    assert t.step == 3
    assert run(t, 3) == []
    assert run(t, 2) == []
    assert run(t, 5) == [4, 5]


def test_every_update_draws_its_own_batch():
    t = trainer(discriminator_steps=2)
    run(t, 2)
    batches = [turn.real for _, turn in t.method.entries]
    assert len({str(batch.tolist()) for batch in batches}) == len(batches) == 8
    assert all(batch.shape == (4, 3, 2, 2) for batch in batches)
    assert all(batch.min() >= 0 and batch.max() <= 1 for batch in batches)
    assert all(turn.rng is t.rng for _, turn in t.method.entries)


def test_progress_is_the_share_of_the_whole_training_that_is_done():
    t = trainer(steps=4)
    run(t, 4)
    progress = [turn.progress for player, turn in t.method.entries if player == "discriminator"]
    assert progress == [0.0, 0.25, 0.5, 0.75]
    assert all(turn.progress in progress for _, turn in t.method.entries)


def test_only_the_players_own_parameters_require_gradients_in_its_update():
    t = trainer()
    asked = []
    loss = t.method.loss
    t.method.loss = lambda player, turn: (
        asked.append((player, [n for n, p in t.method.named_parameters() if p.requires_grad])),
        loss(player, turn),
    )[1]
    run(t, 1)
    assert asked == [(name, [f"{name}.weight"]) for name in RecordingMethod.players]


def test_every_player_has_an_adam_with_the_trials_settings_and_its_own_rate():
    optimizer = {"lr": 0.01, "betas": [0.3, 0.8], "eps": 1e-5, "player_lr": {"generator": 0.002}}
    for player in trainer(optimizer=optimizer).players:
        (group,) = player.optimizer.param_groups
        assert type(player.optimizer) is torch.optim.Adam
        assert group["lr"] == (0.002 if player.name == "generator" else 0.01)
        assert tuple(group["betas"]) == (0.3, 0.8)
        assert group["eps"] == 1e-5
        assert group["weight_decay"] == 0


def test_nesterovs_momentum_trains_the_players_that_have_one():
    """Restated on the loss w^2 / 2: v <- m v + w, then w <- w - lr (w + m v). All other players have Adam."""
    t = trainer(
        optimizer={"lr": 0.01, "betas": [0.0, 0.9], "player_lr": {"generator": 0.3}, "nesterov": {"generator": 0.9}}
    )
    t.method.loss = lambda player, turn: {"half_square": getattr(t.method, player).weight.square().sum() / 2}
    w, v = t.method.generator.weight.item(), 0.0
    for step in range(1, 6):
        run(t, step)
        v = 0.9 * v + w
        w -= 0.3 * (w + 0.9 * v)
        assert t.method.generator.weight.item() == pytest.approx(w, rel=1e-5)
    kinds = {player.name: type(player.optimizer) for player in t.players}
    assert kinds.pop("generator") is torch.optim.SGD
    assert set(kinds.values()) == {torch.optim.Adam}


def test_a_step_is_adams_step_on_the_sum_of_the_terms():
    """The first step of Adam moves every weight by lr against the sign of its gradient."""
    t = trainer(optimizer={"lr": 0.01, "betas": [0.3, 0.8], "eps": 1e-12})
    run(t, 1)
    for name in RecordingMethod.players:
        assert getattr(t.method, name).weight.item() == pytest.approx(0.99, abs=1e-6)


def test_players_minimise_their_losses():
    t = trainer(steps=200)
    run(t, 200)
    assert all(getattr(t.method, name).weight.item() < 0 for name in RecordingMethod.players)


@pytest.mark.parametrize("n_dis", [1, 3])
def test_mean_losses_are_means_over_all_updates_since_the_last_call(n_dis):
    t = trainer(discriminator_steps=n_dis)
    expected = {}
    loss = t.method.loss

    def remembering(player, turn):
        terms = loss(player, turn)
        for name, value in (terms | turn.logged).items():
            expected.setdefault(f"{player}/{name}", []).append(value.item())
        return terms

    t.method.loss = remembering
    for steps in (2, 5):
        expected.clear()
        run(t, steps)
        assert t.mean_losses() == pytest.approx({k: np.mean(v) for k, v in expected.items()}, rel=1e-5)
    assert t.mean_losses() == {}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_is_a_divergence_that_names_the_term(value):
    t = trainer()
    t.method.loss = lambda player, turn: {
        "fine": getattr(t.method, player).weight * 1.0,
        "wild": torch.tensor(value if player == "discriminator" else 0.0),
    }
    run(t, 2)
    with pytest.raises(TrainingDiverged, match=r"discriminator/wild.*step 2"):
        t.mean_losses()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_weight_that_is_not_finite_is_a_divergence(value):
    t = trainer()
    run(t, 1)
    with torch.no_grad():
        t.method.encoder.weight.fill_(value)
    with pytest.raises(TrainingDiverged, match=r"weight.*step 1"):
        t.mean_losses()


def test_an_earlier_divergence_is_not_forgotten():
    """One step with NaN among good ones is enough."""
    t = trainer()
    t.method.loss = lambda player, turn: {
        "term": getattr(t.method, player).weight * 0 + (math.nan if turn.progress == 0.1 else 1.0)
    }
    for p in t.players:
        p.optimizer.step = lambda: None  # keep the weights finite
    run(t, 5)
    with pytest.raises(TrainingDiverged):
        t.mean_losses()


def test_weights_that_are_all_zero_have_collapsed():
    t = trainer()
    run(t, 1)
    bias, matrix = nn.Parameter(torch.ones(3)), nn.Parameter(torch.tensor([[0.0, 0.1]]))
    t.method.register_parameter("bias", bias)
    t.method.register_parameter("matrix", matrix)
    t.players[1].parameters += [bias, matrix]
    t.raise_if_diverged()
    with torch.no_grad():
        matrix.zero_()
    with pytest.raises(TrainingDiverged, match="weights of the discriminator collapsed: all were zero by step 1"):
        t.raise_if_diverged()


def test_checking_for_divergence_keeps_the_loss_sums():
    t = trainer()
    run(t, 2)
    t.raise_if_diverged()
    assert t.loss_count == 2
    assert t.mean_losses()


def test_restored_loss_sums_continue():
    whole, first = trainer(), trainer()
    run(whole, 4)
    run(first, 2)
    second = trainer()
    second.restore(first.state())
    run(second, 4)
    assert second.mean_losses() == whole.mean_losses()


def test_a_restored_trainer_shares_no_tensor_of_sums_with_the_saved_state():
    t = trainer()
    run(t, 2)
    state = t.state()
    before = {name: value.clone() for name, value in state["sums"].items()}
    other = trainer()
    other.restore(state)
    run(other, 4)
    assert all(torch.equal(state["sums"][name], before[name]) for name in before)


# --- random streams ------------------------------------------------------------------------------------


def numbers(generator):
    return torch.randint(2**31, (64,), generator=generator)


@given(seed=st.integers(0, 2**31 - 1))
def test_weights_images_and_losses_have_separate_random_streams(seed):
    """Seeds that differ by 2**32 are the same seed to torch's CPU generator."""
    t = trainer(seed=seed)
    streams = [torch.Generator().manual_seed(seed), t.rng, t.data_rng]
    found = torch.stack([numbers(s) for s in streams])
    assert all((found[a] == found[b]).sum() == 0 for a, b in ((0, 1), (0, 2), (1, 2)))


def test_the_streams_of_a_seed_are_its_own_and_reproducible():
    seeds = {stream_seed(seed, use) for seed in range(200) for use in ("training", "images")}
    assert len(seeds) == 400
    assert max(seeds) < 2**32, "the bits that torch reads"
    assert stream_seed(3, "images") == 3745418289


def test_the_choice_of_images_does_not_depend_on_other_random_numbers():
    """The same seed draws the same images, however many random numbers a method draws."""
    t, greedy = trainer(steps=4), trainer(steps=4)
    loss = greedy.method.loss
    greedy.method.loss = lambda player, turn: (torch.rand(9, generator=turn.rng), loss(player, turn))[1]
    run(t, 3), run(greedy, 3)
    for (_, one), (_, other) in zip(t.method.entries, greedy.method.entries, strict=True):
        assert torch.equal(one.real, other.real)
    assert not torch.equal(t.rng.get_state(), greedy.rng.get_state())

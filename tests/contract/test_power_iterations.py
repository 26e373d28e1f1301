"""Power iterations under spectral norm: how many an update takes, and that separate calls train as mimicry does."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, relu

from baselines.networks.layers.spectral_norm import PowerMethod
from benchmark.core import registry
from benchmark.training import checkpoint, graphs
from benchmark.training import trainer as trainer_module
from benchmark.training.trainer import stream_seed
from benchmark.training.vmapped import VmappedTrainer
from perf.spectral_norm import make_trainer, sigma_lag
from tests.support.examples import (
    CPU,
    advance,
    assert_equal,
    random_images,
    register_stand_ins,
    smallest_options,
    spec_of,
    trainer_of,
)
from tests.support.recorded_graph import with_graphs

SEVERAL = {"discriminator": 3, "generator": 2}
SETTINGS = [SEVERAL, "one_per_call"]


def spec(method="ssgan", power_iterations=SEVERAL, **changes):
    options = smallest_options(registry.methods[method].Options)
    changes = {"network_options": {"generator_width": 4, "discriminator_width": 3, "spectral_norm": True}} | changes
    changes = {"options": options, "discriminator_steps": 2, "power_iterations": power_iterations} | changes
    return spec_of(method, "mlp", "stacked_digits", **changes)


def iterations_of_updates(trainer, monkeypatch):
    """Player -> power iterations of the discriminator in its last update, the same in all layers."""
    layers = [norm.of for norm, _ in PowerMethod(trainer.method.discriminator).layers]
    counts, found = dict.fromkeys(map(id, layers), 0), {}
    for layer in layers:
        method = layer._power_method

        def counted(matrix, iterations, layer=layer, method=method):
            counts[id(layer)] += iterations
            method(matrix, iterations)

        monkeypatch.setattr(layer, "_power_method", counted)

    def after_update(player):
        (found[player],) = set(counts.values())
        counts.update(dict.fromkeys(counts, 0))

    monkeypatch.setattr(trainer.method, "after_update", after_update)
    trainer.train_step()
    return found


@pytest.mark.parametrize("method", ["gan", "ssgan", "msgan", "conditional_gan", "dagan", "ssgan_la", "pacgan"])
def test_an_update_takes_as_many_iterations_as_the_recipe_says(method, monkeypatch):
    assert iterations_of_updates(trainer_of(spec(method)), monkeypatch) == SEVERAL
    ones = {"discriminator": 1, "generator": 1}
    assert iterations_of_updates(trainer_of(spec(method, ones)), monkeypatch) == ones


@pytest.mark.parametrize(
    ("method", "calls"), [("gan", (2, 1)), ("ssgan", (3, 2)), ("msgan", (4, 2)), ("conditional_gan", (2, 1))]
)
def test_separate_calls_take_one_iteration_for_each_batch(method, calls, monkeypatch):
    """mimicry: SNGAN and cGAN-PD 2 and 1 (gan.py:212-219), SSGAN 3 and 2 (ssgan_base.py:215-223, :68-76)."""
    counts = iterations_of_updates(trainer_of(spec(method, "one_per_call")), monkeypatch)
    assert counts == dict(zip(("discriminator", "generator"), calls, strict=True))


def test_images_without_a_gradient_share_the_iterations_of_the_update(monkeypatch):
    """The released generator loss of MSGAN has a second call, for real images; SEVERAL counts it."""
    of = spec("msgan", options={"fake_class": "upright", "generator_loss": "released"})
    assert iterations_of_updates(trainer_of(of), monkeypatch) == SEVERAL


def test_iterations_beforehand_are_those_of_the_power_method():
    trainer = trainer_of(spec())
    (norm, chain), before = PowerMethod(trainer.method.discriminator).layers[0], []
    with torch.no_grad():
        chain.original.normal_()
    matrix, v = chain.original.detach().double().numpy(), norm.of._v.double().numpy()
    for _ in range(3):
        u = matrix @ v / np.linalg.norm(matrix @ v)
        v = matrix.T @ u / np.linalg.norm(matrix.T @ u)
        before.append(u @ matrix @ v)
    norm.iterate(chain.original, 3)
    np.testing.assert_allclose(norm.sigma(chain.original).item(), before[-1], rtol=1e-5)
    assert before[0] < before[1] < before[2] <= np.linalg.norm(matrix, 2) * (1 + 1e-12), "from below"


def test_networks_without_spectral_norm_are_not_affected():
    without = {"network_options": {"generator_width": 4, "discriminator_width": 3, "spectral_norm": False}}
    one, several = (advance(trainer_of(spec(power_iterations=p, **without)), 2) for p in ({}, SEVERAL))
    assert_equal(one.method.state_dict(), several.method.state_dict())


# --- the lag of the estimate ---------------------------------------------------------------------------


def test_the_lag_of_joined_calls_is_that_of_separate_ones():
    """The measure of perf/spectral_norm.py, on a narrow network with a high learning rate, over fewer steps."""
    optimizer = {"lr": 2e-3, "betas": [0.0, 0.9]}
    ways = ({"discriminator": 1, "generator": 1}, SEVERAL, "one_per_call")
    once, several, separate = (sigma_lag(make_trainer(way, 4, 4, optimizer=optimizer), 3, 6)["mean"] for way in ways)
    assert 1 - several < 0.75 * (1 - once)
    assert abs(several - separate) < 0.5 * (several - once)


# --- mimicry's training --------------------------------------------------------------------------------

STEPS, N_DIS, BATCH, LATENT, RATE = 3, 2, 8, 12, 2e-3
EPS = 1e-6  # of Adam: biases before batch norm have no gradient but rounding, which a smaller one would turn into steps


@pytest.fixture
def _double(monkeypatch):
    def to_range(images, image_range):
        low, high = image_range
        return images.double() * ((high - low) / 255) + low

    monkeypatch.setattr(trainer_module, "to_range", to_range)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


class Mimicry:
    """mimicry's loop for SSGAN (training/trainer.py, nets/ssgan/ssgan_base.py): a call of D for every batch."""

    def __init__(self, generator: nn.Module, discriminator: nn.Module, pixels: np.ndarray, seed: int) -> None:
        self.g, self.d, self.images = generator, discriminator, torch.from_numpy(pixels)
        self.order = torch.Generator().manual_seed(stream_seed(seed, "images"))
        self.noise = torch.Generator().manual_seed(stream_seed(seed, "training"))
        self.loader = self.batches()
        self.adams = [torch.optim.Adam(m.parameters(), RATE, (0.0, 0.9), EPS) for m in (generator, discriminator)]

    def batches(self):
        """DataLoader(shuffle=True) over 40 images, of which 8 divides the number."""
        while True:
            for indices in torch.randperm(len(self.images), generator=self.order).split(BATCH):
                yield self.images[indices].double() / 255 * 2 - 1

    def fakes(self):
        return self.g(torch.rand(BATCH, LATENT, generator=self.noise) * 2 - 1)

    def rotation_loss(self, images):
        quarters = [torch.rot90(quarter, r, (2, 3)) for r, quarter in enumerate(images.chunk(4))]
        return cross_entropy(self.d(torch.cat(quarters)).class_logits, torch.arange(4).repeat_interleave(BATCH // 4))

    def step(self, optimizer, loss):
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def train(self):
        for step in range(STEPS):
            for adam in self.adams:
                adam.param_groups[0]["lr"] = RATE * (1 - step / STEPS)
            for _ in range(N_DIS):
                real, fake = next(self.loader), self.fakes().detach()
                on_real = self.d(real).logit
                on_fake = self.d(fake).logit
                game = relu(1 - on_real).mean() + relu(1 + on_fake).mean()
                self.step(self.adams[1], game + 1.0 * self.rotation_loss(real))
            next(self.loader)  # the harness draws a batch for the generator too
            fake = self.fakes()
            game = -self.d(fake).logit.mean()
            self.step(self.adams[0], game + 0.2 * self.rotation_loss(fake))


@pytest.mark.usefixtures("_double")
def test_three_steps_with_separate_calls_equal_a_loop_with_mimicrys_structure(monkeypatch):
    register_stand_ins(monkeypatch)
    changes = {
        "options": {"game": "hinge", "batches": "each_one_way"},
        "optimizer": {"lr": RATE, "betas": [0.0, 0.9], "eps": EPS, "schedule": "linear"},
        "network_options": {"generator_width": 4, "discriminator_width": 4},
        **{"steps": STEPS, "discriminator_steps": N_DIS, "batch_size": BATCH, "sampling": "epochs"},
    }
    ours, source, joined = (
        trainer_of(spec_of("ssgan", "sngan_resnet", "images_32", power_iterations=way, **changes))
        for way in ("one_per_call", "one_per_call", SEVERAL)
    )
    for trainer in (ours, source, joined):
        trainer.method.double()
    pixels = random_images("images_32").train.images
    theirs = Mimicry(source.method.generator, source.method.discriminator, pixels, ours.spec.seed)
    theirs.train()
    advance(ours, STEPS)
    advance(joined, STEPS)
    for name, value in ours.method.state_dict().items():
        torch.testing.assert_close(value, source.method.state_dict()[name], rtol=1e-10, atol=1e-10, msg=name)
    assert any(
        not torch.allclose(value, source.method.state_dict()[name], rtol=1e-6, atol=1e-6)
        for name, value in joined.method.state_dict().items()
    ), "joined calls are near, and not equal"


# --- captured, resumed, and several seeds ---------------------------------------------------------------


def state(trainer):
    whole = trainer.state()
    return whole | {"optimizers": [optimizer["state"] for optimizer in whole["optimizers"]]}


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_captured_updates_are_bit_identical(setting, monkeypatch):
    monkeypatch.setattr(graphs, "EAGER_UPDATES", 1)
    of = spec(power_iterations=setting)
    captured, eager = advance(with_graphs(trainer_of(of)), 4), advance(trainer_of(of), 4)
    assert captured.graph_failures == {}
    assert captured.graphs.backend.replays
    assert_equal(state(captured), state(eager))


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_a_resumed_training_is_bit_identical(setting, tmp_path):
    of = spec(power_iterations=setting)
    checkpoint.save(tmp_path / "state.pt", advance(trainer_of(of), 2).state())
    resumed = trainer_of(of)
    resumed.restore(checkpoint.load(tmp_path / "state.pt", CPU))
    assert_equal(state(advance(resumed, 2)), state(advance(trainer_of(of), 4)))


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_seeds_that_cannot_be_one_model_are_not_changed_by_the_attempt(setting):
    """torch changes the vectors in place, which vmap refuses; the seeds then take turns."""
    alone, together = ([trainer_of(of) for of in spec(power_iterations=setting).with_seeds((3, 5))] for _ in range(2))
    with pytest.raises(Exception, match=r"vmap|batched|in-?place|out="):
        VmappedTrainer(together).dry_run()
    for one, other in zip(alone, together, strict=True):
        assert_equal(state(advance(other, 2)), state(advance(one, 2)))

"""The training loop of every method. It follows the papers' algorithms and contains no method's loss."""

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from baselines.common.ema import EMA
from baselines.common.method import EagerStepInputs, Method
from baselines.networks.layers.memory_format import channels_last
from benchmark.core.precision import autocast, tf32_mode
from benchmark.core.spec import REFERENCE_PRECISION, TrialSpec
from benchmark.data.sampler import Batch, ImageSampler, Range, to_range, to_stored
from benchmark.training.adam import TensorFlowAdam
from benchmark.training.graphs import GraphBackend, GraphedUpdates, MakeInputs, Update
from benchmark.training.player import GradientSwitch, Player, Terms

EVALUATION_SEED = 2020  # of the latents of samples
ADAMS = {"pytorch": torch.optim.Adam, "tensorflow": TensorFlowAdam}


class TrainingDiverged(Exception):  # noqa: N818 - a result, not an error
    """A loss or a weight is no longer a finite number, or all weights of a player are zero."""


def stream_seed(seed: int, use: str) -> int:
    """The seed of one of a trial's random streams. It has 32 bits: torch's CPU generator ignores higher ones."""
    return int(np.random.SeedSequence([seed, *use.encode()]).generate_state(1)[0])


class Trainer:
    """A method in training.

    Args:
        spec: the trial.
        method: the method, with initial weights.
        images: the training images or points.
        image_range: lowest and highest pixel value of the network; None for points.
        device: where the method is.
        graph_backend: makes what captures updates as graphs, from the generators that they draw from; None: updates
            run eagerly.

    Attributes:
        step: number of training steps done, which are updates of the generator.
        loss_sums: sum over steps of every loss term since the last `mean_losses`; `loss_count` is the number of steps.
        ema: the moving average of the generator, where the recipe has one.
    """

    def __init__(
        self,
        spec: TrialSpec,
        method: Method,
        *,
        images: ImageSampler,
        image_range: Range,
        device: torch.device,
        graph_backend: Callable[..., GraphBackend] | None = None,
    ) -> None:
        self.spec, self.method, self.images, self.image_range, self.device = spec, method, images, image_range, device
        self.graph_backend = graph_backend
        self.step = 0
        self.loss_sums: Terms = {}
        self.loss_count = 0
        # The weights came from the seed itself. Images are chosen on the host, so that every device sees the same.
        self.rng = torch.Generator(device).manual_seed(stream_seed(spec.seed, "training"))
        self.data_rng = images.generator(stream_seed(spec.seed, "images"))
        self.players = [self._player(name) for name in method.players]
        self.gradients = GradientSwitch(tuple(method.parameters()))
        self.ema = EMA(method.generator, spec.average.decay) if spec.average and method.has_generator else None
        method.train()
        self._wrap_update()

    def train_step(self) -> None:
        """One step of training: the updates of every player, each on a batch of its own."""
        progress = self.progress
        for player in self.players:
            player.set_lr(self.lr_of(player.name))
            for _ in range(player.updates_per_step):
                batch = self.images.draw(self.spec.batch_size, self.data_rng)
                terms = self.run_update(player, batch, progress)  # `update`, or its graph
                self._accumulate(terms)
        self.finish_step()

    def update(self, player: Player, batch: Batch, progress: float, make_inputs: MakeInputs = EagerStepInputs) -> Terms:
        """One update of a player. Returns the update's share in the step's mean of every loss term."""
        self.gradients.select(player)
        with tf32_mode(self.spec.precision, self.device):
            # Loss: named terms, whose sum the player minimises
            with autocast(self.spec.precision, self.device):
                real = to_range(channels_last(batch.images), self.image_range)
                inputs = make_inputs(real, progress, self.rng, batch.labels)
                losses = self.method.loss(player.name, inputs)
            # Gradients
            player.optimizer.zero_grad(set_to_none=True)
            torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        terms = player.step_means(losses | inputs.logged)
        # Optimiser step, and the method's own changes after it, such as clipped weights
        player.optimizer.step()
        self.method.after_update(player.name)
        return terms

    def finish_step(self) -> None:
        """What follows the updates of a step: the generator's moving average, and the counters."""
        if self.ema and self.spec.average:
            self.ema.update_parameters(self.method.generator, reset=self.step + 1 < self.spec.average.start)
        self.step += 1
        self.loss_count += 1

    def train_until(self, step: int) -> Iterator[int]:
        """Train up to a step, yielding the number of steps done after each of them."""
        while self.step < step:
            self.train_step()
            yield self.step

    def lr_of(self, player: str) -> float:
        """The learning rate of a player in the step that comes next."""
        updates = sum(player.updates_per_step for player in self.players)
        return self.spec.optimizer.lr_at(player, self.progress, self.step, updates)

    @property
    def progress(self) -> float:
        """The share of the training that is done, in [0, 1)."""
        return self.step / self.spec.steps

    # --- players -------------------------------------------------------------------------------------------

    def _player(self, name: str) -> Player:
        parameters = [p for module in self.method.player_modules(name) for p in module.parameters()]
        updates_per_step = self.method.updates_per_step(name, self.spec.discriminator_steps)
        return Player(name, updates_per_step, parameters, self.optimizer(name, parameters))

    def optimizer(self, player: str, parameters: Sequence[Tensor]) -> torch.optim.Optimizer:
        """The optimiser of a player's parameters."""
        settings = self.spec.optimizer
        rate = settings.lr_at(player, 0.0)
        optimizer: torch.optim.Optimizer
        if momentum := settings.nesterov.get(player):
            optimizer = torch.optim.SGD(parameters, lr=rate, momentum=momentum, nesterov=True, fused=True)
        else:
            optimizer = ADAMS[settings.epsilon](parameters, lr=rate, betas=settings.betas, eps=settings.eps, fused=True)
        for group in optimizer.param_groups:
            group["lr"] = self._rate(group["lr"])
        return optimizer

    def _rate(self, rate: float) -> float | Tensor:
        """A learning rate as the optimiser keeps it: a tensor on a GPU, and wherever updates are captured.

        On a GPU eager updates use a tensor too, so that they round the rate as captured ones do: Adam reads float32.
        """
        if self.device.type == "cuda":
            return torch.tensor(rate, dtype=torch.float32, device=self.device)
        return torch.tensor(rate, dtype=torch.float64) if self.graph_backend else rate

    def _wrap_update(self) -> None:
        """Sets `run_update`, which performs an update eagerly or as a graph."""
        self.graphs = GraphedUpdates(self.graph_backend(self.rng), self.update) if self.graph_backend else None
        self.run_update: Update | GraphedUpdates = self.graphs or self.update

    @property
    def graph_failures(self) -> dict[str, str]:
        """The players whose updates could not be captured, each with one line that says why."""
        return self.graphs.failures if self.graphs else {}

    # --- losses --------------------------------------------------------------------------------------------

    def _accumulate(self, terms: Terms) -> None:
        """Add to the sums. They have memory of their own: a replayed graph overwrites the terms of the one before."""
        known = [term for term in terms if term in self.loss_sums]
        if known:
            torch._foreach_add_([self.loss_sums[term] for term in known], [terms[term] for term in known])
        self.loss_sums |= {term: value.clone() for term, value in terms.items() if term not in self.loss_sums}

    def mean_losses(self) -> dict[str, float]:
        """Mean of every loss term since the last call. Raises TrainingDiverged as `raise_if_diverged` does."""
        self.raise_if_diverged()
        means = {name: float(total) / max(self.loss_count, 1) for name, total in self.loss_sums.items()}
        self.loss_sums, self.loss_count = {}, 0
        return means

    def raise_if_diverged(self) -> None:
        """Check losses and weights. Waits for the device, so it is called now and then, and not in every step.

        A generator that makes the same image for all latents has not diverged: metrics measure mode collapse.

        Raises:
            TrainingDiverged: if a loss or a weight is not finite, or all weights of a player are zero. A player's
                weights are its parameters of two or more dimensions.
        """
        broken = [name for name, total in self.loss_sums.items() if not math.isfinite(total)]
        parameters = list(self.method.parameters())
        highest = torch.stack([p.detach().abs().max() for p in parameters]).tolist()
        if broken or not all(map(math.isfinite, highest)):
            raise TrainingDiverged(f"{broken[0] if broken else 'a weight'} was not finite by step {self.step}")
        size = dict(zip(map(id, parameters), highest, strict=True))
        for player in self.players:
            weights = [size[id(p)] for p in player.parameters if p.dim() > 1]
            if weights and max(weights) == 0:
                raise TrainingDiverged(f"the weights of the {player.name} collapsed: all were zero by step {self.step}")

    # --- state ---------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the training depends on."""
        return {
            "step": self.step,
            "method": self.method.state_dict(),
            "average": self.ema.state_dict() if self.ema else None,
            "optimizers": [player.optimizer.state_dict() for player in self.players],
            "rng": self.rng.get_state(),
            "data_rng": self.data_rng.get_state(),
            "sums": {term: total.clone() for term, total in self.loss_sums.items()},
            "summed": self.loss_count,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a state of the same trial."""
        self.method.load_state_dict(state["method"])
        if self.ema:
            self.ema.load_state_dict(state["average"])
        for player, saved in zip(self.players, state["optimizers"], strict=True):
            settings = player.optimizer.state_dict()["param_groups"]  # come from the spec, not from the state
            player.optimizer.load_state_dict(saved | {"param_groups": settings})
        self.rng.set_state(state["rng"].cpu())
        self.data_rng.set_state(state["data_rng"].cpu())
        self.step, self.loss_count = state["step"], state["summed"]
        self.loss_sums = {term: total.clone() for term, total in state["sums"].items()}
        self._wrap_update()  # graphs use tensors that the optimisers have replaced

    # --- samples -------------------------------------------------------------------------------------------

    @property
    def eval_generator(self) -> nn.Module:
        """The generator that samples are drawn from: the moving average where the recipe has one."""
        generator: nn.Module = self.ema.module if self.ema else self.method.generator
        return generator

    @torch.no_grad()
    def samples(self, n: int, draw: int = 0) -> Generator[Tensor, None, None]:
        """Exactly n generated samples, in batches: uint8 images (N, C, H, W) or float32 points (N, D).

        The training is not disturbed.

        The latents depend on `draw` alone. Samples are generated in batches of `protocol.sample_batch`: with
        `batch_norm: batch` an image depends on its batch, so the last batch is generated in full and cut.
        """
        protocol = self.spec.protocol
        latents = torch.Generator(self.device).manual_seed(EVALUATION_SEED + draw)
        generator = self.eval_generator
        buffers = {name: buffer.clone() for name, buffer in generator.named_buffers()}
        generator.train(protocol.batch_norm == "batch")
        try:
            for start in range(0, n, protocol.sample_batch):
                with tf32_mode(REFERENCE_PRECISION, self.device):
                    images = generator(*self.method.generator_input(protocol.sample_batch, latents))
                yield to_stored(images, self.image_range)[: n - start]
        finally:
            for name, buffer in generator.named_buffers():
                buffer.copy_(buffers[name])
            generator.train()

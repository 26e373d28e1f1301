"""The one training loop: players, steps, exact resume. It reads like the papers' algorithms and knows none."""

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from baselines.common.ema import EMA
from baselines.common.method import Method
from baselines.networks.layers.memory_format import channels_last
from benchmark.core.precision import tf32_mode
from benchmark.core.spec import REFERENCE, TrialSpec
from benchmark.data.sampler import Batch, ImageSampler, Range, to_range, to_uint8
from benchmark.training.cuda_graphs import GraphBackend, GraphedUpdates, MakeTurn, Terms
from benchmark.training.loop import Loop, Player, TrainingDiverged, stream_seed


@dataclass
class Trainer(Loop):
    """One method in training. `step` counts the generator's updates that are done.

    `graphs`: what captures turns, made of the random streams that they draw from; by default they are not captured.
    """

    spec: TrialSpec
    method: Method
    images: ImageSampler
    image_range: Range
    device: torch.device
    step: int = 0
    sums: dict[str, Tensor] = field(default_factory=dict)
    summed: int = 0
    graphs: Callable[..., GraphBackend] | None = None

    def __post_init__(self) -> None:
        # The weights came from the seed itself. Images are chosen on the host, so that every device sees the same.
        self.rng = torch.Generator(self.device).manual_seed(stream_seed(self.spec.seed, "training"))
        self.data_rng = torch.Generator().manual_seed(stream_seed(self.spec.seed, "images"))
        self.players = [self._player(name) for name in self.method.players]
        self._parameters = tuple(self.method.parameters())  # looking for them takes a while, every turn
        average = self.spec.average
        self.average = EMA(self.method.generator, average.decay) if average else None
        self.method.train()
        self.captures = self._captures()

    def _captures(self) -> GraphedUpdates | None:
        return GraphedUpdates(self.graphs(self.rng)) if self.graphs else None

    def _player(self, name: str) -> Player:
        parameters = [p for module in self.method.player_modules(name) for p in module.parameters()]
        return Player(
            name,
            self.method.updates_per_step(name, self.spec.discriminator_steps),
            parameters,
            self.adam(name, parameters),
        )

    def adam(self, player: str, parameters: Sequence[Tensor]) -> torch.optim.Optimizer:
        """What moves a player's parameters."""
        settings = self.spec.optimizer
        adam = torch.optim.Adam(
            parameters,
            lr=settings.lr_at(player, 0.0),
            betas=settings.betas,
            eps=settings.eps,
            fused=True,
        )
        for group in adam.param_groups:
            group["lr"] = self._rate(group["lr"])
        return adam

    def _rate(self, rate: float) -> float | Tensor:
        """A learning rate as an optimiser keeps it: on a GPU, and for captured turns, as a tensor that is filled.

        That is eager turns' too, so that they round it as captured ones do: a GPU's Adam reads float32.
        """
        if self.device.type == "cuda":
            return torch.tensor(rate, dtype=torch.float32, device=self.device)
        return torch.tensor(rate, dtype=torch.float64) if self.graphs else rate

    @property
    def progress(self) -> float:
        """The share of the training that is done, in [0, 1)."""
        return self.step / self.spec.steps

    @property
    def uncaptured(self) -> dict[str, str]:
        """The players whose turns should have been captured and could not be, each with one line that says why."""
        return self.captures.failed if self.captures else {}

    @property
    def sampled(self) -> nn.Module:
        """The generator that samples are drawn from: the average where the recipe has one."""
        found: nn.Module = self.average.module if self.average else self.method.generator
        return found

    def train_until(self, step: int) -> Iterator[int]:
        """Train up to a step, yielding after each one so that the caller can watch the clock."""
        while self.step < step:
            self.advance()
            yield self.step

    def stepped(self) -> None:
        """What follows when all players have played."""
        self._follow()
        self.step += 1
        self.summed += 1

    def _follow(self) -> None:
        """The average takes one step after the generator."""
        if self.average and self.spec.average:
            copies = self.step < self.spec.average.start
            self.average.update_parameters(self.method.generator, reset=copies)

    def drawn(self) -> Batch:
        """The images of a turn."""
        return self.images.draw(self.spec.batch_size, self.data_rng)

    def parameters(self) -> Iterable[Tensor]:
        """Of all players."""
        return self._parameters

    def losses(self, player: str, drawn: Batch, make_turn: MakeTurn) -> tuple[Terms, Terms]:
        """A player's loss in terms, and what is watched beside them."""
        real = to_range(channels_last(drawn.images), self.image_range)
        turn = make_turn(real, self.progress, self.rng, drawn.labels)
        return self.method.loss(player, turn), turn.logged

    def played(self, player: str) -> None:
        """What follows the update of a player."""
        self.method.after_update(player)

    def add(self, terms: Terms) -> None:
        """To the sums. They have memory of their own: a replay writes over what the one before returned."""
        known = [term for term in terms if term in self.sums]
        if known:
            torch._foreach_add_([self.sums[term] for term in known], [terms[term] for term in known])
        self.sums |= {term: value.clone() for term, value in terms.items() if term not in self.sums}

    def mean_losses(self) -> dict[str, float]:
        """Mean of every loss term since the last call. Raises TrainingDiverged as `check` does."""
        self.check()
        means = {name: float(total) / max(self.summed, 1) for name, total in self.sums.items()}
        self.sums, self.summed = {}, 0
        return means

    def check(self) -> None:
        """Raises TrainingDiverged when a loss or weight is not finite, or all weights of a player are zero.

        A player's weights are its parameters of two or more dimensions. A generator that makes one and the same image
        is no matter of this: how far a mode collapse goes is what metrics are for.

        This is where the device is waited for: now and then, never in a step.
        """
        broken = [name for name, total in self.sums.items() if not math.isfinite(total)]
        parameters = list(self.method.parameters())
        highest = torch.stack([p.detach().abs().max() for p in parameters]).tolist()
        if broken or not all(map(math.isfinite, highest)):
            raise TrainingDiverged(f"{broken[0] if broken else 'a weight'} was not finite by step {self.step}")
        size = dict(zip(map(id, parameters), highest, strict=True))
        for player in self.players:
            weights = [size[id(p)] for p in player.parameters if p.dim() > 1]
            if weights and max(weights) == 0:
                raise TrainingDiverged(f"the weights of the {player.name} collapsed: all were zero by step {self.step}")

    def state(self) -> dict[str, Any]:
        """All that the rest of the training depends on."""
        return {
            "step": self.step,
            "method": self.method.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "optimizers": [player.optimizer.state_dict() for player in self.players],
            "rng": self.rng.get_state(),
            "data_rng": self.data_rng.get_state(),
            "sums": {term: total.clone() for term, total in self.sums.items()},
            "summed": self.summed,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a state of the same trial."""
        self.method.load_state_dict(state["method"])
        if self.average:
            self.average.load_state_dict(state["average"])
        for player, saved in zip(self.players, state["optimizers"], strict=True):
            ours = player.optimizer.state_dict()["param_groups"]  # settings are the trial's, and no matter of states
            player.optimizer.load_state_dict(saved | {"param_groups": ours})
        self.rng.set_state(state["rng"].cpu())
        self.data_rng.set_state(state["data_rng"].cpu())
        self.step, self.summed = state["step"], state["summed"]
        self.sums = {term: total.clone() for term, total in state["sums"].items()}
        self.captures = self._captures()  # of tensors that the optimisers no longer have

    @torch.no_grad()
    def samples(self, n: int, draw: int = 0) -> Generator[Tensor, None, None]:
        """Exactly n images as uint8 batches, always from the same latents of a draw; training is not disturbed.

        They are made in batches of `protocol.sample_batch`: with `batch_norm: batch` an image depends on the
        batch that it is made in, so the last batch is made whole and cut.
        """
        protocol = self.spec.protocol
        latents = torch.Generator(self.device).manual_seed(EVALUATION_SEED + draw)
        generator = self.sampled
        kept = {name: buffer.clone() for name, buffer in generator.named_buffers()}
        generator.train(protocol.batch_norm == "batch")
        try:
            for start in range(0, n, protocol.sample_batch):
                with tf32_mode(REFERENCE, self.device):
                    images = generator(*self.method.generator_input(protocol.sample_batch, latents))
                yield to_uint8(images, self.image_range)[: n - start]
        finally:
            for name, buffer in generator.named_buffers():
                buffer.copy_(kept[name])
            generator.train()


EVALUATION_SEED = 2020

"""The one training loop: players, steps, exact resume. It reads like the papers' algorithms and knows none."""

import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from baselines.averages import averaged
from baselines.base import Method, Turn
from benchmark.data.images import Drawn, Images
from benchmark.precision import lowered, rounding
from benchmark.spec import REFERENCE, TrialSpec

Range = tuple[float, float]


class Diverged(Exception):  # noqa: N818 - a result, not an error
    """A loss or a weight is no longer a finite number, or all weights of a player are zero."""


def to_range(images: Tensor, image_range: Range) -> Tensor:
    """uint8 in [0, 255] -> float32 in the network's range."""
    low, high = image_range
    return images.float().mul_((high - low) / 255).add_(low)


def to_uint8(images: Tensor, image_range: Range) -> Tensor:
    """Float images in the network's range -> uint8, by clamp and round."""
    low, high = image_range
    return images.sub(low).mul_(255 / (high - low)).clamp_(0, 255).round_().to(torch.uint8)


def stream_seed(seed: int, use: str) -> int:
    """The seed of one of a trial's random streams. It has 32 bits: torch's CPU generator ignores higher ones."""
    return int(np.random.SeedSequence([seed, *use.encode()]).generate_state(1)[0])


@dataclass
class Player:
    """A group of parameters with its own optimiser, and how often it plays in one step."""

    name: str
    turns: int
    parameters: list[torch.nn.Parameter]
    optimizer: torch.optim.Optimizer


@dataclass
class Trainer:
    """One method in training. `step` counts the generator's updates that are done."""

    spec: TrialSpec
    method: Method
    images: Images
    image_range: Range
    device: torch.device
    step: int = 0
    sums: dict[str, Tensor] = field(default_factory=dict)
    summed: int = 0

    def __post_init__(self) -> None:
        # The weights came from the seed itself. Images are chosen on the host, so that every device sees the same.
        self.rng = torch.Generator(self.device).manual_seed(stream_seed(self.spec.seed, "training"))
        self.data_rng = torch.Generator().manual_seed(stream_seed(self.spec.seed, "images"))
        self.players = [self._player(name) for name in self.method.players]
        self.average = averaged(self.method.generator, self.spec.average.decay) if self.spec.average else None
        self.method.train()
        self.moving = ""  # the player whose parameters, and no others, have gradients

    def _player(self, name: str) -> Player:
        settings = self.spec.optimizer
        parameters = [p for module in self.method.modules_of(name) for p in module.parameters()]
        adam = torch.optim.Adam(
            parameters,
            lr=settings.lr_at(name, 0.0),
            betas=settings.betas,
            eps=settings.eps,
            fused=True,
        )
        return Player(name, self.method.turns(name, self.spec.discriminator_steps), parameters, adam)

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

    def advance(self) -> None:
        """One step: every player in its turn."""
        for player in self.players:
            for group in player.optimizer.param_groups:
                group["lr"] = self.spec.optimizer.lr_at(player.name, self.step / self.spec.steps)
            for _ in range(player.turns):
                self._play(player)
        self.stepped()

    def stepped(self) -> None:
        """What follows when all players have played."""
        self._follow()
        self.step += 1
        self.summed += 1

    def _follow(self) -> None:
        """The average takes one step after the generator."""
        if self.average and self.spec.average:
            if self.step < self.spec.average.start:
                self.average.n_averaged.zero_()  # so that it copies
            self.average.update_parameters(self.method.generator)

    def _play(self, player: Player) -> None:
        drawn = self.images.draw(self.spec.batch_size, self.data_rng)
        self._move(player)
        self.add(player, self._update(player, drawn))

    def add(self, player: Player, terms: dict[str, Tensor]) -> None:
        """Count a turn's terms towards their means."""
        for term, value in terms.items():
            key, part = f"{player.name}/{term}", value.detach() / player.turns
            self.sums[key] = self.sums[key] + part if key in self.sums else part

    def _update(self, player: Player, drawn: Drawn) -> dict[str, Tensor]:
        """All that the device does in a turn: the player's loss on these images, and one step of its optimiser.

        Returns its terms, and what is watched beside them.
        """
        real = to_range(drawn.images, self.image_range)
        turn = Turn(real, self.step / self.spec.steps, self.rng, drawn.labels)
        with rounding(self.spec.precision, self.device):
            with lowered(self.spec.precision, self.device):
                losses = self.method.loss(player.name, turn)
            player.optimizer.zero_grad(set_to_none=True)
            torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
            player.optimizer.step()
        self.method.played(player.name)
        return losses | turn.watched

    def _move(self, player: Player) -> None:
        """Gradients for a player's own parameters alone."""
        if self.moving != player.name:
            own = set(map(id, player.parameters))
            for parameter in self.method.parameters():
                parameter.requires_grad_(id(parameter) in own)
            self.moving = player.name

    def mean_losses(self) -> dict[str, float]:
        """Mean of every loss term since the last call. Raises Diverged as `check` does."""
        self.check()
        means = {name: float(total) / max(self.summed, 1) for name, total in self.sums.items()}
        self.sums, self.summed = {}, 0
        return means

    def check(self) -> None:
        """Raises Diverged when a loss or weight is not finite, or a player's weights have collapsed: all are zero.

        A player's weights are its parameters of two or more dimensions. A generator that makes one and the same image
        is no matter of this: how far a mode collapse goes is what metrics are for.

        This is where the device is waited for: now and then, never in a step.
        """
        broken = [name for name, total in self.sums.items() if not math.isfinite(total)]
        parameters = list(self.method.parameters())
        highest = torch.stack([p.detach().abs().max() for p in parameters]).tolist()
        if broken or not all(map(math.isfinite, highest)):
            raise Diverged(f"{broken[0] if broken else 'a weight'} was not finite by step {self.step}")
        size = dict(zip(map(id, parameters), highest, strict=True))
        for player in self.players:
            weights = [size[id(p)] for p in player.parameters if p.dim() > 1]
            if weights and max(weights) == 0:
                raise Diverged(f"the weights of the {player.name} collapsed: all were zero by step {self.step}")

    def state(self) -> dict[str, Any]:
        """All that the rest of the training depends on."""
        return {
            "step": self.step,
            "method": self.method.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "optimizers": [player.optimizer.state_dict() for player in self.players],
            "rng": self.rng.get_state(),
            "data_rng": self.data_rng.get_state(),
            "sums": dict(self.sums),
            "summed": self.summed,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a state of the same trial."""
        self.method.load_state_dict(state["method"])
        if self.average:
            self.average.load_state_dict(state["average"])
        for player, saved in zip(self.players, state["optimizers"], strict=True):
            player.optimizer.load_state_dict(saved)
        self.rng.set_state(state["rng"].cpu())
        self.data_rng.set_state(state["data_rng"].cpu())
        self.step, self.sums, self.summed = state["step"], dict(state["sums"]), state["summed"]

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
                with rounding(REFERENCE, self.device):
                    images = generator(*self.method.generator_input(protocol.sample_batch, latents))
                yield to_uint8(images, self.image_range)[: n - start]
        finally:
            for name, buffer in generator.named_buffers():
                buffer.copy_(kept[name])
            generator.train()


EVALUATION_SEED = 2020

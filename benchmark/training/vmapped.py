"""Several trials that differ in their seeds alone, trained as one model whose tensors have an axis more.

Small networks leave a GPU idle: what takes time is starting each kernel. `torch.func.vmap` over the seeds starts one
for all of them. Every trial keeps its own weights, random streams, images and optimiser's state; they are slices of
the stacked ones, so that whoever measures or saves a trial need not know of the others. Its numbers are those that it
has alone but for the rounding of sums, which kernels for several models do in another order.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from baselines.common.method import Method, StepInputs
from baselines.common.random_streams import SeedStreams
from baselines.networks.layers.memory_format import contiguous_format
from benchmark.core import registry
from benchmark.data.sampler import Batch, to_range
from benchmark.training.cuda_graphs import GraphedUpdates, MakeTurn, Terms
from benchmark.training.loop import Loop, Player
from benchmark.training.trainer import Trainer


class _Loss(nn.Module):
    """A method whose loss is its forward pass, as `functional_call` wants it."""

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method

    def forward(self, player: str, turn: StepInputs) -> dict[str, Tensor]:
        """The player's loss."""
        return self.method.loss(player, turn)


class VmappedTrainer(Loop):
    """The trials of several trainers, all at the same step. From now on they are trained through this alone."""

    def __init__(self, trainers: Sequence[Trainer]) -> None:
        """Raises ValueError when they are not at the same step."""
        if len({trainer.step for trainer in trainers}) != 1:
            raise ValueError("trials must be at the same step to be trained together")
        self.trainers, lead = tuple(trainers), trainers[0]
        self.spec, self.device, self.image_range = lead.spec, lead.device, lead.image_range
        self.images = lead.images
        self.sums = self._summed()
        self.captures = GraphedUpdates(lead.graphs(*(trainer.rng for trainer in trainers))) if lead.graphs else None
        self.place = torch.arange(len(trainers), device=lead.device)
        self.called = _Loss(lead.method)
        self.weights = self._stacked(dict(t.method.named_parameters()) for t in trainers)
        self.buffers = self._stacked(dict(t.method.named_buffers()) for t in trainers)
        self.tensors = {f"method.{name}": tensor for name, tensor in (self.weights | self.buffers).items()}
        own = {id(tensor): name for name, tensor in lead.method.named_parameters()}
        if lead.images.is_resident:
            for trainer in trainers:
                trainer.images = lead.images  # a GPU need not hold the same ones for each
        self.players = [
            self._player(index, [self.weights[own[id(p)]] for p in player.parameters])
            for index, player in enumerate(lead.players)
        ]

    @staticmethod
    def _stacked(each: Iterable[dict[str, Tensor]]) -> dict[str, Tensor]:
        """One tensor for all, of which those of each trial become slices."""
        of_trials = list(each)
        stacked = {}
        for name in of_trials[0]:
            whole = stacked[name] = torch.stack([tensors[name].detach() for tensors in of_trials])
            for tensors, part in zip(of_trials, whole, strict=True):
                tensors[name].data = part
        return stacked

    def _player(self, index: int, parameters: list[Tensor]) -> Player:
        """The player of all trials, with the state of their optimisers."""
        each = [trainer.players[index] for trainer in self.trainers]
        name, turns = each[0].name, each[0].updates_per_step
        adam = self.trainers[0].adam(name, parameters)
        for place, parameter in enumerate(parameters):
            states = [player.optimizer.state.get(player.parameters[place]) for player in each]
            if all(states):
                adam.state[parameter] = _stacked_state(states)  # type: ignore[arg-type]
        player = Player(name, turns, parameters, adam)
        self._lend(index, player)
        return player

    def _summed(self) -> dict[str, Tensor]:
        """The sums of terms of all trials, of which each has its slices."""
        common = set.intersection(*(set(trainer.sums) for trainer in self.trainers))
        found = {key: torch.stack([trainer.sums[key] for trainer in self.trainers]) for key in sorted(common)}
        for key, values in found.items():
            self._lend_sum(key, values)
        return found

    def _lend_sum(self, key: str, values: Tensor) -> None:
        for seed, trainer in enumerate(self.trainers):
            trainer.sums[key] = values[seed]

    def _lend(self, index: int, player: Player) -> None:
        """Every trial's optimiser has its slices of the state."""
        for seed, trainer in enumerate(self.trainers):
            own = trainer.players[index]
            for parameter, stacked in zip(own.parameters, player.parameters, strict=True):
                if state := player.optimizer.state.get(stacked):
                    own.optimizer.state[parameter] = {
                        key: value if key == "step" else value[seed] for key, value in state.items()
                    }

    def stepped(self) -> None:
        """What follows when all players have played. After the first step there are states of optimisers to lend."""
        for index, player in enumerate(self.players):
            if not self.trainers[0].players[index].optimizer.state:
                self._lend(index, player)
        for trainer in self.trainers:
            trainer.stepped()

    @property
    def progress(self) -> float:
        """The share of the training that is done, in [0, 1)."""
        return self.trainers[0].progress

    def drawn(self) -> Batch:
        """(S, N, C, H, W) images and (S, N) labels, as each trial chooses them."""
        n, streams = self.spec.batch_size, [trainer.data_rng for trainer in self.trainers]
        if self.images.is_resident:
            images, labels = self.images.draw(n, *streams)
        else:
            each = [trainer.images.draw(n, rng) for trainer, rng in zip(self.trainers, streams, strict=True)]
            images = torch.cat([one.images for one in each])
            given = [one.labels for one in each if one.labels is not None]
            labels = torch.cat(given) if given else None
        shape = len(self.trainers), n
        return Batch(images.view(*shape, *images.shape[1:]), None if labels is None else labels.view(shape))

    def parameters(self) -> Iterable[Tensor]:
        """Of all players, (S, ...) each."""
        return self.weights.values()

    def played(self, player: str) -> None:
        """What follows the update of a player."""
        for trainer in self.trainers:
            trainer.method.after_update(player)

    def add(self, terms: Terms) -> None:
        """To the sums, of which every trial has its slices. A trial that has ended may keep an old one: nobody asks."""
        known = [term for term in terms if all(term in trainer.sums for trainer in self.trainers)]
        if known:
            torch._foreach_add_([self.sums[term] for term in known], [terms[term] for term in known])
        for term in terms.keys() - set(known):
            self.sums[term] = terms[term].clone()
            self._lend_sum(term, self.sums[term])

    def rehearse(self) -> None:
        """Raises whatever a loss or its gradient raises where kernels for several models are lacking. Changes nothing.

        Then each trial can still be trained by itself.
        """
        kept = {name: buffer.clone() for name, buffer in self.buffers.items()}
        states = [trainer.rng.get_state() for trainer in self.trainers]
        shape = (len(self.trainers), self.spec.batch_size, *registry.datasets[self.spec.dataset].shape)
        images = torch.zeros(shape, dtype=torch.uint8, device=self.device)
        labelled = self.images.labels is not None
        try:
            for player in self.players:
                labels = torch.zeros(shape[:2], dtype=torch.int64, device=self.device) if labelled else None
                self.differentiated(player, Batch(images, labels))
                player.optimizer.zero_grad(set_to_none=True)
        finally:
            for name, buffer in self.buffers.items():
                buffer.copy_(kept[name])
            for trainer, state in zip(self.trainers, states, strict=True):
                trainer.rng.set_state(state)

    def losses(self, player: str, drawn: Batch, make_turn: MakeTurn) -> tuple[Terms, Terms]:
        """(S,) of every term, and of what is watched, on uint8 (S, N, C, H, W) images and (S, N) labels."""
        streams = tuple(trainer.rng for trainer in self.trainers)

        def one(own: Any, place: Tensor, real: Tensor, labels: Tensor | None) -> tuple[Terms, Terms]:
            turn = make_turn(real, self.progress, SeedStreams(streams, place), labels)
            return functional_call(self.called, own, (player, turn)), turn.logged

        with contiguous_format():
            real = to_range(drawn.images, self.image_range)
            each = vmap(one, in_dims=(0, 0, 0, None if drawn.labels is None else 0))
            losses, watched = each(self.tensors, self.place, real, drawn.labels)
        return losses, watched


def _stacked_state(states: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Of one parameter's optimiser. The trials are at the same step, which counts for all."""
    return {
        key: value.clone() if key == "step" else torch.stack([state[key] for state in states])
        for key, value in states[0].items()
    }

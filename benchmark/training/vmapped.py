"""Several trials that differ only in their seeds, trained as one model whose tensors have an extra axis.

Small networks leave a GPU idle: most of the time goes into launching kernels. `torch.func.vmap` over the seeds launches
one kernel for all of them. Every trial keeps its own weights, random streams, images and optimiser state; they are
slices of the stacked ones, so that code that evaluates or saves a trial is the same as for a trial alone. A trial's
numbers are those that it has alone, up to the rounding of sums, which kernels for several models add in another order.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from baselines.common.method import EagerStepInputs, Method, StepInputs
from baselines.common.random_streams import SeedStreams
from baselines.networks.layers.memory_format import contiguous_format
from benchmark.core import registry
from benchmark.core.precision import autocast, tf32_mode
from benchmark.data.arrays import stored_dtype
from benchmark.data.sampler import Batch, to_range
from benchmark.training.graphs import GraphedUpdates, MakeInputs, Update
from benchmark.training.player import GradientSwitch, Player, Terms
from benchmark.training.trainer import Trainer


class _Loss(nn.Module):
    """A method's loss as a forward pass, as `functional_call` needs it."""

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method

    def forward(self, player: str, inputs: StepInputs) -> Terms:
        """The player's loss."""
        return self.method.loss(player, inputs)


class VmappedTrainer:
    """Trains S trials of one cell as one model. Their own trainers train no further, and stay up to date.

    Attributes:
        weights: parameters of all trials, (S, ...) each; `buffers` likewise.
        loss_sums: (S,) sums of every loss term.
        lane_index: (S,) the numbers 0 .. S - 1, by which the trials find their random streams inside `vmap`.
    """

    def __init__(self, trainers: Sequence[Trainer]) -> None:
        """Raises ValueError if the trainers are not at the same step."""
        if len({trainer.step for trainer in trainers}) != 1:
            raise ValueError("trials must be at the same step to be trained together")
        self.trainers, lead = tuple(trainers), trainers[0]
        self.spec, self.device, self.image_range, self.images = lead.spec, lead.device, lead.image_range, lead.images
        self.lane_index = torch.arange(len(trainers), device=lead.device)
        self.loss = _Loss(lead.method)
        self.weights = _stack(dict(trainer.method.named_parameters()) for trainer in trainers)
        self.buffers = _stack(dict(trainer.method.named_buffers()) for trainer in trainers)
        self.tensors = {f"method.{name}": tensor for name, tensor in (self.weights | self.buffers).items()}
        self.loss_sums = self._stack_loss_sums()
        if lead.images.is_resident:
            for trainer in trainers:
                trainer.images = lead.images  # the device need not hold the same images for each trial
        self.players = [self._stack_player(index) for index in range(len(lead.players))]
        self.gradients = GradientSwitch(tuple(self.weights.values()))
        backend = lead.graph_backend
        self.graphs = GraphedUpdates(backend(*(t.rng for t in trainers)), self.update) if backend else None
        self.run_update: Update | GraphedUpdates = self.graphs or self.update

    # --- training ------------------------------------------------------------------------------------------

    def train_step(self) -> None:
        """One step of training of every trial, as `Trainer.train_step`."""
        progress = self.trainers[0].progress
        for player in self.players:
            player.set_lr(self.trainers[0].lr_of(player.name))
            for _ in range(player.updates_per_step):
                terms = self.run_update(player, self._next_batch(), progress)
                self._accumulate(terms)
        for index, player in enumerate(self.players):
            if not self.trainers[0].players[index].optimizer.state:  # it exists from the first step on
                self._share_optimizer_state(index, player)
        for trainer in self.trainers:
            trainer.finish_step()

    def update(self, player: Player, batch: Batch, progress: float, make_inputs: MakeInputs = EagerStepInputs) -> Terms:
        """One update of a player in every trial. Returns (S,) shares in the step's mean of every loss term."""
        terms = self._backward(player, batch, progress, make_inputs)
        player.optimizer.step()
        for trainer in self.trainers:
            trainer.method.after_update(player.name)
        return terms

    def _backward(self, player: Player, batch: Batch, progress: float, make_inputs: MakeInputs) -> Terms:
        """The gradients of a player's loss."""
        self.gradients.select(player)
        with tf32_mode(self.spec.precision, self.device):
            with autocast(self.spec.precision, self.device):
                losses, logged = self._losses(player, batch, progress, make_inputs)
            player.optimizer.zero_grad(set_to_none=True)
            torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        return player.step_means(losses | logged)

    def _losses(self, player: Player, batch: Batch, progress: float, make_inputs: MakeInputs) -> tuple[Terms, Terms]:
        """(S,) of every loss term, and of what the loss logs, on stored images (S, N, ...) and (S, N) labels."""
        streams = tuple(trainer.rng for trainer in self.trainers)

        def loss(tensors: Any, lane: Tensor, real: Tensor, labels: Tensor | None) -> tuple[Terms, Terms]:
            inputs = make_inputs(real, progress, SeedStreams(streams, lane), labels)
            return functional_call(self.loss, tensors, (player.name, inputs)), inputs.logged

        with contiguous_format():
            real = to_range(batch.images, self.image_range)
            losses = vmap(loss, in_dims=(0, 0, 0, None if batch.labels is None else 0))
            terms: tuple[Terms, Terms] = losses(self.tensors, self.lane_index, real, batch.labels)
        return terms

    def _next_batch(self) -> Batch:
        """(S, N, ...) images or points and (S, N) labels, as each trial draws them."""
        n, generators = self.spec.batch_size, [trainer.data_rng for trainer in self.trainers]
        if self.images.is_resident:
            images, labels = self.images.draw(n, *generators)
        else:
            batches = [trainer.images.draw(n, rng) for trainer, rng in zip(self.trainers, generators, strict=True)]
            images = torch.cat([batch.images for batch in batches])
            all_labels = [batch.labels for batch in batches if batch.labels is not None]
            labels = torch.cat(all_labels) if all_labels else None
        shape = len(self.trainers), n
        return Batch(images.view(*shape, *images.shape[1:]), None if labels is None else labels.view(shape))

    def _accumulate(self, terms: Terms) -> None:
        """Add to the sums, of which every trial has its slices. A trial that has ended may keep an outdated sum."""
        known = [term for term in terms if all(term in trainer.loss_sums for trainer in self.trainers)]
        if known:
            torch._foreach_add_([self.loss_sums[term] for term in known], [terms[term] for term in known])
        for term in terms.keys() - set(known):
            self.loss_sums[term] = terms[term].clone()
            self._share_sum(term, self.loss_sums[term])

    def dry_run(self) -> None:
        """Compute every player's gradients once, on black images or points at 0, and restore everything that changed.

        Raises:
            Exception: whatever a loss or its gradient raises where torch lacks kernels for several models. Each trial
                can still be trained alone.
        """
        buffers = {name: buffer.clone() for name, buffer in self.buffers.items()}
        states = [trainer.rng.get_state() for trainer in self.trainers]
        sample_shape = registry.datasets[self.spec.dataset].shape
        shape = (len(self.trainers), self.spec.batch_size, *sample_shape)
        images = torch.from_numpy(np.zeros(shape, stored_dtype(sample_shape))).to(self.device)
        has_labels = self.images.labels is not None
        labels = torch.zeros(shape[:2], dtype=torch.int64, device=self.device) if has_labels else None
        try:
            for player in self.players:
                self._backward(player, Batch(images, labels), self.trainers[0].progress, EagerStepInputs)
                player.optimizer.zero_grad(set_to_none=True)
        finally:
            for name, buffer in self.buffers.items():
                buffer.copy_(buffers[name])
            for trainer, state in zip(self.trainers, states, strict=True):
                trainer.rng.set_state(state)

    # --- stacked tensors, of which every trial has its slices -------------------------------------------------

    def _stack_player(self, index: int) -> Player:
        """A player of all trials, with the state of their optimisers."""
        players = [trainer.players[index] for trainer in self.trainers]
        lead = players[0]
        names = {id(parameter): name for name, parameter in self.trainers[0].method.named_parameters()}
        parameters = [self.weights[names[id(parameter)]] for parameter in lead.parameters]
        optimizer = self.trainers[0].optimizer(lead.name, parameters)
        for place, parameter in enumerate(parameters):
            states = [player.optimizer.state.get(player.parameters[place]) for player in players]
            if all(states):
                optimizer.state[parameter] = _stack_optimizer_states(states)  # type: ignore[arg-type]
        stacked = Player(lead.name, lead.updates_per_step, parameters, optimizer)
        self._share_optimizer_state(index, stacked)
        return stacked

    def _share_optimizer_state(self, index: int, player: Player) -> None:
        """Give every trial's optimiser its slices of the stacked state."""
        for seed, trainer in enumerate(self.trainers):
            own = trainer.players[index]
            for parameter, stacked in zip(own.parameters, player.parameters, strict=True):
                if state := player.optimizer.state.get(stacked):
                    own.optimizer.state[parameter] = {
                        key: value if key == "step" else value[seed] for key, value in state.items()
                    }

    def _stack_loss_sums(self) -> Terms:
        """The sums of loss terms that all trials have."""
        common = set.intersection(*(set(trainer.loss_sums) for trainer in self.trainers))
        sums = {term: torch.stack([trainer.loss_sums[term] for trainer in self.trainers]) for term in sorted(common)}
        for term, values in sums.items():
            self._share_sum(term, values)
        return sums

    def _share_sum(self, term: str, values: Tensor) -> None:
        for seed, trainer in enumerate(self.trainers):
            trainer.loss_sums[term] = values[seed]


def _stack(tensors_of_trials: Iterable[dict[str, Tensor]]) -> Terms:
    """Stack the tensors of all trials by name; those of each trial become slices of the stack."""
    trials = list(tensors_of_trials)
    stacked = {}
    for name in trials[0]:
        stacked[name] = torch.stack([tensors[name].detach() for tensors in trials])
        for tensors, own in zip(trials, stacked[name], strict=True):
            tensors[name].data = own
    return stacked


def _stack_optimizer_states(states: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The optimiser's state of one parameter. The trials are at the same step, which is counted once."""
    return {
        key: value.clone() if key == "step" else torch.stack([state[key] for state in states])
        for key, value in states[0].items()
    }

"""Evaluates a trial under its protocol."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from statistics import fmean

import torch
from torch import Tensor

from benchmark.core import registry
from benchmark.core.protocol import bind_metrics, metric_outputs
from benchmark.data.arrays import PreparedData
from benchmark.evaluation.discriminator_evaluator import DiscriminatorEvaluator, FrozenDiscriminator
from benchmark.evaluation.sample_evaluator import EvaluationResult, SampleEvaluator
from benchmark.training.trainer import Trainer, TrainingDiverged
from benchmark.trials.job import Job
from benchmark.trials.samples import num_kept


class TrialEvaluator:
    """Evaluates the samples and the discriminator of a trainer. The training is not disturbed.

    Args:
        job: the trial.
        data: the prepared dataset.
        on_batch: called after every batch of samples. What it raises ends the evaluation.
    """

    def __init__(self, job: Job, data: PreparedData, on_batch: Callable[[], None]) -> None:
        self.protocol, self.on_batch = job.spec.protocol, on_batch
        dataset = registry.datasets[job.spec.dataset]
        self.num_kept = num_kept(dataset)
        self.sample_evaluator = SampleEvaluator(self.protocol, job.assets, job.device)
        self.discriminator_evaluator = DiscriminatorEvaluator(self.protocol, dataset, data)
        self.windows = {output.key: b.measure.averaged for b in bind_metrics(self.protocol) for output in b.outputs}

    @property
    def num_draws(self) -> int:
        """The number of sets of samples that are evaluated at the end of the training."""
        return self.protocol.draws if self.protocol.n_fake else 1

    def evaluate(self, trainer: Trainer) -> tuple[EvaluationResult, Tensor | None]:
        """All metrics, in the order of the protocol, with histograms; and the samples that the record keeps.

        There are no samples if the method has no generator.

        Raises:
            TrainingDiverged: if a metric is not finite.
        """
        result, kept = EvaluationResult({}, {}), None
        if trainer.method.has_generator:
            result, kept = self._evaluate_samples(trainer, max(self.protocol.n_fake, self.num_kept), draw=0)
        discriminator = FrozenDiscriminator(trainer.method, trainer.image_range, trainer.device)
        values = result.values | self.discriminator_evaluator.evaluate(discriminator)
        metrics = {key: values[key] for key in metric_outputs(self.protocol)}
        _raise_if_not_finite(metrics, trainer.step)
        return EvaluationResult(metrics, result.histograms), kept

    def redraw(self, trainer: Trainer, draw: int) -> dict[str, float]:
        """The metrics of samples, from other latents. Raises TrainingDiverged if one is not finite."""
        result, _ = self._evaluate_samples(trainer, self.protocol.n_fake, draw)
        _raise_if_not_finite(result.values, trainer.step)
        return result.values

    def averaged(self, evaluations: Sequence[dict[str, float]]) -> dict[str, float]:
        """The metrics of the last of some evaluations, as means over as many of them as their measures say."""
        return {key: fmean(e[key] for e in evaluations[-self.windows[key] :]) for key in evaluations[-1]}

    @property
    def longest_window(self) -> int:
        """The number of evaluations that `averaged` needs."""
        return max(self.windows.values())

    def _evaluate_samples(self, trainer: Trainer, n: int, draw: int) -> tuple[EvaluationResult, Tensor]:
        """The result for n samples, and the first `num_kept` of them."""
        first: list[Tensor] = []
        missing = self.num_kept

        def observed(batches: Iterable[Tensor]) -> Iterator[Tensor]:
            nonlocal missing
            for batch in batches:
                if missing > 0:
                    first.append(batch[:missing])
                    missing -= len(batch)
                yield batch
                self.on_batch()

        with closing(trainer.samples(n, draw)) as batches:  # closing restores the generator, however this ends
            result = self.sample_evaluator.evaluate(observed(batches))
        return result, torch.cat(first).cpu()


def _raise_if_not_finite(metrics: dict[str, float], step: int) -> None:
    if not all(map(math.isfinite, metrics.values())):
        raise TrainingDiverged(f"a metric was not finite at step {step}: {metrics}")

"""Cost keys: what the time and memory of a trial depend on, closely enough for an estimate."""

from functools import cached_property
from typing import Any

from benchmark.core import registry
from benchmark.core.protocol import bind_metrics
from benchmark.core.spec import FrozenModel, TrialSpec, content_hash


class CostKey(FrozenModel):
    """Work with equal keys is timed once."""

    @cached_property
    def key(self) -> str:
        """Sixteen hexadecimal digits that name the key in the calibration file."""
        return content_hash([type(self).__name__, self.model_dump(mode="json")])


class TrainingCostKey(CostKey):
    """What a training step and a sample cost. `classes` is the dataset's `num_classes()`."""

    method: str
    options: dict[str, Any]
    network: str
    network_options: dict[str, Any]
    latent: int
    shape: tuple[int, ...]
    stacked: int
    classes: int
    batch_size: int
    discriminator_steps: int
    averaged: bool
    precision: str
    sample_batch: int
    batch_norm: str


class FeatureCostKey(CostKey):
    """What a feature pass costs per generated image: its codec, then the extractor."""

    extractor: str
    codec: str
    shape: tuple[int, ...]


def training_cost_key(spec: TrialSpec) -> TrainingCostKey:
    """The cost key of a trial's training."""
    dataset = registry.datasets[spec.dataset]
    return TrainingCostKey(
        method=spec.method,
        options=spec.options,
        network=spec.network,
        network_options=spec.network_options,
        latent=spec.latent_dim,
        shape=dataset.shape,
        stacked=dataset.stacked,
        classes=dataset.num_classes(),
        batch_size=spec.batch_size,
        discriminator_steps=spec.discriminator_steps,
        averaged=spec.average is not None,
        precision=spec.precision,
        sample_batch=spec.protocol.sample_batch,
        batch_norm=spec.protocol.batch_norm,
    )


def feature_passes(spec: TrialSpec) -> dict[FeatureCostKey, int]:
    """Feature pass -> the images that it takes per evaluation. Measures with equal codec and extractor share one."""
    passes: dict[FeatureCostKey, int] = {}
    shape = registry.datasets[spec.dataset].shape
    for metric in bind_metrics(spec.protocol):
        extractor = metric.measure.options.get("extractor")
        if extractor:
            key = FeatureCostKey(extractor=extractor, codec=metric.measure.codec, shape=shape)
            passes[key] = max(passes.get(key, 0), metric.measure.n_fake or 0)
    return passes


def cost_key(spec: TrialSpec) -> str:
    """Equal for trials that cost the same per step and per evaluation, so that finished ones predict the others."""
    return training_cost_key(spec).key + content_hash(spec.protocol.model_dump(mode="json")["measures"])

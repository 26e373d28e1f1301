"""Kinds of trials: what the time and the memory of a trial depend on, near enough for an estimate."""

from functools import cached_property
from typing import Any

from benchmark.core import registry
from benchmark.core.protocol import bind_metrics
from benchmark.core.spec import FrozenModel, TrialSpec, content_hash


class CostKey(FrozenModel):
    """Equal kinds are timed once."""

    @cached_property
    def key(self) -> str:
        """Sixteen hexadecimal digits that name the kind in the calibration file."""
        return content_hash([type(self).__name__, self.model_dump(mode="json")])


class TrainingCostKey(CostKey):
    """What a step of training, and a sample, cost. `shape` is (C, H, W); `classes` as the dataset tells them."""

    method: str
    options: dict[str, Any]
    network: str
    network_options: dict[str, Any]
    latent: int
    shape: tuple[int, int, int]
    stacked: int
    classes: int
    batch_size: int
    discriminator_steps: int
    averaged: bool
    precision: str
    sample_batch: int
    batch_norm: str


class FeatureCostKey(CostKey):
    """What a look at a generated image costs: its codec, and its way through the extractor."""

    extractor: str
    codec: str
    shape: tuple[int, int, int]


def training_cost_key(spec: TrialSpec) -> TrainingCostKey:
    """The kind of a trial's training."""
    dataset = registry.datasets[spec.dataset]
    return TrainingCostKey(
        method=spec.method,
        options=spec.options,
        network=spec.network,
        network_options=spec.network_options,
        latent=spec.latent.dim,
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
    """Every way of looking at samples -> at how many of each measurement: measures that share a way share the look."""
    looks: dict[FeatureCostKey, int] = {}
    shape = registry.datasets[spec.dataset].shape
    for one in bind_metrics(spec.protocol):
        extractor = one.measure.options.get("extractor")
        if extractor:
            look = FeatureCostKey(extractor=extractor, codec=one.measure.codec, shape=shape)
            looks[look] = max(looks.get(look, 0), one.measure.n_fake or 0)
    return looks


def cost_key(spec: TrialSpec) -> str:
    """Names the kind of training together with all that is measured: of these, finished trials tell the time."""
    return training_cost_key(spec).key + content_hash(spec.protocol.model_dump(mode="json")["measures"])

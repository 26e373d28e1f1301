"""Reduced scales: narrower networks, fewer samples, or images and networks that need no files."""

from collections.abc import Callable
from typing import Any

from benchmark.config.schema import ScaleConfig
from benchmark.core import registry
from benchmark.core.errors import UserError
from benchmark.core.spec import Measure, TrialSpec

RANDOM_EXTRACTOR = "random_conv"


def apply_scale(spec: TrialSpec, scale: ScaleConfig) -> TrialSpec:
    """The trial at a scale whose `cell` is merged already. Raises UserError without a synthetic dataset for it."""
    if scale.width:
        spec = cap_width(spec, scale.width)
    if scale.samples:
        spec = cap_samples(spec, scale.samples)
    return synthetic_dataset(spec) if scale.synthetic else spec


def cap_width(spec: TrialSpec, width: int) -> TrialSpec:
    """The trial with no network wider than `width`, those of the method's options included."""

    def cap(options: dict[str, Any]) -> dict[str, Any]:
        return {key: min(value, width) if key.endswith("_width") else value for key, value in options.items()}

    return spec.model_copy(update={"options": cap(spec.options), "network_options": cap(spec.network_options)})


def cap_samples(spec: TrialSpec, samples: int) -> TrialSpec:
    """The trial measured with at most `samples` generated and `samples` real images."""

    def cap(measure: Measure) -> Measure:
        metric = registry.metrics[measure.metric]
        options = metric.with_sample_cap(metric.Options.model_validate(measure.options), samples)
        n_fake = None if measure.n_fake is None else min(measure.n_fake, samples)
        return measure.model_copy(update={"n_fake": n_fake, "options": options.model_dump(mode="json")})

    return _map_measures(spec, cap)


def synthetic_dataset(spec: TrialSpec) -> TrialSpec:
    """The trial on synthetic images of the same shape, measured with extractors that need no download."""

    def offline(measure: Measure) -> Measure:
        name = measure.options.get("extractor")
        if name is None or not registry.extractors[name].needs_download:
            return measure
        return measure.model_copy(update={"options": measure.options | {"extractor": RANDOM_EXTRACTOR}})

    return _map_measures(spec.model_copy(update={"dataset": synthetic_substitute(spec.dataset)}), offline)


def synthetic_substitute(name: str) -> str:
    """The synthetic dataset with images of the same shape and stacking; a bundled dataset is its own substitute."""
    dataset = registry.datasets[name]
    if dataset.is_bundled:
        return name
    for other in registry.datasets:
        candidate = registry.datasets[other]
        same = (candidate.shape, candidate.stacked) == (dataset.shape, dataset.stacked)
        if candidate.is_synthetic and same:
            return other
    raise UserError(f"{name}: no synthetic dataset has images like these; see benchmark/data/datasets/synthetic.py")


def _map_measures(spec: TrialSpec, change: Callable[[Measure], Measure]) -> TrialSpec:
    measures = {label: change(measure) for label, measure in spec.protocol.measures.items()}
    return spec.model_copy(update={"protocol": spec.protocol.model_copy(update={"measures": measures})})

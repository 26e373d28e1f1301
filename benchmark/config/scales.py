"""What a reduced scale does to a trial: narrower, fewer samples, or images and networks that every machine has."""

from benchmark.config.schema import ScaleConfig
from benchmark.core import registry
from benchmark.core.errors import UserError
from benchmark.core.spec import Measure, TrialSpec

RANDOM = "random_conv"


def apply_scale(spec: TrialSpec, scale: ScaleConfig) -> TrialSpec:
    """The trial at a scale, whose `cell` is laid over it already."""
    if scale.width:
        spec = cap_width(spec, scale.width)
    if scale.samples:
        spec = cap_samples(spec, scale.samples)
    return synthetic_dataset(spec) if scale.synthetic else spec


def cap_width(spec: TrialSpec, width: int) -> TrialSpec:
    """The trial with no player wider than this."""
    options = {k: min(v, width) if k.endswith("_width") else v for k, v in spec.network_options.items()}
    return spec.model_copy(update={"network_options": options})


def cap_samples(spec: TrialSpec, samples: int) -> TrialSpec:
    """The trial measured with at most so many generated and so many real images."""

    def shrunk(measure: Measure) -> Measure:
        metric = registry.metrics[measure.metric]
        options = metric.shrunk(metric.Options.model_validate(measure.options), samples)
        n_fake = None if measure.n_fake is None else min(measure.n_fake, samples)
        return measure.model_copy(update={"n_fake": n_fake, "options": options.model_dump(mode="json")})

    return _with_measures(spec, {label: shrunk(measure) for label, measure in spec.protocol.measures.items()})


def synthetic_dataset(spec: TrialSpec) -> TrialSpec:
    """The trial on made-up images of the same shape, measured through a network that needs no download."""

    def offline(measure: Measure) -> Measure:
        name = measure.options.get("extractor")
        if name is None or not registry.extractors[name].fetched:
            return measure
        return measure.model_copy(update={"options": measure.options | {"extractor": RANDOM}})

    measures = {label: offline(measure) for label, measure in spec.protocol.measures.items()}
    return _with_measures(spec.model_copy(update={"dataset": synthetic_substitute(spec.dataset)}), measures)


def synthetic_substitute(name: str) -> str:
    """The synthetic dataset with images of the same shape and make; what needs no files stands for itself."""
    dataset = registry.datasets[name]
    if dataset.is_bundled:
        return name
    made_up = {other: registry.datasets[other] for other in registry.datasets if registry.datasets[other].is_synthetic}
    like = (dataset.shape, dataset.stacked)
    alike = [other for other, candidate in made_up.items() if (candidate.shape, candidate.stacked) == like]
    if not alike:
        raise UserError(
            f"{name}: there are no synthetic images like its own to stand in; see benchmark/data/datasets/synthetic.py"
        )
    return alike[0]


def _with_measures(spec: TrialSpec, measures: dict[str, Measure]) -> TrialSpec:
    return spec.model_copy(update={"protocol": spec.protocol.model_copy(update={"measures": measures})})

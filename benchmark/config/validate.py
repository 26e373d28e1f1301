"""Validating: merged values to a trial with every option written out, refusing what could not train."""

from typing import TYPE_CHECKING, Any

from benchmark.config.layers import MergedLayers
from benchmark.config.messages import validate_model
from benchmark.config.schema import Overrides
from benchmark.config.yaml_source import KeyPath
from benchmark.core import registry
from benchmark.core.errors import UserError, did_you_mean
from benchmark.core.protocol import bind_metrics
from benchmark.core.spec import Measure, TrialSpec

if TYPE_CHECKING:  # importing it would load numpy
    from benchmark.data.base import Dataset


def validate_spec(merged: MergedLayers, seed: int) -> TrialSpec:
    """The trial of a cell with this seed, with all defaults of its method, network and metrics.

    Raises UserError that names file, line, key and value.
    """
    for key in ("seed", "version"):  # fields of a trial that a suite does not set
        if key in merged.values:
            hint = "; use 'seeds'" if key == "seed" else ""
            raise UserError(f"{merged.location((key,))}: '{key}' cannot be set here{hint}")
    spec = validate_model(TrialSpec, {**merged.values, "seed": seed}, merged.location)
    for kind, names in (("method", registry.methods), ("network", registry.networks), ("dataset", registry.datasets)):
        with merged.at((kind,)):
            names.check(getattr(spec, kind))
    measures = _complete_measures(spec, merged)
    if spec.protocol.evaluations > spec.steps:
        where = merged.location(("protocol", "evaluations"))
        raise UserError(f"{where}: {spec.protocol.evaluations} evaluations do not fit in {spec.steps} steps")
    method, network = registry.methods[spec.method], registry.networks[spec.network]
    if method.has_generator and not spec.latent:
        raise UserError(f"{merged.location(())}: 'latent' is required")
    spec = spec.model_copy(
        update=({} if method.has_generator else {"latent": None, "average": None})
        | {
            "options": _complete(method.Options, spec.options, merged, ("options",)),
            "network_options": _complete(network.Options, spec.network_options, merged, ("network_options",)),
            "protocol": spec.protocol.model_copy(update={"measures": measures}),
        }
    )
    _check_network(spec, merged)
    _check_method(spec, merged)
    for label, problem in measure_problems(spec).items():
        with merged.at(("protocol", "measures", label)):
            _raise(problem)
    return spec


def check_measures(spec: TrialSpec) -> None:
    """Raises UserError if a measure cannot be computed with its options and numbers of images."""
    for label, problem in measure_problems(spec).items():
        raise UserError(f"{label}: {problem}")


def measure_problems(spec: TrialSpec) -> dict[str, str]:
    """The measures that cannot be computed with their options and numbers of images, by label, and why."""
    dataset = registry.datasets[spec.dataset]
    problems = {
        bound.label: _codec_problem(bound.measure, dataset)
        or bound.metric.check_config(bound.options, dataset, bound.n_fake)
        for bound in bind_metrics(spec.protocol)
    }
    return {label: problem for label, problem in problems.items() if problem}


def _codec_problem(measure: Measure, dataset: "type[Dataset]") -> str | None:
    if dataset.is_points and measure.codec != "none":
        return f"codec '{measure.codec}' changes images, and {dataset.name} holds points; leave out 'codec'"
    return None


def _complete(options: Any, values: Overrides, merged: MergedLayers, key: KeyPath) -> Overrides:
    """Options validated by their model, defaults included."""
    complete = validate_model(options, values, lambda path: merged.location((*key, *path)), within=key)
    return dict(complete.model_dump(mode="json"))


def _complete_measures(spec: TrialSpec, merged: MergedLayers) -> dict[str, Measure]:
    """The measures that the method supports, with all options of their metrics."""
    measures = {}
    for label, measure in spec.protocol.measures.items():
        key: KeyPath = ("protocol", "measures", label)
        with merged.at((*key, "metric")):
            registry.metrics.check(measure.metric)
        metric = registry.metrics[measure.metric]
        _check_samples(measure, metric.needs_samples, merged, key)
        options = _complete(metric.Options, measure.options, merged, (*key, "options"))
        if "extractor" in options:
            with merged.at((*key, "options", "extractor")):
                registry.extractors.check(options["extractor"])
        measures[label] = measure.model_copy(update={"options": options})
    method = registry.methods[spec.method]
    metrics = {label: registry.metrics[measure.metric] for label, measure in measures.items()}
    supported = {label: measure for label, measure in measures.items() if metrics[label].supports(method)}
    if not supported:
        names = (n for n in registry.methods if any(m.supports(registry.methods[n]) for m in metrics.values()))
        raise UserError(
            f"{merged.location(('protocol', 'measures'))}: method '{spec.method}' has no {' and no '.join(measures)},"
            f" so nothing is left to measure; methods that have: {', '.join(sorted(names))}"
        )
    return supported


def _check_samples(measure: Measure, needs_samples: bool, merged: MergedLayers, key: KeyPath) -> None:
    """A number of samples, and a codec for them, belong to metrics of samples and to no others."""
    if needs_samples and measure.n_fake is None:
        raise UserError(
            f"{merged.location(key)}: 'n_fake' is required: '{measure.metric}' is computed from generated images"
        )
    if not needs_samples:
        for name in ("n_fake", "codec"):
            if getattr(measure, name) != Measure.model_fields[name].default:
                where = merged.location((*key, name))
                raise UserError(f"{where}: '{measure.metric}' uses no generated images; leave out '{name}'")


def _check_network(spec: TrialSpec, merged: MergedLayers) -> None:
    """Refuse a network that makes other samples than the dataset's, or lacks what the method needs."""
    method, network = registry.methods[spec.method], registry.networks[spec.network]
    dataset = registry.datasets[spec.dataset]
    shape = dataset.shape
    with merged.at(("network",)):
        if shape not in network.shapes:
            made = dataset.describe_samples()
            raise UserError(f"network '{spec.network}' does not make {made} of {spec.dataset}; {_fitting(spec)}")
        if missing := method.roles - network.roles:
            needed = " and ".join(sorted(missing))
            problem = f"method '{spec.method}' needs {needed}, which network '{spec.network}' lacks"
            raise UserError(f"{problem}; {_fitting(spec)}")
    with merged.at(("network_options",)):
        _raise(network.check_config(spec.network_options, method.roles))
    family = network(shape, spec.latent_dim, network.Options.model_validate(spec.network_options))
    for bound in bind_metrics(spec.protocol):
        with merged.at(("protocol", "measures", bound.label)):
            _raise(bound.metric.check_network(bound.options, family))


def _fitting(spec: TrialSpec) -> str:
    """The networks that would suit the dataset and the method, for messages. It imports them all."""
    roles, shape = registry.methods[spec.method].roles, registry.datasets[spec.dataset].shape
    families = {name: registry.networks[name] for name in sorted(registry.networks)}
    names = [name for name, family in families.items() if shape in family.shapes and roles <= family.roles]
    return f"fitting: {', '.join(names) or 'none'}"


def _check_method(spec: TrialSpec, merged: MergedLayers) -> None:
    """Refuse unknown players, a method without the labels that it needs, and options that the method rejects."""
    method, dataset = registry.methods[spec.method], registry.datasets[spec.dataset]
    for key, players in (("player_lr", spec.optimizer.player_lr), ("nesterov", spec.optimizer.nesterov)):
        for player in players:
            if player not in method.players:
                where = merged.location(("optimizer", key, player))
                raise UserError(f"{where}: unknown player '{player}'; {did_you_mean(player, method.players)}")
    with merged.at(("options",)):
        if method.label_fraction(spec.options) and not dataset.num_classes():
            labelled = sorted(name for name in registry.datasets if registry.datasets[name].num_classes())
            raise UserError(
                f"method '{spec.method}' learns from labels, and {spec.dataset} has none;"
                f" labelled: {', '.join(labelled)}"
            )
        _raise(method.check_config(spec.options, spec.batch_size, max(dataset.num_classes(), 0)))


def _raise(problem: str | None) -> None:
    if problem:
        raise UserError(problem)

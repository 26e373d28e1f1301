"""Connects the measures of a protocol to the metric classes that compute them, and names their outputs."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError

from benchmark.core import registry
from benchmark.core.spec import Measure, Protocol

if TYPE_CHECKING:  # importing it at run time would load torch
    from benchmark.evaluation.metrics.base import HistogramSpec, Metric, Output, ReferenceLine


class BoundMetric(NamedTuple):
    """A metric class together with one measure of a protocol.

    `options` are the measure's options, validated; `suffix` is what the measure's label adds to the metric's name,
    such as `_50k`, and is added to the key of every output.
    """

    label: str
    measure: Measure
    metric: "type[Metric]"
    options: Any
    suffix: str

    def key(self, output: "Output") -> str:
        """The key of one of the metric's outputs in this protocol."""
        return output.key + self.suffix

    @property
    def n_fake(self) -> int:
        """The number of samples that the metric uses; 0 if it uses none."""
        return self.measure.n_fake or 0

    @property
    def outputs(self) -> "tuple[Output, ...]":
        """The metric's outputs, with their keys and titles in this protocol."""
        words = self.suffix.replace("_", " ").strip()
        return tuple(
            replace(output, key=self.key(output), title=f"{output.title}, {words}" if words else output.title)
            for output in self.metric.outputs(self.options)
        )

    @property
    def reference_lines(self) -> "dict[str, ReferenceLine]":
        """Output key -> the best value that the output can have, for figures."""
        lines = self.metric.landmarks(self.options, self.n_fake)
        return {key + self.suffix: line for key, line in lines.items()}

    @property
    def histogram(self) -> "HistogramSpec | None":
        """The bins of the metric's histogram, if it produces one."""
        return self.metric.bins(self.options)

    @property
    def protocol_fields(self) -> dict[str, object]:
        """The measure under the field names of published tables; None for a field that does not apply."""
        options = self.measure.options
        return {
            "n_fake": self.measure.n_fake,
            "codec": self.measure.codec if self.metric.draws else None,
            "feature_extractor": options.get("extractor"),
            "reference_split": options.get("reference"),
            "n_real": options.get("n_real"),
            "splits": options.get("splits", options.get("subsets")),
        }


def bind_metrics(protocol: Protocol) -> Iterator[BoundMetric]:
    """All measures of a protocol, in protocol order. Raises UserError or ValidationError if one is invalid."""
    for label, measure in protocol.measures.items():
        metric = registry.metrics[measure.metric]
        options = metric.Options.model_validate(measure.options)
        yield BoundMetric(label, measure, metric, options, label.removeprefix(measure.metric))


def metric_outputs(protocol: Protocol) -> "dict[str, Output]":
    """Key -> output for every number that a protocol produces, in protocol order."""
    return {output.key: output for bound in bind_metrics(protocol) for output in bound.outputs}


def metric_of_output(protocol: Protocol, key: str) -> BoundMetric:
    """The measure of a protocol that produces the output `key`."""
    return next(bound for bound in bind_metrics(protocol) if any(output.key == key for output in bound.outputs))


def all_output_keys() -> set[str]:
    """The output keys of all registered metrics, with every extractor that fits the metric and without suffixes."""
    metrics = [registry.metrics[name] for name in registry.metrics]
    return {output.key for metric in metrics for options in _all_options(metric) for output in metric.outputs(options)}


def _all_options(metric: "type[Metric]") -> Iterator[Any]:
    """The metric's default options, and its options with every extractor that fits it."""
    yield metric.Options()
    if not metric.draws:
        return
    for name in registry.extractors:
        if registry.extractors[name].classifies or not metric.needs_logits:
            with suppress(ValidationError):
                yield metric.Options.model_validate({"extractor": name})


def extractors_used(protocol: Protocol) -> list[str]:
    """The names of the feature extractors of a protocol, without duplicates."""
    names = (measure.options.get("extractor") for measure in protocol.measures.values())
    return list(dict.fromkeys(name for name in names if name))

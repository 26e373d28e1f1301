"""What a protocol measures: its metrics, and the names of the numbers that they give."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError

from benchmark.core import registry
from benchmark.core.spec import Measure, Protocol

if TYPE_CHECKING:  # importing it for real would load torch
    from benchmark.evaluation.metrics.base import HistogramSpec, Metric, Output, ReferenceLine


class BoundMetric(NamedTuple):
    """One measure of a protocol with the metric that takes it, and the suffix that its outputs carry, or ""."""

    label: str
    measure: Measure
    metric: "type[Metric]"
    options: Any
    suffix: str

    def key(self, output: "Output") -> str:
        """The name of one of its outputs in this protocol."""
        return output.key + self.suffix

    @property
    def n_fake(self) -> int:
        """Over how many samples it is taken; 0 where it looks at none."""
        return self.measure.n_fake or 0

    @property
    def outputs(self) -> "tuple[Output, ...]":
        """Its outputs, named for this protocol."""
        words = self.suffix.replace("_", " ").strip()
        return tuple(
            replace(output, key=self.key(output), title=f"{output.title}, {words}" if words else output.title)
            for output in self.metric.outputs(self.options)
        )

    @property
    def landmarks(self) -> "dict[str, ReferenceLine]":
        """Output key -> the best that it can show."""
        found = self.metric.landmarks(self.options, self.n_fake)
        return {key + self.suffix: landmark for key, landmark in found.items()}

    @property
    def bins(self) -> "HistogramSpec | None":
        """What its histogram counts, where it gives one."""
        return self.metric.bins(self.options)

    @property
    def stated(self) -> dict[str, object]:
        """The protocol of its outputs in the words of published tables; None for what it does not have."""
        own = self.measure.options
        return {
            "n_fake": self.measure.n_fake,
            "codec": self.measure.codec if self.metric.draws else None,
            "feature_extractor": own.get("extractor"),
            "reference_split": own.get("reference"),
            "n_real": own.get("n_real"),
            "splits": own.get("splits", own.get("subsets")),
        }


def bind_metrics(protocol: Protocol) -> Iterator[BoundMetric]:
    """All measures of a protocol, in its order."""
    for label, measure in protocol.measures.items():
        metric = registry.metrics[measure.metric]
        options = metric.Options.model_validate(measure.options)
        yield BoundMetric(label, measure, metric, options, label.removeprefix(measure.metric))


def metric_outputs(protocol: Protocol) -> "dict[str, Output]":
    """Key -> every number that a protocol gives, in its order."""
    return {output.key: output for one in bind_metrics(protocol) for output in one.outputs}


def measure_of(protocol: Protocol, key: str) -> BoundMetric:
    """The measure that gives a number."""
    return next(one for one in bind_metrics(protocol) if any(output.key == key for output in one.outputs))


def all_outputs() -> set[str]:
    """The keys of all numbers that registered metrics give by themselves, through whatever they may look."""
    metrics = [registry.metrics[name] for name in registry.metrics]
    return {output.key for one in metrics for options in _every_extractor(one) for output in one.outputs(options)}


def _every_extractor(metric: "type[Metric]") -> Iterator[Any]:
    """Its options: by default, and with every extractor that they allow and that gives what it counts."""
    yield metric.Options()
    if not metric.draws:
        return
    for name in registry.extractors:
        if registry.extractors[name].classifies or not metric.needs_logits:
            with suppress(ValidationError):
                yield metric.Options.model_validate({"extractor": name})


def extractors_used(protocol: Protocol) -> list[str]:
    """The feature extractors that are looked through, each once."""
    used = (measure.options.get("extractor") for measure in protocol.measures.values())
    return list(dict.fromkeys(name for name in used if name))

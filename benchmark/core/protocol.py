"""Binds the measures of a protocol to metrics, and names the numbers that the protocol yields."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError

from benchmark.core import registry
from benchmark.core.spec import Measure, Protocol

if TYPE_CHECKING:  # importing it at run time would load torch
    from benchmark.evaluation.metrics.base import HistogramSpec, Metric, Output, ReferenceLine


CODECS_IN_WORDS = {"none": "", "jpeg": ", after JPEG compression", "min_max": ", each batch stretched to 0..255"}


class BoundMetric(NamedTuple):
    """A measure of a protocol with its metric, its validated options, and the suffix of its outputs ("" for none)."""

    label: str
    measure: Measure
    metric: "type[Metric]"
    options: Any
    suffix: str

    @property
    def n_fake(self) -> int:
        """The number of generated images; 0 if the metric needs none."""
        return self.measure.n_fake or 0

    @property
    def suffix_words(self) -> str:
        """The suffix in words, which distinguish measures of one metric: `50k` for `fid_50k`."""
        return self.suffix.replace("_", " ").strip()

    @property
    def outputs(self) -> "tuple[Output, ...]":
        """The metric's outputs, with keys and titles of this protocol."""
        ending = f", {self.suffix_words}" if self.suffix_words else ""
        return tuple(
            replace(output, key=output.key + self.suffix, title=output.title + ending)
            for output in self.metric.outputs(self.options)
        )

    @property
    def description(self) -> str:
        """The measure in words, a phrase for the report."""
        mean = "" if self.measure.averaged == 1 else f", mean of the last {self.measure.averaged} evaluations"
        return self.metric.describe(self.options, self.n_fake) + CODECS_IN_WORDS[self.measure.codec] + mean

    @property
    def reference_lines(self) -> "dict[str, ReferenceLine]":
        """Output key -> the best value that the output can reach, where it is known."""
        lines = self.metric.reference_lines(self.options, self.n_fake)
        return {key + self.suffix: line for key, line in lines.items()}

    @property
    def histogram_spec(self) -> "HistogramSpec | None":
        """The bins of its histogram; None if it has none."""
        return self.metric.histogram_spec(self.options)

    @property
    def next_task_outputs(self) -> dict[str, str]:
        """Output key -> the key of the same output on the next task, of a method that is trained on tasks in turn."""
        return {
            key + self.suffix: following + self.suffix for key, following in self.metric.next_task_outputs().items()
        }

    @property
    def class_outputs(self) -> dict[str, tuple[str, ...]]:
        """Key of an output of all images -> the keys of the same output of each class alone."""
        outputs = self.metric.class_outputs(self.options)
        return {key + self.suffix: tuple(one + self.suffix for one in classes) for key, classes in outputs.items()}

    @property
    def detail_outputs(self) -> set[str]:
        """The keys of outputs that have a figure of their own, beside an output that summarises them."""
        return {*self.next_task_outputs.values(), *(key for keys in self.class_outputs.values() for key in keys)}

    @property
    def protocol_fields(self) -> dict[str, object]:
        """The measure in the fields of a published protocol; fields without a meaning for it are missing or None."""
        codec = self.measure.codec if self.metric.needs_samples else None
        return {"n_fake": self.measure.n_fake, "codec": codec} | self.metric.protocol_fields(self.options)


def bind_metrics(protocol: Protocol) -> Iterator[BoundMetric]:
    """The measures of a protocol in its order, each bound to its metric."""
    for label, measure in protocol.measures.items():
        metric = registry.metrics[measure.metric]
        options = metric.Options.model_validate(measure.options)
        yield BoundMetric(label, measure, metric, options, label.removeprefix(measure.metric))


def metric_outputs(protocol: Protocol) -> "dict[str, Output]":
    """Key -> output, of all numbers that a protocol yields, in its order."""
    return {output.key: output for bound in bind_metrics(protocol) for output in bound.outputs}


def metric_of_output(protocol: Protocol, key: str) -> BoundMetric:
    """The measure that yields the number `key`."""
    return next(bound for bound in bind_metrics(protocol) if any(output.key == key for output in bound.outputs))


def all_output_keys() -> set[str]:
    """The keys of all numbers that registered metrics yield without a suffix, through every possible extractor."""
    metrics = [registry.metrics[name] for name in registry.metrics]
    return {output.key for metric in metrics for options in _all_options(metric) for output in metric.outputs(options)}


def _all_options(metric: "type[Metric]") -> Iterator[Any]:
    """The default options of a metric, and its options with every extractor that it accepts."""
    yield metric.Options()
    if not metric.needs_samples:
        return
    for name in registry.extractors:
        if registry.extractors[name].has_logits or not metric.needs_logits:
            with suppress(ValidationError):
                yield metric.Options.model_validate({"extractor": name})


def extractors_used(protocol: Protocol) -> list[str]:
    """The names of the feature extractors of a protocol, each once."""
    used = (measure.options.get("extractor") for measure in protocol.measures.values())
    return list(dict.fromkeys(name for name in used if name))

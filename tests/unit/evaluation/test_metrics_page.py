"""The tables of docs/metrics.md name every registered metric and extractor, with its outputs and options."""

import re
from pathlib import Path

from benchmark.core import registry

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"


def table(first_column):
    """The rows of the page's table with this first column: the code words of each cell."""
    _, _, below = PAGE.read_text().partition(f"| {first_column} |")
    lines = below.partition("\n\n")[0].splitlines()[2:]
    return [[re.findall(r"`([^`]*)`", cell) for cell in line.strip("| ").split(" | ")] for line in lines]


def test_the_metrics_are_listed_with_their_outputs_and_options():
    metrics = {name: registry.metrics[name] for name in registry.metrics}
    assert [(*name, outputs, options) for name, outputs, options, _ in table("metric")] == [
        (name, [output.key for output in metric.outputs(metric.Options())], list(metric.Options.model_fields))
        for name, metric in metrics.items()
    ]


def test_the_extractors_are_listed():
    assert [name for (name,), _ in table("extractor")] == list(registry.extractors)

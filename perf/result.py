"""What all measurements share: their options, their summaries, and the JSON that they write."""

import argparse
import json
import statistics
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmark.core import environment


def add_json_option(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add `--json`, which `write_result` needs."""
    parser.add_argument("--json", type=Path, help="write all numbers to this file")
    return parser


def write_result(
    options: argparse.Namespace, threads: int, packages: Iterable[str] = (), **numbers: Any
) -> dict[str, Any]:
    """The numbers with their date, settings and machine; written as JSON if `--json` is given.

    `packages`: whose versions matter, besides those that are part of every environment.
    """
    result = {
        "date": datetime.now(UTC).date().isoformat(),
        "settings": {key: value for key, value in vars(options).items() if key != "json"},
        "environment": environment.describe(getattr(options, "device", "cpu"), threads)
        | {name: environment.package_version(name) for name in packages},
        **numbers,
    }
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    return result


def spread(values: Iterable[float]) -> list[float]:
    """Minimum, median and maximum."""
    values = list(values)
    return [min(values), statistics.median(values), max(values)]


def format_range(values: list[float], digits: int, factor: float = 1.0) -> str:
    """The range of a `spread`, for example `1.5 to 3.0`."""
    return f"{factor * values[0]:,.{digits}f} to {factor * values[2]:,.{digits}f}"


def format_speed_up(ratios: list[float], digits: int = 2) -> str:
    """A `spread` of ratios, for example `2.25 times (1.50 to 3.00)`."""
    return f"{ratios[1]:.{digits}f} times ({format_range(ratios, digits)})"

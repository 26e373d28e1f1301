"""What every measurement keeps beside its numbers, and where it writes them."""

import argparse
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from benchmark.core import environment


def kept(options: argparse.Namespace, threads: int, packages: Iterable[str] = (), **numbers: Any) -> dict[str, Any]:
    """The numbers with their date, settings and machine; written as JSON where `--json` says.

    `packages`: whose versions matter besides those that every environment tells.
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

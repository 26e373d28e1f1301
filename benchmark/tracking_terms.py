"""A record in MLflow's terms: tags, parameters and points of curves, within what MLflow takes."""

import math
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from benchmark.spec import canonical, digest
from benchmark.store import TrialRecord
from benchmark.suite import Cell, Suite

KEY, VALUE = 250, 5000  # characters; MLflow's limits are 250, and 6,000 or 8,000


def tags_of(record: TrialRecord, suite: Suite, cells: Sequence[Cell]) -> dict[str, str]:
    """What a run is filtered and grouped by, its name, and what its page says first.

    A trial may stand in several cells; their tables and rows are joined by semicolons.
    """
    spec = record.spec
    tables = "; ".join(dict.fromkeys(cell.table for cell in cells))
    rows = "; ".join(dict.fromkeys(cell.row for cell in cells)) or spec.method
    within = [tables] * (len(suite.tables) > 1) + [suite.scale] * suite.reduced
    source = str(record.environment.get("source", "unknown"))
    notes = [f"**{record.status}** {record.error}", *dict.fromkeys(cell.note for cell in cells)]
    tags = {
        "trial_id": record.trial_id,
        "status": record.status,
        "table": tables,
        "row": rows,
        "method": spec.method,
        "dataset": spec.dataset,
        "network": spec.network,
        "seed": str(spec.seed),
        "scale": suite.scale,
        "source": source,
        "mlflow.runName": f"{rows} seed {spec.seed}" + (f" ({', '.join(within)})" if within else ""),
        "mlflow.note.content": "\n\n".join(filter(None, notes)),
        "mlflow.source.name": suite.path.name,
        "mlflow.source.git.commit": source.removesuffix("+changes"),
    }
    return {key: value[:VALUE] for key, value in tags.items()}


def params_of(record: TrialRecord) -> dict[str, str]:
    """The whole spec, flat: `optimizer.lr` and so on, as a suite would write it."""
    return {_key(key): value[:VALUE] for key, value in _flat(record.spec.model_dump(mode="json"), "")}


def points_of(record: TrialRecord) -> Iterator[tuple[str, float, int, int]]:
    """Every finite number of a record as (key, value, milliseconds since 1970, step).

    The record keeps no clock per measurement, so the time is estimated: all steps took equally long.
    """
    end, last = milliseconds(record.finished), max((entry.step for entry in record.history), default=0)
    cost = record.cost.model_dump() if record.cost else {}
    took = 1000 * (cost.get("train_seconds", 0) + cost.get("evaluation_seconds", 0))
    once = {f"instrument/{key}": value for key, value in record.facts.items()}
    once |= {f"cost/{key}": value for key, value in cost.items()}
    series = [(last, once)]
    for entry in record.history:
        series.append((entry.step, entry.metrics | {f"loss/{key}": v for key, v in entry.losses.items()}))
    for step, values in series:
        time = end - round(took * (1 - step / max(last, 1)))
        for key, value in values.items():
            if math.isfinite(value):  # a NaN breaks MLflow's pages, and infinity comes back as a number
                yield _key(key), float(value), time, step


def _flat(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path, value if isinstance(value, str) else canonical(value)


def _key(key: str) -> str:
    """The key itself, or, where MLflow would refuse it, one like it that is still its own."""
    parts = re.sub(r"[^\w. :/-]", "_", key).split("/")
    safe = "/".join(part for part in parts if part.strip("."))
    return key if safe == key and 0 < len(key) <= KEY else f"{safe[: KEY - 9]}-{digest(key)[:8]}"


def milliseconds(time: str) -> int:
    """ISO 8601 -> milliseconds since 1970. Raises ValueError."""
    return round(1000 * datetime.fromisoformat(time).timestamp())

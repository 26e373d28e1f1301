"""A record in MLflow's terms: tags, parameters and points of curves, within what MLflow takes."""

import io
import json
import math
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from benchmark import plugins
from benchmark.cells import Cell
from benchmark.spec import digest
from benchmark.store import TrialRecord
from benchmark.suite import Suite

KEY, VALUE = 250, 5000  # characters; MLflow's limits are 250, and 6,000 or 8,000
SIDE = 512


def tags_of(record: TrialRecord, suite: Suite, cells: Sequence[Cell]) -> dict[str, str]:
    """What a run is filtered and grouped by, its name, and what its page says first.

    A trial may stand in several cells; their tables and rows are joined by semicolons.
    """
    spec = record.spec
    tables = "; ".join(dict.fromkeys(cell.table for cell in cells))
    rows = "; ".join(dict.fromkeys(cell.row for cell in cells)) or spec.method
    within = filter(None, [tables if len(suite.tables) > 1 else "", suite.scale if suite.reduced else ""])
    where = f" ({', '.join(within)})".removesuffix(" ()")
    source = str(record.environment.get("source", "unknown"))
    result = ", ".join(f"{key} {value:g}" for key, value in record.metrics.items())
    said = [f"**{record.status}** {result}", record.error, *dict.fromkeys(cell.note for cell in cells)]
    tags = {
        "trial_id": record.trial_id,
        "status": record.status,
        "table": tables,
        "row": rows,
        "method": spec.method,
        "spec": plugins.methods[spec.method].basis,
        "dataset": spec.dataset,
        "network": spec.network,
        "seed": str(spec.seed),
        "scale": suite.scale,
        "source": source,
        "mlflow.runName": f"{rows} seed {spec.seed}{where}",
        "mlflow.note.content": "\n\n".join(filter(None, said)),
        "mlflow.source.name": suite.path.name,
        "mlflow.source.git.commit": source.removesuffix("+changes"),
    }
    return {key: value[:VALUE] for key, value in tags.items()}


def params_of(record: TrialRecord) -> dict[str, str]:
    """The whole spec, flat, as a suite would write it (`optimizer.lr`), and what else was constant."""
    values = record.spec.model_dump(mode="json") | {"instrument": record.facts}
    if record.cost:
        values["resources"] = {"cpus": record.cost.cpus, "gpus": record.cost.gpus}
    return {_key(key): value[:VALUE] for key, value in _flat(values, "")}


def points_of(record: TrialRecord) -> Iterator[tuple[str, float, int, int]]:
    """Every finite number of a record as (key, value, milliseconds since 1970, step).

    MLflow draws a section for each part before a slash, in alphabetical order: evaluation, loss, usage. The
    record keeps no clock per measurement, so the time is estimated: all steps took equally long.
    """
    end, last = milliseconds(record.finished), max((entry.step for entry in record.history), default=0)
    cost = record.cost.model_dump(exclude={"cpus", "gpus"}) if record.cost else {}
    took = 1000 * (cost.get("train_seconds", 0) + cost.get("evaluation_seconds", 0))
    series = [(last, "usage", cost)]
    for entry in record.history:
        series += [(entry.step, "evaluation", entry.metrics), (entry.step, "loss", entry.losses)]
    for step, section, values in series:
        time = end - round(took * (1 - step / max(last, 1)))
        for key, value in values.items():
            if math.isfinite(value):  # a NaN breaks MLflow's pages, and infinity comes back as a number
                yield _key(f"{section}/{key}"), float(value), time, step


def files_of(record: TrialRecord) -> dict[str, bytes]:
    """The artifacts of a run: the record without its picture, the picture, and the environment by itself."""
    files = {
        "record.json": record.model_dump_json(indent=1, exclude={"samples_png"}).encode(),
        "environment.json": json.dumps(record.environment, indent=1).encode(),
    }
    return files | ({"samples.png": _enlarged(record.samples)} if record.samples_png else {})


def _enlarged(png: bytes) -> bytes:
    """The picture enlarged by a whole factor to at least SIDE pixels: MLflow shows pixels as they are."""
    from PIL import Image

    image = Image.open(io.BytesIO(png))
    factor = -(-SIDE // min(image.size))
    content = io.BytesIO()
    image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST).save(content, "PNG")
    return content.getvalue()


def _flat(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path, value if isinstance(value, str) else json.dumps(value)


def _key(key: str) -> str:
    """The key itself, or, where MLflow would refuse it, one like it that is still its own."""
    parts = re.sub(r"[^\w. :/-]", "_", key).split("/")
    safe = "/".join(part for part in parts if part.strip("."))
    return key if safe == key and 0 < len(key) <= KEY else f"{safe[: KEY - 9]}-{digest(key)[:8]}"


def milliseconds(time: str) -> int:
    """ISO 8601 -> milliseconds since 1970. Raises ValueError."""
    return round(1000 * datetime.fromisoformat(time).timestamp())

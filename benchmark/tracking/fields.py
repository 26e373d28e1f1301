"""A record in MLflow's terms: tags, parameters and points of curves, within what MLflow takes."""

import base64
import html
import io
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from benchmark.config.cells import Cell
from benchmark.config.published import PublishedValue
from benchmark.config.suite import Suite
from benchmark.core import registry
from benchmark.core.protocol import metric_outputs
from benchmark.core.spec import TrialSpec, content_hash
from benchmark.store.records import TrialRecord

if TYPE_CHECKING:
    from PIL.Image import Image

KEY, VALUE = 250, 5000  # characters; MLflow's limits are 250, and 6,000 or 8,000
SIDE = 512  # pixels of the final samples
STEP_SIDE = 256  # of the sheets by step: MLflow's pages show them no larger, and there are many


def trial_tags(
    record: TrialRecord, suite: Suite, cells: Sequence[Cell], verdicts: Mapping[str, str] | None = None
) -> dict[str, str]:
    """What a run is filtered and grouped by, its name, and what its page says first.

    A trial may stand in several cells; their tables and rows are joined by semicolons. `verdicts` maps metric output ->
    verdict of the cell, of what has a published value.
    """
    spec = record.spec
    tables = "; ".join(dict.fromkeys(cell.table for cell in cells))
    rows = "; ".join(dict.fromkeys(cell.row for cell in cells)) or spec.method
    within = filter(None, [tables if len(suite.tables) > 1 else "", suite.scale if suite.is_reduced else ""])
    where = f" ({', '.join(within)})".removesuffix(" ()")
    source = str(record.environment.get("source", "unknown"))
    published = published_of(spec, cells)
    result = ", ".join(f"{key} {value:g}{_beside(published.get(key))}" for key, value in record.metrics.items())
    said = [f"**{record.status}** {result}", record.error, *dict.fromkeys(cell.note for cell in cells)]
    tags = {
        "trial_id": record.trial_id,
        "status": record.status,
        "table": tables,
        "row": rows,
        "method": spec.method,
        "spec": registry.methods[spec.method].basis,
        "dataset": spec.dataset,
        "network": spec.network,
        "seed": str(spec.seed),
        "scale": suite.scale,
        "source": source,
        "mlflow.runName": f"{rows} · seed {spec.seed}{where}",
        "mlflow.note.content": "\n\n".join(filter(None, said)),
        "mlflow.source.name": suite.path.name,
        "mlflow.source.git.commit": source.removesuffix("+changes"),
    }
    tags |= {f"published.{key}": described(value) for key, value in published.items()}
    tags |= {f"verdict.{key}": verdict for key, verdict in (verdicts or {}).items()}
    return {_key(key): value[:VALUE] for key, value in tags.items()}


def published_of(spec: TrialSpec, cells: Sequence[Cell]) -> dict[str, PublishedValue]:
    """Metric output -> what was published for the trial's cell; of several cells the first that has a value."""
    found: dict[str, PublishedValue] = {}
    for cell in cells:
        for key in metric_outputs(spec.protocol):
            value = cell.published.value(key) if cell.published else None
            if value is not None:
                found.setdefault(key, value)
    return found


def described(published: PublishedValue) -> str:
    """A published value in one line: value, spread and its kind, whether it was read, and where."""
    spread = "" if published.spread is None else f" ± {published.spread:g}"
    kind = "" if published.spread is None else f" (spread: {published.spread_kind.replace('_', ' ')})"
    return f"{published.value:g}{spread}, {published.status}{kind}: {published.source}"


def _beside(published: PublishedValue | None) -> str:
    if published is None:
        return ""
    return f" (published {published.value:g}{', unverified' if published.status == 'unverified' else ''})"


def trial_params(record: TrialRecord) -> dict[str, str]:
    """The whole spec, flat, as a suite would write it (`optimizer.lr`), and what else was constant."""
    values = record.spec.model_dump(mode="json") | {"instrument": record.facts}
    if record.cost:
        values["resources"] = {"cpus": record.cost.cpus, "gpus": record.cost.gpus}
    return {_key(key): value[:VALUE] for key, value in _flat(values, "")}


def metric_points(record: TrialRecord, published: Mapping[str, float]) -> Iterator[tuple[str, float, int, int]]:
    """Every finite number of a record as (key, value, milliseconds since 1970, step).

    MLflow draws a section for each part before a slash, in alphabetical order: evaluation, loss, published, usage.
    `published` maps metric output -> published value: a level line from the first measurement to the last, and how far
    the last one is from it. The record keeps no clock per measurement, so the time is estimated: all steps took equally
    long.
    """
    steps = [entry.step for entry in record.history] or [0]
    end, last = milliseconds(record.finished), max(steps)
    cost = record.cost.model_dump(exclude={"cpus", "gpus"}) if record.cost else {}
    took = 1000 * (cost.get("train_seconds", 0) + cost.get("evaluation_seconds", 0))
    apart = {key: record.metrics[key] - value for key, value in published.items() if key in record.metrics}
    series: list[tuple[int, str, Mapping[str, float]]] = [(last, "usage", cost), (last, "published/difference", apart)]
    series += [(step, "published", published) for step in sorted({min(steps), last})]
    for entry in record.history:
        series += [(entry.step, "evaluation", entry.metrics), (entry.step, "loss", entry.losses)]
    for step, section, values in series:
        time = end - round(took * (1 - step / max(last, 1)))
        for key, value in values.items():
            if math.isfinite(value):  # a NaN breaks MLflow's pages, and infinity comes back as a number
                yield _key(f"{section}/{key}"), float(value), time, step


def trial_artifacts(record: TrialRecord) -> dict[str, bytes]:
    """The artifacts of a run: the record without its picture, the picture, and the environment by itself."""
    files = {
        "record.json": record.model_dump_json(indent=1, exclude={"samples_png"}).encode(),
        "environment.json": json.dumps(record.environment, indent=1).encode(),
    }
    if record.samples_png:
        content = io.BytesIO()
        upscale(record.samples, SIDE).save(content, "PNG")
        files["samples.png"] = content.getvalue()
    return files


def sheets_page(title: str, sheets: Mapping[int, bytes]) -> bytes:
    """All sheets of a trial (step -> PNG) on one HTML page: MLflow's panel of images hides them under parameters."""
    shown = "".join(
        f'<figure><img width="{STEP_SIDE}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'
        f"<figcaption>step {step:,}</figcaption></figure>\n"
        for step, png in sheets.items()
    )
    style = "body { font: 14px sans-serif } figure { display: inline-block } img { image-rendering: pixelated }"
    head = f'<!doctype html><meta charset="utf-8"><title>{html.escape(title)}</title><style>{style}</style>'
    return f"{head}\n<h1>{html.escape(title)}</h1>\n{shown}".encode()


def upscale(png: bytes, side: int) -> "Image":
    """The picture enlarged by a whole factor to at least `side` pixels: MLflow shows pixels as they are."""
    from PIL import Image

    image = Image.open(io.BytesIO(png))
    factor = -(-side // min(image.size))
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


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
    return key if safe == key and 0 < len(key) <= KEY else f"{safe[: KEY - 9]}-{content_hash(key)[:8]}"


def milliseconds(time: str) -> int:
    """ISO 8601 -> milliseconds since 1970. Raises ValueError."""
    return round(1000 * datetime.fromisoformat(time).timestamp())

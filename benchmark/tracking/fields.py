"""A record in MLflow's terms: tags, parameters, metric points and artifacts, within MLflow's limits."""

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

MAX_KEY, MAX_VALUE = 250, 5000  # characters; MLflow's limits are 250, and 6,000 or 8,000
SAMPLES_SIDE = 512  # pixels of the final sample grid
STEP_SIDE = 256  # pixels of the sample grid of a step: MLflow's pages show them no larger, and there are many


def trial_tags(
    record: TrialRecord, suite: Suite, cells: Sequence[Cell], judgements: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The tags of a trial's run, including its name and its description.

    Tables and rows of a trial that appears in several cells are joined by semicolons. `judgements` are the
    tags of `judgement_tags` for this trial.
    """
    spec = record.spec
    tables = "; ".join(dict.fromkeys(cell.table for cell in cells))
    rows = "; ".join(dict.fromkeys(cell.row for cell in cells)) or spec.method
    qualifiers = filter(None, [tables if len(suite.tables) > 1 else "", suite.scale if suite.is_reduced else ""])
    context = f" ({', '.join(qualifiers)})".removesuffix(" ()")
    source = str(record.environment.get("source", "unknown"))
    published = published_of(spec, cells)
    result = ", ".join(
        f"{key} {value:g}{_published_suffix(published.get(key))}" for key, value in record.metrics.items()
    )
    note = [f"**{record.status}** {result}", record.error, *dict.fromkeys(cell.note for cell in cells)]
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
        "mlflow.runName": f"{rows} · seed {spec.seed}{context}",
        "mlflow.note.content": "\n\n".join(filter(None, note)),
        "mlflow.source.name": suite.path.name,
        "mlflow.source.git.commit": source.removesuffix("+changes"),
    }
    tags |= {f"published.{key}": describe_published(value) for key, value in published.items()}
    tags |= judgements or {}
    return {safe_key(key): value[:MAX_VALUE] for key, value in tags.items()}


def published_of(spec: TrialSpec, cells: Sequence[Cell]) -> dict[str, PublishedValue]:
    """Metric output -> published value of the trial's cell; of several cells, the first that has one."""
    published: dict[str, PublishedValue] = {}
    for cell in cells:
        for key in metric_outputs(spec.protocol):
            value = cell.published.value(key) if cell.published else None
            if value is not None:
                published.setdefault(key, value)
    return published


def describe_published(published: PublishedValue) -> str:
    """A published value in one line: value, spread, status, kind of spread, and source; `theory` in place of both."""
    spread = "" if published.spread is None else f" ± {published.spread:g}"
    kind = "" if published.spread is None else f" (spread: {published.spread_kind.replace('_', ' ')})"
    status = "theory" if published.kind == "theory" else f"{published.status}{kind}"
    return f"{published.value:g}{spread}, {status}: {published.source}"


def _published_suffix(published: PublishedValue | None) -> str:
    if published is None:
        return ""
    word = "theory" if published.kind == "theory" else "published"
    return f" ({word} {published.value:g}{', unverified' if published.status == 'unverified' else ''})"


def trial_params(record: TrialRecord) -> dict[str, str]:
    """The full spec with dotted keys, as in a suite (`optimizer.lr`), the instrument facts and the resources."""
    values = record.spec.model_dump(mode="json") | {"instrument": record.facts}
    if record.cost:
        values["resources"] = {"cpus": record.cost.cpus, "gpus": record.cost.gpus}
    return {safe_key(key): value[:MAX_VALUE] for key, value in _flatten(values, "")}


def metric_points(record: TrialRecord, published: Mapping[str, float]) -> Iterator[tuple[str, float, int, int]]:
    """Every finite number of a record as (key, value, milliseconds since 1970, step).

    MLflow groups keys by the part before the slash: evaluation, loss, published, usage. `published` maps metric output
    -> published value: it becomes a horizontal line from the first evaluation to the last, and its difference to the
    last evaluation a point. Records have no time stamps of evaluations, so times assume steps of equal duration.
    """
    steps = [entry.step for entry in record.history] or [0]
    end, last = milliseconds(record.finished), max(steps)
    cost = record.cost.model_dump(exclude={"cpus", "gpus"}) if record.cost else {}
    duration = 1000 * (cost.get("train_seconds", 0) + cost.get("evaluation_seconds", 0))
    differences = {key: record.metrics[key] - value for key, value in published.items() if key in record.metrics}
    series: list[tuple[int, str, Mapping[str, float]]] = [
        (last, "usage", cost),
        (last, "published/difference", differences),
    ]
    series += [(step, "published", published) for step in sorted({min(steps), last})]
    for entry in record.history:
        series += [(entry.step, "evaluation", entry.metrics), (entry.step, "loss", entry.losses)]
    for step, section, values in series:
        time = end - round(duration * (1 - step / max(last, 1)))
        for key, value in values.items():
            if math.isfinite(value):  # NaN breaks MLflow's pages, and MLflow returns infinity as a finite number
                yield safe_key(f"{section}/{key}"), float(value), time, step


def trial_artifacts(record: TrialRecord) -> dict[str, bytes]:
    """File name -> content: the record without its samples, the sample grid or points, and the environment."""
    files = {
        "record.json": record.model_dump_json(indent=1, exclude={"samples_png", "points_npy"}).encode(),
        "environment.json": json.dumps(record.environment, indent=1).encode(),
    }
    if record.samples_png:
        content = io.BytesIO()
        upscale(record.samples, SAMPLES_SIDE).save(content, "PNG")
        files["samples.png"] = content.getvalue()
    if record.points_npy:
        files["samples.npy"] = base64.b64decode(record.points_npy)
    return files


def sample_grids_page(title: str, grids: Mapping[int, bytes]) -> bytes:
    """All sample grids of a trial (step -> PNG) on one HTML page; MLflow's image panel is below all parameters."""
    figures = "".join(
        f'<figure><img height="{STEP_SIDE}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'
        f"<figcaption>step {step:,}</figcaption></figure>\n"
        for step, png in grids.items()
    )
    style = "body { font: 14px sans-serif } figure { display: inline-block } img { image-rendering: pixelated }"
    head = f'<!doctype html><meta charset="utf-8"><title>{html.escape(title)}</title><style>{style}</style>'
    return f"{head}\n<h1>{html.escape(title)}</h1>\n{figures}".encode()


def upscale(png: bytes, side: int) -> "Image":
    """The image enlarged by an integer factor to at least `side` pixels, as MLflow does not scale images."""
    from PIL import Image

    image = Image.open(io.BytesIO(png))
    factor = -(-side // min(image.size))
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def _flatten(value: Any, prefix: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flatten(inner, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value if isinstance(value, str) else json.dumps(value)


def safe_key(key: str) -> str:
    """The key itself or, if MLflow rejects it, a similar one made unique by a hash."""
    parts = re.sub(r"[^\w. :/-]", "_", key).split("/")
    safe = "/".join(part for part in parts if part.strip("."))
    return key if safe == key and 0 < len(key) <= MAX_KEY else f"{safe[: MAX_KEY - 9]}-{content_hash(key)[:8]}"


def milliseconds(time: str) -> int:
    """ISO 8601 -> milliseconds since 1970. Raises ValueError."""
    return round(1000 * datetime.fromisoformat(time).timestamp())

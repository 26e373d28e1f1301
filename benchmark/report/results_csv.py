"""`results.csv`: one line per trial, for whoever wants to compute on."""

import csv
import io
from collections.abc import Iterable

from benchmark.analysis.leaderboard import LeaderboardRow, TrialOutcome, outputs_of
from benchmark.config.suite import Suite

CSV_COLUMNS = {
    "table": "title of the suite's table; a trial that stands in two tables has a line in each",
    "row": "name of the row in that table",
    "trial_id": "identity of the trial: the name of its record in the store",
    "method": "registered name of the GAN",
    "network": "registered name of the family of networks",
    "dataset": "registered name of the dataset",
    "seed": "training seed",
    "scale": "scale of the suite; only `paper` is judged against published values",
    "steps": "training steps",
    "batch_size": "images per batch",
    "status": "finished, diverged, failed or not run",
    "error": "why the trial diverged or failed; empty otherwise",
    "<metric>": "one column per metric output of the suite: the last measurement; of a trial that is not"
    " finished, the last one before it stopped; empty when there is none",
    "train_seconds": "wall time of training, seconds",
    "evaluation_seconds": "wall time of measuring, seconds",
    "images_per_second": "training steps x batch size per second of training",
    "peak_memory_mib": "peak memory, MiB: resident on a CPU, allocated on a GPU",
    "device": "cpu or cuda",
    "cpus": "CPUs, and threads, that the trial was given",
    "gpus": "share of a GPU that the trial was given",
    "published_<metric>": "one column per metric output: the published value of the cell, empty when none is"
    " known; verified or not, under the same protocol or not: see the leaderboard before comparing",
    "source": "where the published values were read",
}


def csv_columns(all_rows: Iterable[LeaderboardRow]) -> list[str]:
    """The columns of the file: `CSV_COLUMNS` with the suite's metric outputs written out."""
    keys = [output.key for output in outputs_of(all_rows)]
    return [
        column.replace("<metric>", key) for column in CSV_COLUMNS for key in (keys if "<metric>" in column else [""])
    ]


def results_csv(suite: Suite, all_rows: list[LeaderboardRow]) -> str:
    """The whole file, every number in full precision."""
    content = io.StringIO(newline="")
    writer = csv.DictWriter(content, csv_columns(all_rows), restval="", lineterminator="\n")
    writer.writeheader()
    for row in all_rows:
        for trial in row.trials:
            writer.writerow(_line(suite, row, trial))
    return content.getvalue()


def _line(suite: Suite, row: LeaderboardRow, trial: TrialOutcome) -> dict[str, object]:
    spec, record = trial
    line: dict[str, object] = {
        "table": row.table,
        "row": row.label,
        "trial_id": spec.trial_id,
        "method": spec.method,
        "network": spec.network,
        "dataset": spec.dataset,
        "seed": spec.seed,
        "scale": suite.scale,
        "steps": spec.steps,
        "batch_size": spec.batch_size,
        "status": trial.status,
    }
    for key, result in row.results.items():
        line[f"published_{key}"] = result.published.value if result.published else ""
    if row.cell.published:
        values = [value for key in row.results if (value := row.cell.published.value(key))]
        line["source"] = "; ".join(dict.fromkeys(value.source for value in values))
    if record:
        line["error"] = record.error
        line["device"] = record.environment.get("device", "")
        line |= {key: record.metrics[key] for key in row.results if key in record.metrics}
        line |= record.cost.model_dump(exclude={"checkpoint_seconds"}) if record.cost else {}
    return line

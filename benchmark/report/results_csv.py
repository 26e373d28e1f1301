"""`results.csv`: one line per trial, for further computation."""

import csv
import io
from collections.abc import Iterable, Iterator

from benchmark.analysis.leaderboard import LeaderboardRow, TrialOutcome, outputs_of
from benchmark.config.suite import Suite

CSV_COLUMNS = {
    "table": "title of the suite's table; a trial that appears in two tables has a line in each",
    "row": "name of the row in that table",
    "trial_id": "identity of the trial: the name of its record in the store",
    "method": "registered name of the GAN",
    "network": "registered name of the network architecture",
    "dataset": "registered name of the dataset",
    "seed": "training seed",
    "scale": "scale of the suite; only `paper` is compared with published values",
    "steps": "training steps",
    "batch_size": "images per batch",
    "status": "finished, diverged, failed or not run",
    "error": "why the trial diverged or failed; empty otherwise",
    "<metric>": "one column per metric output of the suite: the last evaluation; for a trial that did not finish, the"
    " last one before it stopped; empty without one",
    "train_seconds": "wall time of training, seconds",
    "evaluation_seconds": "wall time of evaluation, seconds",
    "images_per_second": "training steps x batch size per second of training",
    "peak_memory_mib": "peak memory, MiB: resident on a CPU, allocated on a GPU",
    "device": "cpu or cuda",
    "cpus": "CPUs, and threads, of the trial",
    "gpus": "share of a GPU that the trial used",
    "judged_<metric>": "one column per metric output: what the training counts with by the rule of the published value,"
    " such as its best evaluation or the mean over several classifiers; the last evaluation without a rule; empty for a"
    " trial that did not finish",
    "cv_<metric>": "one column per metric output: the coefficient of variation of `judged_<metric>` over the trainings"
    " of the row; empty for fewer than two",
    "published_<metric>": "one column per metric output: the published value of the cell, empty without one. It may be"
    " unverified or of another protocol: see the leaderboard before comparing",
    "source": "where the published values were read or derived",
    "published_kind": "what the published values are: `published`, `read from a figure`, or `theory`, which are exact",
}


def csv_columns(rows: Iterable[LeaderboardRow]) -> list[str]:
    """The columns of the file: `CSV_COLUMNS` with one column per metric output of the suite."""
    keys = [output.key for output in outputs_of(rows)]
    return [
        column.replace("<metric>", key) for column in CSV_COLUMNS for key in (keys if "<metric>" in column else [""])
    ]


def trial_lines(suite: Suite, rows: Iterable[LeaderboardRow]) -> Iterator[dict[str, object]]:
    """Column -> value, per trial of every row; columns without a value are left out or None."""
    return (_line(suite, row, trial) for row in rows for trial in row.trials)


def results_csv(suite: Suite, rows: list[LeaderboardRow]) -> str:
    """The whole file. Numbers have full precision."""
    content = io.StringIO(newline="")
    writer = csv.DictWriter(content, csv_columns(rows), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(trial_lines(suite, rows))
    return content.getvalue()


def _line(suite: Suite, row: LeaderboardRow, trial: TrialOutcome) -> dict[str, object]:
    spec, record = trial
    published = {key: result.published for key, result in row.results.items()}
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
        "error": record.error if record else "",
        "device": record.environment.get("device", "") if record else "",
        "published_kind": row.cell.published.kind if row.cell.published else "",
        "source": "; ".join(dict.fromkeys(value.source for value in published.values() if value)),
    }
    line |= {f"published_{key}": value and value.value for key, value in published.items()}
    for key, result in row.results.items():
        if result.judged and trial.status == "finished":
            line[f"judged_{key}"] = result.judged.trainings.values.get(spec.seed)
            line[f"cv_{key}"] = result.judged.trainings.coefficient_of_variation
    if record:
        line |= {key: record.metrics[key] for key in row.results if key in record.metrics}
        line |= record.cost.model_dump(exclude={"checkpoint_seconds"}) if record.cost else {}
    return line

"""The results of a suite as pandas data frames, for analysis in Python or a notebook.

from benchmark import results

trials = results.frame("workspace", "suites/quickstart.yaml")
trials.groupby(["table", "row"])["modes"].agg(["mean", "std"])
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.analysis.leaderboard import LeaderboardRow, leaderboard_rows, outputs_of
from benchmark.config.suite import Suite, load_suite
from benchmark.core.errors import UserError
from benchmark.planning.looks import with_recorded_looks
from benchmark.report.results_csv import csv_columns, trial_lines
from benchmark.store.record_store import RecordStore
from benchmark.store.records import Cost
from benchmark.store.workspace import Workspace

if TYPE_CHECKING:  # pandas takes half a second to import, and commands do not need it
    import pandas as pd


def frame(workspace: str | Path, suite: str | Path | Suite, *, scale: str | None = None) -> "pd.DataFrame":
    """The trials of a suite: one row per trial, indexed by `trial_id`, with the columns of `results.csv`.

    A trial that appears in two tables has a row in each. Trials without a record have the status `not run` and NaN
    metrics and costs.

    Args:
        workspace: the folder that `--workspace` names.
        suite: the path of a suite file, or a loaded suite.
        scale: the scale to load a suite file at; None: its first.

    Raises:
        UserError: if the workspace or the suite does not exist or is invalid.
    """
    import pandas as pd

    loaded, rows = _load(workspace, suite, scale)
    metrics = [output.key for output in outputs_of(rows)]
    table = pd.DataFrame(trial_lines(loaded, rows), columns=csv_columns(rows)).set_index("trial_id")
    numbers = table.columns.intersection([*metrics, *(f"published_{key}" for key in metrics), *Cost.model_fields])
    return table.astype(dict.fromkeys(numbers, float))


def history(workspace: str | Path, suite: str | Path | Suite, *, scale: str | None = None) -> "pd.DataFrame":
    """The learning curves of a suite: one row per trial and evaluation, indexed by `trial_id` and `step`.

    Columns: `table`, `row`, `method`, `network`, `dataset`, `seed`, one per metric output, and `loss/<term>`, the mean
    of each loss term since the evaluation before. Arguments and errors are those of `frame`.
    """
    import pandas as pd

    _, rows = _load(workspace, suite, scale)
    names = ["table", "row", "trial_id", "method", "network", "dataset", "seed", "step"]
    evaluations = [
        {"table": row.table, "row": row.label, "trial_id": spec.trial_id, "step": entry.step}
        | {name: getattr(spec, name) for name in ("method", "network", "dataset", "seed")}
        | {**entry.metrics, **{f"loss/{term}": value for term, value in entry.losses.items()}}
        for row in rows
        for spec, record in row.trials
        for entry in (record.history if record else ())
    ]
    return pd.DataFrame(evaluations, columns=None if evaluations else names).set_index(["trial_id", "step"])


def weights(workspace: str | Path, trial_id: str) -> dict[str, Any]:
    """The final weights of a trial, on the CPU.

    Returns:
        `method`: the state dict of the whole method, whose keys start with the player (`generator.`); `average`: that
        of the generator's moving average, with which the trial was measured, or None without one.

    Raises:
        UserError: if the workspace has no weights of the trial, or the file is damaged.
    """
    import torch

    from benchmark.training.checkpoint import load_weights

    path = Workspace.at(Path(workspace)).checkpoints / f"{trial_id}.final.pt"
    state = load_weights(path, torch.device("cpu"))
    if state is None:
        why = "is damaged" if path.exists() else "does not exist; the file is written when a trial has finished"
        raise UserError(f"{path}: {why}")
    return state


def _load(workspace: str | Path, suite: str | Path | Suite, scale: str | None) -> tuple[Suite, list[LeaderboardRow]]:
    loaded = suite if isinstance(suite, Suite) else load_suite(Path(suite), scale)
    place = Workspace.at(Path(workspace))
    if not place.results.is_dir():
        raise UserError(f"{workspace}: not a workspace, it has no results/; pass the folder that --workspace names")
    loaded = with_recorded_looks(loaded, place)
    return loaded, leaderboard_rows(loaded, RecordStore(place.results).read_without_samples(loaded.specs))

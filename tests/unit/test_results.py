"""The records of a suite as pandas data frames."""

import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmark import results
from benchmark.analysis.leaderboard import leaderboard_rows
from benchmark.core.errors import UserError
from benchmark.report.results_csv import csv_columns
from benchmark.store.record_store import RecordStore
from benchmark.store.workspace import Workspace
from benchmark.training.checkpoint import save_weights
from tests.support.report_suite import *  # noqa: F403

DOCS = Path(__file__).parents[2] / "docs" / "results.md"


@pytest.fixture(scope="module")
def workspace(mixed, tmp_path_factory):
    place = Workspace.at(tmp_path_factory.mktemp("workspace"))
    store = RecordStore(place.results)
    for record in mixed.values():
        store.write(record)
    return place.root


@pytest.fixture(scope="module")
def trials(workspace, suite):
    return results.frame(workspace, suite)


def test_a_frame_has_a_row_per_trial_and_the_columns_of_results_csv(suite, trials):
    assert list(trials.index) == [spec.trial_id for cell in suite.cells for spec in cell.specs]
    assert ["trial_id", *trials.columns] == sorted(csv_columns(leaderboard_rows(suite, {})), key="trial_id".__ne__), (
        "trial_id is the index, all others keep their order"
    )


def test_the_frame_holds_the_values_of_the_records(suite, mixed, trials):
    for trial_id, row in trials.iterrows():
        record = mixed.get(trial_id)
        assert row["status"] == (record.status if record else "not run")
        assert row["error"] == (record.error if record else "")
        for key in ("modes", "kl"):
            expected = record.metrics.get(key, math.nan) if record else math.nan
            assert row[key] == pytest.approx(expected, nan_ok=True)
    assert trials[["modes", "kl", "train_seconds", "cpus", "published_kl"]].dtypes.eq(float).all()
    assert trials.loc[trials["row"] == "MSGAN", "published_modes"].dropna().unique() == [926.75]


def test_a_history_has_a_row_per_evaluation(suite, mixed, workspace):
    curves = results.history(workspace, suite)
    expected = {
        (spec.trial_id, entry.step): entry.metrics["modes"]
        for cell in suite.cells
        for spec in cell.specs
        if spec.trial_id in mixed
        for entry in mixed[spec.trial_id].history
    }
    assert curves["modes"].to_dict() == expected


def test_an_empty_store_gives_frames_without_values(tmp_path, suite):
    (tmp_path / "results").mkdir()
    assert set(results.frame(tmp_path, suite)["status"]) == {"not run"}
    assert results.frame(tmp_path, suite)["modes"].isna().all()
    assert results.history(tmp_path, suite).empty


def test_a_suite_file_is_loaded_at_a_scale(workspace, suite_file):
    assert set(results.frame(str(workspace), str(suite_file), scale="quick")["scale"]) == {"quick"}


def test_a_folder_that_is_no_workspace_is_refused(tmp_path, suite):
    with pytest.raises(UserError, match="not a workspace"):
        results.frame(tmp_path / "absent", suite)


def test_pandas_is_imported_only_when_a_frame_is_made():
    code = "import sys, benchmark.results, benchmark.report.render; print('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_examples_of_the_docs_run(workspace, trials, suite_file, monkeypatch, capsys):
    examples = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.S)
    assert len(examples) == 4
    state = {"method": {"generator.w": torch.ones(2), "discriminator.w": torch.ones(3)}, "average": None}
    save_weights(workspace / "checkpoints" / f"{trials.index[0]}.final.pt", state)
    monkeypatch.chdir(workspace)
    names: dict[str, object] = {}
    for example in examples:
        code = example.replace('"workspace"', f'"{workspace}"').replace('"suites/quickstart.yaml"', f'"{suite_file}"')
        exec(code, names)
    assert "MSGAN" in capsys.readouterr().out
    assert list(names["generator"]) == ["w"]


def test_final_weights_are_read_or_refused_by_name(tmp_path):
    path, state = tmp_path / "checkpoints" / "abc.final.pt", {"method": {"generator.w": torch.ones(2)}, "average": None}
    with pytest.raises(UserError, match=r"abc\.final\.pt: does not exist"):
        results.weights(tmp_path, "abc")
    save_weights(path, state)
    assert torch.equal(results.weights(tmp_path, "abc")["method"]["generator.w"], torch.ones(2))
    path.write_bytes(b"half")
    with pytest.raises(UserError, match=r"abc\.final\.pt: is damaged"):
        results.weights(tmp_path, "abc")

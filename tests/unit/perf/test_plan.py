"""Plans and reports of large suites: the measurement, and that nothing is computed or read twice."""

import json
import pickle
import shutil

import pytest

from benchmark.analysis.leaderboard import leaderboard_rows
from benchmark.config.suite import load_suite
from benchmark.core import spec as specs
from benchmark.planning.plan import make_plan
from benchmark.report.figures import draw
from benchmark.report.figures.page import Page
from benchmark.store.record_store import RecordStore
from benchmark.store.records import TrialRecord
from benchmark.store.workspace import Workspace
from perf import plan as perf


@pytest.fixture
def large(tmp_path):
    path, workspace = tmp_path / "large.yaml", Workspace.at(tmp_path / "ws")
    perf.write_suite(path, 600)
    return path, workspace


def test_a_plan_hashes_each_trial_once_and_reads_no_sample_grid(large, tmp_path, monkeypatch):
    path, workspace = large
    store = RecordStore(workspace.results)
    perf.write_records(load_suite(path), store, 0.1, {"device": "cpu"})
    hashed = []
    content_hash = specs.content_hash
    monkeypatch.setattr(specs, "content_hash", lambda value: hashed.append(1) or content_hash(value))
    monkeypatch.setattr(TrialRecord, "model_validate_json", None)  # no record is read as a whole
    suite = load_suite(path)
    plan = make_plan(suite, workspace, tmp_path)
    assert (len(suite.specs), len(plan.todo)) == (600, 540)
    plan.as_json()
    # One hash per trial, and one for the first trial of each cell, before the scale is applied.
    assert len(hashed) <= 600 + 6


def test_records_can_be_read_without_sample_grids(large):
    path, workspace = large
    suite, store = load_suite(path), RecordStore(workspace.results)
    perf.write_records(suite, store, 0.05, {"device": "cpu"})
    whole, light = store.read_many(suite.specs), store.read_without_samples(suite.specs)
    assert list(whole) == list(light)
    assert len(whole) == 30
    assert all(record.samples_png for record in whole.values())
    for trial_id, record in whole.items():
        assert record.model_copy(update={"samples_png": ""}) == light[trial_id]
    outcomes = store.summaries(suite.specs)
    assert {i: (o.status, o.cost, o.data) for i, o in outcomes.items()} == {
        i: (r.status, r.cost, r.data) for i, r in whole.items()
    }


def test_a_record_with_another_order_of_keys_is_read_as_a_whole(large):
    path, workspace = large
    suite, store = load_suite(path), RecordStore(workspace.results)
    perf.write_records(suite, store, 1 / 600, {})
    (trial_id,) = store.summaries(suite.specs)
    record = store.read(trial_id)
    store.path(trial_id).write_text(json.dumps(json.loads(store.path(trial_id).read_text()), sort_keys=True))
    assert store.read_without_samples(suite.specs) == {trial_id: record}
    assert store.summaries(suite.specs)[trial_id].cost == record.cost


def test_a_figure_of_too_many_rows_shows_the_first(large, monkeypatch):
    suite = load_suite(large[0])
    all_rows = leaderboard_rows(suite, {})
    whole = draw.draw(suite, all_rows, {})["leaderboard.png"]
    texts = []
    draw_text = Page.text

    def record_text(self, left, top, text, *args, **kwargs):
        texts.append(text)
        return draw_text(self, left, top, text, *args, **kwargs)

    monkeypatch.setattr(Page, "text", record_text)
    assert draw.draw(suite, all_rows, {})["leaderboard.png"] == whole
    assert not any("The first" in text for text in texts)
    monkeypatch.setattr(draw, "MOST_ROWS", 2)
    part = draw.draw(suite, all_rows, {})["leaderboard.png"]
    assert "The first 2 of 6 rows; results.csv has all of them" in texts
    assert png_height(part) < png_height(whole) / 2


def png_height(content):
    return int.from_bytes(content[20:24])


def test_all_parts_are_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(perf, "SEEDS", 3)

    def run(*arguments):
        if arguments[0] == "report":
            shutil.copytree(tmp_path / "report", arguments[-1])
        return 1.0, ""

    clock = perf.measure(6, 0.5, tmp_path, run)
    assert {"load_suite", "make_plan", "read records", "render files", "command: plan", "command: report"} <= set(clock)
    assert all(seconds >= 0 for seconds in clock.values())
    assert (tmp_path / "report" / "leaderboard.md").is_file()


def test_a_cached_trial_id_is_not_copied_to_another_trial(large):
    spec = next(iter(load_suite(large[0]).specs.values()))
    named = spec.trial_id
    for copied in (spec.model_copy(update={"seed": 77}), spec.model_copy(update={"seed": 77}, deep=True)):
        assert copied.trial_id != named
        assert copied.trial_id == specs.TrialSpec.model_validate(copied.model_dump()).trial_id
    assert set(spec.model_dump()) == set(specs.TrialSpec.model_fields)
    assert spec == specs.TrialSpec.model_validate(spec.model_dump())
    assert pickle.loads(pickle.dumps(spec)).trial_id == named
    with pytest.raises((AttributeError, ValueError)):
        spec.trial_id = "another"

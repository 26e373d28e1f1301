"""Large suites: the measurement runs, and what makes it fast is there: nothing is worked out or read twice."""

import json
import pickle

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


def test_each_trial_is_named_once_and_no_picture_is_read(large, tmp_path, monkeypatch):
    path, workspace = large
    store = RecordStore(workspace.results)
    perf.write_records(load_suite(path), store, 0.1, {"device": "cpu"})
    hashed = []
    real = specs.content_hash
    monkeypatch.setattr(specs, "content_hash", lambda value: hashed.append(1) or real(value))
    monkeypatch.setattr(TrialRecord, "model_validate_json", None)  # nobody reads a whole record
    suite = load_suite(path)
    plan = make_plan(suite, workspace, tmp_path)
    assert (len(suite.specs), len(plan.todo)) == (600, 540)
    plan.as_json()
    # one for each trial, and one for the first of each cell, which is named before the scale is laid over it
    assert len(hashed) <= 600 + 6


def test_a_report_reads_one_picture_of_each_cell(large):
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


def test_a_record_of_another_layout_is_read_whole(large):
    path, workspace = large
    suite, store = load_suite(path), RecordStore(workspace.results)
    perf.write_records(suite, store, 1 / 600, {})
    (trial_id,) = store.summaries(suite.specs)
    record = store.read(trial_id)
    store.path(trial_id).write_text(json.dumps(json.loads(store.path(trial_id).read_text()), sort_keys=True))
    assert store.read_without_samples(suite.specs) == {trial_id: record}
    assert store.summaries(suite.specs)[trial_id].cost == record.cost


def test_a_picture_of_too_many_rows_shows_the_first(large, monkeypatch):
    suite = load_suite(large[0])
    all_rows = leaderboard_rows(suite, {})
    whole = draw.draw(suite, all_rows, {})["leaderboard.png"]
    told = []
    shown = Page.text

    def words(self, left, top, text, *rest, **look):
        told.append(text)
        return shown(self, left, top, text, *rest, **look)

    monkeypatch.setattr(Page, "text", words)
    assert draw.draw(suite, all_rows, {})["leaderboard.png"] == whole
    assert not any("The first" in text for text in told)
    monkeypatch.setattr(draw, "MOST_ROWS", 2)
    part = draw.draw(suite, all_rows, {})["leaderboard.png"]
    assert "The first 2 of 6 rows; results.csv has all of them" in told
    assert png_height(part) < png_height(whole) / 2


def png_height(content):
    return int.from_bytes(content[20:24])


def test_it_measures_all_parts_and_two_equal_reports(tmp_path, monkeypatch):
    monkeypatch.setattr(perf, "SEEDS", 3)

    def here(*arguments):
        if arguments[0] == "report":
            folder = perf.Path(arguments[-1])
            folder.mkdir()
            for path in (tmp_path / "report").rglob("*"):
                if path.is_file():
                    (folder / path.relative_to(tmp_path / "report")).parent.mkdir(exist_ok=True)
                    (folder / path.relative_to(tmp_path / "report")).write_bytes(path.read_bytes())
        return 1.0, ""

    clock = perf.measure(6, 0.5, tmp_path, here)
    assert {"load_suite", "make_plan", "read records", "render files", "command: plan", "command: report"} <= set(clock)
    assert all(seconds >= 0 for seconds in clock.values())
    assert (tmp_path / "report" / "leaderboard.md").is_file()


def test_a_name_that_was_worked_out_once_is_never_that_of_another_trial(large):
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

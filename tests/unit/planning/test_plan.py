"""A result counts for a suite if it was trained on the images that are prepared here."""

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from benchmark.config.suite import load_suite
from benchmark.core import registry
from benchmark.data.manifest import MANIFEST, data_unchanged, manifest_of
from benchmark.evaluation.extractors.inception import Inception
from benchmark.planning.plan import make_plan
from benchmark.store.record_store import RecordStore
from benchmark.store.records import TrialRecord
from benchmark.store.workspace import Workspace

manifests = st.fixed_dictionaries(
    {},
    optional={
        "checksums": st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
        "sources": st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
    },
)


def record_of(spec, **changes):
    now = "2026-01-01T00:00:00+00:00"
    fields = {"trial_id": spec.trial_id, "spec": spec, "status": "finished", "started": now, "finished": now}
    return TrialRecord.model_validate(fields | {"environment": {}} | changes)


@given(one=manifests, other=manifests)
def test_data_unchanged_is_symmetric_and_reflexive(one, other):
    assert data_unchanged(one, one)
    assert data_unchanged(one, other) == data_unchanged(other, one)


def test_checksums_of_arrays_take_precedence_over_those_of_files():
    assert data_unchanged({"checksums": {"a": "1"}, "sources": {"x": "1"}}, {"checksums": {"a": "1"}, "sources": {}})
    assert not data_unchanged({"checksums": {"a": "1"}}, {"checksums": {"a": "2"}})
    assert not data_unchanged({"sources": {"x": "1"}}, {"sources": {"x": "2"}, "checksums": {"a": "1"}})


def test_a_result_on_changed_images_is_trained_again(tmp_path, small_suite):
    suite = load_suite(small_suite())
    workspace = Workspace.at(tmp_path / "workspace")
    digits = registry.datasets["stacked_digits"]
    folder = digits.prepare(tmp_path, workspace.data)
    manifest = manifest_of("stacked_digits", workspace.data)
    store = RecordStore(workspace.results)
    for spec in suite.specs.values():
        store.write(record_of(spec, data=manifest))
    assert not make_plan(suite, workspace, tmp_path).todo
    changed = manifest | {"checksums": {**manifest["checksums"], "train_images.npy": "0" * 64}}
    (folder / MANIFEST).write_text(json.dumps(changed))
    assert set(make_plan(suite, workspace, tmp_path).todo) == set(suite.specs)


def test_without_prepared_images_every_result_counts(tmp_path, small_suite):
    suite = load_suite(small_suite())
    workspace = Workspace.at(tmp_path / "workspace")
    for spec in suite.specs.values():
        RecordStore(workspace.results).write(record_of(spec))
    assert manifest_of("stacked_digits", workspace.data) == {}
    assert not make_plan(suite, workspace, tmp_path).todo


def test_an_extractor_without_weights_is_not_timed(tmp_path, monkeypatch):
    monkeypatch.setattr(Inception, "missing_message", classmethod(lambda *_: "not here"))
    plan = make_plan(load_suite(Path("suites/mimicry2020.yaml")), Workspace.at(tmp_path / "ws"), tmp_path)
    assert plan.missing.weights == {"inception": "not here"}
    assert plan.estimate.untimed_training
    assert not plan.estimate.untimed_features

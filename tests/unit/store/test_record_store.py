"""Records on disk: they round-trip, plans read only part of them, and damage is reported."""

import base64
import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.core.errors import UserError
from benchmark.core.spec import TrialSpec
from benchmark.store import record_store
from benchmark.store.record_store import RecordStore
from benchmark.store.records import TrialRecord, TrialSummary, encode_points, without_samples
from tests.conftest import SMALL

SPEC = TrialSpec.model_validate({**SMALL["defaults"], "method": "gan", "seed": 0})
COUNTS = [0, 25, 3, 2**40]


def record(**changed):
    times = {"started": "2026-11-22T12:00:00+00:00", "finished": "2026-11-22T12:01:40+00:00"}
    return TrialRecord(trial_id=SPEC.trial_id, spec=SPEC, status="finished", **times, **changed)


@pytest.fixture
def store(tmp_path):
    return RecordStore(tmp_path / "results")


@given(histograms=st.dictionaries(st.text(max_size=9), st.lists(st.integers(0, 2**40), min_size=1), max_size=3))
@settings(max_examples=20)
def test_records_with_histograms_round_trip(tmp_path_factory, histograms):
    store = RecordStore(tmp_path_factory.mktemp("results"))
    written = record(histograms=histograms, samples_png="AAAA")
    store.write(written)
    assert store.read(SPEC.trial_id) == written
    assert store.read_without_samples([SPEC.trial_id]) == {
        SPEC.trial_id: written.model_copy(update={"samples_png": ""})
    }
    assert store.summaries([SPEC.trial_id]) == {SPEC.trial_id: TrialSummary.model_validate(written.model_dump())}


@pytest.mark.parametrize("shape", [(0, 1), (1, 1), (10_000, 1), (2500, 2)])
def test_points_round_trip_bit_identically_and_are_read_only_on_demand(store, shape):
    points = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    store.write(record(points_npy=encode_points(points)))
    read = store.read(SPEC.trial_id).sample_points
    assert read.dtype == np.float32
    assert read.tobytes() == points.tobytes()
    assert read.shape == shape
    assert store.read_without_samples([SPEC.trial_id])[SPEC.trial_id] == record()
    assert without_samples(store.read(SPEC.trial_id)) == record()


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x93NUMPY\x01\x00", b"PK\x03\x04"])
def test_damaged_points_are_none(content):
    assert record(points_npy=base64.b64encode(content).decode()).sample_points is None


@pytest.mark.parametrize("array", [np.zeros(3, np.float32), np.zeros((3, 1)), np.array([[None]], dtype=object)])
def test_arrays_that_are_no_float32_points_are_none(array):
    content = io.BytesIO()
    np.save(content, array, allow_pickle=True)
    assert record(points_npy=base64.b64encode(content.getvalue()).decode()).sample_points is None


def test_a_record_of_an_earlier_version_has_no_histograms(store):
    written = record(samples_png="AAAA")
    store.write(written)
    path = store.path(SPEC.trial_id)
    path.write_text(path.read_text().replace('\n "histograms": {},', ""))
    assert "histograms" not in path.read_text()
    assert store.read(SPEC.trial_id) == written
    assert store.read_without_samples([SPEC.trial_id])[SPEC.trial_id].histograms == {}


@pytest.mark.parametrize("head", [1, 7, 100, record_store.PREFIX_BYTES])
@pytest.mark.parametrize("field", ["histograms", None])
def test_summaries_are_read_without_histograms_and_samples(store, monkeypatch, head, field):
    """Whatever part of a file is read at a time, and also of a record from before there were counts."""
    monkeypatch.setattr(record_store, "PREFIX_BYTES", head)
    store.write(record(histograms={"modes": COUNTS * 25}, samples_png="AAAA"))
    path = store.path(SPEC.trial_id)
    if field is None:
        whole = json.loads(path.read_text())
        del whole["histograms"]
        path.write_text(json.dumps(whole, indent=1) + "\n")
    read = store._read_until(record_store.HISTOGRAMS, SPEC.trial_id)
    assert list(json.loads(read))[-1] == "events"
    monkeypatch.setattr(RecordStore, "read", None)
    assert store.summaries([SPEC.trial_id])[SPEC.trial_id].status == "finished"
    shown = store.read_without_samples([SPEC.trial_id])[SPEC.trial_id]
    assert shown.histograms == ({"modes": COUNTS * 25} if field else {})


@pytest.mark.parametrize(
    "harmed", [[], [-1], [2**40 + 1], [10**400], [0.5], [1.0], [True], ["1"], [None], [[1]], [0] * (2**16 + 1), 7, "1"]
)
def test_invalid_histogram_counts_are_a_damaged_record(store, harmed):
    store.write(record(histograms={"modes": COUNTS}))
    path = store.path(SPEC.trial_id)
    whole = json.loads(path.read_text())
    whole["histograms"]["modes"] = harmed
    path.write_text(json.dumps(whole))
    with pytest.raises(UserError, match="damaged record"):
        store.read(SPEC.trial_id)

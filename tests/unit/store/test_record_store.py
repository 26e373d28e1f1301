"""Records on disk: what is written is read again, what a plan needs is read without the rest, harm is told."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.core.errors import UserError
from benchmark.core.spec import TrialSpec
from benchmark.store import record_store
from benchmark.store.record_store import RecordStore
from benchmark.store.records import TrialRecord, TrialSummary
from tests.conftest import SMALL

SPEC = TrialSpec.model_validate({**SMALL["defaults"], "method": "gan", "seed": 0})
COUNTS = [0, 25, 3, 2**40]


def record(**changed):
    times = {"started": "2026-11-22T12:00:00+00:00", "finished": "2026-11-22T12:01:40+00:00"}
    return TrialRecord(trial_id=SPEC.trial_id, spec=SPEC, status="finished", **times, **changed)


@pytest.fixture
def kept(tmp_path):
    return RecordStore(tmp_path / "results")


@given(histograms=st.dictionaries(st.text(max_size=9), st.lists(st.integers(0, 2**40), min_size=1), max_size=3))
@settings(max_examples=20)
def test_histograms_come_back_as_they_were(tmp_path_factory, histograms):
    kept = RecordStore(tmp_path_factory.mktemp("results"))
    written = record(histograms=histograms, samples_png="AAAA")
    kept.write(written)
    assert kept.read(SPEC.trial_id) == written
    assert kept.read_without_samples([SPEC.trial_id]) == {SPEC.trial_id: written.model_copy(update={"samples_png": ""})}
    assert kept.summaries([SPEC.trial_id]) == {SPEC.trial_id: TrialSummary.model_validate(written.model_dump())}


def test_a_record_from_before_there_were_any_has_none(kept):
    written = record(samples_png="AAAA")
    kept.write(written)
    path = kept.path(SPEC.trial_id)
    path.write_text(path.read_text().replace('\n "histograms": {},', ""))
    assert "histograms" not in path.read_text()
    assert kept.read(SPEC.trial_id) == written
    assert kept.read_without_samples([SPEC.trial_id])[SPEC.trial_id].histograms == {}


@pytest.mark.parametrize("head", [1, 7, 100, record_store.PREFIX_BYTES])
@pytest.mark.parametrize("field", ["histograms", None])
def test_a_plan_reads_neither_counts_nor_picture(kept, monkeypatch, head, field):
    """Whatever part of a file is read at a time, and also of a record from before there were counts."""
    monkeypatch.setattr(record_store, "PREFIX_BYTES", head)
    kept.write(record(histograms={"modes": COUNTS * 25}, samples_png="AAAA"))
    path = kept.path(SPEC.trial_id)
    if field is None:
        whole = json.loads(path.read_text())
        del whole["histograms"]
        path.write_text(json.dumps(whole, indent=1) + "\n")
    read = kept._read_until(record_store.HISTOGRAMS, SPEC.trial_id)
    assert list(json.loads(read))[-1] == "events"
    monkeypatch.setattr(RecordStore, "read", None)
    assert kept.summaries([SPEC.trial_id])[SPEC.trial_id].status == "finished"
    shown = kept.read_without_samples([SPEC.trial_id])[SPEC.trial_id]
    assert shown.histograms == ({"modes": COUNTS * 25} if field else {})


@pytest.mark.parametrize(
    "harmed", [[], [-1], [2**40 + 1], [10**400], [0.5], [1.0], [True], ["1"], [None], [[1]], [0] * (2**16 + 1), 7, "1"]
)
def test_counts_that_cannot_be_are_a_damaged_record(kept, harmed):
    kept.write(record(histograms={"modes": COUNTS}))
    path = kept.path(SPEC.trial_id)
    whole = json.loads(path.read_text())
    whole["histograms"]["modes"] = harmed
    path.write_text(json.dumps(whole))
    with pytest.raises(UserError, match="damaged record"):
        kept.read(SPEC.trial_id)

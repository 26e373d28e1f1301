"""Failed trials are tried again, from a queue that all runners share."""

from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.config.suite import load_suite
from benchmark.execution.retries import RetryQueue
from benchmark.store.records import TrialRecord
from benchmark.trials.job import Progress


@dataclass
class Heard:
    """A listener."""

    said: list[tuple[str, str]] = field(default_factory=list)
    records: dict[str, TrialRecord] = field(default_factory=dict)

    def started(self, trial_id):
        pass

    def progressed(self, progress):
        self.said.append((progress.trial_id, f"step {progress.step}"))

    def failed(self, trial_id, reason):
        self.said.append((trial_id, reason))

    def finished(self, record):
        assert record.trial_id not in self.records
        self.records[record.trial_id] = record


@dataclass(frozen=True)
class Work:
    """As much of a job as the queue looks at."""

    spec: object
    cpus: int = 1
    vmap_seeds: int = 1
    device: object = type("CPU", (), {"type": "cpu"})()


@pytest.fixture(scope="module")
def specs(tmp_path_factory):
    import yaml

    from tests.conftest import SMALL

    path = tmp_path_factory.mktemp("suite") / "small.yaml"
    path.write_text(yaml.safe_dump(SMALL))
    return list(load_suite(path).specs.values())


def record_of(job, status, error=""):
    return TrialRecord(
        trial_id=job.spec.trial_id, spec=job.spec, status=status, error=error, started="now", finished="now"
    )


def test_a_failed_trial_waits_behind_the_others_and_tells_of_its_attempts(specs):
    heard = Heard()
    attempts = RetryQueue([Work(spec) for spec in specs[:2]], 1, heard)
    bad, good = attempts.next(), attempts.next()
    attempts.ended(record_of(bad, "failed", "no luck"))
    assert heard.said == [(bad.spec.trial_id, "no luck")]
    assert not heard.records
    attempts.ended(record_of(good, "finished"))
    assert attempts.next() is bad
    assert attempts.next() is None
    attempts.ended(record_of(bad, "failed", "still none"))
    failed = heard.records[bad.spec.trial_id]
    assert (failed.status, failed.error) == ("failed", "attempt 1: no luck; attempt 2: still none")
    assert failed.attempts == ["no luck"]
    assert heard.records[good.spec.trial_id].attempts == []
    assert not attempts.running


def test_the_same_reason_is_told_once(specs):
    heard = Heard()
    attempts = RetryQueue([Work(specs[0])], 2, heard)
    while job := attempts.next():
        attempts.ended(record_of(job, "failed", "no luck"))
    assert heard.records[specs[0].trial_id].error == "no luck (3 attempts)"


def test_a_trial_that_succeeds_in_the_end_remembers_its_trouble(specs):
    heard = Heard()
    attempts = RetryQueue([Work(specs[0])], 1, heard)
    attempts.next()
    attempts.lost(specs[0].trial_id, "the worker died")
    attempts.ended(record_of(attempts.next(), "finished"))
    record = heard.records[specs[0].trial_id]
    assert (record.status, record.error, record.attempts) == ("finished", "", ["the worker died"])


def test_a_diverged_trial_is_never_tried_again(specs):
    heard = Heard()
    attempts = RetryQueue([Work(specs[0])], 5, heard)
    attempts.ended(record_of(attempts.next(), "diverged", "a loss"))
    assert attempts.next() is None
    assert heard.records[specs[0].trial_id].status == "diverged"


def test_preemptions_count_only_when_nothing_was_gained(specs):
    heard = Heard()
    attempts = RetryQueue([Work(specs[0])], 0, heard)
    trial_id = specs[0].trial_id
    for step in (10, 20, 30):
        attempts.next()
        attempts.progressed(Progress(trial_id, step, 1.0, {}))
        attempts.preempted(trial_id, "taken away")
        assert not heard.records
    attempts.next()
    attempts.progressed(Progress(trial_id, 30, 1.0, {}))
    attempts.preempted(trial_id, "taken away")
    assert heard.records[trial_id].status == "failed"


def test_an_old_record_without_attempts_can_be_read(specs):
    record = record_of(Work(specs[0]), "finished")
    old = record.model_dump(mode="json")
    del old["attempts"]
    assert TrialRecord.model_validate(old) == record


@given(st.data(), st.integers(0, 3))
def test_every_trial_ends_once_after_at_most_so_many_attempts(specs, data, retries):
    """Whatever happens, in whatever order: one record for each, and never more attempts than allowed."""
    heard, begun = Heard(), Counter()
    attempts = RetryQueue([Work(spec) for spec in specs], retries, heard)
    while attempts.peek() or attempts.running:
        if attempts.peek() and (not attempts.running or data.draw(st.booleans())):
            begun[attempts.next().spec.trial_id] += 1
            continue
        trial_id = data.draw(st.sampled_from(sorted(attempts.running)))
        job = attempts.running[trial_id]
        end = data.draw(st.sampled_from(["finished", "diverged", "failed", "lost"]))
        attempts.lost(trial_id, "died") if end == "lost" else attempts.ended(record_of(job, end, end))
    assert set(heard.records) == {spec.trial_id for spec in specs}
    assert max(begun.values()) <= retries + 1
    for trial_id, record in heard.records.items():
        assert len(record.attempts) == begun[trial_id] - 1
        assert record.status != "failed" or begun[trial_id] == retries + 1

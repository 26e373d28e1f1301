"""The queue that retries failed trials."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from benchmark.config.suite import load_suite
from benchmark.evaluation.references import EvaluationAssets
from benchmark.execution.events import AttemptFailed, Event, TrialFinished
from benchmark.execution.retries import RetryQueue
from benchmark.store.records import TrialRecord
from benchmark.trials.job import Job, Progress
from tests.conftest import SMALL
from tests.support.trials import job_in


@dataclass
class Recorder:
    """A listener that keeps all events, and at most one record of each trial."""

    events: list[Event] = field(default_factory=list)
    records: dict[str, TrialRecord] = field(default_factory=dict)

    def handle(self, event):
        if isinstance(event, TrialFinished):
            assert event.record.trial_id not in self.records
            self.records[event.record.trial_id] = event.record
        else:
            self.events.append(event)


def job_of(spec):
    assets = EvaluationAssets(extractors={}, references={})
    return Job(spec=spec, data=Path(), assets=assets, checkpoints=Path(), samples=Path(), cpus=1, gpus=0.0)


@pytest.fixture(scope="module")
def specs(tmp_path_factory):
    path = tmp_path_factory.mktemp("suite") / "small.yaml"
    path.write_text(yaml.safe_dump(SMALL))
    return list(load_suite(path).specs.values())


def record_of(job, status, error=""):
    return TrialRecord(
        trial_id=job.spec.trial_id, spec=job.spec, status=status, error=error, started="now", finished="now"
    )


def test_a_failed_trial_is_retried_after_the_others_and_its_record_lists_the_attempts(specs):
    recorder = Recorder()
    queue = RetryQueue([job_of(spec) for spec in specs[:2]], 1, [recorder])
    bad, good = queue.pop(), queue.pop()
    queue.attempt_ended(record_of(bad, "failed", "no luck"))
    assert recorder.events == [AttemptFailed(bad.spec.trial_id, "no luck")]
    assert not recorder.records
    queue.attempt_ended(record_of(good, "finished"))
    assert queue.pop() == bad
    assert queue.pop() is None
    queue.attempt_ended(record_of(bad, "failed", "still none"))
    failed = recorder.records[bad.spec.trial_id]
    assert (failed.status, failed.error) == ("failed", "attempt 1: no luck; attempt 2: still none")
    assert failed.attempts == ["no luck"]
    assert recorder.records[good.spec.trial_id].attempts == []
    assert not queue.running


def test_a_reason_that_all_attempts_share_appears_once(specs):
    recorder = Recorder()
    queue = RetryQueue([job_of(specs[0])], 2, [recorder])
    while job := queue.pop():
        queue.attempt_ended(record_of(job, "failed", "no luck"))
    assert recorder.records[specs[0].trial_id].error == "no luck (3 attempts)"


def test_a_trial_that_succeeds_after_a_retry_keeps_the_reason_of_the_failure(specs):
    recorder = Recorder()
    queue = RetryQueue([job_of(specs[0])], 1, [recorder])
    queue.pop()
    queue.worker_died(specs[0].trial_id, "the worker died")
    queue.attempt_ended(record_of(queue.pop(), "finished"))
    record = recorder.records[specs[0].trial_id]
    assert (record.status, record.error, record.attempts) == ("finished", "", ["the worker died"])


def test_a_diverged_trial_is_never_tried_again(specs):
    recorder = Recorder()
    queue = RetryQueue([job_of(specs[0])], 5, [recorder])
    queue.attempt_ended(record_of(queue.pop(), "diverged", "a loss"))
    assert queue.pop() is None
    assert recorder.records[specs[0].trial_id].status == "diverged"


def test_preemptions_count_as_retries_only_without_progress(specs):
    recorder = Recorder()
    queue = RetryQueue([job_of(specs[0])], 0, [recorder])
    trial_id = specs[0].trial_id
    for step in (10, 20, 30):
        queue.pop()
        queue.progressed(Progress(trial_id, step, 1.0, {}))
        queue.preempted(trial_id, "taken away")
        assert not recorder.records
    queue.pop()
    queue.progressed(Progress(trial_id, 30, 1.0, {}))
    queue.preempted(trial_id, "taken away")
    assert recorder.records[trial_id].status == "failed"


def test_an_old_record_without_attempts_can_be_read(specs):
    record = record_of(job_of(specs[0]), "finished")
    old = record.model_dump(mode="json")
    del old["attempts"]
    assert TrialRecord.model_validate(old) == record


@given(st.data(), st.integers(0, 3))
def test_every_trial_ends_once_within_the_allowed_attempts(specs, data, retries):
    """In any order of failures and successes, each trial gets one record."""
    recorder, started = Recorder(), Counter()
    queue = RetryQueue([job_of(spec) for spec in specs], retries, [recorder])
    while queue.peek() or queue.running:
        if queue.peek() and (not queue.running or data.draw(st.booleans())):
            started[queue.pop().spec.trial_id] += 1
            continue
        trial_id = data.draw(st.sampled_from(sorted(queue.running)))
        job = queue.running[trial_id]
        end = data.draw(st.sampled_from(["finished", "diverged", "failed", "lost"]))
        queue.worker_died(trial_id, "died") if end == "lost" else queue.attempt_ended(record_of(job, end, end))
    assert set(recorder.records) == {spec.trial_id for spec in specs}
    assert max(started.values()) <= retries + 1
    for trial_id, record in recorder.records.items():
        assert len(record.attempts) == started[trial_id] - 1
        assert record.status != "failed" or started[trial_id] == retries + 1


def test_groups_are_seeds_of_one_cell_and_a_failed_seed_is_retried_alone(specs, tmp_path):
    cells = [spec.with_seeds(range(3)) for spec in {spec.cell_id: spec for spec in specs}.values()][:2]
    jobs = [job_in(tmp_path, spec, vmap_seeds=2) for cell in cells for spec in cell]
    queue = RetryQueue(jobs, 1, [])
    groups = [queue.pop_group() for _ in range(4)]
    assert [[job.spec.seed for job in group] for group in groups] == [[0, 1], [2], [0, 1], [2]]
    assert [[job.vmap_seeds for job in group] for group in groups] == [[2, 2], [1], [2, 2], [1]]
    failed = jobs[1].spec
    queue.worker_died(failed.trial_id, "killed")
    (retried,) = queue.pop_group()
    assert (retried.spec, retried.vmap_seeds) == (failed, 1)
    assert queue.pop_group() == []

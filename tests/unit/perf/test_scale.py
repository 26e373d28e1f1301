"""The measurement of many trials: its stub and its summary. The measurement itself needs Ray and minutes."""

from benchmark.config.suite import load_suite
from perf.scale import Meter, stub_trial, summarise
from tests.support.trials import job_in


def test_the_stub_returns_a_record_with_a_sample_grid(small_suite, tmp_path):
    spec = next(iter(load_suite(small_suite()).specs.values()))
    job = job_in(tmp_path, spec)
    reports = []
    record = stub_trial(job, reports.append)
    assert (record.trial_id, record.status) == (spec.trial_id, "finished")
    assert len(record.samples) > 100_000  # as large as a real one
    assert [progress.step for progress in reports] == [spec.steps]
    assert stub_trial(job, reports.append) == record
    assert not list(tmp_path.glob("*.png"))


def test_the_summary():
    meter = Meter(ended=[10.0 + i for i in range(20)], memory=[(float(i), 100.0 + i) for i in range(40)])
    summary = summarise(meter, 2.0, 20, 150.0)
    assert summary["seconds"] == {"plan": 2.0, "first trial": 10.0, "each trial": 1.0}
    assert summary["memory after trials"]["2"] == 111.0
    assert summary["memory after trials"]["20"] == 129.0
    assert len(summary["memory after trials"]) == 10

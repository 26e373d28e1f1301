"""The measurement of many trials: its stand-in for a training, and its sums. The whole needs Ray, and minutes."""

from perf.scale import Meter, _summary, instant


def test_the_stand_in_gives_a_record_with_a_picture(small_suite, tmp_path):
    from benchmark.config.suite import load_suite
    from tests.support.trials import job_in

    spec = next(iter(load_suite(small_suite()).specs.values()))
    job = job_in(tmp_path, spec)
    heard = []
    record = instant(job, heard.append)
    assert (record.trial_id, record.status) == (spec.trial_id, "finished")
    assert len(record.samples) > 100_000  # as large as a real one
    assert [progress.step for progress in heard] == [spec.steps]
    assert instant(job, heard.append) == record
    assert not list(tmp_path.glob("*.png"))


def test_the_sums():
    meter = Meter(ended=[10.0 + i for i in range(20)], memory=[(float(i), 100.0 + i) for i in range(40)])
    found = _summary(meter, 2.0, 20, 150.0)
    assert found["seconds"] == {"plan": 2.0, "first trial": 10.0, "each trial": 1.0}
    assert found["resident after"]["2"] == 111.0
    assert found["resident after"]["20"] == 129.0
    assert len(found["resident after"]) == 10

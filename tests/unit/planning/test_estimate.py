"""Estimates of time and memory, compared with hand computations."""

import pytest

from benchmark.config.suite import load_suite
from benchmark.planning.cost_keys import feature_passes, training_cost_key
from benchmark.planning.estimate import estimate
from benchmark.planning.hardware import Hardware
from benchmark.planning.timings import Calibration, Timing
from benchmark.store.records import Cost, TrialSummary
from tests.conftest import SMALL

PROTOCOL = {"measures": {"modes": {"n_fake": 100}}, "evaluations": 2, "sample_batch": 64, "draws": 3}
HERE = {"cpu": "a", "cores": 4, "threads": 1, "device": "cpu", "gpu": "", "torch": "2"}
ENVIRONMENT = {**{key: HERE[key] for key in HERE if key != "torch"}, "packages": {"torch": "2"}}


@pytest.fixture
def suite(small_suite):
    return load_suite(small_suite(defaults={**SMALL["defaults"], "protocol": PROTOCOL}))


def finished(spec, train=12.0, evaluation=8.0, memory=300.0, environment=ENVIRONMENT, status="finished"):
    cost = Cost(
        train_seconds=train,
        evaluation_seconds=evaluation,
        images_per_second=1,
        peak_memory_mib=memory,
        cpus=1,
        gpus=0,
    )
    return TrialSummary(trial_id=spec.trial_id, status=status, cost=cost, environment=environment, data={})


def estimate_of(suite, outcomes=(), timings=None, slots=2, memory=1e6, missing=None, images=0.0):
    done = {outcome.trial_id: outcome for outcome in outcomes}
    todo = {i: spec for i, spec in suite.specs.items() if i not in done}
    return estimate(
        cells=suite.cells,
        summaries=done,
        todo=todo,
        calibration=Calibration(None, HERE, timings or {}),
        hardware=Hardware(device="cpu", slots=slots, memory_mib=memory, fingerprint=HERE),
        images_mib={"stacked_digits": images},
        missing_weights=missing or {},
    )


def timings_of(suite, **changes):
    timings = {}
    for spec in suite.specs.values():
        timings[training_cost_key(spec).key] = Timing(
            kind={}, seconds=2, sample_seconds=0.5, peak_memory_mib=400, **changes
        )
        timings |= {
            feature_pass.key: Timing(kind={}, seconds=0.25, peak_memory_mib=30) for feature_pass in feature_passes(spec)
        }
    return timings


def test_finished_trials_predict_others_of_their_kind(suite):
    gan = [spec for spec in suite.specs.values() if spec.method == "gan"]
    estimate = estimate_of(suite, [finished(gan[0])])
    # 6 steps took 12 s, 2 + 2 measurements 8 s
    assert estimate.cells[0].trial.seconds == pytest.approx(20)
    assert (estimate.cells[0].done, estimate.cells[0].todo, estimate.cells[0].seconds) == (1, 1, pytest.approx(20))
    assert estimate.cells[0].trial.source == "records"
    assert estimate.cells[1].trial.seconds is None
    assert estimate.device_seconds is None
    assert estimate.problems == {"not timed yet": 2}


def test_finished_trials_come_before_timings(suite):
    gan = next(spec for spec in suite.specs.values() if spec.method == "gan")
    estimate = estimate_of(suite, [finished(gan)], timings_of(suite), images=5)
    # 6 steps of 2 s; 4 times: 128 samples of 0.5 s and 100 feature passes of 0.25 s
    calibrated = 6 * 2 + 4 * (128 * 0.5 + 100 * 0.25)
    assert [cell.trial.seconds for cell in estimate.cells] == [pytest.approx(20), pytest.approx(calibrated)]
    assert [cell.trial.peak_memory_mib for cell in estimate.cells] == [300, 400 + 30 + 5]
    assert estimate.source == "mixed"
    assert estimate.device_seconds == pytest.approx(20 + 2 * calibrated)
    assert estimate.wall_seconds == pytest.approx((20 + 2 * calibrated) / 2)
    assert (estimate.peak_memory_mib, estimate.side_by_side_memory_mib) == (435, 870)


def test_a_run_takes_at_least_as_long_as_its_longest_trial(suite):
    specs = list(suite.specs.values())
    outcomes = [finished(spec, train=1000.0 if spec.method == "gan" else 1.0) for spec in specs if spec.seed == 0]
    estimate = estimate_of(suite, outcomes, slots=64)
    assert estimate.wall_seconds == pytest.approx(1008)
    assert estimate.device_seconds == pytest.approx(1008 + 9)


@pytest.mark.parametrize("change", [{"cpu": "b"}, {"threads": 2}, {"device": "cuda"}, {"packages": {"torch": "1"}}])
def test_trials_on_other_hardware_are_ignored(suite, change):
    outcomes = [finished(spec, environment=ENVIRONMENT | change) for spec in suite.specs.values() if spec.seed == 0]
    assert estimate_of(suite, outcomes).device_seconds is None
    same = [finished(spec) for spec in suite.specs.values() if spec.seed == 0]
    assert estimate_of(suite, same).device_seconds is not None


def test_a_diverged_trial_predicts_nothing(suite):
    outcomes = [finished(spec, status="diverged") for spec in suite.specs.values() if spec.seed == 0]
    assert estimate_of(suite, outcomes).device_seconds is None


def test_feature_passes_without_weights_are_omitted_and_named(suite):
    timings = timings_of(suite)
    for spec in suite.specs.values():
        for feature_pass in feature_passes(spec):
            timings.pop(feature_pass.key, None)
    estimate = estimate_of(suite, timings=timings, missing={"digits": "its weights are not here"})
    assert estimate.cells[0].trial.seconds == pytest.approx(6 * 2 + 4 * 128 * 0.5)
    assert estimate.problems == {"measuring through digits is left out: its weights are not here": 4}
    assert not estimate.untimed_features


def test_fits_compares_parallel_trials_with_the_memory(suite):
    assert estimate_of(suite, timings=timings_of(suite), memory=860).fits
    assert not estimate_of(suite, timings=timings_of(suite), memory=859).fits


def test_nothing_to_train_takes_no_time(suite):
    estimate = estimate_of(suite, [finished(spec) for spec in suite.specs.values()])
    assert (estimate.device_seconds, estimate.wall_seconds, estimate.source, estimate.problems) == (0.0, 0.0, "", {})

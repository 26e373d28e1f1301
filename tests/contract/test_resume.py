"""A trial that is interrupted anywhere ends with a bit-identical record and weights, for every method."""

import hashlib
from collections import Counter

import pytest

from benchmark.core import registry
from benchmark.core.protocol import metric_outputs
from benchmark.evaluation.sample_evaluator import EvaluationResult
from benchmark.training import checkpoint
from benchmark.trials import evaluator, runner, samples
from benchmark.trials.job import TrialStopped
from tests.support.examples import CPU, assert_equal, fitting, random_images, spec_of
from tests.support.trials import job_in

OF_ITS_OWN_TIME = {"started", "finished", "cost", "environment", "events"}
PLACES = (  # step, whether anything was measured before, and which report of those
    (1, False, 1),  # in the middle of a segment
    (2, False, 2),  # before a measurement
    (2, False, 3),  # in the middle of it
    (2, True, 1),  # after it
    (5, True, 8),  # between two redraws
)
OF_ONE_ATTEMPT = {"seconds", "events", "started", "took", "peak_memory"}
PROTOCOL = {
    "measures": {"modes": {"n_fake": 8}},
    "sample_batch": 6,
    "batch_norm": "batch",  # so that sampling moves buffers, and must put them back
    "evaluations": 2,
    "draws": 3,
}
CHANGES = {
    "network_options": {"generator_width": 4, "discriminator_width": 3, "spectral_norm": True},  # with power iterations
    "steps": 5,
    "average": {"decay": 0.9, "start": 1},
    "discriminator_steps": 2,
    "protocol": PROTOCOL,
}


class PixelHash:
    """Replaces the sample evaluator: values and counts that depend on every pixel of every sample."""

    metadata, identities = {}, {}

    def __init__(self, protocol, instruments, device):
        self.protocol = protocol

    def evaluate(self, batches):
        whole = hashlib.sha256(b"".join(batch.numpy().tobytes() for batch in batches)).digest()
        numbers = {key: float(whole[place]) for place, key in enumerate(metric_outputs(self.protocol))}
        return EvaluationResult(numbers, {"modes": list(whole)})


SAMPLING = [name for name in registry.methods if registry.methods[name].has_generator]
CLASSIFIERS = [name for name in registry.methods if not registry.methods[name].has_generator]
ON_A_LINE = [names for names in fitting([registry.datasets["normal_line"]]) if names[0] in SAMPLING]


@pytest.fixture(params=[*((name, "mlp", "stacked_digits") for name in SAMPLING), *ON_A_LINE], ids="-".join)
def spec(request, monkeypatch):
    on_images = request.param[1] == "mlp"
    made = spec_of(*request.param, **(CHANGES if on_images else CHANGES | {"network_options": {}}))
    prepared = random_images(made.dataset)
    monkeypatch.setattr(runner, "open_prepared", lambda *_: prepared)
    monkeypatch.setattr(evaluator, "SampleEvaluator", PixelHash)
    monkeypatch.setattr(runner, "PROGRESS_SECONDS", 0.0)  # a report after every step and every batch of samples
    for kept in ("GRID_IMAGES", "POINTS_ON_A_LINE"):
        monkeypatch.setattr(samples, kept, 12)
    return made


def stopped_at(places):
    """A report that raises TrialStopped once at each place: (step, whether measured, number of the report there)."""
    left, heard = list(places), Counter()

    def report(progress):
        here = (progress.step, len(progress.metrics) > 0)
        heard[here] += 1
        if left and (*here, heard[here]) == left[0]:
            left.pop(0)
            heard.clear()
            raise TrialStopped

    return report


def reproducible_fields(record):
    return record.model_dump(exclude=OF_ITS_OWN_TIME)


def finals(job):
    return checkpoint.load_weights(job.checkpoints / f"{job.spec.trial_id}.final.pt", CPU)


def last(job):
    state = checkpoint.Checkpoints(job.checkpoints, job.spec.trial_id).load(CPU)
    return {key: value for key, value in state.items() if key not in OF_ONE_ATTEMPT}


def interrupt(spec, places, tmp_path):
    """The record of a trial that was stopped at every place. All that it leaves equals that of an undisturbed one."""
    whole, parts = job_in(tmp_path / "whole", spec), job_in(tmp_path / "parts", spec)
    undisturbed = runner.run_trial(whole, lambda _: None)
    assert undisturbed.status == "finished", undisturbed.error
    report, stops, record = stopped_at(places), 0, None
    while record is None:
        try:
            record = runner.run_trial(parts, report)
        except TrialStopped:
            stops += 1
    assert stops == len(places)
    assert reproducible_fields(record) == reproducible_fields(undisturbed)
    assert [(event.what, event.times) for event in record.events] == [("resumed from a checkpoint", stops)]
    assert_equal(finals(parts), finals(whole))
    assert_equal(last(parts), last(whole))
    return record


def test_interrupted_and_resumed_equals_uninterrupted(spec, tmp_path):
    record = interrupt(spec, PLACES, tmp_path)
    assert record.metrics["modes"] == record.histograms["modes"][0], "not of a redraw"
    if spec.dataset == "normal_line":
        assert record.sample_points.shape == (12, 1)
    else:
        assert record.samples_png


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_an_interrupted_classifier_equals_an_uninterrupted_one_and_has_no_samples(name, monkeypatch, tmp_path):
    """Updates of the task's counter are part of the state: here the task switches between interruptions."""
    measures = {"task_accuracy": {}} if registry.methods[name].has_sequential_tasks else {"ss_task_loss": {}}
    options = {"updates_per_task": 3} if name == "one_vs_all" else {}
    changes = {"latent": None, "options": options, "steps": 5, "discriminator_steps": 2}
    spec = spec_of(name, "patch_cnn", "digits", protocol={"measures": measures, "evaluations": 2}, **changes)
    prepared = random_images("digits")
    monkeypatch.setattr(runner, "open_prepared", lambda *_: prepared)
    monkeypatch.setattr(runner, "PROGRESS_SECONDS", 0.0)
    record = interrupt(spec, [(1, False, 1), (2, False, 2), (2, True, 1), (4, True, 1)], tmp_path)
    assert not record.samples_png
    assert not list(tmp_path.rglob("*.png"))

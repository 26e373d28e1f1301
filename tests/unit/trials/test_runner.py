"""One trial under kills, full disks, time limits and failures: nothing is lost, and the record reports the events."""

import errno
import os
import resource
import signal
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from baselines.methods.gan import GAN
from benchmark.core import environment
from benchmark.core.files import write_atomically
from benchmark.core.spec import Protocol, TrialSpec
from benchmark.evaluation.sample_evaluator import SampleEvaluator
from benchmark.training import checkpoint
from benchmark.training.checkpoint import Checkpoints
from benchmark.trials import runner, samples, stopwatch
from benchmark.trials.job import TrialStopped
from tests.conftest import SMALL
from tests.support.trials import events, ignore_progress, job_in, killed_after, reproducible_fields, weights

CPU = torch.device("cpu")


@pytest.fixture
def job(prepared, tmp_path):
    spec = TrialSpec.model_validate({**SMALL["defaults"], "method": "ssgan", "seed": 0})
    return job_in(tmp_path, spec, *prepared)


def changed(job, **fields):
    return job.model_copy(update={"spec": job.spec.model_copy(update=fields)})


def test_a_trial_that_is_killed_repeatedly_ends_bit_identical(job, always, tmp_path):
    undisturbed = runner.run_trial(job.model_copy(update={"checkpoints": tmp_path / "other"}), ignore_progress)
    kills = sum(killed_after(reports, lambda report: runner.run_trial(job, report)) for reports in (2, 4, 5))
    record = runner.run_trial(job, ignore_progress)
    assert kills == 3
    assert events(record) == {"resumed from a checkpoint": 3}
    assert reproducible_fields(record) == reproducible_fields(undisturbed)
    assert weights(job) == weights(job.model_copy(update={"checkpoints": tmp_path / "other"}))


def test_a_trial_is_refused_if_other_images_were_prepared_after_the_run_had_started(job):
    record = runner.run_trial(job.model_copy(update={"checksums": {"train_images.npy": "0" * 64}}), ignore_progress)
    assert record.status == "failed"
    assert "other images were prepared while the run was going on" in record.error
    assert not record.history


def test_a_record_that_was_not_stored_is_made_again_without_training(job, monkeypatch):
    job = changed(job, protocol=job.spec.protocol.model_copy(update={"draws": 2}))
    record = runner.run_trial(job, ignore_progress)
    monkeypatch.setattr(GAN, "loss", None)
    monkeypatch.setattr(SampleEvaluator, "evaluate", None)
    again = runner.run_trial(job, ignore_progress)
    assert again.status == "finished"
    assert reproducible_fields(again) == reproducible_fields(record)
    assert again.cost.train_seconds >= record.cost.train_seconds


def test_a_kill_during_a_measurement_loses_no_training(job, always, monkeypatch):
    def power_cut(self, batches):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(SampleEvaluator, "evaluate", power_cut)
        with pytest.raises(KeyboardInterrupt):
            runner.run_trial(job, ignore_progress)
    state = Checkpoints(job.checkpoints, job.spec.trial_id).load(CPU)
    assert state["trainer"]["step"] == 3
    assert state["losses"]
    monkeypatch.setattr(runner, "PROGRESS_SECONDS", 1e9)
    heard = []
    runner.run_trial(job, lambda progress: heard.append(progress.step))
    assert heard[0] == 3


def test_a_stop_during_a_measurement_restores_the_generator(job, monkeypatch):
    undisturbed = runner.run_trial(job, ignore_progress)
    Checkpoints(job.checkpoints, job.spec.trial_id).forget()
    monkeypatch.setattr(runner, "PROGRESS_SECONDS", 0.0)
    heard = Counter()

    def report(progress):
        heard[progress.step] += 1
        if progress.step == 3 and heard[3] == 3:  # after the step, before the measurement, after the first batch
            raise TrialStopped

    with pytest.raises(TrialStopped):
        runner.run_trial(job, report)
    assert reproducible_fields(runner.run_trial(job, ignore_progress)) == reproducible_fields(undisturbed)


# --- averaged measures ---------------------------------------------------------------------------------


@pytest.fixture
def averaging_job(job):
    """Both measures see the same samples; one is the mean of the last three evaluations."""
    measures = {"modes": {"n_fake": 64}, "modes_3ep": {"metric": "modes", "n_fake": 64, "averaged": 3}}
    protocol = Protocol.model_validate({"measures": measures, "evaluations": 5, "sample_batch": 32, "draws": 2})
    return changed(job, protocol=protocol, steps=10)


def test_an_averaged_measure_is_the_mean_of_the_last_evaluations(averaging_job):
    """Fewer at the start; a redraw repeats the last of them."""
    record = runner.run_trial(averaging_job, ignore_progress)
    for key in ("modes", "kl"):
        single = [entry.metrics[key] for entry in record.history]
        means = [entry.metrics[f"{key}_3ep"] for entry in record.history]
        assert means == pytest.approx([np.mean(single[max(0, i - 2) : i + 1]) for i in range(5)], rel=1e-12)
        (redraw,) = record.redraws
        assert redraw[f"{key}_3ep"] == pytest.approx(np.mean([*single[2:4], redraw[key]]), rel=1e-12)
    assert record.metrics == record.history[-1].metrics


def test_a_killed_trial_with_an_averaged_measure_ends_bit_identical(averaging_job, always, tmp_path):
    undisturbed = runner.run_trial(
        averaging_job.model_copy(update={"checkpoints": tmp_path / "other"}), ignore_progress
    )
    assert sum(killed_after(n, lambda report: runner.run_trial(averaging_job, report)) for n in (12, 8)) == 2
    record = runner.run_trial(averaging_job, ignore_progress)
    assert reproducible_fields(record) == reproducible_fields(undisturbed)


# --- time limits ---------------------------------------------------------------------------------------


def test_a_job_may_ask_for_more_checkpoints(job, monkeypatch):
    monkeypatch.setattr(stopwatch, "MAX_SHARE", float("inf"))
    saves = []
    monkeypatch.setattr(Checkpoints, "save", lambda self, state: saves.append(state["trainer"]["step"]))
    runner.run_trial(job.model_copy(update={"checkpoint_seconds": 1e-9}), ignore_progress)
    assert len(saves) > job.spec.steps
    saves.clear()
    runner.run_trial(job, ignore_progress)
    assert saves == [job.spec.steps]


def test_a_time_limit_ends_an_attempt_and_the_next_one_resumes(job, monkeypatch):
    undisturbed = runner.run_trial(job, ignore_progress)
    Checkpoints(job.checkpoints, job.spec.trial_id).forget()
    clock = iter(range(10**6))
    monkeypatch.setattr(stopwatch, "clock", lambda: next(clock) / 100)
    records = [runner.run_trial(job.model_copy(update={"time_limit": 0.1}), ignore_progress)]
    while records[-1].status == "failed":
        assert "time limit of 0.1 s reached at step" in records[-1].error
        assert records[-1].error.endswith("run again to continue")
        records.append(runner.run_trial(job.model_copy(update={"time_limit": 0.1}), ignore_progress))
    assert 3 <= len(records) < 30
    assert reproducible_fields(records[-1]) == reproducible_fields(undisturbed)


def test_a_complete_trial_ignores_the_time_limit(job):
    runner.run_trial(job, ignore_progress)
    assert runner.run_trial(job.model_copy(update={"time_limit": 0.0}), ignore_progress).status == "finished"


# --- disk errors ---------------------------------------------------------------------------------------


def refusing(what, number):
    """A `write_atomically` that raises OSError for paths that contain `what`."""
    real = write_atomically

    def write(path, *parts):
        if what in str(path):
            raise OSError(number, os.strerror(number))
        real(path, *parts)

    return write


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_trial_survives_disk_errors(job, always, monkeypatch, number):
    undisturbed = runner.run_trial(job.model_copy(update={"checkpoints": job.checkpoints / "other"}), ignore_progress)
    monkeypatch.setattr(checkpoint, "write_atomically", refusing(job.spec.trial_id, number))
    monkeypatch.setattr(samples, "write_atomically", refusing(job.spec.trial_id, number))
    notes = []
    record = runner.run_trial(job, lambda progress: notes.append(progress.note))
    assert reproducible_fields(record) == reproducible_fields(undisturbed)
    why = os.strerror(number)
    found = events(record)
    assert found[f"a sample grid could not be written: {why}"] == 2
    assert found[f"the final weights could not be written: {why}"] == 1
    assert found[f"a checkpoint could not be written: {why}"] > 6
    assert sum("a checkpoint could not be written" in note for note in notes) == 1, "only the first one is reported"


def test_checkpoints_are_written_again_after_disk_errors(job, always, monkeypatch):
    real, refusals = checkpoint.write_atomically, iter(range(3))

    def write(path, *parts):
        if next(refusals, None) is not None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(path, *parts)

    monkeypatch.setattr(checkpoint, "write_atomically", write)
    record = runner.run_trial(job, ignore_progress)
    assert events(record) == {"a checkpoint could not be written: No space left on device": 3}
    assert Checkpoints(job.checkpoints, job.spec.trial_id).load(CPU)["trainer"]["step"] == 6


def test_a_partly_written_checkpoint_is_removed(job, always):
    """The kernel limits the size of a file, so that the write fails in the middle."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        record = runner.run_trial(job, ignore_progress)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert record.status == "finished"
    assert "a checkpoint could not be written: File too large" in events(record)
    assert not [path for path in job.checkpoints.rglob("*") if path.is_file()]


def test_a_removed_checkpoint_folder_is_created_again(job, always):
    def report(progress):
        if progress.step == 4:
            for path in sorted(job.checkpoints.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
            job.checkpoints.rmdir()

    assert runner.run_trial(job, report).status == "finished"
    assert Checkpoints(job.checkpoints, job.spec.trial_id).load(CPU)["trainer"]["step"] == 6


# --- unusable checkpoints ------------------------------------------------------------------------------


def stopped(job, step):
    def report(progress):
        if progress.step == step:
            raise TrialStopped

    with pytest.raises(TrialStopped):
        runner.run_trial(job, report)


def test_a_checkpoint_of_other_images_is_not_resumed(job, always, monkeypatch):
    undisturbed = runner.run_trial(job.model_copy(update={"checkpoints": job.checkpoints / "other"}), ignore_progress)
    real = runner.open_prepared
    with monkeypatch.context() as patch:
        patch.setattr(runner, "open_prepared", lambda path, _: replace(real(path), manifest={"checksums": {"a": "0"}}))
        stopped(job, 4)
    record = runner.run_trial(job, ignore_progress)
    assert list(events(record)) == [
        "a checkpoint of other data, evaluation networks or another kind of device was not used"
    ]
    assert reproducible_fields(record) == reproducible_fields(undisturbed)


@pytest.mark.parametrize("how", ["a key is gone", "another optimiser", "a word for a number"])
def test_a_checkpoint_of_another_version_is_not_resumed(job, always, how):
    undisturbed = runner.run_trial(job.model_copy(update={"checkpoints": job.checkpoints / "other"}), ignore_progress)
    stopped(job, 4)
    made = Checkpoints(job.checkpoints, job.spec.trial_id)
    for state in list(made.states(CPU)):
        if how == "a key is gone":
            del state["trainer"]["summed"]  # the last one that is restored
        elif how == "another optimiser":
            state["trainer"]["optimizers"].pop()
        else:
            state["seconds"]["training"] = "long"
        made.save(state)
    record = runner.run_trial(job, ignore_progress)
    assert events(record) == {"a checkpoint that this version cannot read was not used": 2}
    assert reproducible_fields(record) == reproducible_fields(undisturbed)


def test_a_change_of_hardware_or_versions_is_an_event(job, always, monkeypatch):
    stopped(job, 4)
    monkeypatch.setattr(environment, "cpu_name", lambda: "another one")
    (event,) = runner.run_trial(job, ignore_progress).events
    assert event.what.startswith("resumed from a checkpoint of other hardware, versions or source")
    assert event.step == 4


def test_a_damaged_checkpoint_is_an_event(job, always):
    stopped(job, 4)
    newest = max((job.checkpoints / job.spec.trial_id).iterdir())
    newest.write_bytes(newest.read_bytes()[:-1])
    assert events(runner.run_trial(job, ignore_progress)) == {
        "resumed from a checkpoint": 1,
        "a damaged checkpoint was skipped": 1,
    }


# --- failed and diverged trials ------------------------------------------------------------------------


def failing(monkeypatch, at, problem):
    """Make the method raise a problem from the progress `at` on."""
    from baselines.methods.ssgan import SSGAN

    real = SSGAN.loss

    def loss(self, player, turn):
        if turn.progress >= at:
            raise problem
        return real(self, player, turn)

    monkeypatch.setattr(SSGAN, "loss", loss)


@pytest.mark.parametrize(
    "problem, expected",
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "out of memory on the CPU at step 3"),
        (MemoryError(), "out of memory at step 3: train fewer trials side by side"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "out of memory at step"),
    ],
)
def test_out_of_memory_names_the_remedy(job, monkeypatch, problem, expected):
    failing(monkeypatch, 0.5, problem)
    record = runner.run_trial(job, ignore_progress)
    assert record.status == "failed"
    assert record.error.startswith(expected)
    assert "resources." in record.error
    assert type(problem).__name__ in record.error
    assert [entry.step for entry in record.history] == [3]


def test_a_divergence_is_found_before_the_next_measurement(job, monkeypatch):
    from baselines.methods.ssgan import SSGAN

    job = changed(job, steps=120)
    real = SSGAN.loss

    def loss(self, player, turn):
        terms = real(self, player, turn)
        return {name: term * float("nan") for name, term in terms.items()} if turn.progress >= 0.55 else terms

    monkeypatch.setattr(SSGAN, "loss", loss)
    record = runner.run_trial(job, ignore_progress)
    assert record.status == "diverged"
    assert record.error.endswith("was not finite by step 100")
    assert [entry.step for entry in record.history] == [60]
    assert record.metrics


def test_the_record_has_the_time_of_checkpoints(job, always):
    cost = runner.run_trial(job, ignore_progress).cost
    assert 0 < cost.checkpoint_seconds < 60

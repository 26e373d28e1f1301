"""Several seeds of a cell in one process: each has its own record, independent of the others."""

import math

import pytest
import torch

from baselines.methods.gan import GAN
from benchmark.core.spec import TrialSpec
from benchmark.data import sampler
from benchmark.training.checkpoint import Checkpoints
from benchmark.training.vmapped import VmappedTrainer
from benchmark.trials import runner, seed_group, stopwatch
from benchmark.trials.build import build_trainer
from benchmark.trials.job import TrialStopped
from benchmark.trials.seed_group import CAUGHT_UP_ALONE, run_seed_group
from tests.conftest import SMALL
from tests.support.recorded_graph import with_graphs
from tests.support.trials import events, ignore_progress, job_in, killed_after, reproducible_fields, weights

CPU = torch.device("cpu")
SEEDS = (0, 4, 2)


@pytest.fixture
def jobs_in(prepared, tmp_path):
    def jobs(folder, **changes):
        specs = TrialSpec.model_validate({**SMALL["defaults"], "method": "ssgan", "seed": 0} | changes)
        return [job_in(tmp_path / folder, spec, *prepared, vmap_seeds=len(SEEDS)) for spec in specs.with_seeds(SEEDS)]

    return jobs


def stopping_after(reports):
    left = iter(range(reports))

    def report(progress):
        if next(left, None) is None:
            raise TrialStopped

    return report


def ended(jobs, report=ignore_progress):
    return {record.trial_id: record for record in run_seed_group(jobs, report)}


def test_every_seed_has_the_same_record_as_alone(jobs_in):
    jobs = jobs_in("together")
    found = ended(jobs)
    assert list(found) == [job.spec.trial_id for job in jobs]
    for job in jobs_in("alone"):
        alone, beside = (
            runner.run_trial(job.model_copy(update={"vmap_seeds": 1}), ignore_progress),
            found[job.spec.trial_id],
        )
        assert (beside.status, beside.spec, beside.data) == (alone.status, alone.spec, alone.data)
        assert [one.step for one in beside.history] == [one.step for one in alone.history]
        for one, other in zip(beside.history, alone.history, strict=True):
            assert one.losses == pytest.approx(other.losses, rel=1e-3)
            assert one.metrics.keys() == other.metrics.keys()
        assert beside.environment == alone.environment | {"together": len(SEEDS)}
        assert not beside.events
        assert beside.cost.train_seconds > 0


def test_prefetched_and_resident_images_give_the_same_record(jobs_in, monkeypatch):
    resident = ended(jobs_in("resident"))
    monkeypatch.setattr(sampler, "fits_on_device", lambda size, device: False)
    gathered = ended(jobs_in("gathered"))
    for trial_id, record in resident.items():
        assert reproducible_fields(gathered[trial_id]) == reproducible_fields(record)


def test_seeds_share_the_time_of_a_step(jobs_in, monkeypatch):
    moment = 0.0
    advance = VmappedTrainer.train_step

    def half_a_minute(self):
        nonlocal moment
        advance(self)
        moment += 30.0

    monkeypatch.setattr(VmappedTrainer, "train_step", half_a_minute)
    monkeypatch.setattr(seed_group, "clock", lambda: moment)
    monkeypatch.setattr(stopwatch, "clock", lambda: 0.0)  # only steps take time
    found = ended(jobs_in("x", steps=4))
    assert [record.cost.train_seconds for record in found.values()] == [4 * 30 / len(SEEDS)] * len(SEEDS)


def test_interrupted_and_resumed_equals_uninterrupted(jobs_in, always):
    undisturbed = ended(jobs_in("quiet"))
    jobs = jobs_in("stopped")
    for reports in (2, 5, 9):
        with pytest.raises(TrialStopped):
            ended(jobs, stopping_after(reports))
    found = ended(jobs)
    for job, quiet in zip(jobs, jobs_in("quiet"), strict=True):
        trial_id = job.spec.trial_id
        assert reproducible_fields(found[trial_id]) == reproducible_fields(undisturbed[trial_id])
        assert events(found[trial_id]) == {"resumed from a checkpoint": 3}
        assert weights(job) == weights(quiet)


def test_after_a_kill_between_two_saves_all_resume_at_a_common_step(jobs_in, always):
    once = {"protocol": SMALL["defaults"]["protocol"] | {"evaluations": 1}}
    undisturbed = ended(jobs_in("quiet", **once))
    jobs = jobs_in("killed", **once)
    # The first has saved after its fourth step, the others after their third.
    assert killed_after(11, lambda report: ended(jobs, report))
    found = ended(jobs)
    for trial_id, record in undisturbed.items():
        assert reproducible_fields(found[trial_id]) == reproducible_fields(record)
    assert {tuple(events(record)) for record in found.values()} == {("resumed from a checkpoint",)}


def test_a_trial_without_checkpoints_catches_up_alone(jobs_in, always):
    jobs = jobs_in("lost")
    with pytest.raises(TrialStopped):
        ended(jobs, stopping_after(7))
    Checkpoints(jobs[1].checkpoints, jobs[1].spec.trial_id).forget()
    found = ended(jobs)
    assert {record.status for record in found.values()} == {"finished"}
    assert {record.history[-1].step for record in found.values()} == {6}
    assert [CAUGHT_UP_ALONE in events(found[job.spec.trial_id]) for job in jobs] == [False, True, False]


def test_a_diverged_trial_does_not_affect_the_others(jobs_in, monkeypatch):
    undisturbed = ended(jobs_in("quiet"))
    jobs = jobs_in("diverging")
    advance = VmappedTrainer.train_step

    def broken(self):
        advance(self)
        if self.trainers[1].step == 2:
            next(self.trainers[1].method.generator.parameters()).data.fill_(math.nan)

    monkeypatch.setattr(VmappedTrainer, "train_step", broken)
    found = ended(jobs)
    assert [found[job.spec.trial_id].status for job in jobs] == ["finished", "diverged", "finished"]
    for job in (jobs[0], jobs[2]):
        assert reproducible_fields(found[job.spec.trial_id]) == reproducible_fields(undisturbed[job.spec.trial_id])


def test_an_error_of_a_shared_step_fails_all_trials(jobs_in, monkeypatch):
    def full(self):
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(VmappedTrainer, "train_step", full)
    found = ended(jobs_in("full"))
    assert len(found) == len(SEEDS)
    assert all(record.status == "failed" and "out of memory" in record.error for record in found.values())


def test_trials_that_cannot_be_vmapped_train_in_turn_bit_identical(jobs_in, monkeypatch):
    def refused(self):
        raise RuntimeError("Batching rule not implemented")

    monkeypatch.setattr(VmappedTrainer, "dry_run", refused)
    found = ended(jobs_in("turns"))
    for job in jobs_in("alone"):
        alone, beside = (
            runner.run_trial(job.model_copy(update={"vmap_seeds": 1}), ignore_progress),
            found[job.spec.trial_id],
        )
        assert reproducible_fields(beside) == reproducible_fields(alone)
        assert list(events(beside)) == [
            "trained beside others, but not as one with them: Batching rule not implemented"
        ]


@pytest.mark.parametrize("as_one", [True, False])
def test_seed_groups_can_use_captured_updates(jobs_in, monkeypatch, as_one):
    build = build_trainer

    def capturing(*arguments):
        return with_graphs(build(*arguments))

    if not as_one:
        monkeypatch.setattr(VmappedTrainer, "dry_run", lambda self: 1 / 0)
    plain = ended(jobs_in("plain", steps=8))
    monkeypatch.setattr(runner, "build_trainer", capturing)
    captured = ended(jobs_in("captured", steps=8))
    for trial_id, record in plain.items():
        assert reproducible_fields(captured[trial_id]) == reproducible_fields(record)
        assert events(captured[trial_id]) == events(record)


def test_failed_captures_are_events_of_every_record(jobs_in, monkeypatch):
    build, loss = build_trainer, GAN.loss

    def capturing(*arguments):
        return with_graphs(build(*arguments))

    monkeypatch.setattr(runner, "build_trainer", capturing)
    monkeypatch.setattr(GAN, "loss", lambda self, player, turn: loss(self, player, turn) if turn.progress < 2 else {})
    for record in ended(jobs_in("reproducible_fields", steps=8)).values():
        assert any("not captured as a graph" in what and "`progress`" in what for what in events(record))


def test_an_error_of_one_seed_fails_that_seed_alone(jobs_in, monkeypatch):
    monkeypatch.setattr(VmappedTrainer, "dry_run", lambda self: 1 / 0)
    loss = GAN.loss

    def sometimes(self, player, turn):
        if self is victims[0]:
            raise ValueError("bad luck")
        return loss(self, player, turn)

    victims = []
    build = build_trainer

    def building(spec, *rest):
        trainer = build(spec, *rest)
        if spec.seed == SEEDS[1]:
            victims.append(trainer.method)
        return trainer

    monkeypatch.setattr(runner, "build_trainer", building)
    monkeypatch.setattr(GAN, "loss", sometimes)
    jobs = jobs_in("one")
    found = ended(jobs)
    assert [found[job.spec.trial_id].status for job in jobs] == ["finished", "failed", "finished"]
    assert "bad luck" in found[jobs[1].spec.trial_id].error


def test_a_checkpoint_holds_the_weights_of_one_trial(jobs_in, always):
    jobs = jobs_in("together")
    with pytest.raises(TrialStopped):
        ended(jobs, stopping_after(3))
    alone = [job.model_copy(update={"vmap_seeds": 1}) for job in jobs_in("alone")]
    with pytest.raises(TrialStopped):
        runner.run_trial(alone[0], stopping_after(1))

    def size(job):
        return max(path.stat().st_size for path in (job.checkpoints / job.spec.trial_id).iterdir())

    assert size(jobs[0]) < 1.2 * size(alone[0])

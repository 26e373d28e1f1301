"""Trains several seeds of a cell step by step in one process: as one model where that works, else one after the other.

Every trial evaluates, saves and ends on its own, and has its own record. Only the steps of training are shared.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from benchmark.store.records import TrialRecord
from benchmark.training.vmapped import VmappedTrainer
from benchmark.trials import runner
from benchmark.trials.job import Job, ProgressCallback, TrialStopped
from benchmark.trials.process import forget_peak_memory, synchronize, thread_settings, truncate
from benchmark.trials.runner import TrialRunner
from benchmark.trials.stopwatch import clock

CAUGHT_UP_ALONE = "caught up alone with the other seeds of its group: its numbers may differ in the last bits"


def run_seed_group(jobs: Sequence[Job], report: ProgressCallback) -> Iterator[TrialRecord]:
    """`run_trial` for jobs that differ only in their seeds. Yields each record as soon as the trial has ended.

    Raises:
        TrialStopped: if `report` did for one of the trials. All others that have not ended have saved a checkpoint too.
    """
    if len(jobs) == 1:
        yield runner.run_trial(jobs[0], report)
        return
    with thread_settings(jobs[0].cpus):
        forget_peak_memory(jobs[0].device)
        yield from SeedGroup(jobs, report).run()


class SeedGroup:
    """The trials of a group.

    Attributes:
        trials: those that have not been retired.
        vmapped: the trials as one model, if they can be trained so.
    """

    def __init__(self, jobs: Sequence[Job], report: ProgressCallback) -> None:
        self.jobs, self.report = jobs, report
        self.trials: list[TrialRunner] = []
        self.vmapped: VmappedTrainer | None = None
        self.can_vmap = True

    def run(self) -> Iterator[TrialRecord]:
        """Run all trials to their ends, yielding their records."""
        for job in self.jobs:
            self.trials.append(_started(TrialRunner(job, self.report)))
        self.align_steps()
        try:
            yield from self.retire_finished()
            while self.trials:
                self.try_vmapped()
                if self.vmapped:
                    self.step_as_one(self.vmapped)
                else:
                    self.step_in_turn()
                yield from self.retire_finished()
        except TrialStopped:
            self.stop()
            yield from self.retire_finished()
            raise

    def align_steps(self) -> None:
        """Take trials back to the step of the one that is furthest behind, if they have a checkpoint of that step.

        A process that is killed between two saves leaves newer checkpoints of some trials; each keeps the one before.
        """
        lowest = min((trial.step for trial in self.trials if not trial.record), default=0)
        for index, trial in enumerate(self.trials):
            if not trial.record and trial.step > lowest > 0:
                earlier = _started(TrialRunner(trial.job, self.report, max_step=lowest))
                if not earlier.record and earlier.step == lowest:
                    self.trials[index] = earlier
        highest = max((trial.step for trial in self.trials if not trial.record), default=0)
        for trial in self.trials:
            if not trial.record and trial.step < highest:
                trial.record_event(CAUGHT_UP_ALONE)

    def try_vmapped(self) -> None:
        """Make the trials one model, as soon as they are at the same step and unless layers or losses forbid it."""
        if self.vmapped or not self.can_vmap or len(self.trials) < 2 or len({trial.step for trial in self.trials}) > 1:
            return
        vmapped = VmappedTrainer([trial.trainer for trial in self.trials])
        try:
            vmapped.dry_run()
        except Exception as problem:
            self.can_vmap = False
            for trial in self.trials:
                trial.record_event(f"trained beside others, but not as one with them: {truncate(str(problem))}")
        else:
            self.vmapped = vmapped
            for trial in self.trials:
                trial.trainer.graphs = vmapped.graphs  # whose failures `after_step` records

    def step_as_one(self, vmapped: VmappedTrainer) -> None:
        """One step of all trials. They share its time, and what it raises ends all of them."""
        start, problem = clock(), None
        try:
            vmapped.train_step()
            if self.trials[0].at_evaluation:
                synchronize(self.trials[0].job.device)  # so that the first evaluation is not charged for the training
        except Exception as error:
            problem = error
        share = (clock() - start) / len(self.trials)
        for trial in self.trials:
            trial.state.watch.seconds["training"] += share
            with _active(trial):
                if problem:
                    raise problem
                trial.after_step()
                if trial.is_trained:
                    trial.finish()

    def step_in_turn(self) -> None:
        """One step of every trial that is furthest behind, each on its own."""
        lowest = min(trial.step for trial in self.trials)
        for trial in self.trials:
            if trial.step == lowest:
                with _active(trial):
                    trial.train_step()
                    trial.after_step()
                    if trial.is_trained:
                        trial.finish()

    def retire_finished(self) -> Iterator[TrialRecord]:
        """Remove the trials that have ended, and yield their records."""
        ended = [trial.record for trial in self.trials if trial.record]
        self.trials = [trial for trial in self.trials if not trial.record]
        yield from ended

    def stop(self) -> None:
        """Save the trials that have not ended."""
        for trial in self.trials:
            if not trial.record and not trial.is_stopped:
                with _active(trial):
                    trial.save()


def _started(trial: TrialRunner) -> TrialRunner:
    with _active(trial):
        trial.start()
        if trial.is_trained:
            trial.finish()
    return trial


@contextmanager
def _active(trial: TrialRunner) -> Iterator[None]:
    """A context in which time counts for this trial, and exceptions become its record. The trial waits afterwards."""
    trial.state.watch.switch("training")
    try:
        with trial.recorded_failures():
            yield
    finally:
        trial.state.watch.switch("waiting")

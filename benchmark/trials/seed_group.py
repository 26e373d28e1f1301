"""Trials of one cell that are trained step by step beside each other in one process, as one model where that works.

Every trial measures, saves and ends by itself, and has its own record; only the steps of training are shared.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from benchmark.store.records import TrialRecord
from benchmark.training.vmapped import VmappedTrainer
from benchmark.trials import runner
from benchmark.trials.job import Job, ProgressCallback, TrialStopped
from benchmark.trials.process import forget_peak_memory, synchronize, thread_settings, truncate
from benchmark.trials.runner import TrialRunner
from benchmark.trials.stopwatch import clock

CAUGHT_UP = "caught up by itself with trials beside it: its numbers may differ in the last bits"


def run_seed_group(jobs: Sequence[Job], report: ProgressCallback) -> Iterator[TrialRecord]:
    """`trial.run` of jobs that differ in their seeds alone; yields each record when it is there.

    Raises TrialStopped when `report` did for one of them; all that had not ended have then saved a checkpoint.
    """
    if len(jobs) == 1:
        yield runner.run_trial(jobs[0], report)
        return
    with thread_settings(jobs[0].cpus):
        forget_peak_memory(jobs[0].device)
        members = _level([_Member(job, report) for job in jobs], report)
        try:
            yield from _in_lockstep(members)
        except TrialStopped:
            for member in members:
                member.stop()
            yield from (member.record for member in members if member.record and not member.told)
            raise


class _Member:
    """A trial among others, begun and about to do a step, or ended. It waits while the others are looked after."""

    def __init__(self, job: Job, report: ProgressCallback, until: int | None = None) -> None:
        self.job = job
        self.course = runner.course_of(job, report, until)
        self.running: TrialRunner | None = None
        self.record: TrialRecord | None = None
        self.told = False  # whether the record was handed on
        self._go(lambda: next(self.course))

    @property
    def trial(self) -> TrialRunner:
        """Of a member that has begun."""
        if self.running is None:
            raise RuntimeError("the trial ended before it began")
        return self.running

    def go(self, step: Callable[[], None]) -> None:
        """On, after this step."""
        self._go(lambda: runner.after(self.course, step))

    def stop(self) -> None:
        """Save, and end here."""
        with suppress(TrialStopped):
            self._go(lambda: self.course.throw(TrialStopped()))

    def _go(self, on: Callable[[], TrialRunner]) -> None:
        if self.running:
            self.running.watch.turn_to("training")
        try:
            self.running = on()
        except StopIteration as ended:
            self.record = ended.value
        finally:
            if self.running:
                self.running.watch.turn_to("waiting")


def _level(members: list[_Member], report: ProgressCallback) -> list[_Member]:
    """Those that got further at the step of the one that got least far, where they have a checkpoint of it.

    A process that is killed between two saves leaves newer checkpoints of some trials; each keeps the one before.
    """
    going = [member for member in members if not member.record]
    lowest = min((member.trial.step for member in going), default=0)
    found = []
    for member in members:
        if member in going and member.trial.step > lowest > 0:
            back = _Member(member.job, report, until=lowest)
            member = back if back.running and back.running.step == lowest else member
        found.append(member)
    highest = max((member.trial.step for member in found if not member.record), default=0)
    for member in found:
        if not member.record and member.trial.step < highest:
            member.trial.happened(CAUGHT_UP)
    return found


def _in_lockstep(members: list[_Member]) -> Iterator[TrialRecord]:
    """Step by step. Those that are behind the others catch up by themselves."""
    cohort: VmappedTrainer | None = None
    alone = False
    while True:
        for member in members:
            if member.record and not member.told:
                member.told = True
                yield member.record
        going = [member for member in members if not member.record]
        if not going:
            return
        lowest = min(member.trial.step for member in going)
        behind = [member for member in going if member.trial.step == lowest]
        if cohort is None and not alone and len(behind) == len(going) > 1:
            cohort = _joined([member.trial for member in going])
            alone = cohort is None
        if cohort:
            _advance(cohort, going)
            continue
        for member in behind:
            member.go(member.trial.advance)


def _joined(trials: list[TrialRunner]) -> VmappedTrainer | None:
    """The trials as one model; None where its layers or losses cannot be done for several at once."""
    cohort = VmappedTrainer([each.trainer for each in trials])
    try:
        cohort.dry_run()
    except Exception as problem:
        why = truncate(str(problem))
        for each in trials:
            each.happened(f"trained beside others, but not as one with them: {why}")
        return None
    for each in trials:
        each.trainer.graphs = cohort.graphs  # which its record tells of
    return cohort


def _advance(cohort: VmappedTrainer, members: list[_Member]) -> None:
    """A step of all; what it raises ends all of them, and its time is shared."""
    start, problem = clock(), None
    try:
        cohort.train_step()
        if members[0].trial.at_goal:
            synchronize(members[0].job.device)  # else the first to measure would pay for the others' training
    except Exception as error:
        problem = error
    share = (clock() - start) / len(members)

    def step() -> None:
        if problem:
            raise problem

    for member in members:
        member.trial.watch.seconds["training"] += share
        member.go(step)

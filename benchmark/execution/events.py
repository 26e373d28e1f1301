"""What happens to the trials of a run, as events that a runner sends to every listener of the run."""

from dataclasses import dataclass
from typing import Protocol

from benchmark.store.records import TrialRecord
from benchmark.trials.job import Progress


@dataclass(frozen=True)
class TrialStarted:
    """A worker has started an attempt at a trial."""

    trial_id: str


@dataclass(frozen=True)
class AttemptFailed:
    """An attempt has failed; another one follows and resumes from the last checkpoint."""

    trial_id: str
    reason: str


@dataclass(frozen=True)
class TrialFinished:
    """A trial has ended with a result, or has failed for the last time."""

    record: TrialRecord


Event = TrialStarted | Progress | AttemptFailed | TrialFinished


class RunListener(Protocol):
    """An object that follows a run, such as the live view or the part that stores results."""

    def handle(self, event: Event) -> None:
        """React to one event. The runner calls it in the driver's main thread, in the order of the events."""

"""Where workers and driver meet: what the workers say, and whether they are to stop. One actor for a run.

It works wherever Ray does: no shared disk is needed. Of what a trial says only the last word is kept, so a thousand
workers cost the driver no more than a few messages a second.
"""

from typing import Any

Said = dict[str, Any]


class MessageBoard:
    """Runs as a Ray actor on the driver's machine, so that it dies with the driver and not before."""

    def __init__(self) -> None:
        self.stop = False
        self.progress: dict[str, Said] = {}
        self.records: list[str] = []
        self.preempted: list[str] = []

    def heard(self, trial_id: str, progress: Said) -> bool:
        """A worker says how far it is. Returns whether it is to stop."""
        unheard = self.progress.get(trial_id, {}).get("note")
        self.progress[trial_id] = progress | ({"note": unheard} if unheard and not progress["note"] else {})
        return self.stop

    def ended(self, record: str) -> None:
        """A worker hands in the record of an attempt, as JSON."""
        self.records.append(record)

    def leaving(self, trial_id: str) -> None:
        """The machine of a worker is being taken away; the trial has written a checkpoint."""
        self.preempted.append(trial_id)

    def drain(self, stop: bool) -> tuple[list[Said], list[str], list[str]]:
        """For the driver: all that was said since it asked last; and from now on workers stop, or go on."""
        self.stop = stop
        drained = list(self.progress.values()), self.records, self.preempted
        self.progress, self.records, self.preempted = {}, [], []
        return drained

"""Events of a trial, for its record: each once, with the step of its first occurrence and the number of occurrences."""

from collections.abc import Iterable
from typing import Any

from benchmark.store.records import Event


class Events:
    """Events in the order of their first occurrence."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.by_what = {event.what: event for event in events}

    def add(self, what: str, step: int, times: int = 1) -> bool:
        """Count an event at a step. Returns whether it occurs for the first time."""
        known = self.by_what.get(what)
        if known is None:
            self.by_what[what] = Event(what=what, step=step, times=times)
        else:
            self.by_what[what] = known.model_copy(update={"times": known.times + times})
        return known is None

    def merged_after(self, earlier: "Events") -> "Events":
        """The earlier events, then these."""
        merged = Events(earlier.by_what.values())
        for event in self.by_what.values():
            merged.add(event.what, event.step, event.times)
        return merged

    @classmethod
    def from_plain(cls, plain: Iterable[dict[str, Any]]) -> "Events":
        """The events that `to_plain` returned."""
        return cls(map(Event.model_validate, plain))

    def to_plain(self) -> list[dict[str, Any]]:
        """The events as plain values, for a checkpoint."""
        return [event.model_dump() for event in self.by_what.values()]

"""What happened to a trial on its way, for its record: each thing once, with how often it did."""

from collections.abc import Iterable
from typing import Any

from benchmark.store.records import Event


class Events:
    """Events in the order in which each happened first."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.by_what = {event.what: event for event in events}

    def add(self, what: str, step: int, times: int = 1) -> bool:
        """Remember that something happened, at this step. Whether it is news."""
        known = self.by_what.get(what)
        if known is None:
            self.by_what[what] = Event(what=what, step=step, times=times)
        else:
            self.by_what[what] = known.model_copy(update={"times": known.times + times})
        return known is None

    def after(self, before: "Events") -> "Events":
        """All of those before, then these."""
        whole = Events(before.by_what.values())
        for event in self.by_what.values():
            whole.add(event.what, event.step, event.times)
        return whole

    @classmethod
    def of(cls, plain: Iterable[dict[str, Any]]) -> "Events":
        """From what `plain` made."""
        return cls(map(Event.model_validate, plain))

    def plain(self) -> list[dict[str, Any]]:
        """As plain values."""
        return [event.model_dump() for event in self.by_what.values()]

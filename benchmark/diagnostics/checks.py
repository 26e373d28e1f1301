"""One comparison of a metric's value with a known value."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """A value and what it is compared with; `ok` is None if nothing is known to compare with."""

    what: str
    found: str
    expected: str
    ok: bool | None

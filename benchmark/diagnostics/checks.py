"""One thing that a metric was held against."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """What a metric said and what is known. `ok` is None where nothing is known to compare with."""

    what: str
    found: str
    expected: str
    ok: bool | None

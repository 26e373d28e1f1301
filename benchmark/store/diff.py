"""Differences between nested mappings such as recipes, environments and manifests."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from benchmark.store.records import TrialRecord

MISSING = "-"  # in place of a value that one side does not have


class Change(NamedTuple):
    """A dotted key and its values on either side, as text. The fields are keys of the JSON output."""

    key: str
    one: str
    other: str

    def __str__(self) -> str:
        return f"{self.key} {self.one} -> {self.other}"


def flatten_values(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """(dotted key, text) of every leaf. A list is a leaf; an empty mapping has none."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flatten_values(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)


def diff_values(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[Change]:
    """Every leaf that differs: those of `one` in their order, then those that only `other` has."""
    left, right = dict(flatten_values(one)), dict(flatten_values(other))
    changes = (Change(key, left.get(key, MISSING), right.get(key, MISSING)) for key in left | right)
    return [change for change in changes if change.one != change.other]


def environment_values(record: TrialRecord) -> dict[str, Any]:
    """How a record was produced, apart from its spec: machine, versions, source, data and evaluation networks."""
    return {**record.environment, "data": record.data, "instruments": record.instruments}


def summarise_environments(records: Iterable[TrialRecord]) -> dict[str, str]:
    """Dotted key -> its value in the records' environments; all values, sorted and joined, where they disagree."""
    values: dict[str, set[str]] = {}
    for record in records:
        for key, value in flatten_values(environment_values(record)):
            values.setdefault(key, set()).add(value)
    return {key: ", ".join(sorted(texts)) for key, texts in values.items()}

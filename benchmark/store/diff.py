"""What differs between two nested mappings: recipes, environments, manifests."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from benchmark.store.records import TrialRecord

UNKNOWN = "-"  # in place of a value that one side does not have


class Change(NamedTuple):
    """A key, dots between its levels, with the value on either side as text."""

    key: str
    one: str
    other: str

    def __str__(self) -> str:
        return f"{self.key} {self.one} -> {self.other}"


def flatten_values(value: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, str]]:
    """Dotted key -> text of every leaf; a list is a leaf, and an empty mapping has none."""
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            yield from flatten_values(inner, f"{at}{key}.")
        else:
            yield f"{at}{key}", str(inner)


def diff_values(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[Change]:
    """Every leaf that differs, in the order of `one`, then what only `other` has."""
    left, right = dict(flatten_values(one)), dict(flatten_values(other))
    pairs = ((key, left.get(key, UNKNOWN), right.get(key, UNKNOWN)) for key in left | right)
    return [Change(*pair) for pair in pairs if pair[1] != pair[2]]


def environment_diff(record: TrialRecord) -> dict[str, Any]:
    """Everything outside its spec that a record tells of how it was made: machine, versions, source, data, instruments.

    What one record has several of is under one key each, so that it can be compared leaf by leaf.
    """
    return {**record.environment, "data": record.data, "instruments": record.instruments}


def diff_lines(records: Iterable[TrialRecord]) -> dict[str, str]:
    """Dotted key -> what some records say of their surroundings; all values, sorted, where they disagree."""
    found: dict[str, set[str]] = {}
    for record in records:
        for key, value in flatten_values(environment_diff(record)):
            found.setdefault(key, set()).add(value)
    return {key: ", ".join(sorted(values)) for key, values in found.items()}

"""Patches of a cell laid over each other, each leaf remembering where it was written and what it is from.

A patch may say under `sources` what its values are from: a text for all of them, or a mapping from a key path, such
as `optimizer.betas` or `optimizer`, to a text. Sources are for readers: they are no part of a trial.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.config.schema import Overrides
from benchmark.config.yaml_source import KeyPath, dotted_key, line_number, location
from benchmark.core.errors import UserError, did_you_mean

SOURCES = "sources"


@dataclass(frozen=True)
class YamlFile:
    """A file, with the line of each of its keys."""

    path: Path
    data: Overrides
    lines: dict[KeyPath, int]

    def at(self, path: KeyPath) -> str:
        """`file:line: key` of a key path."""
        return location(self.path, path, self.lines)


@dataclass(frozen=True)
class Provenance:
    """Where a value was written: `file:line`, and the same with its key; and what it is said to be from, or ""."""

    line: str
    place: str
    source: str


@dataclass(frozen=True)
class _Written:
    """A patch as it stands at `at` in a file."""

    patch: Overrides
    file: YamlFile
    at: KeyPath
    told: dict[KeyPath, str]

    def origin(self, path: KeyPath) -> Provenance:
        """Of the value at a path of the patch; the longest key path under `sources` that leads to it counts."""
        there = (*self.at, *path)
        nearest = max((told for told in self.told if path[: len(told)] == told), key=len, default=None)
        source = "" if nearest is None else self.told[nearest]
        return Provenance(line_number(self.file.path, there, self.file.lines), self.file.at(there), source)


@dataclass
class ConfigLayers:
    """Patches merged into one, remembering the origin of each leaf."""

    values: Overrides = field(default_factory=dict)
    provenance: dict[KeyPath, Provenance] = field(default_factory=dict)

    def overlay(self, patch: Overrides, source: YamlFile, at: KeyPath) -> None:
        """Lay a patch, written at `at` in `source`, over what is there; mappings merge, all else is replaced.

        Raises UserError when it names sources of what it does not set.
        """
        values = {key: value for key, value in patch.items() if key != SOURCES}
        told = _told(patch.get(SOURCES, {}), values, source, (*at, SOURCES))
        self._merge(self.values, values, _Written(values, source, at, told), ())

    def _merge(self, target: Overrides, patch: Overrides, written: _Written, here: KeyPath) -> None:
        for key, value in patch.items():
            path = (*here, key)
            self.provenance[path] = written.origin(path)
            if isinstance(value, dict) and isinstance(target.get(key), dict):
                self._merge(target[key], value, written, path)
            else:
                target[key] = _copied(value)
                self._note(value, written, path)

    def _note(self, value: Any, written: _Written, path: KeyPath) -> None:
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, inner in items:
            self.provenance[(*path, key)] = written.origin((*path, key))
            self._note(inner, written, (*path, key))

    def place_of(self, path: KeyPath, otherwise: str) -> str:
        """Where the value at a path was written, or where the innermost part of the path was."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.provenance:
                return self.provenance[path[:end]].place
        return otherwise


def _told(told: Any, values: Overrides, file: YamlFile, at: KeyPath) -> dict[KeyPath, str]:
    """What a patch says that its values are from, by key path. Raises UserError with every problem."""
    known = {dotted_key(path): path for path in _paths(values, ())}
    by_key = told if isinstance(told, dict) else {"": told}
    problems = []
    for key, text in by_key.items():
        where = file.at((*at, key) if key else at)
        if not isinstance(text, str) or not text.strip():
            problems.append(f"{where}: is {text!r} but must be a text that says where the value is from")
        elif key and key not in known:
            problems.append(f"{where}: '{key}' is not set beside it; {did_you_mean(key, known)}")
    if problems:
        raise UserError("\n".join(problems))
    return {known[key] if key else (): text for key, text in by_key.items()}


def _paths(values: Overrides, here: KeyPath) -> Iterator[KeyPath]:
    for key, value in values.items():
        yield (*here, key)
        if isinstance(value, dict):
            yield from _paths(value, (*here, key))


def _copied(value: Any) -> Any:
    return {key: _copied(inner) for key, inner in value.items()} if isinstance(value, dict) else value

"""Patches of a cell laid over each other, each leaf remembering where it was written."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.suite_file import Patch
from benchmark.yaml_file import KeyPath, place


@dataclass(frozen=True)
class Source:
    """A file, with the line of each of its keys."""

    path: Path
    data: Patch
    lines: dict[KeyPath, int]

    def at(self, path: KeyPath) -> str:
        """`file:line: key` of a key path."""
        return place(self.path, path, self.lines)


@dataclass
class Layers:
    """Patches merged into one, remembering where each leaf was written."""

    values: Patch = field(default_factory=dict)
    origins: dict[KeyPath, str] = field(default_factory=dict)

    def overlay(self, patch: Patch, source: Source, at: KeyPath) -> None:
        """Lay a patch, written at `at` in `source`, over what is there; mappings merge, all else is replaced."""
        self._merge(self.values, patch, source, at, ())

    def _merge(self, target: Patch, patch: Patch, source: Source, at: KeyPath, here: KeyPath) -> None:
        for key, value in patch.items():
            path = (*here, key)
            self.origins[path] = source.at((*at, *path))
            if isinstance(value, dict) and isinstance(target.get(key), dict):
                self._merge(target[key], value, source, at, path)
            else:
                target[key] = _copied(value)
                self._note(value, source, at, path)

    def _note(self, value: Any, source: Source, at: KeyPath, path: KeyPath) -> None:
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, inner in items:
            self.origins[(*path, key)] = source.at((*at, *path, key))
            self._note(inner, source, at, (*path, key))

    def place_of(self, path: KeyPath, otherwise: str) -> str:
        """Where the value at a path was written, or where the innermost part of the path was."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.origins:
                return self.origins[path[:end]]
        return otherwise


def _copied(value: Any) -> Any:
    return {key: _copied(inner) for key, inner in value.items()} if isinstance(value, dict) else value

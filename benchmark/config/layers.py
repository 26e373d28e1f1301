"""Merging layers of overrides into the values of one cell, remembering where each value was written.

A layer may state under `sources` where its values come from: a text for all of them, or a mapping from a key path, such
as `optimizer.betas` or `optimizer`, to a text. Sources inform readers and are no part of a trial.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from benchmark.config.schema import Overrides
from benchmark.config.yaml_source import KeyPath, YamlFile, dotted_key
from benchmark.core.errors import UserError, did_you_mean, with_location

SOURCES = "sources"


@dataclass(frozen=True)
class Layer:
    """Overrides as they are written at a key path of a file."""

    overrides: Overrides
    file: YamlFile
    key: KeyPath


@dataclass(frozen=True)
class Provenance:
    """Where a value was written (`file:line`, and `file:line: key`), and the source stated for it, or ""."""

    line: str
    location: str
    source: str


@dataclass
class MergedLayers:
    """The values of one cell, and the provenance of every value that a file sets. `default` is the cell's location."""

    default: str
    values: Overrides = field(default_factory=dict)
    provenance: dict[KeyPath, Provenance] = field(default_factory=dict)

    def location(self, path: KeyPath) -> str:
        """Where the value at a path was written, or else the innermost part of the path that was."""
        return location_of(self.provenance, path) or self.default

    def at(self, path: KeyPath) -> AbstractContextManager[None]:
        """Prefixes a UserError raised inside with the location of a value."""
        return with_location(self.location(path))


def location_of(provenance: Mapping[KeyPath, Provenance], path: KeyPath) -> str:
    """Where the value at a path was written, or else the innermost part of the path that was; "" for neither."""
    written = (path[:end] for end in range(len(path), 0, -1) if path[:end] in provenance)
    return next((provenance[prefix].location for prefix in written), "")


def merge(layers: Iterable[Layer], default: str) -> MergedLayers:
    """Merge layers, later ones over earlier ones: mappings are merged key by key, other values are replaced.

    Raises UserError if a layer states a source of a value that it does not set.
    """
    merged = MergedLayers(default)
    for layer in layers:
        overrides = {key: value for key, value in layer.overrides.items() if key != SOURCES}
        sources = _read_sources(layer, overrides)
        _merge_into(merged.values, overrides, merged.provenance, layer, sources, ())
    return merged


def _merge_into(
    values: Overrides,
    overrides: Overrides,
    provenance: dict[KeyPath, Provenance],
    layer: Layer,
    sources: dict[KeyPath, str],
    here: KeyPath,
) -> None:
    for key, value in overrides.items():
        path = (*here, key)
        if isinstance(value, dict) and isinstance(values.get(key), dict):
            provenance[path] = _provenance(layer, sources, path)
            _merge_into(values[key], value, provenance, layer, sources, path)
        else:
            values[key] = _copy(value)
            for inner in _paths(value, path):
                provenance[inner] = _provenance(layer, sources, inner)


def _provenance(layer: Layer, sources: dict[KeyPath, str], path: KeyPath) -> Provenance:
    """Of the stated sources, the one for the longest prefix of the path counts."""
    prefix = max((stated for stated in sources if path[: len(stated)] == stated), key=len, default=None)
    key = (*layer.key, *path)
    return Provenance(layer.file.line(key), layer.file.location(key), "" if prefix is None else sources[prefix])


def _read_sources(layer: Layer, overrides: Overrides) -> dict[KeyPath, str]:
    """The sources that a layer states, by key path; () stands for the whole layer. Raises UserError."""
    stated = layer.overrides.get(SOURCES, {})
    by_key = stated if isinstance(stated, dict) else {"": stated}
    known = {dotted_key(path): path for path in _paths(overrides, ()) if path and all(isinstance(k, str) for k in path)}
    problems = []
    for key, text in by_key.items():
        where = layer.file.location((*layer.key, SOURCES, key) if key else (*layer.key, SOURCES))
        if not isinstance(text, str) or not text.strip():
            problems.append(f"{where}: is {text!r} but must be a text that says where the value is from")
        elif key and key not in known:
            problems.append(f"{where}: '{key}' is not set beside it; {did_you_mean(key, known)}")
    if problems:
        raise UserError("\n".join(problems))
    return {known[key] if key else (): text for key, text in by_key.items()}


def _paths(value: Any, here: KeyPath) -> Iterator[KeyPath]:
    """The path of a value, and of everything inside it."""
    yield here
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from _paths(inner, (*here, key))


def _copy(value: Any) -> Any:
    return {key: _copy(inner) for key, inner in value.items()} if isinstance(value, dict) else value

"""Reading: YAML text to plain values, with the line of every key for messages."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmark.core.errors import UserError, closest_match, is_control_char

KeyPath = tuple[str | int, ...]
MAX_KEYS, MAX_BYTES = 200_000, 1 << 24

# Tags of scalars
TEXT, MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"
NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
# Infinities and NaN are refused later, by the field that must be finite.
PLAIN_NUMBER = re.compile(r"[-+]?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][-+]?\d+)?|[-+]?\.(inf|nan)", re.IGNORECASE)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # libyaml is ten times as fast
    """Safe YAML that reads 2e-4 as a number (in YAML 1.1 it is text) and dates as text."""


_Loader.yaml_implicit_resolvers = {
    letter: [(tag, rule) for tag, rule in rules if tag not in ("tag:yaml.org,2002:timestamp",)]
    for letter, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


@dataclass(frozen=True)
class YamlFile:
    """The values in a YAML file, and the line (from 1) of each of its keys and list items."""

    path: Path
    data: dict[str, Any]
    lines: dict[KeyPath, int]

    def line(self, key: KeyPath) -> str:
        """`file:line` of the innermost part of a key path that the file holds."""
        for end in range(len(key), 0, -1):
            if key[:end] in self.lines:
                return f"{self.path}:{self.lines[key[:end]]}"
        return str(self.path)

    def location(self, key: KeyPath) -> str:
        """`file:line: key`, for messages."""
        return f"{self.line(key)}: {dotted_key(key)}" if key else str(self.path)


def dotted_key(key: KeyPath) -> str:
    """A key path as people write it: `tables[0].rows.GAN.steps`."""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def read_yaml(path: Path) -> YamlFile:
    """Read a YAML file that holds a mapping. It is parsed once.

    Raises UserError if the file is missing, unreadable, empty, not YAML or not a mapping, or if a mapping in it has a
    key twice.
    """
    text = _read_text(path)
    try:
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
            lines = _Lines(path)
            data = None
            if root is not None:
                lines.visit(root, (), ())
                data = loader.construct_document(root)
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise UserError(f"{where}: not valid YAML: {getattr(error, 'problem', None) or error}") from None
    if data is None:
        raise UserError(f"{path}: the file is empty")
    if not isinstance(data, dict):
        raise UserError(f"{path}: must hold keys and values, but holds a {type(data).__name__}")
    return YamlFile(path, data, lines.of_key)


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        text = content.decode("utf-8")
    except FileNotFoundError:
        match = closest_match(path.name, [sibling.name for sibling in path.parent.glob("*.yaml")])
        hint = f"; did you mean {path.parent / match}?" if match else ""
        raise UserError(f"{path}: no such file{hint}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as text: {error}") from None
    if len(content) > MAX_BYTES:  # also /dev/zero
        raise UserError(f"{path}: is larger than {MAX_BYTES >> 20} MiB; split it")
    return text


class _Lines:
    """Collects the line of every key, and refuses what a suite cannot mean."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.of_key: dict[KeyPath, int] = {}

    def visit(self, node: yaml.Node, here: KeyPath, parents: tuple[int, ...]) -> None:
        if len(self.of_key) > MAX_KEYS:  # a few lines with aliases of aliases can stand for any number of keys
            raise UserError(f"{self.path}: holds more than {MAX_KEYS:,} keys, aliases written out; split it")
        if id(node) in parents:
            raise UserError(f"{self._line(node)}: an alias (*) refers to itself")
        if isinstance(node, yaml.ScalarNode):
            self._check_text(node)
            self._check_number(node)
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self.of_key[(*here, index)] = item.start_mark.line + 1
                self.visit(item, (*here, index), (*parents, id(node)))
        elif isinstance(node, yaml.MappingNode):
            self._visit_mapping(node, here, (*parents, id(node)))

    def _visit_mapping(self, node: yaml.MappingNode, here: KeyPath, parents: tuple[int, ...]) -> None:
        self._merge(node, ())
        for key_node, value_node in node.value:
            self._check_key(key_node, value_node)
            key = key_node.value
            if (*here, key) in self.of_key:
                raise UserError(
                    f"{self._line(key_node)}: '{key}' appears twice in {dotted_key(here) or 'the file'}"
                    f" (first in line {self.of_key[(*here, key)]}); remove or rename one"
                )
            self.of_key[(*here, key)] = key_node.start_mark.line + 1
            self.visit(value_node, (*here, key), parents)

    def _merge(self, node: yaml.MappingNode, parents: tuple[int, ...]) -> None:
        """Replace merge keys (`<<: *anchor`) by the keys that they add; own keys and earlier anchors count first.

        PyYAML would do so while it constructs the values, but which anchor it prefers depends on its version.
        """
        if id(node) in parents:
            raise UserError(f"{self._line(node)}: an alias (*) refers to itself")
        sources = [value for key, value in node.value if key.tag == MERGE]
        node.value = [pair for pair in node.value if pair[0].tag != MERGE]
        known = {str(key.value) for key, _ in node.value}
        for source in sources:
            for mapping in source.value if isinstance(source, yaml.SequenceNode) else [source]:
                if not isinstance(mapping, yaml.MappingNode):
                    raise UserError(
                        f"{self._line(mapping)}: '<<' merges a mapping, or a list of mappings, into its own"
                    )
                self._merge(mapping, (*parents, id(node)))
                added = [pair for pair in mapping.value if str(pair[0].value) not in known]
                known.update(str(key.value) for key, _ in added)
                node.value += added

    def _check_key(self, key_node: yaml.Node, value_node: yaml.Node) -> None:
        """Refuse a key that is not text, and say what was meant."""
        key = key_node.value
        if not isinstance(key_node, yaml.ScalarNode):
            raise UserError(f"{self._line(key_node)}: the key is not text; write a word")
        if key_node.tag in NUMBERS and value_node.value == "":  # {betas: 0.0, 0.9} is read as two keys
            raise UserError(
                f"{self._line(key_node)}: '{key}' stands where a key is expected;"
                f" write a list in square brackets: [..., {key}]"
            )
        if key_node.tag != TEXT:
            raise UserError(f"{self._line(key_node)}: the key '{key}' is not text; put it in quotes")
        self._check_text(key_node)

    def _line(self, node: yaml.Node) -> str:
        return f"{self.path}:{node.start_mark.line + 1}"

    def _check_text(self, node: yaml.ScalarNode) -> None:
        """Refuse characters that could control a terminal: any text may be printed."""
        control = next((c for c in node.value if is_control_char(c) and c not in "\n\t"), None)
        if control is not None:
            raise UserError(f"{self._line(node)}: holds the control character {control!a}; remove it")

    def _check_number(self, node: yaml.ScalarNode) -> None:
        """Refuse what YAML 1.1 reads as another number than a person does: 010 is 8 there, and 1:30 is 90."""
        if node.tag in NUMBERS and not PLAIN_NUMBER.fullmatch(node.value):
            raise UserError(
                f"{self._line(node)}: '{node.value}' is not a plain decimal number; write one such as 10, 0.5 or 2e-4,"
                " or put text in quotes"
            )

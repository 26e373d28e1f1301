"""Reading a YAML file safely, and remembering the line of every key for messages."""

import re
from pathlib import Path
from typing import Any

import yaml

from benchmark.core.errors import UserError, closest_match, is_control_char

KeyPath = tuple[str | int, ...]
MAX_KEYS, MAX_BYTES = 200_000, 1 << 24


_Fastest = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's, ten times as fast, where PyYAML has it


class _Loader(_Fastest):  # type: ignore[misc, valid-type]
    """Safe YAML that reads 2e-4 as a number (YAML 1.1 takes it for text) and dates as text."""


_Loader.yaml_implicit_resolvers = {
    letter: [(tag, rule) for tag, rule in rules if tag not in ("tag:yaml.org,2002:timestamp",)]
    for letter, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def read_yaml(path: Path) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    """The mapping that a YAML file holds, and the line (from 1) of every key in it.

    Raises UserError when the file is missing, unreadable, empty, not YAML, not a mapping, or when a key
    stands twice in one mapping.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        text = content.decode("utf-8")
    except FileNotFoundError:
        beside = [sibling.name for sibling in path.parent.glob("*.yaml")]
        near = closest_match(path.name, beside)
        raise UserError(f"{path}: no such file{f'; did you mean {path.parent / near}?' if near else ''}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as text: {error}") from None
    if len(content) > MAX_BYTES:  # also /dev/zero
        raise UserError(f"{path}: is larger than {MAX_BYTES >> 20} MiB; split it")
    try:
        node = yaml.compose(text, Loader=_Loader)
        lines = _lines(node, path)
        data = yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise UserError(f"{where}: not valid YAML: {getattr(error, 'problem', None) or error}") from None
    if data is None:
        raise UserError(f"{path}: the file is empty")
    if not isinstance(data, dict):
        raise UserError(f"{path}: must hold keys and values, but holds a {type(data).__name__}")
    return data, lines


def _lines(root: yaml.Node | None, file: Path) -> dict[KeyPath, int]:
    lines: dict[KeyPath, int] = {}

    def visit(node: yaml.Node, path: KeyPath, parents: tuple[int, ...]) -> None:
        if len(lines) > MAX_KEYS:  # aliases of aliases grow without end from a few lines
            raise UserError(f"{file}: holds more than {MAX_KEYS:,} keys, aliases written out; split it")
        if id(node) in parents:
            raise UserError(f"{file}:{node.start_mark.line + 1}: an alias (*) refers to itself")
        if isinstance(node, yaml.ScalarNode):
            _check_text(node, file)
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                lines[(*path, index)] = item.start_mark.line + 1
                visit(item, (*path, index), (*parents, id(node)))
        elif isinstance(node, yaml.MappingNode):
            for key_node, value_node in node.value:
                line = key_node.start_mark.line + 1
                key = key_node.value
                if not isinstance(key_node, yaml.ScalarNode) or key_node.tag != "tag:yaml.org,2002:str":
                    raise UserError(f"{file}:{line}: the key '{key}' is not text; put it in quotes")
                if (*path, key) in lines:
                    raise UserError(
                        f"{file}:{line}: '{key}' stands twice in {dotted_key(path) or 'the file'}"
                        f" (first in line {lines[(*path, key)]}); remove or rename one"
                    )
                lines[(*path, key)] = line
                _check_text(key_node, file)
                visit(value_node, (*path, key), (*parents, id(node)))

    if root is not None:
        visit(root, (), ())
    return lines


def _check_text(node: yaml.ScalarNode, file: Path) -> None:
    """Nothing that is shown anywhere may steer a terminal."""
    odd = next((c for c in node.value if is_control_char(c) and c not in "\n\t"), None)
    if odd is not None:
        raise UserError(f"{file}:{node.start_mark.line + 1}: holds the control character {odd!a}; remove it")


def dotted_key(path: KeyPath) -> str:
    """A key path as people write it: `tables[0].rows.GAN.steps`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def line_number(file: Path, path: KeyPath, lines: dict[KeyPath, int]) -> str:
    """`file:line` of the innermost part of the path that stands in the file."""
    for end in range(len(path), 0, -1):
        if path[:end] in lines:
            return f"{file}:{lines[path[:end]]}"
    return str(file)


def location(file: Path, path: KeyPath, lines: dict[KeyPath, int]) -> str:
    """`file:line: key`, for messages."""
    return f"{line_number(file, path, lines)}: {dotted_key(path)}" if path else str(file)

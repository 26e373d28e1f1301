"""Random damage to YAML, JSON and binary files, as people, disks and attackers cause it, from one random stream."""

import json
import math
import random
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from benchmark.config.yaml_source import KeyPath
from tests.support.oracle import TRAP

LONG = "a" * 70_000
NASTY: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 2**31, 2**63, 2**64, -(2**63), 10**30, 10**400, 0.0, -0.0, 0.5, 1e-320, 1e308,
    math.inf, -math.inf, math.nan, "", " ", "\n", "\t", "\0", "a\0b", "é", "𝔘", "\u202e", "\ud800", "\udfff",
    "\x1b[2J", "\x1b]0;x\x07", "[red]x[/red]", "[/]", "[bold", "%s", "{0}", "$x$", "`id`", "$(id)", "<script>", "|",
    "a|b", "\\", "'", '"', "..", ".", "/", "../../../../etc/passwd", "/etc/passwd", "~", "~root", "a/b", "a/b/c",
    "a/b/c/d", "//", "none", "con", "-rf", "--help", "2019-06-01", "yes", "0x10", "1_000", "nan", "inf", LONG, [], {},
    [[]], [{}], {"": ""}, {"a": None}, [1, 2], ["a"], [[1, 2], [3]], {"a": {"b": {"c": 1}}}, {"metric": "fid"},
    {"..": 1}, {"seed": 1}, {"sources": "x"}, "gan", "ssgan", "fid", "modes", "mlp", "digits", "stacked_digits",
    "paper", "cifar10",
)  # fmt: skip


def deep(depth: int, kind: int) -> Any:
    """Nested lists or mappings."""
    value: Any = 1
    for _ in range(depth):
        value = [value] if kind else {"a": value}
    return value


def paths_of(tree: Any, here: KeyPath = ()) -> Iterator[KeyPath]:
    """The key paths of everything in a tree, the root first."""
    yield here
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield from paths_of(value, (*here, key))


def at(tree: Any, path: KeyPath) -> Any:
    """The value at a path."""
    for key in path:
        tree = tree[key]
    return tree


def deep_copy(tree: Any) -> Any:
    """A deep copy."""
    if isinstance(tree, dict):
        return {key: deep_copy(value) for key, value in tree.items()}
    return [deep_copy(value) for value in tree] if isinstance(tree, list) else tree


def put(tree: Any, path: KeyPath, value: Any) -> Any:
    """The tree with the value at a path replaced, in place."""
    if not path:
        return value
    at(tree, path[:-1])[path[-1]] = value
    return tree


def value_for(rng: random.Random, tree: Any) -> Any:
    """A value that does not belong there: nasty, deeply nested, or from elsewhere in the tree."""
    kind = rng.random()
    if kind < 0.8:
        return deep_copy(rng.choice(NASTY))
    if kind < 0.88:
        return deep(rng.choice((3, 30, 300)), rng.randrange(2))
    return deep_copy(at(tree, rng.choice(list(paths_of(tree)))))


def damaged(rng: random.Random, tree: Any) -> Any:
    """A copy of the tree with one to three pieces of damage."""
    tree = deep_copy(tree)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        paths = list(paths_of(tree))
        path = rng.choice(paths[1:] or paths)
        kind = rng.random()
        if kind < 0.6 or not path:
            tree = put(tree, path, value_for(rng, tree))
            continue
        parent, key = at(tree, path[:-1]), path[-1]
        if kind < 0.75:
            del parent[key]
        elif isinstance(parent, dict) and kind < 0.9:
            name = rng.choice([value for value in NASTY if isinstance(value, str)])
            parent[name] = parent.pop(key) if rng.random() < 0.5 else value_for(rng, tree)
        elif isinstance(parent, list):
            parent.insert(0, deep_copy(parent[key]))
        else:
            parent[key] = [parent[key]]
    return tree


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    def ignore_aliases(self, data: Any) -> bool:
        return True


def as_yaml(tree: Any) -> bytes:
    """YAML; or JSON, which is YAML too, where the dumper refuses a value, such as a lone surrogate."""
    try:
        return yaml.dump(tree, Dumper=_Dumper, sort_keys=False, width=1000).encode()
    except (UnicodeError, RecursionError, yaml.YAMLError):
        return json.dumps(tree).encode()


LAUGHS = b"".join(b"l%d: &l%d [%s]\n" % (i, i, b",".join([b"*l%d" % (i - 1) if i else b"lol"] * 10)) for i in range(12))
SNIPPETS = (
    b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\t", b"\r", b"\x85", b"\xe2\x80\xa8", b"\xed\xa0\x80", b"\x1b[31m",
    b"&a ", b"*a ", b"*nobody", b"&a [*a]", b"<<: *a\n", b"<<: {a: 1}\n", b"? ", b": ", b"- ", b"--- ", b"---\n",
    b"...\n", b"%YAML 9.9\n", b"{", b"}", b"[", b"]", b"!!binary ", b"!!set ", b"!!omap ", b"!!int ",
    b"!!python/tuple ", b"#", b"'", b'"', b"|\n", b">-\n", b"{" * 3000, b"[" * 3000, b"1" * 6000, b"9e999999",
    b"0x" + b"f" * 5000, b".inf", b".nan", b'"\\ud800"', b'"\\U0010ffff"', b'"\\0"', b"@", b"`",
    f"!!python/object/apply:os.mkdir [{TRAP}]".encode(), f"!!python/object/new:os.mkdir [{TRAP}]".encode(),
    b"!!python/name:os.system ", b"!!python/module:antigravity ", LAUGHS, b"1:2:3", b"190:20:30.15",
)  # fmt: skip


def damaged_bytes(rng: random.Random, content: bytes) -> bytes:
    """A copy of a file with damaged bytes."""
    place = rng.randrange(len(content) + 1)
    kind = rng.randrange(11)
    if kind == 0:
        return content[:place]
    if kind == 1:
        return content[:place] + bytes([rng.randrange(256)]) + content[place + 1 :]
    if kind in (2, 3, 4):
        return content[:place] + rng.choice(SNIPPETS) + content[place:]
    if kind == 5:
        end = min(len(content), place + rng.choice((1, 5, 50, 500)))
        return content[:place] + content[end:]
    lines = content.splitlines(keepends=True) or [b""]
    one = rng.randrange(len(lines))
    if kind == 6:
        return b"".join([*lines[: one + 1], lines[one], *lines[one + 1 :]])
    if kind == 7:
        other = rng.randrange(len(lines))
        lines[one], lines[other] = lines[other], lines[one]
        return b"".join(lines)
    if kind == 8:
        lines[one] = rng.choice((b"  ", b"\t", b"", b"- ")) + lines[one].lstrip()
        return b"".join(lines)
    if kind == 9:
        return rng.choice((content.decode(errors="replace").encode("utf-16"), rng.randbytes(200), b"", content * 2))
    return content.decode(errors="replace").encode(rng.choice(("utf-32", "utf-16-be", "utf-7", "cp1252")), "replace")


def mutants(seed: float, content: bytes, tree: Any, dump: Callable[[Any], bytes]) -> Iterator[bytes]:
    """Endless damaged copies of a file, more than half of them still well-formed."""
    rng = random.Random(seed)
    while True:
        if rng.random() < 0.6:
            try:
                yield dump(damaged(rng, tree))
            except (RecursionError, UnicodeError, ValueError):
                continue
        else:
            yield damaged_bytes(rng, content)

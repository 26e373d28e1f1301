"""The map of the code: every room is small, says what it is for, and is entered through its public modules only."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LARGEST = 12  # modules in a room, its face not counted
PLUGINS = {"datasets", "metrics", "extractors", "methods", "networks"}  # one file each: these rooms may grow
ROOMS = sorted(path.parent for top in ("benchmark", "baselines") for path in (ROOT / top).rglob("__init__.py"))


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def is_module(name: str) -> bool:
    return (ROOT / name.replace(".", "/")).with_suffix(".py").exists()


def imports_of(path: Path) -> Iterator[str]:
    """The modules of ours that a file imports, at the top of it or inside a function."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in ("benchmark", "baselines"):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if is_module(inner) else node.module


@pytest.mark.parametrize("room", ROOMS, ids=name_of)
def test_a_room_is_small_and_says_what_it_is_for(room):
    modules = [path for path in room.glob("*.py") if path.name not in ("__init__.py", "__main__.py")]
    assert len(modules) <= LARGEST or room.name in PLUGINS
    face = importlib.import_module(name_of(room))
    assert face.__doc__
    assert set(getattr(face, "PUBLIC", [])) <= {path.stem for path in modules}


@pytest.mark.parametrize("room", ROOMS, ids=name_of)
def test_a_room_imports_only_public_modules_of_other_rooms(room):
    for path in room.glob("*.py"):
        for imported in imports_of(path):
            other, _, module = imported.rpartition(".")
            if is_module(imported) and other != name_of(room):
                public = importlib.import_module(other).PUBLIC
                assert module in public, f"{name_of(path)} imports {imported}, which is private to {other}"


def test_no_two_public_classes_share_a_name():
    places: dict[str, list[str]] = {}
    for top in ("benchmark", "baselines"):
        for path in (ROOT / top).rglob("*.py"):
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    places.setdefault(node.name, []).append(name_of(path))
    assert {name: where for name, where in places.items() if len(where) > 1} == {}

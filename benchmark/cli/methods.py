"""Methods on the terminal: the list of all, and one with its recipes."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from benchmark.config.recipes import Recipe, RecipeUse
from benchmark.core import registry

BASIS = {
    "official-code": "the official code",
    "derived-from-abstract": "the paper's abstract; neither code nor full text was available",
}
VALUE, WHERE = 14, 22  # characters: widths that leave room for sources on a terminal of 100 columns


def entries() -> dict[str, dict[str, Any]]:
    """Every method, for scripts."""
    return {name: entry(name) for name in registry.methods}


def entry(name: str) -> dict[str, Any]:
    """A method, for scripts."""
    method = registry.methods[name]
    return {
        "title": method.title,
        "paper": method.paper,
        "year": method.year,
        "about": method.about,
        "basis": method.basis,
        "players": list(method.players),
        "roles": sorted(method.roles),
        "classes": method.task_classes,
        "options": method.Options.model_json_schema().get("properties", {}),
    }


def listed() -> Table:
    """All methods, a line each."""
    table = Table("method", "year", "what it is", "paper", box=None, pad_edge=False)
    for name, found in entries().items():
        table.add_row(*map(Text, (name, str(found["year"]), found["about"], found["paper"])))
    return table


def page(name: str, recipes: Sequence[Recipe], folder: Path) -> Iterator[RenderableType]:
    """A method, and each of its recipes; `folder`: that of the suites, which paths leave out."""
    yield _header(name)
    for number, recipe in enumerate(recipes, start=1):
        yield Text(f"\nrecipe {number} of {len(recipes)}, on {recipe.dataset}", style="bold")
        yield Text("\n".join(_use(use) for use in recipe.uses))
        yield _constants(recipe, folder)


def _header(name: str) -> Table:
    method = registry.methods[name]
    lines = {
        "method": f"{method.title} ({name})",
        "paper": f"{method.paper}, {method.year}",
        "what it is": method.about,
        "follows": BASIS[method.basis],
        "code": method.__module__.replace(".", "/") + ".py",
        "players": ", ".join(method.players),
        "needs": ", ".join(sorted(method.roles)),
        "class head": f"{method.task_classes} classes" if method.task_classes else "none",
    }
    table = Table(box=None, show_header=False, pad_edge=False)
    for key, value in lines.items():
        table.add_row(Text(key, style="bold"), Text(value))
    return table


def _use(use: RecipeUse) -> str:
    return f"  suite {use.suite}, table {use.table}, row {use.row}, scale {use.scale}"


def _constants(recipe: Recipe, folder: Path) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("key", "value", "source", f"where set, in {folder}/"):
        table.add_column(name, no_wrap=name != "source", overflow="fold")
    before: list[str] = []
    for key, constant in recipe.constants.items():
        *groups, name = key.split(".")
        for depth, group in enumerate(groups):
            if before[: depth + 1] != groups[: depth + 1]:
                table.add_row(Text(f"{'  ' * depth}{group}"))
        before = groups
        value, where = shown(constant.value), constant.where.removeprefix(f"{folder}/")
        indented = f"{'  ' * len(groups)}{name}"
        table.add_row(*map(Text, (indented, folded(value, VALUE), constant.source, folded(where, WHERE))))
    return table


def shown(value: Any) -> str:
    """A value as a suite would write it."""
    if value is None or value == {}:
        return "none"
    return value if isinstance(value, str) else json.dumps(value)


def folded(text: str, width: int) -> str:
    """Lines of at most `width` characters, broken after a space, slash or underscore where there is one."""
    lines = [""]
    for piece in re.findall(rf"[^ /_]{{0,{width - 1}}}[ /_]|[^ /_]{{1,{width}}}", text):
        if len(lines[-1]) + len(piece) > width:
            lines.append("")
        lines[-1] += piece
    return "\n".join(lines)

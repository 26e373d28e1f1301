"""`methods`: all methods, or one with every constant of its recipes and the constant's source."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from benchmark.cli.logs import print_json, stdout
from benchmark.cli.options import SUITES, JsonOption, examples
from benchmark.config.recipes import Recipe, recipes_of
from benchmark.core import registry
from benchmark.core.errors import UserError

app = typer.Typer()
BASIS = {
    "official-code": "the official code",
    "derived-from-text": "the paper's text; no code of the experiment was published",
    "derived-from-abstract": "the paper's abstract and quoted settings; neither code nor full text was available",
}
VALUE, WHERE = 14, 22  # widths in characters that leave room for the sources on a terminal of 100 columns


@app.command(epilog=examples("methods", "methods ssgan --dataset stacked_mnist"))
def methods(
    name: Annotated[
        str | None, typer.Argument(metavar="METHOD", help="A method, to see every constant of its recipes.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only the recipes of METHOD for this dataset.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the methods that a suite can name, or show one method with its recipes and the source of each constant."""
    if name is None:
        if dataset is not None:
            raise UserError("--dataset: also name the method whose recipes to print")
        print_json({key: entry(key) for key in registry.methods}) if as_json else stdout.print(render_list())
        return
    recipes = recipes_of(name, dataset, SUITES)
    if as_json:
        print_json({**entry(name), "recipes": [recipe.as_json() for recipe in recipes]})
    else:
        stdout.print(*render(name, recipes, SUITES), sep="\n")


def entry(name: str) -> dict[str, Any]:
    """A method for scripts."""
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


def render_list() -> Table:
    """All methods, one line each."""
    table = Table("method", "year", "what it is", "paper", box=None, pad_edge=False)
    for name in registry.methods:
        method = registry.methods[name]
        table.add_row(*map(Text, (name, str(method.year), method.about, method.paper)))
    return table


def render(name: str, recipes: Sequence[Recipe], folder: Path) -> Iterator[RenderableType]:
    """A method and each of its recipes. `folder` holds the suites; paths are shown relative to it."""
    yield _header(name)
    for number, recipe in enumerate(recipes, start=1):
        yield Text(f"\nrecipe {number} of {len(recipes)}, on {recipe.dataset}", style="bold")
        for use in recipe.uses:
            yield Text(f"  suite {use.suite}, table {use.table}, row {use.row}, scale {use.scale}")
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


def _constants(recipe: Recipe, folder: Path) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("key", "value", "source", f"where set, in {folder}/"):
        table.add_column(name, no_wrap=name != "source", overflow="fold")
    previous: list[str] = []
    for key, constant in recipe.constants.items():
        *groups, name = key.split(".")
        for depth, group in enumerate(groups):
            if previous[: depth + 1] != groups[: depth + 1]:
                table.add_row(Text(f"{'  ' * depth}{group}"))
        previous = groups
        value, where = fold(_yaml(constant.value), VALUE), fold(constant.where.removeprefix(f"{folder}/"), WHERE)
        table.add_row(*map(Text, (f"{'  ' * len(groups)}{name}", value, constant.source, where)))
    return table


def _yaml(value: Any) -> str:
    """A value as a suite writes it."""
    if value is None or value == {}:
        return "none"
    return value if isinstance(value, str) else json.dumps(value)


def fold(text: str, width: int) -> str:
    """Lines of at most `width` characters, broken after a space, slash or underscore where possible."""
    lines = [""]
    for piece in re.findall(rf"[^ /_]{{0,{width - 1}}}[ /_]|[^ /_]{{1,{width}}}", text):
        if len(lines[-1]) + len(piece) > width:
            lines.append("")
        lines[-1] += piece
    return "\n".join(lines)

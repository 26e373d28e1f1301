"""`datasets` and what can be done with one: prepare, fetch, import, verify."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from benchmark.cli.options import (
    DEFAULT_DATA,
    DEFAULT_WORKSPACE,
    DataOption,
    JsonOption,
    WorkspaceOption,
    console,
    print_error,
    print_json,
    status,
)
from benchmark.core.errors import UserError, did_you_mean
from benchmark.store.workspace import Workspace, absolute, as_options, require_writable

if TYPE_CHECKING:  # importing it for real would load numpy
    from benchmark.evaluation.extractors.weights import Weights

app = typer.Typer()
NameArgument = Annotated[str, typer.Argument(help="A dataset, as `datasets` lists it.")]
AnyNameArgument = Annotated[str, typer.Argument(help="A dataset or weights, as `datasets` lists them.")]
COLORS = {"prepared": "green", "raw files found": "cyan", "missing": "yellow", "corrupt": "red", "found": "green"}


@app.callback(invoke_without_command=True)
def datasets(
    context: typer.Context,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    data_dir: DataOption = DEFAULT_DATA,
    as_json: JsonOption = False,
) -> None:
    """List the datasets and the weights that metrics need, and whether they are here. Or do something with one."""
    if context.invoked_subcommand is not None:
        _refuse_early_options(context)
        return
    from benchmark.diagnostics.doctor import dataset_states, weights_states

    states, weights = dataset_states(Workspace.at(workspace), _absolute(data_dir)), weights_states(_absolute(data_dir))
    if as_json:
        print_json(states | weights)
        return
    table = Table("dataset", "images", "size", "state", "what it is, where it comes from", box=None, pad_edge=False)
    for name, state in states.items():
        table.add_row(name, "x".join(map(str, state["shape"])), state["size"], *_described(state))
    for name, state in weights.items():
        table.add_row(name, "weights", state["size"], *_described(state))
    console.print(table)
    console.print(
        "\n`datasets fetch NAME` downloads, `datasets import NAME PATH` takes what you have; both prepare."
        " `datasets prepare NAME` does with raw files that are found.",
        markup=False,
    )


def _described(state: dict[str, Any]) -> tuple[str, str]:
    """The last two columns."""
    color = COLORS[state["state"]]
    about = f"{state['about']}\n[dim]{escape(state['source'])}\n{escape(state['licence'])}[/]"
    return f"[{color}]{state['state']}[/]", about


@app.command()
def prepare(
    name: NameArgument, workspace: WorkspaceOption = DEFAULT_WORKSPACE, data_dir: DataOption = DEFAULT_DATA
) -> None:
    """Make the arrays that training reads, from the raw files. `run` needs them."""
    place, data = _places(workspace, data_dir)
    _say(f"{name}: prepared in {_prepare(_dataset(name), data, place)}")


@app.command()
def fetch(
    name: AnyNameArgument, workspace: WorkspaceOption = DEFAULT_WORKSPACE, data_dir: DataOption = DEFAULT_DATA
) -> None:
    """Download the raw files, check them and prepare. A download that was cut off goes on where it ended.

    Weights of a network that metrics need are downloaded and checked.
    """
    from benchmark.data.raw.fetch import fetch as download_all

    place, data = _places(workspace, data_dir)
    weights = _weights().get(name)
    if weights:
        _fetch_weights(weights, data)
        return
    dataset = _dataset(name)
    require_writable(data, "--data-dir")
    with _stoppable("what came so far is kept, and the same command goes on from there"), status() as told:
        folder = download_all(dataset, data, told)
    _say(f"{name}: raw files in {folder}" if folder else f"{name}: nothing to download")
    _say(f"{name}: prepared in {_prepare(dataset, data, place)}")


@app.command("import")
def import_(
    name: AnyNameArgument,
    paths: Annotated[list[Path], typer.Argument(help="Files, or folders that are searched with all below them.")],
    link: Annotated[bool, typer.Option("--link", help="Hard-link instead of copying.")] = False,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    data_dir: DataOption = DEFAULT_DATA,
) -> None:
    """Take the raw files from where you have them into the data directory, check them and prepare."""
    from benchmark.data.raw.import_files import import_files
    from benchmark.data.raw.verify import read_all

    (place, data), sources = _places(workspace, data_dir), [_absolute(path, "import") for path in paths]
    weights = _weights().get(name)
    if weights:
        _import_weights(weights, sources, data, link)
        return
    dataset = _dataset(name)
    require_writable(data, "--data-dir")

    def verify() -> None:
        with status() as told:
            if dataset.is_prepared(place.data):  # then preparing would not look at them
                read_all(dataset, data, told)
            else:
                dataset.prepare(data, place.data, told)

    with _stoppable("what was copied is taken away again"):
        put = import_files(dataset, sources, data, verify, link)
    folders = ", ".join(sorted({str(path.parent) for path in put}))
    _say(f"{name}: {len(put)} files put into {folders}" if put else f"{name}: all files were there already")
    _say(f"{name}: prepared in {dataset.prepared_dir(place.data)}")


@app.command()
def verify(
    name: NameArgument, workspace: WorkspaceOption = DEFAULT_WORKSPACE, data_dir: DataOption = DEFAULT_DATA
) -> None:
    """Compare the prepared arrays with their checksums and read the raw files again. Exit code 2: corrupt."""
    from benchmark.data.raw.verify import verify as look

    dataset, (place, data) = _dataset(name), _places(workspace, data_dir)
    with status() as told:
        verdict = look(dataset, data, place.data, told)
    for line in verdict.whole:
        _say(f"ok: {line}")
    if verdict.corrupt:
        raise UserError("\n".join([*verdict.corrupt, *_remedy(dataset, place, data)]))


def _remedy(dataset: Any, workspace: Workspace, data_dir: Path) -> list[str]:
    from benchmark.data.raw.fetch import acquisition_hint
    from benchmark.planning.prerequisites import prepare_command

    again = prepare_command(dataset, workspace, data_dir)
    return [
        f"Arrays: delete {dataset.prepared_dir(workspace.data)} and type\n  {again}",
        f"Raw files: replace those named above.{acquisition_hint(dataset, as_options(workspace, data_dir))}",
    ]


def _fetch_weights(weights: "Weights", data: Path) -> None:
    require_writable(data, "--data-dir")
    with _stoppable("what came so far is kept, and the same command goes on from there"), status() as told:
        path = weights.fetch(data, told)
    _say(f"{weights.name}: {path}" if path else f"{weights.name}: nothing to download: {weights.find(data)}")


def _import_weights(weights: "Weights", sources: list[Path], data: Path, link: bool) -> None:
    require_writable(data, "--data-dir")
    with _stoppable("what was copied is taken away again"):
        put = weights.import_(sources, data, link)
    _say(f"{weights.name}: put into {put[0].parent}" if put else f"{weights.name}: the file was there already")


def _weights() -> dict[str, "Weights"]:
    from benchmark.evaluation.extractors.weights import WEIGHTS

    return WEIGHTS


def _dataset(name: str) -> Any:
    from benchmark.core import registry

    if name in _weights():
        raise UserError(f"'{name}' are weights and no dataset: they are fetched or imported, and nothing else")
    if name not in registry.datasets:
        raise UserError(f"unknown dataset '{name}'; {did_you_mean(name, [*registry.datasets, *_weights()])}")
    return registry.datasets[name]


def _prepare(dataset: Any, data_dir: Path, workspace: Workspace) -> Path:
    require_writable(workspace.root, "--workspace")
    with _stoppable("nothing was prepared"), status() as told:
        path: Path = dataset.prepare(data_dir, workspace.data, told)
    from benchmark.data.prepared import open_prepared

    open_prepared(path)  # says what is damaged where it stood there already
    return path


def _places(workspace: Path, data_dir: Path) -> tuple[Workspace, Path]:
    return Workspace.at(workspace), _absolute(data_dir)


def _absolute(path: Path, option: str = "--data-dir") -> Path:
    return absolute(path, option)


def _refuse_early_options(context: typer.Context) -> None:
    """An option between `datasets` and the command would be ignored without a word."""
    for name in ("workspace", "data_dir", "as_json"):
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            option = "--json" if name == "as_json" else f"--{name.replace('_', '-')}"
            raise UserError(f"{option}: write it after `{context.invoked_subcommand}`, not before it")


@contextmanager
def _stoppable(consequence: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        print_error(f"stopped; {consequence}")
        raise typer.Exit(130) from None


def _say(text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)

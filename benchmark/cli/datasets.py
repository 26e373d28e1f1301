"""`datasets`: what is on this machine; and prepare, fetch, import or verify one dataset."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from benchmark.cli.logs import ProgressBars, print_json, print_line, stdout, stoppable
from benchmark.cli.options import (
    DEFAULT_DATA,
    DEFAULT_WORKSPACE,
    DataOption,
    JsonOption,
    OnlyOption,
    ScaleOption,
    WorkspaceOption,
    examples,
    load_cells,
)
from benchmark.core.errors import UserError, did_you_mean
from benchmark.store.workspace import Workspace, absolute, as_options, require_writable

if TYPE_CHECKING:  # importing it for real would load numpy
    from benchmark.evaluation.extractors.weights import Weights

app = typer.Typer()
group = typer.Typer()
app.add_typer(group, name="datasets")

DatasetArgument = Annotated[str, typer.Argument(metavar="NAME", help="A dataset, as `datasets` lists it.")]
DatasetOrWeightsArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="A dataset or weights, as `datasets` lists them.")
]
OptionalDatasetArgument = Annotated[
    str | None, typer.Argument(metavar="[NAME]", help="A dataset, as `datasets` lists it.", show_default=False)
]
OptionalDatasetOrWeightsArgument = Annotated[
    str | None,
    typer.Argument(metavar="[NAME]", help="A dataset or weights, as `datasets` lists them.", show_default=False),
]
ForOption = Annotated[
    Path | None, typer.Option("--for", metavar="SUITE", help="Instead of NAME: all that the cells of this suite need.")
]
COLOURS = {"prepared": "green", "raw files found": "cyan", "missing": "yellow", "outdated": "yellow"}
COLOURS |= {"corrupt": "red", "found": "green"}
RESUMES = "the downloaded part is kept, and the same command resumes"
REMOVES = "the copied files are removed"


@group.callback(invoke_without_command=True, epilog=examples("datasets", "datasets fetch stacked_mnist"))
def datasets(
    context: typer.Context,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    data_dir: DataOption = DEFAULT_DATA,
    as_json: JsonOption = False,
) -> None:
    """List the datasets and the metrics' weights, and whether this machine has them; or get and prepare one."""
    if context.invoked_subcommand is not None:
        _refuse_early_options(context)
        return
    from benchmark.data.arrays import describe_shape
    from benchmark.diagnostics.doctor import dataset_states, weights_states

    data = absolute(data_dir, "--data-dir")
    states, weights = dataset_states(Workspace.at(workspace), data), weights_states(data)
    if as_json:
        print_json(states | weights)
        return
    table = Table("dataset", "shape", "size", "state", "what it is, where it comes from", box=None, pad_edge=False)
    for name, state in (states | weights).items():
        shape = "weights" if name in weights else describe_shape(tuple(state["shape"]))
        about = Text(state["about"]).append(f"\n{state['source']}\n{state['licence']}", style="dim")
        table.add_row(name, shape, state["size"], Text(state["state"], style=COLOURS[state["state"]]), about)
    stdout.print(table)
    stdout.print(
        "\n`datasets fetch NAME` downloads, `datasets import NAME PATH` takes files that you have; both prepare."
        " `datasets prepare NAME` prepares from raw files that are already in place."
    )


@group.command(epilog=examples("datasets prepare stacked_digits", "datasets prepare --for suites/own_images.yaml"))
def prepare(
    name: OptionalDatasetArgument = None,
    suite: ForOption = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    data_dir: DataOption = DEFAULT_DATA,
    scale: ScaleOption = None,
    only: OnlyOption = None,
) -> None:
    """Write the arrays that training reads from the raw files. `run` needs them."""
    if suite or not name:
        _gather(name, suite, scale, only, workspace, data_dir, download=False)
    else:
        _refuse_without_suite(scale, only)
        _prepare(_dataset(name), *_folders(workspace, data_dir))


@group.command(epilog=examples("datasets fetch stacked_mnist", "datasets fetch --for suites/neurips2019.yaml"))
def fetch(
    name: OptionalDatasetOrWeightsArgument = None,
    suite: ForOption = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    data_dir: DataOption = DEFAULT_DATA,
    scale: ScaleOption = None,
    only: OnlyOption = None,
) -> None:
    """Download and check the raw files of a dataset, and prepare it; or download and check weights.

    With --for, all that a suite needs. An interrupted download resumes where it stopped.
    """
    from benchmark.data.acquire import fetch as fetch_files

    if suite or not name:
        _gather(name, suite, scale, only, workspace, data_dir, download=True)
        return
    _refuse_without_suite(scale, only)
    place, data = _folders(workspace, data_dir)
    weights = _weights().get(name)
    dataset: Any = None if weights else _dataset(name)
    require_writable(data, "--data-dir")
    with stoppable(RESUMES), ProgressBars() as bars:
        path = weights.fetch(data, bars) if weights else fetch_files(dataset, data, bars)
    if weights:
        print_line(f"{name}: {path or f'nothing to download: {weights.find(data)}'}")
        return
    print_line(f"{name}: raw files in {path}" if path else f"{name}: nothing to download")
    _prepare(dataset, place, data)


@group.command("import", epilog=examples("datasets import celeba ~/downloads/celeba --link"))
def import_(
    name: DatasetOrWeightsArgument,
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH", help="Files, or folders that are searched recursively.")
    ],
    link: Annotated[bool, typer.Option("--link", help="Hard-link instead of copying.")] = False,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    data_dir: DataOption = DEFAULT_DATA,
) -> None:
    """Copy raw files that you have into the data directory, check them, and prepare the dataset."""
    from benchmark.data.acquire import import_raw_files
    from benchmark.data.verify import read_all

    (place, data), sources = _folders(workspace, data_dir), [absolute(path, "import") for path in paths]
    weights = _weights().get(name)
    dataset: Any = None if weights else _dataset(name)
    require_writable(data, "--data-dir")

    def verify() -> None:
        with ProgressBars() as bars:
            if dataset.is_current(data, place.data):  # then preparing would not read the raw files
                read_all(dataset, data, bars)
            else:
                dataset.prepare(data, place.data, bars)

    with stoppable(REMOVES):
        if weights:
            files = weights.import_(sources, data, link)
        else:
            files = import_raw_files(dataset, sources, data, verify, link)
    folder = os.path.commonpath([path.parent for path in files]) if files else ""
    print_line(f"{name}: {len(files):,} files put into {folder}" if files else f"{name}: all files were already there")
    if dataset:
        _print_prepared(dataset, place)


@group.command(epilog=examples("datasets verify cifar10"))
def verify(
    name: DatasetArgument, workspace: WorkspaceOption = DEFAULT_WORKSPACE, data_dir: DataOption = DEFAULT_DATA
) -> None:
    """Compare the prepared arrays with their checksums, and read the raw files again. Exit code 2: corrupt."""
    from benchmark.data.verify import verify as verify_files

    dataset, (place, data) = _dataset(name), _folders(workspace, data_dir)
    with ProgressBars() as bars:
        result = verify_files(dataset, data, place.data, bars)
    for line in result.intact:
        print_line(f"ok: {line}")
    if result.corrupt:
        raise UserError("\n".join([*result.corrupt, *_remedy(dataset, place, data)]))


def _remedy(dataset: Any, workspace: Workspace, data_dir: Path) -> list[str]:
    from benchmark.data.acquire import acquisition_hint
    from benchmark.planning.prerequisites import prepare_command

    command = prepare_command(dataset, workspace, data_dir)
    return [
        f"Arrays: delete {dataset.prepared_dir(workspace.data)} and type\n  {command}",
        f"Raw files: replace those named above.{acquisition_hint(dataset, as_options(workspace, data_dir))}",
    ]


def _weights() -> "dict[str, Weights]":
    from benchmark.evaluation.extractors.weights import WEIGHTS

    return WEIGHTS


def _dataset(name: str) -> Any:
    from benchmark.core import registry

    if name in _weights():
        raise UserError(f"'{name}' are weights and not a dataset; use `datasets fetch` or `datasets import`")
    if name not in registry.datasets:
        raise UserError(f"unknown dataset '{name}'; {did_you_mean(name, [*registry.datasets, *_weights()])}")
    return registry.datasets[name]


def _prepare(dataset: Any, workspace: Workspace, data_dir: Path) -> None:
    from benchmark.data.raw.file_states import read_states

    require_writable(workspace.root, "--workspace")
    prepared = dataset.prepared_dir(workspace.data)
    if read_states(prepared) and (missing := dataset.missing_files(data_dir)):
        raise UserError(
            f"--data-dir {data_dir}: has no {missing[0]}; {prepared} holds images of another place and stays as it is"
        )
    already = "already " if dataset.is_current(data_dir, workspace.data) else ""
    with stoppable("nothing was prepared"), ProgressBars() as bars:
        dataset.prepare(data_dir, workspace.data, bars)
    _print_prepared(dataset, workspace, already)


def _print_prepared(dataset: Any, workspace: Workspace, already: str = "") -> None:
    """How the raw files were understood, and where the arrays are. Raises UserError if the arrays are damaged."""
    from benchmark.data.manifest import DESCRIPTIONS
    from benchmark.data.prepared import open_prepared

    prepared = open_prepared(dataset.prepared_dir(workspace.data))
    for topic in DESCRIPTIONS:
        if topic in prepared.manifest:
            print_line(f"{dataset.name}: {topic.replace('_', ' ')}: {prepared.manifest[topic]}")
    print_line(f"{dataset.name}: {already}prepared in {prepared.path}")


def _refuse_without_suite(scale: str | None, only: list[str] | None) -> None:
    for option, value in (("--scale", scale), ("--only", only)):
        if value:
            raise UserError(f"{option}: selects cells of a suite; name the suite with --for")


def _gather(
    name: str | None,
    path: Path | None,
    scale: str | None,
    only: list[str] | None,
    workspace: Path,
    data_dir: Path,
    *,
    download: bool,
) -> None:
    """Get all that a suite needs under one view of the progress, then say what is ready and what must be brought."""
    if path is None or name:
        raise UserError("give either the NAME of a dataset, or --for SUITE")
    suite, (place, data) = load_cells(path, scale, None, only), _folders(workspace, data_dir)
    from benchmark.core import registry
    from benchmark.planning.gather import gather
    from benchmark.planning.prerequisites import gather_command

    require_writable(place.root, "--workspace")
    if download:
        require_writable(data, "--data-dir")
    consequence = RESUMES if download else "what was prepared is kept, and the same command prepares the rest"
    with stoppable(consequence), ProgressBars() as bars:
        gathered = gather(suite, place, data, bars, download=download)
    for ready in gathered.ready:
        print_line(f"{ready}: ready")
    for new in gathered.new:
        if new in registry.datasets:
            _print_prepared(registry.datasets[new], place)
        else:
            print_line(f"{new}: {_weights()[new].find(data)}")
    rest = [f"{name}: {problem}" for name, problem in gathered.failed.items()]
    if gathered.to_fetch:
        command = gather_command("fetch", suite, as_options(place, data))
        rest.append(f"To download: {', '.join(gathered.to_fetch)}\n  {command}")
    if gathered.by_hand:
        rest += [f"To bring by hand: {', '.join(gathered.by_hand)}", *gathered.by_hand.values()]
    if rest:
        raise UserError("\n\n".join([f"{suite.path}: not everything that it needs is ready", *rest]))
    print_line(f"{suite.path}: all datasets and weights are ready")


def _folders(workspace: Path, data_dir: Path) -> tuple[Workspace, Path]:
    return Workspace.at(workspace), absolute(data_dir, "--data-dir")


def _refuse_early_options(context: typer.Context) -> None:
    """Refuse options between `datasets` and the command, which would silently be ignored."""
    for name in ("workspace", "data_dir", "as_json"):
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            option = "--json" if name == "as_json" else f"--{name.replace('_', '-')}"
            raise UserError(f"{option}: write it after `{context.invoked_subcommand}`, not before it")

"""`doctor`: what this machine has, and what each suite still needs."""

from typing import Annotated

import typer

from benchmark.cli.logs import print_error, print_json, print_line, stdout
from benchmark.cli.options import (
    DEFAULT_DATA,
    DEFAULT_WORKSPACE,
    SUITES,
    DataOption,
    JsonOption,
    WorkspaceOption,
    examples,
)
from benchmark.core.errors import UserError
from benchmark.store.workspace import Workspace, absolute

app = typer.Typer()


@app.command(epilog=examples("doctor", "doctor --metrics", "doctor --metrics --samples 1000"))
def doctor(
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    data_dir: DataOption = DEFAULT_DATA,
    metrics: Annotated[bool, typer.Option("--metrics", help="Check the metrics against known values instead.")] = False,
    samples: Annotated[
        int | None, typer.Option(metavar="N", min=100, help="With --metrics: a quick check on N images.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what this machine has, and what each suite still needs.

    With --metrics, exit code 1: a check failed; 2: the Inception weights or CIFAR-10 are missing.
    """
    place, data = Workspace.at(workspace), absolute(data_dir, "--data-dir")
    if samples is not None and not metrics:
        raise UserError("--samples: only with --metrics")
    if not metrics:
        from benchmark.diagnostics.doctor import run_doctor

        findings = run_doctor(place, data, SUITES)
        if as_json:
            print_json(findings.as_json())
        else:
            stdout.print(findings.table())
        return
    from benchmark.diagnostics.metrics import check_metrics

    result = check_metrics(place, data, samples)
    if as_json:
        print_json(result.as_json())
    else:
        stdout.print(result.table())
    conclusion = result.summary()  # raises UserError if files are missing
    if result.failed:
        print_error(conclusion)
        raise typer.Exit(1)
    if not as_json:
        print_line(conclusion)

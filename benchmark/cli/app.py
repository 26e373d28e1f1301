"""The command line: all commands, the global options, and how errors become one message and an exit code.

Exit code 0: done. 1: a trial failed, or a result could not be stored. 2: bad input. 130, 143, 129: stopped with
Ctrl-C, SIGTERM or SIGHUP. 141: the reader of the output has gone.
"""

import errno
import io
import logging
import sys
from typing import Annotated, NoReturn

import typer

from benchmark import __version__
from benchmark.cli import datasets, doctor, methods, papers, plan, report, reproduce, run, track
from benchmark.cli.logs import logger, print_error, print_line, status_on_stderr, stdout
from benchmark.cli.options import examples
from benchmark.core.errors import ResultsNotStored, UserError
from benchmark.execution.streams import guarded_streams

app = typer.Typer(name="benchmark", add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)
for module in (run, plan, report, reproduce, methods, papers, datasets, track, doctor):
    app.add_typer(module.app)
DISK_REFUSED = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ESTALE}


@app.callback(
    invoke_without_command=True,
    epilog=examples("plan suites/quickstart.yaml", "run suites/quickstart.yaml", "--quiet run suites/quickstart.yaml"),
)
def main_options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Also print details.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print results, warnings and errors only.")] = False,
) -> None:
    """Retrain published self-supervised GANs, and compare the measured values with the published ones.

    Results go to standard output; status and errors go to standard error.
    """
    if verbose and quiet:
        raise UserError("--verbose and --quiet exclude each other")
    if verbose or quiet:
        logger.setLevel(logging.DEBUG if verbose else logging.WARNING)
    if version:
        print_line(__version__)
    elif context.invoked_subcommand is None:
        stdout.print(context.get_help())


def main() -> None:
    """Run the command of `sys.argv`. An expected error becomes one message, without a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a path may hold bytes that are not text
    with guarded_streams():
        _run_command()


def _run_command() -> None:
    try:
        with status_on_stderr():
            app()
    except UserError as error:
        _fail(str(error), 2)
    except ResultsNotStored as error:
        _fail(str(error), 1)
    except OSError as error:  # no permission, a name too long, a loop of links, a full disk
        where = f"{error.filename}: " if error.filename else ""
        if isinstance(error, PermissionError):
            advice = "; make it accessible, or choose another place"
        else:
            refused = error.errno in DISK_REFUSED
            advice = "; make room there, or choose another place, and run the command again" if refused else ""
        _fail(f"{where}{error.strerror or error}{advice}", 2)


def _fail(message: str, code: int) -> NoReturn:
    print_error(f"error: {message}")
    sys.exit(code)

"""Starts the command line, and ends its process: `python -m benchmark`, and the command that is installed."""

import atexit
import os
import sys
import threading
from typing import NoReturn

from benchmark.cli.app import main

ENDS_ITSELF = ("ray", "mlflow")  # whoever has one of them imported may have something to end


def start() -> NoReturn:
    """The command line."""
    status: object = 0
    try:
        main()
    except SystemExit as end:
        status = end.code
    leave(status)


def leave(status: object) -> NoReturn:
    """End at once where nothing is left to do: Python would take a second to take apart what torch is made of."""
    others = [thread for thread in threading.enumerate() if thread is not threading.main_thread() and not thread.daemon]
    if others or any(name in sys.modules for name in ENDS_ITSELF) or not isinstance(status, int | None):
        sys.exit(status)  # type: ignore[arg-type]
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # nobody reads any more, or the disk is full: Python says so
        sys.exit(status)
    os._exit(status or 0)


if __name__ == "__main__":
    start()

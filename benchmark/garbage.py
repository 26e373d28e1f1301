"""When Python need not look for garbage."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """While this lasts no cycles of garbage are looked for; also as a decorator.

    For what makes a great many objects that stay, such as modules and records: Python looks through all of them anew
    for every so many that were made.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()

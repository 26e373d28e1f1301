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


@contextmanager
def set_aside() -> Iterator[None]:
    """While this lasts garbage is looked for among what is made from now on, and not among what there is already."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()

"""When Python need not look for garbage."""

import ctypes
import gc
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple


@contextmanager
def gc_disabled() -> Iterator[None]:
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
def gc_frozen() -> Iterator[None]:
    """While this lasts garbage is looked for among what is made from now on, and not among what there is already."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


# mallopt(3), malloc.h
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4
LARGE = 32 * 2**20  # bytes: as far as glibc by itself raises its threshold; twice that is its spare


class Settings(NamedTuple):
    """`mapped`: how many blocks, from LARGE bytes on, may be mappings of their own, which end when they are freed.
    `spare`: so many bytes at its end may the heap keep free.
    """

    mapped: int
    spare: int


KEPT = Settings(mapped=0, spare=2**31 - 1)
USUAL = Settings(mapped=65536, spare=2 * LARGE)


@contextmanager
def keep_freed_memory() -> Iterator[None]:
    """While this lasts freed memory is not given back to the system; all that is free is when it ends."""
    _choose(KEPT)
    try:
        yield
    finally:
        _choose(USUAL)


def _choose(settings: Settings) -> None:
    """From now on, for the whole process. What is free is given back now."""
    if platform.libc_ver()[0] != "glibc":
        return
    library = ctypes.CDLL(None)
    library.mallopt(M_MMAP_MAX, settings.mapped)
    library.mallopt(M_MMAP_THRESHOLD, LARGE)
    library.mallopt(M_TRIM_THRESHOLD, settings.spare)
    library.malloc_trim(0)

"""Whether the C library keeps freed memory or returns it to the system."""

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

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

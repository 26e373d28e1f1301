"""Memory that is freed stays with the process while a trial trains.

The C library gives large blocks back to the system as soon as they are freed and asks for new ones a moment later, and
the system fills each page of those with zeros when it is first touched. A training step frees and takes the same
activations again and again. glibc can be told to keep them; elsewhere nothing happens.
"""

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

# mallopt(3), malloc.h
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4
MIB = 2**20


class Settings(NamedTuple):
    """`mapped`: how many blocks may be mappings of their own, which end when they are freed; from `large` bytes on they
    are. `spare`: so many free bytes may the heap have at its end.
    """

    mapped: int
    large: int
    spare: int


KEPT = Settings(mapped=0, large=32 * MIB, spare=2**31 - 1)
# what glibc begins with, except that it raises the last two as it goes, and ends there
USUAL = Settings(mapped=65536, large=32 * MIB, spare=64 * MIB)


@contextmanager
def kept() -> Iterator[None]:
    """While this lasts freed memory is not given back to the system; all that is free is when it ends."""
    library = _glibc()
    if library is None:
        yield
        return
    _choose(library, KEPT)
    try:
        yield
    finally:
        _choose(library, USUAL)
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None


def _choose(library: ctypes.CDLL, settings: Settings) -> None:
    library.mallopt(M_MMAP_MAX, settings.mapped)
    library.mallopt(M_MMAP_THRESHOLD, settings.large)
    library.mallopt(M_TRIM_THRESHOLD, settings.spare)

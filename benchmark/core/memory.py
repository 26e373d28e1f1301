"""Lets the C library keep freed memory while a trial trains, which saves zeroing the same blocks in every step."""

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4  # of mallopt(3), from malloc.h
LARGE_BLOCK = 32 * 2**20  # bytes; glibc's own upper limit for its mmap threshold


class MallocSettings(NamedTuple):
    """Settings of glibc's allocator.

    `max_mappings`: how many blocks of at least LARGE_BLOCK bytes may be mappings of their own, which the system takes
    back when they are freed. `trim_threshold`: free bytes that the heap may keep at its end.
    """

    max_mappings: int
    trim_threshold: int


KEEP_FREED = MallocSettings(max_mappings=0, trim_threshold=2**31 - 1)
DEFAULT = MallocSettings(max_mappings=65536, trim_threshold=2 * LARGE_BLOCK)


@contextmanager
def keep_freed_memory() -> Iterator[None]:
    """Keep freed memory in this process inside the block; at its end, return all free memory to the system."""
    _apply(KEEP_FREED)
    try:
        yield
    finally:
        _apply(DEFAULT)


def _apply(settings: MallocSettings) -> None:
    """Set glibc's allocator for the whole process and return the memory that is free now to the system."""
    if platform.libc_ver()[0] != "glibc":
        return
    library = ctypes.CDLL(None)
    library.mallopt(M_MMAP_MAX, settings.max_mappings)
    library.mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK)
    library.mallopt(M_TRIM_THRESHOLD, settings.trim_threshold)
    library.malloc_trim(0)

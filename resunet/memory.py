"""How the C library keeps memory. Without glibc, both functions do nothing."""

from __future__ import annotations

import ctypes

M_ARENA_MAX = -8  # from glibc's malloc.h
HEAPS = 2


def use_few_heaps() -> None:
    """Let all threads share two heaps: with one each, every visitor's thread would keep what it freed to itself."""
    try:
        ctypes.CDLL("libc.so.6").mallopt(M_ARENA_MAX, HEAPS)
    except (OSError, AttributeError):
        return


def return_freed_memory() -> None:
    """Hand memory that was freed back to the system; glibc keeps it otherwise. A no-op where there is no glibc."""
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):
        return

"""How memory is kept and given back. Without glibc, the functions that ask its malloc do nothing."""

from __future__ import annotations

import ctypes
import gc

M_ARENA_MAX, M_MMAP_THRESHOLD = -8, -3  # from glibc's malloc.h
HEAPS = 2
LARGE = 64 << 10  # bytes


def use_few_heaps() -> None:
    """Let all threads share two heaps: with one each, every visitor's thread would keep what it freed to itself.

    Larger arrays stay out of both and are given back as soon as they are freed, whatever lies around them.
    """
    try:
        malloc = ctypes.CDLL("libc.so.6")
        malloc.mallopt(M_ARENA_MAX, HEAPS)
        malloc.mallopt(M_MMAP_THRESHOLD, LARGE)
    except (OSError, AttributeError):
        return


def settle() -> None:
    """Spare everything that is loaded now from later garbage collections: modules and models stay until the end anyway.

    With PyTorch, pandas and Plotly loaded a full collection looks at half a million objects, which takes 0.15 s.
    """
    gc.collect()
    gc.freeze()
    gc.collect()  # the collector waits for a quarter of what the last full collection left; this one leaves little
    return_freed_memory()


def return_freed_memory() -> None:
    """Hand memory that was freed back to the system; glibc keeps it otherwise. A no-op where there is no glibc."""
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):
        return

"""What a process does with memory that it has freed."""

from __future__ import annotations

import ctypes

# Of glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def keep_freed_memory() -> None:
    """Let the C library keep freed blocks of any size for later ones, instead of handing them back to the system.

    A training step on a CPU frees and asks for the same large tensors again and again. By default each comes as fresh
    pages that the system has to find and clear. The process keeps its largest size until it ends. Where the C library
    is another one, nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, -1)

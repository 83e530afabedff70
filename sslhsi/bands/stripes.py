"""Work on a cube's rows over all cores, with sums that don't depend on how many there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import cache
from typing import TypeVar

import numpy as np
from threadpoolctl import ThreadpoolController

from sslhsi.scenes.bad_bands import row_blocks

# Working memory of one block of pixels in float32: large enough for BLAS, small beside a cache and beside any cube.
BLOCK_BYTES = 2 << 20
# Runs of blocks, each summed on its own. A number of its own, so that every machine adds in the same order.
STRIPES = 16

Result = TypeVar("Result")


def blocks(cube: np.ndarray) -> Iterator[slice]:
    """Row slices of an (H, W, B) cube whose float32 copies fit ``BLOCK_BYTES``."""
    return row_blocks(cube, BLOCK_BYTES, 4)


def over_stripes(cube: np.ndarray, work: Callable[[Sequence[slice]], Result]) -> list[Result]:
    """Call ``work`` with runs of neighbouring blocks of an (H, W, B) cube, several at a time.

    As many threads as BLAS may use (``OMP_NUM_THREADS``), each with BLAS on one: converting numbers, which
    NumPy does on one core, then keeps all of them busy.

    Returns:
        What ``work`` returned, in the order of the rows.
    """
    parts = [list(part) for part in np.array_split(np.array(list(blocks(cube)), dtype=object), STRIPES) if len(part)]
    blas = _controller().select(user_api="blas")
    threads = max((library.num_threads for library in blas.lib_controllers), default=1)
    if min(threads, len(parts)) == 1:
        return [work(part) for part in parts]
    with blas.limit(limits=1), ThreadPoolExecutor(min(threads, len(parts))) as pool:
        # A context for each, so that the caller's numpy.errstate holds in the threads, too.
        return [task.result() for task in [pool.submit(copy_context().run, work, part) for part in parts]]


@cache
def _controller() -> ThreadpoolController:
    # Looking for the libraries takes milliseconds, and NumPy's is there from the start.
    return ThreadpoolController()

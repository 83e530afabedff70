"""One program on several processes: who speaks, who holds the run directory, and how they share what they know."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs, gather_object

from sslhsi.ranks import Gather, all_ranks
from sslhsi.training.run_dir import claim


def create_accelerator(timeout: float) -> Accelerator:
    """Devices and processes of a run; a process that waits longer than ``timeout`` seconds for another stops."""
    kwargs = [
        DistributedDataParallelKwargs(broadcast_buffers=False, gradient_as_bucket_view=True),
        InitProcessGroupKwargs(backend=None, timeout=timedelta(seconds=timeout)),
    ]
    # Autocast is the loop's own: Accelerate keeps one precision for the life of a process.
    return Accelerator(mixed_precision="no", kwargs_handlers=kwargs)


def print_on(accelerator: Accelerator) -> Callable[[str], None]:
    """A function that prints a line on the main process and nothing on the others."""
    return lambda text: print(text, file=sys.stderr, flush=True) if accelerator.is_main_process else None


def gather_for(world: int) -> Gather | None:
    """A function that collects one object from each process; None where there is only one."""
    return None if world == 1 else lambda value: gather_object([value])


def claim_on_main(folder: Path, accelerator: Accelerator) -> AbstractContextManager[Any]:
    """Lock the run directory on the main process; a refusal is raised on every process."""
    lock: AbstractContextManager[Any] = nullcontext()
    with all_ranks(gather_for(accelerator.num_processes)):
        if accelerator.is_main_process:
            lock = claim(folder)
    return lock

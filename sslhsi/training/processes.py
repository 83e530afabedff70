"""One program on several processes: who speaks, who holds the run directory, and how they share what they know."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object

from sslhsi.errors import InputError
from sslhsi.training.run_dir import claim


def print_on(accelerator: Accelerator) -> Callable[[str], None]:
    """A function that prints a line on the main process and nothing on the others."""
    return lambda text: print(text, file=sys.stderr, flush=True) if accelerator.is_main_process else None


def gather_for(world: int) -> Callable[[Any], list[Any]] | None:
    """A function that collects one object from each process; None where there is only one."""
    return None if world == 1 else lambda value: gather_object([value])


def claim_on_main(folder: Path, accelerator: Accelerator) -> AbstractContextManager[Any]:
    """Lock the run directory on the main process; every process hears of a refusal."""
    lock: AbstractContextManager[Any] = nullcontext()
    problem: list[str | None] = [None]
    if accelerator.is_main_process:
        try:
            lock = claim(folder)
        except InputError as error:
            problem = [str(error)]
    if accelerator.num_processes > 1:
        broadcast_object_list(problem)
    if problem[0]:
        raise InputError(problem[0])
    return lock

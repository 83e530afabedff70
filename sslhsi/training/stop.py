"""Signals that end a run in good order: what is done is kept, the exit code says that there is more to do."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch
from accelerate import Accelerator

# SIGTERM comes from a user, a container or a launcher, SIGUSR1 from Slurm's --signal before the time limit.
SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
# Steps between agreements of several processes on whether to stop; one alone looks at every step.
AGREE_EVERY = 10


class Stopped(Exception):
    """A signal asked the run to end."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(f"stopped by {signal.Signals(number).name}; the same command goes on where this one ended")

    @property
    def exit_code(self) -> int:
        """128 and the signal's number, as a shell gives it: 143 for SIGTERM, 138 for SIGUSR1."""
        return 128 + self.number


@contextmanager
def raise_on_signals() -> Iterator[None]:
    """Raise :class:`Stopped` where a signal arrives, so that locks are freed and logs closed."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped(number)

    with _handler(stop):
        yield


class StopFlag:
    """The signal that has arrived, 0 for none, and whether all processes have agreed to heed it."""

    def __init__(self) -> None:
        self.number = 0

    def agreed(self, accelerator: Accelerator, step: int) -> int:
        """The largest number on any process, the same on all; looked at on every tenth step where many run."""
        if accelerator.num_processes == 1:
            return self.number
        if step % AGREE_EVERY:
            return 0
        number = torch.tensor([self.number], device=accelerator.device)
        torch.distributed.all_reduce(number, torch.distributed.ReduceOp.MAX)
        return int(number)


@contextmanager
def hold_signals() -> Iterator[StopFlag]:
    """Note a signal instead of raising, for a loop that ends between two steps."""
    flag = StopFlag()

    def note(number: int, frame: FrameType | None) -> None:
        flag.number = number

    with _handler(note):
        yield flag


@contextmanager
def _handler(function: Any) -> Iterator[None]:
    # Python lets the main thread alone set handlers; elsewhere they are its caller's.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, function) for number in SIGNALS}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)

"""Progress with rate and time left: a bar on a terminal, a line now and then in a log file."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

# Seconds between lines where there is no terminal to redraw.
QUIET = 15.0


class Advance(Protocol):
    """Called with how many are done, and a note to show beside."""

    def __call__(self, done: int, note: str = "") -> None: ...


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f}/s" if task.speed else "-/s")


@contextmanager
def progress(title: str, total: int, start: int = 0, show: bool = True) -> Iterator[Advance]:
    """Yield a function to call with how many of ``total`` are done, and a note to show beside."""
    if not show:
        yield lambda done, note="": None
        return
    if sys.stderr.isatty():
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(title, total=total, completed=start, note="")
            yield lambda done, note="": bar.update(task, completed=done, note=note)
        return
    began = last = time.monotonic()

    def line(done: int, note: str = "") -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < QUIET and done < total:
            return
        last = now
        rate = (done - start) / max(now - began, 1e-9)
        left = (total - done) / rate if rate else float("inf")
        print(f"{title} {done}/{total}  {rate:.1f}/s  {left:.0f} s left  {note}", file=sys.stderr, flush=True)

    yield line

"""What readers assumed, converted, masked or left out: written to the log and kept with the scene."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

log = logging.getLogger("sslhsi.scenes")
_notes: ContextVar[list[str] | None] = ContextVar("notes", default=None)


def note(where: str | Path, text: str) -> None:
    """Log one sentence about a file and add it to the notes of the scene that is being read.

    Args:
        where: The file; notes bear its name without folders.
        text: What was done, and the option that overrules it.
    """
    log.info("%s: %s", where, text)
    notes = _notes.get()
    line = f"{Path(where).name}: {text}"
    if notes is not None and line not in notes:
        notes.append(line)


@contextmanager
def collected_notes() -> Iterator[list[str]]:
    """The notes taken inside the block, in order, each once.

    Examples:
        >>> with collected_notes() as notes:
        ...     note("field/leaf.hdr", "no byte order, little-endian assumed")
        >>> notes
        ['leaf.hdr: no byte order, little-endian assumed']
    """
    notes: list[str] = []
    token = _notes.set(notes)
    try:
        yield notes
    finally:
        _notes.reset(token)


@contextmanager
def printed_notes(words: Callable[[str], str] = str) -> Iterator[None]:
    """Print every note that is taken inside the block on standard error, each once, in the ``words`` of a command."""
    handler = _Printer(words)
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


class _Printer(logging.Handler):
    """Prints lines that it has not printed before."""

    def __init__(self, words: Callable[[str], str]) -> None:
        super().__init__(logging.INFO)
        self._words = words
        self._lines: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        line = self._words(record.getMessage())
        if line not in self._lines:
            self._lines.add(line)
            print(f"note: {line}", file=sys.stderr, flush=True)

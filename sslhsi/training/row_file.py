"""A table that grows row by row: whatever stops the program, the file holds whole rows only."""

from __future__ import annotations

import csv
import fcntl
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from sslhsi.errors import InputError


class RowFile:
    """A CSV to which rows are appended, open for one process at a time.

    A row is written by one call to the operating system, so that a kill leaves it out or leaves it whole;
    what a full disk or a power cut leaves of a line is cut off when the file is opened again.

    Args:
        path: The file; made, with its folder, where there is none. None keeps the rows in memory alone.
        columns: Its columns, which an existing file must have, too.

    Raises:
        InputError: The file can't be written, holds another table, or another process writes to it.
    """

    def __init__(self, path: str | Path | None, columns: Sequence[str]) -> None:
        self.path, self.columns = None if path is None else Path(path), tuple(columns)
        self.rows: list[dict[str, str]] = []
        self._file = -1
        if self.path is None:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        except OSError as error:
            raise InputError(f"{self.path}: can't be written ({error.strerror}); give another file") from None
        try:
            self._lock()
            self._read()
        except BaseException:
            self.close()
            raise

    def add(self, row: Mapping[str, Any]) -> None:
        """Append a row; columns that it lacks stay empty.

        Raises:
            InputError: The disk is full.
        """
        if unknown := set(row) - set(self.columns):
            raise ValueError(f"columns {sorted(unknown)} are not the table's")
        # Line breaks within a value would make "ends with a line break" mean less than "is whole".
        kept = {column: " ".join(str(row.get(column, "")).splitlines()) for column in self.columns}
        if self.path is not None:
            self._append(",".join(map(_quoted, kept.values())))
        self.rows.append(kept)

    def close(self) -> None:
        """Close the file and let others write to it."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> RowFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"{self.path}: another process is writing to it; wait for it or give another file"
            ) from None
        except OSError:
            # A file system without locks: better to run than to refuse.
            pass

    def _read(self) -> None:
        """Take in what is there, after cutting off a line without its end; write the heading of a new file."""
        assert self.path is not None
        data = self.path.read_bytes()
        if (whole := data.rfind(b"\n") + 1) < len(data):
            os.ftruncate(self._file, whole)
            data = data[:whole]
        if not data:
            self._append(",".join(map(_quoted, self.columns)))
            return
        try:
            lines = list(csv.reader(io.StringIO(data.decode("utf-8"), newline=""), strict=True))
        except (UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"{self.path}: is no table ({error}); give another file") from None
        if tuple(lines[0]) != self.columns:
            raise InputError(
                f"{self.path}: holds another table, or one of another version; move it away or give another file"
            )
        if wrong := [n for n, line in enumerate(lines, 1) if len(line) != len(self.columns)]:
            raise InputError(
                f"{self.path}: line {wrong[0]} is not a row of this table; mend it or move the file away"
            )
        self.rows = [dict(zip(self.columns, line, strict=True)) for line in lines[1:]]

    def _append(self, line: str) -> None:
        data = (line + "\r\n").encode()
        before = os.fstat(self._file).st_size
        try:
            written = os.write(self._file, data)
            reason = "the disk is full"
        except OSError as error:
            written, reason = 0, error.strerror or "input/output error"
        if written < len(data):
            os.ftruncate(self._file, before)
            raise InputError(f"{self.path}: can't be written ({reason}); free some space, then run this again")


def _quoted(value: str) -> str:
    """A value as a CSV holds it."""
    return '"' + value.replace('"', '""') + '"' if any(mark in value for mark in ',"') else value

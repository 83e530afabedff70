"""A table that grows row by row: whatever stops the program, the file holds whole rows only."""

from __future__ import annotations

import csv
import errno
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from sslhsi.errors import InputError
from sslhsi.files import cannot_write, lock, writing


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
        with writing(self.path, "give another file"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
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
            self._append(kept.values())
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
            # Where the file system has no locks it is better to run than to refuse.
            lock(self._file)
        except BlockingIOError:
            raise InputError(
                f"{self.path}: another process is writing to it; wait for it or give another file"
            ) from None

    def _read(self) -> None:
        """Take in what is there, after cutting off a line without its end; write the heading of a new file."""
        assert self.path is not None
        data = self.path.read_bytes()
        if (whole := data.rfind(b"\n") + 1) < len(data):
            os.ftruncate(self._file, whole)
            data = data[:whole]
        if not data:
            self._append(self.columns)
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

    def _append(self, values: Iterable[str]) -> None:
        assert self.path is not None
        csv.writer(text := io.StringIO(newline="")).writerow(values)
        data = text.getvalue().encode()
        before = os.fstat(self._file).st_size
        try:
            if os.write(self._file, data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            os.ftruncate(self._file, before)
            raise cannot_write(self.path, error, "check the folder, then run this again") from None

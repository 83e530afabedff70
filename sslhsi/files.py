"""Files that are whole or absent, tables, locks, and the one way to say that a place can't be written."""

from __future__ import annotations

import csv
import errno
import fcntl
import glob
import hashlib
import io
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from sslhsi.errors import InputError

ANOTHER_FOLDER = "choose another folder"
# Stands in whatever this program makes and may therefore make anew.
MARK = "sslhsi"
MADE_BY = f"written by {MARK}"


def cannot_write(path: str | os.PathLike[str], error: BaseException, way_out: str = ANOTHER_FOLDER) -> InputError:
    """The error to raise where something stopped a write.

    Args:
        path: What was to be written.
        error: What stopped it; a full disk is named as such, also where a library says it.
        way_out: What the user can do, as the end of the sentence.

    Examples:
        >>> print(cannot_write("maps/a.png", PermissionError(13, "Permission denied"), "give another --out"))
        maps/a.png: can't be written (Permission denied); give another --out
        >>> print(cannot_write("maps/a.png", OSError(28, "No space left on device")))
        maps/a.png: can't be written (the disk is full); free some space or choose another folder
    """
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error):
        return InputError(f"{path}: can't be written (the disk is full); free some space or {way_out}")
    reason = getattr(error, "strerror", None) or error
    return InputError(f"{path}: can't be written ({reason}); {way_out}")


@contextmanager
def writing(
    path: str | os.PathLike[str], way_out: str = ANOTHER_FOLDER, also: tuple[type[Exception], ...] = ()
) -> Iterator[None]:
    """Within the block, whatever the operating system refuses is an ``InputError`` that names the path.

    Args:
        path: What is being written.
        way_out: As for :func:`cannot_write`.
        also: Exceptions by which a library says that it could not write.

    Raises:
        InputError: Something in the block could not be written.
    """
    refusals: tuple[type[Exception], ...] = (OSError, *also)
    try:
        yield
    except refusals as error:
        raise cannot_write(path, error, way_out) from None


@contextmanager
def atomic(
    path: str | os.PathLike[str],
    way_out: str = ANOTHER_FOLDER,
    also: tuple[type[Exception], ...] = (),
    *,
    beside: Sequence[str] = (),
    sync: bool = False,
) -> Iterator[Path]:
    """A file to write in the block, which takes the path's place, whole, when the block ends without an error.

    Args:
        path: The file; its folder is made.
        way_out, also: As for :func:`writing`.
        beside: Suffixes of files that the block writes along with it (``.hdr``); they take their places first.
        sync: Wait until the disk has it, so that a power cut leaves the old file or the new one.

    Yields:
        The file to write: in the same folder, hidden, with the same suffix.

    Raises:
        InputError: It can't be written; what was there before is untouched.
    """
    path = Path(path)
    name = f".{path.stem}.{os.getpid()}.part"
    part = path.with_name(name + path.suffix)
    try:
        with writing(path, way_out, also):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield part
            if sync:
                _sync(part)
            for suffix in beside:
                os.replace(part.with_suffix(suffix), path.with_suffix(suffix))
            os.replace(part, path)
            if sync:
                _sync(path.parent)
    finally:
        for left in path.parent.glob(glob.escape(name) + "*"):
            left.unlink(missing_ok=True)


@contextmanager
def atomic_folder(
    folder: str | os.PathLike[str],
    way_out: str = ANOTHER_FOLDER,
    also: tuple[type[Exception], ...] = (),
    *,
    sync: bool = False,
) -> Iterator[Path]:
    """An empty folder to fill in the block, which then takes the place of the given one.

    Args and errors as for :func:`atomic`; of two processes that write one folder at once, the second starts anew.
    """
    part = Path(folder).absolute()
    part = part.with_name(f".{part.name}.part")
    try:
        with writing(folder, way_out, also):
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            yield part
            if sync:
                for path in (*part.iterdir(), part):
                    _sync(path)
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(part, folder)
            if sync:
                _sync(part.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def write_atomic(
    path: str | os.PathLike[str],
    content: str | bytes | Callable[[Path], object],
    way_out: str = ANOTHER_FOLDER,
    also: tuple[type[Exception], ...] = (),
    *,
    sync: bool = False,
) -> Path:
    r"""Write a file whole or not at all.

    Args:
        path: The file; its folder is made.
        content: UTF-8 text, whose line ends stay as they are; bytes; or what writes to the path that it is given.
        way_out, also, sync: As for :func:`atomic`.

    Returns:
        The path.

    Raises:
        InputError: It can't be written; what was there before is untouched.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_atomic(f"{folder}/made/a.txt", "one\n").read_text()
        'one\n'
    """
    with atomic(path, way_out, also, sync=sync) as part:
        if callable(content):
            content(part)
        else:
            part.write_bytes(content.encode() if isinstance(content, str) else content)
    return Path(path)


def check_replaceable(path: str | os.PathLike[str], way_out: str = "choose another --out") -> None:
    """Refuse to write over a file that this program did not make.

    What it makes says so: the word ``sslhsi`` stands in the metadata of pictures, rasters, headers, pages, networks.
    Raw data beside an ENVI header is known by its header; a ``.npy``, which has no place for such a word, by the
    picture of its name.

    Args:
        path: What is about to be written.
        way_out: What the user can do, as the end of the sentence.

    Raises:
        InputError: There is a file of that name without the mark.
    """
    path = Path(path)
    if not path.exists():
        return
    if path.suffix == ".npy" and not _bears_mark(path.with_suffix(".png")):
        raise InputError(f"{path}: is there already, and a .npy can't say who made it; move it away or {way_out}")
    header = path.with_suffix(".hdr")
    marked = header if path.suffix == ".img" and header.is_file() else path
    if path.suffix != ".npy" and not _bears_mark(marked):
        raise InputError(f"{path}: is there already and was not made by sslhsi; move it away or {way_out}")


def _bears_mark(path: Path, reach: int = 1 << 16) -> bool:
    try:
        with path.open("rb") as file:
            start = file.read(reach)
            file.seek(max(0, path.stat().st_size - reach))
            return MARK.encode() in start + file.read()
    except OSError:
        return False


def write_rows(path: str | os.PathLike[str], rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> Path:
    """Write a CSV whole or not at all; with the union of the rows' columns where none are given."""
    columns = list(columns) or list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(rows)
    return write_atomic(path, text.getvalue())


def read_rows(path: str | os.PathLike[str]) -> list[dict[str, str]]:
    """Rows of a CSV; none when there is no such file."""
    if not Path(path).is_file():
        return []
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file as hexadecimal digits, read in a stream."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def exclusive(folder: Path, *, needed: bool = False) -> IO[str]:
    """Make a folder and lock it for this process until the returned file is closed.

    Args:
        folder: The folder; its ``.lock`` is what is locked.
        needed: Refuse where the file system has no locks; else it is better to go on than to refuse.

    Raises:
        BlockingIOError: Another process holds it.
        OSError: The folder can't be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / ".lock").open("w")
    try:
        if not lock(file) and needed:
            raise BlockingIOError(errno.EWOULDBLOCK, "the file system has no locks")
    except BlockingIOError:
        file.close()
        raise
    return file


def lock(file: IO[Any] | int) -> bool:
    """Lock an open file for this process until it is closed; False where the file system has no locks.

    Raises:
        BlockingIOError: Another process holds it.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise BlockingIOError(error.errno, error.strerror) from None
        return False
    return True


def in_use(folder: Path) -> bool:
    """Whether a process holds the folder's lock."""
    try:
        with (folder / ".lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        # No lock, or a file system without locks.
        return False
    return False


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

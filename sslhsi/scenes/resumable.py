"""One file over HTTP: resumable, verified, atomic; nothing beyond the standard library."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import json
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from sslhsi.errors import InputError
from sslhsi.files import cannot_write

_CHUNK = 1 << 16
_RETRIABLE = {408, 425, 429, 500, 502, 503, 504}
# Some servers of research groups refuse the default "Python-urllib".
_AGENT = "Mozilla/5.0 (compatible; sslhsi)"
_Report = Callable[[int, int | None], None]


class _Interrupted(Exception):
    """The transfer stopped for a reason that may pass; what has arrived stays in the .part file."""


@dataclass(frozen=True)
class _Job:
    url: str
    target: Path
    checksum: str | None
    expected_size: int | None
    timeout: float

    @property
    def part(self) -> Path:
        return self.target.with_name(self.target.name + ".part")

    @property
    def state(self) -> Path:
        return self.target.with_name(self.target.name + ".part.json")


def download(
    url: str,
    target: str | os.PathLike[str],
    *,
    checksum: str | None = None,
    expected_size: int | None = None,
    progress: bool = True,
    timeout: float = 30.0,
    retries: int = 4,
    backoff: float = 1.0,
) -> Path:
    """Download one file, resuming an earlier attempt where the server allows it.

    Bytes go to ``target.part`` and the file appears under its name only when complete and verified.
    A part is continued only if it can be shown to belong to the same file: by the server's ETag or
    modification date, or by the checksum at the end. An existing target is verified and kept.

    Args:
        url: An http or https address.
        target: File to write; its folder is made.
        checksum: ``"md5:HEX"`` or ``"sha256:HEX"``.
        expected_size: Size in bytes, where known.
        progress: Show a bar with rate and time left.
        timeout: Seconds without a byte before the connection is given up.
        retries: Attempts after the first one.
        backoff: Seconds before the first retry; doubled each time.

    Returns:
        The target.

    Raises:
        InputError: The address or checksum is malformed, the server refuses or can't be reached, the
            disk is full, or what arrived isn't the file that was asked for.
    """
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise InputError(f"can't download {url}: only http and https addresses are accepted")
    _split_checksum(checksum)
    job = _Job(url, Path(target), checksum, expected_size, timeout)
    if job.target.exists():
        _verify(
            job.target,
            checksum,
            expected_size,
            f"{job.target} already exists but",
            "delete it to download again",
        )
        return job.target
    with _disk_errors(job.part), _bar(job.target.name, progress) as report:
        job.target.parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(retries + 1):
            try:
                _transfer(job, report)
                break
            except _Interrupted as stop:
                if attempt == retries:
                    raise InputError(
                        f"download of {url} failed after {retries + 1} attempts ({stop}): try again later, "
                        "what has arrived is kept and continued"
                    ) from stop
                time.sleep(backoff * 2**attempt)
        try:
            _verify(job.part, checksum, expected_size, f"what {url} sent", "it was removed, try again")
        except InputError:
            _discard(job)
            raise
        os.replace(job.part, job.target)
        job.state.unlink(missing_ok=True)
    return job.target


def _transfer(job: _Job, report: _Report) -> None:
    """One attempt: append to the part, or start it anew. Raises _Interrupted where a retry may help."""
    headers = {"User-Agent": _AGENT, "Accept-Encoding": "identity"}
    validator = _validator(job)
    have = job.part.stat().st_size if job.part.exists() else 0
    if have and not validator and not job.checksum:
        have = 0  # nothing would tell whether both halves are of one file
    if have:
        headers["Range"] = f"bytes={have}-"
        if validator:
            headers["If-Range"] = validator
    try:
        response = urllib.request.urlopen(urllib.request.Request(job.url, headers=headers), timeout=job.timeout)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:
            if error.headers.get("Content-Range", "").strip() == f"bytes */{have}":
                return  # the part is complete
            _discard(job)
            raise _Interrupted("the part no longer fits the file") from error
        if error.code in _RETRIABLE:
            raise _Interrupted(f"HTTP {error.code}") from error
        raise InputError(
            f"can't download {job.url}: the server answered {error.code} {error.reason}; check the address, "
            f"or fetch it with a browser and save it as {job.target}"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise _Interrupted(_reason(error)) from error
    with response:
        start = have if response.status == 206 else 0
        if response.status == 206 and not _range_starts_at(response, have):
            _discard(job)
            raise _Interrupted("the server sent another part than was asked for")
        length = response.headers.get("Content-Length")
        total = start + int(length) if length and length.isdigit() else None
        _remember(job, response)
        with job.part.open("r+b" if start else "wb") as file:
            file.seek(start)
            file.truncate()
            have = start
            while block := _read(response):
                file.write(block)
                have += len(block)
                report(have, total)
    if total is not None and have < total:
        raise _Interrupted(f"the connection closed after {have} of {total} bytes")


def _read(response: Any) -> bytes:
    try:
        return response.read(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _Interrupted(_reason(error)) from error


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", error)
    return "the connection timed out" if isinstance(reason, TimeoutError) else str(reason) or type(error).__name__


def _range_starts_at(response: Any, start: int) -> bool:
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return match is not None and int(match[1]) == start


def _validator(job: _Job) -> str | None:
    """What If-Range needs, if the part was begun from the same address."""
    try:
        state = json.loads(job.state.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return state.get("validator") if isinstance(state, dict) and state.get("url") == job.url else None


def _remember(job: _Job, response: Any) -> None:
    etag = response.headers.get("ETag", "")
    # RFC 9110, 13.1.5: a weak ETag may not be used in If-Range.
    validator = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")
    job.state.write_text(json.dumps({"url": job.url, "validator": validator}), "utf-8")


def _discard(job: _Job) -> None:
    job.part.unlink(missing_ok=True)
    job.state.unlink(missing_ok=True)


@contextlib.contextmanager
def _disk_errors(part: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            part.unlink(missing_ok=True)
            part.with_name(part.name + ".json").unlink(missing_ok=True)
        raise cannot_write(part.parent / part.stem, error) from error


def _split_checksum(checksum: str | None) -> tuple[str, str] | None:
    if checksum is None:
        return None
    kind, _, digest = checksum.partition(":")
    digits = {"md5": 32, "sha256": 64}.get(kind)
    if digits is None or not re.fullmatch(rf"[0-9a-fA-F]{{{digits}}}", digest):
        raise InputError(f"checksum {checksum!r} must be 'md5:' and 32 or 'sha256:' and 64 hexadecimal digits")
    return kind, digest.lower()


def file_checksum(path: str | os.PathLike[str], kind: str = "sha256") -> str:
    """``"KIND:HEX"`` of a file, read in a stream."""
    with Path(path).open("rb") as file:
        return f"{kind}:{hashlib.file_digest(file, kind).hexdigest()}"


def _verify(path: Path, checksum: str | None, size: int | None, subject: str, remedy: str) -> None:
    if size is not None and path.stat().st_size != size:
        raise InputError(f"{subject} has {path.stat().st_size} bytes instead of {size}: {remedy}")
    wanted = _split_checksum(checksum)
    if wanted is None:
        return
    checked = file_checksum(path, wanted[0])
    if checked != f"{wanted[0]}:{wanted[1]}":
        raise InputError(f"{subject} has checksum {checked} instead of {checksum}: {remedy}")


@contextlib.contextmanager
def _bar(name: str, show: bool) -> Iterator[_Report]:
    """A function (bytes done, total or None) that moves a progress bar, or does nothing."""
    if not show:
        yield lambda done, total: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn()) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)

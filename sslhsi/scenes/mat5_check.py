"""Walk through the elements of a MATLAB 5 file before SciPy reads it.

SciPy's reader looks element types up in a table without checking that they are in it, so that a few
damaged bytes crash the whole process. This walk reads only the tags: the layout is in "MAT-File Format",
The MathWorks, chapter 1.
"""

from __future__ import annotations

import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

from sslhsi.errors import InputError

_NUMERIC = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8}  # element type -> bytes
_TEXT = {**_NUMERIC, 16: 1, 17: 2, 18: 4}
_MATRIX, _COMPRESSED = 14, 15
_CELL, _STRUCT, _CHAR = 1, 2, 4
_NUMBERS = range(6, 16)  # array classes double to uint64
_CHUNK = 1 << 16
_DEEPEST = 16


class _Damaged(Exception):
    """The walk met something that can't be."""


class _Foreign(Exception):
    """The walk met a MATLAB class whose layout it doesn't know (function handles, objects, sparse arrays)."""


class _Stream:
    """Bytes of one element, from the file as they are or unpacked on the way."""

    def __init__(self, file: BinaryIO, size: int, packed: bool) -> None:
        self.file, self.left = file, size
        self.unpacker = zlib.decompressobj() if packed else None
        self.ready = b""

    def read(self, count: int) -> bytes:
        parts = []
        while count > 0:
            part = self._some(min(count, _CHUNK))
            if not part:
                raise _Damaged("it ends too early")
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def skip(self, count: int) -> None:
        if self.unpacker is None:
            if count > self.left:
                raise _Damaged("it ends too early")
            self.file.seek(count, 1)
            self.left -= count
            return
        while count > 0:
            count -= len(self.read(min(count, _CHUNK)))

    def _some(self, count: int) -> bytes:
        if self.unpacker is None:
            part = self.file.read(min(count, self.left))
            self.left -= len(part)
            return part
        while not self.unpacker.eof:
            source = self.unpacker.unconsumed_tail
            if not source:
                source = self.file.read(min(_CHUNK, self.left))
                self.left -= len(source)
            if part := self.unpacker.decompress(source, count):
                return part
            if not source:
                break
        return b""


def check_mat5(path: Path, names: set[str]) -> set[str]:
    """Which of the arrays called ``names`` can be read safely.

    Args:
        path: A MATLAB version 5 file.
        names: The variables that may be read; others are passed over.

    Returns:
        The names without structs that contain function handles, objects or sparse arrays.

    Raises:
        InputError: One of the arrays isn't laid out as the format demands.
    """
    known = set(names)
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            head = file.read(128)
            order = "<" if head[126:128] == b"IM" else ">"
            while file.tell() + 8 <= size:
                kind, count = struct.unpack(order + "II", file.read(8))
                start = file.tell()
                if start + count > size:
                    raise _Damaged("it ends too early")
                if kind in (_MATRIX, _COMPRESSED):
                    stream = _Stream(file, count, kind == _COMPRESSED)
                    if kind == _COMPRESSED:
                        kind, _ = struct.unpack(order + "II", stream.read(8))
                    if kind != _MATRIX:
                        raise _Damaged(f"element type {kind} where an array belongs")
                    try:
                        _array(stream, order, names, 0)
                    except _Foreign as foreign:
                        known.discard(foreign.args[0])
                file.seek(start + count)
    except (_Damaged, struct.error, zlib.error, OverflowError) as error:
        reason = f"it may be truncated or corrupt ({error})"
        raise InputError(f"{path}: can't be read as a MATLAB file, {reason}") from error
    return known


def _tag(stream: _Stream, order: str) -> tuple[int, int, int]:
    """Element type, bytes of data, bytes that it takes in the stream; small data stay in the tag."""
    (first,) = struct.unpack(order + "I", stream.read(4))
    if first >> 16:
        if first >> 16 > 4:
            raise _Damaged("a small element of more than 4 bytes")
        return first & 0xFFFF, first >> 16, 4
    (count,) = struct.unpack(order + "I", stream.read(4))
    return first, count, -(-count // 8) * 8


def _data(stream: _Stream, order: str, kinds: tuple[int, ...], most: int) -> bytes:
    kind, count, padded = _tag(stream, order)
    if kind not in kinds or count > most:
        raise _Damaged(f"element type {kind} of {count} bytes in an array's heading")
    return stream.read(padded)[:count]


def _array(stream: _Stream, order: str, names: set[str] | None, depth: int) -> None:
    """One array after its tag; ``names`` None = check it whatever its name."""
    if depth > _DEEPEST:
        raise _Damaged("structs nested too deep")
    flags = struct.unpack(order + "II", _data(stream, order, (6,), 8))[0]
    sides = _data(stream, order, (5,), 4 * 32)
    shape = struct.unpack(f"{order}{len(sides) // 4}i", sides)
    name = _data(stream, order, (1, 2, 16), 4096).decode("latin-1")
    if names is not None and name not in names:
        return
    if len(shape) < 2 or min(shape) < 0:
        raise _Damaged(f"{name or 'an array'} of shape {shape}")
    kind, parts = flags & 0xFF, 2 if flags & 0x800 else 1
    if kind in _NUMBERS or kind == _CHAR:
        for part in range(parts):
            padded = _values(stream, order, _TEXT if kind == _CHAR else _NUMERIC, math.prod(shape), kind != _CHAR)
            if part < parts - 1 or depth > 0:  # nothing follows the last part of an array that stands by itself
                stream.skip(padded)
    elif kind in (_CELL, _STRUCT):
        fields = _fields(stream, order) if kind == _STRUCT else 1
        try:
            _elements(stream, order, fields * math.prod(shape), depth)
        except _Foreign:
            raise _Foreign(name) from None
    else:
        raise _Foreign(name)


def _fields(stream: _Stream, order: str) -> int:
    """How many fields a struct has, past their names."""
    (length,) = struct.unpack(order + "i", _data(stream, order, (5,), 4))
    listed = _data(stream, order, (1,), 1 << 20)
    if length < 1:
        raise _Damaged(f"field names of length {length}")
    return len(listed) // length


def _elements(stream: _Stream, order: str, count: int, depth: int) -> None:
    """The arrays inside a cell or a struct."""
    for _ in range(count):
        kind, size, _ = _tag(stream, order)
        if kind != _MATRIX:
            raise _Damaged(f"element type {kind} where an array belongs")
        if size:
            _array(stream, order, None, depth + 1)


def _values(stream: _Stream, order: str, kinds: dict[int, int], elements: int, exact: bool) -> int:
    """Check the tag of an array's values and return how many bytes they take in the stream."""
    kind, count, padded = _tag(stream, order)
    if kind not in kinds:
        raise _Damaged(f"element type {kind} where numbers belong")
    if exact and count != elements * kinds[kind]:
        raise _Damaged(f"{count} bytes for {elements} numbers of {kinds[kind]}")
    return padded

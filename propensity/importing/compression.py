"""Compressed files, as joblib writes them: read as a stream, within bounds, so that none fills the memory."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO, cast

from propensity.model.gate import GateError
from propensity.model.stand_ins import RehearsalError

MAX_BYTES = 4 * 2**30
"""Most bytes of a model, decompressed or not."""

MAX_RATIO = 250
"""Most bytes that one compressed byte may stand for, in a stream of more than `FREE_BYTES`."""

FREE_BYTES = 64 * 2**20


def most_bytes(compressed: int) -> int:
    """Return how many bytes a model may have, of how many it has when compressed."""
    return min(MAX_BYTES, max(FREE_BYTES, MAX_RATIO * compressed))


def is_compressed(content: bytes) -> bool:
    """Say whether a file is compressed, of its first bytes."""
    return _decompressor(content) is not None


def opened(content: bytes) -> BinaryIO:
    """Return a file as a stream, which decompresses it if need be.

    The stream raises `RehearsalError` where it exceeds the bounds.

    Raises:
        GateError: it is compressed in a way that Python can't read.
    """
    if content.startswith(b"\x04\x22\x4d\x18"):
        raise GateError("compressed with lz4; write it again with `joblib.dump(pipeline, file, compress=3)`")
    decompressor = _decompressor(content)
    if decompressor is None:
        return io.BytesIO(content)
    return cast("BinaryIO", _Bounded(decompressor(io.BytesIO(content)), len(content)))


def _decompressor(content: bytes) -> Callable[[BinaryIO], Any] | None:
    for start, decompressor in _DECOMPRESSORS.items():
        if content.startswith(start):
            return decompressor
    return None


class _Inflated(io.RawIOBase):
    """A zlib stream, decompressed as it is read."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._machine = zlib.decompressobj()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._machine.eof:
            pending = self._machine.unconsumed_tail or self._source.read(_CHUNK)
            if not pending:
                raise EOFError("the compressed data ends early")
            found = self._machine.decompress(pending, len(buffer))
            if found:
                buffer[: len(found)] = found
                return len(found)
        return 0


def _inflated(source: BinaryIO) -> io.BufferedReader:
    return io.BufferedReader(_Inflated(source), _CHUNK)


_CHUNK = 2**20

_DECOMPRESSORS: dict[bytes, Callable[[BinaryIO], Any]] = {
    b"\x78\x01": _inflated,
    b"\x78\x5e": _inflated,
    b"\x78\x9c": _inflated,
    b"\x78\xda": _inflated,
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
    b"\x5d\x00\x00": lzma.open,
}
"""First bytes: what reads the stream."""


class _Bounded:
    """A stream that stops a file which decompresses to more than a model has."""

    def __init__(self, stream: Any, compressed: int) -> None:
        self._stream = stream
        self._left = most_bytes(compressed)

    def read(self, size: int = -1) -> bytes:
        """Return as many bytes as are there, in parts that are counted before the next is read."""
        parts = []
        while size != 0:
            part = self._stream.read(_CHUNK if size < 0 else min(size, _CHUNK))
            if not part:
                break
            self._count(part)
            parts.append(part)
            size = max(-1, size - len(part))
        return b"".join(parts)

    def readline(self) -> bytes:
        """Return a line. No line of a pickle is long."""
        line: bytes = self._stream.readline(_CHUNK)
        self._count(line)
        return line

    def _count(self, part: bytes) -> None:
        self._left -= len(part)
        if self._left < 0:
            raise RehearsalError(
                "it decompresses to more than a model has; if it is one, write it without compression"
            )

"""Compressed files, as joblib writes them: read as a stream, within bounds, so that none fills the memory."""

from __future__ import annotations

import bz2
import io
import lzma
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO, Protocol, cast

from propensity.model.gate import GateError
from propensity.model.stand_ins import RehearsalError

MAX_BYTES = 4 * 2**30
"""Most bytes of a model, decompressed or not."""

MAX_RATIO = 250
"""Most bytes that one compressed byte may stand for, in a stream of more than `FREE_BYTES`."""

FREE_BYTES = 16 * 2**20


def most_bytes(compressed: int) -> int:
    """Return how many bytes a model may have, of how many it has when compressed."""
    return min(MAX_BYTES, max(FREE_BYTES, MAX_RATIO * compressed))


def is_compressed(content: bytes) -> bool:
    """Say whether a file is compressed, of its first bytes."""
    return _machine(content) is not None


def opened(content: bytes) -> BinaryIO:
    """Return a file as a stream, which decompresses it if need be.

    The stream raises `RehearsalError` where it exceeds the bounds.

    Raises:
        GateError: it is compressed in a way that Python can't read.
    """
    if content.startswith(b"\x04\x22\x4d\x18"):
        raise GateError("compressed with lz4; write it again with `joblib.dump(pipeline, file, compress=3)`")
    machine = _machine(content)
    if machine is None:
        return io.BytesIO(content)
    stream = io.BufferedReader(_Decompressed(content, machine()), _CHUNK)
    return cast("BinaryIO", _Bounded(stream, len(content)))


def _machine(content: bytes) -> Callable[[], _Machine] | None:
    for start, machine in _MACHINES.items():
        if content.startswith(start):
            return machine
    return None


class _Machine(Protocol):
    """What decompresses, a part at a time."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Zlib:
    """Zlib's machine, for zlib and gzip, as the machines of bz2 and lzma are."""

    def __init__(self) -> None:
        self._machine = zlib.decompressobj(zlib.MAX_WBITS + _ZLIB_OR_GZIP)

    @property
    def eof(self) -> bool:
        return self._machine.eof

    @property
    def needs_input(self) -> bool:
        return not self._machine.unconsumed_tail

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._machine.decompress(self._machine.unconsumed_tail + data, max_length)


class _Decompressed(io.RawIOBase):
    """A stream that is decompressed as it is read."""

    def __init__(self, content: bytes, machine: _Machine) -> None:
        self._source = io.BytesIO(content)
        self._machine = machine

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._machine.eof:
            part = self._source.read(_CHUNK) if self._machine.needs_input else b""
            if self._machine.needs_input and not part:
                raise EOFError("the compressed data ends early")
            found = self._machine.decompress(part, len(buffer))
            if found:
                buffer[: len(found)] = found
                return len(found)
        return 0


_CHUNK = 2**18
_ZLIB_OR_GZIP = 32
_LZMA_MEMORY = 256 * 2**20
"""For the dictionary of lzma, whose size the file states; the strongest level needs 64 MiB."""


def _lzma() -> _Machine:
    return lzma.LZMADecompressor(memlimit=_LZMA_MEMORY)


_MACHINES: dict[bytes, Callable[[], _Machine]] = {
    b"\x78\x01": _Zlib,
    b"\x78\x5e": _Zlib,
    b"\x78\x9c": _Zlib,
    b"\x78\xda": _Zlib,
    b"\x1f\x8b": _Zlib,
    b"BZh": bz2.BZ2Decompressor,
    b"\xfd7zXZ": _lzma,
    b"\x5d\x00\x00": _lzma,
}
"""First bytes of a file: what decompresses it."""


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

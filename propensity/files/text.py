"""Text files: a row is a line, and blank lines are skipped."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from propensity.contract.row import Row
from propensity.files.source import FileError, Piece, Source, reading
from propensity.formats.batch import Batch
from propensity.formats.json import BOM

MAX_LINE = 1024 * 1024
"""Longest line in bytes; no row is longer."""

COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
"""Compressions of text files by file suffix."""

BLANK = b" \t\r\n"

_READ_BYTES = 1024 * 1024
"""Bytes that are read at a time."""

Lines = tuple[int, bytes]
"""Some lines, and the number of the first of them in the file, from 1."""


class TextSource(Source):
    """Rows in a text file.

    Attributes:
        newline: how lines end, as `open` takes it.
    """

    newline: str

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Open the file for its bytes, decompressed, after the byte order mark."""
        compression = COMPRESSIONS.get(self.path.suffix.lower())
        with reading(self.path), pa.input_stream(str(self.path), compression=compression) as stream:
            file = io.BufferedReader(stream, _READ_BYTES)
            beginning = file.peek(len(BOM))
            if beginning.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in beginning[:2]:
                raise FileError(f"{self.path}: is UTF-16; `iconv -f UTF-16 -t UTF-8` makes it UTF-8")
            if beginning.startswith(BOM):
                file.read(len(BOM))
            yield file

    def blocks(self, size: int) -> Iterator[Lines]:
        """Yield the lines of the file, up to `size` at a time, without blocks that are blank.

        They end in a line feed each, but perhaps the last of the file.

        Raises:
            FileError: a line is longer than `MAX_LINE`.
        """
        number, text = 1, b""
        with self.open() as file:
            while more := self._read(file):
                text += more
                ends = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n")) + 1
                lengths = np.diff(ends, prepend=0, append=len(text))
                if (long := np.flatnonzero(lengths >= MAX_LINE)).size:
                    line = number + int(long[0])
                    raise FileError(f"{self.path}: line {line:,} is longer than {MAX_LINE:,} bytes")
                cut = 0
                for end in ends[size - 1 :: size].tolist():
                    if (block := text[cut:end]).strip(BLANK):
                        yield number, block
                    number, cut = number + size, end
                text = text[cut:]
        if text.strip(BLANK):
            yield number, text

    def _read(self, file: BinaryIO) -> bytes:
        """Return the next bytes of a file, in which lines end in a line feed."""
        more = file.read(_READ_BYTES)
        if self.newline == "" and b"\r" in more:
            while more.endswith(b"\r") and (following := file.read(1)):
                more += following
            more = more.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return more

    def piece_of(self, rows: Sequence[tuple[Row, str | None]]) -> Piece:
        """Return the piece of these rows.

        Args:
            rows: each with its id, which is ignored if the source has no column of ids.
        """
        ids = None if self.id_column is None else pa.array([row_id for _, row_id in rows], pa.string())
        return Piece(Batch.of([row for row, _ in rows], self.contract.columns), ids)

    def count(self) -> int:
        """Return the number of lines that are not blank."""
        ends = b"\r" if self.newline == "" else b"\n"
        count = 0
        with self.open() as file:
            while text := file.read(_READ_BYTES) + file.readline():
                count += sum(1 for line in text.replace(ends, b"\n").split(b"\n") if line.strip(BLANK))
        return count


def split(text: bytes) -> list[bytes]:
    """Return the lines of a text that are not blank."""
    return [line for line in text.split(b"\n") if line.strip(BLANK)]


def numbered(lines: Lines) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that are not blank, each with its number."""
    first, text = lines
    return ((number, line) for number, line in enumerate(text.split(b"\n"), first) if line.strip(BLANK))

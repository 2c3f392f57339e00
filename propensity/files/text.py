"""Files of text: a row is a line, and an empty line says nothing."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import AnyStr, BinaryIO, TextIO

import pyarrow as pa

from propensity.contract.application import Row
from propensity.files.source import FileError, Piece, Source, reading
from propensity.formats.batch import Batch
from propensity.formats.json import BOM

MAX_LINE = 1024 * 1024
"""Bytes, or characters, of a line of CSV or NDJSON; what is longer is no application."""

COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
"""Of text, by the end of the file's name."""


BLANK = " \t\r\n"


class TextSource(Source):
    """Applications in a file of text."""

    ends: str
    """How lines end, as `open` has it."""

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """The bytes of the file, unpacked, behind the byte order mark."""
        compression = COMPRESSIONS.get(self.path.suffix.lower())
        with reading(self.path), pa.input_stream(str(self.path), compression=compression) as stream:
            file = io.BufferedReader(stream)
            beginning = file.peek(len(BOM))
            if beginning.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in beginning[:2]:
                raise FileError(f"{self.path}: is UTF-16; `iconv -f UTF-16 -t UTF-8` makes it UTF-8")
            if beginning.startswith(BOM):
                file.read(len(BOM))
            yield file

    def numbered(self, file: TextIO | BinaryIO, blank: AnyStr) -> Iterator[tuple[int, AnyStr]]:
        """The lines that are not empty, with their numbers."""
        number = 0
        while line := file.readline(MAX_LINE):
            number += 1
            if len(line) == MAX_LINE:
                raise FileError(f"{self.path}: line {number:,} is longer than {MAX_LINE:,} bytes")
            if line.strip(blank):  # type: ignore[arg-type]
                yield number, line  # type: ignore[misc]

    def piece_of(self, rows: Sequence[tuple[Row, str | None]]) -> Piece:
        """Return the piece of these rows.

        Args:
            rows: each with its id, which only counts where the source has a column of ids.
        """
        ids = None if self.id_column is None else pa.array([name for _, name in rows], pa.string())
        return Piece(Batch.of([row for row, _ in rows]), ids)

    def count(self) -> int:
        """Lines that are not empty."""
        with self.open() as file:
            text = io.TextIOWrapper(file, encoding="latin-1", newline=self.ends)
            return sum(1 for line in text if line.strip(BLANK))

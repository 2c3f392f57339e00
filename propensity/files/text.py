"""Text files: a row is a line, and blank lines are skipped."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import AnyStr, BinaryIO, TextIO

import pyarrow as pa

from propensity.contract.row import Row
from propensity.files.source import FileError, Piece, Source, reading
from propensity.formats.batch import Batch
from propensity.formats.json import BOM

MAX_LINE = 1024 * 1024
"""Longest line in bytes (NDJSON) or characters (CSV); no row is longer."""

COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
"""Compressions of text files by file suffix."""

BLANK = " \t\r\n"


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
            file = io.BufferedReader(stream)
            beginning = file.peek(len(BOM))
            if beginning.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in beginning[:2]:
                raise FileError(f"{self.path}: is UTF-16; `iconv -f UTF-16 -t UTF-8` makes it UTF-8")
            if beginning.startswith(BOM):
                file.read(len(BOM))
            yield file

    def numbered(self, file: TextIO | BinaryIO, blank: AnyStr) -> Iterator[tuple[int, AnyStr]]:
        """Yield the lines that are not blank, with their numbers from 1.

        Raises:
            FileError: a line is longer than `MAX_LINE`.
        """
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
            rows: each with its id, which is ignored if the source has no column of ids.
        """
        ids = None if self.id_column is None else pa.array([row_id for _, row_id in rows], pa.string())
        return Piece(Batch.of([row for row, _ in rows], self.contract.columns), ids)

    def count(self) -> int:
        """Return the number of lines that are not blank."""
        with self.open() as file:
            text = io.TextIOWrapper(file, encoding="latin-1", newline=self.newline)
            return sum(1 for line in text if line.strip(BLANK))

"""Rows in Parquet files."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from propensity.contract.contract import Contract
from propensity.contract.limits import MAX_TABLE_ROWS
from propensity.files.source import Piece, Source, check_columns, reading


class Chunk(NamedTuple):
    """Rows of a row group, from `start` up to, without, `stop`."""

    group: int
    start: int
    stop: int


class ParquetSource(Source):
    """A Parquet file with a column for each field, and perhaps one of ids."""

    _group = -1
    """The row group that is being read, and its next row."""
    _place = 0
    _batches: Iterator[pa.RecordBatch] = iter(())

    @property
    def total(self) -> int:
        """Number of rows, from the footer."""
        return self.count()

    def count(self) -> int:
        """Return the number of rows, from the footer."""
        with reading(self.path):
            return int(pq.ParquetFile(self.path).metadata.num_rows)

    def check(self) -> pa.DataType | None:
        """Check the schema."""
        with reading(self.path):
            return check_columns(
                pq.ParquetFile(self.path).schema_arrow, self.contract, self.id_column, self.path
            )

    def chunks(self) -> Iterator[Chunk]:
        """Yield where the rows are, one row group after the other."""
        with reading(self.path):
            metadata = pq.ParquetFile(self.path).metadata
        for group in range(metadata.num_row_groups):
            rows = metadata.row_group(group).num_rows
            for start in range(0, rows, MAX_TABLE_ROWS):
                yield Chunk(group, start, min(start + MAX_TABLE_ROWS, rows))

    def piece(self, chunk: Chunk) -> Piece:
        """Read the rows of a chunk."""
        with reading(self.path):
            return Piece.of(self._read(chunk), self.contract, self.id_column)

    def _read(self, chunk: Chunk) -> pa.Table:
        """Read rows; what lies before them in their row group must be read too, but only once."""
        if chunk.group != self._group or chunk.start < self._place:
            # One row group at a time: a reader of several keeps them all.
            batches = self._file.iter_batches(MAX_TABLE_ROWS, row_groups=[chunk.group], use_threads=False)
            self._group, self._place, self._batches = chunk.group, 0, batches
        read = []
        while self._place < chunk.stop:
            batch = next(self._batches)
            self._place += batch.num_rows
            if self._place > chunk.start:
                read.append(batch)
        return pa.Table.from_batches(read)

    @cached_property
    def _file(self) -> pq.ParquetFile:
        texts = _dictionaries(pq.ParquetFile(self.path).metadata, self.contract)
        return pq.ParquetFile(self.path, read_dictionary=texts)


def _dictionaries(metadata: pq.FileMetaData, contract: Contract) -> list[str]:
    """Return the categories to read as dictionaries; pyarrow can't where values are delta-encoded."""
    readable: dict[str, bool] = {}
    for group in range(metadata.num_row_groups):
        for place in range(metadata.num_columns):
            column = metadata.row_group(group).column(place)
            name = column.path_in_schema
            if name in contract.columns.categories:
                is_plain = not any(encoding.startswith("DELTA_") for encoding in column.encodings)
                readable[name] = is_plain and readable.get(name, True)
    return [name for name, can in readable.items() if can]

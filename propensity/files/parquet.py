"""Rows in Parquet files."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from propensity.contract.contract import Contract
from propensity.contract.limits import MAX_TABLE_ROWS
from propensity.files.source import Piece, Source, check_columns, reading


class ParquetSource(Source):
    """A Parquet file with a column for each field, and perhaps one of ids."""

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

    def chunks(self) -> Iterator[pa.RecordBatch]:
        """Yield record batches, one row group after the other: a reader of several keeps them all."""
        with reading(self.path):
            texts = _dictionaries(pq.ParquetFile(self.path).metadata, self.contract)
            file = pq.ParquetFile(self.path, read_dictionary=texts)
            for group in range(file.num_row_groups):
                for batch in file.iter_batches(MAX_TABLE_ROWS, row_groups=[group], use_threads=False):
                    if batch.num_rows:
                        yield batch

    def piece(self, chunk: pa.RecordBatch) -> Piece:
        """Return the piece of a record batch."""
        return Piece.of(chunk, self.contract, self.id_column)


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

"""Applications in Parquet files."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from propensity.contract.application import CATEGORIES
from propensity.contract.limits import MAX_TABLE_ROWS
from propensity.files.source import Piece, Source, check_columns, reading


class ParquetSource(Source):
    """A Parquet file; its columns are the fields, and perhaps an id."""

    @property
    def total(self) -> int:
        """As its footer says."""
        return self.count()

    def count(self) -> int:
        """As its footer says."""
        with reading(self.path):
            return int(pq.ParquetFile(self.path).metadata.num_rows)

    def check(self) -> pa.DataType | None:
        """By its schema."""
        with reading(self.path):
            return check_columns(pq.ParquetFile(self.path).schema_arrow, self.id_column, self.path)

    def chunks(self) -> Iterator[pa.RecordBatch]:
        """Within a row group: the reader of several keeps what it has read."""
        with reading(self.path):
            texts = _dictionaries(pq.ParquetFile(self.path).metadata)
            file = pq.ParquetFile(self.path, read_dictionary=texts)
            for group in range(file.num_row_groups):
                for batch in file.iter_batches(MAX_TABLE_ROWS, row_groups=[group], use_threads=False):
                    if batch.num_rows:
                        yield batch

    def piece(self, chunk: pa.RecordBatch) -> Piece:
        """Return the piece of a record batch."""
        return Piece.of(chunk, self.id_column)


def _dictionaries(metadata: pq.FileMetaData) -> list[str]:
    """Categories that can be read as dictionaries: pyarrow makes none of values written as differences."""
    texts: dict[str, bool] = {}
    for group in range(metadata.num_row_groups):
        for place in range(metadata.num_columns):
            column = metadata.row_group(group).column(place)
            if column.path_in_schema in CATEGORIES:
                can = not any(encoding.startswith("DELTA_") for encoding in column.encodings)
                texts[column.path_in_schema] = can and texts.get(column.path_in_schema, True)
    return [name for name, can in texts.items() if can]

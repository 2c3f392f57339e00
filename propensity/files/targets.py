"""Files of predictions: Parquet, CSV and NDJSON, written a piece at a time and joined at the end."""

from __future__ import annotations

import csv
import json
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from propensity.files import ids


class OutputError(Exception):
    """Predictions can't be written; the message says where and why."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn errors of the block into an `OutputError` that names the file.

    Raises:
        OutputError: the file can't be written.
    """
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        number = getattr(error, "errno", None)
        reason = os.strerror(number) if number else str(error).splitlines()[0]
        raise OutputError(
            f"{path}: can't be written: {reason}; once it can, start again: finished work is kept"
        ) from error


class Target(ABC):
    """A format of predictions: pieces are written to files of their own, and joined at the end."""

    @abstractmethod
    def write(self, table: pa.Table, path: Path) -> None:
        """Write a piece."""

    def join(self, parts: Sequence[Path], path: Path) -> None:
        """Join the files of the pieces into one."""
        concatenate(parts, path)

    @abstractmethod
    def count(self, path: Path) -> int:
        """Return the number of predictions in a file: rows with a propensity."""


class ParquetTarget(Target):
    """A Parquet file."""

    def write(self, table: pa.Table, path: Path) -> None:
        """Write a piece as a row group."""
        pq.write_table(table, path, compression="snappy")

    def join(self, parts: Sequence[Path], path: Path) -> None:
        """Write the row groups one after the other."""
        with pq.ParquetWriter(path, pq.read_schema(parts[0]), compression="snappy") as writer:
            for part in parts:
                writer.write_table(pq.read_table(part, use_threads=False))

    def count(self, path: Path) -> int:
        """Return the number of rows with a propensity."""
        batches = pq.ParquetFile(path).iter_batches(columns=["propensity"], use_threads=False)
        return sum(batch.num_rows - batch.column(0).null_count for batch in batches)


class CsvTarget(Target):
    """A CSV file with a header."""

    def write(self, table: pa.Table, path: Path) -> None:
        """Write a piece with its header."""
        pa.csv.write_csv(_with_spelt_ids(without_dictionaries(table)), path)

    def join(self, parts: Sequence[Path], path: Path) -> None:
        """Join the pieces below one header."""
        concatenate(parts, path, head_lines=1)

    def count(self, path: Path) -> int:
        """Return the number of rows with a propensity, below the header."""
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.reader(file)
            place = next(rows).index("propensity")
            return sum(1 for row in rows if row[place])


class NdJsonTarget(Target):
    """A file with one prediction per line, with nulls where the row has a problem."""

    def write(self, table: pa.Table, path: Path) -> None:
        """Write the lines of a piece."""
        with path.open("w", encoding="utf-8") as file:
            for row in _with_spelt_ids(table).to_pylist():
                file.write(f"{json.dumps(row, separators=(',', ':'), allow_nan=False)}\n")

    def count(self, path: Path) -> int:
        """Return the number of lines whose propensity is not null."""
        with path.open("rb") as file:
            # No id can contain this: its quotes would be escaped.
            return sum(1 for line in file if b'"propensity":null' not in line)


def concatenate(parts: Sequence[Path], path: Path, head_lines: int = 0) -> None:
    """Write several files into one.

    Args:
        parts: files to read, in order.
        path: file to write.
        head_lines: number of first lines to leave out of all parts but the first.
    """
    with path.open("wb") as file:
        for number, part in enumerate(parts):
            with part.open("rb") as piece:
                for _ in range(head_lines if number else 0):
                    piece.readline()
                shutil.copyfileobj(piece, file)


def without_dictionaries(table: pa.Table) -> pa.Table:
    """Return the table with dictionaries decoded, which CSV and Spark can't hold."""
    fields = [
        field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field
        for field in table.schema
    ]
    return table.cast(pa.schema(fields))


def _with_spelt_ids(table: pa.Table) -> pa.Table:
    if "id" not in table.column_names:
        return table
    place = table.column_names.index("id")
    return table.set_column(place, "id", ids.spell(table["id"].combine_chunks()))


TARGETS: dict[str, type[Target]] = {
    ".parquet": ParquetTarget,
    ".csv": CsvTarget,
    ".ndjson": NdJsonTarget,
    ".jsonl": NdJsonTarget,
}
"""Targets by file suffix, in lower case."""

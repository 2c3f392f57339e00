"""Files of predictions: Parquet, CSV and NDJSON, written a piece at a time and joined in the end."""

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
    """Predictions that can't be written; the message says where and why."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What fails in the block is the fault of this output.

    Raises:
        OutputError: it can't be written.
    """
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        number = getattr(error, "errno", None)
        reason = os.strerror(number) if number else str(error).splitlines()[0]
        raise OutputError(
            f"{path}: can't be written: {reason}; once it can, start again: what is done is kept"
        ) from error


class Target(ABC):
    """How predictions are written: pieces by themselves, and joined in the end."""

    @abstractmethod
    def write(self, table: pa.Table, path: Path) -> None:
        """Write a piece."""

    def join(self, parts: Sequence[Path], path: Path) -> None:
        """Make one file of the pieces."""
        concatenate(parts, path)

    @abstractmethod
    def count(self, path: Path) -> int:
        """How many predictions a file has: rows with a propensity."""


class ParquetTarget(Target):
    """A Parquet file."""

    def write(self, table: pa.Table, path: Path) -> None:
        """A row group."""
        pq.write_table(table, path, compression="snappy")

    def join(self, parts: Sequence[Path], path: Path) -> None:
        """The row groups, one after the other."""
        with pq.ParquetWriter(path, pq.read_schema(parts[0]), compression="snappy") as writer:
            for part in parts:
                writer.write_table(pq.read_table(part, use_threads=False))

    def count(self, path: Path) -> int:
        """Of all row groups."""
        batches = pq.ParquetFile(path).iter_batches(columns=["propensity"], use_threads=False)
        return sum(batch.num_rows - batch.column(0).null_count for batch in batches)


class CsvTarget(Target):
    """A CSV file with a line of names."""

    def write(self, table: pa.Table, path: Path) -> None:
        """With the line of names."""
        pa.csv.write_csv(_spelt(plain(table)), path)

    def join(self, parts: Sequence[Path], path: Path) -> None:
        """The line of names stands once."""
        concatenate(parts, path, head_lines=1)

    def count(self, path: Path) -> int:
        """Below the line of names."""
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.reader(file)
            place = next(rows).index("propensity")
            return sum(1 for row in rows if row[place])


class NdJsonTarget(Target):
    """A prediction a line; null, where there is none."""

    def write(self, table: pa.Table, path: Path) -> None:
        """Its lines."""
        with path.open("w", encoding="utf-8") as file:
            for row in _spelt(table).to_pylist():
                file.write(f"{json.dumps(row, separators=(',', ':'), allow_nan=False)}\n")

    def count(self, path: Path) -> int:
        """Lines whose propensity is not null."""
        with path.open("rb") as file:
            # Nothing within an id looks like this: its quotes would be escaped.
            return sum(1 for line in file if b'"propensity":null' not in line)


def concatenate(parts: Sequence[Path], path: Path, head_lines: int = 0) -> None:
    """One file of several.

    Args:
        parts: in order.
        path: of the one.
        head_lines: that only the first keeps.
    """
    with path.open("wb") as file:
        for number, part in enumerate(parts):
            with part.open("rb") as piece:
                for _ in range(head_lines if number else 0):
                    piece.readline()
                shutil.copyfileobj(piece, file)


def plain(table: pa.Table) -> pa.Table:
    """Without dictionaries, which CSV has no place for."""
    plain = [
        field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field
        for field in table.schema
    ]
    return table.cast(pa.schema(plain))


def _spelt(table: pa.Table) -> pa.Table:
    """With ids as CSV and JSON can have them."""
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
"""By the end of the file's name, in letters of either case."""

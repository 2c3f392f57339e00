"""Files of predictions: Parquet, CSV and NDJSON, written a piece at a time and joined in the end."""

from __future__ import annotations

import json
import shutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq


class Target(ABC):
    """How predictions are written: pieces by themselves, and joined in the end."""

    @abstractmethod
    def write(self, table: pa.Table, path: Path) -> None:
        """Write a piece."""

    def join(self, parts: Sequence[Path], path: Path) -> None:
        """Make one file of the pieces."""
        concatenate(parts, path)


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


class CsvTarget(Target):
    """A CSV file with a line of names."""

    def write(self, table: pa.Table, path: Path) -> None:
        """With the line of names."""
        pa.csv.write_csv(plain(table), path)

    def join(self, parts: Sequence[Path], path: Path) -> None:
        """The line of names stands once."""
        concatenate(parts, path, head_lines=1)


class NdJsonTarget(Target):
    """A prediction a line; null, where there is none."""

    def write(self, table: pa.Table, path: Path) -> None:
        """Its lines."""
        with path.open("w", encoding="utf-8") as file:
            for row in table.to_pylist():
                file.write(f"{json.dumps(row, separators=(',', ':'))}\n")


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


TARGETS: dict[str, type[Target]] = {".parquet": ParquetTarget, ".csv": CsvTarget, ".ndjson": NdJsonTarget}
"""By the end of the file's name."""

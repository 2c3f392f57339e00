"""Files of applications, of any size: read a piece at a time, by the contract of the API."""

from __future__ import annotations

import csv
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from propensity import strict_json, tables
from propensity.batch import Batch
from propensity.contract import CATEGORIES, Row, read_row
from propensity.formats import NdJson
from propensity.limits import MAX_ROWS, MAX_TABLE_ROWS
from propensity.problem import Kind, Problem, ProblemError


class FileError(Exception):
    """A file that can't be scored; the message says where and why."""


@dataclass(frozen=True)
class Piece:
    """Some rows of the input, in order.

    Attributes:
        batch: the rows.
        ids: what the applications are called, one for each row, or nothing.
    """

    batch: Batch
    ids: pa.Array | None


class Source(ABC):
    """A file of applications."""

    def __init__(self, path: Path, id_column: str | None) -> None:
        self.path = path
        self.id_column = id_column

    @property
    def total(self) -> int | None:
        """How many rows it has, where that is known beforehand."""
        return None

    @abstractmethod
    def pieces(self, skipped: int) -> Iterator[Piece]:
        """Its rows, without the first pieces.

        Args:
            skipped: pieces that are not wanted any more.

        Raises:
            FileError: it can't be read.
        """


class ParquetSource(Source):
    """A Parquet file; its columns are the fields, and perhaps an id."""

    @property
    def total(self) -> int:
        """As its footer says."""
        return int(pq.ParquetFile(self.path).metadata.num_rows)

    def pieces(self, skipped: int) -> Iterator[Piece]:
        """Of as many rows as a request may have, within a row group."""
        file = pq.ParquetFile(self.path)
        schema = file.schema_arrow
        if self.id_column is not None:
            schema = _without(schema, self.id_column, self.path)
        tables.check_schema(schema)
        texts = [name for name in schema.names if name in CATEGORIES]
        file = pq.ParquetFile(self.path, read_dictionary=texts)
        for batch in islice(self._batches(file), skipped, None):
            table = pa.Table.from_batches([batch])
            ids = None
            if self.id_column is not None:
                ids, table = table[self.id_column].combine_chunks(), table.drop_columns(self.id_column)
            yield Piece(tables.read(table), ids)

    @staticmethod
    def _batches(file: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
        # Each row group by itself: the reader of several keeps what it has read.
        for group in range(file.num_row_groups):
            yield from file.iter_batches(MAX_TABLE_ROWS, row_groups=[group], use_threads=False)


def _without(schema: pa.Schema, name: str, path: Path) -> pa.Schema:
    if name not in schema.names:
        raise FileError(f"{path}: there is no column {name!r}; there are {', '.join(schema.names)}")
    return schema.remove(schema.get_field_index(name))


class CsvSource(Source):
    """A CSV file with a line of names; an empty cell is a missing value."""

    def pieces(self, skipped: int) -> Iterator[Piece]:
        """Of so many rows as a request of text may have."""
        with self.path.open(encoding="utf-8-sig", newline="") as file:
            lines = (cells for cells in csv.reader(file) if cells)  # empty lines say nothing
            names = next(lines, [])
            kept = [name for name in names if name != self.id_column]
            if self.id_column is not None and self.id_column not in names:
                raise FileError(f"{self.path}: there is no column {self.id_column!r}; there are {names}")
            tables.check_schema(
                pa.schema([(name, pa.string() if name in CATEGORIES else pa.float64()) for name in kept])
            )
            while rows := list(islice(lines, MAX_ROWS)):
                if skipped:
                    skipped -= 1
                else:
                    yield self._piece(names, rows)

    def _piece(self, names: Sequence[str], rows: list[list[str]]) -> Piece:
        ids = None
        if self.id_column is not None:
            place = names.index(self.id_column)
            ids = pa.array([row[place] if len(row) > place else None for row in rows], pa.string())
        try:
            columns = dict(zip(names, zip(*rows, strict=True), strict=True))
            return Piece(
                tables.read(
                    pa.table(
                        {name: _typed(name, columns[name]) for name in columns if name != self.id_column}
                    )
                ),
                ids,
            )
        except ValueError:
            # A row with more or fewer cells than the others, or a cell that is no number.
            return Piece(Batch.of([self._row(names, row) for row in rows]), ids)

    def _row(self, names: Sequence[str], cells: list[str]) -> Row:
        if len(cells) != len(names):
            detail = f"the row has {len(cells)} cells, the line of names {len(names)}"
            return Problem.of(Kind.INVALID_APPLICATION, detail)
        named = {name: cell for name, cell in zip(names, cells, strict=True) if name != self.id_column}
        return read_row({name: _value(name, cell) for name, cell in named.items()})


def _typed(name: str, cells: Sequence[str]) -> pa.Array:
    if name in CATEGORIES:
        return pa.array([cell or None for cell in cells], pa.string())
    return pa.array([float(cell) if cell else None for cell in cells], pa.float64())


def _value(name: str, cell: str) -> str | float | None:
    if not cell:
        return None
    try:
        return cell if name in CATEGORIES else float(cell)
    except ValueError:
        return cell


class NdJsonSource(Source):
    """An application a line; with an id, a member of it."""

    def pieces(self, skipped: int) -> Iterator[Piece]:
        """Of so many rows as a request of text may have."""
        with self.path.open("rb") as file:
            lines = (line for line in file if line.strip())
            while rows := list(islice(lines, MAX_ROWS)):
                if skipped:
                    skipped -= 1
                    continue
                if self.id_column is None:
                    yield Piece(NdJson().read(b"".join(rows)), None)
                else:
                    yield self._named(rows)

    def _named(self, lines: list[bytes]) -> Piece:
        """A piece of lines that each have an id."""
        rows: list[Row] = []
        ids: list[str | None] = []
        for number, line in enumerate(lines):
            name = None
            try:
                row = strict_json.parse(line, f"application {number}")
                if isinstance(row, dict):
                    name = row.pop(self.id_column, None)
                rows.append(read_row(row, number))
            except ProblemError as error:
                rows.append(error.problem)
            ids.append(None if name is None else str(name))
        return Piece(Batch.of(rows), pa.array(ids, pa.string()))


SOURCES: dict[str, type[Source]] = {".parquet": ParquetSource, ".csv": CsvSource, ".ndjson": NdJsonSource}
"""By the end of the file's name."""

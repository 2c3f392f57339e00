"""Files of predictions: Parquet, CSV and NDJSON, written a piece at a time and joined at the end."""

from __future__ import annotations

import json
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
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

    @contextmanager
    def joining(self, path: Path) -> Iterator[Callable[[Path], None]]:
        """Join the files of the pieces into one; gives the function to call with each of them, in order."""
        with path.open("wb") as file:
            yield partial(self._append, file)

    def _append(self, file: BinaryIO, part: Path) -> None:
        append(file, part)

    @abstractmethod
    def count(self, path: Path) -> int:
        """Return the number of predictions in a file: rows with a propensity."""


class ParquetTarget(Target):
    """A Parquet file."""

    def write(self, table: pa.Table, path: Path) -> None:
        """Write a piece as an Arrow file, which costs least to read again."""
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table)

    @contextmanager
    def joining(self, path: Path) -> Iterator[Callable[[Path], None]]:
        """Write each piece as a row group."""
        with ExitStack() as stack:
            writers: list[pq.ParquetWriter] = []

            def add(part: Path) -> None:
                with pa.memory_map(str(part)) as file:
                    table = pa.ipc.open_file(file).read_all()
                    if not writers:
                        writer = pq.ParquetWriter(path, table.schema, compression="snappy")
                        writers.append(stack.enter_context(writer))
                    writers[0].write_table(table)

            yield add

    def count(self, path: Path) -> int:
        """Return the number of rows with a propensity."""
        batches = pq.ParquetFile(path).iter_batches(columns=["propensity"], use_threads=False)
        return sum(batch.num_rows - batch.column(0).null_count for batch in batches)


class CsvTarget(Target):
    """A CSV file with a header."""

    def write(self, table: pa.Table, path: Path) -> None:
        """Write a piece with its header."""
        pa.csv.write_csv(_with_spelt_ids(without_dictionaries(table)), path)

    def _append(self, file: BinaryIO, part: Path) -> None:
        """Append a piece, below one header."""
        append(file, part, head_lines=1 if file.tell() else 0)

    def count(self, path: Path) -> int:
        """Return the number of rows with a propensity, below the header."""
        reader = pa.csv.open_csv(
            path,
            pa.csv.ReadOptions(use_threads=False),
            pa.csv.ParseOptions(newlines_in_values=True),
            pa.csv.ConvertOptions(include_columns=["propensity"], column_types={"propensity": pa.float64()}),
        )
        return sum(batch.num_rows - batch.column(0).null_count for batch in reader)


class NdJsonTarget(Target):
    """A file with one prediction per line, with nulls where the row has a problem."""

    def write(self, table: pa.Table, path: Path) -> None:
        """Write the lines of a piece."""
        table = _with_spelt_ids(table)
        line: Any = msgspec.defstruct("Line", table.column_names, gc=False)
        columns = [_as_json(column.combine_chunks()) for column in table.columns]
        path.write_bytes(msgspec.json.Encoder().encode_lines([*map(line, *columns)]))

    def count(self, path: Path) -> int:
        """Return the number of lines whose propensity is not null."""
        count = 0
        with path.open("rb") as file:
            while lines := file.read(_READ_BYTES) + file.readline():
                # No id can contain this: its quotes would be escaped.
                count += lines.count(b"\n") - lines.count(b'"propensity":null')
        return count


_READ_BYTES = 1024 * 1024


def _as_json(column: pa.Array) -> list[Any]:
    """Return values that msgspec writes as Python would."""
    if pa.types.is_dictionary(column.type):
        known = [*_as_json(column.dictionary), None]
        return [known[place] for place in column.indices.fill_null(len(known) - 1).to_pylist()]
    values: list[Any] = column.to_pylist()
    if pa.types.is_floating(column.type):
        return [value if value is None or _LEAST <= value < _MOST else _spelt(value) for value in values]
    if pa.types.is_string(column.type):
        texts = "".join(value for value in values if value is not None)
        if not (texts.isascii() and texts.isprintable()):
            return [None if value is None else _spelt(value) for value in values]
    return values


_LEAST, _MOST = 1e-4, 1e16
"""Between them, msgspec and Python write a number alike."""


def _spelt(value: float | str) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value, allow_nan=False).encode())


def append(file: BinaryIO, part: Path, head_lines: int = 0) -> None:
    """Append a file to one that is being written.

    Args:
        file: the latter.
        part: the former.
        head_lines: number of its first lines to leave out.
    """
    with part.open("rb") as piece:
        for _ in range(head_lines):
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

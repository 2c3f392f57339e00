"""Files of applications, of any size: read a piece at a time, by the contract of the API."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, AnyStr, BinaryIO, TextIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from propensity.contract.application import CATEGORIES, FEATURES, Row, read_row
from propensity.contract.limits import MAX_ROWS, MAX_TABLE_ROWS
from propensity.contract.problem import Kind, Problem, ProblemError
from propensity.formats import ndjson, tables
from propensity.formats.batch import Batch
from propensity.formats.json import BOM, read_lines_fast

MAX_LINE = 1024 * 1024
"""Bytes, or characters, of a line of CSV or NDJSON; what is longer is no application."""


class FileError(Exception):
    """A file that can't be scored; the message says where and why."""


@dataclass(frozen=True)
class Piece:
    """Some rows of the input, in order.

    Attributes:
        batch: the rows.
        ids: what the applications are called, one for each row, or nothing.
        file: that they are of, where there are several.
    """

    batch: Batch
    ids: pa.Array | None
    file: Path | None = None


class Source(ABC):
    """A file of applications."""

    def __init__(self, path: Path, id_column: str | None) -> None:
        self.path = path
        self.id_column = id_column

    @property
    def files(self) -> list[Path]:
        """What is read, in order."""
        return [self.path]

    @property
    def total(self) -> int | None:
        """How many rows it has, where that is known beforehand."""
        return None

    @abstractmethod
    def check(self) -> pa.DataType | None:
        """See that its columns are fields, before any row is read.

        Returns:
            The type of the ids; None, where there are none.

        Raises:
            FileError: they are not.
        """

    @abstractmethod
    def chunks(self) -> Iterator[Any]:
        """Its rows as they are in the file, so many at a time as a request may have.

        Raises:
            FileError: it can't be read.
        """

    @abstractmethod
    def piece(self, chunk: Any) -> Piece:
        """The rows of a chunk.

        Raises:
            FileError: nobody could say which rows they are.
        """

    def pieces(self, skipped: int) -> Iterator[Piece]:
        """Its rows, without the first pieces.

        Args:
            skipped: pieces that are not wanted any more.

        Raises:
            FileError: it can't be read.
        """
        return map(self.piece, islice(self.chunks(), skipped, None))

    @abstractmethod
    def count(self) -> int:
        """How many rows it has, found without any of what reads them."""


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """What is wrong within a file is said with its name; what fails below it, the system says."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        if getattr(error, "errno", None):
            raise
        raise FileError(f"{path}: {str(error).splitlines()[0]}") from error


class ParquetSource(Source):
    """A Parquet file; its columns are the fields, and perhaps an id."""

    @property
    def total(self) -> int:
        """As its footer says."""
        return self.count()

    def count(self) -> int:
        """As its footer says."""
        with _reading(self.path):
            return int(pq.ParquetFile(self.path).metadata.num_rows)

    def check(self) -> pa.DataType | None:
        """By its schema."""
        with _reading(self.path):
            return check_columns(pq.ParquetFile(self.path).schema_arrow, self.id_column, self.path)

    def chunks(self) -> Iterator[pa.RecordBatch]:
        """Within a row group: the reader of several keeps what it has read."""
        with _reading(self.path):
            texts = _dictionaries(pq.ParquetFile(self.path).metadata)
            file = pq.ParquetFile(self.path, read_dictionary=texts)
            for group in range(file.num_row_groups):
                for batch in file.iter_batches(MAX_TABLE_ROWS, row_groups=[group], use_threads=False):
                    if batch.num_rows:
                        yield batch

    def piece(self, chunk: pa.RecordBatch) -> Piece:
        """Its columns but the id."""
        table, ids = pa.Table.from_batches([chunk]), None
        if self.id_column is not None:
            ids, table = table[self.id_column].combine_chunks(), table.drop_columns(self.id_column)
        return Piece(tables.read(table), ids)


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


class _Lines(Source):
    """A file of text: a row is a line, and an empty line says nothing."""

    ends: str
    """How lines end, as `open` has it."""

    @contextmanager
    def _open(self) -> Iterator[BinaryIO]:
        """The bytes of the file, unpacked, behind the byte order mark."""
        compression = COMPRESSIONS.get(self.path.suffix.lower())
        with _reading(self.path), pa.input_stream(str(self.path), compression=compression) as stream:
            file = io.BufferedReader(stream)
            beginning = file.peek(len(BOM))
            if beginning.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in beginning[:2]:
                raise FileError(f"{self.path}: is UTF-16; `iconv -f UTF-16 -t UTF-8` makes it UTF-8")
            if beginning.startswith(BOM):
                file.read(len(BOM))
            yield file

    def _numbered(self, file: TextIO | BinaryIO, blank: AnyStr) -> Iterator[tuple[int, AnyStr]]:
        """The lines that are not empty, with their numbers."""
        number = 0
        while line := file.readline(MAX_LINE):
            number += 1
            if len(line) == MAX_LINE:
                raise FileError(f"{self.path}: line {number:,} is longer than {MAX_LINE:,} bytes")
            if line.strip(blank):  # type: ignore[arg-type]
                yield number, line  # type: ignore[misc]

    def count(self) -> int:
        """Lines that are not empty."""
        with self._open() as file:
            text = io.TextIOWrapper(file, encoding="latin-1", newline=self.ends)
            return sum(1 for line in text if line.strip(_BLANK))


_BLANK = " \t\r\n"


class CsvSource(_Lines):
    """A CSV file with a line of names; an empty cell is a missing value.

    A row is a line: a quote that is not closed on its line would else take the lines behind it along.
    """

    ends = ""  # any of \n, \r\n and \r

    def count(self) -> int:
        """Lines that are not empty, but the line of names."""
        return max(super().count() - 1, 0)

    def check(self) -> pa.DataType | None:
        """By the line of names."""
        for names, _ in self._parts(1):
            return self._check(names)
        return None if self.id_column is None else pa.string()

    def _check(self, names: Sequence[str]) -> pa.DataType | None:
        separator = next((each for each in ";\t|" if len(names) == 1 and each in names[0]), None)
        if separator is not None:
            raise FileError(f"{self.path}: separates cells by {separator!r}; write it with commas")
        types = [
            pa.float64() if name in FEATURES and name not in CATEGORIES else pa.string() for name in names
        ]
        schema = pa.schema(list(zip(names, types, strict=True)))
        return check_columns(schema, self.id_column, self.path)

    def chunks(self) -> Iterator[tuple[list[str], list[tuple[int, str]]]]:
        """The line of names, and lines with their numbers."""
        for names, lines in self._parts(MAX_ROWS):
            self._check(names)
            if lines:
                yield names, lines

    def _parts(self, rows: int) -> Iterator[tuple[list[str], list[tuple[int, str]]]]:
        try:
            with self._open() as file:
                text = io.TextIOWrapper(file, encoding="utf-8", newline=self.ends)
                lines = self._numbered(text, _BLANK)
                for number, line in lines:
                    try:
                        names = _cells(line, number)
                    except ProblemError as error:
                        raise FileError(f"{self.path}: {error.problem.detail}") from None
                    part = list(islice(lines, rows))
                    yield names, part
                    while part := list(islice(lines, rows)):
                        yield names, part
        except UnicodeDecodeError:
            raise FileError(f"{self.path}: {self._undecodable()}") from None

    def _undecodable(self) -> str:
        with self._open() as file:
            for number, line in enumerate(file, 1):
                try:
                    line.decode()
                except UnicodeDecodeError:
                    return (
                        f"line {number:,} is not UTF-8; if it is Latin-1, as of Excel,"
                        " `iconv -f WINDOWS-1252 -t UTF-8` makes it UTF-8"
                    )
        return "is not UTF-8"

    def piece(self, chunk: tuple[list[str], list[tuple[int, str]]]) -> Piece:
        """By columns; line by line, where a line is not like the others, or a cell is no number."""
        names, lines = chunk
        if not any(map(_is_doubtful, lines)):
            # A row with more or fewer cells than the others, or a cell that is no number.
            with suppress(ValueError, csv.Error):
                return self._columns(names, [line for _, line in lines])
        read = [self._row(names, number, line) for number, line in lines]
        ids = None if self.id_column is None else pa.array([name for _, name in read], pa.string())
        return Piece(Batch.of([row for row, _ in read]), ids)

    def _columns(self, names: Sequence[str], lines: Sequence[str]) -> Piece:
        columns = dict(zip(names, zip(*csv.reader(lines), strict=True), strict=True))
        ids = None if self.id_column is None else _texts(columns.pop(self.id_column))
        return Piece(tables.read(pa.table({name: _typed(name, columns[name]) for name in columns})), ids)

    def _row(self, names: Sequence[str], number: int, line: str) -> tuple[Row, str | None]:
        """A line's row, and its id."""
        try:
            cells = _cells(line, number)
        except ProblemError as error:
            return error.problem, None
        name = None
        if self.id_column is not None and len(cells) > (place := names.index(self.id_column)):
            name = cells[place] or None
        if len(cells) != len(names):
            detail = f"line {number:,} has {len(cells)} cells, the line of names {len(names)}"
            return Problem.of(Kind.INVALID_APPLICATION, detail), name
        if "\0" in line:
            return Problem.of(Kind.INVALID_APPLICATION, f"line {number:,} holds a NUL"), name
        named = {each: cell for each, cell in zip(names, cells, strict=True) if each != self.id_column}
        return read_row({each: _value(each, cell) for each, cell in named.items()}), name


_CELL = r'(?:"(?:[^"]|"")*+"|[^",\r\n]*+)'
_LINE = re.compile(rf"{_CELL}(?:,{_CELL})*[\r\n]*")
"""As RFC 4180 has it: the reader of Python takes a quote within a cell, and line ends within quotes."""


def _is_doubtful(numbered: tuple[int, str]) -> bool:
    return "\0" in numbered[1] or _has_stray_quotes(numbered[1])


def _has_stray_quotes(line: str) -> bool:
    return '"' in line and _LINE.fullmatch(line) is None


def _cells(line: str, number: int) -> list[str]:
    """The cells of a line.

    Raises:
        ProblemError: it is not CSV.
    """
    if _has_stray_quotes(line):
        raise ProblemError.of(
            Kind.INVALID_APPLICATION,
            f"line {number:,} has a stray quote: a quoted cell must end on its line, in front of a comma, and"
            " quotes within it be doubled",
        )
    try:
        (cells,) = csv.reader([line])
    except csv.Error as error:
        raise ProblemError.of(Kind.INVALID_APPLICATION, f"line {number:,} is not CSV: {error}") from None
    return cells


_NUMBER = r"[ \t]*-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?[ \t]*"
"""As JSON has it, with blanks around it."""


def _texts(cells: Sequence[str]) -> pa.Array:
    return pa.array([cell or None for cell in cells], pa.string())


def _typed(name: str, cells: Sequence[str]) -> pa.Array:
    texts = _texts(cells)
    if name in CATEGORIES:
        return texts
    if pc.any(pc.invert(pc.match_substring_regex(texts, f"^({_NUMBER})$"))).as_py():
        raise ValueError(name)
    return pc.ascii_trim(texts, " \t").cast(pa.float64())


def _value(name: str, cell: str) -> str | float | None:
    if not cell:
        return None
    return float(cell) if name not in CATEGORIES and re.fullmatch(_NUMBER, cell) else cell


class NdJsonSource(_Lines):
    """An application a line; with an id, a member of it."""

    ends = "\n"

    def check(self) -> pa.DataType | None:
        """Each line has names of its own."""
        return None if self.id_column is None else pa.string()

    def chunks(self) -> Iterator[tuple[list[tuple[int, bytes]], list[tuple[int, bytes]]]]:
        """Lines with their numbers, and the one behind them, in which an application may go on."""
        with self._open() as file:
            lines = self._numbered(file, _BLANK.encode())
            ahead = list(islice(lines, 1))
            while ahead:
                part = ahead + list(islice(lines, MAX_ROWS - 1))
                ahead = list(islice(lines, 1))
                yield part, ahead

    def piece(self, chunk: tuple[list[tuple[int, bytes]], list[tuple[int, bytes]]]) -> Piece:
        """Fast, where all are valid and have no id."""
        lines, ahead = chunk
        if self.id_column is None:
            features = read_lines_fast(b"".join(line for _, line in lines))
            if features is not None:
                return Piece(Batch(features, {}), None)
        try:
            parsed = islice(ndjson.parse(lines + ahead), len(lines))
            read = [self._row(line, number) for number, line in enumerate(parsed)]
        except ProblemError as error:
            raise FileError(f"{self.path}: {error.problem.detail}") from None
        ids = None if self.id_column is None else pa.array([name for _, name in read], pa.string())
        return Piece(Batch.of([row for row, _ in read]), ids)

    def _row(self, line: ndjson.Line, number: int) -> tuple[Row, str | None]:
        """A line's row, and its id."""
        if isinstance(line, ProblemError):
            return line.problem, None
        name = None
        if isinstance(line, dict) and self.id_column is not None:
            name = line.pop(self.id_column, None)
        if isinstance(name, int | float) and not isinstance(name, bool):
            name = json.dumps(name)
        if name is None or isinstance(name, str):
            return read_row(line, number), name
        detail = "the row has an id that is neither text nor a number"
        return Problem.of(Kind.INVALID_APPLICATION, detail), None


class Files(Source):
    """Several files, one after the other."""

    def __init__(self, name: Path, sources: Sequence[Source], id_column: str | None) -> None:
        super().__init__(name, id_column)
        self._sources = sources

    @property
    def files(self) -> list[Path]:
        """In the order in which they are read."""
        return [source.path for source in self._sources]

    @property
    def total(self) -> int | None:
        """Of all of them."""
        totals = [source.total for source in self._sources]
        return None if None in totals else sum(total for total in totals if total is not None)

    def count(self) -> int:
        """Of all of them."""
        return sum(source.count() for source in self._sources)

    def check(self) -> pa.DataType | None:
        """Each by itself; their ids must be of one type."""
        types = [source.check() for source in self._sources]
        for source, kind in zip(self._sources, types, strict=True):
            if kind != types[0]:
                raise FileError(
                    f"{source.path}: its {self.id_column} is {kind}, that of {self._sources[0].path}"
                    f" {types[0]}; write them as one type"
                )
        return types[0]

    def chunks(self) -> Iterator[tuple[Source, Any]]:
        """Each with the file it is of."""
        for source in self._sources:
            for chunk in source.chunks():
                yield source, chunk

    def piece(self, chunk: tuple[Source, Any]) -> Piece:
        """As its own file reads it."""
        source, rows = chunk
        return replace(source.piece(rows), file=source.path)


def check_columns(schema: pa.Schema, id_column: str | None, where: object) -> pa.DataType | None:
    """See that columns are the fields of an application, and perhaps an id.

    Args:
        schema: of the columns.
        id_column: that names the applications.
        where: they are, for the message.

    Returns:
        The type of the ids; None, where there are none.

    Raises:
        FileError: they are not, or ids of this type can't be written in every format.
    """
    kind, names = None, schema.names
    if id_column is not None:
        places = schema.get_all_field_indices(id_column)
        if len(places) != 1:
            found = f"there is no column {id_column!r}" if not places else f"{id_column!r} is there twice"
            raise FileError(f"{where}: {found}; there are {', '.join(names)}")
        kind = schema.field(places[0]).type
        if not _can_name(kind):
            raise FileError(
                f"{where}: {id_column} is {kind}, which can't name an application; cast it to text"
            )
        schema = schema.remove(places[0])
    try:
        tables.check_schema(schema)
    except ProblemError as error:
        wrong = "; ".join(f"{each.field!r} {each.detail}" for each in error.problem.errors or ())
        detail = error.problem.detail.partition(":")[0] if wrong else error.problem.detail
        said = f"{detail}: {wrong}" if wrong else detail
        raise FileError(f"{where}: {said}{_way_out(schema.names, id_column)}") from None
    return kind


def _can_name(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    is_uuid = isinstance(kind, pa.UuidType)
    is_span = pa.types.is_duration(kind) or pa.types.is_interval(kind)
    is_simple = pa.types.is_primitive(kind) or any(
        is_one(kind)
        for is_one in (
            pa.types.is_null,
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_string_view,
            pa.types.is_binary,
            pa.types.is_large_binary,
            pa.types.is_binary_view,
            pa.types.is_fixed_size_binary,
            pa.types.is_decimal,
        )
    )
    return is_uuid or (is_simple and not is_span)


def _way_out(names: Sequence[str], id_column: str | None) -> str:
    """What columns that are no fields may be."""
    for name in names:
        if not name or name.startswith(("Unnamed:", "__index_level_")):
            along = "" if id_column else f", or take it along as the id (--id {name or repr(name)})"
            return f". pandas writes its index as {name!r}: leave it out (index=False){along}"
    for name in names:
        if id_column is None and name not in FEATURES and name.lower().endswith("id"):
            return f". If {name!r} names the applications, take it along: --id {name}"
    return ""


COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
"""Of text, by the end of the file's name."""

SOURCES: dict[str, type[Source]] = {
    ".parquet": ParquetSource,
    ".csv": CsvSource,
    ".ndjson": NdJsonSource,
    ".jsonl": NdJsonSource,
}
"""By the end of the file's name, in letters of either case."""


def source_of(given: Sequence[Path], id_column: str | None) -> Source:
    """The applications of files, folders and patterns, in order.

    Args:
        given: a folder stands for all files below it, in the order of their names.
        id_column: that names the applications.

    Raises:
        FileError: there is none, or one of them is not of a kind that is read.
    """
    files = [file for path in given for file in _files(path, id_column)]
    sources = [_source(file, id_column) for file in files]
    return sources[0] if len(sources) == 1 else Files(given[0], sources, id_column)


def _source(file: Path, id_column: str | None) -> Source:
    name = file.with_suffix("") if file.suffix.lower() in COMPRESSIONS else file
    kind = SOURCES.get(name.suffix.lower())
    if kind is None or (name != file and not issubclass(kind, _Lines)):
        if name.suffix.lower() in {".arrow", ".arrows", ".feather", ".ipc"}:
            raise FileError(f"{file}: Arrow files (Feather) are not read; write it as Parquet")
        kinds = f"{', '.join(SOURCES)}, which says what is in it; text also in .gz or .zst"
        raise FileError(f"{file}: give it a name that ends in {kinds}")
    return kind(file, id_column)


def _files(path: Path, id_column: str | None) -> list[Path]:
    """The files that a path stands for."""
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if file.is_file())
        # As Spark and Hive do: `_SUCCESS`, checksums and what is still being written are no data.
        found = [file for file in found if not _is_hidden(file.relative_to(path).parts)]
        for file in found:
            for folder in file.relative_to(path).parts[:-1]:
                name = folder.partition("=")[0] if "=" in folder else None
                if name in FEATURES or (name is not None and name == id_column):
                    raise FileError(
                        f"{file.parent}: {name} is in the name of the folder, where it is not read; write it"
                        " into the files (without partitionBy)"
                    )
    elif path.exists():
        return [path]
    else:
        pattern = path.relative_to(path.anchor)
        found = sorted(file for file in Path(path.anchor).glob(os.fspath(pattern)) if file.is_file())
        found = [file for file in found if not _is_hidden(set(file.parts) - set(path.parts))]
    if not found:
        raise FileError(f"{path}: holds no files" if path.is_dir() else f"{path}: there is no such file")
    return found


def _is_hidden(parts: Iterable[str]) -> bool:
    return any(part.startswith(("_", ".")) for part in parts)

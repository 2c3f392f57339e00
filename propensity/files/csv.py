"""Rows in CSV files."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc

from propensity.contract.field import Field
from propensity.contract.limits import MAX_ROWS
from propensity.contract.problem import Kind, Problem, ProblemError
from propensity.contract.row import Row
from propensity.files.source import FileError, Piece, check_columns
from propensity.files.text import BLANK, TextSource


class CsvSource(TextSource):
    """A CSV file with a header; an empty cell is a missing value.

    A row is one line: otherwise a quote that is never closed would swallow the lines after it.
    """

    newline = ""  # lines end with \n, \r\n or \r

    def count(self) -> int:
        """Return the number of rows: lines that are not blank, without the header."""
        return max(super().count() - 1, 0)

    def check(self) -> pa.DataType | None:
        """Check the header."""
        for names, _ in self._read(1):
            separator = next((mark for mark in ";\t|" if len(names) == 1 and mark in names[0]), None)
            if separator is not None:
                raise FileError(f"{self.path}: separates cells by {separator!r}; write it with commas")
            schema = pa.schema([(name, _type(self.contract.by_name.get(name))) for name in names])
            return check_columns(schema, self.contract, self.id_column, self.path)
        return None if self.id_column is None else pa.string()

    def chunks(self) -> Iterator[tuple[list[str], list[tuple[int, str]]]]:
        """Yield the names of the columns with some lines and their numbers."""
        return ((names, lines) for names, lines in self._read(MAX_ROWS) if lines)

    def _read(self, size: int) -> Iterator[tuple[list[str], list[tuple[int, str]]]]:
        """Yield the header with `size` lines at a time; with none where the file has no rows."""
        try:
            with self.open() as file:
                text = io.TextIOWrapper(file, encoding="utf-8", newline=self.newline)
                lines = self.numbered(text, BLANK)
                for number, header in lines:
                    try:
                        names = _cells(header, number)
                    except ProblemError as error:
                        raise FileError(f"{self.path}: {error.problem.detail}") from None
                    part = list(islice(lines, size))
                    yield names, part
                    while part := list(islice(lines, size)):
                        yield names, part
        except UnicodeDecodeError:
            raise FileError(f"{self.path}: {self._undecodable()}") from None

    def _undecodable(self) -> str:
        """Return which line is not UTF-8: the decoder reads ahead and can't tell."""
        with self.open() as file:
            for number, line in enumerate(file, 1):
                try:
                    line.decode()
                except UnicodeDecodeError:
                    return (
                        f"line {number:,} is not UTF-8; if it is Latin-1, as Excel writes it,"
                        " `iconv -f WINDOWS-1252 -t UTF-8` makes it UTF-8"
                    )
        return "is not UTF-8"

    def piece(self, chunk: tuple[list[str], list[tuple[int, str]]]) -> Piece:
        """Read column by column; line by line if a line is malformed or a cell is not a number."""
        names, lines = chunk
        if not any("\0" in line or _has_stray_quotes(line) for _, line in lines):
            # ValueError: a row has more or fewer cells than the header, or a cell is not a number.
            with suppress(ValueError, csv.Error):
                columns = zip(names, zip(*csv.reader(line for _, line in lines), strict=True), strict=True)
                records = pa.record_batch(
                    {name: _column(self.contract.by_name.get(name), cells) for name, cells in columns}
                )
                return Piece.of(records, self.contract, self.id_column)
        return self.piece_of([self._row(names, number, line) for number, line in lines])

    def _row(self, names: Sequence[str], number: int, line: str) -> tuple[Row, str | None]:
        """Return the row on a line, and its id."""
        try:
            cells = _cells(line, number)
        except ProblemError as error:
            return error.problem, None
        row_id = None
        if self.id_column is not None and len(cells) > (place := names.index(self.id_column)):
            row_id = cells[place] or None
        if len(cells) != len(names):
            detail = f"line {number:,} has {len(cells)} cells, the header {len(names)}"
            return Problem.of(Kind.INVALID_ROW, detail), row_id
        if "\0" in line:
            return Problem.of(Kind.INVALID_ROW, f"line {number:,} holds a NUL"), row_id
        row = {
            name: _value(self.contract.by_name.get(name), cell)
            for name, cell in zip(names, cells, strict=True)
            if name != self.id_column
        }
        return self.contract.read_row(row), row_id


_CELL = r'(?:"(?:[^"]|"")*+"|[^",\r\n]*+)'
_LINE = re.compile(rf"{_CELL}(?:,{_CELL})*[\r\n]*")
"""A line as RFC 4180 has it; Python's reader also takes quotes inside a cell, and line ends inside quotes."""


def _has_stray_quotes(line: str) -> bool:
    return '"' in line and _LINE.fullmatch(line) is None


def _cells(line: str, number: int) -> list[str]:
    """Return the cells of a line.

    Raises:
        ProblemError: the line is not CSV.
    """
    if _has_stray_quotes(line):
        raise ProblemError.of(
            Kind.INVALID_ROW,
            f"line {number:,} has a stray quote: a quoted cell must end on its line, before a comma, with"
            " quotes inside it doubled",
        )
    try:
        (cells,) = csv.reader([line])
    except csv.Error as error:
        raise ProblemError.of(Kind.INVALID_ROW, f"line {number:,} is not CSV: {error}") from None
    return cells


_NUMBER = r"[ \t]*-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?[ \t]*"
"""A number as JSON has it, with blanks around it."""


_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}
"""How a boolean is spelt, in lower case."""


def _type(field: Field | None) -> pa.DataType:
    """Return the type of a field's column; any other column is text."""
    if field is None or field.categories is not None:
        return pa.string()
    return pa.bool_() if field.kind == "boolean" else pa.float64()


def _column(field: Field | None, cells: Sequence[str]) -> pa.Array:
    """Return a column; ValueError if a cell is not of the field's kind."""
    kind = _type(field)
    if kind == pa.bool_():
        booleans = [_BOOLEANS.get(cell.lower()) for cell in cells]
        if any(value is None and cell for value, cell in zip(booleans, cells, strict=True)):
            raise ValueError(field)
        return pa.array(booleans, kind)
    texts = pa.array([cell or None for cell in cells], pa.string())
    if kind == pa.string():
        return texts
    if pc.any(pc.invert(pc.match_substring_regex(texts, f"^({_NUMBER})$"))).as_py():
        raise ValueError(field)
    return pc.ascii_trim(texts, " \t").cast(pa.float64())


def _value(field: Field | None, cell: str) -> str | float | bool | None:
    if not cell:
        return None
    kind = _type(field)
    if kind == pa.bool_():
        return _BOOLEANS.get(cell.lower(), cell)
    return float(cell) if kind == pa.float64() and re.fullmatch(_NUMBER, cell) else cell

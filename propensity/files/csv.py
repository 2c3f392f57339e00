"""Applications in CSV files."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc

from propensity.contract.application import CATEGORIES, FEATURES, Row, read_row
from propensity.contract.limits import MAX_ROWS
from propensity.contract.problem import Kind, Problem, ProblemError
from propensity.files.source import FileError, Piece, check_columns
from propensity.files.text import BLANK, TextSource

_NUMBERS = frozenset(FEATURES) - CATEGORIES.keys()
"""Fields that are numbers; any other column is text."""


class CsvSource(TextSource):
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
        schema = pa.schema([(name, pa.float64() if name in _NUMBERS else pa.string()) for name in names])
        return check_columns(schema, self.id_column, self.path)

    def chunks(self) -> Iterator[tuple[list[str], list[tuple[int, str]]]]:
        """The line of names, and lines with their numbers."""
        for names, lines in self._parts(MAX_ROWS):
            self._check(names)
            if lines:
                yield names, lines

    def _parts(self, rows: int) -> Iterator[tuple[list[str], list[tuple[int, str]]]]:
        try:
            with self.open() as file:
                text = io.TextIOWrapper(file, encoding="utf-8", newline=self.ends)
                lines = self.numbered(text, BLANK)
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
        with self.open() as file:
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
        if not any("\0" in line or _has_stray_quotes(line) for _, line in lines):
            # A row with more or fewer cells than the others, or a cell that is no number.
            with suppress(ValueError, csv.Error):
                return self._columns(names, [line for _, line in lines])
        return self.piece_of([self._row(names, number, line) for number, line in lines])

    def _columns(self, names: Sequence[str], lines: Sequence[str]) -> Piece:
        columns = zip(names, zip(*csv.reader(lines), strict=True), strict=True)
        records = pa.record_batch({name: _column(name, cells) for name, cells in columns})
        return Piece.of(records, self.id_column)

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


def _column(name: str, cells: Sequence[str]) -> pa.Array:
    texts = pa.array([cell or None for cell in cells], pa.string())
    if name not in _NUMBERS:
        return texts
    if pc.any(pc.invert(pc.match_substring_regex(texts, f"^({_NUMBER})$"))).as_py():
        raise ValueError(name)
    return pc.ascii_trim(texts, " \t").cast(pa.float64())


def _value(name: str, cell: str) -> str | float | None:
    if not cell:
        return None
    return float(cell) if name in _NUMBERS and re.fullmatch(_NUMBER, cell) else cell

"""Rows in CSV files."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from propensity.contract.field import Field
from propensity.contract.limits import MAX_ROWS
from propensity.contract.problem import Kind, Problem, ProblemError
from propensity.contract.row import Row
from propensity.files.source import FileError, Piece, check_columns
from propensity.files.text import BLANK, Lines, TextSource, numbered


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
        for names, _ in self._read_lines(MAX_ROWS):
            separator = next((mark for mark in ";\t|" if len(names) == 1 and mark in names[0]), None)
            if separator is not None:
                raise FileError(f"{self.path}: separates cells by {separator!r}; write it with commas")
            schema = pa.schema([(name, _type(self.contract.by_name.get(name))) for name in names])
            return check_columns(schema, self.contract, self.id_column, self.path)
        return None if self.id_column is None else pa.string()

    def chunks(self) -> Iterator[tuple[list[str], Lines]]:
        """Yield the names of the columns with some lines."""
        return ((names, lines) for names, lines in self._read_lines(MAX_ROWS) if lines[1])

    def _read_lines(self, size: int) -> Iterator[tuple[list[str], Lines]]:
        """Yield the header with up to `size` lines at a time; with none where the file has no rows."""
        blocks = self.blocks(size)
        lines = next(blocks, None)
        if lines is None:
            return
        number, header = next(numbered(lines))
        try:
            names = _cells(self._decoded(header), number)
        except ProblemError as error:
            raise FileError(f"{self.path}: {error.problem.detail}") from None
        passed = number - lines[0] + 1
        below = b"".join(lines[1].split(b"\n", passed)[passed:])
        yield names, (number + 1, below if below.strip(BLANK) else b"")
        for lines in blocks:
            yield names, lines

    def _decoded(self, text: bytes) -> str:
        try:
            return text.decode()
        except UnicodeDecodeError:
            raise FileError(f"{self.path}: {self._undecodable()}") from None

    def _undecodable(self) -> str:
        """Return which line is not UTF-8: a block can't tell."""
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

    def piece(self, chunk: tuple[list[str], Lines]) -> Piece:
        """Read column by column; line by line if a line is malformed or a cell is not a number."""
        names, lines = chunk
        records = self._records(names, lines[1])
        if records is not None:
            return Piece.of(pa.Table.from_batches([records]), self.contract, self.id_column)
        texts = ((number, self._decoded(line)) for number, line in numbered(lines))
        return self.piece_of([self._row(names, number, line) for number, line in texts])

    def _records(self, names: Sequence[str], text: bytes) -> pa.RecordBatch | None:
        """Return lines as columns; None if they must be read one by one."""
        if len(names) == 1 or b"\0" in text:
            return None
        if not _are_quotes_plain(text) and any(map(_has_stray_quotes, text.split(b"\n"))):
            return None
        options = pa.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
        )
        reading = pa.csv.ReadOptions(use_threads=False, block_size=len(text) + 1, column_names=names)
        # ArrowInvalid is a ValueError: a row has more or fewer cells than the header, or is not UTF-8.
        with suppress(ValueError):
            table = pa.csv.read_csv(pa.py_buffer(text), reading, convert_options=options)
            (batch,) = table.to_batches()
            columns = zip(names, batch.columns, strict=True)
            return pa.record_batch(
                {name: _column(self.contract.by_name.get(name), cells) for name, cells in columns}
            )
        return None

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


_CELL = rb'(?:"(?:[^"]|"")*+"|[^",]*+)'
_LINE = re.compile(rb"%b(?:,%b)*" % (_CELL, _CELL))
"""A line as RFC 4180 has it; readers also take quotes inside a cell, and line ends inside quotes."""


def _are_quotes_plain(text: bytes) -> bool:
    """Whether all quotes of these lines stand around whole cells: a fast look, before that at each line."""
    letters = np.frombuffer(b"\n%b\n" % text, np.uint8)
    marks = np.flatnonzero((letters == ord('"')) | (letters == ord("\n")))
    is_quote = letters[marks] == ord('"')
    quotes = marks[is_quote]
    # An even number of quotes before each line end: none lies within quotes.
    if len(quotes) % 2 or (np.cumsum(is_quote)[~is_quote] % 2).any():
        return False
    around = letters[np.concatenate([quotes[::2] - 1, quotes[1::2] + 1])]
    return bool(((around == ord(",")) | (around == ord("\n"))).all())


def _has_stray_quotes(line: bytes) -> bool:
    return b'"' in line and _LINE.fullmatch(line) is None


def _cells(line: str, number: int) -> list[str]:
    """Return the cells of a line.

    Raises:
        ProblemError: the line is not CSV.
    """
    if _has_stray_quotes(line.encode()):
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


def _column(field: Field | None, texts: pa.StringArray) -> pa.Array:
    """Return a column; ValueError if a cell is not of the field's kind."""
    kind = _type(field)
    if kind == pa.string():
        return texts
    if kind == pa.bool_():
        spelt = pc.index_in(pc.utf8_lower(texts), pa.array(_BOOLEANS))
        if spelt.null_count != texts.null_count:
            raise ValueError(field)
        return pa.array([*_BOOLEANS.values()]).take(spelt)
    if not _are_digits(texts):
        if pc.any(pc.invert(pc.match_substring_regex(texts, f"^({_NUMBER})$"))).as_py():
            raise ValueError(field)
        texts = pc.ascii_trim(texts, " \t")
    return texts.cast(pa.float64())


def _are_digits(texts: pa.StringArray) -> bool:
    """Whether all cells but the missing ones are whole numbers, without sign and leading zeros.

    Most are, and a regular expression would take as long as all else.
    """
    _, offsets, content = texts.buffers()
    if content is None:
        return True
    ends = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    letters = np.frombuffer(content, np.uint8)[: ends[-1]]
    long = ends[:-1][np.diff(ends) > 1]
    return bool((letters - ord("0") <= 9).all() and (letters[long] != ord("0")).all())  # noqa: PLR2004


def _value(field: Field | None, cell: str) -> str | float | bool | None:
    if not cell:
        return None
    kind = _type(field)
    if kind == pa.bool_():
        return _BOOLEANS.get(cell.lower(), cell)
    return float(cell) if kind == pa.float64() and re.fullmatch(_NUMBER, cell) else cell

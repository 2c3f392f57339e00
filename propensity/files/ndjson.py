"""Rows in NDJSON files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pyarrow as pa

from propensity.contract.contract import Contract
from propensity.contract.limits import MAX_ROWS
from propensity.contract.problem import Kind, Problem, ProblemError
from propensity.contract.row import Row
from propensity.files.source import FileError, Piece
from propensity.files.text import BLANK, TextSource
from propensity.formats import ndjson
from propensity.formats.batch import Batch
from propensity.formats.json import RowReader


class NdJsonSource(TextSource):
    """A file with one row per line; its id, if any, is a member of it."""

    newline = "\n"

    def __init__(self, path: Path, contract: Contract, id_column: str | None) -> None:
        super().__init__(path, contract, id_column)
        self._reader = RowReader(contract)

    def check(self) -> pa.DataType | None:
        """Return the type of the ids; fields can only be checked line by line."""
        return None if self.id_column is None else pa.string()

    def chunks(self) -> Iterator[tuple[list[tuple[int, bytes]], list[tuple[int, bytes]]]]:
        """Yield some lines with their numbers, and the next line, where the last row may continue."""
        with self.open() as file:
            lines = self.numbered(file, BLANK.encode())
            ahead = list(islice(lines, 1))
            while ahead:
                part = ahead + list(islice(lines, MAX_ROWS - 1))
                ahead = list(islice(lines, 1))
                yield part, ahead

    def piece(self, chunk: tuple[list[tuple[int, bytes]], list[tuple[int, bytes]]]) -> Piece:
        """Read the lines: fast where there are no ids and every line is valid, else strictly."""
        lines, ahead = chunk
        if self.id_column is None:
            features = self._reader.read_lines_fast(b"".join(line for _, line in lines))
            if features is not None:
                return Piece(Batch(features, {}), None)
        try:
            parsed = islice(ndjson.parse(lines + ahead, self._reader), len(lines))
            return self.piece_of([self._row(line, number) for number, line in enumerate(parsed)])
        except ProblemError as error:
            raise FileError(f"{self.path}: {error.problem.detail}") from None

    def _row(self, line: ndjson.Line, number: int) -> tuple[Row, str | None]:
        """Return the row on a line, and its id."""
        if isinstance(line, ProblemError):
            return line.problem, None
        row_id = None
        if isinstance(line, dict) and self.id_column is not None:
            row_id = line.pop(self.id_column, None)
        if isinstance(row_id, int | float) and not isinstance(row_id, bool):
            row_id = json.dumps(row_id)
        if row_id is None or isinstance(row_id, str):
            return self.contract.read_row(line, number), row_id
        detail = "the row has an id that is neither text nor a number"
        return Problem.of(Kind.INVALID_ROW, detail), None

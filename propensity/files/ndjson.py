"""Applications in NDJSON files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice

import pyarrow as pa

from propensity.contract.application import Row, read_row
from propensity.contract.limits import MAX_ROWS
from propensity.contract.problem import Kind, Problem, ProblemError
from propensity.files.source import FileError, Piece
from propensity.files.text import BLANK, TextSource
from propensity.formats import ndjson
from propensity.formats.batch import Batch
from propensity.formats.json import read_lines_fast


class NdJsonSource(TextSource):
    """An application a line; with an id, a member of it."""

    ends = "\n"

    def check(self) -> pa.DataType | None:
        """Each line has names of its own."""
        return None if self.id_column is None else pa.string()

    def chunks(self) -> Iterator[tuple[list[tuple[int, bytes]], list[tuple[int, bytes]]]]:
        """Lines with their numbers, and the one behind them, in which an application may go on."""
        with self.open() as file:
            lines = self.numbered(file, BLANK.encode())
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
            return self.piece_of([self._row(line, number) for number, line in enumerate(parsed)])
        except ProblemError as error:
            raise FileError(f"{self.path}: {error.problem.detail}") from None

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

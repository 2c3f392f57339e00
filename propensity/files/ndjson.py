"""Rows in NDJSON files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pyarrow as pa

from propensity.contract.contract import Contract
from propensity.contract.limits import MAX_ROWS
from propensity.contract.problem import Kind, Problem, ProblemError
from propensity.contract.row import Row
from propensity.files.source import FileError, Piece
from propensity.files.text import Lines, TextSource, numbered, split
from propensity.formats import ndjson
from propensity.formats.decoder import Id, RowDecoder
from propensity.formats.json import RowReader


class NdJsonSource(TextSource):
    """A file with one row per line; its id, if any, is a member of it."""

    newline = "\n"

    def __init__(self, path: Path, contract: Contract, id_column: str | None) -> None:
        super().__init__(path, contract, id_column)
        self._reader = RowReader(contract)
        self._decoder = RowDecoder(contract, id_column)

    def check(self) -> pa.DataType | None:
        """Return the type of the ids; fields can only be checked line by line."""
        return None if self.id_column is None else pa.string()

    def chunks(self) -> Iterator[tuple[Lines, Lines]]:
        """Yield some lines with the next one, where their last row may continue."""
        blocks = self.blocks(MAX_ROWS)
        lines = next(blocks, None)
        while lines is not None:
            following = next(blocks, None)
            yield lines, (0, b"") if following is None else next(numbered(following))
            lines = following

    def piece(self, chunk: tuple[Lines, Lines]) -> Piece:
        """Read the lines; strictly those that are not decoded."""
        lines, following = chunk
        texts = split(lines[1])
        strictly: dict[int, str | None] = {}

        @cache
        def with_numbers() -> list[tuple[int, bytes]]:
            return [*numbered(lines), *numbered(following)]

        def read(place: int) -> Row:
            row, strictly[place] = self._row(ndjson.parse(place, with_numbers(), self._reader), place)
            return row

        try:
            decoded = self._decoder.lines(lines[1], texts, read)
            if decoded is None:
                rows = [read(place) for place in range(len(texts))]
                return self.piece_of([(row, strictly[place]) for place, row in enumerate(rows)])
        except ProblemError as error:
            raise FileError(f"{self.path}: {error.problem.detail}") from None
        batch, ids = decoded
        if self.id_column is None:
            return Piece(batch, None)
        spelt = [*map(_spelt, ids)]
        for place, row_id in strictly.items():
            spelt[place] = row_id
        return Piece(batch, pa.array(spelt, pa.string()))

    def _row(self, line: ndjson.Line, number: int) -> tuple[Row, str | None]:
        """Return the row on a line, and its id."""
        if isinstance(line, ProblemError):
            return line.problem, None
        row_id = None
        if isinstance(line, dict) and self.id_column is not None:
            row_id = line.pop(self.id_column, None)
        if isinstance(row_id, bool) or not isinstance(row_id, Id):
            detail = "the row has an id that is neither text nor a number"
            return Problem.of(Kind.INVALID_ROW, detail), None
        return self.contract.read_row(line, number), _spelt(row_id)


def _spelt(row_id: Id) -> str | None:
    if row_id is None or isinstance(row_id, str):
        return row_id
    return str(row_id) if isinstance(row_id, int) else json.dumps(row_id)

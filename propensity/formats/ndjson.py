"""NDJSON: one row per line, in a request body or a file.

An invalid line is a row with a problem. If lines are not rows, because a line holds several of them or one
spans several lines, the whole body is refused: nobody could tell which row an answer is for.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from itertools import islice

from propensity.contract.contract import Contract
from propensity.contract.limits import MAX_ROWS
from propensity.contract.problem import Kind, ProblemError
from propensity.contract.row import Row
from propensity.formats.json import RowReader

Line = object | ProblemError
"""The decoded value of a line, or the reason why it is not JSON."""


def split(body: bytes, contract: Contract) -> list[tuple[int, bytes]]:
    """Return the lines of a request body that are not blank, with their numbers from 1.

    Raises:
        ProblemError: 422, there are none, or too many.
    """
    numbered = enumerate(io.BytesIO(body), 1)
    lines = list(islice((line for line in numbered if not line[1].isspace()), MAX_ROWS + 1))
    if not lines:
        raise ProblemError.of(Kind.INVALID_ROW, f"the body must hold at least 1 {contract.row}")
    if len(lines) > MAX_ROWS:
        raise ProblemError.of(
            Kind.INVALID_ROW, f"the body must hold at most {MAX_ROWS:,} {contract.rows}; split the batch"
        )
    return lines


def read_line(place: int, lines: Sequence[tuple[int, bytes]], reader: RowReader) -> Row:
    """Return the row on a line, read strictly; arguments and errors as those of `parse`."""
    line = parse(place, lines, reader)
    return line.problem if isinstance(line, ProblemError) else reader.contract.read_row(line, place)


def parse(place: int, lines: Sequence[tuple[int, bytes]], reader: RowReader) -> Line:
    """Decode a line.

    Args:
        place: its place among the lines.
        lines: non-empty lines, each with its number in the body or file.
        reader: the reader of their rows.

    Raises:
        ProblemError: 400, the line is not a row, but several of them, or a part of one.
    """
    number, line = lines[place]
    contract = reader.contract
    try:
        value = reader.parse(line, f"{contract.row} {place}")
    except ProblemError as error:
        detail = error.problem.detail
        _check_is_row(place, lines, detail, contract)
        # The number of the row tells the line already.
        error.problem.detail = re.sub(r",? at line \d+ column (\d+)$", r" at column \1", detail)
        return error
    if isinstance(value, list) and any(isinstance(element, dict) for element in value):
        raise _refused(number, f"holds an array of {contract.rows}", "jq -c '.[]'", contract)
    return value


def _check_is_row(place: int, lines: Sequence[tuple[int, bytes]], detail: str, contract: Contract) -> None:
    """Refuse the body if a line that is not JSON is part of a row, or several rows."""
    number, line = lines[place]
    if " EOF while parsing" in detail and place + 1 < len(lines):
        following = lines[place + 1][1].lstrip()
        if line.lstrip().startswith(b"["):
            raise _refused(number, "begins an array", "jq -c '.[]'", contract)
        if not following.startswith(b"{"):
            raise _refused(number, f"holds only the beginning of {contract.a_row}", "jq -c .", contract)
    elif " trailing characters at " in detail:
        column = int(detail.rpartition(" ")[2])
        if line[column - 1 :].startswith(b"{"):
            raise _refused(number, f"holds more than one {contract.row}", "jq -c .", contract)


def _refused(number: int, fault: str, command: str, contract: Contract) -> ProblemError:
    return ProblemError.of(
        Kind.UNREADABLE_BODY,
        f"line {number:,} {fault}; NDJSON has one {contract.row} a line, as `{command}` writes it",
    )

"""NDJSON: one application per line, in a request body or a file.

An invalid line is a row with a problem. If lines are not rows, because a line holds several applications or
an application spans several lines, the whole body is refused: nobody could tell which row an answer is for.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from itertools import islice

from propensity.contract.application import Row, read_row
from propensity.contract.limits import MAX_ROWS
from propensity.contract.problem import Kind, ProblemError
from propensity.formats import json

Line = object | ProblemError
"""The decoded value of a line, or the reason why it is not JSON."""


def read_lines(body: bytes) -> Iterator[Row]:
    """Return the rows of a request body, in order; empty lines are skipped.

    Raises:
        ProblemError: 400, lines are not rows; 422, the body has no rows, or too many.
    """
    numbered = enumerate(io.BytesIO(body), 1)
    lines = list(islice(((number, line) for number, line in numbered if line.strip()), MAX_ROWS + 1))
    if not lines:
        raise ProblemError.of(Kind.INVALID_APPLICATION, "the body must hold at least 1 application")
    if len(lines) > MAX_ROWS:
        raise ProblemError.of(
            Kind.INVALID_APPLICATION, f"the body must hold at most {MAX_ROWS:,} applications; split the batch"
        )
    return (
        line.problem if isinstance(line, ProblemError) else read_row(line, place)
        for place, line in enumerate(parse(lines))
    )


def parse(lines: Sequence[tuple[int, bytes]]) -> Iterator[Line]:
    """Decode lines one at a time, since a value can be much larger than its text.

    Args:
        lines: non-empty lines, each with its number in the body or file.

    Raises:
        ProblemError: 400, lines are not rows.
    """
    return (_parse_line(place, lines) for place in range(len(lines)))


def _parse_line(place: int, lines: Sequence[tuple[int, bytes]]) -> Line:
    number, line = lines[place]
    try:
        value = json.parse(line, f"application {place}")
    except ProblemError as error:
        detail = error.problem.detail
        _check_is_row(place, lines, detail)
        # The number of the application tells the line already.
        error.problem.detail = re.sub(r",? at line \d+ column (\d+)$", r" at column \1", detail)
        return error
    if isinstance(value, list) and any(isinstance(element, dict) for element in value):
        raise _refused(number, "holds an array of applications", "jq -c '.[]'")
    return value


def _check_is_row(place: int, lines: Sequence[tuple[int, bytes]], detail: str) -> None:
    """Refuse the body if a line that is not JSON is part of an application, or several of them."""
    number, line = lines[place]
    if " EOF while parsing" in detail and place + 1 < len(lines):
        following = lines[place + 1][1].lstrip()
        if line.lstrip().startswith(b"["):
            raise _refused(number, "begins an array", "jq -c '.[]'")
        if not following.startswith(b"{"):
            raise _refused(number, "holds only the beginning of an application", "jq -c .")
    elif " trailing characters at " in detail:
        column = int(detail.rpartition(" ")[2])
        if line[column - 1 :].startswith(b"{"):
            raise _refused(number, "holds more than one application", "jq -c .")


def _refused(number: int, fault: str, command: str) -> ProblemError:
    return ProblemError.of(
        Kind.UNREADABLE_BODY,
        f"line {number:,} {fault}; NDJSON has one application a line, as `{command}` writes it",
    )

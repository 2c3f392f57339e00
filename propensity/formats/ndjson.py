"""NDJSON: an application a line, in the body of a request and in a file.

A line that is not valid is a row with a problem. Where lines are not applications, because a line holds
several, or because one goes on over lines, nobody could say how many rows there are: all of it is refused.
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
"""What a line stands for, or what is wrong with it."""


def read_lines(body: bytes) -> Iterator[Row]:
    """The rows of a request body, in order; empty lines are passed over.

    Raises:
        ProblemError: 400, lines are not applications; 422, there is none, or there are too many.
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
    """What each line stands for, one at a time: it may be much larger than its text.

    Args:
        lines: that are not empty, each with its number in the body or file.

    Raises:
        ProblemError: 400, lines are not applications.
    """
    return (_parsed(place, lines) for place in range(len(lines)))


def _parsed(place: int, lines: Sequence[tuple[int, bytes]]) -> Line:
    number, line = lines[place]
    try:
        found = json.parse(line, f"application {place}")
    except ProblemError as error:
        detail = error.problem.detail
        _check(place, lines, detail)
        # Which line that is, is said already.
        error.problem.detail = re.sub(r",? at line \d+ column (\d+)$", r" at column \1", detail)
        return error
    if isinstance(found, list) and any(isinstance(each, dict) for each in found):
        raise _refused(number, "holds an array of applications", "jq -c '.[]'")
    return found


def _check(place: int, lines: Sequence[tuple[int, bytes]], detail: str) -> None:
    """See that a line that is not JSON by itself is no part of an application, and no several of them."""
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


def _refused(number: int, found: str, command: str) -> ProblemError:
    return ProblemError.of(
        Kind.UNREADABLE_BODY,
        f"line {number:,} {found}; NDJSON has one application a line, as `{command}` writes it",
    )

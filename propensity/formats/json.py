"""JSON: applications read from it, strictly or fast, and predictions written as it.

The strict reader refuses a name that stands twice in an object, too deep a nesting and too many values; the
contract then reads what it gives, row by row, and says what is wrong. The fast reader (msgspec, compiled from
the contract) takes a fraction of that time and only accepts: it gives None where the contract should look.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import jiter
import msgspec
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from propensity.contract.application import CATEGORIES, NULLABLE, Application, Row, read_row
from propensity.contract.features import COLUMNS, OMITTED, Features, breaks_bounds, of_tuples
from propensity.contract.limits import MAX_ROWS, MAX_VALUES
from propensity.contract.problem import Kind, Problem, ProblemError, unprocessable
from propensity.formats.batch import Answers

BOM = b"\xef\xbb\xbf"
"""The byte order mark that PowerShell, .NET and editors put before a text in UTF-8; readers pass over it."""

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def values(text: bytes) -> int:
    """How many values a JSON text holds at most, before any memory is taken for them.

    Each but the first stands behind a comma or a bracket.
    """
    return 1 + sum(map(text.count, (b",", b"{", b"[")))


def parse(text: bytes, what: str = "the body") -> object:
    """What a JSON text stands for. NaN and infinities pass: the contract refuses them by field.

    Args:
        text: of a request.
        what: it is, for the message.

    Raises:
        ProblemError: 400, it is not JSON, is nested too deeply, or has a name twice in an object; 422, it
            holds more values than any batch does.
    """
    if values(text) > MAX_VALUES:
        detail = f"{what} holds more values than {MAX_ROWS:,} applications have; split the batch"
        raise ProblemError.of(Kind.INVALID_APPLICATION, detail)
    try:
        return jiter.from_json(text, catch_duplicate_keys=True)
    except ValueError as error:
        reason = str(error)
        if reason.startswith("Detected duplicate key"):
            # Without the name itself, which may be of any length.
            reason = f"a name stands twice in an object, at line{reason.rpartition(' at line')[2]}"
        elif text.startswith(_UTF_16):
            reason = "it is UTF-16; send UTF-8"
        raise ProblemError.of(Kind.UNREADABLE_BODY, f"{what} is not JSON: {reason}") from None


def read_application(body: bytes) -> Application:
    """The application of a request body that is one.

    Raises:
        ProblemError: 400, the body is not JSON; 422, it is not an application.
    """
    try:
        application = Application.model_validate_json(body)
        # No name and no category has a colon in it: so no name stands twice.
        if body.count(b":") == len(application.model_fields_set):
            return application
    except ValidationError:
        # The strict reader says what is wrong.
        pass
    row = read_row(parse(body))
    if isinstance(row, Problem):
        raise ProblemError(row)
    return row


def read_batch(body: bytes) -> Iterator[Row]:
    """The rows of `{"applications": [...]}`, in order; a row that is not valid is its problem.

    They are read one by one, as they are asked for.

    Raises:
        ProblemError: 400, the body is not JSON; 422, it is not a batch, is empty, or has too many rows.
    """
    try:
        envelope = _Envelope.model_validate(parse(body))
    except ValidationError as error:
        raise ProblemError(unprocessable(error)) from None
    return (read_row(row, number) for number, row in enumerate(envelope.applications))


class _Envelope(BaseModel):
    model_config = ConfigDict(extra="forbid")

    applications: list[Any] = Field(min_length=1, max_length=MAX_ROWS)


def _field(name: str) -> tuple[Any, ...]:
    kind: Any = Literal[CATEGORIES[name]] if name in CATEGORIES else float
    return (name, kind | None, OMITTED) if name in NULLABLE else (name, kind)


# Not tracked by the garbage collector: they hold no references that could form a cycle.
_FastRow: Any = msgspec.defstruct(
    "Row", [_field(name) for name in COLUMNS], kw_only=True, forbid_unknown_fields=True, gc=False
)
_FastBatch: Any = msgspec.defstruct(
    "Batch", [("applications", list[_FastRow])], kw_only=True, forbid_unknown_fields=True, gc=False
)
_batch_decoder = msgspec.json.Decoder(_FastBatch)
_line_decoder = msgspec.json.Decoder(_FastRow)

_NOT_ACCEPTED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def read_batch_fast(body: bytes) -> Features | None:
    """The applications of `{"applications": [...]}`; None, if the contract should look at it."""
    try:
        return _checked(_batch_decoder.decode(body).applications, body.count(b":") - 1)
    except _NOT_ACCEPTED:
        return None


def read_lines_fast(body: bytes) -> Features | None:
    """The applications of a body with one a line; None, if the contract should look at it."""
    try:
        rows = _line_decoder.decode_lines(body)
    except _NOT_ACCEPTED:
        return None
    return _checked(rows, body.count(b":")) if _has_one_a_line(body, len(rows)) else None


def _has_one_a_line(body: bytes, rows: int) -> bool:
    """Whether flat objects stand on a line each: msgspec lets one go over lines, and a line hold several.

    As many line ends as there are between so many rows, each right behind an object: empty lines, and spaces
    at the end of one, are left to the contract too.
    """
    lines = body.strip()
    between = lines.count(b"\n")
    return between == rows - 1 == lines.count(b"}\n") + lines.count(b"}\r\n")


def _checked(rows: Sequence[Any], names: int) -> Features | None:
    """The rows as a matrix, if they keep to the contract.

    Args:
        rows: of the body.
        names: that their objects hold: no name and no category has a colon in it.
    """
    if not 0 < len(rows) <= MAX_ROWS:
        return None
    features = of_tuples([msgspec.structs.astuple(row) for row in rows])
    omitted = features == OMITTED
    if names != features.size - np.count_nonzero(omitted):
        # A name stands twice in an object: msgspec takes the last.
        return None
    features[omitted] = np.nan
    return None if breaks_bounds(features).any() else features


def documents(answers: Answers) -> list[str]:
    """Each prediction or problem as a JSON object, in order."""
    rest = f'"threshold":{answers.threshold!r},"model":{json.dumps(answers.model)}}}'
    approve, decline = f',"decision":"approve",{rest}', f',"decision":"decline",{rest}'
    found = [
        f'{{"propensity":{propensity!r}{decline if declined else approve}'
        for propensity, declined in zip(answers.propensities.tolist(), answers.declined.tolist(), strict=True)
    ]
    for place, explanation in answers.explanations.items():
        found[place] = f'{found[place][:-1]},"explanation":{explanation.model_dump_json()}}}'
    for place, problem in answers.problems.items():
        found[place] = problem.model_dump_json(exclude_none=True)
    return found

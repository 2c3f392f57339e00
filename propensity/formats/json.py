"""JSON: reads applications, strictly or fast, and writes predictions.

The strict reader refuses repeated names in an object, deep nesting and too many values; the contract then
validates its rows and says what is wrong. The fast reader (msgspec, compiled from the contract) takes a
fraction of that time but only accepts: it returns None for whatever the contract must look at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import jiter
import msgspec
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from propensity.contract.application import CATEGORIES, NULLABLE, Application, Row, read_row
from propensity.contract.features import COLUMNS, OMITTED, Features, breaks_bounds, of_tuples
from propensity.contract.limits import MAX_ROWS, MAX_VALUES
from propensity.contract.prediction import Decision
from propensity.contract.problem import Kind, Problem, ProblemError, unprocessable
from propensity.formats.batch import Answers

BOM = b"\xef\xbb\xbf"
"""The byte order mark that PowerShell, .NET and editors write before UTF-8 text; it is skipped."""

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def values(text: bytes) -> int:
    """Return an upper bound on the number of values in a JSON text, without decoding it.

    Each value but the first follows a comma or a bracket.
    """
    return 1 + sum(map(text.count, (b",", b"{", b"[")))


def parse(text: bytes, what: str = "the body") -> object:
    """Decode a JSON text. NaN and infinities pass: the contract refuses them by field.

    Args:
        text: JSON in UTF-8.
        what: what the message calls the text.

    Raises:
        ProblemError: 400, the text is not JSON, is nested too deeply, or repeats a name in an object; 422,
            it holds more values than any batch.
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
    """Return the application that a request body consists of.

    Raises:
        ProblemError: 400, the body is not JSON; 422, it is not a valid application.
    """
    try:
        application = Application.model_validate_json(body)
        # Names and categories hold no colons, so as many colons as fields mean that no name is repeated.
        if body.count(b":") == len(application.model_fields_set):
            return application
    except ValidationError:
        pass  # The strict reader says what is wrong.
    row = read_row(parse(body))
    if isinstance(row, Problem):
        raise ProblemError(row)
    return row


def read_batch(body: bytes) -> Iterator[Row]:
    """Return the rows of `{"applications": [...]}`, in order, validated as they are consumed.

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


# gc=False: they hold no references that could form a cycle.
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
    """Return the features of `{"applications": [...]}`; None if the contract must look at it."""
    try:
        return _checked(_batch_decoder.decode(body).applications, body.count(b":") - 1)
    except _NOT_ACCEPTED:
        return None


def read_lines_fast(body: bytes) -> Features | None:
    """Return the features of NDJSON; None if the contract must look at it."""
    try:
        rows = _line_decoder.decode_lines(body)
    except _NOT_ACCEPTED:
        return None
    return _checked(rows, body.count(b":")) if _has_one_a_line(body, len(rows)) else None


def _has_one_a_line(body: bytes, rows: int) -> bool:
    """Whether each flat object has a line of its own; msgspec accepts any white space between them.

    It has if the line ends are one fewer than the rows and each directly follows an object. Empty lines and
    trailing spaces are left to the contract too.
    """
    lines = body.strip()
    return lines.count(b"\n") == rows - 1 == lines.count(b"}\n") + lines.count(b"}\r\n")


def _checked(rows: Sequence[Any], names: int) -> Features | None:
    """Return the features of rows; None if the contract must look at them.

    Args:
        rows: decoded by msgspec.
        names: how many names their objects hold, counted by colons: names and categories hold none.
    """
    if not 0 < len(rows) <= MAX_ROWS:
        return None
    features = of_tuples([msgspec.structs.astuple(row) for row in rows])
    omitted = features == OMITTED
    if names != features.size - np.count_nonzero(omitted):
        return None  # A name is repeated; msgspec takes the last.
    features[omitted] = np.nan
    return None if breaks_bounds(features).any() else features


ENCODER = msgspec.json.Encoder()


def _number(value: float) -> float | msgspec.Raw:
    """Return a number so that it is written as Python spells it: 1e-05, where msgspec would write 0.00001."""
    return value if value >= 1e-4 else msgspec.Raw(repr(value).encode())  # noqa: PLR2004


class _Prediction(msgspec.Struct, omit_defaults=True, gc=False):
    """A prediction of the contract, which msgspec writes in a fraction of pydantic's time."""

    propensity: float | msgspec.Raw
    decision: Decision
    threshold: float | msgspec.Raw
    model: str
    explanation: msgspec.Raw | None = None


def documents(answers: Answers) -> list[Any]:
    """Return the predictions and problems of all rows, in order, for `ENCODER` to write."""
    threshold, model = _number(answers.threshold), answers.model
    predictions: list[Any] = [
        _Prediction(
            _number(propensity),
            "decline" if declined else "approve",
            threshold,
            model,
        )
        for propensity, declined in zip(answers.propensities.tolist(), answers.declined.tolist(), strict=True)
    ]
    for place, explanation in answers.explanations.items():
        predictions[place].explanation = msgspec.Raw(explanation.model_dump_json().encode())
    for place, problem in answers.problems.items():
        predictions[place] = msgspec.Raw(problem.model_dump_json(exclude_none=True).encode())
    return predictions

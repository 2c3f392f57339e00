"""JSON: reads rows, strictly or fast, and writes predictions.

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
from pydantic import ValidationError

from propensity.contract.contract import Contract
from propensity.contract.features import OMITTED, Features, Values
from propensity.contract.field import Field
from propensity.contract.limits import MAX_ROWS
from propensity.contract.problem import Kind, Problem, ProblemError
from propensity.contract.row import Row
from propensity.formats.batch import Answers

BOM = b"\xef\xbb\xbf"
"""The byte order mark that PowerShell, .NET and editors write before UTF-8 text; it is skipped."""

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def values(text: bytes) -> int:
    """Return an upper bound on the number of values in a JSON text, without decoding it.

    Each value but the first follows a comma or a bracket.
    """
    return 1 + sum(map(text.count, (b",", b"{", b"[")))


class RowReader:
    """Reads the rows of one contract from JSON texts."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self._schema = contract.schema_of_row
        self._columns = contract.columns
        # gc=False: they hold no references that could form a cycle.
        options: dict[str, Any] = {"kw_only": True, "forbid_unknown_fields": True, "gc": False}
        members = [_member(f"f{place}", field) for place, field in enumerate(self._columns.fields)]
        names = {f"f{place}": field.name for place, field in enumerate(self._columns.fields)}
        row: Any = msgspec.defstruct("Row", members, rename=names, **options)
        rows = [("rows", list[row])]
        batch: Any = msgspec.defstruct("Batch", rows, rename={"rows": contract.rows}, **options)
        self._batch_decoder = msgspec.json.Decoder(batch)
        self._line_decoder = msgspec.json.Decoder(row)
        # A name that is repeated shows in the number of colons, as long as no name or text holds any.
        self._is_fast = not any(
            ":" in text for field in contract.fields for text in (field.name, *(field.categories or ()))
        )

    def parse(self, text: bytes, what: str = "the body") -> object:
        """Decode a JSON text. NaN and infinities pass: the contract refuses them by field.

        Args:
            text: JSON in UTF-8.
            what: what the message calls the text.

        Raises:
            ProblemError: 400, the text is not JSON, is nested too deeply, or repeats a name in an object;
                422, it holds more values than any batch.
        """
        if values(text) > self.contract.limits.values:
            detail = f"{what} holds more values than {MAX_ROWS:,} {self.contract.rows} have; split the batch"
            raise ProblemError.of(Kind.INVALID_ROW, detail)
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

    def read_row(self, body: bytes) -> Values:
        """Return the row that a request body consists of.

        Raises:
            ProblemError: 400, the body is not JSON; 422, it is not a valid row.
        """
        if self._is_fast:
            try:
                row = self._schema.model.model_validate_json(body)
                # As many colons as fields mean that no name is repeated.
                if body.count(b":") == len(row.model_fields_set):
                    return self._schema.values(row)
            except ValidationError:
                pass  # The strict reader says what is wrong.
        read = self._schema.read(self.parse(body))
        if isinstance(read, Problem):
            raise ProblemError(read)
        return read

    def read_batch(self, body: bytes) -> Iterator[Row]:
        """Return the rows of an object with a list of them, in order, validated as they are consumed.

        Raises:
            ProblemError: 400, the body is not JSON; 422, it is not a batch, is empty, or has too many rows.
        """
        try:
            envelope: Any = self._schema.envelope.model_validate(self.parse(body))
        except ValidationError as error:
            raise ProblemError(self._schema.unprocessable(error)) from None
        return (self._schema.read(row, number) for number, row in enumerate(envelope.rows))

    def read_batch_fast(self, body: bytes) -> Features | None:
        """Return the features of an object with a list of rows; None if the contract must look at it."""
        if not self._is_fast:
            return None
        try:
            return self._checked(self._batch_decoder.decode(body).rows, body.count(b":") - 1)
        except _NOT_ACCEPTED:
            return None

    def read_lines_fast(self, body: bytes) -> Features | None:
        """Return the features of NDJSON; None if the contract must look at it."""
        if not self._is_fast:
            return None
        try:
            rows = self._line_decoder.decode_lines(body)
        except _NOT_ACCEPTED:
            return None
        return self._checked(rows, body.count(b":")) if _has_one_a_line(body, len(rows)) else None

    def _checked(self, rows: Sequence[Any], names: int) -> Features | None:
        """Return the features of rows; None if the contract must look at them.

        Args:
            rows: decoded by msgspec.
            names: how many names their objects hold, counted by colons: names and categories hold none.
        """
        if not 0 < len(rows) <= MAX_ROWS:
            return None
        features = self._columns.of_tuples([msgspec.structs.astuple(row) for row in rows])
        omitted = features == OMITTED
        if names != features.size - np.count_nonzero(omitted):
            return None  # A name is repeated; msgspec takes the last.
        features[omitted] = np.nan
        return None if self._columns.breaks_bounds(features).any() else features


_NOT_ACCEPTED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def _member(inner: str, field: Field) -> tuple[Any, ...]:
    kind: Any = bool if field.kind == "boolean" else float
    if field.categories is not None:
        kind = Literal[field.categories]
    return (inner, kind | None, OMITTED) if field.nullable else (inner, kind)


def _has_one_a_line(body: bytes, rows: int) -> bool:
    """Whether each flat object has a line of its own; msgspec accepts any white space between them.

    It has if the line ends are one fewer than the rows and each directly follows an object. Empty lines and
    trailing spaces are left to the contract too.
    """
    lines = body.strip()
    return lines.count(b"\n") == rows - 1 == lines.count(b"}\n") + lines.count(b"}\r\n")


ENCODER = msgspec.json.Encoder()


def _number(value: float) -> float | msgspec.Raw:
    """Return a number so that it is written as Python spells it: 1e-05, where msgspec would write 0.00001."""
    return value if value >= 1e-4 else msgspec.Raw(repr(value).encode())  # noqa: PLR2004


class _Prediction(msgspec.Struct, omit_defaults=True, gc=False):
    """A prediction of the contract, which msgspec writes in a fraction of pydantic's time."""

    propensity: float | msgspec.Raw
    decision: str
    threshold: float | msgspec.Raw
    model: str
    explanation: msgspec.Raw | None = None


def documents(answers: Answers) -> list[Any]:
    """Return the predictions and problems of all rows, in order, for `ENCODER` to write."""
    threshold, model = _number(answers.threshold), answers.model
    negative, positive = answers.contract.decision_names
    predictions: list[Any] = [
        _Prediction(
            _number(propensity),
            positive if is_positive else negative,
            threshold,
            model,
        )
        for propensity, is_positive in zip(
            answers.propensities.tolist(), answers.positive.tolist(), strict=True
        )
    ]
    for place, explanation in answers.explanations.items():
        predictions[place].explanation = msgspec.Raw(explanation.model_dump_json().encode())
    for place, problem in answers.problems.items():
        predictions[place] = msgspec.Raw(problem.model_dump_json(exclude_none=True).encode())
    return predictions

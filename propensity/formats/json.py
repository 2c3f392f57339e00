"""JSON, read strictly: the contract says what is wrong.

The reader refuses repeated names in an object, deep nesting and too many values; the contract then validates
its rows. It sees only what the decoder did not accept.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jiter
import numpy as np
from pydantic import ValidationError

from propensity.contract.contract import Contract
from propensity.contract.features import Values
from propensity.contract.limits import MAX_ROWS
from propensity.contract.problem import Kind, Problem, ProblemError
from propensity.contract.row import Row

BOM = b"\xef\xbb\xbf"
"""The byte order mark that PowerShell, .NET and editors write before UTF-8 text; it is skipped."""

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


_LONG = 8_192
"""Bytes from which on numpy counts them in less time than `bytes.count`, which stops at each."""


def count(text: bytes, *marks: bytes) -> int:
    """Return how many bytes of a text are one of these."""
    if len(text) < _LONG:
        return sum(map(text.count, marks))
    found = np.frombuffer(text, np.uint8)
    return sum(int(np.count_nonzero(found == ord(mark))) for mark in marks)


def values(text: bytes) -> int:
    """Return an upper bound on the number of values in a JSON text, without decoding it.

    Each value but the first follows a comma or a bracket.
    """
    return 1 + count(text, b",", b"{", b"[")


class RowReader:
    """Reads the rows of one contract strictly."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self._schema = contract.schema_of_row

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

    def parse_row(self, text: bytes) -> object:
        """Decode the text of a row of a batch.

        Raises:
            ValueError: the text is not JSON, is nested too deeply, or repeats a name in an object.
        """
        # As deep as it lies in the batch: in a list in an object.
        ((row,),) = jiter.from_json(b"[[%b]]" % text, catch_duplicate_keys=True)
        return row

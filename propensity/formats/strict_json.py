"""JSON as this API reads it: no name twice in an object, a bounded depth, a bounded number of values."""

from __future__ import annotations

import jiter

from propensity.contract.limits import MAX_ROWS, MAX_VALUES
from propensity.contract.problem import Kind, ProblemError

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

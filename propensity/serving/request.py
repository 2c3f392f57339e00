"""The request: what its query string asks for, and its body."""

from __future__ import annotations

from difflib import get_close_matches
from urllib.parse import parse_qsl

from starlette.types import Message, Receive

from propensity.contract.field import MAX_NAME
from propensity.contract.limits import MAX_PARAMETERS
from propensity.contract.problem import Kind, ProblemError
from propensity.serving.admission import Load


def asks_to_explain(query: bytes) -> bool:
    """Whether the query string asks for explanations.

    Raises:
        ProblemError: 400, it asks for them in an invalid way.
    """
    asked = _EXPLAIN.get(query)
    return _read_query(query) if asked is None else asked


_EXPLAIN = {b"": False, b"explain=true": True, b"explain=false": False}


def _read_query(query: bytes) -> bool:
    try:
        parameters = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=MAX_PARAMETERS)
    except ValueError:
        detail = f"the query string has more than {MAX_PARAMETERS} parameters; only explain counts"
        raise ProblemError.of(Kind.INVALID_QUERY, detail) from None
    asked = None
    for name, value in parameters:
        lower = name[:MAX_NAME].casefold()
        if "explain" not in lower and not get_close_matches(lower, ["explain"], cutoff=_LIKENESS):
            # Parameters that gateways, trackers and caches add must not fail a prediction.
            continue
        if name != "explain":
            detail = f"{name[:MAX_NAME]!r} looks like explain; send explain=true or explain=false"
        elif value not in ("true", "false"):
            detail = f"explain is {value[:MAX_NAME]!r}; send explain=true or explain=false"
        elif asked is not None:
            detail = "explain stands twice; send explain=true or explain=false once"
        else:
            asked = value == "true"
            continue
        raise ProblemError.of(Kind.INVALID_QUERY, detail)
    return bool(asked)


_LIKENESS = 0.73
"""Likeness from which on a name counts as `explain` misspelt: `explanations` does, `plan` does not."""


async def read_body(receive: Receive, max_bytes: int, load: Load) -> bytes:
    """Read the whole request body.

    Args:
        receive: the request's ASGI channel.
        max_bytes: bytes that the body may have.
        load: is charged for the body.

    Raises:
        ProblemError: 400, the body is incomplete; 413, it is too large; 429, the requests in flight hold too
            many bytes.
    """
    message = await receive()
    body = _piece(message, 0, max_bytes, load)
    if not message.get("more_body", False):
        return body  # nearly every body, as it came
    pieces = bytearray(body)
    while message.get("more_body", False):
        message = await receive()
        pieces += _piece(message, len(pieces), max_bytes, load)
    return bytes(pieces)


def _piece(message: Message, read: int, max_bytes: int, load: Load) -> bytes:
    if message["type"] == "http.disconnect":
        raise ProblemError.of(Kind.UNREADABLE_BODY, "the body did not arrive whole")
    piece: bytes = message.get("body", b"")
    if read + len(piece) > max_bytes:
        detail = f"the body is larger than {max_bytes:,} bytes; split the batch"
        raise ProblemError.of(Kind.LARGE_BODY, detail)
    load.grow(len(piece))
    return piece

"""The request: what its query string asks for, its body, and whether its client is still connected."""

from __future__ import annotations

import asyncio
from difflib import get_close_matches
from types import TracebackType
from typing import cast
from urllib.parse import parse_qsl

from starlette.types import Receive

from propensity.contract.field import MAX_NAME
from propensity.contract.limits import BODY_SECONDS, MAX_PARAMETERS, PRESENCE_SECONDS
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
        ProblemError: 400, the body is incomplete; 408, it did not arrive in time; 413, it is too large; 429,
            the requests in flight hold too many bytes.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ProblemError.of(Kind.UNREADABLE_BODY, "the body did not arrive whole")
                piece = message.get("body", b"")
                body += piece
                if len(body) > max_bytes:
                    detail = f"the body is larger than {max_bytes:,} bytes; split the batch"
                    raise ProblemError.of(Kind.LARGE_BODY, detail)
                load.grow(len(piece))
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        detail = f"the body did not arrive within {BODY_SECONDS:g} s"
        raise ProblemError.of(Kind.SLOW_BODY, detail) from None


class CancelOnDisconnect:
    """Cancels the work inside this context when the client disconnects; watches only work that takes long."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._watching: asyncio.Task[None] | None = None
        self._is_disconnected = False

    def __enter__(self) -> None:
        self._work = cast("asyncio.Task[None]", asyncio.current_task())
        self._timer = asyncio.get_running_loop().call_later(PRESENCE_SECONDS, self._begin)

    def _begin(self) -> None:
        self._watching = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._is_disconnected = True
        self._work.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._watching is not None:
            self._watching.cancel()
        if self._is_disconnected and kind is asyncio.CancelledError:
            self._work.uncancel()
            raise ProblemError.of(Kind.CALLER_GONE, "the client disconnected") from None

"""Responses: a body or a problem, sent to the client."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from propensity.contract.limits import ANSWER_PIECE_BYTES, ANSWER_SECONDS
from propensity.contract.problem import MEDIA_TYPE, Kind, Problem, media_type
from propensity.http.exchange import EXCHANGE

logger = logging.getLogger("bentoml.propensity")


async def respond(send: Send, media_type: bytes, body: bytes) -> None:
    """Send a body with status 200; a large one in pieces, as the client reads them.

    Raises:
        TimeoutError: the client does not read it within `ANSWER_SECONDS`.
    """
    headers = [(b"content-type", media_type), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if len(body) <= ANSWER_PIECE_BYTES:
        await send({"type": "http.response.body", "body": body})
        return
    pieces = memoryview(body)
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            for start in range(0, len(body), ANSWER_PIECE_BYTES):
                end = start + ANSWER_PIECE_BYTES
                piece = bytes(pieces[start:end])
                await send({"type": "http.response.body", "body": piece, "more_body": end < len(body)})
    except TimeoutError:
        # The status has been sent. All that is left is to close the connection, as the server does on errors.
        raise TimeoutError(f"a response was not read within {ANSWER_SECONDS:g} s") from None


class ProblemResponse(Response):
    """A problem as the response to a request.

    It also notes the kind of problem on the exchange: logs and metrics would see the status alone.
    """

    media_type = MEDIA_TYPE

    def __init__(self, problem: Problem, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(None, problem.status, headers)
        self._problem = problem

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the problem."""
        scope[EXCHANGE].problem = self._problem.anchor
        path: bytes = scope.get("raw_path") or scope["path"].encode()
        self.body = self._problem.content(path)
        self.headers["Content-Type"] = media_type(path)
        self.headers["Content-Length"] = str(len(self.body))
        await super().__call__(scope, receive, send)


def unexpected(error: Exception) -> ProblemResponse:
    """The response to an error that nothing else catches; the error itself goes to the log only."""
    logger.error("a request failed", exc_info=error)
    return ProblemResponse(Problem.of(Kind.UNEXPECTED, "an unexpected error; it has been logged"))

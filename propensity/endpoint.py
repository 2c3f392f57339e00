"""The endpoint: one prediction operation over HTTP: read, validate, score in a merged batch, respond."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager

import numpy as np
from starlette.types import Receive, Scope, Send

from propensity.batch import Batch, Outcomes
from propensity.dispatcher import Dispatcher
from propensity.formats import Format, acceptable
from propensity.limits import BODY_SECONDS, MAX_IN_FLIGHT, RETRY_AFTER_SECONDS
from propensity.problem import Problem, ProblemError
from propensity.scorer import Scorer

RETRY = {"Retry-After": str(RETRY_AFTER_SECONDS)}

logger = logging.getLogger("bentoml.propensity")


class InFlight:
    """The requests that a worker works on, bounded."""

    def __init__(self) -> None:
        self._requests = 0

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """While a request is worked on.

        Raises:
            ProblemError: 429, there are `MAX_IN_FLIGHT` already.
        """
        if self._requests >= MAX_IN_FLIGHT:
            raise ProblemError.of(429, f"{MAX_IN_FLIGHT:,} requests are in flight; try again later", RETRY)
        self._requests += 1
        try:
            yield
        finally:
            self._requests -= 1


class PredictionEndpoint:
    """The ASGI application of one operation."""

    def __init__(self, formats: Sequence[Format], in_flight: InFlight, threads: Executor) -> None:
        self._formats = {each.media_type: each for each in formats}
        choice = [f"{each.name} with the header `Content-Type: {each.media_type}`" for each in formats]
        self._choice = ", or ".join(choice)
        self._in_flight = in_flight
        self._threads = threads

    def open(self, scorer: Scorer, dispatcher: Dispatcher) -> None:
        """Predict with this model from now on."""
        self._scorer = scorer
        self._dispatcher = dispatcher

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        try:
            with self._in_flight.one_more():
                media_type, body = await self._answer(scope["headers"], receive)
        except ProblemError as error:
            response = error.response()
        except TimeoutError:
            response = Problem.of(503, "not predicted in time; try again later").response(RETRY)
        except Exception as error:  # nothing of it may reach the caller
            response = unexpected(error).response()
        else:
            headers = [(b"content-type", media_type), (b"content-length", b"%d" % len(body))]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})
            return
        await response(scope, receive, send)

    async def _answer(self, headers: Iterable[tuple[bytes, bytes]], receive: Receive) -> tuple[bytes, bytes]:
        given, wanted = self._formats_of(headers)
        body = await _read(receive, given.max_bytes)
        if len(body) > given.large_bytes:
            loop = asyncio.get_running_loop()
            batch = await loop.run_in_executor(self._threads, given.read, body)
            outcomes = await self._predict(batch)
            answer = await loop.run_in_executor(self._threads, wanted.write, outcomes)
        else:
            answer = wanted.write(await self._predict(given.read(body)))
        return wanted.media_type.encode(), answer

    async def _predict(self, batch: Batch) -> Outcomes:
        # A batch of nothing but problems has nothing to wait for.
        predicted = await self._dispatcher.predict(batch.features) if len(batch.features) else np.empty(0)
        return Outcomes.of(batch, predicted, self._scorer.threshold, self._scorer.model)

    def _formats_of(self, headers: Iterable[tuple[bytes, bytes]]) -> tuple[Format, Format]:
        """What the body is in, and what the answer is to be in.

        Raises:
            ProblemError: 415, the body is in no format of this operation; 406, no format is acceptable.
        """
        content_type = b""
        accepted = []
        for name, value in headers:
            if name == b"content-type":
                content_type = value
            elif name == b"accept":
                accepted.append(value.decode("latin-1"))
            elif name == b"content-encoding" and value.strip().lower() != b"identity":
                raise ProblemError.of(415, "send the body uncompressed, without Content-Encoding")
        given = self._formats.get(content_type.decode("latin-1").partition(";")[0].strip().lower())
        if given is None:
            raise ProblemError.of(415, f"send {self._choice}")
        wanted = acceptable(",".join(accepted), given, self._formats)
        if wanted is None:
            raise ProblemError.of(406, f"ask in the header Accept for one of {', '.join(self._formats)}")
        return given, wanted


async def _read(receive: Receive, max_bytes: int) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ProblemError.of(400, "the body did not arrive whole")
                body += message.get("body", b"")
                if len(body) > max_bytes:
                    raise ProblemError.of(
                        413, f"the body is larger than {max_bytes:,} bytes; split the batch"
                    )
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        raise ProblemError.of(408, f"the body did not arrive within {BODY_SECONDS:g} s") from None


def unexpected(error: Exception) -> Problem:
    """What a caller is told of an error that nobody thought of; the log gets the error itself."""
    logger.error("a request failed", exc_info=error)
    return Problem.of(500, "an unexpected error; it has been logged")

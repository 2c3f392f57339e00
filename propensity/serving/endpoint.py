"""The endpoint: one prediction operation over HTTP: read, validate, score in a merged batch, respond."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from difflib import get_close_matches
from functools import partial
from types import TracebackType
from typing import Protocol, TypeVar, cast
from urllib.parse import parse_qsl

import numpy as np
from starlette.types import Receive, Scope, Send

from propensity.contract.limits import (
    BODY_SECONDS,
    EXPLANATION_BYTES,
    MAX_PARAMETERS,
    MAX_ROWS,
    PRESENCE_SECONDS,
)
from propensity.contract.prediction import Explanation
from propensity.contract.problem import MAX_NAME, RETRY, Kind, Problem, ProblemError
from propensity.formats.batch import Answers, Batch
from propensity.formats.media_types import Format, acceptable
from propensity.http.responses import ProblemResponse, respond, unexpected
from propensity.http.scope import MODEL, REQUEST_ID, ROWS
from propensity.model.scorer import Scorer
from propensity.monitoring.answered import Answered
from propensity.serving.admission import InFlight, Load
from propensity.serving.dispatcher import Dispatcher

_Made = TypeVar("_Made")


class Notes(Protocol):
    """Takes note of what is predicted; at once, since an answer waits for it."""

    def note(self, answered: Answered, /) -> None:
        """Of one request."""


class PredictionEndpoint:
    """The ASGI application of one operation."""

    def __init__(self, formats: Sequence[Format], in_flight: InFlight, threads: Executor) -> None:
        self._formats = {each.media_type: each for each in formats}
        choice = [f"{each.name} with the header `Content-Type: {each.media_type}`" for each in formats]
        self._choice = ", or ".join(choice)
        self._in_flight = in_flight
        self._threads = threads

    def open(
        self,
        scorer: Scorer,
        dispatcher: Dispatcher,
        notes: Sequence[Notes],
        refuse: Callable[[Problem], None],
    ) -> None:
        """Predict with this model from now on.

        Args:
            scorer: the model.
            dispatcher: in front of it.
            notes: told of each request that was predicted.
            refuse: told of each problem that a request as a whole is answered with.
        """
        self._refuse = refuse
        self._scorer = scorer
        self._dispatcher = dispatcher
        self._notes = notes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        scope[MODEL] = self._scorer.model
        # Until it has been sent: a caller who does not read on holds the answer in memory.
        with self._in_flight.track() as load:
            try:
                load.admit()
                media_type, answer = await self._answer(scope, receive, load)
            except ProblemError as error:
                self._refuse(error.problem)
                response = ProblemResponse(error.problem, error.headers)
            except TimeoutError:
                late = Problem.of(Kind.LATE, "not predicted in time; try again later")
                response = ProblemResponse(late, RETRY)
            except Exception as error:  # nothing of it may reach the caller
                response = unexpected(error)
            else:
                await respond(send, media_type, answer)
                return
            await response(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, load: Load) -> tuple[bytes, bytes]:
        began = time.perf_counter()
        is_explained = _asks_to_explain(scope["query_string"])
        given, wanted = self._formats_of(scope["headers"])
        body = await _read(receive, given.max_bytes, load)
        with _Presence(receive):
            is_large = given.is_large(body)
            read = partial(given.read, body, load.grow)
            batch = await self._in_thread(read) if is_large else read()
            scope[ROWS] = batch.rows
            answers = await self._predict(batch, is_explained, load)
            seconds = time.perf_counter() - began
            answered = Answered.of(batch, answers, scope.get(REQUEST_ID, b""), time.time(), seconds)
            for each in self._notes:
                each.note(answered)
            load.grow(wanted.prediction_bytes * batch.rows)
            write = partial(wanted.write, answers)
            answer = await self._in_thread(write) if is_large else write()
        return wanted.media_type.encode(), answer

    def _in_thread(self, work: Callable[[], _Made]) -> asyncio.Future[_Made]:
        return asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def _predict(self, batch: Batch, is_explained: bool, load: Load) -> Answers:
        # A batch of nothing but problems has nothing to wait for.
        predicted = await self._dispatcher.predict(batch.features) if len(batch.features) else np.empty(0)
        explained = await self._explain(batch, load) if is_explained else ()
        return Answers.of(batch, predicted, self._scorer.threshold, self._scorer.model, explained)

    async def _explain(self, batch: Batch, load: Load) -> Sequence[Explanation]:
        if len(batch.features) > MAX_ROWS:
            detail = f"at most {MAX_ROWS:,} applications are explained at a time; split the batch"
            raise ProblemError.of(Kind.INVALID_APPLICATION, detail)
        if not self._scorer.is_additive:
            detail = f"{self._scorer.model} has no explanations; ask without explain"
            raise ProblemError.of(Kind.NOT_EXPLAINED, detail)
        load.grow(EXPLANATION_BYTES * len(batch.features))
        explain = partial(self._scorer.explain, batch.features)
        return explain() if len(batch.features) == 1 else await self._in_thread(explain)

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
                raise ProblemError.of(
                    Kind.UNSUPPORTED_FORMAT, "send the body uncompressed, without Content-Encoding"
                )
        given = self._formats.get(content_type.decode("latin-1").partition(";")[0].strip().lower())
        if given is None:
            raise ProblemError.of(Kind.UNSUPPORTED_FORMAT, f"send {self._choice}")
        wanted = acceptable(",".join(accepted), given, self._formats)
        if wanted is None:
            detail = f"ask in the header Accept for one of {', '.join(self._formats)}"
            raise ProblemError.of(Kind.NOT_ACCEPTABLE, detail)
        return given, wanted


def _asks_to_explain(query: bytes) -> bool:
    """Whether the query string asks for explanations.

    Raises:
        ProblemError: 400, it asks for them wrongly.
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
            # What gateways, trackers and caches add must not cost a prediction.
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
"""Of a name to `explain`, from which on it is `explain` misspelt: so is `explanations`, and not `plan`."""


class _Presence:
    """Gives up the work inside of it when the caller has gone; watches only what takes long."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._watching: asyncio.Task[None] | None = None
        self._has_gone = False

    def __enter__(self) -> None:
        self._work = cast("asyncio.Task[None]", asyncio.current_task())
        self._timer = asyncio.get_running_loop().call_later(PRESENCE_SECONDS, self._begin)

    def _begin(self) -> None:
        self._watching = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._has_gone = True
        self._work.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._watching is not None:
            self._watching.cancel()
        if self._has_gone and kind is asyncio.CancelledError:
            self._work.uncancel()
            raise ProblemError.of(Kind.CALLER_GONE, "the caller has gone") from None


async def _read(receive: Receive, max_bytes: int, load: Load) -> bytes:
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

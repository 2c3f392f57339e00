"""The endpoint: one prediction operation over HTTP: read, validate, predict in a merged batch, respond."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Protocol, TypeVar

import numpy as np
from starlette.types import Receive, Scope, Send

from propensity.contract.limits import MAX_ROWS
from propensity.contract.prediction import Explanation
from propensity.contract.problem import RETRY, Kind, Problem, ProblemError
from propensity.formats.batch import Answers, Batch
from propensity.formats.media_types import Format, MediaTypes
from propensity.http.responses import ProblemResponse, respond, unexpected
from propensity.http.scope import MODEL, REQUEST_ID, ROWS
from propensity.model.predictor import Predictor
from propensity.monitoring.answered_request import AnsweredRequest
from propensity.serving.admission import InFlight, Load
from propensity.serving.dispatcher import Dispatcher
from propensity.serving.request import CancelOnDisconnect, asks_to_explain, read_body

_T = TypeVar("_T")


class Recorder(Protocol):
    """Records requests that were predicted; quickly, since their responses wait for it."""

    def record(self, request: AnsweredRequest, /) -> None:
        """Record one request."""


class PredictionEndpoint:
    """The ASGI application of one operation."""

    def __init__(self, formats: Sequence[Format], in_flight: InFlight, threads: Executor) -> None:
        self._media_types = MediaTypes(formats)
        self._in_flight = in_flight
        self._threads = threads

    def start(
        self,
        predictor: Predictor,
        dispatcher: Dispatcher,
        recorders: Sequence[Recorder],
        refuse: Callable[[Problem], None],
    ) -> None:
        """Predict with this model from now on.

        Args:
            predictor: the model.
            dispatcher: the dispatcher in front of the model.
            recorders: told of each request that was predicted.
            refuse: told of each problem that answers a whole request.
        """
        self._refuse = refuse
        self._predictor = predictor
        self._dispatcher = dispatcher
        self._recorders = recorders

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        scope[MODEL] = self._predictor.model
        # In flight until the response is sent: a client that does not read it keeps it in memory.
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
            except Exception as error:  # the caller must learn nothing of it
                response = unexpected(error)
            else:
                await respond(send, media_type, answer)
                return
            await response(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, load: Load) -> tuple[bytes, bytes]:
        began = time.perf_counter()
        is_explained = asks_to_explain(scope["query_string"])
        given, wanted = self._media_types.negotiate(scope["headers"])
        body = await read_body(receive, given.max_bytes, load)
        with CancelOnDisconnect(receive):
            is_large = given.is_large(body)
            read = partial(given.read, body, load.grow)
            batch = await self._in_thread(read) if is_large else read()
            scope[ROWS] = batch.rows
            answers = await self._predict(batch, is_explained, load)
            seconds = time.perf_counter() - began
            answered = AnsweredRequest.of(batch, answers, scope.get(REQUEST_ID, b""), time.time(), seconds)
            for recorder in self._recorders:
                recorder.record(answered)
            load.grow(wanted.prediction_bytes * batch.rows)
            write = partial(wanted.write, answers)
            answer = await self._in_thread(write) if is_large else write()
        return wanted.media_type.encode(), answer

    def _in_thread(self, work: Callable[[], _T]) -> asyncio.Future[_T]:
        return asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def _predict(self, batch: Batch, is_explained: bool, load: Load) -> Answers:
        # A batch without a valid row needs no model call.
        predicted = await self._dispatcher.predict(batch.features) if len(batch.features) else np.empty(0)
        explained = await self._explain(batch, load) if is_explained else ()
        return Answers.of(
            batch,
            predicted,
            self._predictor.threshold,
            self._predictor.model,
            self._predictor.contract,
            explained=explained,
        )

    async def _explain(self, batch: Batch, load: Load) -> Sequence[Explanation]:
        if len(batch.features) > MAX_ROWS:
            rows = self._predictor.contract.rows
            detail = f"at most {MAX_ROWS:,} {rows} are explained at a time; split the batch"
            raise ProblemError.of(Kind.INVALID_ROW, detail)
        if not self._predictor.is_additive:
            detail = f"{self._predictor.model} has no explanations; ask without explain"
            raise ProblemError.of(Kind.NOT_EXPLAINED, detail)
        load.grow(self._predictor.contract.limits.explanation_bytes * len(batch.features))
        explain = partial(self._predictor.explain, batch.features)
        return explain() if len(batch.features) == 1 else await self._in_thread(explain)

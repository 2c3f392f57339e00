"""The endpoint: one prediction operation over HTTP: read, validate, predict in a merged batch, respond."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Any, TypeVar

import numpy as np
from starlette.types import Receive, Scope, Send

from propensity.contract.features import Features, Propensities
from propensity.contract.limits import MAX_ROWS
from propensity.contract.prediction import Explanation
from propensity.contract.problem import Kind, ProblemError
from propensity.formats.batch import Answers
from propensity.formats.media_types import Format, MediaTypes
from propensity.http.exchange import EXCHANGE, Exchange
from propensity.http.responses import ProblemResponse, respond, unexpected
from propensity.model.predictor import Predictor
from propensity.monitoring.answered_request import AnsweredRequest
from propensity.serving.admission import InFlight, Load
from propensity.serving.dispatcher import Dispatcher
from propensity.serving.request import asks_to_explain, read_body

_T = TypeVar("_T")

MAX_NEGOTIATED, MAX_STATED = 256, 512
"""Combinations of headers whose formats are remembered, and the bytes that each may have."""

_NOTHING: Propensities = np.empty(0)


class PredictionEndpoint:
    """The ASGI application of one operation."""

    def __init__(
        self,
        formats: Sequence[Format],
        max_seconds: float,
        in_flight: InFlight,
        threads: Executor,
    ) -> None:
        """Create an endpoint.

        Args:
            formats: of the bodies of requests and responses.
            max_seconds: seconds within which a request must be predicted.
            in_flight: the requests of all endpoints.
            threads: where large bodies are read and written.
        """
        self._media_types = MediaTypes(formats)
        self._negotiated: dict[tuple[bytes | None, ...], tuple[Format, Format]] = {}
        self._max_seconds = max_seconds
        self._in_flight = in_flight
        self._threads = threads

    def start(
        self,
        predictor: Predictor,
        predicting: Dispatcher[Propensities],
        explaining: Dispatcher[list[Explanation]],
    ) -> None:
        """Predict with this model from now on.

        Args:
            predictor: the model.
            predicting: the dispatcher in front of its predictions.
            explaining: the dispatcher in front of its explanations.
        """
        self._predictor = predictor
        self._predicting = predicting
        self._explaining = explaining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        exchange: Exchange = scope[EXCHANGE]
        exchange.model = self._predictor.model
        # In flight until the response is sent: a client that does not read it keeps it in memory.
        with Load(self._in_flight, receive) as load:
            try:
                load.admit()
                media_type, answer = await self._answer(exchange, scope, receive, load)
            except (ProblemError, asyncio.CancelledError) as error:
                why = error if isinstance(error, ProblemError) else load.why_given_up()
                if why is None:
                    raise
                exchange.refused = why.problem
                response = ProblemResponse(why.problem, why.headers)
            except Exception as error:  # the caller must learn nothing of it
                response = unexpected(error)
            else:
                await respond(send, media_type, answer)
                return
            load.respond()
            await response(scope, receive, send)

    async def _answer(
        self, exchange: Exchange, scope: Scope, receive: Receive, load: Load
    ) -> tuple[bytes, bytes]:
        is_explained = asks_to_explain(scope["query_string"])
        given, wanted = self._formats(exchange, scope)
        body = await read_body(receive, given.max_bytes, load)
        is_large = given.is_large(body)
        if is_large:
            load.work()
            batch = await self._in_thread(given.read, body, load.grow)
        else:
            batch = given.read(body, load.grow)
        exchange.rows = batch.rows
        if batch.asked is not None:
            is_explained |= batch.asked.is_explained
        predicted = _NOTHING
        if len(batch.features):  # a batch without a valid row needs no model call
            load.work(self._max_seconds)
            predicted = await self._predicting.predict(batch.features)
        explained = await self._explain(batch.features, load) if is_explained else ()
        predictor = self._predictor
        answers = Answers.of(
            batch, predicted, predictor.threshold, predictor.model, predictor.contract, explained=explained
        )
        exchange.answered = AnsweredRequest.of(
            batch, answers, exchange.request_id, time.time(), time.perf_counter() - exchange.began
        )
        load.grow(wanted.prediction_bytes * batch.rows)
        if is_large:
            load.work()
            answer = await self._in_thread(wanted.write, answers)
        else:
            answer = wanted.write(answers)
        load.respond()
        return wanted.media_type.encode(), answer

    def _formats(self, exchange: Exchange, scope: Scope) -> tuple[Format, Format]:
        """Return the formats of the bodies of request and response; most clients always send the same."""
        fields = exchange.fields
        stated = fields.get(b"content-type"), fields.get(b"accept"), fields.get(b"content-encoding")
        formats = self._negotiated.get(stated) if exchange.is_plain else None
        if formats is None:
            formats = self._media_types.negotiate(scope["headers"])
            if exchange.is_plain and sum(len(value or b"") for value in stated) <= MAX_STATED:
                if len(self._negotiated) >= MAX_NEGOTIATED:
                    self._negotiated.clear()
                self._negotiated[stated] = formats
        return formats

    def _in_thread(self, work: Callable[..., _T], *arguments: Any) -> asyncio.Future[_T]:
        return asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    async def _explain(self, features: Features, load: Load) -> Sequence[Explanation]:
        if len(features) > MAX_ROWS:
            rows = self._predictor.contract.rows
            detail = f"at most {MAX_ROWS:,} {rows} are explained at a time; split the batch"
            raise ProblemError.of(Kind.INVALID_ROW, detail)
        if not self._predictor.is_additive:
            detail = f"{self._predictor.model} has no explanations; ask without explain"
            raise ProblemError.of(Kind.NOT_EXPLAINED, detail)
        if not len(features):
            return ()
        load.grow(self._predictor.contract.limits.explanation_bytes * len(features))
        load.work(self._max_seconds)
        return await self._explaining.predict(features)

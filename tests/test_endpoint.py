"""The endpoint under callers who are slow, leave, or are too many: seen from the ASGI side."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from propensity import endpoint, formats
from propensity.contract import EXAMPLE
from propensity.dispatcher import Dispatcher
from propensity.endpoint import PredictionEndpoint
from propensity.features import Features, Propensities
from propensity.in_flight import InFlight
from propensity.limits import MAX_BYTES_IN_FLIGHT, MAX_IN_FLIGHT
from propensity.scorer import Scorer

Receive = Callable[[], Awaitable[dict[str, Any]]]

BODY = json.dumps(EXAMPLE).encode()


class Form:
    """A model that counts what it predicts, and takes its time where it is told to."""

    instant_rows = 1_024

    def __init__(self) -> None:
        self.rows = 0

    def propensities(self, features: Features) -> Propensities:
        self.rows += len(features)
        return np.full(len(features), 0.5)


class Notes:
    """Counts nothing."""

    def note(self, answered: object) -> None: ...


class BatchSizes:
    """A histogram that nobody looks at."""

    def observe(self, requests: int) -> None: ...


class World:
    """An endpoint, and what was sent to its caller."""

    def __init__(self, operation: str = "predict") -> None:
        self.form = Form()
        self.in_flight = InFlight()
        self.threads = ThreadPoolExecutor(2)
        scorer = Scorer(self.form, 0.26, "propensity:test")
        self.dispatcher = Dispatcher(
            scorer.predict, max_rows=512, max_seconds=10, instant_rows=1_024, threads=self.threads,
            batch_sizes=BatchSizes(),
        )  # fmt: skip
        given = formats.SINGLE if operation == "predict" else formats.BATCH
        self.endpoint = PredictionEndpoint(given, self.in_flight, self.threads)
        self.endpoint.open(scorer, self.dispatcher, [Notes()], lambda _: None)
        self.sent: list[dict[str, Any]] = []

    async def call(
        self, receive: Receive, send: Any = None, content_type: bytes = b"application/json"
    ) -> None:
        async def keep(message: dict[str, Any]) -> None:
            self.sent.append(message)

        scope = {"type": "http", "query_string": b"", "headers": [(b"content-type", content_type)]}
        await self.endpoint(scope, receive, send or keep)  # type: ignore[arg-type]

    @property
    def status(self) -> int:
        status: int = self.sent[0]["status"]
        return status

    @property
    def problem(self) -> dict[str, Any]:
        problem: dict[str, Any] = json.loads(self.sent[1]["body"])
        return problem


def whole(body: bytes = BODY) -> Receive:
    """A caller who sends a body and waits for the answer."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if not messages:
            await asyncio.Event().wait()
        return messages.pop()

    return receive


async def _never() -> dict[str, Any]:
    """A caller of whom nothing comes."""
    await asyncio.Event().wait()
    raise AssertionError


def test_a_body_that_does_not_arrive_in_time_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "BODY_SECONDS", 0.05)
    world = World()
    asyncio.run(world.call(_never))
    assert world.status == 408
    assert world.problem["type"] == "/problems#slow-body"
    assert world.problem["detail"] == "the body did not arrive within 0.05 s"
    assert (world.in_flight.requests, world.in_flight.bytes) == (0, 0)


def test_a_body_that_trickles_is_given_up_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "BODY_SECONDS", 0.1)

    async def trickle() -> dict[str, Any]:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b" ", "more_body": True}

    world = World()
    asyncio.run(world.call(trickle))
    assert world.status == 408


def test_a_request_whose_caller_has_gone_is_not_predicted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "PRESENCE_SECONDS", 0.01)
    world = World()

    async def main() -> None:
        # The model is busy: what arrives now waits.
        world.dispatcher._is_calling = True
        leaving = whole()

        async def receive() -> dict[str, Any]:
            if not has_left:
                has_left.append(True)
                return await leaving()
            await asyncio.sleep(0.02)
            return {"type": "http.disconnect"}

        has_left: list[bool] = []
        gone = asyncio.create_task(world.call(receive))
        staying = World()
        staying.endpoint = world.endpoint
        stays = asyncio.create_task(staying.call(whole()))
        await gone
        assert world.form.rows == 0
        world.dispatcher._call()
        await stays
        assert staying.status == 200

    asyncio.run(main())
    assert world.status == 499
    assert world.problem["type"] == "/problems#caller-gone"
    assert world.form.rows == 1, "the one who stayed, alone"
    assert (world.in_flight.requests, world.in_flight.bytes) == (0, 0)


def test_the_end_of_the_service_is_not_taken_for_a_caller_who_has_gone() -> None:
    world = World()

    async def main() -> None:
        world.dispatcher._is_calling = True
        task = asyncio.create_task(world.call(whole()))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert world.sent == []
    assert world.in_flight.requests == 0


def test_an_answer_that_nobody_reads_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "ANSWER_SECONDS", 0.1)
    monkeypatch.setattr(endpoint, "ANSWER_PIECE_BYTES", 1_000)
    world = World("predict_batch")
    pieces: list[int] = []

    async def stuck(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body":
            pieces.append(len(message["body"]))
            assert world.in_flight.requests == 1, "still counted while it is sent"
            if len(pieces) == 3:
                await _never()

    body = json.dumps({"applications": [EXAMPLE] * 100}).encode()
    with pytest.raises(TimeoutError, match=r"an answer was not taken within 0\.1 s"):
        asyncio.run(world.call(whole(body), stuck))
    assert pieces == [1_000] * 3
    assert (world.in_flight.requests, world.in_flight.bytes) == (0, 0)


def test_a_large_answer_comes_whole_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "ANSWER_PIECE_BYTES", 1_000)
    world = World("predict_batch")
    body = json.dumps({"applications": [EXAMPLE] * 100}).encode()
    asyncio.run(world.call(whole(body)))
    start, *pieces = world.sent
    answer = b"".join(piece["body"] for piece in pieces)
    assert dict(start["headers"])[b"content-length"] == b"%d" % len(answer)
    assert [piece.get("more_body", False) for piece in pieces] == [True] * (len(pieces) - 1) + [False]
    assert len(pieces) > 5
    assert len(json.loads(answer)["predictions"]) == 100


def test_what_is_held_in_memory_is_bounded_over_all_requests() -> None:
    parquet = b"application/vnd.apache.parquet"
    world = World("predict_batch")
    piece = {"type": "http.request", "body": b"x" * (MAX_BYTES_IN_FLIGHT // 3), "more_body": True}

    def slow_caller() -> tuple[Receive, asyncio.Event]:
        leave = asyncio.Event()
        messages = [piece]

        async def receive() -> dict[str, Any]:
            if messages:
                return messages.pop()
            await leave.wait()
            return {"type": "http.disconnect"}

        return receive, leave

    async def main() -> None:
        callers = [slow_caller() for _ in range(3)]
        tasks = [asyncio.create_task(world.call(receive, None, parquet)) for receive, _ in callers]
        await asyncio.sleep(0.05)
        assert world.in_flight.bytes == MAX_BYTES_IN_FLIGHT // 3 * 3
        refused = World("predict_batch")
        refused.endpoint = world.endpoint
        await refused.call(whole(b"x" * 100), None, parquet)
        assert refused.status == 429
        assert dict(refused.sent[0]["headers"])[b"retry-after"] == b"1"
        assert refused.problem["detail"] == f"{MAX_BYTES_IN_FLIGHT:,} bytes are in flight; try again later"
        for _, leave in callers:
            leave.set()
        await asyncio.gather(*tasks)

    asyncio.run(main())
    assert (world.in_flight.requests, world.in_flight.bytes) == (0, 0)


def test_who_comes_when_the_worker_is_full_is_told_at_once_and_who_is_in_is_answered() -> None:
    world = World()

    async def main() -> None:
        send_now = asyncio.Event()

        def slow_caller() -> Receive:
            body = whole()

            async def receive() -> dict[str, Any]:
                await send_now.wait()
                return await body()

            return receive

        accepted = [World() for _ in range(MAX_IN_FLIGHT)]
        for each in accepted:
            each.endpoint = world.endpoint
        tasks = [asyncio.create_task(each.call(slow_caller())) for each in accepted]
        await asyncio.sleep(0)
        refused = [World() for _ in range(100)]
        for each in refused:
            each.endpoint = world.endpoint
            await each.call(whole())
        assert {each.status for each in refused} == {429}
        assert {dict(each.sent[0]["headers"])[b"retry-after"] for each in refused} == {b"1"}
        assert refused[0].problem["type"] == "/problems#overloaded"
        send_now.set()
        await asyncio.gather(*tasks)
        assert {each.status for each in accepted} == {200}

    asyncio.run(main())
    assert world.form.rows == MAX_IN_FLIGHT
    assert world.in_flight.requests == 0

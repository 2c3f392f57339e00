"""The endpoint with clients that are slow, disconnect, or are too many, called as an ASGI application."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from demonstration import CONTRACT, EXAMPLE

from propensity.contract.features import Features, Propensities
from propensity.contract.limits import MAX_BYTES_IN_FLIGHT, MAX_IN_FLIGHT, MAX_TABLE_ROWS
from propensity.contract.problem import ProblemError
from propensity.formats.media_types import formats_of
from propensity.http import responses
from propensity.http.drain import Drain
from propensity.http.exchange import Exchange
from propensity.model.predictor import Predictor
from propensity.serving import admission
from propensity.serving.admission import InFlight, Load
from propensity.serving.clock import Clock
from propensity.serving.dispatcher import Dispatcher
from propensity.serving.endpoint import PredictionEndpoint

Receive = Callable[[], Awaitable[dict[str, Any]]]

BODY = json.dumps(EXAMPLE).encode()


class Form:
    """A model that counts the rows that it predicts."""

    instant_rows = 1_024

    def __init__(self) -> None:
        self.rows = 0

    def propensities(self, features: Features) -> Propensities:
        self.rows += len(features)
        return np.full(len(features), 0.5)


class World:
    """An endpoint, and the messages that it sent to its client."""

    def __init__(self, operation: str = "predict", max_seconds: float = 10) -> None:
        self.form = Form()
        self.in_flight = InFlight()
        self.threads = ThreadPoolExecutor(2)
        predictor = Predictor(self.form, CONTRACT, 0.26, "propensity:test")
        self.dispatcher = Dispatcher(
            predictor.predict, max_rows=512, instant_rows=1_024, threads=self.threads
        )
        self.endpoint = PredictionEndpoint(
            formats_of(CONTRACT)[operation], max_seconds, self.in_flight, self.threads
        )
        explaining: Any = None
        self.endpoint.start(predictor, self.dispatcher, explaining)
        self.sent: list[dict[str, Any]] = []

    async def call(self, receive: Any, send: Any = None, content_type: bytes = b"application/json") -> None:
        async def keep(message: dict[str, Any]) -> None:
            self.sent.append(message)

        headers = [(b"content-type", content_type)]
        scope = {
            "type": "http", "method": "POST", "path": "/v1/predict", "query_string": b"", "headers": headers,
        }  # fmt: skip
        sending: Any = send or keep
        exchange = Exchange(scope, sending, Drain())
        clock = Clock([self.in_flight.check_time])
        clock.start()
        try:
            await self.endpoint(scope, receive, exchange.send)
        finally:
            clock.stop()

    @property
    def status(self) -> int:
        status: int = self.sent[0]["status"]
        return status

    @property
    def problem(self) -> dict[str, Any]:
        problem: dict[str, Any] = json.loads(self.sent[1]["body"])
        return problem


def whole(body: bytes = BODY) -> Receive:
    """A client that sends a body and waits for the response."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if not messages:
            await asyncio.Event().wait()
        return messages.pop()

    return receive


async def _never() -> dict[str, Any]:
    """A client that sends nothing."""
    await asyncio.Event().wait()
    raise AssertionError


def test_a_body_that_does_not_arrive_in_time_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "BODY_SECONDS", 0.05)
    world = World()
    asyncio.run(world.call(_never))
    assert world.status == 408
    assert world.problem["type"] == "../problems#slow-body"
    assert world.problem["detail"] == "the body did not arrive within 0.05 s"
    assert (world.in_flight.requests, world.in_flight.bytes) == (0, 0)


def test_a_body_that_trickles_is_given_up_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "BODY_SECONDS", 0.1)

    async def trickle() -> dict[str, Any]:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b" ", "more_body": True}

    world = World()
    asyncio.run(world.call(trickle))
    assert world.status == 408


def test_a_request_whose_caller_has_gone_is_not_predicted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "PRESENCE_SECONDS", 0.01)
    world = World()

    async def main() -> None:
        # The model is busy: requests that arrive now wait.
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
    assert world.problem["type"] == "../problems#caller-gone"
    assert world.form.rows == 1, "only the client that stayed"
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
    monkeypatch.setattr(responses, "ANSWER_SECONDS", 0.1)
    monkeypatch.setattr(responses, "ANSWER_PIECE_BYTES", 1_000)
    world = World("predict_batch")
    pieces: list[int] = []

    async def stuck(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body":
            pieces.append(len(message["body"]))
            assert world.in_flight.requests == 1, "still counted while it is sent"
            if len(pieces) == 3:
                await _never()

    body = json.dumps({"applications": [EXAMPLE] * 100}).encode()
    with pytest.raises(TimeoutError, match=r"a response was not read within 0\.1 s"):
        asyncio.run(world.call(whole(body), stuck))
    assert pieces == [1_000] * 3
    assert (world.in_flight.requests, world.in_flight.bytes) == (0, 0)


def test_a_large_answer_comes_whole_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responses, "ANSWER_PIECE_BYTES", 1_000)
    world = World("predict_batch")
    body = json.dumps({"applications": [EXAMPLE] * 100}).encode()
    asyncio.run(world.call(whole(body)))
    start, *pieces = world.sent
    answer = b"".join(piece["body"] for piece in pieces)
    assert dict(start["headers"])[b"content-length"] == b"%d" % len(answer)
    assert [piece.get("more_body", False) for piece in pieces] == [True] * (len(pieces) - 1) + [False]
    assert len(pieces) > 5
    assert len(json.loads(answer)["predictions"]) == 100


EMPTY = json.dumps({"applications": [{}] * 10_000}).encode()
"""40 kB of applications, each without its seven required fields."""


def stream(**columns: pa.Array) -> bytes:
    table = pa.table(columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


NULLS = stream(**{name: pa.nulls(MAX_TABLE_ROWS) for name in EXAMPLE})
"""A few kilobytes that decode to 100,000 rows."""

ARROW = b"application/vnd.apache.arrow.stream"


def held_by(call: Callable[[], Any]) -> int:
    """The peak memory of Python's allocator during a call, in bytes."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (json.dumps({"applications": [{}] * 3_000}).encode(), None),
        (b"{}\n" * 3_000, b"application/x-ndjson"),
        (json.dumps({"applications": [{f"{n}\U0001f600" * 50: 0 for n in range(9)}] * 600}).encode(), None),
        (json.dumps({"applications": [EXAMPLE] * 10_000}).encode(), None),
        (b'{"applications": [' + b"[{}]," * 60_000 + b"0]}", None),
        (stream(**{name: pa.array([value] * 50_000) for name, value in EXAMPLE.items()}), ARROW),
    ],
    ids=["empty", "empty lines", "long names", "valid", "nested", "table"],
)
def test_a_request_is_charged_for_at_least_what_it_holds(body: bytes, media_type: bytes | None) -> None:
    world = World("predict_batch")
    charged: list[int] = []
    grow = Load.grow

    def charge(load: Load, by: int) -> None:
        charged.append(by)
        grow(load, by)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Load, "grow", charge)
        taken = held_by(lambda: asyncio.run(world.call(whole(body), None, media_type or b"application/json")))
    assert world.status in {200, 422}
    assert taken < 1.2 * sum(charged) + 4e6
    assert world.in_flight.bytes == 0


@pytest.mark.parametrize(
    ("body", "media_type"), [(EMPTY, b"application/json"), (NULLS, ARROW)], ids=["JSON", "Arrow"]
)
def test_a_small_body_that_decodes_to_too_much_is_refused_before_it_is_held(
    monkeypatch: pytest.MonkeyPatch, body: bytes, media_type: bytes
) -> None:
    monkeypatch.setattr(admission, "MAX_BYTES_IN_FLIGHT", 40_000_000)
    world = World("predict_batch")
    assert held_by(lambda: asyncio.run(world.call(whole(body), None, media_type))) < 50_000_000
    assert world.status == 413
    assert (
        world.problem["detail"] == "the request takes more than 40,000,000 bytes of memory; split the batch"
    )
    assert world.in_flight.bytes == 0


def test_what_requests_hold_together_is_bounded_until_their_answers_are_taken() -> None:
    """Each of these bodies of 40 kB gets a response of 9 MB that its client does not read."""
    world = World("predict_batch")

    async def main() -> None:
        read_on = asyncio.Event()

        async def unread(message: dict[str, Any]) -> None:
            callers.append(message)
            await read_on.wait()

        callers: list[dict[str, Any]] = []
        tasks = [asyncio.create_task(world.call(whole(EMPTY), unread)) for _ in range(6)]
        while len(callers) < 6:
            await asyncio.sleep(0.01)
        statuses = [each["status"] for each in callers]
        # Two fit at a time; a third that is being read may take the place of the second for a moment.
        assert 1 <= statuses.count(200) <= 2
        assert statuses.count(200) + statuses.count(429) == 6
        assert world.in_flight.bytes <= MAX_BYTES_IN_FLIGHT
        read_on.set()
        await asyncio.gather(*tasks)
        await world.call(whole(EMPTY))

    asyncio.run(main())
    assert world.status == 200
    assert world.in_flight.bytes == 0


def test_bodies_that_trickle_are_bounded_over_all_requests() -> None:
    world = World("predict_batch")
    piece = {"type": "http.request", "body": b"x" * (CONTRACT.limits.table_bytes - 1), "more_body": True}
    callers = MAX_BYTES_IN_FLIGHT // CONTRACT.limits.table_bytes

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
        slow = [slow_caller() for _ in range(callers)]
        tasks = [asyncio.create_task(world.call(receive, None, ARROW)) for receive, _ in slow]
        await asyncio.sleep(0.05)
        assert world.in_flight.bytes == callers * (CONTRACT.limits.table_bytes - 1)
        refused = World("predict_batch")
        refused.endpoint = world.endpoint
        await refused.call(whole(b"x" * 100), None, ARROW)
        assert refused.status == 429
        assert dict(refused.sent[0]["headers"])[b"retry-after"] == b"1"
        assert refused.problem["detail"] == f"{MAX_BYTES_IN_FLIGHT:,} bytes are in flight; try again later"
        for _, leave in slow:
            leave.set()
        await asyncio.gather(*tasks)

    asyncio.run(main())
    assert (world.in_flight.requests, world.in_flight.bytes) == (0, 0)


def test_work_for_a_caller_who_has_gone_stops_and_is_charged_to_nobody() -> None:
    async def main() -> None:
        with Load(InFlight(), _never) as load:
            load.grow(10)
        with pytest.raises(ProblemError):
            load.grow(1)

    asyncio.run(main())


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
        assert refused[0].problem["type"] == "../problems#overloaded"
        send_now.set()
        await asyncio.gather(*tasks)
        assert {each.status for each in accepted} == {200}

    asyncio.run(main())
    assert world.form.rows == MAX_IN_FLIGHT
    assert world.in_flight.requests == 0

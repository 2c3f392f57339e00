"""The cycle: what it writes is what uvicorn's own would write, in fewer pieces."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from propensity.http.cycle import Cycle


class Connection(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []
        self.is_closed = False
        self.ended = 0

    def write(self, data: Any) -> None:
        self.pieces.append(bytes(data))

    def close(self) -> None:
        self.is_closed = True

    def end(self) -> None:
        self.ended += 1


def cycle_of(
    kind: type[RequestResponseCycle], connection: Connection, method: str, *, keep_alive: bool
) -> RequestResponseCycle:
    scope: Any = {"type": "http", "method": method, "http_version": "1.1", "path": "/", "headers": []}
    logger = logging.getLogger("uvicorn.error")
    return kind(
        scope=scope, transport=connection, flow=FlowControl(connection), logger=logger, access_logger=logger,
        access_log=False, default_headers=[(b"date", b"today")], message_event=asyncio.Event(),
        expect_100_continue=False, keep_alive=keep_alive, on_response=connection.end,
    )  # fmt: skip


def sent(kind: type[RequestResponseCycle], messages: Any, method: str, keep_alive: bool) -> Connection:
    """What a cycle writes."""
    connection = Connection()

    async def main() -> None:
        cycle = cycle_of(kind, connection, method, keep_alive=keep_alive)
        for message in messages:
            await cycle.send(dict(message))  # type: ignore[arg-type]
        assert cycle.response_complete

    asyncio.run(main())
    return connection


def response(status: int, headers: list[tuple[bytes, bytes]], *pieces: bytes) -> list[dict[str, Any]]:
    bodies = [
        {"type": "http.response.body", "body": piece, "more_body": place < len(pieces)}
        for place, piece in enumerate(pieces, 1)
    ]
    return [{"type": "http.response.start", "status": status, "headers": headers}, *bodies]


def length(size: int) -> tuple[bytes, bytes]:
    return (b"content-length", b"%d" % size)


def test_a_response_whose_body_is_all_there_is_one_write() -> None:
    messages = response(200, [(b"content-type", b"application/json"), length(2)], b"{}")
    connection = sent(Cycle, messages, "POST", keep_alive=True)
    assert connection.pieces == [
        b"HTTP/1.1 200 OK\r\ndate: today\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
    ]
    assert (connection.ended, connection.is_closed) == (1, False)


@given(
    status=st.sampled_from([200, 204, 304, 400, 404, 503]),
    method=st.sampled_from(["GET", "POST", "HEAD"]),
    keep_alive=st.booleans(),
    extra=st.sampled_from(
        [
            [],
            [(b"connection", b"close")],
            [(b"transfer-encoding", b"chunked")],
            [(b"X-A", b"1"), (b"X-A", b"2")],
        ]
    ),
    has_length=st.booleans(),
    pieces=st.lists(st.binary(max_size=20), min_size=1, max_size=3),
)
def test_the_bytes_are_those_that_uvicorn_would_write(
    status: int, method: str, keep_alive: bool, extra: Any, has_length: bool, pieces: list[bytes]
) -> None:
    headers = [*extra, length(sum(map(len, pieces)))] if has_length else extra
    messages = response(status, headers, *pieces)

    def outcome(kind: type[RequestResponseCycle]) -> Any:
        try:
            connection = sent(kind, messages, method, keep_alive)
        except RuntimeError as error:
            return str(error)
        # Names of headers are the same in any case.
        head, _, body = b"".join(connection.pieces).partition(b"\r\n\r\n")
        return head.lower(), body, connection.is_closed, connection.ended

    assert outcome(Cycle) == outcome(RequestResponseCycle)


@pytest.mark.parametrize("value", [b"a\r\nx-evil: 1", b"a\nb", b"a\rb"])
def test_a_header_with_a_line_end_is_not_sent(value: bytes) -> None:
    messages = response(200, [length(2), (b"x-request-id", value)], b"{}")
    with pytest.raises(RuntimeError):
        sent(Cycle, messages, "POST", keep_alive=True)


def test_an_application_that_fails_before_the_body_gets_the_servers_own_response() -> None:
    connection = Connection()

    async def failing(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [length(2)]})
        raise OSError("the file has gone")

    async def main() -> None:
        await cycle_of(Cycle, connection, "GET", keep_alive=True).run_asgi(failing)

    asyncio.run(main())
    content = b"".join(connection.pieces)
    assert content.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert content.endswith(b"Internal Server Error")

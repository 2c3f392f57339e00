"""The protocol: parses requests and closes connections, on top of uvicorn's protocol.

It fills three gaps of uvicorn 0.54 with httptools 0.9. An offer to upgrade (`Upgrade: h2c`, as Java and curl
send it) ends the request with its head, so that its body is parsed as the next request. What can't be parsed
is answered at once, even in the middle of another response. A head may be of any size and take any time.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from typing import Any, cast

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from propensity.contract.limits import HEAD_SECONDS, LINGER_SECONDS, MAX_CONNECTIONS, MAX_HEAD_BYTES
from propensity.contract.problem import MEDIA_TYPE, Kind, Problem, ProblemError
from propensity.http.cycle import Cycle
from propensity.http.drain import Drain
from propensity.settings import KEEP_ALIVE_SECONDS

_UNSET_KEEP_ALIVE = 5
"""uvicorn's default, in seconds, where `bentoml serve` was given no `--timeout-keep-alive`."""

_DRAINING_KEEP_ALIVE = 1
"""Seconds that a connection may be idle during the drain; one in use closes with its response."""


class Protocol(HttpToolsProtocol):
    """One connection."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        drain: Drain,
    ) -> None:
        """Create the protocol of a connection.

        Args:
            config: uvicorn's configuration.
            server_state: uvicorn's state of the server.
            app_state: the application's lifespan state.
            _loop: the event loop.
            drain: tells the connection when to close.
        """
        super().__init__(config, server_state, app_state, _loop)
        if drain.has_begun:
            self.timeout_keep_alive = _DRAINING_KEEP_ALIVE
        elif config.timeout_keep_alive == _UNSET_KEEP_ALIVE:
            self.timeout_keep_alive = KEEP_ALIVE_SECONDS
        drain.connections.add(self)
        self._waits_since = 0.0
        self._is_in_head = False
        self._is_in_body = False
        # Received, but neither of a complete head nor of a body: they would only pile up.
        self._pending_bytes = 0
        self._has_ended = False
        self._last_response: bytes | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request; beyond `MAX_CONNECTIONS`, close the connection that was idle longest."""
        super().connection_made(transport)
        self._wait()
        if len(self.connections) > MAX_CONNECTIONS:
            connections = cast("set[Protocol]", self.connections)
            idle = [other for other in connections if other.timeout_keep_alive_task is not None]
            longest = min(idle, key=lambda other: other._waits_since)
            longest._unset_keepalive_if_required()
            longest.transport.close()

    def data_received(self, data: bytes) -> None:
        """Parse more input, or refuse it."""
        if self._has_ended:
            return
        was_in_head = self._is_in_head
        self._pending_bytes += len(data)
        try:
            self._parse(data)
            if self._pending_bytes > MAX_HEAD_BYTES:
                raise _large_head()
        except ProblemError as error:
            self._refuse(error.problem)
        except httptools.HttpParserError as error:
            self._refuse(_problem_of(error))
        else:
            if self._is_in_head and not was_in_head:
                self._wait()

    def _parse(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                self.parser.feed_data(rest)
            except httptools.HttpParserUpgrade as offered:
                # To this parser, the request ended with its head. A new one gets the head without the offer,
                # which a server may ignore (RFC 9110, 7.8), and then the body.
                rest = rest[offered.args[0] :]
                head = self._head_without_offer()
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's
                self.parser.feed_data(head)
            else:
                return

    def _head_without_offer(self) -> bytes:
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

    def on_message_begin(self) -> None:
        """Begin a head."""
        super().on_message_begin()
        self._is_in_head = True

    def on_headers_complete(self) -> None:
        """Start the request, unless its head is about to be parsed again without an offer to upgrade.

        Raises:
            ProblemError: 431, the head is too large; 400, it asks for a tunnel or for another protocol.
        """
        self._is_in_head = False
        if self._pending_bytes > MAX_HEAD_BYTES:
            # The body may have arrived together with the head.
            fields = sum(len(name) + len(value) + 4 for name, value in self.headers)
            if len(self.url) + fields > MAX_HEAD_BYTES:
                raise _large_head()
        self._pending_bytes = 0
        if self.parser.get_method() == b"CONNECT":
            raise _malformed("CONNECT asks for a tunnel, and this is no proxy")
        if self.parser.get_http_version() not in {"1.1", "1.0"}:
            raise _malformed("it states another version")
        if self.parser.should_upgrade():
            return
        self._unset_keepalive_if_required()
        super().on_headers_complete()
        # Its task has not begun. uvicorn offers no other place to choose the class.
        self.cycle.__class__ = Cycle
        self._is_in_body = True
        if self.expect_100_continue:
            # Clients may send the body or not after a response that came instead of "100 Continue".
            self.cycle.keep_alive = False
        # Trailers are not headers (RFC 9110, 6.5.1): drop whatever a proxy let pass there.
        self.headers = deque(maxlen=0)  # type: ignore[assignment]

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._pending_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the body, unless the head is about to be parsed again without an offer to upgrade."""
        if self.parser.should_upgrade():
            return
        self._pending_bytes = 0
        self._is_in_body = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on with the next request, or wait for one."""
        is_last = not self.pipeline
        super().on_response_complete()
        if is_last and not self.transport.is_closing():
            self._waits_since = self.loop.time()
            if self._last_response is not None:
                self._write_and_close(self._last_response)
            elif self._is_in_head:
                self._wait()

    def drain(self) -> None:
        """Close the connection once it has been idle for a second; one in use closes with its response."""
        self.timeout_keep_alive = _DRAINING_KEEP_ALIVE
        if self.timeout_keep_alive_task is not None and not self._is_in_head:
            self._close_at(self._waits_since + _DRAINING_KEEP_ALIVE)

    def _wait(self) -> None:
        """Wait for long for a request, and briefly for the rest of its head."""
        if self.cycle is None or self.cycle.response_complete:
            self._waits_since = self.loop.time()
            self._close_at(
                self._waits_since + (HEAD_SECONDS if self._is_in_head else self.timeout_keep_alive)
            )

    def _close_at(self, when: float) -> None:
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_at(when, self.timeout_keep_alive_handler)

    def _refuse(self, problem: Problem) -> None:
        """Parse no further, and say why: after earlier responses, and never in answer to a request twice."""
        self._has_ended = True
        request_id = secrets.token_hex(16).encode()
        self.logger.warning("request %s of %s refused: %s", request_id.decode(), self.client, problem.detail)
        response = self._response(problem, request_id)
        if not self._is_in_body:
            is_idle = self.cycle is None or self.cycle.response_complete
        elif self.pipeline:
            # The request at fault waits for its turn: it gets this response instead.
            self.pipeline.popleft()
            is_idle = False
        elif self.cycle.response_started:
            self.cycle.keep_alive = False
            if self.cycle.response_complete:
                self._write_and_close(b"")
            return
        else:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            is_idle = True
        if is_idle:
            self._write_and_close(response)
        else:
            self._last_response = response

    def _response(self, problem: Problem, request_id: bytes) -> bytes:
        body = problem.content(b"")
        headers = [
            *self.server_state.default_headers,
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"x-request-id", request_id),
            (b"connection", b"close"),
        ]
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        return b"%b%b\r\n%b" % (STATUS_LINE[problem.status], lines, body)

    def _write_and_close(self, last: bytes) -> None:
        """Write, and close a little later: closing while input is unread would reset the connection."""
        self.transport.write(last)
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self._close_at(self.loop.time() + LINGER_SECONDS)
        else:
            self.transport.close()


def _problem_of(error: httptools.HttpParserError) -> Problem:
    if isinstance(error.__context__, ProblemError):
        return error.__context__.problem
    if isinstance(error, httptools.HttpParserCallbackError):
        return _malformed("its target is not a path").problem
    return _malformed(str(error)).problem


def _malformed(why: str) -> ProblemError:
    return ProblemError.of(Kind.MALFORMED_REQUEST, f"not a request of HTTP/1.1: {why}")


def _large_head() -> ProblemError:
    detail = f"the request's head is larger than {MAX_HEAD_BYTES:,} bytes; send fewer or shorter headers"
    return ProblemError.of(Kind.LARGE_HEAD, detail)

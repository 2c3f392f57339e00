"""The exchange: one request and its response, and what becomes known of it on its way.

It is the one record of a request. The application makes it when the request arrives; logs and metrics take
it, together with others, when the response has been sent.
"""

from __future__ import annotations

import random
import re
import time
from typing import Any

from opentelemetry.trace import get_current_span
from starlette.types import Message, Scope, Send

from propensity.http.drain import Drain

EXCHANGE = "propensity.exchange"
"""Key of the exchange in its ASGI scope."""

_ID_HEADER = b"x-request-id"
_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")


class Exchange:
    """One request and its response.

    Attributes:
        path: of the request.
        method: of the request.
        client: host and port; any text that a proxy gave.
        fields: the headers of the request by name; of a repeated one, the last.
        is_plain: whether no header is repeated.
        request_id: the id that the client gave, if it is safe in a log; otherwise a new one.
        began: time of arrival, in seconds of `time.perf_counter`.
        seconds: from the arrival to the last byte of the response; 0 until then.
        status: of the response; 500, the server's own answer, until another is sent.
        caller: name of the caller, if it is known.
        disbelief: why the token is not believed.
        model: tag of the model that predicts.
        rows: number of rows in the request.
        problem: kind of problem that the request is answered with.
        trace: id of the trace, where traces are exported.
        answered: the rows and predictions to record, if there are any.
        refused: the problem of the whole request, if that is of a prediction.
    """

    # Most exchanges leave most of these as they are.
    seconds = 0.0
    status = 500
    caller: str | None = None
    disbelief: str | None = None
    model: str | None = None
    rows: int | None = None
    problem: str | None = None
    trace: str | None = None
    answered: Any = None
    refused: Any = None

    def __init__(self, scope: Scope, send: Send, drain: Drain) -> None:
        """Begin an exchange.

        Args:
            scope: the ASGI scope of the request, which will hold the exchange.
            send: where the response goes.
            drain: tells whether the connection is to be closed with the response.
        """
        self.began = time.perf_counter()
        scope[EXCHANGE] = self
        self._send = send
        self._drain = drain
        self.path: str = scope["path"]
        self.method: str = scope["method"]
        self.client: tuple[Any, Any] = tuple(scope.get("client") or ("", 0))
        headers = scope["headers"]
        self.fields: dict[bytes, bytes] = dict(headers)
        self.is_plain = len(self.fields) == len(headers)
        self.request_id = _new_id() if _ID_HEADER not in self.fields else _given_id(headers)

    def end(self) -> None:
        """End the exchange. It is kept until it is noted, and lets go of what the response took."""
        self.seconds = time.perf_counter() - self.began
        del self._send

    async def send(self, message: Message) -> None:
        """Send a message of the response; its head gets the id of the request."""
        if message["type"] == "http.response.start":
            self._start(message)
        await self._send(message)

    def _start(self, message: Message) -> None:
        self.status = message["status"]
        headers = [*message["headers"], (_ID_HEADER, self.request_id)]
        if self._drain.has_begun:
            # The client reconnects, to an instance that stays.
            headers.append((b"connection", b"close"))
        message["headers"] = headers


class TracedExchange(Exchange):
    """An exchange whose span is exported."""

    def _start(self, message: Message) -> None:
        super()._start(message)
        span = get_current_span()  # it ends with the response
        self.trace = f"{span.get_span_context().trace_id:032x}"
        span.set_attribute("propensity.request_id", self.request_id.decode())
        for name in ("caller", "model", "rows", "problem"):
            if (value := getattr(self, name)) is not None:
                span.set_attribute(f"propensity.{name}", value)


def _new_id() -> bytes:
    # No secret: the system's own random numbers would cost a call of it for each request.
    return b"%032x" % random.getrandbits(128)


def _given_id(headers: list[tuple[bytes, bytes]]) -> bytes:
    given = (value for name, value in headers if name == _ID_HEADER and _ID.fullmatch(value))
    return next(given, None) or _new_id()

"""The access log: one line of JSON per request on standard output: who called what, never the content.

Lines are written together, ten times a second: BentoML's log writes once per request, which takes a third of
the time of a small prediction. A worker that is killed loses the lines of its last tenth of a second.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import secrets
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from opentelemetry.trace import get_current_span
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from propensity.http.scope import CALLER, DISBELIEF, MODEL, PROBLEM, REQUEST_ID, ROWS

WRITE_SECONDS = 0.1

_FIRST_ERROR = 400
"""The lowest status that is logged of health checks and scrapes too."""

_quoted = json.JSONEncoder().encode
"""A text as JSON; for texts much faster than `json.dumps`."""

_HEADER = b"x-request-id"
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")

logger = logging.getLogger("bentoml.propensity")


class AccessLog:
    """Logs each request."""

    def __init__(self, app: ASGIApp, skip_paths: Sequence[str], has_traces: bool) -> None:
        """Create the log of an application.

        Args:
            app: the application.
            skip_paths: paths of which only errors are logged.
            has_traces: whether lines name the trace.
        """
        self._app = app
        self._skip_paths = frozenset(skip_paths)
        self._has_traces = has_traces
        self._lines: list[str] = []
        self._is_failing = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and log it; write the remaining lines when the application ends."""
        if scope["type"] == "lifespan":
            try:
                await self._app(scope, receive, send)
            finally:
                self._write()
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500  # the server's answer where the application raises before it responds
        is_skipped = scope["path"] in self._skip_paths
        request_id = scope[REQUEST_ID] = _request_id(scope)

        def is_logged() -> bool:
            return not is_skipped or status >= _FIRST_ERROR

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if self._has_traces:  # the span ends with the response
                    _mark_span(scope, request_id)
                if is_logged():
                    message["headers"] = [*message["headers"], (_HEADER, request_id)]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            if is_logged():
                self._add_line(scope, request_id, status, (time.perf_counter() - started) * 1_000)

    def _add_line(self, scope: Scope, request_id: bytes, status: int, milliseconds: float) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        host, port = scope.get("client") or ("", 0)  # any text that a proxy gave
        caller = f',"caller":{_quoted(scope[CALLER])}' if CALLER in scope else ""
        rows = f',"rows":{scope[ROWS]}' if ROWS in scope else ""
        model = f',"model":"{scope[MODEL]}"' if MODEL in scope else ""
        problem = f',"problem":"{scope[PROBLEM]}"' if PROBLEM in scope else ""
        disbelief = f',"disbelief":{_quoted(scope[DISBELIEF])}' if DISBELIEF in scope else ""
        trace = ""
        if self._has_traces:
            trace = f',"trace_id":"{get_current_span().get_span_context().trace_id:032x}"'
        if not self._lines:
            asyncio.get_running_loop().call_later(WRITE_SECONDS, self._write)
        # By hand: json takes three times as long for a dict; msgspec, no faster, writes other bytes for
        # milliseconds and for characters beyond ASCII.
        self._lines.append(
            f'{{"time":"{now}","request_id":"{request_id.decode()}","client":{_quoted(f"{host}:{port}")}{caller},'
            f'"method":{_quoted(scope["method"])},"path":{_quoted(scope["path"])},"status":{status},'
            f'"ms":{milliseconds:.3f}{rows}{model}{problem}{disbelief}{trace}}}\n'
        )

    def _write(self) -> None:
        lines, self._lines = "".join(self._lines), []
        if not lines:
            return
        try:
            sys.stdout.write(lines)
            sys.stdout.flush()
        except OSError as error:  # such as a full disk; predictions do not depend on the log
            if not self._is_failing:
                logger.error("access log: %s; lines are lost", error)  # noqa: TRY400 — the trace says no more
            self._is_failing = True
        else:
            self._is_failing = False


def _mark_span(scope: Scope, request_id: bytes) -> None:
    span = get_current_span()
    span.set_attribute(REQUEST_ID, request_id.decode())
    for key in (CALLER, MODEL, ROWS, PROBLEM):
        if key in scope:
            span.set_attribute(key, scope[key])


def _request_id(scope: Scope) -> bytes:
    """The id that the client gave the request, if it is safe in a log; otherwise a new one."""
    for name, value in scope["headers"]:
        if name == _HEADER and _REQUEST_ID.fullmatch(value):
            given: bytes = value
            return given
    return secrets.token_hex(16).encode()

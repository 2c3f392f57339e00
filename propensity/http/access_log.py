"""The access log: a line of JSON for each request, on standard output: who did what, never with what.

Lines are written together, ten times a second: BentoML's own log, a write a request, takes a third of a small
prediction's time. A worker that is killed outright loses its last tenth of a second of lines, not of answers.
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
from functools import lru_cache

from opentelemetry.trace import get_current_span
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from propensity.http.scope import CALLER, DISBELIEF, MODEL, PROBLEM, REQUEST_ID, ROWS

WRITE_SECONDS = 0.1

_WRONG = 400
"""Statuses from here on are logged of health checks and scrapes as well."""

_quoted = lru_cache(maxsize=256)(json.dumps)
"""For what there are few of."""

_HEADER = b"x-request-id"
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")

logger = logging.getLogger("bentoml.propensity")


class AccessLog:
    """Notes down each request."""

    def __init__(self, app: ASGIApp, skip_paths: Sequence[str], has_traces: bool) -> None:
        """The log of an application.

        Args:
            app: the application.
            skip_paths: of which only what goes wrong is logged.
            has_traces: whether lines name the trace.
        """
        self._app = app
        self._skip_paths = frozenset(skip_paths)
        self._has_traces = has_traces
        self._lines: list[str] = []
        self._is_failing = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and note down how it went; write what is left when the application ends."""
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
        status = 500  # whoever raises before answering is answered so
        is_skipped = scope["path"] in self._skip_paths
        request_id = scope[REQUEST_ID] = _request_id(scope)

        def is_logged() -> bool:
            return not is_skipped or status >= _WRONG

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if self._has_traces:  # the span ends with the answer
                    _mark_span(scope, request_id)
                if is_logged():
                    message["headers"] = [*message["headers"], (_HEADER, request_id)]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            if is_logged():
                self._note(scope, request_id, status, (time.perf_counter() - started) * 1_000)

    def _note(self, scope: Scope, request_id: bytes, status: int, milliseconds: float) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        host, port = scope.get("client") or ("", 0)  # a proxy may have put anything there
        caller = f',"caller":{_quoted(scope[CALLER])}' if CALLER in scope else ""
        rows = f',"rows":{scope[ROWS]}' if ROWS in scope else ""
        model = f',"model":"{scope[MODEL]}"' if MODEL in scope else ""
        problem = f',"problem":"{scope[PROBLEM]}"' if PROBLEM in scope else ""
        disbelief = f',"disbelief":{json.dumps(scope[DISBELIEF])}' if DISBELIEF in scope else ""
        trace = f',"trace_id":"{_trace_id():032x}"' if self._has_traces else ""
        if not self._lines:
            asyncio.get_running_loop().call_later(WRITE_SECONDS, self._write)
        self._lines.append(
            f'{{"time":"{now}","request_id":"{request_id.decode()}","client":{json.dumps(f"{host}:{port}")}{caller},'
            f'"method":{_quoted(scope["method"])},"path":{json.dumps(scope["path"])},"status":{status},'
            f'"ms":{milliseconds:.3f}{rows}{model}{problem}{disbelief}{trace}}}\n'
        )

    def _write(self) -> None:
        lines, self._lines = "".join(self._lines), []
        if not lines:
            return
        try:
            sys.stdout.write(lines)
            sys.stdout.flush()
        except OSError as error:  # such as a full disk; a prediction needs no log
            if not self._is_failing:
                logger.error("access log: %s; lines are lost", error)  # noqa: TRY400 — the trace says no more
            self._is_failing = True
        else:
            self._is_failing = False


def _trace_id() -> int:
    return get_current_span().get_span_context().trace_id


def _mark_span(scope: Scope, request_id: bytes) -> None:
    span = get_current_span()
    span.set_attribute(REQUEST_ID, request_id.decode())
    for key in (CALLER, MODEL, ROWS, PROBLEM):
        if key in scope:
            span.set_attribute(key, scope[key])


def _request_id(scope: Scope) -> bytes:
    """What the caller calls the request, if that can stand in a log; otherwise a new name."""
    for name, value in scope["headers"]:
        if name == _HEADER and _REQUEST_ID.fullmatch(value):
            given: bytes = value
            return given
    return secrets.token_hex(16).encode()

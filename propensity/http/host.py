"""The header Host: a request of HTTP/1.1 has exactly one, whoever forwards it (RFC 9112, 3.2)."""

from __future__ import annotations

import re

from starlette.types import ASGIApp, Receive, Scope, Send

from propensity.contract.problem import Kind, Problem
from propensity.http.responses import ProblemResponse

_HOST = re.compile(rb"(?:\[[0-9A-Za-z:.%_~-]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]+)(?::[0-9]*)?")


class HostCheck:
    """Refuses requests without a valid Host, or with two of them: a proxy may have read the other one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 400."""
        if scope["type"] == "http" and not _is_named(scope):
            detail = "send one header `Host: NAME` or `Host: NAME:PORT`, as HTTP/1.1 requires"
            refused = ProblemResponse(Problem.of(Kind.MALFORMED_REQUEST, detail))
            await refused(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _is_named(scope: Scope) -> bool:
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    if not hosts:
        return bool(scope["http_version"] == "1.0")
    return len(hosts) == 1 and _HOST.fullmatch(hosts[0].strip(b" \t")) is not None

"""The header Host: a request of HTTP/1.1 has exactly one, whoever forwards it (RFC 9112, 3.2)."""

from __future__ import annotations

import re
from functools import lru_cache

from starlette.types import Scope

from propensity.contract.problem import Kind, ProblemError
from propensity.http.exchange import EXCHANGE, Exchange

_HOST = re.compile(rb"(?:\[[0-9A-Za-z:.%_~-]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]+)(?::[0-9]*)?")


def check_host(scope: Scope) -> None:
    """Check that a request has one valid Host; with two of them, a proxy may have read the other one.

    Raises:
        ProblemError: 400, it has not.
    """
    exchange: Exchange = scope[EXCHANGE]
    host = exchange.fields.get(b"host", b"")
    if exchange.is_plain and len(host) <= SHORT and _is_known(host):
        return
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    is_named = _is_valid(hosts[0]) if len(hosts) == 1 else not hosts and scope["http_version"] == "1.0"
    if not is_named:
        detail = "send one header `Host: NAME` or `Host: NAME:PORT`, as HTTP/1.1 requires"
        raise ProblemError.of(Kind.MALFORMED_REQUEST, detail)


SHORT = 256
"""Bytes of a Host up to which it is remembered."""


@lru_cache(maxsize=256)
def _is_known(host: bytes) -> bool:
    return _is_valid(host)


def _is_valid(host: bytes) -> bool:
    return _HOST.fullmatch(host.strip(b" \t")) is not None

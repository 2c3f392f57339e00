"""Authorization: who calls, and what they may do. Only health checks and documentation are open."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from propensity.contract.problem import PAGE, Kind, ProblemError
from propensity.http.responses import ProblemResponse
from propensity.http.scope import CALLER, DISBELIEF

TokenScope = Literal["predict", "metrics"]
SCOPES: tuple[TokenScope, ...] = get_args(TokenScope)

OPEN_PATHS = frozenset({"/", "/docs.json", "/schema.json", PAGE, "/livez", "/readyz", "/healthz"})
OPEN_PREFIX = "/static_content/"
"""Health checks and documentation. Every other path needs a token, whether it exists or not."""

SCOPE_OF_PATH: dict[str, TokenScope] = {"/metrics": "metrics"}
"""Scopes of the paths that need another scope than `predict`."""

_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/-]+=*) *", re.IGNORECASE)


@dataclass(frozen=True)
class Caller:
    """Whom a token belongs to.

    Attributes:
        name: the name in logs and rate limits.
        scopes: what the caller may do.
    """

    name: str
    scopes: frozenset[str]


class DisbeliefError(Exception):
    """A token that its authority does not believe; the message says why, for the log."""


class Authority(Protocol):
    """Knows tokens: the static ones of a file, or the JWTs of an issuer."""

    async def caller(self, token: str) -> Caller | None:
        """The caller that a token belongs to; None if this authority does not know the token.

        Raises:
            DisbeliefError: the token is of this authority's kind, but not believed.
            ProblemError: 503, the authority can't tell at the moment.
        """


class Allowance(Protocol):
    """The number of requests that each caller may make."""

    async def take(self, caller: str) -> None:
        """Take one request from the allowance of a caller.

        Raises:
            ProblemError: 429, none is left.
        """

    async def close(self) -> None:
        """Close the connections that it holds."""


class Authorization:
    """Lets a request pass only with a token that has the scope of its path."""

    def __init__(
        self, app: ASGIApp, authorities: Sequence[Authority], allowance: Allowance | None = None
    ) -> None:
        """Put an application behind tokens.

        Args:
            app: the application.
            authorities: the authorities to ask for a token's caller, in this order.
            allowance: the allowance of each caller; None for no limit.
        """
        self._app = app
        self._authorities = authorities
        self._allowance = allowance

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401, 403, 429 or 503, or pass the request on."""
        if scope["type"] == "lifespan" or self._is_open(scope):
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        try:
            await self._admit(scope)
        except ProblemError as error:
            await ProblemResponse(error.problem, error.headers)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    @staticmethod
    def _is_open(scope: Scope) -> bool:
        path = scope["path"]
        return scope["type"] == "http" and (path in OPEN_PATHS or path.startswith(OPEN_PREFIX))

    async def _admit(self, scope: Scope) -> None:
        caller = await self._caller(scope)
        scope[CALLER] = caller.name
        needed = SCOPE_OF_PATH.get(scope["path"], "predict")
        if needed not in caller.scopes:
            challenge = _challenge(f', error="insufficient_scope", scope="{needed}"')
            raise ProblemError.of(Kind.FORBIDDEN, f"this token lacks the scope {needed}", challenge)
        if self._allowance is not None and needed == "predict":
            await self._allowance.take(caller.name)

    async def _caller(self, scope: Scope) -> Caller:
        given = Headers(scope=scope).getlist("authorization")
        if not given:
            detail = "send a token: `Authorization: Bearer TOKEN`"
            raise ProblemError.of(Kind.UNAUTHENTICATED, detail, _challenge())
        bearer = _BEARER.fullmatch(given[0])
        if len(given) > 1 or bearer is None:
            detail = "send one header `Authorization: Bearer TOKEN`"
            raise ProblemError.of(Kind.UNAUTHENTICATED, detail, _challenge(', error="invalid_request"'))
        for authority in self._authorities:
            try:
                caller = await authority.caller(bearer[1])
            except DisbeliefError as error:
                # For the log only: whoever tries out tokens must not learn why.
                scope[DISBELIEF] = str(error)
                continue
            if caller is not None:
                return caller
        detail = "this token is not valid (any more)"
        raise ProblemError.of(Kind.UNAUTHENTICATED, detail, _challenge(', error="invalid_token"'))


def _challenge(error: str = "") -> dict[str, str]:
    return {"WWW-Authenticate": f'Bearer realm="propensity"{error}'}

"""Authorization: who calls, and what they may do. Only health checks and documentation are open."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

from starlette.types import Scope

from propensity.contract.problem import PAGE, Kind, ProblemError
from propensity.http.exchange import EXCHANGE, Exchange

TokenScope = Literal["predict", "metrics"]
SCOPES: tuple[TokenScope, ...] = get_args(TokenScope)

LIVE, READY = "/v2/health/live", "/v2/health/ready"
"""Health checks of the Open Inference Protocol."""

TRY = "/try"
"""Path of the page on which people try the model out; its files lie below it."""

OPEN_PATHS = frozenset({
    "/", "/docs.json", "/schema.json", PAGE, TRY, "/livez", "/readyz", "/healthz", LIVE, READY
})  # fmt: skip
OPEN_PREFIXES = ("/static_content/", f"{TRY}/")
"""Health checks, documentation and pages. Every other path needs a token, whether it exists or not."""

SCOPE_OF_PATH: dict[str, TokenScope] = {"/metrics": "metrics"}
"""Scopes of the paths that need another scope than `predict`."""

BELIEF_SECONDS = 0.5
"""Seconds for which a token that was believed is believed again without being looked at. A token that is
removed, or expires, is refused that much later at most."""

MAX_BELIEVED, MAX_BELIEVED_BYTES = 1_024, 8_400
"""Headers that are remembered for so long, and the bytes that each may have: as many as the longest JWT."""

_HEADER = b"authorization"
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

    def __init__(self, authorities: Sequence[Authority], allowance: Allowance | None = None) -> None:
        """Create the authorization of a service.

        Args:
            authorities: asked in this order whom a token belongs to.
            allowance: limits the predictions of each caller; None for no limit.
        """
        self._authorities = authorities
        self._allowance = allowance
        self._believed: dict[bytes, Caller] = {}
        self._believed_until = 0.0

    async def admit(self, scope: Scope) -> None:
        """Note who calls, if the path is not open.

        Raises:
            ProblemError: 401, 403, 429 or 503, the request may not pass.
        """
        exchange: Exchange = scope[EXCHANGE]
        path = exchange.path
        if path in OPEN_PATHS or path.startswith(OPEN_PREFIXES):
            return
        caller = self._known(exchange) or await self._caller(exchange, scope)
        exchange.caller = caller.name
        needed = SCOPE_OF_PATH.get(path, "predict")
        if needed not in caller.scopes:
            challenge = _challenge(f', error="insufficient_scope", scope="{needed}"')
            raise ProblemError.of(Kind.FORBIDDEN, f"this token lacks the scope {needed}", challenge)
        if self._allowance is not None and needed == "predict":
            await self._allowance.take(caller.name)

    def forget(self) -> None:
        """Believe nothing any more without looking at it, if the time has come."""
        now = time.monotonic()
        if now >= self._believed_until:
            self._believed.clear()
            self._believed_until = now + BELIEF_SECONDS

    async def close(self) -> None:
        """Close the connections that it holds."""
        if self._allowance is not None:
            await self._allowance.close()

    def _known(self, exchange: Exchange) -> Caller | None:
        """The caller whose header was believed a moment ago."""
        self.forget()
        return self._believed.get(exchange.fields.get(_HEADER, b"")) if exchange.is_plain else None

    async def _caller(self, exchange: Exchange, scope: Scope) -> Caller:
        given = [value for name, value in scope["headers"] if name == _HEADER]
        if not given:
            detail = "send a token: `Authorization: Bearer TOKEN`"
            raise ProblemError.of(Kind.UNAUTHENTICATED, detail, _challenge())
        bearer = _BEARER.fullmatch(given[0].decode("latin-1"))
        if len(given) > 1 or bearer is None:
            detail = "send one header `Authorization: Bearer TOKEN`"
            raise ProblemError.of(Kind.UNAUTHENTICATED, detail, _challenge(', error="invalid_request"'))
        for authority in self._authorities:
            try:
                caller = await authority.caller(bearer[1])
            except DisbeliefError as error:
                # For the log only: whoever tries out tokens must not learn why.
                exchange.disbelief = str(error)
                continue
            if caller is not None:
                if len(self._believed) < MAX_BELIEVED and len(given[0]) <= MAX_BELIEVED_BYTES:
                    self._believed[given[0]] = caller
                return caller
        detail = "this token is not valid (any more)"
        raise ProblemError.of(Kind.UNAUTHENTICATED, detail, _challenge(', error="invalid_token"'))


def _challenge(error: str = "") -> dict[str, str]:
    return {"WWW-Authenticate": f'Bearer realm="propensity"{error}'}

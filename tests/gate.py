"""Authorization in front of another ASGI application, as the service's own puts it."""

from __future__ import annotations

from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from propensity.access.authorization import Authorization
from propensity.contract.problem import ProblemError
from propensity.http.drain import Drain
from propensity.http.exchange import Exchange
from propensity.http.responses import ProblemResponse


class Gate:
    """An application behind tokens.

    Attributes:
        exchanges: those that came so far.
    """

    def __init__(self, app: ASGIApp, authorities: Any) -> None:
        self._app = app
        self.authorization = Authorization(authorities)
        self.exchanges: list[Exchange] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, send, Drain())
        self.exchanges.append(exchange)
        try:
            await self.authorization.admit(scope)
        except ProblemError as error:
            await ProblemResponse(error.problem, error.headers)(scope, receive, exchange.send)
            return
        await self._app(scope, receive, exchange.send)
        exchange.end()

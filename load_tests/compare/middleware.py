"""The service with the same pass as a middleware of BentoML's application: for measuring the other way in.

Of BentoML it takes public hooks alone, with its access log, its metrics and its traces off.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import bentoml
from _bentoml_sdk import Service
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import HTTP_PROTOCOLS

from propensity.app import PredictionApp, PredictionService
from propensity.http.protocol import Protocol
from service import Propensity

__all__ = ["Propensity"]


class Pass:
    """Answers every path under /v1, and lets the others through to BentoML."""

    app: PredictionApp

    def __init__(self, theirs: ASGIApp) -> None:
        self._theirs = theirs
        self._starting = asyncio.Lock()
        self._has_started = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/v1/"):
            await self._theirs(scope, receive, send)
            return
        if not self._has_started:
            async with self._starting:
                if not self._has_started:
                    await self.app._start(bentoml.get_current_service())
                    self._has_started = True
        await self.app(scope, receive, send)


def _to_asgi(service: PredictionService, is_main: bool = True) -> ASGIApp:
    Pass.app = PredictionApp(service, Service.to_asgi(service, is_main))
    HTTP_PROTOCOLS["auto"] = partial(Protocol, drain=Pass.app.drain)  # type: ignore[assignment]
    service.config["logging"] = {"access": {"enabled": False}}
    service.config["metrics"] = {"enabled": False}
    app: ASGIApp = Service.to_asgi(service, is_main)
    return app


setattr(PredictionService, "to_asgi", _to_asgi)  # noqa: B010
declared: Any = Propensity
declared.config["tracing"] = {"excluded_urls": ".*"}
declared.add_asgi_middleware(Pass)

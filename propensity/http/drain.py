"""The drain: between SIGTERM and the end a worker answers on, but says that it is not ready.

Whoever sends it requests sees so and turns to another; only then does it stop accepting. By itself the server
stops accepting at once, and refuses whoever has not heard of it yet.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from types import FrameType
from typing import Protocol
from weakref import WeakSet

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from propensity.settings import DRAIN_SECONDS


class Connection(Protocol):
    """What is told that the drain has begun."""

    def drain(self) -> None:
        """End as soon as nothing is under way."""


class Drain:
    """Whether a worker is about to stop."""

    def __init__(self) -> None:
        self.has_begun = False
        self.connections: WeakSet[Connection] = WeakSet()

    def listen(self) -> None:
        """Begin with SIGTERM, and let the server stop `DRAIN_SECONDS` later. Called by the running server."""
        stop = signal.getsignal(signal.SIGTERM)
        if threading.current_thread() is not threading.main_thread() or not callable(stop):
            # Not a process of its own: whoever started it also ends it.
            return
        loop = asyncio.get_running_loop()

        def begin(number: int, frame: FrameType | None) -> None:
            if not self.has_begun:
                self.has_begun = True
                loop.call_soon_threadsafe(loop.call_later, DRAIN_SECONDS, stop, number, frame)
                loop.call_soon_threadsafe(self._let_go)

        signal.signal(signal.SIGTERM, begin)

    def _let_go(self) -> None:
        for connection in list(self.connections):
            connection.drain()


class Draining:
    """Lets callers go while a worker drains: with its answer each connection ends, and they make another."""

    def __init__(self, app: ASGIApp, drain: Drain) -> None:
        self._app = app
        self._drain = drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http" or not self._drain.has_begun:
            await self._app(scope, receive, send)
            return

        async def closing(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        await self._app(scope, receive, closing)

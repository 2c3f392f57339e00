"""The drain: from SIGTERM until it stops, a worker goes on answering but reports that it is not ready.

Load balancers see this and turn to other instances; only then does the worker stop accepting connections. The
server alone would stop accepting at once, and refuse clients that have not heard of it yet.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from types import FrameType
from typing import Protocol
from weakref import WeakSet

from propensity.settings import DRAIN_SECONDS


class Connection(Protocol):
    """A connection that is told when the drain begins."""

    def drain(self) -> None:
        """Close as soon as no request is under way."""


class Drain:
    """Whether a worker is about to stop, and the connections to close then."""

    def __init__(self) -> None:
        self.has_begun = False
        self.connections: WeakSet[Connection] = WeakSet()

    def listen(self) -> None:
        """Begin on SIGTERM, and let the server stop `DRAIN_SECONDS` later. Called in the running server."""
        stop = signal.getsignal(signal.SIGTERM)
        if threading.current_thread() is not threading.main_thread() or not callable(stop):
            # The application runs inside another program, such as a test, which ends it.
            return
        loop = asyncio.get_running_loop()

        def begin(number: int, frame: FrameType | None) -> None:
            if not self.has_begun:
                self.has_begun = True
                loop.call_soon_threadsafe(loop.call_later, DRAIN_SECONDS, stop, number, frame)
                loop.call_soon_threadsafe(self._drain_connections)

        signal.signal(signal.SIGTERM, begin)

    def _drain_connections(self) -> None:
        for connection in list(self.connections):
            connection.drain()

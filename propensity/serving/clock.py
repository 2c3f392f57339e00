"""The clock: what a worker does some times a second, whatever requests come."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

SECONDS = 0.1
"""Time between two ticks."""

logger = logging.getLogger("bentoml.propensity")


class Clock:
    """Does some things at each tick, in the event loop."""

    def __init__(self, actions: Sequence[Callable[[], None]]) -> None:
        self._actions = actions

    def start(self) -> None:
        """Tick from now on until `stop`."""
        self._timer = asyncio.get_running_loop().call_later(SECONDS, self._tick)

    def stop(self) -> None:
        """Tick no more."""
        self._timer.cancel()

    def _tick(self) -> None:
        self.start()
        for action in self._actions:
            try:
                action()
            except Exception:  # the next tick tries again
                logger.exception("%s failed", action.__qualname__)

"""The rate limit: how many requests each caller may make.

Used where `PROPENSITY_RATE_LIMIT` is set, such as `600/minute`. Each worker counts for itself, in memory,
unless `PROPENSITY_RATE_LIMIT_REDIS` names a Redis that counts for all of them. While Redis can't be reached,
each worker counts for itself: predictions do not depend on Redis.
"""

from __future__ import annotations

import logging
import math
import os
import time

from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import StorageError
from redis.asyncio import ConnectionPool

from propensity.contract.problem import Kind, ProblemError
from propensity.settings import SettingError

REDIS_SECONDS = 0.25
"""Seconds that Redis has to answer."""

REDIS_RETRY_SECONDS = 5.0
"""Seconds until Redis is asked again after it failed."""

logger = logging.getLogger("bentoml.propensity")


class RateLimit:
    """Allows each caller a number of requests in a window that slides: nobody gets twice that at its edge."""

    def __init__(self, rate: RateLimitItem, redis: str | None = None) -> None:
        """Create a limit.

        Args:
            rate: number of requests and window of each caller.
            redis: URL of the Redis that counts; None if each worker counts for itself.

        Raises:
            SettingError: the URL is not that of a Redis.
        """
        self._rate = rate
        self._local = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._shared = None
        self._connections: ConnectionPool | None = None
        self._retry_at = float("-inf")
        if redis:
            if not redis.startswith(("redis://", "rediss://")):
                # The message leaves the URL out, which may hold a password.
                raise SettingError("PROPENSITY_RATE_LIMIT_REDIS must begin with redis:// or rediss://")
            self._connections = ConnectionPool.from_url(
                redis, socket_timeout=REDIS_SECONDS, socket_connect_timeout=REDIS_SECONDS
            )
            storage = RedisStorage(
                f"async+{redis}",
                connection_pool=self._connections,  # type: ignore[arg-type]
                wrap_exceptions=True,
                implementation="redispy",
                key_prefix="propensity",
            )
            self._shared = SlidingWindowCounterRateLimiter(storage)

    @classmethod
    def from_environment(cls) -> RateLimit:
        """The configured limit.

        Raises:
            SettingError: the limit can't be used.
        """
        rate = os.environ["PROPENSITY_RATE_LIMIT"]
        try:
            return cls(parse(rate), os.environ.get("PROPENSITY_RATE_LIMIT_REDIS"))
        except ValueError as error:
            raise SettingError(f"PROPENSITY_RATE_LIMIT is {rate!r}; it must be like 600/minute") from error

    async def take(self, caller: str) -> None:
        """Take one request from the allowance of a caller.

        Raises:
            ProblemError: 429, none is left for now.
        """
        if self._shared is not None and time.monotonic() >= self._retry_at:
            try:
                await self._take(self._shared, caller)
            except StorageError as error:
                self._retry_at = time.monotonic() + REDIS_RETRY_SECONDS
                logger.error(  # noqa: TRY400 — the trace would say no more
                    "rate limit: Redis: %s; each worker counts for itself for %g s",
                    error,
                    REDIS_RETRY_SECONDS,
                )
            else:
                return
        await self._take(self._local, caller)

    async def close(self) -> None:
        """Close the connections to Redis."""
        if self._connections is not None:
            await self._connections.disconnect()

    async def _take(self, counter: SlidingWindowCounterRateLimiter, caller: str) -> None:
        if await counter.hit(self._rate, caller):
            return
        window = await counter.get_window_stats(self._rate, caller)
        # Whatever the clock says, no caller has to wait for longer than the window.
        seconds = min(max(1, math.ceil(window.reset_time - time.time())), self._rate.get_expiry())
        raise ProblemError.of(
            Kind.RATE_LIMITED,
            f"{self._rate} is what you may send; try again in {seconds} s, or send batches",
            {"Retry-After": str(seconds)},
        )

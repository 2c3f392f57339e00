"""Admission: limits what requests may take of a worker: their number, their memory, and their time."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import cast

from starlette.types import Receive

from propensity.contract.limits import BODY_SECONDS, MAX_BYTES_IN_FLIGHT, MAX_IN_FLIGHT, PRESENCE_SECONDS
from propensity.contract.problem import RETRY, Kind, ProblemError

_NEVER = float("inf")


class InFlight:
    """The requests in flight in one worker, and the bytes that they hold."""

    def __init__(self) -> None:
        self.loads: set[Load] = set()
        self.bytes = 0
        # Large bodies are read in threads.
        self.lock = threading.Lock()

    @property
    def requests(self) -> int:
        """The number of requests in flight."""
        return len(self.loads)

    def check_time(self) -> None:
        """Give up the requests that are late, and look after the clients of those that take long.

        Called some times a second: timers for each request would cost more than most requests take.
        """
        now = time.monotonic()
        for load in list(self.loads):
            load.check_time(now)


class Load:
    """A context in which one request is in flight: the memory that it holds, and the time that it has.

    It begins with `BODY_SECONDS` for the body to arrive. Its task is cancelled where the request is given up;
    `why_given_up` then says why.
    """

    def __init__(self, in_flight: InFlight, receive: Receive) -> None:
        """Create the load of a request.

        Args:
            in_flight: all requests that are in flight.
            receive: the ASGI channel by which the request comes.
        """
        self._in_flight = in_flight
        self._receive = receive
        self._bytes = 0
        self._deadline = time.monotonic() + BODY_SECONDS
        self._present_until = _NEVER
        self._problem = _slow_body
        self._given_up: ProblemError | None = None
        self._watching: asyncio.Task[None] | None = None

    def __enter__(self) -> Load:
        self._task = cast("asyncio.Task[None]", asyncio.current_task())
        self._in_flight.loads.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._in_flight.loads.discard(self)
        if self._watching is not None:
            self._watching.cancel()
        with self._in_flight.lock:
            self._in_flight.bytes -= self._bytes
            # A thread may still work for a client that disconnected: its next `grow` must fail.
            self._bytes = MAX_BYTES_IN_FLIGHT

    def admit(self) -> None:
        """Refuse this request if too many are in flight.

        Raises:
            ProblemError: 429, more than `MAX_IN_FLIGHT` requests are in flight.
        """
        if self._in_flight.requests > MAX_IN_FLIGHT:
            detail = f"{MAX_IN_FLIGHT:,} requests are in flight; try again later"
            raise ProblemError.of(Kind.OVERLOADED, detail, RETRY)

    def grow(self, by: int) -> None:
        """Charge the request for memory that it is about to take.

        Args:
            by: bytes.

        Raises:
            ProblemError: 413, this request alone would hold more than `MAX_BYTES_IN_FLIGHT`; 429, all
                requests together would.
        """
        with self._in_flight.lock:
            if self._bytes + by > MAX_BYTES_IN_FLIGHT:
                detail = (
                    f"the request takes more than {MAX_BYTES_IN_FLIGHT:,} bytes of memory; split the batch"
                )
                raise ProblemError.of(Kind.LARGE_BODY, detail)
            if self._in_flight.bytes + by > MAX_BYTES_IN_FLIGHT:
                detail = f"{MAX_BYTES_IN_FLIGHT:,} bytes are in flight; try again later"
                raise ProblemError.of(Kind.OVERLOADED, detail, RETRY)
            self._in_flight.bytes += by
            self._bytes += by

    def work(self, seconds: float = _NEVER) -> None:
        """Begin to work on the request, or to wait for work on it that has so many seconds.

        After `PRESENCE_SECONDS`, it ends if the client disconnects.
        """
        now = time.monotonic()
        self._deadline = now + seconds
        self._problem = _late
        if self._watching is None:
            self._present_until = now + PRESENCE_SECONDS

    def respond(self) -> None:
        """Begin to respond: the work is done, and no longer given up."""
        self._deadline = self._present_until = _NEVER
        if self._watching is not None:
            self._watching.cancel()

    def check_time(self, now: float) -> None:
        """Give the request up if it is late; watch the client of one that takes long."""
        if now >= self._deadline:
            self._deadline = _NEVER
            self._give_up(self._problem())
        elif now >= self._present_until:
            self._present_until = _NEVER
            self._watching = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._give_up(ProblemError.of(Kind.CALLER_GONE, "the client disconnected"))

    def _give_up(self, why: ProblemError) -> None:
        self._given_up = why
        self._task.cancel()

    def why_given_up(self) -> ProblemError | None:
        """Return why the request was given up, where its task was cancelled for this; it then goes on."""
        if self._given_up is not None:
            self._task.uncancel()
        return self._given_up


def _slow_body() -> ProblemError:
    return ProblemError.of(Kind.SLOW_BODY, f"the body did not arrive within {BODY_SECONDS:g} s")


def _late() -> ProblemError:
    return ProblemError.of(Kind.LATE, "not predicted in time; try again later", RETRY)

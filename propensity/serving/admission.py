"""Admission: which requests a worker takes on, bounded by their number and by the memory that they hold."""

from __future__ import annotations

import threading

from propensity.contract.limits import MAX_BYTES_IN_FLIGHT, MAX_IN_FLIGHT
from propensity.contract.problem import RETRY, Kind, ProblemError


class InFlight:
    """The requests of one worker."""

    def __init__(self) -> None:
        self.requests = 0
        self.bytes = 0
        # Large bodies are read in threads.
        self.lock = threading.Lock()

    def track(self) -> Load:
        """A request, counted while it is worked on."""
        return Load(self)


class Load:
    """One request in flight, and what it holds in memory."""

    def __init__(self, in_flight: InFlight) -> None:
        self._in_flight = in_flight
        self._bytes = 0

    def __enter__(self) -> Load:
        self._in_flight.requests += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._in_flight.requests -= 1
        with self._in_flight.lock:
            self._in_flight.bytes -= self._bytes
            # A thread may still be at work for a caller who has gone: it is to stop.
            self._bytes = MAX_BYTES_IN_FLIGHT

    def admit(self) -> None:
        """Go on with this one.

        Raises:
            ProblemError: 429, there are more than `MAX_IN_FLIGHT` now.
        """
        if self._in_flight.requests > MAX_IN_FLIGHT:
            detail = f"{MAX_IN_FLIGHT:,} requests are in flight; try again later"
            raise ProblemError.of(Kind.OVERLOADED, detail, RETRY)

    def grow(self, by: int) -> None:
        """Hold more bytes.

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

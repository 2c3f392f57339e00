"""Admission: limits the requests that a worker accepts, by their number and by the memory that they hold."""

from __future__ import annotations

import threading

from propensity.contract.limits import MAX_BYTES_IN_FLIGHT, MAX_IN_FLIGHT
from propensity.contract.problem import RETRY, Kind, ProblemError


class InFlight:
    """The requests in flight in one worker, and the bytes that they hold."""

    def __init__(self) -> None:
        self.requests = 0
        self.bytes = 0
        # Large bodies are read in threads.
        self.lock = threading.Lock()

    def track(self) -> Load:
        """A context that counts one request while it is in flight."""
        return Load(self)


class Load:
    """One request in flight, and the memory that it holds."""

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

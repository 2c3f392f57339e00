"""The journal: takes the exchanges that have ended, and notes them together, some times a second.

Access log, metrics, prediction log and challenger are told of requests here, and nowhere else.
"""

from __future__ import annotations

from propensity.http.access_log import AccessLog
from propensity.http.exchange import Exchange
from propensity.http.request_metrics import RequestMetrics
from propensity.monitoring.follow_up import FollowUp
from propensity.monitoring.prediction_metrics import PredictionMetrics

MOST = 256
"""Exchanges that are noted together: more would let the next request wait for longer than it takes."""


class Journal:
    """The journal of one worker."""

    def __init__(self, access_log: AccessLog | None, request_metrics: RequestMetrics | None) -> None:
        self._access_log = access_log
        self._request_metrics = request_metrics
        self._prediction_metrics: PredictionMetrics | None = None
        self._follow_up: FollowUp | None = None
        self._open: set[Exchange] = set()
        self._ended: list[Exchange] = []

    def start(self, prediction_metrics: PredictionMetrics, follow_up: FollowUp | None) -> None:
        """Note predictions, too, from now on."""
        self._prediction_metrics = prediction_metrics
        self._follow_up = follow_up

    def begin(self, exchange: Exchange) -> None:
        """Keep an exchange that is in progress."""
        self._open.add(exchange)

    def end(self, exchange: Exchange) -> None:
        """Keep an exchange that has ended until it is noted."""
        exchange.end()
        self._open.discard(exchange)
        self._ended.append(exchange)
        if len(self._ended) >= MOST:
            self.write()

    def write(self) -> None:
        """Note what has ended and what is in progress."""
        ended, self._ended = self._ended, []
        if self._request_metrics is not None:
            self._request_metrics.sample(self._open)
            self._request_metrics.count(ended)
        if self._access_log is not None:
            self._access_log.write(ended)
        answered = [exchange.answered for exchange in ended if exchange.answered is not None]
        if self._prediction_metrics is not None:
            self._prediction_metrics.sample()
            if answered:
                self._prediction_metrics.count(answered)
        if self._follow_up is not None:
            for request in answered:
                self._follow_up.record(request)

"""The journal: takes the exchanges that have ended, and notes them together, some times a second.

Access log, metrics, prediction log and challenger are told of requests here, and nowhere else.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from propensity.http.access_log import AccessLog
from propensity.http.exchange import Exchange
from propensity.http.request_metrics import RequestMetrics
from propensity.monitoring.follow_up import FollowUp
from propensity.monitoring.prediction_metrics import PredictionMetrics

MOST_LINES = 256
MOST_COUNTS = 512
"""Exchanges that are logged, or counted, together: more would keep the next request waiting for long."""

MOST_ROWS = 50_000
"""Rows that are kept until they are counted: they hold memory."""

COUNT_SECONDS = 1.0
"""Seconds until fewer are counted, since counting few takes as long as counting hundreds."""


logger = logging.getLogger("bentoml.propensity")


class Journal:
    """The journal of one worker."""

    def __init__(self, access_log: AccessLog | None, request_metrics: RequestMetrics | None) -> None:
        self._access_log = access_log
        self._request_metrics = request_metrics
        self._prediction_metrics: PredictionMetrics | None = None
        self._follow_up: FollowUp | None = None
        self._open: set[Exchange] = set()
        self._ended: list[Exchange] = []
        self._logged: list[Exchange] = []
        self._rows = 0
        self._count_at = 0.0
        self._failing: set[str] = set()

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
        self._rows += exchange.rows or 0
        if len(self._ended) >= MOST_LINES or self._rows >= MOST_ROWS:
            self.write()

    def write(self) -> None:
        """Log what has ended; count it if it is much, or the time has come."""
        ended, self._ended = self._ended, []
        self._logged += ended
        if self._access_log is not None:
            self._note("access log", self._access_log.write, ended)
        if self._follow_up is not None:
            for exchange in ended:
                if exchange.answered is not None:
                    self._note("follow-up", self._follow_up.record, exchange.answered)
        is_much = len(self._logged) >= MOST_COUNTS or self._rows >= MOST_ROWS
        if is_much or time.monotonic() >= self._count_at:
            self._count()

    def note_all(self) -> None:
        """Log and count all that has ended."""
        self._count_at = float("-inf")
        self.write()

    def _count(self) -> None:
        self._count_at = time.monotonic() + COUNT_SECONDS
        logged, self._logged = self._logged, []
        self._rows = 0
        if self._request_metrics is not None:
            self._note("request metrics", self._request_metrics.count, logged, self._open)
        if self._prediction_metrics is not None:
            answered = [exchange.answered for exchange in logged if exchange.answered is not None]
            refused = [exchange.refused for exchange in logged if exchange.refused is not None]
            self._note("prediction metrics", self._prediction_metrics.count, answered, refused)

    def _note(self, name: str, note: Callable[..., None], *arguments: object) -> None:
        """Note something; a failure costs neither requests nor what others note."""
        try:
            note(*arguments)
        except Exception:
            if name not in self._failing:
                logger.exception("%s: failed, and misses some requests", name)
            self._failing.add(name)
        else:
            self._failing.discard(name)

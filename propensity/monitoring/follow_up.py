"""The follow-up of answered requests: their predictions are logged, and a challenger predicts them too.

It runs in a thread of its own, with a bounded queue: no response waits for it. Where it does not keep up, or
a disk is full, predictions are dropped, and counted.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from functools import cache
from typing import Any

from bentoml._internal.configuration.containers import BentoMLContainer

from propensity.contract.contract import Contract
from propensity.contract.features import Propensities
from propensity.contract.limits import MAX_FOLLOWED_ROWS
from propensity.model.predictor import Predictor
from propensity.monitoring import prediction_log
from propensity.monitoring.answered_request import AnsweredRequest
from propensity.monitoring.challenger import Challenger
from propensity.monitoring.prediction_log import PredictionLog

PAUSE_SECONDS = 0.1

MERGED_ROWS = 512
"""Rows that a challenger predicts in one call; many more would keep the worker from answering."""

logger = logging.getLogger("bentoml.propensity")


class FollowUp:
    """The follow-up of one worker's predictions."""

    def __init__(self, log: PredictionLog | None, challenger: Challenger | None) -> None:
        """Start the thread; `stop` ends it."""
        self._log = log
        self._challenger = challenger
        self._waiting: deque[AnsweredRequest] = deque()
        # Rows: each number is written by one thread alone; their difference is what waits.
        self._accepted = self._done = 0
        self._is_failing = False
        self._dropped = _dropped()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="follow-up", daemon=True)
        self._thread.start()

    @classmethod
    def from_environment(cls, contract: Contract, challenging: Predictor | None) -> FollowUp | None:
        """Start the follow-up, if a log or a challenger is configured.

        Args:
            contract: the contract of the model that is served.
            challenging: the predictor of the challenger, if any.

        Raises:
            SettingError: a setting of the log can't be used.
        """
        log = PredictionLog.from_environment(contract)
        if log is None and challenging is None:
            return None
        return cls(log, None if challenging is None else Challenger(challenging))

    def record(self, request: AnsweredRequest) -> None:
        """Queue the predictions of a request; if too many wait already, drop and count them."""
        rows = len(request.features)
        if not rows:
            return
        if self._accepted - self._done + rows > MAX_FOLLOWED_ROWS:
            self._dropped.inc(rows)
            return
        self._accepted += rows
        self._waiting.append(request)

    def stop(self) -> None:
        """Follow up what waits, and end the thread."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        write_at = time.monotonic() + prediction_log.SECONDS
        while True:
            is_last = self._stopped.wait(PAUSE_SECONDS)
            while taken := self._take():
                self._follow(taken)
                if self._log is not None and self._log.rows >= prediction_log.ROWS and not self._is_failing:
                    self._write()
            if is_last or time.monotonic() >= write_at:
                self._write()
                write_at = time.monotonic() + prediction_log.SECONDS
            if is_last:
                return

    def _take(self) -> list[AnsweredRequest]:
        """Take some of the waiting requests, to follow them up together."""
        taken: list[AnsweredRequest] = []
        rows = 0
        while self._waiting and rows < MERGED_ROWS:
            taken.append(self._waiting.popleft())
            rows += len(taken[-1].features)
        return taken

    def _follow(self, requests: list[AnsweredRequest]) -> None:
        challenged: Sequence[Propensities | None] = [None] * len(requests)
        try:
            if self._challenger is not None:
                challenged = self._challenger.predict(requests)
        except Exception:
            logger.exception("the challenger failed")
        for request, by_challenger in zip(requests, challenged, strict=True):
            if self._log is None:
                self._done += len(request.features)
            else:
                self._log.add(request, by_challenger)

    def _write(self) -> None:
        if self._log is None:
            return
        rows = self._log.rows
        try:
            self._log.write(None if self._challenger is None else self._challenger.predictor)
        except Exception as error:  # such as a full disk; the next write tries again
            if not self._is_failing:
                logger.error("prediction log: %s; kept, and tried again", error)  # noqa: TRY400 — the trace says no more
            self._is_failing = True
        else:
            self._done += rows
            self._is_failing = False


@cache
def _dropped() -> Any:
    return BentoMLContainer.metrics_client.get().Counter(
        namespace="propensity",
        name="not_followed_rows",
        documentation="Predictions that were neither logged nor given to a challenger: too many waited",
    )

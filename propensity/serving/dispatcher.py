"""The dispatcher: merges the requests that wait into one model call."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from propensity.contract.features import Features, Propensities


class BatchSizes(Protocol):
    """The histogram of how many requests each model call merged."""

    def observe(self, requests: int, /) -> None:
        """One model call."""


@dataclass(frozen=True)
class _Job:
    features: Features
    future: asyncio.Future[Propensities]


class Dispatcher:
    """Merges the requests that wait into one model call, with one call at a time.

    A request that finds the model idle is predicted at once, together with those that arrived in the same
    turn of the event loop; what arrives during a call is merged into the next. Nothing ever waits for
    company. A request that nobody waits for any more is not predicted.
    """

    def __init__(
        self,
        predict: Callable[[Features], Propensities],
        *,
        max_rows: int,
        max_seconds: float,
        instant_rows: int,
        threads: Executor,
        batch_sizes: BatchSizes,
    ) -> None:
        """A dispatcher in front of a model.

        Args:
            predict: the model; takes the features of several requests together.
            max_rows: that one model call may merge; a request with more is a call of its own.
            max_seconds: after which a request is given up.
            instant_rows: up to which the model is called in the event loop rather than in a thread.
            threads: for the calls that are not instant.
            batch_sizes: told of each call.
        """
        self._predict = predict
        self._max_rows = max_rows
        self._max_seconds = max_seconds
        self._instant_rows = instant_rows
        self._threads = threads
        self._batch_sizes = batch_sizes
        self._waiting: deque[_Job] = deque()
        self._is_calling = False

    @property
    def waiting(self) -> int:
        """How many requests wait for a model call."""
        return len(self._waiting)

    async def predict(self, features: Features) -> Propensities:
        """The propensities of one request.

        Raises:
            TimeoutError: not predicted within `max_seconds`.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Propensities] = loop.create_future()
        self._waiting.append(_Job(features, future))
        if not self._is_calling:
            self._is_calling = True
            loop.call_soon(self._call)
        timer = loop.call_later(self._max_seconds, _give_up, future)
        try:
            return await future
        finally:
            timer.cancel()

    def _call(self) -> None:
        jobs = self._take()
        if not jobs:
            self._is_calling = False
            return
        try:
            self._batch_sizes.observe(len(jobs))
            features = jobs[0].features if len(jobs) == 1 else np.concatenate([job.features for job in jobs])
            if len(features) > self._instant_rows:
                loop = asyncio.get_running_loop()
                call = loop.run_in_executor(self._threads, self._predict, features)
                call.add_done_callback(lambda done: self._end(jobs, done.exception() or done.result()))
                return
            found: Propensities | BaseException = self._predict(features)
        except Exception as error:  # whatever it is: its callers are told, and the next are served
            found = error
        self._end(jobs, found)

    def _take(self) -> list[_Job]:
        jobs: list[_Job] = []
        rows = 0
        while self._waiting:
            job = self._waiting[0]
            if not job.future.done():
                rows += len(job.features)
                if jobs and rows > self._max_rows:
                    break
                jobs.append(job)
            self._waiting.popleft()
        return jobs

    def _end(self, jobs: Sequence[_Job], found: Propensities | BaseException) -> None:
        start = 0
        for job in jobs:
            end = start + len(job.features)
            if not job.future.done():
                if isinstance(found, BaseException):
                    job.future.set_exception(found)
                else:
                    job.future.set_result(found[start:end])
            start = end
        # In a turn of its own: whatever has arrived by then is merged.
        asyncio.get_running_loop().call_soon(self._call)


def _give_up(future: asyncio.Future[Propensities]) -> None:
    if not future.done():
        future.set_exception(TimeoutError())

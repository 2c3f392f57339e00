"""The dispatcher: merges waiting requests into one model call."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Generic, Protocol, Self, TypeVar

import numpy as np

from propensity.contract.features import Features


class Results(Protocol):
    """What a model returns for some rows, in their order."""

    def __getitem__(self, rows: slice, /) -> Self:
        """Return the results of some rows."""


_Results = TypeVar("_Results", bound=Results)


class Dispatcher(Generic[_Results]):
    """Merges waiting requests into one model call; one call runs at a time.

    A request that finds the model idle is predicted at once, together with those that arrived in the same
    turn of the event loop; requests that arrive during a call are merged into the next one. Requests never
    wait for others to come. A request that was given up before its call is not predicted.

    Attributes:
        merged: the number of requests that each call merged, for whoever counts and clears them.
    """

    def __init__(
        self,
        predict: Callable[[Features], _Results],
        *,
        max_rows: int,
        instant_rows: int,
        threads: Executor,
    ) -> None:
        """Create a dispatcher in front of a model.

        Args:
            predict: the model: takes features of shape (n, columns), returns n results.
            max_rows: rows that one call may merge; a request with more rows gets a call of its own.
            instant_rows: rows up to which the model is called in the event loop, not in a thread.
            threads: where calls with more rows run.
        """
        self._predict = predict
        self._max_rows = max_rows
        self._instant_rows = instant_rows
        self._threads = threads
        self.merged: list[int] = []
        self._waiting: deque[_Job[_Results]] = deque()
        self._is_calling = False

    @property
    def waiting(self) -> int:
        """The number of requests that wait for a model call."""
        return len(self._waiting)

    async def predict(self, features: Features) -> _Results:
        """Predict one request: features of shape (n, columns) to n results."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_Results] = loop.create_future()
        self._waiting.append((features, future))
        if not self._is_calling:
            self._is_calling = True
            loop.call_soon(self._call)
        return await future

    def _call(self) -> None:
        jobs = self._take()
        if not jobs:
            self._is_calling = False
            return
        self.merged.append(len(jobs))
        try:
            features = jobs[0][0] if len(jobs) == 1 else np.concatenate([features for features, _ in jobs])
            if len(features) > self._instant_rows:
                loop = asyncio.get_running_loop()
                call = loop.run_in_executor(self._threads, self._predict, features)
                call.add_done_callback(lambda done: self._end(jobs, done.exception() or done.result()))
                return
            predicted: _Results | BaseException = self._predict(features)
        except Exception as error:  # whatever it is, it fails these requests and not the next ones
            predicted = error
        self._end(jobs, predicted)

    def _take(self) -> list[_Job[_Results]]:
        jobs: list[_Job[_Results]] = []
        rows = 0
        while self._waiting:
            features, future = self._waiting[0]
            if not future.done():
                rows += len(features)
                if jobs and rows > self._max_rows:
                    break
                jobs.append((features, future))
            self._waiting.popleft()
        return jobs

    def _end(self, jobs: Sequence[_Job[_Results]], predicted: _Results | BaseException) -> None:
        start = 0
        for features, future in jobs:
            end = start + len(features)
            if not future.done():
                if isinstance(predicted, BaseException):
                    future.set_exception(predicted)
                else:
                    future.set_result(predicted[start:end])
            start = end
        # In the next turn of the event loop, so that requests that arrive until then are merged.
        asyncio.get_running_loop().call_soon(self._call)


_Job = tuple[Features, asyncio.Future[_Results]]

"""The service with another dispatcher, chosen by VARIANT: for measuring what ours costs and gains.

VARIANT=direct bentoml serve load_tests.compare.variants:Propensity
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np
from bentoml._internal.marshal.dispatcher import CorkDispatcher
from bentoml.exceptions import ServiceUnavailable

from propensity import app as serving
from propensity.contract.features import Features, Propensities
from propensity.settings import MAX_LATENCY_MS
from service import Propensity

__all__ = ["Propensity"]

Predict = Callable[[Features], Propensities]


class Direct:
    """Calls the model for each request, at once."""

    waiting = 0

    def __init__(self, predict: Predict, *, instant_rows: int, threads: Executor, **_: float) -> None:
        self.merged: list[int] = []
        self._predict = predict
        self._instant_rows = instant_rows
        self._threads = threads

    async def predict(self, features: Features) -> Propensities:
        """The propensities of one request."""
        self.merged.append(1)
        if len(features) > self._instant_rows:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._predict, features)
        return self._predict(features)


class BentoMLs:
    """BentoML's own dispatcher in front of the same model."""

    waiting = 0  # it does not tell

    def __init__(
        self,
        predict: Predict,
        *,
        max_rows: int,
        threads: Executor,
        **_: float,
    ) -> None:
        self.merged: list[int] = []

        def give_up() -> Propensities:
            raise ServiceUnavailable("gave up")

        async def call(batches: Sequence[Features]) -> Sequence[Propensities]:
            self.merged.append(len(batches))
            loop = asyncio.get_running_loop()
            found = await loop.run_in_executor(threads, predict, np.concatenate(batches))
            return np.split(found, np.cumsum([len(batch) for batch in batches])[:-1])

        dispatcher = CorkDispatcher(MAX_LATENCY_MS, max_rows, fallback=give_up, get_batch_size=len)
        self.predict = dispatcher(call)  # type: ignore[arg-type]  # what BentoML says of it is too narrow


DISPATCHERS: dict[str, type[Any]] = {"direct": Direct, "bentoml": BentoMLs}
setattr(serving, "Dispatcher", DISPATCHERS[os.environ["VARIANT"]])  # noqa: B010

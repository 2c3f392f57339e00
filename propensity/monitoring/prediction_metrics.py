"""Metrics of predictions: how rows turned out, how propensities are distributed, which model, what waits.

Predictions are noted and written together, ten times a second: counting each small prediction by itself would
take a tenth of its time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, Future
from typing import Any, Protocol, get_args

import numpy as np
from bentoml._internal.configuration.containers import BentoMLContainer

from propensity.contract.application import FEATURES
from propensity.contract.features import Propensities
from propensity.contract.prediction import Decision
from propensity.contract.problem import OTHER, Kind, Problem
from propensity.model.manifest import ServedManifest
from propensity.monitoring.answered import Answered, refused_fields
from propensity.monitoring.drift_metrics import DriftMetrics

WRITE_SECONDS = 0.1

INSTANT_ROWS = 4_096
"""Which are counted in the event loop; more take milliseconds."""

BOUNDS = [round(step / 20, 2) for step in range(1, 21)]
"""Upper bounds of the histogram of propensities."""

logger = logging.getLogger("bentoml.propensity")

APPROVE, DECLINE = get_args(Decision)
_ROW_PROBLEMS = (Kind.UNREADABLE_BODY, Kind.INVALID_APPLICATION, Kind.MODEL_FAILED)


class Queue(Protocol):
    """Requests that wait for a model call."""

    @property
    def waiting(self) -> int:
        """How many there are."""


class PredictionMetrics:
    """What one worker predicts, and what waits for it."""

    def __init__(
        self,
        model: str,
        manifest: ServedManifest,
        queues: Mapping[str, Queue],
        threads: Executor,
    ) -> None:
        """Metrics of a worker; written until `stop`. Called in its event loop.

        Args:
            model: model tag.
            manifest: of that model.
            queues: in front of the model, by the name of their method.
            threads: for counting that takes long.
        """
        self.drift = DriftMetrics(model, manifest.reference)
        self._queues = queues
        self._threads = threads
        self._noted: list[Answered] = []
        _describe(model, manifest)
        client = BentoMLContainer.metrics_client.get()
        self._queue = client.Gauge(
            namespace="propensity",
            name="queue_requests",
            documentation="Requests that wait for a model call",
            labelnames=["method_name"],
            multiprocess_mode="livesum",
        )
        rows = client.Counter(
            namespace="propensity",
            name="rows",
            documentation="Applications, by their decision or their problem",
            labelnames=["model", "outcome"],
        )
        outcomes = [APPROVE, DECLINE, *(kind.anchor for kind in _ROW_PROBLEMS)]
        # All from zero: a rate over a series that begins with its first row would miss that one.
        self._rows = {outcome: rows.labels(model=model, outcome=outcome) for outcome in outcomes}
        self._predicted = client.Histogram(
            namespace="propensity",
            name="predicted",
            documentation="Propensities to default that were predicted",
            labelnames=["model"],
            buckets=BOUNDS,
        ).labels(model=model)
        self._invalid = client.Counter(
            namespace="propensity",
            name="invalid_fields",
            documentation="Fields of applications that were refused",
            labelnames=["field"],
        )
        for field in (*FEATURES, OTHER):
            self._invalid.labels(field=field)
        self._begin()

    def note(self, answered: Answered) -> None:
        """Count a request, and what was predicted for it."""
        self._noted.append(answered)

    def refuse(self, problem: Problem) -> None:
        """Count the fields that the problem of a whole request refuses."""
        self._count_fields(refused_fields([problem]))

    def _count_fields(self, times: Mapping[str, int]) -> None:
        for field, count in times.items():
            self._invalid.labels(field=field).inc(count)

    def stop(self) -> None:
        """Write what has been noted, and no more."""
        self._timer.cancel()
        self._write()

    def _begin(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(WRITE_SECONDS, self._go_on)

    def _go_on(self) -> None:
        self._begin()
        self._write()

    def _write(self) -> None:
        for name, queue in self._queues.items():
            self._queue.labels(method_name=name).set(queue.waiting)
        noted, self._noted = self._noted, []
        if not noted:
            return
        if sum(len(each.features) for each in noted) <= INSTANT_ROWS:
            self._count(noted)
        else:
            self._threads.submit(self._count, noted).add_done_callback(_log_failure)

    def _count(self, noted: Sequence[Answered]) -> None:
        features = np.concatenate([each.features for each in noted])
        propensities = np.concatenate([each.propensities for each in noted])
        thresholds = np.repeat([each.threshold for each in noted], [len(each.features) for each in noted])
        # NaN, where the model failed, is on no side of it.
        declined = int((propensities >= thresholds).sum())
        approved = int((propensities < thresholds).sum())
        self._rows[DECLINE].inc(declined)
        self._rows[APPROVE].inc(approved)
        for each in noted:
            for anchor, rows in each.problems.items():
                self._rows[anchor].inc(rows)
            self._count_fields(each.fields)
        propensities = propensities[~np.isnan(propensities)]
        observe(self._predicted, propensities)
        self.drift.count(features, propensities)


def _log_failure(counted: Future[None]) -> None:
    # Nobody waits for it, so nobody else would hear of it.
    if not counted.cancelled() and (error := counted.exception()) is not None:
        logger.error("predictions could not be counted; metrics miss them", exc_info=error)


def observe(histogram: Any, values: Propensities) -> None:
    """Add values to a histogram with `BOUNDS`."""
    # The client's own `observe` takes one value; a table has 100,000.
    counts = np.bincount(np.searchsorted(BOUNDS, values), minlength=len(BOUNDS))
    for bucket, count in zip(histogram._buckets, counts.tolist(), strict=False):
        if count:
            bucket.inc(count)
    histogram._sum.inc(float(values.sum()))


def _describe(model: str, manifest: ServedManifest) -> None:
    """Say which model predicts, since when it is trained, and what it decided in the notebook."""
    form = manifest.served.form
    _set_gauge(
        "info", "1, with the model that is served", 1, model=model, algorithm=manifest.algorithm, form=form
    )
    trained = manifest.trained_at.timestamp()
    _set_gauge(
        "trained_timestamp_seconds", "When the model was trained, in seconds since 1970", trained, model=model
    )
    declined = manifest.metrics.declined
    if declined is not None:
        about = "Share of the hold-out set that the model declines, as the notebook found"
        _set_gauge("declined_ratio", about, declined, model=model)


def _set_gauge(name: str, documentation: str, value: float, **labels: str) -> None:
    client = BentoMLContainer.metrics_client.get()
    client.Gauge(
        namespace="propensity",
        name=f"model_{name}",
        documentation=documentation,
        labelnames=[*labels],
        multiprocess_mode="livemax",
    ).labels(**labels).set(value)

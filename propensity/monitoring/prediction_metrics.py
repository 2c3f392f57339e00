"""Prediction metrics: decisions and problems, the distribution of propensities, the model, and the queues.

Requests are counted together, some times a second: counting each small prediction by itself would take a
tenth of its time.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future
from typing import Any, Protocol

import numpy as np
from bentoml._internal.configuration.containers import BentoMLContainer
from bentoml._internal.context import server_context

from propensity.contract.limits import MAX_TABLE_ROWS
from propensity.contract.problem import OTHER, Kind, Problem
from propensity.http.request_metrics import observe
from propensity.model.manifest import ServedManifest
from propensity.monitoring.answered_request import AnsweredRequest, refused_fields
from propensity.monitoring.drift_metrics import DriftMetrics

INSTANT_ROWS = 4_096
"""Rows that are counted in the event loop; more take milliseconds."""

BOUNDS = [round(step / 20, 2) for step in range(1, 21)]
"""Upper bounds of the histogram of propensities."""

logger = logging.getLogger("bentoml.propensity")

NEGATIVE, POSITIVE = "negative", "positive"
"""Labels of the two decisions: the same for every model, whatever its contract calls them, so that dashboards
and alerts are too."""

_ROW_PROBLEMS = (Kind.UNREADABLE_BODY, Kind.INVALID_ROW, Kind.MODEL_FAILED)


class Queue(Protocol):
    """Requests that wait for a model call.

    Attributes:
        merged: the number of requests that each call merged.
    """

    merged: list[int]

    @property
    def waiting(self) -> int:
        """The number of requests that wait."""


class PredictionMetrics:
    """The metrics of one worker's predictions and queues."""

    def __init__(
        self,
        model: str,
        manifest: ServedManifest,
        queues: Mapping[str, Queue],
        threads: Executor,
    ) -> None:
        """Create the metrics of a worker.

        Args:
            model: model tag.
            manifest: manifest of that model.
            queues: the queues in front of the model, by name of their method.
            threads: where more than `INSTANT_ROWS` are counted.
        """
        self.drift = DriftMetrics(model, manifest.contract, manifest.reference)
        self._contract = manifest.contract
        self._queues = queues
        self._threads = threads
        _describe(model, manifest)
        client = BentoMLContainer.metrics_client.get()
        self._merged = _merged(queues)
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
            documentation="Rows, by their decision or their problem",
            labelnames=["model", "outcome"],
        )
        answers = [NEGATIVE, POSITIVE, *(kind.anchor for kind in _ROW_PROBLEMS)]
        # All start at zero: a rate over a series that began with its first row would miss that one.
        self._rows = {answer: rows.labels(model=model, outcome=answer) for answer in answers}
        self._predicted = client.Histogram(
            namespace="propensity",
            name="predicted",
            documentation="Propensities that were predicted",
            labelnames=["model"],
            buckets=BOUNDS,
        ).labels(model=model)
        self._invalid = client.Counter(
            namespace="propensity",
            name="invalid_fields",
            documentation="Fields of rows that were refused",
            labelnames=["field"],
        )
        for field in (*self._contract.by_name, OTHER):
            self._invalid.labels(field=field)

    def _count_fields(self, times: Mapping[str, int]) -> None:
        for field, count in times.items():
            self._invalid.labels(field=field).inc(count)

    def _sample(self) -> None:
        for name, queue in self._queues.items():
            self._queue.labels(method_name=name).set(queue.waiting)
            merged, queue.merged = queue.merged, []
            if merged:
                observe(self._merged[name], np.array(merged, np.float64))

    def count(self, requests: Sequence[AnsweredRequest], refused: Sequence[Problem]) -> None:
        """Count requests, and what waits and was merged.

        Args:
            requests: those that were predicted.
            refused: the problems of those that were not.
        """
        self._sample()
        if refused:
            self._count_fields(refused_fields(refused, self._contract))
        if sum(len(request.features) for request in requests) > INSTANT_ROWS:
            self._threads.submit(self._count, requests).add_done_callback(_log_failure)
        elif requests:
            self._count(requests)

    def _count(self, requests: Sequence[AnsweredRequest]) -> None:
        features = np.concatenate([request.features for request in requests])
        propensities = np.concatenate([request.propensities for request in requests])
        rows = [len(request.features) for request in requests]
        thresholds = np.repeat([request.threshold for request in requests], rows)
        # NaN, where the model failed, is on neither side.
        self._rows[POSITIVE].inc(int((propensities >= thresholds).sum()))
        self._rows[NEGATIVE].inc(int((propensities < thresholds).sum()))
        for request in requests:
            for anchor, count in request.problems.items():
                self._rows[anchor].inc(count)
            self._count_fields(request.fields)
        propensities = propensities[~np.isnan(propensities)]
        observe(self._predicted, propensities)
        self.drift.count(features, propensities)


def _log_failure(counted: Future[None]) -> None:
    # Nothing awaits the future, so nothing else would report its error.
    if not counted.cancelled() and (error := counted.exception()) is not None:
        logger.error("predictions could not be counted; metrics miss them", exc_info=error)


def _merged(queues: Iterable[str]) -> dict[str, Any]:
    """BentoML's histogram of how many requests each model call merged, by name of the queue."""
    histogram = BentoMLContainer.metrics_client.get().Histogram(
        namespace="bentoml_service",
        name="adaptive_batch_size",
        documentation="Service adaptive batch size",
        labelnames=["runner_name", "worker_index", "method_name", "service_version", "service_name"],
        buckets=[*(2**power for power in range(MAX_TABLE_ROWS.bit_length())), MAX_TABLE_ROWS],
    )
    return {
        name: histogram.labels(
            runner_name=str(server_context.service_name),
            worker_index=server_context.worker_index,
            method_name=name,
            service_version=server_context.bento_version,
            service_name=server_context.bento_name,
        )
        for name in queues
    }


def _describe(model: str, manifest: ServedManifest) -> None:
    """Set which model predicts, when it was trained, and the share of the hold-out set that it selects."""
    form = manifest.served.form
    _set_gauge(
        "info", "1, with the model that is served", 1, model=model, algorithm=manifest.algorithm, form=form
    )
    if manifest.trained_at is not None:
        trained = manifest.trained_at.timestamp()
        about = "When the model was trained, in seconds since 1970"
        _set_gauge("trained_timestamp_seconds", about, trained, model=model)
    selected = manifest.metrics.selected
    if selected is not None:
        about = "Share of the hold-out set whose propensity reaches the threshold"
        _set_gauge("selected_ratio", about, selected, model=model)


def _set_gauge(name: str, documentation: str, value: float, **labels: str) -> None:
    client = BentoMLContainer.metrics_client.get()
    client.Gauge(
        namespace="propensity",
        name=f"model_{name}",
        documentation=documentation,
        labelnames=[*labels],
        multiprocess_mode="livemax",
    ).labels(**labels).set(value)

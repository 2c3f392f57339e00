"""The challenger: a second model that predicts the same rows, for comparison with the served one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from bentoml._internal.configuration.containers import BentoMLContainer

from propensity.contract.features import Propensities
from propensity.http.request_metrics import observe
from propensity.model.predictor import Predictor
from propensity.monitoring.answered_request import AnsweredRequest
from propensity.monitoring.prediction_metrics import BOUNDS

AGREEMENTS = {
    (False, False): "both-negative",
    (True, True): "both-positive",
    (False, True): "challenger-positive",
    (True, False): "challenger-negative",
}
"""The label of a row by whether model and challenger decide positive, each by its own threshold."""


class Challenger:
    """Predicts answered requests, and counts how its decisions compare with the model's."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        rows, predicted = _metrics()
        self._rows = {
            agreement: rows.labels(challenger=predictor.model, outcome=agreement)
            for agreement in (*AGREEMENTS.values(), "failed")
        }
        self._by_model = predicted.labels(challenger=predictor.model, by="model")
        self._by_challenger = predicted.labels(challenger=predictor.model, by="challenger")

    def predict(self, requests: Sequence[AnsweredRequest]) -> list[Propensities]:
        """Predict the valid rows of some requests in one call; propensities by request, NaN if it fails."""
        challenged = self.predictor.predict(np.concatenate([request.features for request in requests]))
        served = np.concatenate([request.propensities for request in requests])
        rows = [len(request.features) for request in requests]
        thresholds = np.repeat([request.threshold for request in requests], rows)
        both = ~(np.isnan(challenged) | np.isnan(served))
        self._rows["failed"].inc(int(np.isnan(challenged).sum()))
        model_positive = served[both] >= thresholds[both]
        challenger_positive = challenged[both] >= self.predictor.threshold
        for (by_model, by_challenger), agreement in AGREEMENTS.items():
            count = int(((model_positive == by_model) & (challenger_positive == by_challenger)).sum())
            if count:
                self._rows[agreement].inc(count)
        observe(self._by_model, served[both])
        observe(self._by_challenger, challenged[both])
        return np.split(challenged, np.cumsum(rows)[:-1])


@cache
def _metrics() -> tuple[Any, Any]:
    client = BentoMLContainer.metrics_client.get()
    rows = client.Counter(
        namespace="propensity",
        name="challenger_rows",
        documentation="Rows by what the model and its challenger decide",
        labelnames=["challenger", "outcome"],
    )
    predicted = client.Histogram(
        namespace="propensity",
        name="challenger_predicted",
        documentation="Propensities of the same rows, by the model and by its challenger",
        labelnames=["challenger", "by"],
        buckets=BOUNDS,
    )
    return rows, predicted

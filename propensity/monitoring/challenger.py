"""The challenger: another model that predicts what the served one has predicted, to be compared with it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from bentoml._internal.configuration.containers import BentoMLContainer

from propensity.contract.features import Propensities
from propensity.model.predictor import Predictor
from propensity.monitoring.answered import Answered
from propensity.monitoring.prediction_metrics import BOUNDS, observe

OUTCOMES = {
    (False, False): "both-approve",
    (True, True): "both-decline",
    (False, True): "challenger-declines",
    (True, False): "challenger-approves",
}
"""What becomes of an application, by whether model and challenger decline it; each by its own threshold."""


class Challenger:
    """Predicts, and counts how it compares."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        rows, predicted = _metrics()
        self._rows = {
            outcome: rows.labels(challenger=predictor.model, outcome=outcome)
            for outcome in (*OUTCOMES.values(), "failed")
        }
        self._by_model = predicted.labels(challenger=predictor.model, by="model")
        self._by_challenger = predicted.labels(challenger=predictor.model, by="challenger")

    def predict(self, answered: Sequence[Answered]) -> list[Propensities]:
        """Predict the valid rows of requests that were answered, together; NaN where it fails."""
        found = self.predictor.predict(np.concatenate([each.features for each in answered]))
        served = np.concatenate([each.propensities for each in answered])
        rows = [len(each.features) for each in answered]
        thresholds = np.repeat([each.threshold for each in answered], rows)
        both = ~(np.isnan(found) | np.isnan(served))
        self._rows["failed"].inc(int(np.isnan(found).sum()))
        declines = served[both] >= thresholds[both]
        challenges = found[both] >= self.predictor.threshold
        for (by_model, by_challenger), outcome in OUTCOMES.items():
            count = int(((declines == by_model) & (challenges == by_challenger)).sum())
            if count:
                self._rows[outcome].inc(count)
        observe(self._by_model, served[both])
        observe(self._by_challenger, found[both])
        return np.split(found, np.cumsum(rows)[:-1])


@cache
def _metrics() -> tuple[Any, Any]:
    client = BentoMLContainer.metrics_client.get()
    rows = client.Counter(
        namespace="propensity",
        name="challenger_rows",
        documentation="Applications by what the model and its challenger decide",
        labelnames=["challenger", "outcome"],
    )
    predicted = client.Histogram(
        namespace="propensity",
        name="challenger_predicted",
        documentation="Propensities to the same applications, of the model and of its challenger",
        labelnames=["challenger", "by"],
        buckets=BOUNDS,
    )
    return rows, predicted

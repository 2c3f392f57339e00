"""The scorer: applications in, predictions out, many at a time, by the pipeline of the notebook."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from threadpoolctl import threadpool_limits

from propensity.contract import CATEGORIES, FEATURES, Application, Decision, Outcome, Prediction, Row
from propensity.problem import Problem

logger = logging.getLogger("bentoml.propensity")


def frame(applications: Sequence[Application]) -> pd.DataFrame:
    """Applications as the pipeline takes them: a column a feature, NaN or None where a value is missing."""
    return pd.DataFrame(
        {
            name: np.array(
                [getattr(application, name) for application in applications],
                dtype=object if name in CATEGORIES else np.float64,
            )
            for name in FEATURES
        }
    )


class Scorer:
    """Predicts with one pipeline, one threshold, one model tag."""

    def __init__(self, pipeline: Any, threshold: float, model: str) -> None:
        self._pipeline = pipeline
        self._threshold = threshold
        self._model = model
        # Worker processes are the unit of scaling; threads of BLAS or OpenMP below them only fight for cores.
        self._one_thread = threadpool_limits(limits=1)

    def propensities(self, applications: Sequence[Application]) -> npt.NDArray[np.float64]:
        """Probability of default of each application, shape (n,), in one call of the pipeline."""
        propensities: npt.NDArray[np.float64] = self._pipeline.predict_proba(frame(applications))[:, 1]
        return propensities

    def predict(self, rows: Sequence[Row]) -> list[Outcome]:
        """A prediction for each application, in order; a row that is a problem stays that problem.

        Rows of many callers come merged. If the pipeline fails on them, they are halved until the row it
        fails on stands alone: that row becomes a problem of status 500, all others are predicted.
        """
        applications = [row for row in rows if isinstance(row, Application)]
        predicted = iter(self._predict(applications))
        return [next(predicted) if isinstance(row, Application) else row for row in rows]

    def _predict(self, applications: Sequence[Application]) -> list[Outcome]:
        if not applications:
            return []
        try:
            return [self._prediction(float(propensity)) for propensity in self.propensities(applications)]
        except Exception:
            if len(applications) == 1:
                logger.exception("the model failed on an application")
                return [Problem.of(500, "the model failed on this application; it has been logged")]
        half = len(applications) // 2
        return self._predict(applications[:half]) + self._predict(applications[half:])

    def _prediction(self, propensity: float) -> Prediction:
        decision: Decision = "decline" if propensity >= self._threshold else "approve"
        return Prediction(
            propensity=propensity, decision=decision, threshold=self._threshold, model=self._model
        )

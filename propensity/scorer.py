"""The scorer: applications in, predictions out, many at a time."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from propensity.contract import Application, Decision, Outcome, Prediction, Row
from propensity.problem import Problem

logger = logging.getLogger("bentoml.propensity")


class Form(Protocol):
    """What a model is served as: compiled, or the pipeline itself."""

    def propensities(self, applications: Sequence[Application], /) -> npt.NDArray[np.float64]:
        """Probability of default of each application, shape (n,), in one call of the model."""


class Scorer:
    """Predicts with one model, one threshold, one model tag."""

    def __init__(self, form: Form, threshold: float, model: str) -> None:
        self._form = form
        self._threshold = threshold
        self._model = model

    def predict(self, rows: Sequence[Row]) -> list[Outcome]:
        """A prediction for each application, in order; a row that is a problem stays that problem.

        Rows of many callers come merged. If the model fails on them, they are halved until the row it
        fails on stands alone: that row becomes a problem of status 500, all others are predicted.
        """
        applications = [row for row in rows if isinstance(row, Application)]
        predicted = iter(self._predict(applications))
        return [next(predicted) if isinstance(row, Application) else row for row in rows]

    def _predict(self, applications: Sequence[Application]) -> list[Outcome]:
        if not applications:
            return []
        try:
            return [
                self._prediction(float(propensity)) for propensity in self._form.propensities(applications)
            ]
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

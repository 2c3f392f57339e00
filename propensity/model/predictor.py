"""The predictor: features in, propensities out, of many callers at a time."""

from __future__ import annotations

import logging
from typing import Protocol, runtime_checkable

import numpy as np

from propensity.contract.features import Features, Propensities
from propensity.contract.prediction import Explanation
from propensity.model.compiled import Contributions
from propensity.model.reasons import explain

logger = logging.getLogger("bentoml.propensity")


class Form(Protocol):
    """What a model is served as: compiled, or the pipeline itself."""

    instant_rows: int
    """How many applications it predicts in less time than handing them to a thread takes."""

    def propensities(self, features: Features, /) -> Propensities:
        """Probability of default of each application, in one call of the model."""


@runtime_checkable
class Additive(Protocol):
    """A form whose log-odds are a sum: of a base, and of what each feature contributes."""

    base: float

    def contributions(self, features: Features, /) -> Contributions:
        """What each feature of each application adds to the base."""


class Predictor:
    """Predicts with one model, one threshold, one model tag."""

    def __init__(self, form: Form, threshold: float, model: str) -> None:
        self._form = form
        self.threshold = threshold
        self.model = model
        self.instant_rows = form.instant_rows
        self.is_additive = isinstance(form, Additive)

    def predict(self, features: Features) -> Propensities:
        """The propensity of each application, in order; NaN where the model failed.

        Rows of many callers come merged. If the model fails on them, they are halved until the row it
        fails on stands alone: all others are predicted.
        """
        if not len(features):
            return np.empty(0)
        try:
            return self._form.propensities(features)
        except Exception:
            if len(features) == 1:
                logger.exception("the model failed on an application")
                return np.array([np.nan])
        half = len(features) // 2
        return np.concatenate([self.predict(features[:half]), self.predict(features[half:])])

    def explain(self, features: Features) -> list[Explanation]:
        """Why each application is predicted as it is.

        Raises:
            TypeError: this model is not additive.
        """
        if not isinstance(self._form, Additive):
            raise TypeError(f"{self.model} has no explanations")
        return explain(features, self._form.base, self._form.contributions(features))

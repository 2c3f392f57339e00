"""The predictor: a model with its threshold and tag, in whatever form it is served."""

from __future__ import annotations

import logging

import numpy as np

from propensity.contract.contract import Contract
from propensity.contract.features import Features, Propensities
from propensity.contract.prediction import Explanation
from propensity.model.forms import Additive, Form
from propensity.model.reasons import Reasons

logger = logging.getLogger("bentoml.propensity")


class Predictor:
    """Predicts and explains with one model.

    Args:
        form: the form that the model is served in.
        contract: the contract of its rows.
        threshold: propensity from which on the decision is the positive one.
        model: model tag.
    """

    def __init__(self, form: Form, contract: Contract, threshold: float, model: str) -> None:
        self._form = form
        self.contract = contract
        self.threshold = threshold
        self.model = model
        self.instant_rows = form.instant_rows
        self.is_additive = isinstance(form, Additive)
        self.instant_explanations = form.instant_explanations if isinstance(form, Additive) else 0
        self._reasons = Reasons(contract)

    def predict(self, features: Features) -> Propensities:
        """Return the propensity of each row, shape (n,); NaN where the model failed.

        Rows may come from several requests. If the model fails on them, they are halved until only the row
        that it fails on is left: all others are predicted.
        """
        if not len(features):
            return np.empty(0)
        try:
            return self._form.propensities(features)
        except Exception:
            if len(features) == 1:
                logger.exception("the model failed on a row")
                return np.array([np.nan])
        half = len(features) // 2
        return np.concatenate([self.predict(features[:half]), self.predict(features[half:])])

    def explain(self, features: Features) -> list[Explanation]:
        """Return the explanation of each row.

        Raises:
            TypeError: the model is not additive.
        """
        if not isinstance(self._form, Additive):
            raise TypeError(f"{self.model} has no explanations")
        return self._reasons.explain(features, self._form.base, self._form.contributions(features))

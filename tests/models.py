"""Models for tests."""

from __future__ import annotations

import numpy as np
from demonstration import COLUMNS

from propensity.contract.features import Features, Propensities
from propensity.model.forms import Form


class Half:
    """A model that predicts 0.5 for every row."""

    instant_rows = 1

    def propensities(self, features: Features) -> Propensities:
        return np.full(len(features), 0.5)


class Poisoned:
    """A model that fails on any batch with an applicant of 66."""

    instant_rows = 0

    def __init__(self, form: Form) -> None:
        self.form = form
        self.calls = 0

    def propensities(self, features: Features) -> Propensities:
        self.calls += 1
        if np.any(features[:, COLUMNS.index("age")] == 66):
            raise ValueError("poison")
        return self.form.propensities(features)

"""Features: applications as the model takes them, a matrix with a row for each application."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from operator import itemgetter

import numpy as np
import numpy.typing as npt

from propensity.contract import CATEGORIES, FEATURES, Application

NUMBERS = tuple(name for name in FEATURES if name not in CATEGORIES)
COLUMNS = (*NUMBERS, *CATEGORIES)

Features = npt.NDArray[np.float64]
"""Shape (n, len(COLUMNS)): a number as it is, a category as its place in `CATEGORIES`, NaN where missing."""

Propensities = npt.NDArray[np.float64]
"""Probability of default of each application, shape (n,)."""

_numbers = itemgetter(*NUMBERS)
_categories = itemgetter(*CATEGORIES)


@lru_cache(maxsize=4_096)
def _places(categories: tuple[str | None, ...]) -> tuple[float, ...]:
    return tuple(
        np.nan if category is None else float(CATEGORIES[name].index(category))
        for name, category in zip(CATEGORIES, categories, strict=True)
    )


def encode(applications: Sequence[Application]) -> Features:
    """Applications as a matrix."""
    encoded = np.empty((len(applications), len(COLUMNS)))
    if not applications:
        return encoded
    values = [application.__dict__ for application in applications]
    encoded[:] = [_numbers(row) + _places(_categories(row)) for row in values]  # None becomes NaN
    return encoded

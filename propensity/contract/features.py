"""Features: applications as the model takes them, a matrix with a row for each application."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from propensity.contract.application import CATEGORIES, FEATURES, Application, bounds

NUMBERS = tuple(name for name in FEATURES if name not in CATEGORIES)
COLUMNS = (*NUMBERS, *CATEGORIES)

Features = npt.NDArray[np.float64]
"""Shape (n, len(COLUMNS)): a number as it is, a category as its place in `CATEGORIES`, NaN where missing."""

Propensities = npt.NDArray[np.float64]
"""Probability of default of each application, shape (n,)."""

OMITTED = float("-inf")
"""Where `of_tuples` is to tell a field that was left out from one that is null."""

LOWEST, HIGHEST = np.array([bounds(name) for name in NUMBERS], dtype=np.float64).T
"""Bounds of the numbers, each of shape (len(NUMBERS),)."""

_PLACES: list[dict[object, float]] = [
    {None: np.nan, OMITTED: OMITTED} | {name: float(place) for place, name in enumerate(names)}
    for names in CATEGORIES.values()
]
"""What stands for each category, by field."""

_in_order = itemgetter(*COLUMNS)


@lru_cache(maxsize=4_096)
def _places(categories: tuple[Any, ...]) -> tuple[float, ...]:
    return tuple(places[category] for places, category in zip(_PLACES, categories, strict=True))


def of_tuples(rows: Sequence[tuple[Any, ...]]) -> Features:
    """Applications as a matrix, from their fields in the order of `COLUMNS`: None is NaN."""
    encoded = np.empty((len(rows), len(COLUMNS)))
    if rows:
        numbers = len(NUMBERS)
        encoded[:] = [row[:numbers] + _places(row[numbers:]) for row in rows]  # None becomes NaN
    return encoded


def encode(applications: Sequence[Application]) -> Features:
    """Applications as a matrix."""
    return of_tuples([_in_order(application.__dict__) for application in applications])


def breaks_bounds(features: Features) -> npt.NDArray[np.bool_]:
    """Which rows hold a number out of its bounds, or one that is not whole; a missing one does not count."""
    numbers = features[:, : len(NUMBERS)]
    broken: npt.NDArray[np.bool_] = (
        (numbers < LOWEST) | (numbers > HIGHEST) | (np.floor(numbers) < numbers)
    ).any(axis=1)
    return broken

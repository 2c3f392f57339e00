"""Features: applications as the matrix that the model takes, one row per application."""

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
"""Shape (n, len(COLUMNS)): numbers as they are, categories as places in `CATEGORIES`, NaN where missing."""

Propensities = npt.NDArray[np.float64]
"""Probability of default of each application, shape (n,)."""

OMITTED = float("-inf")
"""Stands for a field that was left out, where `of_tuples` must tell it from one that is null."""

LOWEST, HIGHEST = np.array([bounds(name) for name in NUMBERS], dtype=np.float64).T
"""Bounds of the numbers, shape (len(NUMBERS),) each."""

_PLACES: list[dict[object, float]] = [
    {None: np.nan, OMITTED: OMITTED} | {name: float(place) for place, name in enumerate(names)}
    for names in CATEGORIES.values()
]
"""For each categorical field, the number that encodes each category."""

_in_order = itemgetter(*COLUMNS)


@lru_cache(maxsize=4_096)
def _places(categories: tuple[Any, ...]) -> tuple[float, ...]:
    return tuple(places[category] for places, category in zip(_PLACES, categories, strict=True))


def of_tuples(rows: Sequence[tuple[Any, ...]]) -> Features:
    """Return the features of applications, each given as its fields in the order of `COLUMNS`."""
    encoded = np.empty((len(rows), len(COLUMNS)))
    if rows:
        numbers = len(NUMBERS)
        encoded[:] = [row[:numbers] + _places(row[numbers:]) for row in rows]  # None becomes NaN
    return encoded


def encode(applications: Sequence[Application]) -> Features:
    """Return the features of applications."""
    return of_tuples([_in_order(application.__dict__) for application in applications])


def breaks_bounds(features: Features) -> npt.NDArray[np.bool_]:
    """Return which rows hold a number that is out of bounds or not whole, shape (n,); NaN is neither."""
    numbers = features[:, : len(NUMBERS)]
    broken: npt.NDArray[np.bool_] = (
        (numbers < LOWEST) | (numbers > HIGHEST) | (np.floor(numbers) < numbers)
    ).any(axis=1)
    return broken

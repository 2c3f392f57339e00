"""Features: rows as the matrix that the model takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from propensity.contract.field import Field

Features = npt.NDArray[np.float64]
"""Shape (n, columns), in the order of `Columns.names`: numbers as they are, false and true as 0 and 1,
categories as places in their list, NaN where missing."""

Propensities = npt.NDArray[np.float64]
"""Probability of the positive class for each row, shape (n,)."""

Values = tuple[Any, ...]
"""A valid row: its values in the order of `Columns.names`, None where missing."""

UNKNOWN = "\0"
"""Stands for a text that is no category; no category holds a control character."""


class Columns:
    """The columns of the features: whole numbers and booleans first, then other numbers, then categories.

    Attributes:
        names: of the fields, in the order of the columns.
        fields: the fields, in the same order.
        numbers: how many columns hold numbers; categories follow them.
        categories: the categories of each categorical field, by name.
        nullable: names of the fields that may be missing.
    """

    def __init__(self, fields: Sequence[Field]) -> None:
        self.fields = tuple(sorted(fields, key=lambda field: _ORDER[field.kind]))
        self.names = tuple(field.name for field in self.fields)
        self.numbers = sum(field.categories is None for field in self.fields)
        self._whole = sum(field.kind in {"integer", "boolean"} for field in self.fields)
        self.categories = {
            field.name: field.categories for field in self.fields if field.categories is not None
        }
        self.nullable = frozenset(field.name for field in self.fields if field.nullable)
        self._nullable = np.array([field.nullable for field in self.fields])
        self._lowest = np.array([field.lowest for field in self.fields], np.float64)
        self._highest = np.array([field.highest for field in self.fields], np.float64)
        self._places = _places_of([*self.categories.values()])

    def of_tuples(self, rows: Sequence[Values]) -> Features:
        """Return the features of valid rows, shape (n, columns)."""
        features = np.empty((len(rows), len(self.names)))
        if rows:
            numbers, places = self.numbers, self._places
            features[:] = [row[:numbers] + places(row[numbers:]) for row in rows]  # None becomes NaN
        return features

    def doubtful(self, features: Features) -> npt.NDArray[np.bool_]:
        """Return which rows may not be valid, shape (n,).

        They hold a value that is out of bounds, or not whole where it must be, or NaN where it may not be
        missing.
        """
        found = np.zeros(len(features), dtype=bool)
        if not len(features):
            return found
        # Most columns are seen to be within bounds as a whole; NaN is neither least nor most.
        within = (features.min(axis=0) >= self._lowest) & (features.max(axis=0) <= self._highest)
        for place in np.flatnonzero(~within).tolist():
            column = features[:, place]
            valid = (column >= self._lowest[place]) & (column <= self._highest[place])
            if self._nullable[place]:
                valid |= np.isnan(column)
            found |= ~valid
        whole = features[:, : self._whole]
        fractions = np.floor(whole) < whole
        if fractions.any():
            found |= fractions.any(axis=1)
        return found

    def tuple_of(self, features: npt.NDArray[np.float64]) -> Values:
        """Return a row of features, shape (columns,), as the values that it stands for."""
        return tuple(map(_value, self.fields, features.tolist()))


_ORDER = {"integer": 0, "boolean": 0, "number": 1, "category": 2}


def _places_of(categories: Sequence[tuple[str, ...]]) -> Callable[[Values], tuple[float, ...]]:
    """Return the function that encodes a row's categories as numbers."""
    encoded: list[dict[object, float]] = [
        {None: np.nan} | {name: float(place) for place, name in enumerate(names)} for names in categories
    ]

    @lru_cache(maxsize=4_096)
    def places(values: Values) -> tuple[float, ...]:
        return tuple(of[value] for of, value in zip(encoded, values, strict=True))

    return places


def _value(field: Field, number: float) -> float | int | bool | str | None:
    if number != number:  # noqa: PLR0124 - NaN
        return None
    if field.categories is not None:
        return field.categories[int(number)]
    if field.kind == "boolean":
        return bool(number)
    return int(number) if field.kind == "integer" else number

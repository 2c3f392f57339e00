"""The additive form of a model: its log-odds are a sum of effects, functions of one field each.

It predicts without pickle, scikit-learn or pandas. The effect of a category, a boolean, or a whole number
between near bounds is a table of its values; that of any other number is a piecewise polynomial.

The same effects explain a prediction: beside its mean, the effect of a field is its Shapley value, exactly.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from propensity.contract.features import Features, Propensities
from propensity.model.arrays import pack, unpack
from propensity.model.logistic import propensities_of

Array = npt.NDArray[np.float64]

FEW_ROWS = 12
"""Up to so many rows, plain Python is faster than numpy; the sums are the same to the last bit."""


@dataclass(frozen=True)
class Effects:
    """The effects of all columns, as arrays.

    A column has either values or pieces.

    Attributes:
        intercept: log-odds that the effects are added to, shape ().
        means: mean effect of each column over the hold-out set, shape (columns,).
        missing: effect of a missing value in each column, NaN where none may be missing, shape (columns,).
        rounded: whether a column is rounded to 32 bits first, shape (columns,).
        lowest: the whole number that a column's first value stands for, shape (columns,).
        values: effects of whole numbers from `lowest` on, column after column.
        value_counts: how many of `values` belong to each column, shape (columns,).
        ends: largest number of each piece, ascending in each column, the last one infinite, shape (pieces,).
        piece_counts: how many pieces belong to each column, shape (columns,).
        centres: the number from which each piece measures, shape (pieces,).
        scales: what the distance from the centre is multiplied by, shape (pieces,).
        coefficients: of the powers of that product, from the constant on, shape (pieces, degree + 1).
    """

    intercept: npt.NDArray[np.float64]
    means: npt.NDArray[np.float64]
    missing: npt.NDArray[np.float64]
    rounded: npt.NDArray[np.bool_]
    lowest: npt.NDArray[np.float64]
    values: npt.NDArray[np.float64]
    value_counts: npt.NDArray[np.integer]
    ends: npt.NDArray[np.float64]
    piece_counts: npt.NDArray[np.integer]
    centres: npt.NDArray[np.float64]
    scales: npt.NDArray[np.float64]
    coefficients: npt.NDArray[np.float64]


class AdditiveForm:
    """The form that adds effects up.

    Attributes:
        base: mean log-odds over the hold-out set.
    """

    instant_rows = 1_024
    instant_explanations = 64

    def __init__(self, effects: Effects) -> None:
        self._effects = effects
        self._intercept = float(effects.intercept)
        self._means = effects.means
        self._columns = _columns(effects)
        self.base = self._intercept + float(effects.means.sum())

    def propensities(self, features: Features) -> Propensities:
        """Return the propensity of each row, shape (n,)."""
        return propensities_of(self.log_odds(features))

    def log_odds(self, features: Features) -> Array:
        """Return the log-odds of each row, shape (n,)."""
        if len(features) <= FEW_ROWS:
            return np.array([self._log_odds_of(row) for row in features.tolist()])
        log_odds = np.full(len(features), self._intercept)
        for column, values in zip(self._columns, np.ascontiguousarray(features.T), strict=True):
            log_odds += column.effects(values)
        return log_odds

    def contributions(self, features: Features) -> Array:
        """Return the log-odds that each column of each row adds to `base`, shape (n, columns)."""
        if len(features) <= FEW_ROWS:
            rows = features.tolist()
            effects = [
                [column.effect(value) for column, value in zip(self._columns, row, strict=True)]
                for row in rows
            ]
            return np.array(effects).reshape(features.shape) - self._means
        columns = zip(self._columns, np.ascontiguousarray(features.T), strict=True)
        return np.stack([column.effects(values) for column, values in columns], axis=1) - self._means

    def to_bytes(self) -> bytes:
        """Return the form as an .npz file."""
        return pack(vars(self._effects))

    @classmethod
    def from_bytes(cls, content: bytes) -> AdditiveForm:
        """Return the form of an .npz file."""
        return cls(Effects(**unpack(content)))

    def _log_odds_of(self, row: list[float]) -> float:
        log_odds = self._intercept
        for column, value in zip(self._columns, row, strict=True):
            log_odds += column.effect(value)
        return log_odds


class _Values:
    """The effect of a column with a value for each whole number."""

    def __init__(self, lowest: float, values: Array, missing: float) -> None:
        self._lowest = int(lowest)
        self._missing = missing
        self._array = np.append(values, missing)
        self._list = values.tolist()

    def effect(self, value: float) -> float:
        effect: float = self._missing if value != value else self._list[int(value) - self._lowest]  # noqa: PLR0124
        return effect

    def effects(self, values: Array) -> Array:
        places = np.where(np.isnan(values), len(self._list), values - self._lowest)
        return self._array.take(places.astype(np.intp))


class _Pieces:
    """The effect of a column with a piecewise polynomial."""

    def __init__(self, effects: Effects, pieces: slice, missing: float, is_rounded: bool) -> None:
        ends, centres, scales = effects.ends[pieces], effects.centres[pieces], effects.scales[pieces]
        coefficients = effects.coefficients[pieces]
        degree = int(np.flatnonzero(coefficients.any(axis=0)).max(initial=0))
        self._missing = missing
        self._is_rounded = is_rounded
        self._ends, self._centres, self._scales = ends, centres, scales
        highest_first = coefficients[:, degree::-1]
        self._highest_first = np.ascontiguousarray(highest_first.T)
        self._end_list = ends.tolist()
        self._pieces = [*zip(centres.tolist(), scales.tolist(), highest_first.tolist(), strict=True)]

    def effect(self, value: float) -> float:
        if value != value:  # noqa: PLR0124 - NaN
            return self._missing
        if self._is_rounded:
            value = float(np.float32(value))
        centre, scale, coefficients = self._pieces[bisect_left(self._end_list, value)]
        distance = (value - centre) * scale
        effect: float = coefficients[0]
        for coefficient in coefficients[1:]:
            effect = effect * distance + coefficient
        return effect

    def effects(self, values: Array) -> Array:
        missing = np.isnan(values)
        if self._is_rounded:
            values = values.astype(np.float32).astype(np.float64)
        if len(self._ends) == 1:
            distances = (values - self._centres) * self._scales
            coefficients = [*self._highest_first[:, 0]]
        else:
            places = np.minimum(np.searchsorted(self._ends, values), len(self._ends) - 1)  # NaN comes last
            distances = (values - self._centres.take(places)) * self._scales.take(places)
            coefficients = [of_pieces.take(places) for of_pieces in self._highest_first]
        effects = np.full(len(values), coefficients[0])
        for coefficient in coefficients[1:]:
            effects *= distances
            effects += coefficient
        effects[missing] = self._missing
        return effects


def _columns(effects: Effects) -> list[_Values | _Pieces]:
    value_stops = np.cumsum(effects.value_counts)
    piece_stops = np.cumsum(effects.piece_counts)
    columns: list[_Values | _Pieces] = []
    for column, missing in enumerate(effects.missing.tolist()):
        values = slice(value_stops[column] - effects.value_counts[column], value_stops[column])
        pieces = slice(piece_stops[column] - effects.piece_counts[column], piece_stops[column])
        if effects.value_counts[column]:
            columns.append(_Values(effects.lowest[column], effects.values[values], missing))
        else:
            columns.append(_Pieces(effects, pieces, missing, bool(effects.rounded[column])))
    return columns

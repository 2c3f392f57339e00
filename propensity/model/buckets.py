"""Buckets: the intervals of a column's values that a compiled model tells apart."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from propensity.contract.features import Features

FEW = 32
"""Rows up to which values are searched for among all keys: cells take more calls, and less time a value."""

BLOCK = 512
"""Rows that are looked up together: what that needs still fits the processor's cache."""

CELLS = 65_536
"""Cells of all columns at most."""

FINEST = 2.0**31
"""Cells between zero and a value at most: rounding errors remain far less than a cell."""


class Buckets:
    """Finds the bucket of each value, exactly, for any finite 64-bit float.

    Buckets are numbered through all columns. Those of one column are its intervals, from the lowest, each up
    to its key, and last the bucket of a missing value.

    Args:
        keys: upper ends of the intervals of each column in turn, ascending, the last of each column infinity.
        sizes: how many of them each column has, shape (columns,).

    Attributes:
        firsts: the first bucket of each column, shape (columns,).
    """

    def __init__(self, keys: npt.NDArray[np.float64], sizes: npt.NDArray[np.integer]) -> None:
        self.firsts = (np.cumsum(sizes + 1) - sizes - 1).astype(np.intp)
        of_column = np.split(keys, np.cumsum(sizes)[:-1])
        # To look up all columns together: first the place of a value among the keys of all columns, which is
        # an exact whole number; then this number, raised above those of the columns before.
        self._values = np.unique(keys)
        missing = len(self._values)
        self._raised = np.arange(len(sizes))[:, None] * (missing + 1)
        self._places = np.concatenate(
            [
                raised + np.append(self._values.searchsorted(keys), missing)
                for raised, keys in zip(self._raised, of_column, strict=True)
            ]
        )
        self._cells = _Cells(of_column)

    def of(self, features: Features) -> npt.NDArray[np.intp]:
        """Return the bucket of each value, shape (columns, n)."""
        if len(features) <= FEW:
            # NaN is sorted behind infinity.
            return self._places.searchsorted(self._values.searchsorted(features.T) + self._raised)
        if len(features) <= BLOCK:
            return self._cells.buckets(features)
        buckets = np.empty(features.shape[::-1], np.intp)
        for start in range(0, len(features), BLOCK):
            block = slice(start, start + BLOCK)
            buckets[:, block] = self._cells.buckets(features[block])
        return buckets


class _Cells:
    """Cells of equal width between the least and the largest key of each column.

    The number of a value's cell is computed. Rounding errors do not matter: greater values never have lesser
    numbers, and keys are numbered by the same computation. So the keys of lower cells are less than the
    value, those of higher cells are not, and those of its own, of which there are few, are compared with it.

    Args:
        keys: of each column, as in `Buckets`.
    """

    def __init__(self, keys: list[npt.NDArray[np.float64]]) -> None:
        most = max(1, CELLS // len(keys))
        lines = [_line(of_column[:-1].tolist(), most) for of_column in keys]
        self._lowest, self._highest, self._scale, counts = np.array(lines).T[..., None]
        # At either end a cell more, for what rounding does; and the last is for a missing value.
        ends = np.cumsum(counts + 3)[:, None]
        self._missing = ends - 1
        self._shift = ends - counts - 2 - self._lowest * self._scale
        of_keys = [
            np.floor(of_column[:-1] * scale + shift)
            for of_column, scale, shift in zip(keys, self._scale, self._shift, strict=True)
        ]
        fullest = max(
            int(np.unique(of_column, return_counts=True)[1].max(initial=0)) for of_column in of_keys
        )
        # A binary search among the keys of a cell. No step of it leads out of a column: after the bucket of
        # the missing value, that is padded with infinities.
        self._steps = [2**power for power in range(fullest.bit_length())][::-1]
        padding = max(0, 2 ** len(self._steps) - 2)
        self._pads = padding * np.arange(len(keys))[:, None]
        self._keys = np.concatenate([np.append(of_column, [np.inf] * (1 + padding)) for of_column in keys])
        starts, first = [], 0
        for of_column, cells, end, count in zip(keys, of_keys, ends.ravel(), counts.ravel(), strict=True):
            lower = cells.searchsorted(np.arange(end - count - 3, end - 1))
            starts.append(first + np.append(lower, len(of_column)))
            first += len(of_column) + 1 + padding
        self._starts = np.concatenate(starts)

    def buckets(self, features: Features) -> npt.NDArray[np.intp]:
        """Return the bucket of each value, shape (columns, n)."""
        values = np.maximum(features.T, self._lowest, order="C")
        np.minimum(values, self._highest, out=values)
        cells = values * self._scale
        cells += self._shift
        # A missing value is neither clipped nor above any key.
        np.fmin(cells, self._missing, out=cells)
        places: npt.NDArray[np.intp] = self._starts.take(cells.astype(np.intp))
        for step in self._steps:
            is_above = self._keys[step - 1 :].take(places) < values
            places += is_above if step == 1 else step * is_above
        if self._pads[-1]:
            places -= self._pads
        return places


def _line(keys: list[float], most: int) -> tuple[float, float, float, int]:
    """Return the least and the largest value to tell apart, and how many cells there are in 1 and in all.

    Args:
        keys: of a column, without the last.
        most: cells at most.
    """
    if not keys:
        return 0.0, 0.0, 0.0, 1
    lowest, highest = keys[0], math.nextafter(keys[-1], math.inf)
    extent = keys[-1] - keys[0]
    if len(keys) > 1 and math.isfinite(extent):
        narrowest = min(after - before for before, after in pairwise(keys))
        count = int(min(most, 2 + extent / narrowest * 1.5))
        scale = (count - 1) / extent
        if max(-lowest, highest) * scale < FINEST:
            return lowest, highest, scale, count
    return lowest, highest, 0.0, 1

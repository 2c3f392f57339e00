"""Buckets: the intervals of a column's values that a compiled model tells apart."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from propensity.contract.features import Features

FEW = 64
"""Rows up to which all columns are looked up together: a call per column would cost more than the rows."""


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
        self.keys, self.sizes = keys, sizes
        self.firsts = (np.cumsum(sizes + 1) - sizes - 1).astype(np.intp)
        self._of_column = np.split(keys, np.cumsum(sizes)[:-1])
        # To look up all columns together: first the place of a value among the keys of all columns, which is
        # an exact whole number; then this number, raised above those of the columns before.
        self._values = np.unique(keys)
        missing = len(self._values)
        self._raised = np.arange(len(sizes))[:, None] * (missing + 1)
        self._places = np.concatenate(
            [
                raised + np.append(self._values.searchsorted(of_column), missing)
                for raised, of_column in zip(self._raised, self._of_column, strict=True)
            ]
        )

    def of(self, features: Features) -> npt.NDArray[np.intp]:
        """Return the bucket of each value, shape (columns, n)."""
        if len(features) <= FEW:
            # NaN is sorted behind infinity.
            return self._places.searchsorted(self._values.searchsorted(features.T) + self._raised)
        buckets = np.empty(features.shape[::-1], np.intp)
        for column, keys in enumerate(self._of_column):
            buckets[column] = keys.searchsorted(features[:, column])
            buckets[column] += self.firsts[column]
        return buckets

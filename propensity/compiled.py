"""The compiled form of a model: tables that say which leaves of its trees an application can still reach.

Neither pickle nor scikit-learn nor pandas is needed to predict with it. The method is QuickScorer (Lucchese
et al., SIGIR 2015) with whole columns at a time: for each feature, the value picks a row of a table that
holds, for each tree, the leaves that the tests on this feature leave reachable, one bit a leaf. The rows of
all features are ANDed; the lowest bit that is left is the leaf.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from propensity.features import COLUMNS, Features, Propensities

STRIDE = 2.0**30
"""Distance between the keys of two features; beyond any value that the contract allows."""

LARGEST = 2.0**28
MISSING = 2.0**29
"""Keys of a feature's largest and of its missing value."""

BLOCK = 128
"""Applications scored together: their tables' rows still fit the processor's cache."""

_OFFSETS = np.arange(len(COLUMNS)) * STRIDE


@dataclass(frozen=True)
class Tables:
    """A model, compiled.

    Attributes:
        keys: in ascending order, shape (r,): for each column in turn, the largest values that its tests tell
            apart, moved by the column's place times `STRIDE`.
        reachable: the leaves of each tree that a value up to a key leaves reachable, shape (r, trees).
        leaves: log-odds that each leaf adds, shape (trees, leaves).
        prior: log-odds before any tree, shape ().
    """

    keys: npt.NDArray[np.float64]
    reachable: npt.NDArray[np.unsignedinteger]
    leaves: npt.NDArray[np.float64]
    prior: npt.NDArray[np.float64]

    def to_bytes(self) -> bytes:
        """The tables as an .npz file."""
        file = io.BytesIO()
        np.savez(file, allow_pickle=False, **vars(self))
        return file.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> Tables:
        """The tables of an .npz file."""
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return cls(**arrays)


class CompiledForm:
    """Predicts with tables."""

    instant_rows = 8 * BLOCK

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        trees, leaves = tables.leaves.shape
        self._first_leaves = np.arange(trees, dtype=np.int32) * leaves
        self._one = tables.reachable.dtype.type(1)

    def propensities(self, features: Features) -> Propensities:
        """Probability of default of each application, shape (n,)."""
        values = np.where(np.isnan(features), MISSING, features)
        values += _OFFSETS
        # Shape (columns, n): a contiguous row for each feature is what the tables are picked by.
        picked = np.searchsorted(self._tables.keys, values.T)
        log_odds = np.empty(len(features))
        for start in range(0, len(features), BLOCK):
            block = slice(start, start + BLOCK)
            reachable = np.bitwise_and.reduce(self._tables.reachable.take(picked[:, block], axis=0), axis=0)
            below_lowest_bit = (reachable & -reachable) - self._one
            leaves = np.bitwise_count(below_lowest_bit) + self._first_leaves
            log_odds[block] = self._tables.leaves.take(leaves).sum(axis=1)
        log_odds += self._tables.prior
        return 1 / (1 + np.exp(-log_odds))

"""The compiled form of a model: tables that say which leaves of its trees an application can still reach.

It predicts without pickle, scikit-learn or pandas. The method is QuickScorer (Lucchese et al., SIGIR 2015),
applied to whole columns at a time: each feature's value selects a row of a table, which holds for each tree
the leaves that the tests on this feature leave reachable, one bit per leaf. The rows of all features are
ANDed; the lowest bit that remains is the leaf.

The same bits explain a prediction. A feature contributes its Shapley value to the log-odds, as TreeSHAP
defines it (Lundberg et al., 2018, path-dependent): where the feature is unknown, both branches of a tree are
followed, weighted by the shares of the training set that took them.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from propensity.contract.features import Features, Propensities

COLUMNS = range(13)

STRIDE = 2.0**30
"""Distance between the keys of two features; exceeds any value that the contract allows."""

LARGEST = 2.0**28
MISSING = 2.0**29
"""Keys of a feature's largest value, and of a missing one."""

BLOCK = 128
"""Applications predicted together: the table rows that they select still fit the processor's cache."""

EXPLAINED_BLOCK = 16
"""Applications explained together: each takes some hundred kilobytes of intermediate arrays."""

Contributions = npt.NDArray[np.float64]
"""Log-odds that each column adds to each application, shape (n, len(COLUMNS))."""

_OFFSETS = np.arange(len(COLUMNS)) * STRIDE


@dataclass(frozen=True)
class Tables:
    """A compiled model.

    Attributes:
        keys: for each column in turn, the largest values that its tests tell apart, offset by the column's
            place times `STRIDE`; ascending, shape (r,).
        reachable: leaves of each tree that a value up to each key leaves reachable, one bit per leaf, shape
            (r, trees).
        leaves: log-odds that each leaf adds, shape (trees, leaves).
        prior: log-odds before any tree, shape ().
        paths: places of the columns that are tested on the path to each leaf, shape (trees, leaves, most),
            padded with len(COLUMNS).
        shares: of the training applications that reached those tests, the share that passed them, shape
            (trees, leaves, most), padded with 1.
    """

    keys: npt.NDArray[np.float64]
    reachable: npt.NDArray[np.unsignedinteger]
    leaves: npt.NDArray[np.float64]
    prior: npt.NDArray[np.float64]
    paths: npt.NDArray[np.integer]
    shares: npt.NDArray[np.float64]

    def to_bytes(self) -> bytes:
        """Return the tables as an .npz file."""
        file = io.BytesIO()
        np.savez(file, allow_pickle=False, **vars(self))
        return file.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> Tables:
        """Return the tables of an .npz file."""
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return cls(**arrays)


class CompiledForm:
    """The form that predicts with tables."""

    instant_rows = 8 * BLOCK

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        trees, leaves = tables.leaves.shape
        self._first_leaves = np.arange(trees, dtype=np.int32) * leaves
        self._one = tables.reachable.dtype.type(1)

        # Between a column's being unknown and known, the weight of a leaf is a product of at most `most`
        # linear terms; this number of nodes integrates it exactly.
        nodes, weights = np.polynomial.legendre.leggauss((tables.paths.shape[2] + 1) // 2)
        self._nodes = list(zip((nodes + 1) / 2, weights / 2, strict=True))
        # The steps of all paths, sorted by column. (A matrix product would sum them as well, but in BLAS
        # threads that compete for the workers' cores.)
        self._by_column = np.argsort(tables.paths, axis=None, kind="stable")
        self._columns, self._starts = np.unique(tables.paths.ravel()[self._by_column], return_index=True)
        self.base = float(tables.prior + (tables.leaves * tables.shares.prod(axis=2)).sum())

    def propensities(self, features: Features) -> Propensities:
        """Return the propensity of each application, shape (n,)."""
        picked = self._picked(features)
        log_odds = np.empty(len(features))
        for start in range(0, len(features), BLOCK):
            block = slice(start, start + BLOCK)
            reachable = np.bitwise_and.reduce(self._tables.reachable.take(picked[:, block], axis=0), axis=0)
            below_lowest_bit = (reachable & -reachable) - self._one
            leaves = np.bitwise_count(below_lowest_bit) + self._first_leaves
            log_odds[block] = self._tables.leaves.take(leaves).sum(axis=1)
        log_odds += self._tables.prior
        return 1 / (1 + np.exp(-log_odds))

    def contributions(self, features: Features) -> Contributions:
        """Return the log-odds that each column of each application adds to `base`, shape (n, columns)."""
        picked = self._picked(features)
        contributions = np.empty(features.shape)
        for start in range(0, len(features), EXPLAINED_BLOCK):
            block = slice(start, start + EXPLAINED_BLOCK)
            contributions[block] = self._explained(self._tables.reachable.take(picked[:, block], axis=0))
        return contributions

    def _picked(self, features: Features) -> npt.NDArray[np.intp]:
        """Return the row of the tables that each value selects, shape (columns, n)."""
        values = np.where(np.isnan(features), MISSING, features)
        values += _OFFSETS
        # Transposed, so that the rows that a feature selects are contiguous.
        return np.searchsorted(self._tables.keys, values.T)

    def _explained(self, reachable: npt.NDArray[np.unsignedinteger]) -> Contributions:
        """Return contributions.

        Args:
            reachable: leaves that each column leaves reachable, shape (columns, n, trees).
        """
        paths, shares, leaves = self._tables.paths, self._tables.shares[..., None], self._tables.leaves
        trees, bits = np.arange(len(leaves))[:, None, None], np.arange(leaves.shape[1])[:, None, None]
        nothing = np.full((1, *reachable.shape[1:]), ~reachable.dtype.type(0))
        # Shape (trees, leaves, most, n): whether the column leaves the leaf reachable.
        met = np.concatenate([reachable, nothing])[paths, :, trees]
        met = (met >> bits.astype(met.dtype) & self._one).astype(np.float64)
        adds = np.zeros(met.shape)
        for node, weight in self._nodes:
            factors = (1 - node) * shares + node * met
            products = factors.prod(axis=2, keepdims=True) * leaves[:, :, None, None]
            adds += weight * products / factors
        adds *= met - shares
        contributions = np.zeros((len(COLUMNS) + 1, adds.shape[-1]))
        steps = adds.reshape(paths.size, -1)[self._by_column]
        contributions[self._columns] = np.add.reduceat(steps, self._starts, axis=0)
        return contributions[:-1].T

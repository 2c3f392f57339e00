"""The tables form of a model: tables that say which leaves of its trees a row can still reach.

It predicts without pickle, scikit-learn or pandas. The method is QuickScorer (Lucchese et al., SIGIR 2015),
applied to whole columns at a time: each feature's value selects a row of a table, which holds for each tree
the leaves that the tests on this feature leave reachable, one bit per leaf. The rows of all features are
ANDed; the lowest bit that remains is the leaf.

The same bits explain a prediction. A feature contributes its Shapley value to the log-odds, as TreeSHAP
defines it (Lundberg et al., 2018, path-dependent): where the feature is unknown, both branches of a tree are
followed, weighted by the shares of the training set that took them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from propensity.contract.features import Features, Propensities
from propensity.model.arrays import pack, unpack
from propensity.model.buckets import Buckets
from propensity.model.fold import Fold
from propensity.model.forms import Contributions
from propensity.model.logistic import into_propensities

MAX_LEAVES = 64
"""Leaves of a tree at most: a bit each in the widest integer."""

BLOCK = 256
"""Rows predicted together: the table rows that they select still fit the processor's cache."""

EXPLAINED_BLOCK = 16
EXPLAINED_STEPS = 1_000_000
"""Rows explained together: at most so many, and so many steps on their paths; a step takes some 50 bytes."""

INSTANT_CELLS = 4_000_000
"""Cells of the table that are ANDed in less time than handing rows to a thread takes."""


@dataclass(frozen=True)
class Tables:
    """A compiled model.

    Attributes:
        keys: ends of the buckets of each column in turn, as in `Buckets`, shape (keys,).
        sizes: number of keys of each column, shape (columns,).
        reachable: leaves of each tree that a value of each bucket leaves reachable, one bit per leaf, shape
            (buckets, trees).
        leaves: what each leaf adds, shape (trees, leaves).
        prior: log-odds before any tree, shape ().
        logit: whether prior and leaves add up to log-odds; if not, the mean of the leaves is the propensity,
            shape ().
        paths: places of the columns that are tested on the path to each leaf, shape (trees, leaves, most),
            padded with the number of columns.
        shares: of the training rows that reached those tests, the share that passed them, shape (trees,
            leaves, most), padded with 1.
    """

    keys: npt.NDArray[np.float64]
    sizes: npt.NDArray[np.integer]
    reachable: npt.NDArray[np.unsignedinteger]
    leaves: npt.NDArray[np.float64]
    prior: npt.NDArray[np.float64]
    logit: npt.NDArray[np.bool_]
    paths: npt.NDArray[np.integer]
    shares: npt.NDArray[np.float64]


class TablesForm:
    """The form that predicts with tables.

    Attributes:
        tables: the compiled model.
    """

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self._buckets = Buckets(tables.keys, tables.sizes)
        trees, leaves = tables.leaves.shape
        self._first_leaves = np.arange(trees, dtype=np.int32) * leaves
        # Short rows are multiplied by them in less time than they are added up.
        self._ones = np.ones(trees)
        self._reachable = Fold(np.bitwise_and, tables.reachable, tables.sizes)
        self._one = tables.reachable.dtype.type(1)
        self.instant_rows = max(1, INSTANT_CELLS // (trees * len(tables.sizes)))

    @staticmethod
    def of(tables: Tables) -> TablesForm:
        """Return the form of these tables; it explains if they add up log-odds."""
        return ExplainedTablesForm(tables) if tables.logit else TablesForm(tables)

    def to_bytes(self) -> bytes:
        """Return the form as an .npz file."""
        return pack(vars(self.tables))

    @classmethod
    def from_bytes(cls, content: bytes) -> TablesForm:
        """Return the form of an .npz file."""
        return cls.of(Tables(**unpack(content)))

    def propensities(self, features: Features) -> Propensities:
        """Return the propensity of each row, shape (n,)."""
        buckets = self._buckets.of(features)
        sums = np.empty(len(features))
        for start in range(0, len(features), BLOCK):
            block = slice(start, start + BLOCK)
            reachable = self._reachable.of(buckets[:, block])
            below_lowest_bit = (reachable & -reachable) - self._one
            leaves = np.bitwise_count(below_lowest_bit) + self._first_leaves
            np.vecdot(self.tables.leaves.take(leaves), self._ones, out=sums[block])
        if not self.tables.logit:
            return sums / len(self.tables.leaves)
        sums += self.tables.prior
        return into_propensities(sums)


class ExplainedTablesForm(TablesForm):
    """The form of tables that add up log-odds, and therefore explain them.

    Attributes:
        base: log-odds where nothing is known.
    """

    instant_explanations = 1

    def __init__(self, tables: Tables) -> None:
        super().__init__(tables)
        # Between a column's being unknown and known, the weight of a leaf is a product of linear terms.
        self._nodes = rule(tables.paths.shape[2])
        # The steps of all paths, sorted by column. (A matrix product would sum them as well, but in BLAS
        # threads that compete for the workers' cores.)
        self._by_column = np.argsort(tables.paths, axis=None, kind="stable")
        self._columns, self._starts = np.unique(tables.paths.ravel()[self._by_column], return_index=True)
        self._block = max(1, min(EXPLAINED_BLOCK, EXPLAINED_STEPS // tables.paths.size))
        self.base = float(tables.prior + (tables.leaves * tables.shares.prod(axis=2)).sum())

    def contributions(self, features: Features) -> Contributions:
        """Return the log-odds that each column of each row adds to `base`, shape (n, columns)."""
        buckets = self._buckets.of(features)
        contributions = np.empty(features.shape)
        for start in range(0, len(features), self._block):
            block = slice(start, start + self._block)
            contributions[block] = self._explained(self.tables.reachable.take(buckets[:, block], axis=0))
        return contributions

    def _explained(self, reachable: npt.NDArray[np.unsignedinteger]) -> Contributions:
        """Return contributions.

        Args:
            reachable: leaves that each column leaves reachable, shape (columns, n, trees).
        """
        paths, shares, leaves = self.tables.paths, self.tables.shares[..., None], self.tables.leaves
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
        contributions = np.zeros((len(reachable) + 1, adds.shape[-1]))
        steps = adds.reshape(paths.size, -1)[self._by_column]
        contributions[self._columns] = np.add.reduceat(steps, self._starts, axis=0)
        return contributions[:-1].T


def rule(columns: int) -> list[tuple[float, float]]:
    """Return nodes and weights that integrate a product of one linear term less than columns from 0 to 1.

    By Gauss and Legendre, and so exactly.
    """
    nodes, weights = np.polynomial.legendre.leggauss((columns + 1) // 2)
    return [*zip((nodes + 1) / 2, weights / 2, strict=True)]

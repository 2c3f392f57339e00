"""The forest form of a model: trees too deep for tables, which many rows descend together.

It predicts without pickle, scikit-learn or pandas. A value is replaced by the number of its bucket, and this
by ranks, one for each kind of test; at each node of a tree, a whole number is compared with another. All
steps down are made by numpy for many trees and rows at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from propensity.contract.features import Features, Propensities
from propensity.model.arrays import pack, unpack
from propensity.model.buckets import Buckets
from propensity.model.logistic import into_propensities

BLOCK = 1_024
"""Rows that are predicted together at most."""

PATHS = 16_384
"""Pairs of a row and a tree that descend together: what they need still fits the processor's cache."""

STEPS = 8
"""Steps down between which paths that have ended are not sorted out."""

INSTANT_PATHS = 8_192
"""Paths that descend in less time than handing rows to a thread takes."""


@dataclass(frozen=True)
class Forest:
    """A compiled model.

    Attributes:
        keys: ends of the buckets of each column in turn, as in `Buckets`, shape (keys,).
        sizes: number of keys of each column, shape (columns,).
        of: the column whose buckets each kind of test ranks, shape (kinds,).
        firsts: where the ranks of each kind begin in `ranks`, shape (kinds,).
        ranks: for each kind in turn, the rank of each bucket of its column.
        kinds: the kind of test of each node, shape (nodes,).
        limits: the highest rank that goes left at each node, shape (nodes,).
        children: the left child of each node, the right one is the next; a leaf's is itself, shape (nodes,).
        values: what each leaf adds, shape (nodes,).
        roots: the first node of each tree, shape (trees,).
        prior: log-odds before any tree, shape ().
        logit: whether prior and leaves add up to log-odds; if not, the mean of the leaves is the propensity,
            shape ().
    """

    keys: npt.NDArray[np.float64]
    sizes: npt.NDArray[np.integer]
    of: npt.NDArray[np.integer]
    firsts: npt.NDArray[np.integer]
    ranks: npt.NDArray[np.integer]
    kinds: npt.NDArray[np.integer]
    limits: npt.NDArray[np.integer]
    children: npt.NDArray[np.integer]
    values: npt.NDArray[np.float64]
    roots: npt.NDArray[np.integer]
    prior: npt.NDArray[np.float64]
    logit: npt.NDArray[np.bool_]


class ForestForm:
    """The form that predicts with a forest.

    Attributes:
        forest: the compiled model.
    """

    def __init__(self, forest: Forest) -> None:
        self.forest = forest
        self._buckets = Buckets(forest.keys, forest.sizes)
        # To add to a bucket's number for the place of its rank.
        self._to_ranks = (forest.firsts - self._buckets.firsts[forest.of])[:, None]
        self.instant_rows = max(1, INSTANT_PATHS // len(forest.roots))

    def to_bytes(self) -> bytes:
        """Return the form as an .npz file."""
        return pack(vars(self.forest))

    @classmethod
    def from_bytes(cls, content: bytes) -> ForestForm:
        """Return the form of an .npz file."""
        return cls(Forest(**unpack(content)))

    def propensities(self, features: Features) -> Propensities:
        """Return the propensity of each row, shape (n,)."""
        forest = self.forest
        buckets = self._buckets.of(features)
        sums = np.empty(len(features))
        for start in range(0, len(features), BLOCK):
            block = slice(start, start + BLOCK)
            ranks = forest.ranks.take(buckets[forest.of, block] + self._to_ranks)
            sums[block] = self._values(ranks).sum(axis=1)
        if not forest.logit:
            return sums / len(forest.roots)
        sums += forest.prior
        return into_propensities(sums)

    def _values(self, ranks: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
        """Return the value of the leaf that each row reaches in each tree, shape (n, trees).

        Args:
            ranks: for each kind of test, the rank of each row, shape (kinds, n).
        """
        forest, (kinds, rows), trees = self.forest, ranks.shape, len(self.forest.roots)
        values = np.empty((rows, trees))
        of_rows = np.ascontiguousarray(ranks.T).ravel()
        together = max(1, PATHS // rows)
        for start in range(0, trees, together):
            block = slice(start, start + together)
            roots = forest.roots[block]
            nodes = reached = np.tile(roots, rows)
            paths = np.arange(len(reached))
            first_ranks = paths // len(roots) * kinds
            while len(paths):
                for _ in range(STEPS):
                    is_right = of_rows.take(forest.kinds.take(nodes) + first_ranks) > forest.limits.take(
                        nodes
                    )
                    nodes = forest.children.take(nodes) + is_right
                reached[paths] = nodes
                moving = np.flatnonzero(forest.children.take(nodes) != nodes)
                paths, nodes, first_ranks = paths[moving], nodes[moving], first_ranks[moving]
            values[:, block] = forest.values.take(reached).reshape(rows, -1)
        return values

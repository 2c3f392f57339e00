"""The grids form of a model: small trees whose leaves were added up in advance.

It predicts without pickle, scikit-learn or pandas. A leaf of a small tree depends on a few columns only, and
tells few groups of their values apart. So leaves of many trees are put together in one grid, which has a
dimension for each of their columns and, in each cell, the sum of those leaves that a row in it reaches. A row
is in one cell of each grid. The places of all these cells are a sum of table rows, one for each of the row's
buckets. Some dozens of grids replace hundreds of trees.

Other, smaller grids explain the prediction: their cells have the contributions of their columns, which are
those that `tables` defines.
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

BLOCK = 1_024
"""Rows predicted together: what they need still fits the processor's cache."""

EXPLAINED_BLOCK = 128
"""Rows explained together."""

INSTANT_CELLS = 250_000
"""Cells that are looked up in less time than handing rows to a thread takes; a bucket counts as two."""


@dataclass(frozen=True)
class Grids:
    """A compiled model.

    Attributes:
        keys: ends of the buckets of each column in turn, as in `Buckets`, shape (keys,).
        sizes: number of keys of each column, shape (columns,).
        places: what a value in each bucket adds to the place of a row's cell in each grid, shape (buckets,
            grids).
        firsts: the first cell of each grid, shape (grids,).
        cells: the sum of leaves in each cell of each grid in turn, shape (cells,).
        prior: what is added for each row, shape ().
        trees: 0 if all this adds up to log-odds; if not, the number of trees, whose mean is the propensity,
            shape ().
        explained_places: as `places`, of the grids that explain; none without log-odds.
        step_columns: the columns of all these grids, ascending, shape (steps,).
        step_grids: the grid of each, shape (steps,).
        step_firsts: the place of its first contribution, shape (steps,).
        contributions: for each cell of each such grid in turn, what the grid's columns contribute.
        base: log-odds where nothing is known; NaN if nothing is explained, shape ().
    """

    keys: npt.NDArray[np.float64]
    sizes: npt.NDArray[np.integer]
    places: npt.NDArray[np.unsignedinteger]
    firsts: npt.NDArray[np.integer]
    cells: npt.NDArray[np.float64]
    prior: npt.NDArray[np.float64]
    trees: npt.NDArray[np.integer]
    explained_places: npt.NDArray[np.unsignedinteger]
    step_columns: npt.NDArray[np.integer]
    step_grids: npt.NDArray[np.integer]
    step_firsts: npt.NDArray[np.integer]
    contributions: npt.NDArray[np.float64]
    base: npt.NDArray[np.float64]


class GridsForm:
    """The form that predicts with grids.

    Attributes:
        grids: the compiled model.
    """

    def __init__(self, grids: Grids) -> None:
        self.grids = grids
        self._buckets = Buckets(grids.keys, grids.sizes)
        self._places = Fold(np.add, grids.places, grids.sizes)
        self._firsts = grids.firsts.astype(np.intp)
        self._prior = float(grids.prior)
        # Short rows are multiplied by them in less time than they are added up.
        self._ones = np.ones(len(grids.firsts))
        self.instant_rows = max(1, INSTANT_CELLS // (2 * len(grids.sizes) + len(grids.firsts)))

    @staticmethod
    def of(grids: Grids) -> GridsForm:
        """Return the form of these grids; it explains if they add up log-odds."""
        return GridsForm(grids) if grids.trees else ExplainedGridsForm(grids)

    def to_bytes(self) -> bytes:
        """Return the form as an .npz file."""
        return pack(vars(self.grids))

    @classmethod
    def from_bytes(cls, content: bytes) -> GridsForm:
        """Return the form of an .npz file."""
        return cls.of(Grids(**unpack(content)))

    def propensities(self, features: Features) -> Propensities:
        """Return the propensity of each row, shape (n,)."""
        sums = np.empty(len(features))
        for start in range(0, len(features), BLOCK):
            block = slice(start, start + BLOCK)
            places = self._places.of(self._buckets.of(features[block])) + self._firsts
            np.vecdot(self.grids.cells.take(places), self._ones, out=sums[block])
        sums += self._prior
        return sums / self.grids.trees if self.grids.trees else into_propensities(sums)


class ExplainedGridsForm(GridsForm):
    """The form of grids that add up log-odds, and therefore explain them.

    Attributes:
        base: log-odds where nothing is known.
    """

    instant_explanations = 64

    def __init__(self, grids: Grids) -> None:
        super().__init__(grids)
        self._explained_places = Fold(np.add, grids.explained_places, grids.sizes)
        self._step_firsts = grids.step_firsts.astype(np.intp)
        self._columns, self._starts = np.unique(grids.step_columns, return_index=True)
        self.base = float(grids.base)

    def contributions(self, features: Features) -> Contributions:
        """Return the log-odds that each column of each row adds to `base`, shape (n, columns)."""
        contributions = np.zeros(features.shape)
        for start in range(0, len(features), EXPLAINED_BLOCK):
            block = slice(start, start + EXPLAINED_BLOCK)
            places = self._explained_places.of(self._buckets.of(features[block]))
            places = places.take(self.grids.step_grids, axis=1) + self._step_firsts
            steps = self.grids.contributions.take(places)
            contributions[block, self._columns] = np.add.reduceat(steps, self._starts, axis=1)
        return contributions

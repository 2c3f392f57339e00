"""Compiles small trees to grids: leaves that depend on much the same columns are added up in advance.

Grids are made of tables, which say what buckets leave a leaf reachable. First, each set of columns on which
leaves depend has a grid of its own. Then, again and again, those two are merged that grow least by it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from heapq import heappop, heappush
from math import prod

import numpy as np
import numpy.typing as npt

from propensity.contract.features import Features
from propensity.importing.encoding import Compiled, Floats, NotCompilableError, Truths, Whole
from propensity.importing.trees import compile_tables
from propensity.model.fold import joined
from propensity.model.forms import Additive
from propensity.model.grids import Grids, GridsForm
from propensity.model.pipeline import PipelineForm
from propensity.model.tables import Tables, TablesForm, rule

MAX_LEAVES = 16
"""Leaves of a tree at most: those of larger trees depend on too many columns."""

MAX_SETS = 600
"""Sets of columns on which leaves depend at most: more of them are no longer merged to few grids."""


@dataclass(frozen=True)
class Size:
    """Cells at most."""

    of_grid: int
    of_all: int


PREDICTING = Size(of_grid=65_536, of_all=500_000)
"""So that 16 bits hold the place of a cell, and the cells of most rows stay in the processor's cache."""

EXPLAINING = Size(of_grid=2_048, of_all=100_000)
"""Fewer: here, a cell has a number for each column."""

NS_OF_BYTE, NS_OF_GRID, NS_OF_TREE = 0.08, 2.8, 2.5
"""What takes how long for a row: a byte of the table rows that are folded, a cell, and a leaf of tables."""


def compile_grids(form: PipelineForm, rows: Features) -> Compiled[GridsForm]:
    """Compile a pipeline of trees with very few leaves.

    Args:
        form: the pipeline.
        rows: features of the hold-out set, whose values help to find what the preprocessing tells apart.

    Raises:
        NotCompilableError: it has no such form, or tables of it are faster.
    """
    compiled = compile_tables(form, rows, MAX_LEAVES)
    return Compiled(GridsForm.of(grids_of(compiled.form)), compiled.probes)


def grids_of(form: TablesForm) -> Grids:
    """Return the grids of tables.

    Raises:
        NotCompilableError: there are none, or tables are faster.
    """
    tables, sizes = form.tables, form.tables.sizes
    leaves = _leaves(tables)
    grids = _merged(leaves, len(sizes), PREDICTING)
    if _time(sizes, 2 * len(grids), len(grids) * NS_OF_GRID) >= _time(
        sizes, tables.reachable[0].nbytes, len(tables.leaves) * NS_OF_TREE
    ):
        raise NotCompilableError(f"its leaves fill {len(grids)} grids, which are slower than its tables")
    explaining = _merged(leaves, len(sizes), EXPLAINING) if isinstance(form, Additive) else []
    added = [grid.added() for grid in grids]
    explained = [grid.explained() for grid in explaining]
    steps = sorted(
        (column, place, first + within)
        for place, (grid, first) in enumerate(zip(explaining, _firsts(explained), strict=True))
        for within, column in enumerate(grid.codes)
    )
    step_columns, step_grids, step_firsts = np.array(steps, np.int32).reshape(-1, 3).T
    alike = (tables.paths == len(sizes)).all(axis=2)
    return Grids(
        keys=tables.keys,
        sizes=sizes,
        places=_places(grids, sizes, [1] * len(grids)),
        firsts=_firsts(added),
        cells=np.concatenate(added),
        prior=tables.prior + tables.leaves[alike].sum(),
        trees=np.array(0 if tables.logit else len(tables.leaves)),
        explained_places=_places(explaining, sizes, [len(grid.codes) for grid in explaining]),
        step_columns=step_columns,
        step_grids=step_grids,
        step_firsts=step_firsts,
        contributions=np.concatenate([np.empty(0), *explained]),
        base=np.array(form.base if isinstance(form, Additive) else np.nan),
    )


def _time(sizes: npt.NDArray[np.integer], row_bytes: int, rest: float) -> float:
    """Return how many nanoseconds a row takes, once its buckets are found.

    Args:
        sizes: number of keys of each column.
        row_bytes: size of a row of the table that is folded.
        rest: nanoseconds for what follows.
    """
    return len(joined(sizes, row_bytes)) * row_bytes * NS_OF_BYTE + rest


def _firsts(parts: Sequence[Floats]) -> npt.NDArray[np.int32]:
    """Return where each part begins, put one after the other."""
    return np.cumsum([0, *map(len, parts)])[:-1].astype(np.int32)


def _places(
    grids: Sequence[_Grid], sizes: npt.NDArray[np.integer], widths: Sequence[int]
) -> npt.NDArray[np.unsignedinteger]:
    """Return what each bucket adds to the place of a cell in each grid, shape (buckets, grids).

    Args:
        grids: the grids.
        sizes: number of keys of each column.
        widths: how many numbers a cell of each grid has.
    """
    ends = [grid.cells * width for grid, width in zip(grids, widths, strict=True)]
    # In as few bytes as hold the sum of a row's places.
    places = np.zeros((int((sizes + 1).sum()), len(grids)), np.min_scalar_type(max([1, *ends]) - 1))
    of_column = np.split(places, np.cumsum(sizes + 1)[:-1])
    for place, (grid, stride) in enumerate(zip(grids, ends, strict=True)):
        for column, codes in grid.codes.items():
            stride //= grid.counts[column]  # noqa: PLW2901
            of_column[column][:, place] = codes * stride
    return places


@dataclass(frozen=True)
class _Leaf:
    """A leaf that depends on columns.

    Attributes:
        value: what it adds.
        shares: of the training rows that reached the tests of each column, the share that passed them.
        passes: for each column, whether a value of each of its buckets passes.
    """

    value: float
    shares: dict[int, float]
    passes: dict[int, Truths]


def _leaves(tables: Tables) -> list[_Leaf]:
    """Return the leaves that add something and depend on columns.

    Raises:
        NotCompilableError: there are none, or they depend on too many sets of columns.
    """
    columns = len(tables.sizes)
    counts = tables.leaves.astype(bool) & (tables.paths < columns).any(axis=2)
    sets = len(np.unique(np.sort(tables.paths[counts], axis=1), axis=0))
    if not sets:
        raise NotCompilableError("no leaf of it depends on a column")
    if sets > MAX_SETS:
        raise NotCompilableError(
            f"its leaves depend on {sets:,} different sets of columns, more than {MAX_SETS:,}"
        )
    of_column = np.split(tables.reachable, np.cumsum(tables.sizes + 1)[:-1])
    leaves = []
    for tree, leaf in np.argwhere(counts):
        of_leaf = tables.paths[tree, leaf], tables.shares[tree, leaf]
        shares = {
            int(column): float(share) for column, share in zip(*of_leaf, strict=True) if column < columns
        }
        bit = tables.reachable.dtype.type(1 << int(leaf))
        passes = {column: (of_column[column][:, tree] & bit) > 0 for column in sorted(shares)}
        leaves.append(_Leaf(float(tables.leaves[tree, leaf]), shares, passes))
    return leaves


class _Grid:
    """A grid.

    Args:
        leaves: that are added up in it.
        codes: for each of its columns, the coordinate of each bucket.

    Attributes:
        codes: in the order of the dimensions, by column.
        counts: how many coordinates each column has.
        cells: how many cells it has.
    """

    def __init__(self, leaves: list[_Leaf], codes: dict[int, Whole]) -> None:
        self._leaves = leaves
        self.codes = dict(sorted(codes.items()))
        self.counts = {column: int(of_column.max()) + 1 for column, of_column in self.codes.items()}
        self.cells = prod(self.counts.values())

    @classmethod
    def of(cls, leaves: list[_Leaf]) -> _Grid:
        """Return the grid of leaves that depend on the same columns."""
        return cls(
            leaves,
            {
                column: _numbered(np.stack([leaf.passes[column] for leaf in leaves], axis=1))
                for column in leaves[0].passes
            },
        )

    def halves(self) -> list[_Grid]:
        """Return the grids of half of the leaves each."""
        middle = len(self._leaves) // 2
        return [_Grid.of(part) for part in (self._leaves[:middle], self._leaves[middle:]) if part]

    def merged(self, other: _Grid) -> _Grid:
        """Return the grid of the leaves of two."""
        common = self.codes.keys() & other.codes.keys()
        both = {column: np.unique(self._paired(other, column), return_inverse=True)[1] for column in common}
        return _Grid([*self._leaves, *other._leaves], {**self.codes, **other.codes, **both})

    def cells_merged(self, other: _Grid) -> int:
        """Return how many cells two grids would have, merged."""
        counts = {**self.counts, **other.counts}
        for column in self.codes.keys() & other.codes.keys():
            counts[column] = int(np.count_nonzero(np.bincount(self._paired(other, column))))
        return prod(counts.values())

    def _paired(self, other: _Grid, column: int) -> Whole:
        """Return a number for each bucket's pair of coordinates."""
        return self.codes[column] * other.counts[column] + other.codes[column]

    def added(self) -> Floats:
        """Return the sum of the leaves that a row in each cell reaches, shape (cells,)."""
        sums = np.zeros([*self.counts.values()], np.longdouble)
        for leaf in self._leaves:
            sums += leaf.value * prod(self._met(leaf).values())
        return sums.ravel().astype(np.float64)

    def explained(self) -> Floats:
        """Return what each column contributes to a row in each cell, as in `tables`, cell by cell."""
        adds = np.zeros((*self.counts.values(), len(self.codes)))
        for leaf in self._leaves:
            met = self._met(leaf)
            for known, weight in _rule(len(met)):
                factors = {
                    column: (1 - known) * leaf.shares[column] + known * of_column
                    for column, of_column in met.items()
                }
                for place, column in enumerate(self.codes):
                    if column in met:
                        others = prod(factor for other, factor in factors.items() if other != column)
                        change = met[column] - leaf.shares[column]
                        adds[..., place] += leaf.value * weight * change * others
        return adds.ravel()

    def _met(self, leaf: _Leaf) -> dict[int, Floats]:
        """Return whether each coordinate of each column that a leaf depends on passes, as 0 or 1.

        The shapes broadcast to that of the grid.
        """
        met = {}
        for dimension, (column, codes) in enumerate(self.codes.items()):
            if column in leaf.passes:
                passes = np.zeros(self.counts[column])
                passes[codes] = leaf.passes[column]
                met[column] = passes.reshape(-1, *[1] * (len(self.codes) - dimension - 1))
        return met


_rule = cache(rule)  # asked for each of thousands of leaves


def _numbered(rows: Truths) -> Whole:
    """Return a number for each row, the same for equal rows."""
    return np.unique(np.packbits(rows, axis=1), axis=0, return_inverse=True)[1].ravel()


def _first_grids(leaves: list[_Leaf], most: int) -> list[_Grid]:
    """Return grids of leaves that depend on the same columns.

    Raises:
        NotCompilableError: a leaf depends on too many columns.
    """
    by_columns = defaultdict(list)
    for leaf in leaves:
        by_columns[(*leaf.passes,)].append(leaf)
    waiting, grids = [_Grid.of(same) for same in by_columns.values()], []
    while waiting:
        grid = waiting.pop()
        if grid.cells <= most:
            grids.append(grid)
        elif len(halves := grid.halves()) > 1:
            waiting += halves
        else:
            raise NotCompilableError(
                f"a leaf of it depends on {len(grid.codes)} columns, too many for a grid"
            )
    return grids


def _merged(leaves: list[_Leaf], columns: int, size: Size) -> list[_Grid]:
    """Return grids of leaves, merged as long as they stay small enough.

    Raises:
        NotCompilableError: a leaf depends on too many columns, or all together need too many cells.
    """
    grids: dict[int, _Grid] = {}
    cells = 0
    counts = np.empty((0, columns))
    # Pairs of grids with how many cells they would have more, merged, and at first with how many at least.
    pairs: list[tuple[int, bool, int, int]] = []

    def add(grid: _Grid) -> None:
        nonlocal counts
        row = np.ones(columns)
        row[[*grid.counts]] = [*grid.counts.values()]
        others = np.array([*grids], np.int64)
        least = np.maximum(counts[others], row).prod(axis=1)
        near = least <= size.of_grid
        for other, at_least in zip(others[near].tolist(), least[near].tolist(), strict=True):
            heappush(pairs, (int(at_least) - grid.cells - grids[other].cells, False, other, len(counts)))
        grids[len(counts)] = grid
        counts = np.vstack([counts, row])

    for grid in _first_grids(leaves, size.of_grid):
        add(grid)
        cells += grid.cells
    if cells > size.of_all:
        raise NotCompilableError(f"its leaves need {cells:,} cells, more than {size.of_all:,}")
    while pairs:
        more, is_exact, some, other = heappop(pairs)
        if some not in grids or other not in grids:
            continue
        if not is_exact:
            merged = grids[some].cells_merged(grids[other])
            if merged <= size.of_grid:
                heappush(pairs, (merged - grids[some].cells - grids[other].cells, True, some, other))
        elif cells + more > size.of_all:
            break
        else:
            cells += more
            add(grids.pop(some).merged(grids.pop(other)))
    return [*grids.values()]

"""Compiles trees: any ensemble that `ensembles` reads, behind any preprocessing that `encoding` finds out.

Both forms reach the same leaves as the pipeline, whose values are 64-bit floats
(docs/adr/0003-exact-compilation.md): propensities agree to the last few bits. XGBoost adds 32-bit floats, and
to these it agrees to the last few bits of such.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from propensity.contract.features import Features
from propensity.importing.encoding import Compiled, Encoding, Floats, NotCompilableError, Whole, find_encoding
from propensity.importing.ensembles import Ensemble, Tested, Tree, read_ensemble, tested
from propensity.importing.steps import take_apart
from propensity.model.forest import Forest, ForestForm
from propensity.model.pipeline import PipelineForm
from propensity.model.tables import MAX_LEAVES, Tables, TablesForm

MAX_BYTES = 256 * 1024 * 1024
"""Size of tables at most; each worker holds them."""

ENCODED_CELLS = 8_000_000
"""Values that the preprocessing encodes at a time."""

LEAST_SHARE = 2.0**-40
"""Stands for the share of a branch that no training row took: contributions divide by it."""


def compile_tables(form: PipelineForm, rows: Features, max_leaves: int = MAX_LEAVES) -> Compiled[TablesForm]:
    """Compile a pipeline of trees with few leaves.

    Args:
        form: the pipeline.
        rows: features of the hold-out set, whose values help to find what the preprocessing tells apart.
        max_leaves: leaves of a tree at most.

    Raises:
        NotCompilableError: it has no such form.
    """
    source = _source(form)
    most_leaves = max(int((tree.left < 0).sum()) for tree in source.ensemble.trees)
    if most_leaves > max_leaves:
        raise NotCompilableError(f"a tree of it has {most_leaves} leaves, more than {max_leaves}")
    encoding = source.encoding(rows)
    return Compiled(TablesForm.of(_tables(source.ensemble, source.tested, encoding)), encoding.probes)


def compile_forest(form: PipelineForm, rows: Features) -> Compiled[ForestForm]:
    """Compile a pipeline of trees with any number of leaves.

    Args:
        form: the pipeline.
        rows: features of the hold-out set, whose values help to find what the preprocessing tells apart.

    Raises:
        NotCompilableError: it has no such form.
    """
    source = _source(form)
    encoding = source.encoding(rows)
    return Compiled(ForestForm(_forest(source.ensemble, source.tested, encoding)), encoding.probes)


class _Source:
    """A pipeline, taken apart into preprocessing and trees."""

    def __init__(self, form: PipelineForm) -> None:
        self._form = form
        self._steps, classifier = take_apart(form.pipeline)
        place = [str(each) for each in classifier.classes_].index(form.positive)
        self.ensemble = read_ensemble(classifier, place)
        self.tested = tested(self.ensemble.trees)
        self._width = int(classifier.n_features_in_)
        self._found: tuple[Features, Encoding] | None = None

    def encoding(self, rows: Features) -> Encoding:
        """Return the encoding, which is searched for once: of wide rows, that takes half a minute."""
        if self._found is None or self._found[0] is not rows:
            self._found = rows, find_encoding(self._form, self._encode, self.tested.tests, rows)
        return self._found[1]

    def _encode(self, features: Features) -> Floats:
        """Return the encoded columns that are tested, shape (n, tested columns)."""
        size = max(1, ENCODED_CELLS // self._width)
        parts = [features[start : start + size] for start in range(0, len(features), size)]
        return np.concatenate([self._encoded(part) for part in parts])

    def _encoded(self, features: Features) -> Floats:
        encoded = self._form.input(features)
        for step in self._steps:
            encoded = step.transform(encoded)
        return self.ensemble.see(encoded)[:, self.tested.columns]


@lru_cache(maxsize=1)
def _source(form: PipelineForm) -> _Source:
    """Return a pipeline, taken apart; the same for each form that is tried."""
    return _Source(form)


def _tables(ensemble: Ensemble, tests: Tested, encoding: Encoding) -> Tables:
    trees = [
        _Leaves(tree, of_nodes, places, encoding)
        for tree, of_nodes, places in zip(ensemble.trees, tests.of_nodes, tests.places, strict=True)
    ]
    most_leaves = max(len(tree.values) for tree in trees)
    all_leaves = 2**most_leaves - 1
    sizes = encoding.sizes + 1
    shape, dtype = (int(sizes.sum()), len(trees)), np.min_scalar_type(all_leaves)
    if (needed := shape[0] * shape[1] * dtype.itemsize) > MAX_BYTES:
        raise NotCompilableError(
            f"tables of it would take {needed // 2**20:,} MiB, more than {MAX_BYTES // 2**20} MiB"
        )
    reachable = np.full(shape, all_leaves, dtype)
    of_column = np.split(reachable, np.cumsum(sizes)[:-1])
    leaves = np.zeros((len(trees), most_leaves))
    for place, tree in enumerate(trees):
        leaves[place, : len(tree.values)] = tree.values
        for each, highest, left, right in tree.tests:
            is_left = encoding.ranks[each] <= highest
            of_column[encoding.columns[each]][:, place] &= np.where(
                is_left, dtype.type(~right & all_leaves), dtype.type(~left & all_leaves)
            )
    return Tables(
        encoding.keys,
        encoding.sizes,
        reachable,
        leaves,
        np.array(ensemble.prior),
        np.array(ensemble.logit),
        *_padded([tree.paths for tree in trees], most_leaves, len(sizes)),
    )


_Path = dict[int, float]
"""The columns that are tested on the path to a leaf, each with the share of the training rows that passed its
tests among those that reached them."""


def _padded(
    paths: list[list[_Path]], leaves: int, columns: int
) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.float64]]:
    """Return `paths` and `shares` as in `Tables`."""
    most = max(1, *(len(path) for tree in paths for path in tree))
    padded = np.full((len(paths), leaves, most), columns, np.min_scalar_type(columns))
    shares = np.ones(padded.shape)
    for place, tree in enumerate(paths):
        for leaf, path in enumerate(tree):
            padded[place, leaf, : len(path)] = [*path]
            shares[place, leaf, : len(path)] = [*path.values()]
    return padded, np.maximum(shares, LEAST_SHARE)


class _Leaves:
    """The leaves of a tree, from left to right, without those that no row reaches.

    Attributes:
        values: what each adds.
        paths: the path to each.
        tests: for each node, its `Tests` as a place, the highest rank that passes, and two sets of leaves, a
            bit per leaf: those that only values that pass reach, and those that only the others reach.
    """

    def __init__(self, tree: Tree, of_nodes: Whole, places: Whole, encoding: Encoding) -> None:
        self.values: list[float] = []
        self.paths: list[_Path] = []
        self.tests: list[tuple[int, int, int, int]] = []
        self._tree, self._of_nodes, self._places, self._encoding = tree, of_nodes, places, encoding
        self._walk(0, {})

    def _walk(self, node: int, path: _Path) -> None:
        tree = self._tree
        left, right = int(tree.left[node]), int(tree.right[node])
        if left < 0:
            self.values.append(float(tree.value[node]))
            self.paths.append(path)
            return
        each, highest = int(self._of_nodes[node]), int(self._places[node])
        column = self._encoding.columns[each]
        if column < 0:
            self._walk(left if self._encoding.ranks[each][0] <= highest else right, path)
            return

        def path_to(child: int) -> _Path:
            reached = float(tree.cover[node])
            share = float(tree.cover[child] / reached) if reached else 0.5
            return path | {column: path.get(column, 1.0) * share}

        first = len(self.values)
        self._walk(left, path_to(left))
        middle = len(self.values)
        self._walk(right, path_to(right))
        low, high = (1 << middle) - (1 << first), (1 << len(self.values)) - (1 << middle)
        self.tests.append((each, highest, low, high))


def _forest(ensemble: Ensemble, tests: Tested, encoding: Encoding) -> Forest:
    orders = [_breadth_first(tree) for tree in ensemble.trees]
    sizes = [len(order.nodes) for order in orders]
    roots = np.cumsum([0, *sizes[:-1]])
    of_nodes, places, lefts, values = (
        np.concatenate([of_tree[order.nodes] for of_tree, order in zip(each, orders, strict=True)])
        for each in (
            tests.of_nodes,
            tests.places,
            [tree.left for tree in ensemble.trees],
            [tree.value for tree in ensemble.trees],
        )
    )
    is_leaf = lefts < 0
    columns = np.maximum(encoding.columns, 0)
    ranks = [
        rank if len(rank) > 1 else rank.repeat(encoding.sizes[column] + 1)
        for rank, column in zip(encoding.ranks, columns, strict=True)
    ]
    flat = np.concatenate(ranks)
    highest = int(flat.max())
    return Forest(
        keys=encoding.keys,
        sizes=encoding.sizes,
        of=columns,
        firsts=np.cumsum([0, *map(len, ranks[:-1])]),
        ranks=flat.astype(np.int32),
        kinds=np.where(is_leaf, 0, of_nodes).astype(np.min_scalar_type(len(ranks))),
        limits=np.where(is_leaf, highest, places).astype(np.int32),
        children=np.concatenate(
            [order.children + root for order, root in zip(orders, roots, strict=True)]
        ).astype(np.int32),
        values=np.where(is_leaf, values, 0.0),
        roots=roots,
        prior=np.array(ensemble.prior),
        logit=np.array(ensemble.logit),
    )


@dataclass(frozen=True)
class _Order:
    """The nodes of a tree, level by level, the two children of a node beside each other.

    Attributes:
        nodes: their places in the tree.
        children: the place of the left child in this order, a leaf's own.
    """

    nodes: Whole
    children: Whole


def _breadth_first(tree: Tree) -> _Order:
    levels, children = [np.zeros(1, np.int64)], []
    first = 0
    while True:
        nodes = levels[-1]
        inner = tree.left[nodes] >= 0
        of_level = np.arange(first, first + len(nodes))
        first += len(nodes)
        of_level[inner] = first + 2 * np.arange(inner.sum())
        children.append(of_level)
        if not inner.any():
            return _Order(np.concatenate(levels), np.concatenate(children))
        below = nodes[inner]
        levels.append(np.column_stack([tree.left[below], tree.right[below]]).ravel())

"""The compiler: turns the notebook's gradient-boosted pipeline into tables, and proves them equal.

In 64-bit floats and with the very leaves that the pipeline reaches (docs/adr/0003-exact-compilation.md), so
that the compiled form predicts what the pipeline predicts to the last few bits and no decision can change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder

from propensity.contract.application import CATEGORIES, NULLABLE, Application, bounds
from propensity.contract.features import COLUMNS, NUMBERS, encode
from propensity.model.compiled import LARGEST, MISSING, STRIDE, CompiledForm, Tables
from propensity.model.manifest import Parity
from propensity.model.pipeline import PipelineForm

MAX_LEAVES = 64
"""Of a tree: a bit each in the widest integer."""

MAX_DIFFERENCE = 1e-6
GENERATED_ROWS = 100_000
SEED = 20_26


class NotCompilableError(Exception):
    """A pipeline that stays as it is; the message says why."""


def compile_pipeline(pipeline: Any) -> Tables:
    """The tables of a pipeline.

    Raises:
        NotCompilableError: it is not built as the notebook's gradient boosting is.
    """
    try:
        preprocessing = pipeline.named_steps["preprocessing"]
        classifier = pipeline.named_steps["classifier"]
        (_, numbers, number_names), (_, categories, category_names) = preprocessing.transformers_
    except (AttributeError, KeyError, ValueError) as error:
        raise NotCompilableError(f"its steps are not preprocessing and classifier ({error})") from error
    if type(classifier) is not GradientBoostingClassifier or classifier.init is not None:
        raise NotCompilableError(f"{type(classifier).__name__} has no compilation here")
    if type(numbers) is not SimpleImputer or tuple(number_names) != NUMBERS or numbers.add_indicator:
        raise NotCompilableError("it does not put one value each for missing numbers")
    if (
        type(categories) is not OneHotEncoder
        or tuple(category_names) != tuple(CATEGORIES)
        or [tuple(known) for known in categories.categories_] != list(CATEGORIES.values())
        or categories.handle_unknown != "ignore"
        or categories.drop_idx_ is not None
    ):
        raise NotCompilableError("it does not encode categories one-hot by the contract")
    return _tables(classifier, numbers.statistics_)


def _tables(classifier: GradientBoostingClassifier, for_missing: npt.NDArray[np.float64]) -> Tables:
    trees = [estimator.tree_ for (estimator,) in classifier.estimators_]
    most_leaves = max(int(tree.n_leaves) for tree in trees)
    if most_leaves > MAX_LEAVES:
        raise NotCompilableError(f"a tree of it has {most_leaves} leaves, more than {MAX_LEAVES}")
    leaves = np.zeros((len(trees), most_leaves))
    ways: list[list[dict[int, float]]] = []
    tests: list[list[_Test]] = [[] for _ in range(len(NUMBERS) + sum(map(len, CATEGORIES.values())))]
    for place, tree in enumerate(trees):
        weights, tree_ways = _walk(tree, place, tests)
        leaves[place, : len(weights)] = weights * classifier.learning_rate
        ways.append(tree_ways)
    keys: list[float] = []
    reachable = []
    encoded = iter(tests)
    for column, name in enumerate(COLUMNS):
        if name in CATEGORIES:
            categories = range(len(CATEGORIES[name]))
            own = [*map(float, categories), MISSING]
            # A category is 1 in its own encoded column and 0 in the others, a missing one 0 in all.
            values = np.eye(len(own), len(categories))
        else:
            # The contract's numbers are whole: none lies between a split and the whole number below it.
            splits = sorted({float(np.floor(split)) for split, *_ in tests[column]})
            own = [*splits, LARGEST, MISSING]
            values = np.array([[*splits, LARGEST, for_missing[column]]]).T
        table = np.full((len(own), len(trees)), 2**most_leaves - 1, np.min_scalar_type(2**most_leaves - 1))
        for column_of_values in values.T:
            for split, tree_place, left, right in next(encoded):
                is_above = column_of_values > split
                table[is_above, tree_place] &= table.dtype.type(~left & 2**most_leaves - 1)
                table[~is_above, tree_place] &= table.dtype.type(~right & 2**most_leaves - 1)
        keys += [column * STRIDE + key for key in own]
        reachable.append(table)
    prior = classifier.init_.class_prior_[1]
    return Tables(
        np.array(keys),
        np.concatenate(reachable),
        leaves,
        np.log(prior / (1 - prior)),
        *_padded(ways, most_leaves),
    )


def _padded(
    ways: list[list[dict[int, float]]], leaves: int
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float64]]:
    """The columns on the way to each leaf and their shares, as `Tables` has them."""
    most = max(1, *(len(way) for tree in ways for way in tree))
    paths = np.full((len(ways), leaves, most), len(COLUMNS), np.int8)
    shares = np.ones(paths.shape)
    for place, tree in enumerate(ways):
        for leaf, way in enumerate(tree):
            paths[place, leaf, : len(way)] = [*way]
            shares[place, leaf, : len(way)] = [*way.values()]
    return paths, shares


_Test = tuple[float, int, int, int]
"""A split, the place of its tree, and the leaves, a bit each, that only a value up to the split reaches, and
those that only one above it does."""


def _walk(
    tree: Any, place: int, tests: list[list[_Test]]
) -> tuple[npt.NDArray[np.float64], list[dict[int, float]]]:
    """Note down the tests of a tree by encoded column.

    Returns:
        Of each leaf, from left to right: its value, and by the columns on the way to it the share of the
        training applications that their tests let through.
    """
    leaves: list[float] = []
    ways: list[dict[int, float]] = []
    reached = tree.weighted_n_node_samples

    def walk(node: int, way: dict[int, float]) -> None:
        if tree.children_left[node] < 0:
            leaves.append(float(tree.value[node, 0, 0]))
            ways.append(way)
            return
        column = _COLUMN_OF[tree.feature[node]]

        def through(child: int) -> dict[int, float]:
            return way | {column: way.get(column, 1.0) * float(reached[child] / reached[node])}

        first = len(leaves)
        walk(tree.children_left[node], through(tree.children_left[node]))
        middle = len(leaves)
        walk(tree.children_right[node], through(tree.children_right[node]))
        left, right = (1 << middle) - (1 << first), (1 << len(leaves)) - (1 << middle)
        tests[tree.feature[node]].append((float(tree.threshold[node]), place, left, right))

    walk(0, {})
    return np.array(leaves), ways


_COLUMN_OF = [column for column, name in enumerate(COLUMNS) for _ in CATEGORIES.get(name, (name,))]
"""The column that each encoded column is made of."""


def check_parity(
    pipeline: Any, compiled: Tables, threshold: float, applications: Sequence[Application]
) -> Parity:
    """Hold a compiled form against its pipeline, on given and on generated applications.

    Raises:
        NotCompilableError: they differ by more than `MAX_DIFFERENCE`, or in a decision.
    """
    everything = encode([*applications, *generated(pipeline)])
    expected = PipelineForm(pipeline).propensities(everything)
    found = CompiledForm(compiled).propensities(everything)
    difference = float(np.abs(expected - found).max())
    changed = int(np.sum((expected >= threshold) != (found >= threshold)))
    if difference > MAX_DIFFERENCE or changed:
        raise NotCompilableError(
            f"compiled, it differs by up to {difference:.1e} and changes {changed} decisions"
            f" on {len(everything):,} applications"
        )
    return Parity(rows=len(everything), max_difference=difference, decisions_changed=changed)


def generated(pipeline: Any, rows: int = GENERATED_ROWS) -> list[Application]:
    """Applications that try a model: every category, missing value and bound, both sides of every split."""
    random = np.random.default_rng(SEED)
    splits = _splits(pipeline.named_steps["classifier"])
    columns: dict[str, list[Any]] = {}
    for name in Application.model_fields:
        if name in CATEGORIES:
            values: list[Any] = list(CATEGORIES[name])
        else:
            lowest, highest = bounds(name)
            near = {
                value for split in splits.get(name, ()) for value in (np.floor(split), np.floor(split) + 1)
            }
            values = sorted(value for value in {lowest, highest, *near} if lowest <= value <= highest)
            values = [float(value) for value in values]
        if name in NULLABLE:
            values.append(None)
        picked = random.integers(len(values), size=rows)
        columns[name] = [values[place] for place in picked]
    return [
        Application.model_construct(**dict(zip(columns, row, strict=True)))
        for row in zip(*columns.values(), strict=True)
    ]


def _splits(classifier: GradientBoostingClassifier) -> dict[str, set[float]]:
    found: dict[str, set[float]] = {}
    for (estimator,) in classifier.estimators_:
        tree = estimator.tree_
        for feature, split in zip(tree.feature, tree.threshold, strict=True):
            if 0 <= feature < len(NUMBERS):
                found.setdefault(NUMBERS[feature], set()).add(float(split))
    return found

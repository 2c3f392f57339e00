"""The compiler: turns the notebook's gradient-boosted pipeline into tables, and proves them equal.

Tables reach the same leaves as the pipeline, whose values are 64-bit floats
(docs/adr/0003-exact-compilation.md): propensities agree to the last few bits, and no decision changes.
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
"""Leaves of a tree at most: a bit each in the widest integer."""

MAX_DIFFERENCE = 1e-6
GENERATED_ROWS = 100_000
SEED = 20_26


class NotCompilableError(Exception):
    """A pipeline can't be compiled and is kept as it is; the message says why."""


def compile_pipeline(pipeline: Any) -> Tables:
    """Return the tables of a pipeline.

    Raises:
        NotCompilableError: the pipeline is not built like the notebook's gradient boosting.
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
        raise NotCompilableError("it does not replace missing numbers by one value per field")
    if (
        type(categories) is not OneHotEncoder
        or tuple(category_names) != tuple(CATEGORIES)
        or [tuple(known) for known in categories.categories_] != list(CATEGORIES.values())
        or categories.handle_unknown != "ignore"
        or categories.drop_idx_ is not None
    ):
        raise NotCompilableError("it does not encode the contract's categories one-hot")
    return _tables(classifier, numbers.statistics_)


def _tables(classifier: GradientBoostingClassifier, for_missing: npt.NDArray[np.float64]) -> Tables:
    trees = [estimator.tree_ for (estimator,) in classifier.estimators_]
    most_leaves = max(int(tree.n_leaves) for tree in trees)
    if most_leaves > MAX_LEAVES:
        raise NotCompilableError(f"a tree of it has {most_leaves} leaves, more than {MAX_LEAVES}")
    leaves = np.zeros((len(trees), most_leaves))
    paths: list[list[_Path]] = []
    tests: list[list[_Test]] = [[] for _ in range(len(NUMBERS) + sum(map(len, CATEGORIES.values())))]
    for place, tree in enumerate(trees):
        weights, tree_paths = _walk(tree, place, tests)
        leaves[place, : len(weights)] = weights * classifier.learning_rate
        paths.append(tree_paths)
    keys: list[float] = []
    reachable = []
    encoded = iter(tests)
    for column, name in enumerate(COLUMNS):
        if name in CATEGORIES:
            categories = range(len(CATEGORIES[name]))
            column_keys = [*map(float, categories), MISSING]
            # A category is 1 in its own encoded column and 0 in the others; a missing one is 0 in all.
            values = np.eye(len(column_keys), len(categories))
        else:
            # The contract's numbers are whole: none lies between a split and the whole number below it.
            splits = sorted({float(np.floor(split)) for split, *_ in tests[column]})
            column_keys = [*splits, LARGEST, MISSING]
            values = np.array([[*splits, LARGEST, for_missing[column]]]).T
        all_leaves = 2**most_leaves - 1
        table = np.full((len(column_keys), len(trees)), all_leaves, np.min_scalar_type(all_leaves))
        for column_of_values in values.T:
            for split, tree_place, left, right in next(encoded):
                is_above = column_of_values > split
                table[is_above, tree_place] &= table.dtype.type(~left & all_leaves)
                table[~is_above, tree_place] &= table.dtype.type(~right & all_leaves)
        keys += [column * STRIDE + key for key in column_keys]
        reachable.append(table)
    prior = classifier.init_.class_prior_[1]
    return Tables(
        np.array(keys),
        np.concatenate(reachable),
        leaves,
        np.log(prior / (1 - prior)),
        *_padded(paths, most_leaves),
    )


_Path = dict[int, float]
"""The columns that are tested on the path to a leaf, each with the share of the training applications that
passed its tests among those that reached them."""


def _padded(paths: list[list[_Path]], leaves: int) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float64]]:
    """Return `paths` and `shares` as in `Tables`."""
    most = max(1, *(len(path) for tree in paths for path in tree))
    columns = np.full((len(paths), leaves, most), len(COLUMNS), np.int8)
    shares = np.ones(columns.shape)
    for place, tree in enumerate(paths):
        for leaf, path in enumerate(tree):
            columns[place, leaf, : len(path)] = [*path]
            shares[place, leaf, : len(path)] = [*path.values()]
    return columns, shares


_Test = tuple[float, int, int, int]
"""A split, the place of its tree, and two sets of leaves, a bit per leaf: those that only values up to the
split reach, and those that only values above it reach."""


def _walk(tree: Any, place: int, tests: list[list[_Test]]) -> tuple[npt.NDArray[np.float64], list[_Path]]:
    """Append the tests of a tree to `tests`, which holds a list for each encoded column.

    Returns:
        Value and path of each leaf, from left to right.
    """
    leaves: list[float] = []
    paths: list[_Path] = []
    reached = tree.weighted_n_node_samples

    def walk(node: int, path: _Path) -> None:
        if tree.children_left[node] < 0:
            leaves.append(float(tree.value[node, 0, 0]))
            paths.append(path)
            return
        column = _COLUMN_OF[tree.feature[node]]

        def path_to(child: int) -> _Path:
            return path | {column: path.get(column, 1.0) * float(reached[child] / reached[node])}

        first = len(leaves)
        walk(tree.children_left[node], path_to(tree.children_left[node]))
        middle = len(leaves)
        walk(tree.children_right[node], path_to(tree.children_right[node]))
        left, right = (1 << middle) - (1 << first), (1 << len(leaves)) - (1 << middle)
        tests[tree.feature[node]].append((float(tree.threshold[node]), place, left, right))

    walk(0, {})
    return np.array(leaves), paths


_COLUMN_OF = [column for column, name in enumerate(COLUMNS) for _ in CATEGORIES.get(name, (name,))]
"""The column that each encoded column stands for."""


def check_parity(
    pipeline: Any, compiled: Tables, threshold: float, applications: Sequence[Application]
) -> Parity:
    """Compare a compiled form with its pipeline, on the given and on generated applications.

    Raises:
        NotCompilableError: propensities differ by more than `MAX_DIFFERENCE`, or a decision differs.
    """
    features = encode([*applications, *generated(pipeline)])
    expected = PipelineForm(pipeline).propensities(features)
    actual = CompiledForm(compiled).propensities(features)
    difference = float(np.abs(expected - actual).max())
    changed = int(np.sum((expected >= threshold) != (actual >= threshold)))
    if difference > MAX_DIFFERENCE or changed:
        raise NotCompilableError(
            f"compiled, it differs by up to {difference:.1e} and changes {changed} decisions"
            f" on {len(features):,} applications"
        )
    return Parity(rows=len(features), max_difference=difference, decisions_changed=changed)


def generated(pipeline: Any, rows: int = GENERATED_ROWS) -> list[Application]:
    """Return random applications made of categories, missing values, bounds, and both sides of each split."""
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
            numbers = {lowest, highest, *near}
            values = sorted(float(value) for value in numbers if lowest <= value <= highest)
        if name in NULLABLE:
            values.append(None)
        picked = random.integers(len(values), size=rows)
        columns[name] = [values[place] for place in picked]
    return [
        Application.model_construct(**dict(zip(columns, row, strict=True)))
        for row in zip(*columns.values(), strict=True)
    ]


def _splits(classifier: GradientBoostingClassifier) -> dict[str, set[float]]:
    splits: dict[str, set[float]] = {}
    for (estimator,) in classifier.estimators_:
        tree = estimator.tree_
        for feature, split in zip(tree.feature, tree.threshold, strict=True):
            if 0 <= feature < len(NUMBERS):
                splits.setdefault(NUMBERS[feature], set()).add(float(split))
    return splits
